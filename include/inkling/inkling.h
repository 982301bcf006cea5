/* Inkling: train and use small convolutional networks on any OpenCL device.
 *
 * The library has five things: a device (where kernels run), a data set (images as bytes, labels), a model
 * (a list of layers and their weights, in host memory), training and evaluation (a model, on a device, over a
 * data set), and pictures (PNG in, digit out). A program opens a device, loads data, builds or loads a model,
 * and calls ink_train(), ink_evaluate() or ink_predict(). The README has a complete one.
 *
 * Rules said once:
 *  - A function that can fail returns ink_status, 0 (INK_OK) on success. ink_last_error() then tells, for the
 *    calling thread, what failed, on which file or field, and what to do about it.
 *  - Results go through the last pointer parameter. On failure it is left as it was.
 *  - ink_x_destroy(&x) takes a pointer to the handle, does nothing for NULL, and sets the handle to NULL.
 *  - Parameter structs are open; a zeroed struct means the defaults given beside each field.
 *  - Strings given to the library are copied; strings got from it live as long as the handle they came from.
 *  - Images are NHWC: sample, row, column, channel, the channel varying fastest. Convolution weights are HWIO:
 *    filter row, filter column, input channel, filter. Dense weights are [inputs][units].
 *  - Handles are not locked: use one from one thread at a time. Different handles may be used side by side.
 *  - The library never prints and never exits; what it has to tell goes to the callback of ink_set_log().
 */
#ifndef INKLING_H
#define INKLING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define INK_API __attribute__((visibility("default")))
#else
#define INK_API
#endif

/* ------------------------------------------------------------------ status */

typedef enum ink_status {
    INK_OK = 0,
    INK_ERROR_ARGUMENT,    /* a parameter or option is out of its range */
    INK_ERROR_MEMORY,      /* host or device memory ran out */
    INK_ERROR_FILE,        /* a file could not be opened, read or written */
    INK_ERROR_FORMAT,      /* a file's content is not what it should be */
    INK_ERROR_SHAPE,       /* shapes do not fit: layer to layer, or model to data */
    INK_ERROR_NO_DEVICE,   /* no OpenCL device, or none that fits the selector */
    INK_ERROR_DEVICE,      /* an OpenCL call failed */
    INK_ERROR_BUILD,       /* an OpenCL program did not build */
    INK_ERROR_UNSUPPORTED, /* known, but not possible on this device or in this build */
    INK_ERROR_DIVERGED,    /* training met a number that is not finite */
} ink_status;

/* What went wrong in the last failed call of this thread; "" if nothing did. Valid until this thread's next failure. */
INK_API const char *ink_last_error(void);

/* The name of a status in words, for example "shape mismatch". */
INK_API const char *ink_status_text(ink_status status);

typedef enum ink_log_level { INK_LOG_DEBUG, INK_LOG_INFO, INK_LOG_WARNING } ink_log_level;

/* Receives one line of text without a newline. */
typedef void (*ink_log_function)(ink_log_level level, const char *text, void *user);

/* Sets the process-wide log callback; NULL (the default) drops every line. Call it before other threads use the library. */
INK_API void ink_set_log(ink_log_function function, void *user);

/* The library's version, for example "0.1.0". */
INK_API const char *ink_version(void);

/* ----------------------------------------------------------------- devices */

typedef enum ink_device_type { INK_DEVICE_GPU, INK_DEVICE_ACCELERATOR, INK_DEVICE_CPU } ink_device_type;

/* What a device says of itself. */
struct ink_device_info {
    int index;                  /* its number for a selector, counted over all platforms */
    ink_device_type type;
    char platform[128];         /* CL_PLATFORM_NAME */
    char name[128];             /* CL_DEVICE_NAME */
    char driver[64];            /* CL_DRIVER_VERSION */
    char version[64];           /* CL_DEVICE_VERSION, for example "OpenCL 1.2 pocl" */
    unsigned compute_units;
    uint64_t memory_bytes;      /* global memory */
    uint64_t max_alloc_bytes;   /* largest single buffer */
    uint64_t local_bytes;       /* local memory of a work-group */
    size_t max_work_group;      /* work-items in a work-group at most */
    bool usable;                /* false: it failed its probe; why[] says how */
    bool picked;                /* the one ink_device_open(NULL) would take */
    char why[160];              /* why it is picked, passed over, or not usable */
};

/* Lists every OpenCL device, and platforms without any as log lines. *devices is freed with free(). A machine
 * without OpenCL gives INK_OK and *count = 0. */
INK_API ink_status ink_device_list(struct ink_device_info **devices, size_t *count);

typedef struct ink_device ink_device;

/* Opens a device with its own context and queue. selector: NULL or "" picks GPU before accelerator before CPU;
 * "gpu", "cpu" or "accelerator" the first of a type; digits an index of ink_device_list(); any other text the
 * first device whose name or platform contains it, ignoring case. Of devices of one platform that fit alike, the one with the most
 * compute units is picked. INK_ERROR_NO_DEVICE says what to install. */
INK_API ink_status ink_device_open(const char *selector, ink_device **device);

/* Destroy every plan, trainer and evaluation that uses the device first. */
INK_API void ink_device_destroy(ink_device **device);

INK_API const struct ink_device_info *ink_device_get_info(const ink_device *device);

