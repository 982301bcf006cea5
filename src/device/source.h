/* The OpenCL sources: embedded in the library by the build, or read from the folder $INKLING_CL_DIR. */
#ifndef INK_DEVICE_SOURCE_H
#define INK_DEVICE_SOURCE_H

#include "util/status.h"

/* A .cl file of the build; the table ends with a NULL name. Written by cl/embed.py. */
struct ink_source {
    const char *name, *text;
};
extern const struct ink_source ink_embedded_sources[];

/* The text of a file with its #include "x.cl" lines replaced by those files' text, each once a call, and #line
 * directives so that build logs name the real line. *text is freed with free(). With INKLING_CL_DIR set, a file that is not in
 * that folder is an error; the embedded one is not used in its stead. */
ink_status ink_source_load(const char *name, char **text);

/* The build log of a program's text with lines that begin with a line of the whole, "<kernel>:7:", given the file and line that #line
 * directives say instead: NVIDIA's compiler does not follow them. Logs of compilers that do stay as they are. *out is freed with free(). */
ink_status ink_source_map_log(const char *text, const char *log, char **out);

#endif
