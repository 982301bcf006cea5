/* A compiled program as a file: what it says, and how a file that says anything else is known.
 *
 * The key is all that shapes a program: format version, bytes of a pointer, platform name and version, device name,
 * driver version, device version, build options, and the source's length and hash, each as text that ends with a zero
 * byte, in this order. No text holds a zero byte, so two keys are the same only where all their parts are. The name
 * of the file is the hash of its key (see util/hash.h), with ".program" behind it.
 *
 *     offset  bytes
 *          0      8  "INKPROG\n"
 *          8      4  format version: 1
 *         12      4  CRC-32 of all bytes behind this field, up to the end of the file
 *         16     16  hash of the key
 *         32      8  length of the key
 *         40      8  length of the payload: the driver's binary
 *         48         the key, the payload, and then the end
 *
 * Numbers have their lowest byte first. */
#ifndef INK_DEVICE_PROGRAM_FILE_H
#define INK_DEVICE_PROGRAM_FILE_H

#include "util/hash.h"
#include "util/status.h"

enum { INK_PROGRAM_VERSION = 1, INK_PROGRAM_HEADER = 48 };
#define INK_PROGRAM_ENDING ".program"
enum { INK_PROGRAM_NAME = INK_HASH_DIGITS + sizeof INK_PROGRAM_ENDING }; /* of a file's name, with its zero byte */

/* What the key is made of. */
struct ink_program_parts {
    unsigned pointer_bytes; /* of this process: drivers of 32 and 64 bits may share a home folder */
    const char *platform, *platform_version, *device, *driver, *device_version, *options, *source;
};

/* Zero it to begin; free it with ink_program_key_free(). */
struct ink_program_key {
    char *bytes;
    size_t size;
    struct ink_hash hash;
};

ink_status ink_program_key_make(const struct ink_program_parts *parts, struct ink_program_key *key);
void ink_program_key_free(struct ink_program_key *key);

/* The name of the file that a program of this hash is in. */
void ink_program_name(const struct ink_hash *hash, char name[INK_PROGRAM_NAME]);

/* True for a name of that form. */
bool ink_program_name_fits(const char *name);

/* The file's bytes for a payload. *file is freed with free(). */
ink_status ink_program_encode(const struct ink_program_key *key, const void *payload, size_t payload_size, unsigned char **file, size_t *size);

/* What a file holds; it points into the file's bytes. */
struct ink_program_view {
    struct ink_hash hash; /* of the file's key */
    const unsigned char *payload;
    size_t payload_size;
};

/* Looks through a file. key: the one it has to be of, or NULL for any. INK_ERROR_FORMAT says what is wrong with it: too
 * short, not a program, another version, lengths that do not fit, a wrong checksum, or another key. */
ink_status ink_program_decode(const struct ink_program_key *key, const unsigned char *file, size_t size, struct ink_program_view *view);

#endif
