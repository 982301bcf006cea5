/* The text form of a model: written and read back to the same, and every malformed line told by its number. */
#include <stdio.h>
#include <string.h>

#include "model/model.h"
#include "suite.h"

/* Every op and every key, in the form that ink_model_text() writes. */
static const char everything[] =
    "input 24x20x3\n"
    "conv 8 3x5 leaky_relu slope=0.2 stride=1x2 pad=same bias=no init=he_normal\n"
    "batch_norm relu momentum=0.12345679 epsilon=0.001\n"
    "wide: conv 8 3x3 tanh pad=3,1,2,0 dilation=2x1 groups=4 init=glorot_normal\n"
    "conv 8 3x3 from=batch_norm1 pad=3,1,2,0 dilation=2x1 init=he_uniform\n"
    "sum: add relu with=wide\n"
    "activation sigmoid\n"
    "add from=sum with=activation1\n"
    "max_pool 3x2 stride=2x2 pad=1,1,0,1\n"
    "average_pool 2x2 stride=1x1 pad=same\n"
    "dropout 0.25\n"
    "side: global_average_pool\n"
    "flatten from=dropout1\n"
    "dense 8 from=input bias=no\n"
    "add with=side\n"
    "dense 10\n"
    "softmax\n";

static void check_same_back(const char *text)
{
    ink_model *model = NULL, *again = NULL;
    ck_ok(ink_model_parse(text, &model));
    ck_ok(ink_model_parse(ink_model_text(model), &again));
    ck_assert_str_eq(ink_model_text(again), ink_model_text(model));
    ck_assert_int_eq(again->count, model->count);
    for (int i = 0; i < model->count; i++) {
        const struct ink_node *a = &model->nodes[i], *b = &again->nodes[i];
        ck_assert_str_eq(a->layer.name, b->layer.name);
        ck_assert(a->op == b->op && a->inputs[0] == b->inputs[0] && a->inputs[1] == b->inputs[1]);
        ck_assert(ink_shape_equal(a->out, b->out));
        /* the numbers of the layer, bit for bit; its strings are elsewhere in memory */
        struct ink_layer left = a->layer, right = b->layer;
        left.op = right.op = left.name = right.name = left.input = right.input = left.other = right.other = NULL;
        ck_assert_int_eq(left.units, right.units);
        ck_assert(left.slope == right.slope && left.rate == right.rate && left.momentum == right.momentum && left.epsilon == right.epsilon);
        ck_assert_mem_eq(&left.units, &right.units, offsetof(struct ink_layer, no_bias) - offsetof(struct ink_layer, units));
        ck_assert(left.no_bias == right.no_bias && left.activation == right.activation && left.initialiser == right.initialiser);
    }
    ink_model_destroy(&model);
    ink_model_destroy(&again);
}

START_TEST(everything_comes_back)
{
    ink_model *model = NULL;
    ck_ok(ink_model_parse(everything, &model));
    ck_assert_str_eq(ink_model_text(model), everything);
    ink_model_destroy(&model);
    check_same_back(everything);
    for (const struct ink_op *const *op = ink_ops; *op; op++)
        ck_assert_msg(strstr(everything, (*op)->name) != NULL, "%s", (*op)->name);
}
END_TEST

