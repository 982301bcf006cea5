/* PNG pictures from memory; reading from a file is ink_picture_read_png() of inkling.h. */
#ifndef INK_DATA_PNG_H
#define INK_DATA_PNG_H

#include "util/status.h"

enum { INK_PICTURE_SIDE = 16384 };            /* the most pixels a side */
#define INK_PICTURE_BYTES ((size_t)64 << 20)  /* the most bytes of a PNG file */

/* Decodes a PNG as grey; name is for messages. picture->pixels is freed with free(). */
ink_status ink_picture_decode_png(const char *name, const unsigned char *bytes, size_t size,
                                  struct ink_picture *picture);

#endif
