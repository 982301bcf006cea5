/* Augmentation: a batch from the data set on the device, as gather.c has it, distorted at random. The kernels are in augment.cl, and
 * only those run of which something is asked. */
#include <math.h>

#include "ops/op.h"
#include "util/rng.h"

enum { DRAWS = 12, CPU_BLOCKS = 64, CPU_SAMPLES = 8 }; /* floats a sample; blocks of values and samples of a work-item */
static const double usual_smoothness = 4;

ink_status ink_augmentation_check(const struct ink_augmentation *a)
{
    const struct { const char *name; double value, low, high; } ranges[] = {
        {"shift", a->shift, 0, 65536}, {"rotate", a->rotate, 0, 360}, {"scale", a->scale, 0, 1}, {"shear", a->shear, 0, 10},
        {"elastic", a->elastic, 0, 65536}, {"elastic_smoothness", a->elastic_smoothness, a->elastic_smoothness == 0 ? 0 : 1, 65536},
        {"thickness", a->thickness, 0, 1}, {"contrast", a->contrast, 0, 1}, {"noise", a->noise, 0, 1}, {"erase", a->erase, 0, 1},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (!(ranges[i].value >= ranges[i].low && ranges[i].value < ranges[i].high))
            return ink_fail(INK_ERROR_ARGUMENT, "augmentation.%s is %g; it must be at least %g and below %g", ranges[i].name, ranges[i].value,
                            ranges[i].low, ranges[i].high);
    if (a->elastic_smoothness > 0 && a->elastic == 0)
        return ink_fail(INK_ERROR_ARGUMENT, "augmentation.elastic_smoothness is of elastic distortion; set elastic, or leave it out");
    return INK_OK;
}

static bool warps(const struct ink_augmentation *a) { return a->shift > 0 || a->rotate > 0 || a->scale > 0 || a->shear > 0 || a->elastic > 0; }

bool ink_augmentation_is_on(const struct ink_augmentation *a)
{
    return warps(a) || a->thickness > 0 || a->contrast > 0 || a->noise > 0 || a->erase > 0;
}

/* A batch on its way. */
struct batch {
    struct ink_launches *list;
    const struct ink_call *call;
    const struct ink_augmentation *augmentation;
    struct ink_shape shape;
    ink_value images, rows, order, draws, field, x;
    float step;                    /* control points a pixel */
    int field_width, field_height; /* control points; 0: no elastic distortion */
};

/* Control points of cubic splines over a side: one before it, and two behind its last pixel's place among them. */
static int count_points(int side, float step) { return (int)((float)(side - 1) * step) + 4; }

static struct ink_launch *begin(const struct batch *b, const char *kernel, const char *label)
{
    struct ink_launch *launch = ink_launch_add(b->list, "augment.cl", kernel, label);
    ink_define_int(b->list, launch, "WIDTH", b->shape.width);
    ink_define_int(b->list, launch, "HEIGHT", b->shape.height);
    return launch;
}

static void define_field(const struct batch *b, struct ink_launch *launch)
{
    ink_define_int(b->list, launch, "FIELD", b->field_width > 0);
    ink_define_int(b->list, launch, "FIELD_WIDTH", b->field_width);
    ink_define_int(b->list, launch, "FIELD_HEIGHT", b->field_height);
}

static void add_names_of_numbers(const struct batch *b, struct ink_launch *launch, enum ink_stream stream)
{
    ink_define_int(b->list, launch, "STREAM", stream);
    ink_arg_scalar(b->list, launch, INK_START);
    ink_arg_scalar(b->list, launch, INK_BATCH);
    ink_arg_scalar(b->list, launch, INK_SEED_LOW);
    ink_arg_scalar(b->list, launch, INK_SEED_HIGH);
    ink_arg_scalar(b->list, launch, INK_EPOCH);
}

/* An item a sample in CPU style; else one for each of so many. */
static void spread(const struct batch *b, struct ink_launch *launch, size_t items)
{
    bool cpu = b->call->style == INK_STYLE_CPU;
    size_t local = ink_call_group(b->call);
    ink_define_int(b->list, launch, "CHANNELS", b->shape.channels);
    ink_define_int(b->list, launch, "ACROSS", cpu);
    ink_range_fixed(launch, 0, cpu ? 1 : items, local, local);
    ink_range_samples(launch, 1, 1, 1, 1);
}

static void draw(struct batch *b)
{
    const struct ink_augmentation *a = b->augmentation;
    size_t points = (size_t)b->field_width * (size_t)b->field_height, block = 4 * (size_t)b->call->vector_width;
    size_t blocks = points ? (points + block - 1) / block : 1;
    b->draws = ink_value_create(b->list, "draws", DRAWS * sizeof(float), 0);
    if (points)
        b->field = ink_value_create(b->list, "control points", 2 * points * sizeof(float), 0);
    struct ink_launch *launch = begin(b, "draw", "draw distortions");
    define_field(b, launch);
    ink_define_int(b->list, launch, "BLOCKS", (long)blocks);
    ink_arg_value(b->list, launch, INK_ARG_READ, b->order);
    ink_arg_value(b->list, launch, INK_ARG_WRITE, b->draws);
    if (points)
        ink_arg_value(b->list, launch, INK_ARG_WRITE, b->field);
    add_names_of_numbers(b, launch, INK_STREAM_AUGMENT);
    ink_arg_float(b->list, launch, (float)a->shift);
    ink_arg_float(b->list, launch, (float)(a->rotate * 3.14159265358979323846 / 180));
    ink_arg_float(b->list, launch, (float)a->scale);
    ink_arg_float(b->list, launch, (float)a->shear);
    /* uniform numbers have a deviation of 1 / sqrt(3) of the largest, and the squares of the weights of cubic B-splines a mean sum of 151 / 315
       in each direction */
    ink_arg_float(b->list, launch, (float)(a->elastic * sqrt(3.0) * 315 / 151));
    ink_arg_float(b->list, launch, (float)a->thickness);
    ink_arg_float(b->list, launch, (float)a->contrast);
    ink_arg_float(b->list, launch, (float)a->erase);
    ink_range_items(b->list, launch, b->call->style, blocks, 0, CPU_SAMPLES * blocks);
}

static void thicken(const struct batch *b, ink_value to)
{
    struct ink_launch *launch = begin(b, "thicken", "thicken strokes");
    ink_arg_value(b->list, launch, INK_ARG_READ, b->images);
    ink_arg_value(b->list, launch, INK_ARG_READ, b->rows);
    ink_arg_value(b->list, launch, INK_ARG_READ, b->draws);
    ink_arg_value(b->list, launch, INK_ARG_WRITE, to);
    ink_arg_scalar(b->list, launch, INK_ROW);
    spread(b, launch, ink_shape_count(b->shape));
}

static void warp(const struct batch *b, ink_value thick)
{
    struct ink_launch *launch = begin(b, "warp", "warp batch");
    int side = b->call->style == INK_STYLE_CPU ? b->call->vector_width : 1;
    define_field(b, launch);
    ink_define_int(b->list, launch, "THICK", thick != INK_NO_VALUE);
    ink_define_int(b->list, launch, "NEXT_COLUMN", b->shape.width > 1 ? b->shape.channels : 0);
    ink_define_int(b->list, launch, "NEXT_ROW", b->shape.height > 1 ? (long)b->shape.width * b->shape.channels : 0);
    if (b->field_width) {
        ink_define_float(b->list, launch, "FIELD_STEP", b->step);
        ink_define_int(b->list, launch, "TAPS", (long)ceil((side - 1) * (double)b->step) + 4);
    }
    ink_arg_value(b->list, launch, INK_ARG_READ, thick != INK_NO_VALUE ? thick : b->images);
    if (thick == INK_NO_VALUE) {
        ink_arg_value(b->list, launch, INK_ARG_READ, b->rows);
        ink_arg_scalar(b->list, launch, INK_ROW);
    }
    if (b->field_width)
        ink_arg_value(b->list, launch, INK_ARG_READ, b->field);
    ink_arg_value(b->list, launch, INK_ARG_READ, b->draws);
    ink_arg_value(b->list, launch, INK_ARG_WRITE, b->x);
    spread(b, launch, (size_t)b->shape.width * (size_t)b->shape.height);
}

static void finish(const struct batch *b)
{
    const struct ink_augmentation *a = b->augmentation;
    size_t block = 4 * (size_t)b->call->vector_width, blocks = (ink_shape_count(b->shape) + block - 1) / block;
    struct ink_launch *launch = begin(b, "finish", "contrast, noise, erasing");
    ink_define_int(b->list, launch, "CHANNELS", b->shape.channels);
    ink_define_int(b->list, launch, "COUNT", (long)ink_shape_count(b->shape));
    ink_define_int(b->list, launch, "BLOCKS", (long)blocks);
    ink_define_int(b->list, launch, "CONTRAST", a->contrast > 0);
    ink_define_int(b->list, launch, "NOISE", a->noise > 0);
    ink_define_int(b->list, launch, "ERASE", a->erase > 0);
    ink_arg_value(b->list, launch, INK_ARG_UPDATE, b->x);
    ink_arg_value(b->list, launch, INK_ARG_READ, b->order);
    if (a->contrast > 0 || a->erase > 0)
        ink_arg_value(b->list, launch, INK_ARG_READ, b->draws);
    add_names_of_numbers(b, launch, INK_STREAM_NOISE);
    ink_arg_float(b->list, launch, (float)a->noise);
    ink_range_items(b->list, launch, b->call->style, blocks, 0, CPU_BLOCKS);
}

void ink_emit_augment(struct ink_launches *list, const struct ink_call *call, const struct ink_augmentation *augmentation, ink_value images,
                      ink_value rows, ink_value order, ink_value x, struct ink_shape shape)
{
    struct batch b = {list, call, augmentation, shape, images, rows, order, INK_NO_VALUE, INK_NO_VALUE, x, 0, 0, 0};
    bool thick = augmentation->thickness > 0, warped = warps(augmentation);
    if (augmentation->elastic > 0) {
        double smoothness = augmentation->elastic_smoothness > 0 ? augmentation->elastic_smoothness : usual_smoothness;
        b.step = (float)(1 / (sqrt(3.0) * smoothness)); /* the deviation of a cubic B-spline is sqrt(1 / 3) of its step */
        b.field_width = count_points(shape.width, b.step);
        b.field_height = count_points(shape.height, b.step);
    }
    if (thick || warped || augmentation->contrast > 0 || augmentation->erase > 0)
        draw(&b);
    ink_value thickened = thick && warped ? ink_value_create(list, "thickened", ink_shape_count(shape) * sizeof(float), 0) : x;
    if (thick)
        thicken(&b, thickened);
    if (warped)
        warp(&b, thick ? thickened : INK_NO_VALUE);
    if (!thick && !warped)
        ink_emit_gather(list, call, images, rows, x, ink_shape_count(shape));
    if (augmentation->contrast > 0 || augmentation->noise > 0 || augmentation->erase > 0)
        finish(&b);
}