/* Opens several devices, each with a context of its own: selectors as for ink_device_open() with a comma between two, "all" for
 * every usable one. SELECTOR/N divides what is selected into N parts with as many compute units each as can be, as "cpu/2" or
 * "all/2"; INK_ERROR_UNSUPPORTED where the driver cannot. An array of *count devices, in the order of the list, to be given back
 * with ink_devices_close(), which takes NULL. */
INK_API ink_status ink_devices_open(const char *selectors, ink_device ***devices, size_t *count);
INK_API void ink_devices_close(ink_device ***devices, size_t *count);

/* --------------------------------------------------------------- data sets */

/* Height, width and channels of one sample. */
struct ink_shape {
    int height, width, channels;
};

/* Labelled images in host memory: one byte a value, 0 to 255, read by networks as value / 255. */
typedef struct ink_dataset ink_dataset;

typedef enum ink_split { INK_TRAIN, INK_TEST } ink_split;

/* The folder with MNIST-format files to use: folder itself when not NULL, else $INKLING_DATA, the installed data
 * folder, data/mnist beside the sources the library was built from; the first that holds the files. Written to
 * path (of size bytes). INK_ERROR_FILE lists the folders tried. */
INK_API ink_status ink_dataset_find(const char *folder, char *path, size_t size);

/* Loads images and labels of a split from a folder with the four MNIST files
 * {train,t10k}-{images-idx3,labels-idx1}-ubyte, each plain or with .gz. Classes are counted from the labels
 * (at least 2). limit: at most so many samples, the first ones; 0 means all. */
INK_API ink_status ink_dataset_load(const char *folder, ink_split split, size_t limit, ink_dataset **dataset);

/* Copies count images of the given shape, [count][height][width][channels], and their labels, each below classes. */
INK_API ink_status ink_dataset_create(const uint8_t *images, const uint8_t *labels, size_t count,
                                      struct ink_shape shape, int classes, ink_dataset **dataset);
INK_API void ink_dataset_destroy(ink_dataset **dataset);

INK_API size_t ink_dataset_count(const ink_dataset *dataset);
INK_API int ink_dataset_classes(const ink_dataset *dataset);
INK_API struct ink_shape ink_dataset_shape(const ink_dataset *dataset);
/* Sample i: height * width * channels bytes inside the data set. i below ink_dataset_count(). */
INK_API const uint8_t *ink_dataset_image(const ink_dataset *dataset, size_t i);
INK_API int ink_dataset_label(const ink_dataset *dataset, size_t i);

/* ---------------------------------------------------------------- pictures */

/* A picture of 8 bits a value: 1 channel (grey) or 3 (RGB), rows from the top, tightly packed. pixels is freed
 * with free(). */
struct ink_picture {
    int width, height, channels;
    uint8_t *pixels;
};

/* Reads a PNG of any colour type and depth as grey; transparent parts lie on white. Refuses files over 64 MiB
 * and pictures over 16384 pixels a side. */
INK_API ink_status ink_picture_read_png(const char *path, struct ink_picture *picture);

/* Turns a grey picture of any size, dark on light or light on dark, into an image as MNIST has them: light ink on
 * black, the ink's bounding box scaled to fit shape less a border of a seventh (20x20 in 28x28) keeping its
 * proportions, its centre of mass in the middle. image holds height * width * channels bytes, the same value in
 * every channel. INK_ERROR_FORMAT if the picture is blank. */
INK_API ink_status ink_picture_to_image(const struct ink_picture *picture, struct ink_shape shape, uint8_t *image);

/* ------------------------------------------------------------------ models */

typedef enum ink_activation {
    INK_NONE,
    INK_RELU,       /* max(x, 0) */
    INK_LEAKY_RELU, /* x > 0 ? x : slope * x */
    INK_SIGMOID,    /* 1 / (1 + exp(-x)) */
    INK_TANH,
    INK_SOFTMAX,    /* over the channels of each pixel */
} ink_activation;

typedef enum ink_padding {
    INK_VALID,      /* none: only places where the whole filter lies inside */
    INK_SAME,       /* output size = ceil(input size / stride); the odd pixel goes to the bottom and right */
    INK_EXPLICIT,   /* pad_top, pad_bottom, pad_left, pad_right */
} ink_padding;

/* How weights start; biases start at 0. Glorot and Bengio 2010, He et al. 2015; fans count the filter's area. */
typedef enum ink_initialiser {
    INK_GLOROT_UNIFORM, /* +-sqrt(6 / (fan_in + fan_out)) */
    INK_GLOROT_NORMAL,  /* standard deviation sqrt(2 / (fan_in + fan_out)) */
    INK_HE_UNIFORM,     /* +-sqrt(6 / fan_in) */
    INK_HE_NORMAL,      /* standard deviation sqrt(2 / fan_in) */
} ink_initialiser;