/* Forms that a person may write, and how the library writes them. */
static const struct { const char *given, *written; } forms[] = {
    {"input 5x6x7", "input 5x6x7\n"},
    {"# a comment\n\n  \t input 5x6x7 # and another\r\n\r\n", "input 5x6x7\n"},
    {"input 5x6x7\nconv1: conv 2 1x1", "input 5x6x7\nconv 2 1x1\n"}, /* the name it has anyway */
    {"input 5x6x7\nconv 2 relu 1x1 stride=1 dilation=1x1 groups=1 bias=yes pad=valid init=glorot_uniform", "input 5x6x7\nconv 2 1x1 relu\n"},
    {"input 5x6x7\nconv 2 3x3 pad=1 stride=2", "input 5x6x7\nconv 2 3x3 stride=2x2 pad=1,1,1,1\n"},
    {"input 5x6x7\nmax_pool 2x3 stride=2x3 from=input", "input 5x6x7\nmax_pool 2x3\n"},
    {"input 5x6x7\nmax_pool 2x3 stride=1", "input 5x6x7\nmax_pool 2x3 stride=1x1\n"},
    {"input 5x6x7\nactivation leaky_relu", "input 5x6x7\nactivation leaky_relu slope=0.01\n"},
    {"input 5x6x7\ndense 3 softmax", "input 5x6x7\ndense 3\nsoftmax\n"},
    {"input 5x6x7\nactivation softmax", "input 5x6x7\nsoftmax\n"},
    {"input 5x6x7\nlast: activation softmax", "input 5x6x7\nlast: softmax\n"},
    {"input 5x6x7\ndropout rate=0.5", "input 5x6x7\ndropout 0.5\n"},
    {"input 5x6x7\nbatch_norm", "input 5x6x7\nbatch_norm momentum=0.9 epsilon=1e-05\n"},
    {"input 5x6x7\nadd with=input", "input 5x6x7\nadd with=input\n"},
};

START_TEST(forms_are_read)
{
    ink_model *model = NULL;
    ck_ok(ink_model_parse(forms[_i].given, &model));
    ck_assert_str_eq(ink_model_text(model), forms[_i].written);
    ck_assert_ptr_eq(ink_model_text(model), ink_model_text(model));
    ink_model_destroy(&model);
    check_same_back(forms[_i].given);
}
END_TEST

START_TEST(text_follows_a_change)
{
    ink_model *model = NULL;
    ck_ok(ink_model_create((struct ink_shape){1, 2, 3}, &model));
    ck_assert_str_eq(ink_model_text(model), "input 1x2x3\n");
    ck_ok(ink_model_add(model, &(struct ink_layer){.op = "flatten"}));
    ck_assert_str_eq(ink_model_text(model), "input 1x2x3\nflatten\n");
    ink_model_destroy(&model);
}
END_TEST

START_TEST(reference_model_as_text)
{
    static const char text[] = "input 28x28x1\nconv 32 3x3 relu\nmax_pool 2x2\nconv 64 3x3 relu\nmax_pool 2x2\nconv 64 3x3 relu\n"
                               "flatten\ndense 64 relu\ndense 10 softmax\n";
    ink_model *reference = NULL, *parsed = NULL;
    ck_ok(ink_model_create_reference((struct ink_shape){28, 28, 1}, 10, &reference));
    ck_ok(ink_model_parse(text, &parsed));
    ck_assert_str_eq(ink_model_text(parsed), ink_model_text(reference));
    ink_model_destroy(&reference);
    ink_model_destroy(&parsed);
}
END_TEST

