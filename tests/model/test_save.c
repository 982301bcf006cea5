/* Models on disk: what is saved comes back byte for byte, and a file that is not right is told and loads nothing. */
#include <stdio.h>
#include <string.h>

#include "model/model.h"
#include "model/safetensors.h"
#include "scratch.h"
#include "suite.h"
#include "util/file.h"

static const char text[] = "input 6x6x2\nconv 3 3x3 relu\nbatch_norm\ndense 4\n";

static ink_model *create(void)
{
    ink_model *model = NULL;
    ck_ok(ink_model_parse(text, &model));
    ck_ok(ink_model_initialise(model, 5));
    for (size_t i = 0; i < model->state_count; i++)
        model->state[i] = (float)i + 0.125f; /* what training would leave */
    return model;
}

START_TEST(saved_models_come_back)
{
    ink_model *model = create(), *loaded = NULL;
    unsigned char *first, *second;
    size_t first_size, second_size;
    ck_ok(ink_model_save(model, scratch_path("a.safetensors"), false));
    ck_ok(ink_model_load(scratch_path("a.safetensors"), &loaded));
    ck_assert_str_eq(ink_model_text(loaded), ink_model_text(model));
    ck_assert_uint_eq(loaded->trained_count, model->trained_count);
    ck_assert_uint_eq(loaded->state_count, 6);
    ck_assert_mem_eq(loaded->trained, model->trained, model->trained_count * sizeof(float));
    ck_assert_mem_eq(loaded->state, model->state, model->state_count * sizeof(float));
    ck_ok(ink_model_save(loaded, scratch_path("b.safetensors"), false));
    ck_ok(ink_file_read(scratch_path("a.safetensors"), 1 << 20, &first, &first_size));
    ck_ok(ink_file_read(scratch_path("b.safetensors"), 1 << 20, &second, &second_size));
    ck_assert_uint_eq(first_size, second_size);
    ck_assert_mem_eq(first, second, first_size);
    free(first);
    free(second);
    ink_model_destroy(&model);
    ink_model_destroy(&loaded);
}
END_TEST

START_TEST(model_without_tensors_is_a_model)
{
    ink_model *model = NULL, *loaded = NULL;
    ck_ok(ink_model_parse("input 2x2x3\nflatten\n", &model));
    ck_ok(ink_model_save(model, scratch_path("empty.safetensors"), false));
    ck_ok(ink_model_load(scratch_path("empty.safetensors"), &loaded));
    ck_assert_str_eq(ink_model_text(loaded), "input 2x2x3\nflatten\n");
    ck_ok(ink_model_save(model, scratch_path("empty.safetensors"), false)); /* it replaces itself */
    ink_model_destroy(&model);
    ink_model_destroy(&loaded);
}
END_TEST

START_TEST(only_models_are_replaced)
{
    ink_model *model = create();
    const char *path = scratch_path("letter.txt");
    unsigned char *bytes;
    size_t size;
    scratch_write(path, "Dear reader", 11);
    int files = scratch_count(scratch_folder);
    ck_fails(ink_model_save(model, path, false), INK_ERROR_FILE, "letter.txt: exists and is not a model");
    ck_assert_ptr_nonnull(strstr(ink_last_error(), "--force"));
    ck_ok(ink_file_read(path, 100, &bytes, &size));
    ck_assert_uint_eq(size, 11);
    ck_assert_mem_eq(bytes, "Dear reader", 11);
    free(bytes);
    ck_assert_int_eq(scratch_count(scratch_folder), files); /* and nothing is left beside it */
    ck_ok(ink_model_save(model, path, true));
    ck_ok(ink_model_save(model, path, false)); /* now it is one */

    /* weights of something else, in the same container */
    static const float one = 1;
    const struct ink_safetensors_entry entry = {.name = "theirs", .data = &one};
    ck_ok(ink_safetensors_write(&entry, 1, NULL, 0, &bytes, &size));
    scratch_write(scratch_path("theirs.safetensors"), bytes, size);
    free(bytes);
    ck_fails(ink_model_save(model, scratch_path("theirs.safetensors"), false), INK_ERROR_FILE, "is not a model");
    ink_model_destroy(&model);
}
END_TEST

START_TEST(bad_places_are_told_and_left_clean)
{
    ink_model *model = create();
    ck_fails(ink_model_save(model, scratch_path("absent/m.safetensors"), false), INK_ERROR_FILE, "absent/m.safetensors: cannot be written");
    ck_assert_int_eq(mkdir(scratch_path("folder"), 0777), 0);
    int files = scratch_count(scratch_folder);
    ck_fails(ink_model_save(model, scratch_path("folder"), false), INK_ERROR_FILE, "is a folder");
    ck_fails(ink_model_save(model, scratch_path("folder"), true), INK_ERROR_FILE, "is a folder");
    ck_assert_int_eq(scratch_count(scratch_folder), files);
    ck_assert_int_eq(scratch_count(scratch_path("folder")), 0);
    if (access("/dev/full", W_OK) == 0)
        ck_fails(ink_model_save(model, "/dev/full", true), INK_ERROR_FILE, "/dev/full: cannot be written: ");
    ink_model_destroy(&model);
}
END_TEST