/* One layer. op names it; a field that the op does not use must be zero.
 *
 *   op                    uses
 *   "conv"                units (filters), filter_*, stride_*, padding, pad_*, dilation_*, groups, no_bias, activation, initialiser
 *   "dense"               units, no_bias, activation, initialiser; a pixel grid is flattened first
 *   "max_pool"            filter_* (the window), stride_*, padding, pad_*; padding never wins, ties go to the first
 *   "average_pool"        the same; padding is not counted in the average
 *   "global_average_pool" nothing; gives 1 x 1 x channels
 *   "flatten"             nothing; gives 1 x 1 x (height * width * channels), in NHWC order
 *   "activation"          activation, slope
 *   "softmax"             nothing; over the channels of each pixel. activation = INK_SOFTMAX adds it as a layer
 *   "dropout"             rate; scales by 1 / (1 - rate) while training, does nothing after
 *   "batch_norm"          momentum, epsilon, activation; over batch, rows and columns (Ioffe and Szegedy 2015)
 *   "add"                 other; the sum of two outputs of the same shape; activation
 */
struct ink_layer {
    const char *op;
    const char *name;  /* NULL: op and a running number, for example "conv2" */
    const char *input; /* name of the layer that feeds it, or "input"; NULL: the layer before */
    const char *other; /* "add": the second layer that feeds it */
    int units;                    /* 1 to 65536 */
    int filter_height, filter_width;
    int stride_height, stride_width;     /* 0: 1, or the window for pooling */
    ink_padding padding;
    int pad_top, pad_bottom, pad_left, pad_right; /* below the dilated filter's size */
    int dilation_height, dilation_width; /* 0: 1 */
    int groups;                          /* 0: 1; divides input channels and units */
    bool no_bias;
    ink_activation activation;
    float slope;    /* leaky ReLU, wherever activation is used; 0: 0.01 */
    float rate;     /* dropout: share of values dropped, 0 <= rate < 1 */
    float momentum; /* batch norm: share of the old running statistics kept; 0: 0.9 */
    float epsilon;  /* batch norm; 0: 1e-5 */
    ink_initialiser initialiser;
};

/* Layers with weights, in host memory. */
typedef struct ink_model ink_model;

/* A model without layers for inputs of a shape. */
INK_API ink_status ink_model_create(struct ink_shape input, ink_model **model);

/* The reference model for inputs of a shape: three 3x3 convolutions with ReLU (32, 64, 64), 2x2 max pooling after
 * the first two, flatten, dense 64 with ReLU, dense to classes with softmax. */
INK_API ink_status ink_model_create_reference(struct ink_shape input, int classes, ink_model **model);

/* Reads a model's text form: a line "input HxWxC", then a line a layer (see the README); '#' starts a comment. */
INK_API ink_status ink_model_parse(const char *text, ink_model **model);
INK_API void ink_model_destroy(ink_model **model);

/* Appends a layer. Shapes are checked now; an error names the layer, and the model is as it was before. */
INK_API ink_status ink_model_add(ink_model *model, const struct ink_layer *layer);

/* The text form; ink_model_parse() reads it back to an equal model. */
INK_API const char *ink_model_text(ink_model *model);

INK_API struct ink_shape ink_model_input(const ink_model *model);
INK_API struct ink_shape ink_model_output(const ink_model *model);
/* Values of all weights and biases that training changes. */
INK_API size_t ink_model_parameter_count(const ink_model *model);

/* A layer as the model holds it, defaults filled in, for display. */
struct ink_layer_info {
    const char *op, *name;
    char detail[96];             /* for example "64 3x3 relu" */
    struct ink_shape output;
    size_t parameters;
    double flops;                /* floating-point operations of a forward pass of one sample, a multiply-add as 2 */
};
INK_API size_t ink_model_layer_count(const ink_model *model);
INK_API ink_status ink_model_layer(const ink_model *model, size_t i, struct ink_layer_info *info);

/* A tensor of the model: weights, biases, and batch norm's running statistics. data belongs to the model and may
 * be read and written between calls. */
struct ink_tensor {
    char name[80];       /* "<layer>.weights", ".bias", ".gamma", ".beta", ".mean", ".variance" */
    int rank;
    int dims[4];         /* conv: HWIO; dense: [inputs][units]; others [channels] */
    size_t count;
    float *data;
    bool trained;        /* false: a running statistic */
};
INK_API size_t ink_model_tensor_count(const ink_model *model);
INK_API ink_status ink_model_tensor(ink_model *model, size_t i, struct ink_tensor *tensor);

/* Draws every weight afresh from a seed: the same seed gives the same weights on every machine. */
INK_API ink_status ink_model_initialise(ink_model *model, uint64_t seed);

/* Safetensors, with the text form in the metadata. Written aside and renamed: a failed write leaves no file and
 * harms no older one. An existing file that is not a model is replaced only if force. */
INK_API ink_status ink_model_save(ink_model *model, const char *path, bool force);
INK_API ink_status ink_model_load(const char *path, ink_model **model);

/* -------------------------------------------------------------- processes */

/* Processes that were started together, by mpirun, to train one model together. Needs a build with MPI. */
typedef struct ink_group ink_group;

/* Makes this process one of those that it was started with; before anything that takes long, as the others wait for it. It can be
 * done once in a process. INK_ERROR_UNSUPPORTED in a build without MPI. */
INK_API ink_status ink_group_join(ink_group **group);

/* Waits for the others to leave too. NULL is allowed. */
INK_API void ink_group_leave(ink_group **group);

struct ink_group_info {
    int rank, size;             /* 0 <= rank < size; 0 is the one to speak and to save */
    int local_rank, local_size; /* among those on the same machine */
};
INK_API struct ink_group_info ink_group_get_info(const ink_group *group);

