/* Sending images batch by batch; see upload.h. */
#include "train/upload.h"

#include <stdlib.h>
#include <string.h>

static ink_status create_pinned(struct ink_upload *upload, int slot)
{
    struct ink_device *device = upload->device;
    cl_int code;
    size_t bytes = upload->batch * upload->sample_bytes;
    upload->slots[slot].pinned = clCreateBuffer(device->context, CL_MEM_READ_WRITE | CL_MEM_ALLOC_HOST_PTR, bytes, NULL, &code);
    INK_TRY(ink_cl_check(device, code, "clCreateBuffer", "pinned memory for images on their way"));
    upload->slots[slot].bytes = clEnqueueMapBuffer(upload->queue, upload->slots[slot].pinned, CL_TRUE, CL_MAP_WRITE, 0, bytes, 0, NULL, NULL, &code);
    return ink_cl_check(device, code, "clEnqueueMapBuffer", "pinned memory for images on their way");
}

static ink_status write_rows(struct ink_upload *upload)
{
    size_t count = INK_UPLOAD_SLOTS * upload->batch;
    uint32_t *rows = malloc(count * sizeof *rows);
    if (!rows)
        return ink_fail_memory(count * sizeof *rows);
    for (size_t i = 0; i < count; i++)
        rows[i] = (uint32_t)i;
    ink_status status = ink_buffer_write(upload->device, upload->rows, 0, rows, count * sizeof *rows);
    free(rows);
    return status;
}

ink_status ink_upload_create(struct ink_device *device, size_t batch, size_t sample_bytes, struct ink_upload *out)
{
    struct ink_upload upload = {.device = device, .batch = batch, .sample_bytes = sample_bytes};
    cl_int code;
    upload.queue = clCreateCommandQueue(device->context, device->id, 0, &code);
    ink_status status = ink_cl_check(device, code, "clCreateCommandQueue", "a queue for images on their way");
    if (!status)
        status = ink_buffer_create(device, INK_UPLOAD_SLOTS * batch * sample_bytes, "images on their way", &upload.ring);
    if (!status)
        status = ink_buffer_create(device, INK_UPLOAD_SLOTS * batch * sizeof(cl_uint), "the rows of images on their way", &upload.rows);
    if (!status)
        status = write_rows(&upload);
    for (int s = 0; s < INK_UPLOAD_SLOTS && !status; s++)
        status = create_pinned(&upload, s);
    if (status)
        ink_upload_destroy(&upload);
    else
        *out = upload;
    return status;
}

static void forget(cl_event *event)
{
    if (*event)
        clReleaseEvent(*event);
    *event = NULL;
}

void ink_upload_destroy(struct ink_upload *upload)
{
    if (upload->queue)
        clFinish(upload->queue);
    for (int s = 0; s < INK_UPLOAD_SLOTS; s++) {
        forget(&upload->slots[s].sent);
        forget(&upload->slots[s].used);
        if (upload->slots[s].bytes)
            clEnqueueUnmapMemObject(upload->queue, upload->slots[s].pinned, upload->slots[s].bytes, 0, NULL, NULL);
    }
    if (upload->queue)
        clFinish(upload->queue);
    for (int s = 0; s < INK_UPLOAD_SLOTS; s++)
        if (upload->slots[s].pinned)
            clReleaseMemObject(upload->slots[s].pinned);
    if (upload->ring)
        clReleaseMemObject(upload->ring);
    if (upload->rows)
        clReleaseMemObject(upload->rows);
    ink_queue_release(upload->device, upload->queue);
    *upload = (struct ink_upload){0};
}

ink_status ink_upload_send(struct ink_upload *upload, const uint8_t *images, const uint32_t *numbers, size_t count, size_t *row)
{
    struct ink_device *device = upload->device;
    size_t slot = upload->next % INK_UPLOAD_SLOTS, bytes = upload->sample_bytes, first = slot * upload->batch;
    cl_event *sent = &upload->slots[slot].sent, *used = &upload->slots[slot].used;
    if (*sent)
        INK_TRY(ink_cl_check(device, clWaitForEvents(1, sent), "clWaitForEvents", "images on their way"));
    forget(sent);
    for (size_t i = 0; i < count; i++)
        memcpy(upload->slots[slot].bytes + i * bytes, images + numbers[i] * bytes, bytes);
    cl_int code = clEnqueueWriteBuffer(upload->queue, upload->ring, CL_FALSE, first * bytes, count * bytes, upload->slots[slot].bytes, *used != NULL,
                                       *used ? used : NULL, sent);
    INK_TRY(ink_cl_check(device, code, "clEnqueueWriteBuffer", "images on their way"));
    forget(used);
    INK_TRY(ink_cl_check(device, clFlush(upload->queue), "clFlush", "images on their way"));
    INK_TRY(ink_cl_check(device, clEnqueueBarrierWithWaitList(device->queue, 1, sent, NULL), "clEnqueueBarrierWithWaitList", "images on their way"));
    upload->next++;
    *row = first;
    return INK_OK;
}

ink_status ink_upload_used(struct ink_upload *upload, cl_event used)
{
    size_t slot = (upload->next - 1) % INK_UPLOAD_SLOTS;
    clRetainEvent(used);
    upload->slots[slot].used = used;
    /* the other queue waits for what is in this one */
    return ink_cl_check(upload->device, clFlush(upload->device->queue), "clFlush", "images on their way");
}

uint64_t ink_upload_bytes(size_t batch, size_t sample_bytes, uint64_t *largest)
{
    uint64_t ring = (uint64_t)INK_UPLOAD_SLOTS * batch * sample_bytes + INK_SLACK, rows = (uint64_t)INK_UPLOAD_SLOTS * batch * sizeof(cl_uint) + INK_SLACK;
    *largest = ring > rows ? ring : rows;
    return ring + rows;
}
