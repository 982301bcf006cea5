/* The text of a program that has the kernels of lists of launches. */
#ifndef INK_MODEL_PROGRAM_H
#define INK_MODEL_PROGRAM_H

#include "model/bind.h"

/* One program of all lists: common.cl, each source once for every different set of defines, and the kernels that call what are functions of
 * these. Sets the instances of the lists. *text: free(). */
ink_status ink_program_text(struct ink_bound *bound, int count, int vector_width, char **text);

#endif