/* For a process that cannot go on, instead of or after ink_train(): the others' call of ink_train() fails with its message, which is what
 * ink_last_error() tells in all of them then, or, in the midst of training, all processes end at once, after it is printed on
 * standard error. Returns a failure that all know of already as it is. */
INK_API ink_status ink_group_fail(ink_group *group, ink_status status, const char *message);

/* ---------------------------------------------------------------- training */

/* Which algorithms a run takes where the options name none. Measured choices are kept in the cache folder ($INKLING_CACHE_DIR, else
 * $XDG_CACHE_HOME/inkling, else ~/.cache/inkling), a table for each device, driver and set of kernels. Algorithms round
 * differently: the same seed gives the same bits as long as the choices stay, and once made they do. */
typedef enum ink_tune {
    INK_TUNE_NONE,  /* guesses by device type; nothing on disk is looked at */
    INK_TUNE_KNOWN, /* what was measured before, else guesses */
    INK_TUNE_SHORT, /* training: measures first what is not known yet, within 5 % of the time that training is expected to take;
                       not at all where that is under a second. Elsewhere as INK_TUNE_KNOWN */
    INK_TUNE_FULL,  /* training: measures all that is not known yet, however long it takes. Elsewhere as INK_TUNE_KNOWN */
} ink_tune;

typedef enum ink_optimizer {
    INK_ADAM,   /* Kingma and Ba 2015 */
    INK_ADAMW,  /* Loshchilov and Hutter 2019: weight decay apart from the gradient */
    INK_SGD,    /* with momentum, and Nesterov's form if asked */
} ink_optimizer;

/* How the learning rate goes on from options' learning_rate. Names and formulas as in torch.optim.lr_scheduler; all but the
 * step and the plateau schedule change it from step to step. */
typedef enum ink_schedule {
    INK_SCHEDULE_CONSTANT,
    INK_SCHEDULE_STEP,      /* StepLR: times gamma after every step_size epochs */
    INK_SCHEDULE_COSINE,    /* CosineAnnealingLR: down to min_learning_rate along half a cosine, over the whole run */
    INK_SCHEDULE_ONE_CYCLE, /* OneCycleLR: from learning_rate / div_factor up to learning_rate in the first pct_start of the
                               run, then down to learning_rate / (div_factor * final_div_factor) */
    INK_SCHEDULE_PLATEAU,   /* ReduceLROnPlateau: times gamma, but not below min_learning_rate, after every plateau_epochs epochs
                               in a row in which what is monitored got no better */
} ink_schedule;

/* The shape of one-cycle's way up and down. */
typedef enum ink_anneal { INK_ANNEAL_COSINE, INK_ANNEAL_LINEAR } ink_anneal;

/* What early stopping and the plateau schedule go by: of the samples kept apart for validation if there are any, else of the test set
 * where one is given, else of the epoch's training. It got better if it beats the best so far by a ten thousandth of that. */
typedef enum ink_monitor { INK_MONITOR_LOSS, INK_MONITOR_ACCURACY } ink_monitor;

/* The order in which samples are trained on, drawn anew for each epoch. */
typedef enum ink_sampling {
    INK_SAMPLING_SHUFFLED,   /* any */
    INK_SAMPLING_STRATIFIED, /* each batch has the classes in their proportions, to within two samples of a class; which samples is random */
} ink_sampling;

/* How training images are distorted, anew in each epoch: on the device, by random numbers that seed, epoch and the sample's number in
 * the data set name, so that a sample is distorted the same in batches of any size. A zeroed struct distorts nothing. What is
 * asked for is done in this order: thickness, then shift to elastic as one move of each pixel, contrast, noise, erasing. Pixels that are
 * moved in from outside are 0, between pixels is interpolated linearly, and values count in [0, 1]. Test images and labels stay. */
struct ink_augmentation {
    double shift;           /* pixels, fractions too: down and across, each between -shift and shift; below 65536 */
    double rotate;          /* degrees: about the middle, between -rotate and rotate; below 360 */
    double scale;           /* share: larger or smaller by a factor between 1 - scale and 1 + scale; below 1 */
    double shear;           /* share: slanted, so that a row goes across by up to shear times its distance from the middle; below 10 */
    double elastic;         /* pixels: the root of the mean square of how far each pixel goes, down and across alone, in an elastic distortion
                               (Simard, Steinkraus and Platt 2003); below 65536 */
    double elastic_smoothness; /* pixels: what the standard deviation of their Gaussian filter is; 1 to 65536; 0: 4. Displacements are
                               drawn at control points sqrt(3) times as far apart and interpolated by cubic B-splines, whose bumps
                               have that deviation, as filtering every pixel's would take far longer */
    double thickness;       /* strokes thicker or thinner: a share between 0 and thickness of the way to the largest, or smallest, of the
                               3x3 pixels around each; 1 would be a pixel on each side; below 1 */
    double contrast;        /* values' distance from 0.5 is multiplied by 1 - contrast to 1 + contrast, and they stay in [0, 1]; below 1 */
    double noise;           /* standard deviation of what is added to each value, nearly normal (a sum of four uniform numbers); they
                               stay in [0, 1]; below 1 */
    double erase;           /* share of the area: a rectangle of up to that, and up to three times as wide as high or as high as wide,
                               is set to 0; below 1 */
};

