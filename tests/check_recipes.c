/* check_recipes.c - every recipe of the tree is read, opens its data and takes two steps.
 *
 * One row at a time, and a text of ours in place of the recipe's own, which may not be here. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "krait/train.h"

static int n_progress;

static void progress(void *user, const kr_train_progress *p) {
    (void)user;
    n_progress++;
    if (!isfinite(p->loss)) fail_msg("step %lld: the loss is not finite", (long long)p->step);
}

static bool is_text(const char *recipe) {
    json_t *j;
    assert_int_equal(kr_json_parse(&j, recipe, strlen(recipe), "recipe"), KR_OK);
    const char *kind = json_string_value(json_object_get(json_object_get(j, "data"), "kind"));
    bool text = !kind || strcmp(kind, "text") == 0;
    json_decref(j);
    return text;
}

/* Data of files that nobody may hand out with the recipe: they are there, or they are not. */
static bool has_files(const char *recipe) {
    json_t *j;
    kr_file_list list = {0};
    assert_int_equal(kr_json_parse(&j, recipe, strlen(recipe), "recipe"), KR_OK);
    const json_t *paths = json_object_get(json_object_get(j, "data"), "paths");
    const char *first = json_string_value(json_is_array(paths) ? json_array_get(paths, 0) : paths);
    bool there = !first || kr_dir_exists(first) || (kr_file_glob(&list, first) == KR_OK && list.n > 0);
    kr_file_list_free(&list);
    json_decref(j);
    return there;
}

static char *read_recipe(const char *path, const char *out) {
    char to[400], *text, *cut;
    const char *const overrides[] = {to, "train.steps=2", "train.minutes=0", "train.batch_size=1", "train.accumulate=1", "train.threads=1",
                                     "train.eval_every=0", "train.eval_batches=1", "train.sample_every=0", "train.log_every=1",
                                     "train.device=cpu", "train.dtype=float32",
                                     /* those of texts */
                                     "train.seq_len=128", "data.paths=" KRAIT_SOURCE_DIR "/CMakeLists.txt",
                                     "data.eval_paths=" KRAIT_SOURCE_DIR "/README.md",
                                     "data.tokenizer=", "data.end_token="}; /* bytes: a vocabulary is learnt first */
    enum { OF_TEXTS = 5 };
    int n = (int)(sizeof overrides / sizeof *overrides);
    snprintf(to, sizeof to, "train.out=%s", out);
    if (kr_recipe_read(&text, path, NULL, 0) != KR_OK) fail_msg("%s: %s", path, kr_error());
    if (kr_recipe_read(&cut, path, overrides, is_text(text) ? n : n - OF_TEXTS) != KR_OK) fail_msg("%s: %s", path, kr_error());
    kr_text_free(text);
    return cut;
}

static void try_recipe(const char *path, const char *out) {
    kr_train *t;
    char *recipe = read_recipe(path, out);
    kr_train_hooks hooks = {.progress = progress};
    n_progress = 0;
    if (!has_files(recipe)) {
        print_message("%s: its data are not here\n", path);
        kr_text_free(recipe);
        return;
    }
    if (kr_train_new(&t, recipe, false, &hooks) != KR_OK || kr_train_run(t) != KR_OK) fail_msg("%s: %s", path, kr_error());
    assert_int_equal(n_progress, 2);
    kr_train_free(t);
    kr_text_free(recipe);
}

/* A folder has recipe.json, and perhaps other recipes beside it. */
static void try_folder(const char *name, const char *out) {
    char folder[300], path[600];
    kr_file_list list = {0};
    snprintf(folder, sizeof folder, KRAIT_SOURCE_DIR "/recipes/%.100s", name);
    assert_int_equal(kr_dir_list(&list, folder, KR_LIST_FILES), KR_OK);
    for (size_t i = 0; i < list.n; i++) {
        size_t n = strlen(list.name[i]);
        if (n < 5 || strcmp(list.name[i] + n - 5, ".json") != 0) continue;
        snprintf(path, sizeof path, "%s/%.200s", out, list.name[i]);
        char *to = strdup(path);
        snprintf(path, sizeof path, "%s/%.200s", folder, list.name[i]);
        try_recipe(path, to);
        free(to);
    }
    kr_file_list_free(&list);
    snprintf(path, sizeof path, "%s/recipe.json", folder);
    if (!kr_file_exists(path)) fail_msg("%s is missing", path);
}

static void all_recipes(void **state) {
    char top[] = "/tmp/krait-recipes-XXXXXX", out[300];
    kr_file_list list = {0};
    (void)state;
    assert_non_null(mkdtemp(top));
    assert_int_equal(kr_dir_list(&list, KRAIT_SOURCE_DIR "/recipes", KR_LIST_DIRS), KR_OK);
    assert_true(list.n > 0);
    for (size_t i = 0; i < list.n; i++) {
        snprintf(out, sizeof out, "%s/%.100s", top, list.name[i]);
        try_folder(list.name[i], out);
    }
    kr_file_list_free(&list);
    assert_int_equal(kr_dir_remove(top), KR_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_recipes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
