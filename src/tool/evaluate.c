/* inkling evaluate: how good a model is on the test images: accuracy with its interval, the confusion matrix, and
 * precision, recall and F1 of each class. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common.h"
#include "text.h"

/* Of one class; NAN where nothing is divided: no image of the class, or none taken for it. */
struct score {
    uint64_t images;
    double precision; /* right / taken for the class */
    double recall;    /* right / of the class */
    double f1;        /* harmonic mean of the two */
};

/* matrix[label * classes + predicted]: images. */
static struct score score_class(const uint64_t *matrix, int classes, int class)
{
    uint64_t of_class = 0, taken = 0, right = matrix[class * classes + class];
    for (int i = 0; i < classes; i++) {
        of_class += matrix[class * classes + i];
        taken += matrix[i * classes + class];
    }
    return (struct score){
        .images = of_class,
        .precision = taken ? (double)right / (double)taken : NAN,
        .recall = of_class ? (double)right / (double)of_class : NAN,
        .f1 = taken + of_class ? 2 * (double)right / (double)(taken + of_class) : NAN,
    };
}

static uint64_t *count_confusions(const struct session *session)
{
    int classes = session->classes;
    uint64_t *matrix = calloc((size_t)classes * (size_t)classes, sizeof *matrix);
    if (!matrix) {
        complain("no memory for a confusion matrix of %d classes", classes);
        return NULL;
    }
    for (size_t i = 0; i < ink_dataset_count(session->test); i++) {
        int predicted = best_class(session->probabilities + i * (size_t)classes, classes);
        matrix[ink_dataset_label(session->test, i) * classes + predicted]++;
    }
    return matrix;
}

static void print_share(double share)
{
    if (isnan(share))
        printf("  %9s", "-");
    else
        printf("  %7.2f %%", 100 * share);
}

static void print_report(const struct session *session, const uint64_t *matrix)
{
    const struct ink_metrics *metrics = &session->metrics;
    int classes = session->classes;
    char line[128];
    text_accuracy(metrics, line, sizeof line);
    printf("\n%s%s%s\n", colour(COLOUR_BOLD), line, colour(COLOUR_OFF));
    printf("test loss %.4f, %s of %s images wrong\n", metrics->loss, text_count(metrics->count - metrics->correct).s,
           text_count(metrics->count).s);
    printf("\nconfusion matrix: a row a class, a column what it was taken for\n\n      ");
    for (int j = 0; j < classes; j++)
        printf(" %6d", j);
    printf("\n");
    for (int i = 0; i < classes; i++) {
        printf("%6d", i);
        for (int j = 0; j < classes; j++) {
            uint64_t n = matrix[i * classes + j];
            const char *shade = i == j ? colour(COLOUR_GREEN) : n ? colour(COLOUR_RED) : colour(COLOUR_DIM);
            printf(" %s%6s%s", shade, n ? text_count(n).s : ".", *shade ? colour(COLOUR_OFF) : "");
        }
        printf("\n");
    }
    printf("\n class  images  precision     recall         F1\n");
    for (int i = 0; i < classes; i++) {
        struct score score = score_class(matrix, classes, i);
        printf("%6d  %6s", i, text_count(score.images).s);
        print_share(score.precision);
        print_share(score.recall);
        print_share(score.f1);
        printf("\n");
    }
}

static int print_report_json(const struct settings *settings, const struct session *session, const uint64_t *matrix)
{
    const struct ink_metrics *metrics = &session->metrics;
    int classes = session->classes;
    struct json_object *root = json_object_new_object(), *interval = json_object_new_array();
    struct json_object *rows = json_object_new_array(), *list = json_object_new_array();
    json_object_object_add(root, "model", json_object_new_string(settings->operands[0]));
    json_object_object_add(root, "data", json_object_new_string(session->path));
    json_object_object_add(root, "device", json_object_new_string(ink_device_get_info(session->device)->name));
    json_object_object_add(root, "images", json_count(metrics->count));
    json_object_object_add(root, "correct", json_count(metrics->correct));
    json_object_object_add(root, "loss", json_real(metrics->loss));
    json_object_object_add(root, "accuracy", json_real(metrics->accuracy));
    json_object_array_add(interval, json_real(metrics->accuracy_low));
    json_object_array_add(interval, json_real(metrics->accuracy_high));
    json_object_object_add(root, "accuracy_interval_95", interval);
    for (int i = 0; i < classes; i++) {
        struct json_object *row = json_object_new_array(), *item = json_object_new_object();
        for (int j = 0; j < classes; j++)
            json_object_array_add(row, json_count(matrix[i * classes + j]));
        json_object_array_add(rows, row);
        struct score score = score_class(matrix, classes, i);
        json_object_object_add(item, "class", json_object_new_int(i));
        json_object_object_add(item, "images", json_count(score.images));
        json_object_object_add(item, "precision", json_real(score.precision));
        json_object_object_add(item, "recall", json_real(score.recall));
        json_object_object_add(item, "f1", json_real(score.f1));
        json_object_array_add(list, item);
    }
    json_object_object_add(root, "confusion", rows);
    json_object_object_add(root, "classes", list);
    return print_json(root);
}

static int run(const struct settings *settings)
{
    struct session session;
    uint64_t *matrix = NULL;
    int status = EXIT_FAILED;
    if (!session_open(settings, &session))
        return EXIT_FAILED;
    if (!settings->json) {
        print_data(session.path, NULL, session.test);
        print_device(session.device);
        fflush(stdout);
    }
    if (!session_evaluate(settings, &session) || !(matrix = count_confusions(&session)))
        goto done;
    status = EXIT_OK;
    if (settings->json)
        status = print_report_json(settings, &session, matrix);
    else
        print_report(&session, matrix);
done:
    free(matrix);
    session_close(&session);
    return status;
}

static const struct option options[] = {
    OPTION_OF_BATCH,
    OPTION_OF_DATA,
    OPTION_OF_DEVICE,
    OPTION_OF_LIMIT("use only the first N test images"),
    OPTION_OF_ALGORITHMS,
    OPTION_OF_JSON,
    OPTION_OF_HELP,
};

const struct command evaluate_command = {
    .name = "evaluate", .operands = "MODEL", .least = 1, .most = 1, .options = options, .run = run,
    .summary = "test a model: accuracy, confusion matrix, precision and recall of each class",
};