/* What training takes of a device's memory, in bytes; OpenCL tells what there is, not what others have taken of it. */
struct ink_memory_plan {
    uint64_t available;     /* the device's memory, or device_memory where that is less */
    uint64_t weights;       /* weights, gradients, the optimizer's state, averages, running statistics */
    uint64_t activations;   /* of a batch, with their gradients and workspaces */
    uint64_t data;          /* images, or the buffers that they are sent through; labels, order, losses and predictions */
    bool streams_train, streams_test; /* these images are sent batch by batch */
    bool fits;              /* all of it does; else not even without the images */
    int batch;              /* samples of a step, the largest where they grow */
    int largest_batch;      /* up to that, which fits; 0: none */
};

/* A training that runs. */
typedef struct ink_trainer ink_training;

/* Where training stands; handed to the callback. */
struct ink_progress {
    int epoch, epochs;         /* epoch counts from 1 */
    size_t step, steps;        /* steps done in this epoch, of so many */
    size_t seen, samples;      /* samples done in this epoch, of so many */
    double loss, accuracy;     /* means over the samples of this epoch so far */
    double seconds;            /* since the epoch began; at its end, of its steps without the test */
    double learning_rate;      /* of the last step begun */
    bool epoch_end;            /* true in the one call that ends an epoch; then: */
    bool has_test;             /* a test set was given */
    double test_loss, test_accuracy;
    int best_epoch;            /* the epoch in which what is monitored was best so far */
    bool early;                /* patience is at its end: this epoch is the last */
    bool has_validation;       /* samples are kept apart; then at the end of an epoch: */
    double validation_loss, validation_accuracy;
    const struct ink_memory_plan *memory; /* what is taken of the device's memory; valid during the call */
    ink_training *training;    /* for ink_training_read() and ink_training_checkpoint(); valid during the call */
};

/* Called a few times a second and at the end of each epoch; the model's host tensors are current in the latter
 * only, or after ink_training_read(). Returns false to stop after the step that runs. */
typedef bool (*ink_progress_function)(const struct ink_progress *progress, void *user);

/* To be called from the callback. The first waits for the steps that are begun and copies the weights, their average where it is kept, and
 * the running statistics into the model. The second has a checkpoint written before the next step, into the folder that the options
 * name; behind the last step there is nothing to go on with, and none is. INK_ERROR_ARGUMENT in a group of processes, which would have to
 * call together, and without a folder for checkpoints. */
INK_API ink_status ink_training_read(ink_training *training);
INK_API ink_status ink_training_checkpoint(ink_training *training);

