/* The IDX reader; see idx.h. It is fed by a source, which hides whether the bytes come through gzip; the values go
 * straight into the array that is handed out. */
#include "data/idx.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

enum { BUFFER_BYTES = 1 << 16, HEADER_BYTES = 4, SMALLEST_ROOM = 1 << 20 };

#define AGAIN "fetch the file again"

struct source {
    const char *path;
    FILE *file;
    bool gzip, member_ended;
    z_stream zip;                        /* its next_in and avail_in say what is left in buffer, for plain files too */
    uint64_t offset;                     /* uncompressed bytes given so far */
    unsigned char buffer[BUFFER_BYTES];
};

/* Reads more of the file into the empty buffer; nothing more to read leaves it empty. */
static ink_status refill(struct source *source)
{
    size_t got = fread(source->buffer, 1, BUFFER_BYTES, source->file);
    if (got == 0 && ferror(source->file))
        return ink_fail(INK_ERROR_FILE, "%s: cannot be read: %s", source->path, strerror(errno));
    source->zip.next_in = source->buffer;
    source->zip.avail_in = (uInt)got;
    return INK_OK;
}

static ink_status source_open(struct source *source, FILE *file, const char *path)
{
    memset(source, 0, offsetof(struct source, buffer));
    source->path = path;
    source->file = file;
    struct stat info;
    int descriptor = fileno(file);
    if (descriptor >= 0 && fstat(descriptor, &info) == 0 && S_ISDIR(info.st_mode))
        return ink_fail(INK_ERROR_FILE, "%s: is a folder, not a file", path);
    INK_TRY(refill(source));
    if (source->zip.avail_in >= 2 && source->buffer[0] == 0x1f && source->buffer[1] == 0x8b) {
        if (inflateInit2(&source->zip, 16 + MAX_WBITS) != Z_OK)
            return ink_fail_memory(sizeof source->zip);
        source->gzip = true;
    }
    return INK_OK;
}

static void source_close(struct source *source)
{
    if (source->gzip)
        inflateEnd(&source->zip);
}

/* Gives size plain bytes, or fewer at the end of the file. */
static ink_status take_plain(struct source *source, uint8_t *to, size_t size, size_t *got)
{
    size_t held = source->zip.avail_in < size ? source->zip.avail_in : size;
    if (held)
        memcpy(to, source->zip.next_in, held);
    source->zip.next_in += held;
    source->zip.avail_in -= (uInt)held;
    *got = held;
    if (held < size)
        *got += fread(to + held, 1, size - held, source->file);
    if (*got < size && ferror(source->file))
        return ink_fail(INK_ERROR_FILE, "%s: cannot be read: %s", source->path, strerror(errno));
    source->offset += *got;
    return INK_OK;
}

/* Gives size uncompressed bytes, or fewer at the end, where the checksum has been found right. A gzip file may be
 * several members one after the other (RFC 1952). */
static ink_status take_gzip(struct source *source, uint8_t *to, size_t size, size_t *got)
{
    z_stream *zip = &source->zip;
    size_t given = 0;
    while (given < size) {
        if (zip->avail_in == 0)
            INK_TRY(refill(source));
        if (zip->avail_in == 0) {
            if (source->member_ended)
                break;
            return ink_fail(INK_ERROR_FORMAT, "%s: the gzip data is cut off after byte %llu of the content; " AGAIN,
                            source->path, (unsigned long long)source->offset);
        }
        if (source->member_ended) {
            if (*zip->next_in != 0x1f)
                return ink_fail(INK_ERROR_FORMAT, "%s: after the gzip data, which ends with byte %llu of the content, "
                                "the file goes on with a byte 0x%02x that is not gzip; " AGAIN,
                                source->path, (unsigned long long)source->offset, *zip->next_in);
            inflateReset(zip);
            source->member_ended = false;
        }
        size_t want = size - given < INT_MAX ? size - given : INT_MAX;
        zip->next_out = to + given;
        zip->avail_out = (uInt)want;
        int answer = inflate(zip, Z_NO_FLUSH);
        given += want - zip->avail_out;
        source->offset += want - zip->avail_out;
        if (answer == Z_STREAM_END)
            source->member_ended = true;
        else if (answer == Z_MEM_ERROR)
            return ink_fail_memory(BUFFER_BYTES);
        else if (answer != Z_OK && answer != Z_BUF_ERROR)
            return ink_fail(INK_ERROR_FORMAT, "%s: the gzip data is damaged after byte %llu of the content: %s; " AGAIN,
                            source->path, (unsigned long long)source->offset, zip->msg ? zip->msg : "unknown cause");
    }
    *got = given;
    return INK_OK;
}

