/* set_test.c - what is held out: whole pictures, in tiles or not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "data/set.h"

enum { PICTURES = 20 };

/* Picture p has 1 + p % tiles tiles; 0.1 of the pictures are for testing, 0.2 held out. */
static void hold_out(int tiles) {
    kr_set set = {.each = 1};
    kr_source s = {.info.S = 4};
    kr_set_keys k = {.eval_fraction = 0.2, .test_fraction = 0.1, .hold_out = KR_HOLD_OUT_RANDOM};
    int pictures[KR_N_SPLIT] = {0};
    for (int p = 0; p < PICTURES; p++)
        for (int t = 0; t <= p % tiles; t++) {
            assert_non_null(kr_set_add(&set, 3, KR_SPLIT_TRAIN, p, -1, NULL));
            set.joins[set.n - 1] = t > 0;
        }
    assert_int_equal(kr_set_split(&s, &set, &k), KR_OK);
    for (int64_t i = 0; i < set.n; i++) {
        if (set.joins[i]) assert_int_equal(set.part[i], set.part[i - 1]);
        else pictures[set.part[i]]++;
    }
    assert_int_equal(pictures[KR_SPLIT_TRAIN], 14);
    assert_int_equal(pictures[KR_SPLIT_EVAL], 4);
    assert_int_equal(pictures[KR_SPLIT_TEST], 2);
    assert_int_equal(s.info.n_train + s.info.n_eval + s.info.n_test, set.n);
    kr_set_free(&set);
}

/* Ten folds of a tenth hold out every example once; what is to test and what is held out never meet. */
static void folds(void **state) {
    int eval[20] = {0}, test[20] = {0};
    (void)state;
    for (int fold = 0; fold < 10; fold++) {
        kr_source s = {.info = {.S = 4}};
        kr_set set = {.each = 1};
        kr_set_keys k = {.eval_fraction = fold % 2 ? 0.1 : 0.2, .test_fraction = 0.1, .fold = fold};
        for (int i = 0; i < 20; i++) assert_non_null(kr_set_add(&set, 1, KR_SPLIT_TRAIN, i, -1, NULL));
        assert_int_equal(kr_set_split(&s, &set, &k), KR_OK);
        assert_true(s.info.n_test == 2 && s.info.n_eval == (fold % 2 ? 2 : 4));
        for (int i = 0; i < 20; i++) eval[i] += set.part[i] == KR_SPLIT_EVAL, test[i] += set.part[i] == KR_SPLIT_TEST;
        kr_set_free(&set);
    }
    for (int i = 0; i < 20; i++) assert_true(test[i] == 1 && eval[i] >= 1);
}

static void class_of_path(void **state) {
    static const struct { const char *path; int by; const char *class; } is[] = {
        {"train/cat/7.png", KR_SET_BY_FOLDER, "cat"}, {"cat/7.png", KR_SET_BY_FOLDER, "cat"}, {"/cat/7.png", KR_SET_BY_FOLDER, "cat"},
        {"7.png", KR_SET_BY_FOLDER, NULL}, {"/7.png", KR_SET_BY_FOLDER, NULL},
        {"train/dog_7.png", KR_SET_BY_NAME, "dog"}, {"dog-7.png", KR_SET_BY_NAME, "dog"}, {"a/dog", KR_SET_BY_NAME, "dog"}, {"a/.png", KR_SET_BY_NAME, NULL}};
    kr_set set = {.each = 1};
    (void)state;
    for (size_t i = 0; i < sizeof is / sizeof *is; i++) {
        int32_t class = kr_set_class_of_path(&set, is[i].path, is[i].by);
        if (is[i].class) assert_true(class >= 0 && strcmp(set.classes.name[class], is[i].class) == 0);
        else assert_int_equal(class, -1);
    }
    assert_int_equal(set.classes.n, 2);
    kr_set_free(&set);
}

/* As when somebody asks for a column of names: each is found without looking through all. */
static void many_classes(void **state) {
    enum { N = 100000 };
    kr_set set = {.each = 1};
    char name[20];
    (void)state;
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < N; i++) {
            snprintf(name, sizeof name, "c%d", (int)((int64_t)i * 7919 % N));
            int32_t class = kr_set_class(&set, name);
            assert_int_equal(class, i);
            if (!round) assert_non_null(kr_set_add(&set, 1, KR_SPLIT_TRAIN, i, class, NULL));
        }
    assert_int_equal(kr_set_sort_classes(&set), KR_OK);
    for (int64_t i = 0; i < N; i += 97) {
        snprintf(name, sizeof name, "c%d", (int)(i * 7919 % N));
        assert_string_equal(set.classes.name[set.label[i]], name);
        assert_int_equal(kr_set_class(&set, name), set.label[i]);
    }
    for (int64_t i = 1; i < N; i++) assert_true(strcmp(set.classes.name[i - 1], set.classes.name[i]) < 0);
    set.classes_fixed = true;
    assert_int_equal(kr_set_class(&set, "none"), -1);
    kr_set_free(&set);
}

static void whole(void **state) { (void)state, hold_out(1); }
static void in_tiles(void **state) { (void)state, hold_out(5); }

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(whole), cmocka_unit_test(in_tiles), cmocka_unit_test(folds), cmocka_unit_test(class_of_path), cmocka_unit_test(many_classes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