struct ink_train_options {
    int epochs;             /* 0: 5 */
    int batch;              /* 0: 128; samples a step */
    ink_optimizer optimizer;
    double learning_rate;   /* 0: 0.001 for Adam and AdamW, 0.01 for SGD */
    double momentum;        /* SGD; 0 means none */
    bool nesterov;          /* SGD */
    double beta1, beta2;    /* Adam, AdamW; 0: 0.9, 0.999 */
    double epsilon;         /* Adam, AdamW; 0: 1e-7, as Keras has it */
    double weight_decay;    /* AdamW: decoupled; SGD and Adam: added to the gradient; 0 means none */
    double label_smoothing; /* 0 <= s < 1: targets are (1 - s) * onehot + s / classes while training; the test loss is without */
    ink_schedule schedule;  /* 0: constant */
    int warmup;             /* steps in which the rate first goes up linearly: by i / (warmup + 1) in the i-th. The cosine and
                               one-cycle schedules begin behind them */
    int step_size;          /* step schedule, epochs; 0: a third of all epochs, rounded up */
    int plateau_epochs;     /* plateau schedule, that is PyTorch's patience + 1; 0: 2 */
    double gamma;           /* step and plateau schedules; 0 < gamma < 1; 0: 0.1 */
    double min_learning_rate; /* cosine and plateau schedules; at most learning_rate */
    double pct_start;       /* one-cycle, 0 < pct_start < 1; 0: 0.3 */
    double div_factor, final_div_factor; /* one-cycle, at least 1; 0: 25, 1e4 */
    ink_anneal anneal;      /* one-cycle */
    double clip_norm;       /* gradients whose norm over all weights together is above it are scaled down to it; 0: never */
    double ema;             /* keeps an average of the weights, a' = d a + (1 - d) w after each step, d being ema or, while it is less,
                               (1 + steps) / (10 + steps), steps counting this one. The average is what is tested and what the model gets; 0: none */
    ink_monitor monitor;
    int patience;           /* training ends after so many epochs in a row in which what is monitored got no better; 0: never */
    uint64_t seed;          /* order of samples and dropout; also the weights if initialise */
    bool initialise;        /* draw the weights from seed first */
    bool reproducible;      /* the same bits on every device whatever its kind, driver, threads and vectors: kernels that sum directly, in an
                               order that only model and batch decide, with arithmetic of which OpenCL leaves nothing open. Slower; algorithms
                               must be NULL, and tune does nothing. Schedules with a cosine and normal initialisers take the C library's
                               functions, which can differ between C libraries in the last bit */
    const char *algorithms; /* NULL: chosen for the device; else "op=name" with commas, for example "conv=im2col,dense=clblast" */
    ink_tune tune;          /* 0: INK_TUNE_NONE. What was chosen is told in the log */
    ink_progress_function progress; /* may be NULL */
    void *user;
    const char *checkpoints; /* folder for checkpoints, made if it is not there; NULL: none are written */
    int checkpoint_steps, checkpoint_epochs; /* one is written after each so many steps, and after each so many epochs; 0: not so */
    double checkpoint_minutes; /* and after so many minutes; 0: not so. All three 0: after each epoch */
    int keep;               /* the newest so many are kept; 0: 3 */
    const char *resume;     /* checkpoint to go on from, on the way to the same bits as if training had never ended; NULL: none.
                               initialise and tune do nothing then */
    /* what batches are made of */
    double validation;      /* 0 <= share < 1 of the training samples, of each class alike, that are kept apart from training for good; which
                               depends on the seed and the data, and on nothing else */
    ink_sampling sampling;
    int batch_to;           /* batch is doubled after every batch_every epochs until it is this, at least batch; 0: it stays */
    int batch_every;        /* 0: 1 */
    const char *class_weights; /* what the loss of a sample of each class is multiplied by in training, from 0 on: "1,2,0.5", or "balanced": in
                               inverse proportion to the class's samples that are trained on, 1 in the mean of them. A batch's loss is the
                               sum over its samples divided by the sum of their weights, as CrossEntropyLoss(weight=...) of PyTorch has it,
                               and so is the one told in struct ink_progress. Tests and validation go without. NULL: all alike */
    uint64_t device_memory; /* bytes of the device's memory to take at most; 0: all that it has. Where images do not fit, they are sent from
                               host memory batch by batch, beside the computing and to the same bits */
    /* distortion of training images */
    struct ink_augmentation augmentation;
    /* how a step is divided */
    ink_device *const *devices; /* [device_count], at most 64: to train on together, each on a share of every batch; NULL: the device of the call,
                               which else does nothing and may be NULL. All have weights and data of their own. The first leads: its weights
                               are those of the model and of checkpoints. A device that fails is left out, and told in the log; the others do
                               its part, and training goes on */
    size_t device_count;
    const double *shares;   /* [device_count], above 0: how a batch is divided, in proportion. NULL: by the speed of the devices, measured before
                               and while training runs. The same shares on the same devices give the same bits; measured ones differ
                               from run to run, and with them rounding does. Checkpoints keep them */
    ink_group *group;       /* processes that train together, all with the same model, data and options, each on one device of its own: batch is
                               divided evenly among them, so each needs memory for its part alone, and gradients are summed while the
                               backward pass goes on. Losses are those of one process but for rounding, and the same number of processes
                               with the same MPI library gives the same bits. Progress and results are the same in all; checkpoints
                               are written by the first. Nothing is measured for tuning. NULL: this process alone */
    int micro_batch;        /* samples that are worked on at once, at most batch: the gradients of so many after so many are summed, and
                               the weights then changed once for the whole batch. Memory is needed for micro_batch samples only, and the
                               result is that of the whole batch but for rounding, except in batch norm, whose statistics are of
                               micro_batch samples each; running ones take in each of them. 0: the whole batch, or, on
                               a single device where that does not fit, as many as fit, which is told in the log */
};

/* Over one data set. */
struct ink_metrics {
    size_t count, correct;
    double loss;            /* mean sparse categorical cross-entropy */
    double accuracy;        /* correct / count */
    double accuracy_low, accuracy_high; /* 95 % interval of Wilson 1927 */
};

/* Trains model on device over train, in an order drawn from the seed for each epoch; the last batch of an epoch may
 * be short. The model ends in the number of classes of the data set, with or without softmax; the loss is sparse
 * categorical cross-entropy. test may be NULL; metrics (may be NULL) is of the last epoch's evaluation on test.
 * *stopped (may be NULL): the callback stopped it; the model then has the weights of the last step. The same
 * seed, device and inputs give the same bits. INK_ERROR_SHAPE if the data does not fit the model. INK_ERROR_DIVERGED, naming step
 * and layer, if the loss, a gradient or a weight is no finite number; the model then has the weights of the last epoch that was
 * well. With checkpoints, a stop by the callback writes one too. A checkpoint that cannot be written is told in the log. Resuming,
 * model, data and the options that the result depends on must be those of the checkpoint: else INK_ERROR_ARGUMENT names what is
 * not. INK_ERROR_MEMORY, before any memory of the device is taken, if it has too little even with the images in host memory; the message
 * tells the largest batch that fits. */
INK_API ink_status ink_train(ink_model *model, ink_device *device, const ink_dataset *train, const ink_dataset *test,
                             const struct ink_train_options *options, bool *stopped, struct ink_metrics *metrics);

/* Tells what ink_train() would take, without taking it. test may be NULL. INK_OK also where it does not fit. */
INK_API ink_status ink_train_plan_memory(const ink_model *model, ink_device *device, const ink_dataset *train, const ink_dataset *test,
                                         const struct ink_train_options *options, struct ink_memory_plan *plan);

/* What training sees in an epoch (from 1) of some samples of a data set: images [count][height][width][channels], in [0, 1], made by the
 * kernels that training uses. samples: their numbers in the data set, in any order. INK_ERROR_ARGUMENT names a number or a field of
 * augmentation (NULL: nothing is distorted) that cannot be. */
INK_API ink_status ink_dataset_augment(const ink_dataset *dataset, ink_device *device, const struct ink_augmentation *augmentation,
                                       uint64_t seed, int epoch, const uint32_t *samples, size_t count, float *images);