/* The second line of each is wrong, if not said otherwise; the message names the line and what it says. */
static const struct { const char *text; ink_status status; const char *line, *what; } malformed[] = {
    {"", INK_ERROR_FORMAT, "is empty", "for example 'input 28x28x1'"},
    {"# nothing\n\n", INK_ERROR_FORMAT, "is empty", "for example 'input 28x28x1'"},
    {"conv 3 3x3", INK_ERROR_FORMAT, "line 1:", "found 'conv 3'"},
    {"\n# here\ninputs 1x1x1", INK_ERROR_FORMAT, "line 3:", "found 'inputs 1x1x1'"},
    {"input", INK_ERROR_FORMAT, "line 1:", "for example 'input 28x28x1'"},
    {"input 28x28", INK_ERROR_FORMAT, "line 1:", "found 'input 28x28'"},
    {"input 28", INK_ERROR_FORMAT, "line 1:", "found 'input 28'"},
    {"input 28x28x1x1", INK_ERROR_FORMAT, "line 1:", "28x28x1x1"},
    {"input 28x28x1 3", INK_ERROR_FORMAT, "line 1:", "28x28x1"},
    {"input 28x28x", INK_ERROR_FORMAT, "line 1:", "28x28x"},
    {"input 28x-28x1", INK_ERROR_FORMAT, "line 1:", "28x-28x1"},
    {"input 4294967324x28x1", INK_ERROR_FORMAT, "line 1:", "4294967324"}, /* 28 in 32 bits */
    {"input 0x28x1", INK_ERROR_SHAPE, "line 1:", "must be 1 to 16384"},
    {"input 8x8x1\ninput 8x8x1", INK_ERROR_FORMAT, "line 2:", "8x8x1"},
    {"input 8x8x1\nfoo", INK_ERROR_ARGUMENT, "line 2:", "no op is called 'foo'"},
    {"input 8x8x1\nname:", INK_ERROR_FORMAT, "line 2:", "a name without an op"},
    {"input 8x8x1\n: flatten", INK_ERROR_ARGUMENT, "line 2:", "layer name ''"},
    {"input 8x8x1\na:b: flatten", INK_ERROR_ARGUMENT, "line 2:", "layer name 'a:b'"},
    {"input 8x8x1\nconv", INK_ERROR_SHAPE, "line 2:", "units"},
    {"input 8x8x1\nconv 3", INK_ERROR_SHAPE, "line 2:", "filter"},
    {"input 8x8x1\nconv -3 3x3", INK_ERROR_FORMAT, "line 2:", "'-3'"},
    {"input 8x8x1\nconv 99999999999 3x3", INK_ERROR_FORMAT, "line 2:", "'99999999999'"},
    {"input 8x8x1\nconv 3 3x", INK_ERROR_FORMAT, "line 2:", "'3x'"},
    {"input 8x8x1\nconv 3 3x3x3", INK_ERROR_FORMAT, "line 2:", "'3x3x3'"},
    {"input 8x8x1\nconv 3 x3", INK_ERROR_FORMAT, "line 2:", "'x3'"},
    {"input 8x8x1\nconv 3 1000000000000000000000000000000000x3", INK_ERROR_FORMAT, "line 2:", "'10000"},
    {"input 8x8x1\nconv 3 3x3 rellu", INK_ERROR_FORMAT, "line 2:", "'rellu' is not understood after 'conv'"},
    {"input 8x8x1\nconv 3 3x3 relu tanh", INK_ERROR_FORMAT, "line 2:", "'tanh'"},
    {"input 8x8x1\nconv 3 4 3x3", INK_ERROR_FORMAT, "line 2:", "'4'"},
    {"input 8x8x1\nconv 3 3x3 3x3", INK_ERROR_FORMAT, "line 2:", "'3x3'"},
    {"input 8x8x1\nconv 3 3x3 stride", INK_ERROR_FORMAT, "line 2:", "'stride'"},
    {"input 8x8x1\nconv 3 3x3 stride=", INK_ERROR_FORMAT, "line 2:", "'stride='"},
    {"input 8x8x1\nconv 3 3x3 stride=2x", INK_ERROR_FORMAT, "line 2:", "'stride=2x'"},
    {"input 8x8x1\nconv 3 3x3 stride=2 stride=2", INK_ERROR_FORMAT, "line 2:", "'stride' is given twice"},
    {"input 8x8x1\nconv 3 3x3 strides=2", INK_ERROR_FORMAT, "line 2:", "'strides=2'"},
    {"input 8x8x1\nconv 3 3x3 =2", INK_ERROR_FORMAT, "line 2:", "'=2'"},
    {"input 8x8x1\nconv 3 3x3 pad=", INK_ERROR_FORMAT, "line 2:", "'pad='"},
    {"input 8x8x1\nconv 3 3x3 pad=some", INK_ERROR_FORMAT, "line 2:", "'pad=some'"},
    {"input 8x8x1\nconv 3 3x3 pad=1,2", INK_ERROR_FORMAT, "line 2:", "'pad=1,2'"},
    {"input 8x8x1\nconv 3 3x3 pad=1,,1,1,1", INK_ERROR_FORMAT, "line 2:", "'pad=1,,1,1,1'"},
    {"input 8x8x1\nconv 3 3x3 pad=1,1,1,1,", INK_ERROR_FORMAT, "line 2:", "'pad=1,1,1,1,'"},
    {"input 8x8x1\nconv 3 3x3 pad=1,1,1,1,1", INK_ERROR_FORMAT, "line 2:", "'pad=1,1,1,1,1'"},
    {"input 8x8x1\nconv 3 3x3 pad=3", INK_ERROR_SHAPE, "line 2:", "padding"},
    {"input 8x8x1\nconv 3 3x3 bias=maybe", INK_ERROR_FORMAT, "line 2:", "'bias=maybe'"},
    {"input 8x8x1\nconv 3 3x3 init=zero", INK_ERROR_FORMAT, "line 2:", "'init=zero'"},
    {"input 8x8x1\nconv 3 3x3 from=", INK_ERROR_FORMAT, "line 2:", "'from='"},
    {"input 8x8x1\nconv 3 3x3 from=conv1", INK_ERROR_SHAPE, "line 2:", "'conv1'"},
    {"input 8x8x1\nconv 3 3x3 rate=0.5", INK_ERROR_SHAPE, "line 2:", "no use for a rate"},
    {"input 8x8x1\ndropout", INK_OK, NULL, NULL}, /* a rate of 0 is a rate */
    {"input 8x8x1\ndropout 1", INK_ERROR_SHAPE, "line 2:", "below 1"},
    {"input 8x8x1\ndropout 0.5.5", INK_ERROR_FORMAT, "line 2:", "'0.5.5'"},
    {"input 8x8x1\ndropout nan", INK_ERROR_FORMAT, "line 2:", "'nan'"},
    {"input 8x8x1\ndropout 0.5 0.5", INK_ERROR_FORMAT, "line 2:", "'0.5'"},
    {"input 8x8x1\nbatch_norm epsilon=inf", INK_ERROR_FORMAT, "line 2:", "'epsilon=inf'"},
    {"input 8x8x1\nadd", INK_ERROR_SHAPE, "line 2:", "second input"},
    {"input 8x8x1\nadd input", INK_ERROR_FORMAT, "line 2:", "'input'"},
    {"input 8x8x1\nflatten\nadd with=input", INK_ERROR_SHAPE, "line 3:", "8x8x1 from 'input'"},
};