static ink_status take(struct source *source, uint8_t *to, size_t size, size_t *got)
{
    return source->gzip ? take_gzip(source, to, size, got) : take_plain(source, to, size, got);
}

static const char *type_text(uint8_t code)
{
    switch (code) {
    case 0x08: return "unsigned byte";
    case 0x09: return "signed byte";
    case 0x0b: return "16-bit integer";
    case 0x0c: return "32-bit integer";
    case 0x0d: return "32-bit float";
    case 0x0e: return "64-bit float";
    }
    return "not a code of the format";
}

static ink_status read_header(struct source *source, int rank_low, int rank_high, struct ink_idx *idx)
{
    const char *path = source->path;
    uint8_t bytes[HEADER_BYTES + 4 * INK_IDX_RANK];
    size_t got;
    INK_TRY(take(source, bytes, HEADER_BYTES, &got));
    if (got < HEADER_BYTES)
        return ink_fail(INK_ERROR_FORMAT, "%s: ends at byte %zu, in the first four bytes of an IDX file; " AGAIN, path,
                        got);
    if (bytes[0] || bytes[1])
        return ink_fail(INK_ERROR_FORMAT, "%s: byte 0: found 0x%02x 0x%02x, expected the two zero bytes of an IDX "
                        "file; check that this is the right file", path, bytes[0], bytes[1]);
    if (bytes[2] != 0x08)
        return ink_fail(INK_ERROR_FORMAT, "%s: byte 2: found type 0x%02x (%s), expected 0x08 (unsigned byte); "
                        "convert the values to bytes", path, bytes[2], type_text(bytes[2]));
    idx->rank = bytes[3];
    if (idx->rank < rank_low || idx->rank > rank_high) {
        char expected[32];
        snprintf(expected, sizeof expected, rank_low == rank_high ? "%d" : "%d to %d", rank_low, rank_high);
        return ink_fail(INK_ERROR_FORMAT, "%s: byte 3: found %d dimensions, expected %s; check that this is the right "
                        "file and not the labels for the images or the other way round", path, idx->rank, expected);
    }
    INK_TRY(take(source, bytes + HEADER_BYTES, 4 * (size_t)idx->rank, &got));
    if (got < 4 * (size_t)idx->rank)
        return ink_fail(INK_ERROR_FORMAT, "%s: ends at byte %zu, in the header of %d bytes; " AGAIN, path,
                        HEADER_BYTES + got, HEADER_BYTES + 4 * idx->rank);
    uint64_t product = 1;
    for (int i = 0; i < idx->rank; i++) {
        const uint8_t *at = bytes + HEADER_BYTES + 4 * i;
        uint32_t dim = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
        uint32_t most = i == 0 ? INT32_MAX : 65536;
        if (dim < 1 || dim > most)
            return ink_fail(INK_ERROR_FORMAT, "%s: byte %d: found %u for dimension %d, expected 1 to %u; " AGAIN, path,
                            HEADER_BYTES + 4 * i, (unsigned)dim, i + 1, (unsigned)most);
        idx->dims[i] = dim;
        product *= dim; /* below 2^32 * 2^31: no overflow */
        if (product > INK_IDX_BYTES || product > SIZE_MAX / 2)
            return ink_fail(INK_ERROR_FORMAT, "%s: byte %d: dimension %d of %u makes more than %llu values, the most a "
                            "file may have; split the file", path, HEADER_BYTES + 4 * i, i + 1, (unsigned)dim,
                            (unsigned long long)(INK_IDX_BYTES < SIZE_MAX / 2 ? INK_IDX_BYTES : SIZE_MAX / 2));
    }
    return INK_OK;
}

