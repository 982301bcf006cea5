/* Images on their way to a device that they do not fit into: those of a batch are copied into pinned host memory and from there, by a queue
 * of their own beside the one that computes, into a place of a ring on the device. Three batches are on the way at once, so neither the
 * device nor the copying waits as long as the slower of both keeps up. */
#ifndef INK_TRAIN_UPLOAD_H
#define INK_TRAIN_UPLOAD_H

#include "device/device.h"

enum { INK_UPLOAD_SLOTS = 3 };

struct ink_upload {
    struct ink_device *device;
    cl_command_queue queue;
    size_t batch, sample_bytes;
    cl_mem ring;                 /* images: [INK_UPLOAD_SLOTS][batch] */
    cl_mem rows;                 /* 0, 1, 2, ...: a batch is read in the order in which it is sent */
    struct {
        cl_mem pinned;
        uint8_t *bytes;          /* of pinned, always mapped */
        cl_event sent, used;     /* of the batch that was in this slot last; NULL: none was */
    } slots[INK_UPLOAD_SLOTS];
    size_t next;                 /* batches sent */
};

/* For batches of at most so many samples. */
ink_status ink_upload_create(struct ink_device *device, size_t batch, size_t sample_bytes, struct ink_upload *upload);
void ink_upload_destroy(struct ink_upload *upload);

/* Begins to send count of these images, the ones of numbers, for the commands that are enqueued on the device's queue next, which wait
 * for them; *row: where the first of them is in the ring. Waits itself only while all slots are on their way. */
ink_status ink_upload_send(struct ink_upload *upload, const uint8_t *images, const uint32_t *numbers, size_t count, size_t *row);

/* Tells the last of the commands that read what was sent last. */
ink_status ink_upload_used(struct ink_upload *upload, cl_event used);

/* Bytes that it takes on the device, and those of its largest buffer. */
uint64_t ink_upload_bytes(size_t batch, size_t sample_bytes, uint64_t *largest);

#endif
