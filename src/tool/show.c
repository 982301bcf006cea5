/* inkling show: a PNG with test images and what a model takes them for, drawn at random or the worst mistakes; or, with
 * --augment, of training images as they are distorted. */
#include <libgen.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "augment.h"
#include "common.h"
#include "grid.h"
#include "output.h"
#include "surface.h"
#include "text.h"

/* A test image that may be shown. */
struct choice {
    size_t index;
    uint64_t order; /* drawn from the seed */
    double loss;
};

/* The images with the lowest values of hash_of() are a fair draw without an order of draws to keep. */

static int by_order(const void *a, const void *b)
{
    const struct choice *one = a, *two = b;
    return one->order < two->order ? -1 : one->order > two->order;
}

static int by_loss(const void *a, const void *b)
{
    const struct choice *one = a, *two = b;
    if (one->loss != two->loss)
        return one->loss > two->loss ? -1 : 1;
    return one->index < two->index ? -1 : one->index > two->index;
}

static int by_index(const void *a, const void *b)
{
    const struct choice *one = a, *two = b;
    return one->index < two->index ? -1 : one->index > two->index;
}

/* Puts the images that may be shown, best first, into choices; returns how many. */
static size_t choose(const struct settings *settings, const struct session *session, struct choice *choices)
{
    size_t count = ink_dataset_count(session->test), found = 0;
    for (size_t i = 0; i < count; i++) {
        const float *probabilities = session->probabilities + i * (size_t)session->classes;
        int label = ink_dataset_label(session->test, i);
        if (settings->wrong && best_class(probabilities, session->classes) == label)
            continue;
        choices[found++] = (struct choice){i, hash_of(settings->seed, i), -log(fmax((double)probabilities[label], 1e-38))};
    }
    qsort(choices, found, sizeof *choices, settings->wrong ? by_loss : by_order);
    return found;
}

/* Draws the page; session has been evaluated. */
static bool draw(const struct settings *settings, const struct session *session)
{
    struct choice *choices = calloc(ink_dataset_count(session->test), sizeof *choices);
    struct grid_item *items = calloc((size_t)settings->count, sizeof *items);
    bool done = false;
    if (!choices || !items) {
        complain("no memory to choose among %s images", text_count(ink_dataset_count(session->test)).s);
        goto done;
    }
    size_t found = choose(settings, session, choices), shown = found < settings->count ? found : (size_t)settings->count;
    if (!settings->wrong)
        qsort(choices, shown, sizeof *choices, by_index);
    for (size_t i = 0; i < shown; i++) {
        const float *probabilities = session->probabilities + choices[i].index * (size_t)session->classes;
        int predicted = best_class(probabilities, session->classes);
        items[i] = (struct grid_item){ink_dataset_image(session->test, choices[i].index),
                                      ink_dataset_label(session->test, choices[i].index), predicted,
                                      (double)probabilities[predicted]};
    }
    const struct ink_metrics *metrics = &session->metrics;
    char name[256], title[512], subtitle[256];
    snprintf(name, sizeof name, "%s", settings->operands[0]);
    snprintf(title, sizeof title, "%s: %.2f %% of %s test images right", basename(name), 100 * metrics->accuracy,
             text_count(metrics->count).s);
    if (!settings->wrong)
        snprintf(subtitle, sizeof subtitle, "%s of them, drawn at random (seed %llu), with prediction and probability",
                 text_count(shown).s, (unsigned long long)settings->seed);
    else if (found == 0)
        snprintf(subtitle, sizeof subtitle, "There are no mistakes to show.");
    else
        snprintf(subtitle, sizeof subtitle, "%s%s of %s mistakes, worst first, with prediction, true label and probability",
                 shown < found ? "The first " : "All ", text_count(shown).s, text_count(found).s);
    struct grid grid = {title, subtitle, ink_dataset_shape(session->test), items, (int)shown};
    done = grid_write_png(&grid, settings->out);
    if (done)
        printf("drew %s image%s in %s\n", text_count(shown).s, shown == 1 ? "" : "s", settings->out);
done:
    free(choices);
    free(items);
    return done;
}

static int run(const struct settings *settings)
{
    struct session session;
    if (!check_show_augmented(settings))
        return EXIT_USAGE;
    if (settings->augment)
        return show_augmented(settings);
    if (!output_is_possible(settings->out, settings->force, "a PNG picture", surface_is_png) || !session_open(settings, &session))
        return EXIT_FAILED;
    print_data(session.path, NULL, session.test);
    print_device(session.device);
    fflush(stdout);
    bool done = session_evaluate(settings, &session);
    if (done) {
        char line[128];
        text_accuracy(&session.metrics, line, sizeof line);
        printf("%s\n", line);
        done = draw(settings, &session);
    }
    session_close(&session);
    return done ? EXIT_OK : EXIT_FAILED;
}

static const struct option options[] = {
    {OPTION_TEXT, FIELD(out), "out", 'o', "FILE", 0, 0, 0, 0, "inkling.png", "the PNG to draw"},
    {OPTION_FLAG, FIELD(wrong), "wrong", 'w', NULL, 0, 0, 0, 0, NULL, "show the mistakes, worst first"},
    {OPTION_FLAG, FIELD(augment), "augment", 0, NULL, 0, 0, 0, 0, NULL,
     "show training images, and what training with the distortions below sees of each in its first epochs"},
    {OPTION_WHOLE, FIELD(count), "count", 'n', "N", 1, 1000, 0, 0, "50", "how many images; with --augment in whole rows"},
    {OPTION_WHOLE, FIELD(seed), "seed", 's', "N", 0, UINT64_MAX, 0, 0, "1", "which images are drawn at random; of training, for --augment"},
    OPTIONS_OF_AUGMENTATION,
    OPTION_OF_BATCH,
    OPTION_OF_DATA,
    OPTION_OF_DEVICE,
    OPTION_OF_LIMIT("use only the first N test images"),
    OPTION_OF_FORCE("replace FILE even if it is not a PNG"),
    OPTION_OF_HELP,
};

const struct command show_command = {
    .name = "show", .operands = "[MODEL]", .least = 0, .most = 1, .options = options, .run = run,
    .summary = "draw test images with what the model takes them for, or training images distorted",
};
