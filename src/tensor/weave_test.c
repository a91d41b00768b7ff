/* weave_test.c - a woven matrix has every byte of the plain one, each where it is said to be, and its numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "tensor/quant.h"
#include "tensor/weave.h"

static const kr_dtype types[] = {KR_Q8_0, KR_Q4_0, KR_Q4_K, KR_Q6_K, KR_F32, KR_BF16, KR_F16};
static kr_rng rng = {.seed = 3};

typedef struct pair { size_t bytes; int64_t rows, width; kr_dtype type; uint8_t *plain, *woven; } pair;

static pair make(kr_dtype type, int64_t rows, int64_t width) {
    pair m = {kr_dtype_row_bytes(type, rows * width), rows, width, type, NULL, NULL};
    float *x = malloc((size_t)(rows * width) * sizeof *x);
    for (int64_t i = 0; i < rows * width; i++) x[i] = (float)kr_rng_normal(&rng);
    m.plain = malloc(m.bytes), m.woven = malloc(m.bytes);
    kr_convert(m.plain, type, x, KR_F32, rows * width);
    memcpy(m.woven, m.plain, m.bytes);
    assert_int_equal(kr_weave(m.woven, type, rows, width), KR_OK);
    free(x);
    return m;
}
static void drop(pair *m) { free(m->plain), free(m->woven); }

static void each_matrix(void (*check)(const pair *m)) {
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (int64_t rows = 1; rows < 52; rows += rows % 16 == 15 || rows % 16 == 0 ? 1 : 7)
            for (int64_t blocks = 1; blocks < 4; blocks++) {
                pair m = make(types[t], rows, blocks * (kr_dtype_block(types[t]) > 1 ? kr_dtype_block(types[t]) : 6));
                check(&m);
                drop(&m);
            }
}

static void every_byte(const pair *m) {
    bool *seen = calloc(m->bytes, sizeof *seen);
    for (size_t i = 0; i < m->bytes; i++) {
        size_t at = kr_woven_at(m->type, m->rows, m->width, i);
        assert_true(at < m->bytes && !seen[at]);
        assert_int_equal(m->woven[at], m->plain[i]);
        seen[at] = true;
    }
    free(seen);
}

static void all_numbers(const pair *m) {
    int64_t n = m->rows * m->width;
    float *want = malloc((size_t)n * sizeof *want), *have = malloc((size_t)n * sizeof *have);
    kr_convert(want, KR_F32, m->plain, m->type, n);
    for (int64_t r = 0; r < m->rows; r++) kr_unweave(have + r * m->width, m->woven, kr_woven(m->type, m->width), m->rows, m->width, r * m->width, m->width);
    assert_memory_equal(want, have, (size_t)n * sizeof *want);
    for (int64_t i = 0; i < n; i += 37) assert_true(kr_woven_number(m->woven, kr_woven(m->type, m->width), m->rows, m->width, i) == want[i]);
    free(want), free(have);
}

/* Lane by lane a row: the first word of a strip's rows stands together, in the order of the rows. */
static void lanes_are_rows(const pair *m) {
    size_t first = m->type == KR_Q8_0 || m->type == KR_Q4_0 ? 2 : 0, ld = kr_dtype_row_bytes(m->type, m->width);
    for (size_t r = 0; (int64_t)r < m->rows / KR_STRIP * KR_STRIP; r++)
        assert_memory_equal(m->woven + r / KR_STRIP * KR_STRIP * ld + first * KR_STRIP + r % KR_STRIP * 4, m->plain + r * ld + first, 4);
}

static void has_every_byte(void **state) { (void)state, each_matrix(every_byte); }
static void has_its_numbers(void **state) { (void)state, each_matrix(all_numbers); }
static void has_rows_in_lanes(void **state) { (void)state, each_matrix(lanes_are_rows); }

static void types_have_twins(void **state) {
    (void)state;
    for (int t = 0; t < KR_N_DTYPE; t++) {
        kr_dtype w = kr_woven((kr_dtype)t, 512);
        assert_int_equal(w != (kr_dtype)t, !kr_is_woven((kr_dtype)t) && t != KR_F64 && t != KR_I32);
        if (w == (kr_dtype)t) continue;
        assert_true(kr_is_woven(w));
        assert_int_equal(kr_unwoven(w), t);
        assert_int_equal(kr_unwoven((kr_dtype)t), t);
        assert_int_equal(kr_dtype_row_bytes(w, 512), kr_dtype_row_bytes((kr_dtype)t, 512));
        assert_string_equal(kr_dtype_text(w) + strlen("woven "), kr_dtype_text((kr_dtype)t));
    }
    assert_int_equal(kr_woven(KR_BF16, 7), KR_BF16); /* a row is no whole words */
    assert_int_equal(kr_woven(KR_F32, 7), KR_F32_WOVEN);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(has_every_byte), cmocka_unit_test(has_its_numbers), cmocka_unit_test(has_rows_in_lanes),
                                       cmocka_unit_test(types_have_twins)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
