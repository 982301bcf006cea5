/* main() of a fuzz target as a plain program: runs it over the files given, or over seeded mutations of good files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "util/rng.h"

enum { MUTATIONS = 2000, ROOM = 1 << 16 };

static uint64_t drawn;

static uint32_t draw(uint32_t below)
{
    uint32_t words[4];
    ink_random_words(1, 1, drawn++, words);
    return (uint32_t)((uint64_t)words[0] * below >> 32);
}

/* Changes a file in one to four ways: a bit, a byte, a number of four bytes, a cut, a piece taken out or doubled. */
static size_t mutate(uint8_t *bytes, size_t size)
{
    static const uint32_t numbers[] = {0, 1, 0x7f, 0xff, 0x100, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff};
    for (uint32_t change = draw(4) + 1; change > 0 && size > 8; change--) {
        /* mostly near the start, where headers are */
        uint32_t at = draw(2) && size > 64 ? draw(64) : draw((uint32_t)size), length = draw(16) + 1, number;
        switch (draw(7)) {
        case 0: bytes[at] ^= (uint8_t)(1 << draw(8)); break;
        case 1: bytes[at] = (uint8_t)draw(256); break;
        case 2: bytes[at] = (uint8_t)"\"{}[],:0-9\\ .e"[draw(15)]; break;
        case 3:
            number = numbers[draw(10)];
            for (uint32_t i = 0; i < 4 && at + i < size; i++)
                bytes[at + i] = (uint8_t)(number >> (24 - 8 * i));
            break;
        case 4: size = draw(4) ? size : at; break;
        case 5:
            length = at + length > size ? (uint32_t)size - at : length;
            memmove(bytes + at, bytes + at + length, size - at - length);
            size -= length;
            break;
        case 6:
            if (size + length <= ROOM && at + length <= size) {
                memmove(bytes + at + length, bytes + at, size - at);
                size += length;
            }
            break;
        }
    }
    return size;
}

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(1 << 26);
    if (!file || !bytes) {
        perror(path);
        return EXIT_FAILURE;
    }
    size_t size = fread(bytes, 1, 1 << 26, file);
    fclose(file);
    LLVMFuzzerTestOneInput(bytes, size);
    free(bytes);
    return EXIT_SUCCESS;
}

int main(int count, char **files)
{
    int failed = EXIT_SUCCESS;
    for (int i = 1; i < count; i++)
        failed |= run_file(files[i]);
    if (count > 1)
        return failed;
    static uint8_t bytes[ROOM];
    for (unsigned i = 0; i < MUTATIONS; i++) {
        size_t size = fuzz_good_file(i, bytes, ROOM);
        if (i >= 16) /* the good files themselves first */
            size = mutate(bytes, size);
        uint8_t *copy = malloc(size ? size : 1); /* of exactly this size: a sanitiser sees reads beyond it */
        if (!copy)
            return EXIT_FAILURE;
        memcpy(copy, bytes, size);
        LLVMFuzzerTestOneInput(copy, size);
        free(copy);
    }
    return EXIT_SUCCESS;
}