/* For messages: the values end before the header's promise. */
static ink_status fail_short(const struct source *source, const struct ink_idx *idx, uint64_t total)
{
    char dims[64] = "";
    for (int i = 0, used = 0; i < idx->rank; i++)
        used += snprintf(dims + used, sizeof dims - (size_t)used, i ? " x %u" : "%u", (unsigned)idx->dims[i]);
    return ink_fail(INK_ERROR_FORMAT, "%s: ends at byte %llu, expected %llu bytes: a header of %d and %s values; "
                    AGAIN, source->path, (unsigned long long)source->offset,
                    (unsigned long long)(HEADER_BYTES + 4 * (uint64_t)idx->rank + total), HEADER_BYTES + 4 * idx->rank,
                    dims);
}

/* Reads the values to keep. The room starts at what a file of this size may well hold and doubles as bytes arrive. */
static ink_status read_kept(struct source *source, struct ink_idx *idx, size_t size, uint64_t total)
{
    struct stat info;
    int descriptor = fileno(source->file);
    uint64_t likely = descriptor >= 0 && fstat(descriptor, &info) == 0 && info.st_size > 0 ? (uint64_t)info.st_size : 0;
    likely = likely < INK_IDX_BYTES ? likely * 8 : INK_IDX_BYTES;
    size_t room = likely > SMALLEST_ROOM ? (size_t)(likely < SIZE_MAX ? likely : SIZE_MAX) : SMALLEST_ROOM, used = 0;
    for (;;) {
        if (room > size)
            room = size;
        uint8_t *larger = realloc(idx->values, room);
        if (!larger)
            return ink_fail_memory(room);
        idx->values = larger;
        size_t got;
        INK_TRY(take(source, idx->values + used, room - used, &got));
        used += got;
        if (used < room)
            return fail_short(source, idx, total);
        if (used == size)
            return INK_OK;
        room *= 2; /* at most 2^33, and at most SIZE_MAX as size is at most half of it */
    }
}

/* Reads the values that are not kept, and the end of the file after them. */
static ink_status read_rest(struct source *source, const struct ink_idx *idx, uint64_t rest, uint64_t total)
{
    uint8_t *dropped = malloc(BUFFER_BYTES);
    if (!dropped)
        return ink_fail_memory(BUFFER_BYTES);
    ink_status status = INK_OK;
    size_t got;
    while (rest && !status) {
        size_t want = rest < BUFFER_BYTES ? (size_t)rest : BUFFER_BYTES;
        status = take(source, dropped, want, &got);
        if (!status && got < want)
            status = fail_short(source, idx, total);
        rest -= want;
    }
    if (!status)
        status = take(source, dropped, 1, &got); /* in a gzip file this also checks the checksum */
    if (!status && got)
        status = ink_fail(INK_ERROR_FORMAT, "%s: byte %llu: the file goes on, expected its end after the values its "
                          "header promises; " AGAIN, source->path, (unsigned long long)source->offset - 1);
    free(dropped);
    return status;
}

ink_status ink_idx_read_stream(FILE *stream, const char *path, int rank_low, int rank_high, size_t limit,
                               struct ink_idx *idx)
{
    struct ink_idx read = {0};
    struct source *source = malloc(sizeof *source);
    if (!source)
        return ink_fail_memory(sizeof *source);
    ink_status status = source_open(source, stream, path);
    if (status || (status = read_header(source, rank_low, rank_high, &read)))
        goto fail;
    uint64_t item = 1;
    for (int i = 1; i < read.rank; i++)
        item *= read.dims[i];
    uint64_t total = item * read.dims[0];
    read.kept = limit && limit < read.dims[0] ? limit : read.dims[0];
    if ((status = read_kept(source, &read, (size_t)(item * read.kept), total)) ||
        (status = read_rest(source, &read, total - item * read.kept, total)))
        goto fail;
    *idx = read;
    read.values = NULL;
fail:
    free(read.values);
    source_close(source);
    free(source);
    return status;
}

ink_status ink_idx_read(const char *path, int rank_low, int rank_high, size_t limit, struct ink_idx *idx)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return ink_fail(INK_ERROR_FILE, "%s: cannot be opened: %s", path, strerror(errno));
    ink_status status = ink_idx_read_stream(file, path, rank_low, rank_high, limit, idx);
    fclose(file);
    return status;
}
