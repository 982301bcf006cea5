/* From the data set on the device to a batch: samples picked by the order of the epoch, bytes to [0, 1]. */
#include "ops/op.h"

void ink_emit_gather(struct ink_launches *list, const struct ink_call *call, ink_value images, ink_value rows, ink_value x, size_t count)
{
    struct ink_launch *launch = ink_launch_add(list, "gather.cl", "gather", "gather batch");
    size_t local = ink_call_group(call), block = call->style == INK_STYLE_CPU ? (count + 63) / 64 * 64 : local;
    ink_define_int(list, launch, "BLOCK", (long)(call->style == INK_STYLE_CPU ? block : 1));
    ink_arg_value(list, launch, INK_ARG_READ, images);
    ink_arg_value(list, launch, INK_ARG_READ, rows);
    ink_arg_value(list, launch, INK_ARG_WRITE, x);
    ink_arg_int(list, launch, (int)count);
    ink_arg_scalar(list, launch, INK_ROW);
    ink_range_fixed(launch, 0, count, block, local);
    ink_range_samples(launch, 1, 1, 1, 1);
    launch->by_samples = true;
}
