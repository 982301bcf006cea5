/* A fuzz target: one reader of files from outside. As a plain program (mutate.c) it reads the files named, or a fixed
 * series of mutations of its good file, and is a test of the suite. With libFuzzer, in the repository's root:
 *   clang -fsanitize=fuzzer,address,undefined -D_DEFAULT_SOURCE -Iinclude -Isrc -Itests/fuzz tests/fuzz/fuzz_png.c \
 *     src/data/png.c src/util/file.c src/util/status.c -lpng
 */
#ifndef INK_TESTS_FUZZ_H
#define INK_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Reads the bytes as a file; returns 0. Crashes, or aborts, if the reader is wrong. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Writes a good file of at most room bytes and returns its size; variant picks one of several, from 0. */
size_t fuzz_good_file(unsigned variant, uint8_t *bytes, size_t room);

#endif
