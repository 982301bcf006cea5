/* Batches on the command line; see batches.h. */
#include "batches.h"

#include <stdio.h>

#include "text.h"

bool check_batches(const struct settings *settings)
{
    if (settings->batch_to && settings->batch_to < settings->batch) {
        complain("--batch-to is %s, below the batch of %s that it is to grow from; choose a larger one, or a smaller --batch",
                 text_count(settings->batch_to).s, text_count(settings->batch).s);
        return false;
    }
    if (settings->batch_every && !settings->batch_to) {
        complain("--batch-every needs --batch-to, the size to grow to, for example --batch-to 512");
        return false;
    }
    return true;
}

void set_batches(const struct settings *settings, struct ink_train_options *options)
{
    static const uint64_t mebi = 1 << 20;
    options->validation = settings->validation;
    options->sampling = (ink_sampling)settings->sampling;
    options->batch_to = (int)settings->batch_to;
    options->batch_every = (int)settings->batch_every;
    options->class_weights = settings->class_weights;
    options->device_memory = settings->device_memory * mebi;
}

void print_memory(const struct ink_memory_plan *p, bool limited)
{
    bool sends = p->streams_train || p->streams_test;
    if (!sends && !limited)
        return;
    printf("memory  %s of %s: weights %s, a batch of %s %s, data %s%s%s%s\n", text_bytes(p->weights + p->activations + p->data).s,
           text_bytes(p->available).s, text_bytes(p->weights).s, text_count((uint64_t)p->batch).s, text_bytes(p->activations).s,
           text_bytes(p->data).s, sends ? "; sent batch by batch: " : "", p->streams_train ? "training images" : sends ? "test images" : "",
           p->streams_train && p->streams_test ? " and test images" : "");
    fflush(stdout);
}