START_TEST(malformed_lines_are_told)
{
    ink_model *model = NULL;
    if (!malformed[_i].status) {
        ck_ok(ink_model_parse(malformed[_i].text, &model));
        ink_model_destroy(&model);
        return;
    }
    ck_fails(ink_model_parse(malformed[_i].text, &model), malformed[_i].status, malformed[_i].line);
    ck_assert_msg(strstr(ink_last_error(), malformed[_i].what) != NULL, "\"%s\" lacks \"%s\"", ink_last_error(), malformed[_i].what);
    ck_assert_ptr_null(model);
}
END_TEST

START_TEST(long_lines_and_texts_are_refused)
{
    ink_model *model = NULL;
    static char text[20000];
    strcpy(text, "input 8x8x1\n#");
    memset(text + strlen(text), 'x', 511); /* 512 with the '#' */
    ck_fails(ink_model_parse(text, &model), INK_ERROR_FORMAT, "line 2: the line is longer than 511 characters");
    text[strlen(text) - 1] = 0;
    ck_ok(ink_model_parse(text, &model));
    ink_model_destroy(&model);
    memset(text, '\n', 8192);
    strcpy(text + 8192, "input 8x8x1");
    ck_fails(ink_model_parse(text, &model), INK_ERROR_FORMAT, "line 8193");
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof *(array))

int main(void)
{
    Suite *suite = suite_create("text");
    TCase *all = tcase_create("text");
    tcase_add_test(all, everything_comes_back);
    tcase_add_loop_test(all, forms_are_read, 0, COUNT(forms));
    tcase_add_test(all, text_follows_a_change);
    tcase_add_test(all, reference_model_as_text);
    tcase_add_loop_test(all, malformed_lines_are_told, 0, COUNT(malformed));
    tcase_add_test(all, long_lines_and_texts_are_refused);
    return run_case(suite, all);
}
