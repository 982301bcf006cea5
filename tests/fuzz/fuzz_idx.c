/* The IDX reader, plain and gzip. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "data/idx.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size == 0)
        return 0;
    FILE *file = fmemopen((void *)(uintptr_t)bytes, size, "rb");
    if (!file)
        abort();
    for (size_t limit = 0; limit < 2; limit++) {
        struct ink_idx idx;
        rewind(file);
        if (ink_idx_read_stream(file, "input", 1, 4, limit, &idx) != INK_OK)
            continue;
        uint64_t values = idx.kept, sum = 0;
        for (int i = 1; i < idx.rank; i++)
            values *= idx.dims[i];
        for (uint64_t i = 0; i < values; i++)
            sum += idx.values[i];
        if (values == 0 || idx.kept > idx.dims[0] || sum > values * 255)
            abort();
        free(idx.values);
    }
    fclose(file);
    return 0;
}

size_t fuzz_good_file(unsigned variant, uint8_t *bytes, size_t room)
{
    uint8_t plain[16 + 5 * 6 * 7] = {0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 7};
    for (size_t i = 16; i < sizeof plain; i++)
        plain[i] = (uint8_t)(i * i);
    if (variant % 2 == 0) {
        memcpy(bytes, plain, sizeof plain);
        return sizeof plain;
    }
    z_stream zip = {0};
    if (deflateInit2(&zip, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    zip.next_in = plain;
    zip.avail_in = sizeof plain;
    zip.next_out = bytes;
    zip.avail_out = (uInt)room;
    deflate(&zip, Z_FINISH);
    deflateEnd(&zip);
    return room - zip.avail_out;
}