/* What a checkpoint is of. */
struct ink_checkpoint_info {
    struct ink_train_options options; /* as they were given, but for devices, shares, strings, tune, callbacks and those of checkpoints */
    char algorithms[256];       /* "" where the options gave none */
    char shares[1664];          /* of the devices, with commas; "" where the options gave none */
    int epoch;                  /* that training is in, from 1 */
    size_t step;                /* steps done in it */
    size_t train_count, test_count; /* samples of the data sets; test_count 0: there was no test set */
    char class_weights[4096];   /* "" where the options gave none */
};

/* Reads a checkpoint: its model, with the weights at that moment (not their average), to train it on with ink_train(), and what
 * it is of. INK_ERROR_FORMAT if it is truncated, altered or something else; the message then names the whole one before it. */
INK_API ink_status ink_checkpoint_load(const char *path, ink_model **model, struct ink_checkpoint_info *info);

struct ink_evaluate_options {
    int batch;              /* 0: 128 */
    const char *algorithms; /* as for training */
    ink_tune tune;          /* 0: INK_TUNE_NONE */
};

/* Runs the model over a data set. probabilities (may be NULL): [count][classes], filled with softmax outputs, classes
 * being the channels of ink_model_output(). */
INK_API ink_status ink_evaluate(ink_model *model, ink_device *device, const ink_dataset *dataset,
                                const struct ink_evaluate_options *options, float *probabilities,
                                struct ink_metrics *metrics);

/* Classes of count images, [count][height][width][channels] bytes in the model's input shape.
 * probabilities: [count][classes]. For many calls on one model use ink_predictor. */
INK_API ink_status ink_predict(ink_model *model, ink_device *device, const uint8_t *images, size_t count,
                               float *probabilities);

/* A model made ready on a device: built once, then fast for every call. The model's weights are copied. */
typedef struct ink_predictor ink_predictor;

/* batch: images a launch, at most so many are run together; 0: 128. For single images give 1: what is small is then not shared out
 * among a CPU's cores, which would take longer than to do it, and ink_predictor_run() does not sleep while it waits for it. */
INK_API ink_status ink_predictor_create(ink_model *model, ink_device *device, int batch, ink_predictor **predictor);
INK_API void ink_predictor_destroy(ink_predictor **predictor);
INK_API ink_status ink_predictor_run(ink_predictor *predictor, const uint8_t *images, size_t count, float *probabilities);

/* --------------------------------------------------------------- measuring */

/* Many samples of one quantity, without those that were discarded. */
struct ink_spread {
    double median;
    double low, high;       /* quartiles: half of the samples lie between them */
};

/* How sound a measurement is. On CPUs the system sometimes keeps two of the driver's threads on one core, where kernels take
 * twice their time. Beside each sample that is looked for, with a kernel that spins on one core and then on all; samples
 * of such moments are discarded and counted. */
struct ink_samples {
    size_t kept, discarded;
    bool shared;            /* almost all were to be discarded, so all were kept: the device is busy with something else */
};

/* What a device can do at most, measured with kernels made for that. */
struct ink_device_speed {
    struct ink_spread flops;        /* fp32 operations a second, a multiply-add as 2 */
    int vector, accumulators;       /* floats in a vector, and independent sums of such vectors, that gave it */
    struct ink_spread cache_read;   /* bytes a second, of the size of data at which it is fastest */
    struct ink_spread cache_triad;  /* a = b + s * c: bytes of a, b and c a second, likewise */
    struct ink_spread memory_read;  /* of data too large for a cache */
    struct ink_spread memory_triad;
    size_t cache_bytes, memory_bytes; /* of data, for reading */
    struct ink_samples samples;
};

/* Measures a device for about so many seconds; 0: 3. INK_ERROR_ARGUMENT unless 0 <= seconds <= 3600. */
INK_API ink_status ink_device_measure(ink_device *device, double seconds, struct ink_device_speed *speed);

/* A kernel launch of a step. */
struct ink_launch_info {
    char label[80];             /* for example "conv2 forward direct" */
    char layer[64];             /* the layer it is for; "" where it is for none, as the loss and the optimizer */
    char algorithm[32];         /* "" where there is but one */
    struct ink_spread seconds;  /* that the device spends in it, in a chain of launches */
    double flops;               /* of the direct algorithm, whichever is taken, for the whole batch; a multiply-add as 2 */
    double bytes;               /* of every tensor it reads or writes, once; twice where it reads and writes one */
    size_t groups;              /* work-groups */
    bool constant;              /* reads nothing but weights: inference runs it when they change, not in every step */
    char (*stages)[80];         /* [stage_count]: labels of those that it does, where several were made one; else NULL. The profile's */
    size_t stage_count;
};

struct ink_profile_options {
    int batch;              /* 0: 128 */
    bool inference;         /* the forward pass and loss of an evaluation; else a training step */
    bool apart;             /* tell each kernel by itself, also where a step runs several as one launch, which takes less time than they do */
    double seconds;         /* to measure for, about, beside making ready; 0: 2; at most 3600 */
    const char *algorithms; /* as for training */
};