/* Files that are not the model their text says: made from a good one's entries by a change. */
enum change { MISSING, MANY, DIMS, RANK, NO_TEXT, BAD_TEXT, BAD_INPUT, OTHER_LAYERS, TYPE, CHANGES };
static const struct { ink_status status; const char *what; } told[CHANGES] = {
    [MISSING] = {INK_ERROR_FORMAT, "tensor 'batch_norm1.mean' is missing"},
    [MANY] = {INK_ERROR_FORMAT, "has 9 tensors, and the model's text asks for 8"},
    [DIMS] = {INK_ERROR_FORMAT, "tensor 'dense1.weights' is 4x48, and the model's text asks for 48x4"},
    [RANK] = {INK_ERROR_FORMAT, "tensor 'conv1.bias' is 3x1, and the model's text asks for 3"},
    [NO_TEXT] = {INK_ERROR_FORMAT, "without 'inkling.model' in its metadata"},
    [BAD_TEXT] = {INK_ERROR_ARGUMENT, "metadata 'inkling.model': model text, line 2: no op is called 'cnov'"},
    [BAD_INPUT] = {INK_ERROR_FORMAT, "metadata 'inkling.model': the model text is empty"},
    [OTHER_LAYERS] = {INK_ERROR_FORMAT, "tensor 'conv2.weights' is missing"},
    [TYPE] = {INK_ERROR_UNSUPPORTED, "I32"},
};

START_TEST(files_that_do_not_fit_are_told)
{
    const enum change change = (enum change)_i;
    ink_model *model = create(), *loaded = NULL;
    struct ink_safetensors_entry entries[10] = {0};
    struct ink_tensor tensors[8];
    struct ink_safetensors_text texts[] = {{"inkling.model", text}, {"more", "is no harm"}};
    size_t count = 0, size;
    static const float values[192];
    unsigned char *bytes;
    ck_assert_uint_eq(ink_model_tensor_count(model), 8);
    for (size_t i = 0; i < 8; i++) {
        ck_ok(ink_model_tensor(model, i, &tensors[i]));
        if (change == MISSING && strcmp(tensors[i].name, "batch_norm1.mean") == 0)
            continue;
        entries[count] = (struct ink_safetensors_entry){.name = tensors[i].name, .rank = tensors[i].rank, .data = tensors[i].data};
        for (int d = 0; d < tensors[i].rank; d++)
            entries[count].dims[d] = (size_t)tensors[i].dims[d];
        if (change == DIMS && strcmp(tensors[i].name, "dense1.weights") == 0) {
            entries[count].dims[0] = 4;
            entries[count].dims[1] = 48;
        }
        if (change == RANK && strcmp(tensors[i].name, "conv1.bias") == 0) {
            entries[count].rank = 2;
            entries[count].dims[1] = 1;
        }
        count++;
    }
    if (change == MANY)
        entries[count++] = (struct ink_safetensors_entry){.name = "dense2.weights", .rank = 1, .dims = {192}, .data = values};
    texts[0].value = change == BAD_TEXT ? "input 6x6x2\ncnov 3 3x3\n" : change == BAD_INPUT ? "# nothing\n"
                     : change == OTHER_LAYERS ? "input 6x6x2\nconv 3 3x3 relu\nbatch_norm\ndense 4\nconv 1 1x1\n" : text;
    ck_ok(ink_safetensors_write(entries, count, change == NO_TEXT ? texts + 1 : texts, change == NO_TEXT ? 1 : 2, &bytes, &size));
    if (change == TYPE) { /* the first "F32" of the header */
        unsigned char *at = bytes + 8;
        while (memcmp(at, "F32", 3) != 0)
            at++;
        *at = 'I';
    }
    scratch_write(scratch_path("m.safetensors"), bytes, size);
    free(bytes);
    ck_fails(ink_model_load(scratch_path("m.safetensors"), &loaded), told[change].status, told[change].what);
    ck_assert_msg(strstr(ink_last_error(), "m.safetensors: ") != NULL, "%s", ink_last_error());
    ck_assert_ptr_null(loaded);
    ink_model_destroy(&model);
}
END_TEST

START_TEST(files_that_are_none_are_told)
{
    ink_model *loaded = NULL;
    ck_fails(ink_model_load(scratch_path("absent"), &loaded), INK_ERROR_FILE, "absent: cannot be opened");
    scratch_write(scratch_path("short"), "abc", 3);
    ck_fails(ink_model_load(scratch_path("short"), &loaded), INK_ERROR_FORMAT, "short: ");
    ck_fails(ink_model_load(scratch_folder, &loaded), INK_ERROR_FILE, "is a folder");
    ck_assert_ptr_null(loaded);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("save");
    TCase *all = tcase_create("save");
    tcase_add_test(all, saved_models_come_back);
    tcase_add_test(all, model_without_tensors_is_a_model);
    tcase_add_test(all, only_models_are_replaced);
    tcase_add_test(all, bad_places_are_told_and_left_clean);
    tcase_add_loop_test(all, files_that_do_not_fit_are_told, 0, CHANGES);
    tcase_add_test(all, files_that_are_none_are_told);
    return run_case(suite, all);
}