/* A step in its launches. */
struct ink_profile {
    struct ink_launch_info *launches; /* [count], in the order in which they run */
    size_t count;
    size_t enqueued;            /* what a step hands to the device: several launches in one, where that saves waking the device's cores */
    int batch;
    struct ink_spread step;     /* seconds of a step, one enqueued behind the other as training does it */
    struct ink_spread kernels;  /* seconds that the device spends in all launches of a step together, constant ones left out */
    struct ink_samples samples; /* of steps */
};

/* Makes the model ready for a batch on the device and measures a step launch by launch, over random images. The weights of
 * model are not changed. Free the profile with ink_profile_free(). */
INK_API ink_status ink_model_profile(ink_model *model, ink_device *device, const struct ink_profile_options *options, struct ink_profile *profile);
INK_API void ink_profile_free(struct ink_profile *profile);

/* Measures ink_predictor_run() for a whole batch of random images: seconds from images in host memory to probabilities in
 * host memory. options->inference and options->algorithms make no difference. */
INK_API ink_status ink_model_latency(ink_model *model, ink_device *device, const struct ink_profile_options *options, struct ink_spread *latency,
                                     struct ink_samples *samples);

/* A candidate for a pass of a layer. */
struct ink_tune_trial {
    char layer[64], pass[24];   /* for example "conv2", "backward_data" */
    bool training;              /* of a training step, else of inference */
    char algorithm[32];
    int variant;                /* its tile and the like; 0: its own guess */
    double seconds;             /* of the pass on a whole batch; 0: not timed */
    bool guess;                 /* what is taken without tuning */
    bool chosen;
    char reason[200];           /* why it is set aside; "" if it is not */
};

struct ink_tuning {
    struct ink_tune_trial *trials; /* [count]; those of a pass stand together */
    size_t count;
    size_t calls, chosen;       /* passes with more than one candidate, and how many of them have a choice */
    bool lost;                  /* a candidate did not return and was set aside. The device is lost to this process, which should end
                                   at once, destroying nothing of it; another one can go on */
};

struct ink_tune_options {
    int batch;                  /* 0: 128 */
    double seconds;             /* to measure for, at most; a candidate that is begun is finished. 0: until all is measured */
    bool full;                  /* forgets earlier results for the model's passes */
    /* Called before each candidate is tried; may be NULL. It may not be back for a while. */
    void (*progress)(const struct ink_tune_trial *trial, void *user);
    void *user;
};

/* Measures the algorithms of every pass of the model, in training and in inference, on random numbers, dearest first, and keeps
 * what it finds for INK_TUNE_KNOWN. Each candidate is checked against direct sums in double precision before it may win; one that does
 * not build, does not return or gives wrong numbers is set aside and not tried again. Every result is on disk before the next
 * candidate is tried, so a tuning that is ended goes on where it stood. Free it with ink_tuning_free(). */
INK_API ink_status ink_model_tune(ink_model *model, ink_device *device, const struct ink_tune_options *options, struct ink_tuning *tuning);
INK_API void ink_tuning_free(struct ink_tuning *tuning);

/* ----------------------------------------------------------- program cache */

/* Compiled programs are kept on disk, so that a second process need not compile them again: in
 * $INKLING_CACHE_DIR/programs, else $XDG_CACHE_HOME/inkling/programs, else $HOME/.cache/inkling/programs. They are found
 * again by all that shapes them: source, options, device, driver and platform. A file that is damaged, or that the driver
 * refuses, is removed and the program compiled as if it had not been there; a cache that cannot be read or written makes
 * nothing fail. Several processes may use it at once. Set before the first program is built:
 *
 *   INKLING_CACHE        "off": nothing is read or kept. "always": programs of every driver are kept. Else those of drivers
 *                        that keep compiled kernels themselves are left to them; PoCL does, in $POCL_CACHE_DIR.
 *   INKLING_CACHE_LIMIT  MiB that the files may take together, 256 unless set; the longest unused go first. */
typedef enum ink_cache_mode { INK_CACHE_AUTO, INK_CACHE_ALWAYS, INK_CACHE_OFF } ink_cache_mode;

struct ink_cache_info {
    ink_cache_mode mode;
    char path[4096];        /* the folder, which need not exist yet; "" where no variable tells one: then nothing is kept */
    size_t files;           /* programs in it */
    uint64_t bytes, limit;  /* what they take, and may take at most */
    /* of this process since its start */
    uint64_t hits;          /* programs that came out of the cache */
    uint64_t misses;        /* that were not there */
    uint64_t rebuilt;       /* that were there but damaged, of something else, or refused by the driver */
    uint64_t stored;
};

/* Looks through the folder. A folder that does not exist holds 0 files. INK_ERROR_FILE if it cannot be read. */
INK_API ink_status ink_cache_get_info(struct ink_cache_info *info);

struct ink_cache_check {
    size_t good, bad;       /* files; the bad ones have been removed */
};

/* Reads every file, compares its checksum and name with its content, and removes those that do not fit. INK_ERROR_FILE if
 * the folder cannot be read or a bad file not be removed. */
INK_API ink_status ink_cache_verify(struct ink_cache_check *check);

/* Removes every program, and what interrupted processes left beside them; other files stay. *removed (may be NULL): how
 * many files. INK_ERROR_FILE if one cannot be removed. */
INK_API ink_status ink_cache_clear(size_t *removed);

#ifdef __cplusplus
}
#endif
#endif
