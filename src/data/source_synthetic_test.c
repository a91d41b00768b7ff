/* source_synthetic_test.c - every task's answers, found again by plain search in its rows. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "data/source.h"
#include "data/source_kind.h"

typedef struct fixture {
    kr_source *s;
    const kr_source_info *i;
    kr_batch b;
} fixture;

static kr_status open_text(kr_source **s, const char *text, int64_t S, int64_t L, uint64_t seed) {
    json_t *j = NULL;
    assert_int_equal(kr_json_parse(&j, text, strlen(text), "test"), KR_OK);
    kr_status st = kr_source_open(s, &(kr_source_options){.data = j, .S = S, .L = L, .seed = seed});
    json_decref(j); /* the source must not lean on it afterwards */
    return st;
}

static fixture setup(const char *text, int64_t S, int64_t L, uint64_t seed) {
    fixture f = {0};
    if (open_text(&f.s, text, S, L, seed) != KR_OK) fail_msg("%s: %s", text, kr_error());
    f.i = kr_source_get_info(f.s);
    f.b = (kr_batch){.S = S, .L = f.i->L};
    size_t n = (size_t)(S * f.i->L);
    f.b.seq_idx = kr_mem_array(n, 4);
    if (f.i->vocab_size) {
        f.b.ids = kr_mem_array(n, 4), f.b.targets = kr_mem_array(n, 4);
    } else {
        f.b.x = kr_mem_array(n * (size_t)f.i->x_width, 4), f.b.y = kr_mem_array((size_t)(S * f.i->y_width), 4);
    }
    return f;
}

static void teardown(fixture *f) {
    kr_source_close(f->s);
    kr_mem_free(f->b.ids), kr_mem_free(f->b.targets), kr_mem_free(f->b.seq_idx);
    kr_mem_free(f->b.x), kr_mem_free(f->b.y);
}

static void get(fixture *f, kr_split split, int64_t step) {
    assert_int_equal(kr_source_batch(f->s, split, step, &f->b), KR_OK);
    for (int64_t i = 0; f->i->vocab_size && i < f->b.S * f->b.L; i++) {
        assert_in_range(f->b.ids[i], 0, f->i->vocab_size - 1);
        if (f->b.targets[i] != -1) assert_in_range(f->b.targets[i], 0, f->i->vocab_size - 1);
        assert_int_equal(f->b.seq_idx[i], 0);
    }
}

/* --- one checker a task: says how many steps must be scored -------------------------- */

static int64_t check_copying(const int32_t *ids, const int32_t *targets, int64_t L, int64_t V, int64_t n,
                             bool selective) {
    int64_t found = 0;
    for (int64_t l = 0; l < L; l++) {
        if (l >= L - n) {
            assert_int_equal(ids[l], V - 1);
            continue;
        }
        assert_int_equal(targets[l], -1);
        assert_int_not_equal(ids[l], V - 1);
        if (!ids[l]) continue;
        if (!selective) assert_int_equal(l, found);
        assert_int_equal(targets[L - n + found], ids[l]);
        found++;
    }
    assert_int_equal(found, n);
    return n;
}

static int64_t check_induction(const int32_t *ids, const int32_t *targets, int64_t L, int64_t V) {
    int64_t seen = 0;
    for (int64_t l = 0; l < L - 1; l++) {
        assert_int_equal(targets[l], -1);
        if (ids[l] != V - 1) continue;
        assert_int_equal(targets[L - 1], ids[l + 1]);
        assert_int_not_equal(ids[l + 1], V - 1);
        seen++;
    }
    assert_int_equal(seen, 1);
    assert_int_equal(ids[L - 1], V - 1);
    return 1;
}

static int64_t check_mqar(const int32_t *ids, const int32_t *targets, int64_t L, int64_t V, int64_t n) {
    int64_t scored = 0;
    for (int64_t i = 0; i < n; i++) {
        assert_in_range(ids[2 * i], 1, V / 2 - 1);
        assert_in_range(ids[2 * i + 1], V / 2, V - 1);
        int64_t queries = 0;
        for (int64_t k = 0; k < i; k++) {
            assert_int_not_equal(ids[2 * k], ids[2 * i]);
            assert_int_not_equal(ids[2 * k + 1], ids[2 * i + 1]);
        }
        for (int64_t l = 2 * n; l < L; l++)
            if (targets[l] != -1 && ids[l] == ids[2 * i]) {
                assert_int_equal(targets[l], ids[2 * i + 1]);
                queries++;
            }
        assert_int_equal(queries, 1);
    }
    for (int64_t l = 0; l < L; l++) {
        if (l < 2 * n || l % 2) assert_int_equal(targets[l], -1);
        scored += targets[l] != -1;
    }
    assert_int_equal(scored, n);
    return n;
}

static int64_t check_recall(const int32_t *ids, const int32_t *targets, int64_t L, int64_t V) {
    int64_t found = 0;
    for (int64_t l = 0; l + 1 < L; l += 2) {
        assert_in_range(ids[l], 0, V / 2 - 1);
        assert_in_range(ids[l + 1], V / 2, V - 1);
        for (int64_t k = 0; k < l; k += 2)
            if (ids[k] == ids[l]) assert_int_equal(ids[k + 1], ids[l + 1]);
        if (ids[l] != ids[L - 1]) continue;
        assert_int_equal(targets[L - 1], ids[l + 1]);
        found++;
    }
    assert_true(found > 0);
    for (int64_t l = 0; l < L - 1; l++) assert_int_equal(targets[l], -1);
    return 1;
}

static void test_copying(void **state) {
    (void)state;
    fixture f = setup("{\"kind\": \"selective_copying\"}", 3, 0, 1); /* the paper's own size */
    assert_int_equal(f.i->L, 4096);
    assert_int_equal(f.i->vocab_size, 16);
    for (int64_t step = 0; step < 4; step++) {
        get(&f, step % 2 ? KR_SPLIT_EVAL : KR_SPLIT_TRAIN, step);
        for (int64_t s = 0; s < 3; s++)
            check_copying(f.b.ids + s * 4096, f.b.targets + s * 4096, 4096, 16, 16, true);
    }
    teardown(&f);
    f = setup("{\"kind\": \"selective_copying\", \"n_tokens\": 5, \"vocab_size\": 3}", 8, 10, 1); /* no noise left */
    get(&f, KR_SPLIT_TRAIN, 0);
    for (int64_t s = 0; s < 8; s++) check_copying(f.b.ids + s * 10, f.b.targets + s * 10, 10, 3, 5, true);
    teardown(&f);
    f = setup("{\"kind\": \"copying\", \"n_tokens\": 4, \"length\": 20}", 8, 0, 1);
    get(&f, KR_SPLIT_TRAIN, 7);
    for (int64_t s = 0; s < 8; s++) check_copying(f.b.ids + s * 20, f.b.targets + s * 20, 20, 16, 4, false);
    teardown(&f);
}

static void test_induction_heads(void **state) {
    (void)state;
    for (int64_t L = 3; L < 300; L = L * 3 + 1) {
        fixture f = setup("{\"kind\": \"induction_heads\"}", 64, L, 5);
        int64_t first = 0, last = 0;
        for (int64_t step = 0; step < 20; step++) {
            get(&f, KR_SPLIT_TRAIN, step);
            for (int64_t s = 0; s < 64; s++) {
                const int32_t *ids = f.b.ids + s * L;
                check_induction(ids, f.b.targets + s * L, L, 16);
                first += ids[0] == 15, last += ids[L - 3] == 15;
            }
        }
        if (L < 40) assert_true(first > 0 && last > 0); /* the whole range of places is used */
        teardown(&f);
    }
}

static void test_mqar(void **state) {
    (void)state;
    const struct { const char *text; int64_t L, V, n; } cases[] = {
        {"{\"kind\": \"mqar\"}", 256, 8192, 64},
        {"{\"kind\": \"mqar\", \"n_pairs\": 8, \"power\": 1}", 64, 8192, 8},
        {"{\"kind\": \"mqar\", \"n_pairs\": 3, \"vocab_size\": 8, \"random_fill\": false}", 13, 8, 3},
        {"{\"kind\": \"mqar\", \"n_pairs\": 1, \"vocab_size\": 5}", 4, 5, 1},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        int64_t L = cases[c].L;
        fixture f = setup(cases[c].text, 5, L, 9);
        for (int64_t step = 0; step < 10; step++) {
            get(&f, KR_SPLIT_TRAIN, step);
            for (int64_t s = 0; s < 5; s++)
                check_mqar(f.b.ids + s * L, f.b.targets + s * L, L, cases[c].V, cases[c].n);
        }
        teardown(&f);
    }
}

/* With power near 0 the first place is by far the likeliest, with 1 all are alike. */
static void test_mqar_places(void **state) {
    (void)state;
    for (int power = 0; power < 2; power++) {
        fixture f = setup(power ? "{\"kind\": \"mqar\", \"n_pairs\": 1, \"power\": 1}"
                                : "{\"kind\": \"mqar\", \"n_pairs\": 1, \"power\": 0}", 4000, 10, 9);
        int64_t count[4] = {0};
        get(&f, KR_SPLIT_TRAIN, 0);
        for (int64_t s = 0; s < 4000; s++)
            for (int p = 0; p < 4; p++) count[p] += f.b.targets[s * 10 + 2 + 2 * p] != -1;
        for (int p = 0; p < 4; p++) {
            double want = power ? 1000 : 4000 / (1 + 1. / 2 + 1. / 3 + 1. / 4) / (p + 1);
            assert_true(count[p] > 0.85 * want && count[p] < 1.15 * want);
        }
        teardown(&f);
    }
}

static void test_associative_recall(void **state) {
    (void)state;
    fixture f = setup("{\"kind\": \"associative_recall\", \"vocab_size\": 7}", 16, 21, 2);
    for (int64_t step = 0; step < 10; step++) {
        get(&f, KR_SPLIT_TRAIN, step);
        for (int64_t s = 0; s < 16; s++) check_recall(f.b.ids + s * 21, f.b.targets + s * 21, 21, 7);
    }
    teardown(&f);
}

static void test_adding(void **state) {
    (void)state;
    fixture f = setup("{\"kind\": \"adding\"}", 50, 9, 3);
    assert_int_equal(f.i->vocab_size, 0);
    assert_string_equal(f.i->metric, "mse");
    for (int64_t step = 0; step < 10; step++) {
        get(&f, KR_SPLIT_TRAIN, step);
        for (int64_t s = 0; s < 50; s++) {
            float sum = 0, marks[2] = {0, 0};
            for (int64_t l = 0; l < 9; l++) {
                const float *x = f.b.x + (s * 9 + l) * 2;
                assert_true(x[0] >= 0 && x[0] < 1 && (x[1] == 0 || x[1] == 1));
                sum += x[0] * x[1], marks[l >= 4] += x[1];
            }
            assert_true(sum == f.b.y[s] && marks[0] == 1 && marks[1] == 1);
        }
    }
    teardown(&f);
}

static void test_parity(void **state) {
    (void)state;
    const char *const texts[] = {"{\"kind\": \"parity\"}", "{\"kind\": \"parity\", \"score\": \"last\"}",
                                 "{\"kind\": \"parity\", \"score\": \"last\", \"min_length\": 3}"};
    for (int c = 0; c < 3; c++) {
        fixture f = setup(texts[c], 200, 11, 4);
        int64_t ends[11] = {0};
        get(&f, KR_SPLIT_TRAIN, 3);
        for (int64_t s = 0; s < 200; s++) {
            int odd = 0, scored = 0;
            for (int64_t l = 0; l < 11; l++) {
                int32_t id = f.b.ids[s * 11 + l], target = f.b.targets[s * 11 + l];
                odd = (odd + id) % 2;
                if (target == -1) continue;
                assert_int_equal(target, odd);
                scored++, ends[l]++;
            }
            assert_int_equal(scored, c ? 1 : 11);
        }
        for (int l = 0; l < 11; l++) assert_int_equal(ends[l] > 0, c == 0 || (c == 1 ? l == 10 : l >= 2));
        teardown(&f);
    }
}

/* --- streams ------------------------------------------------------------------------- */

static const char *const all[] = {
    "{\"kind\": \"copying\", \"length\": 64}", "{\"kind\": \"selective_copying\", \"length\": 64}",
    "{\"kind\": \"induction_heads\", \"length\": 64}", "{\"kind\": \"mqar\", \"length\": 64}",
    "{\"kind\": \"associative_recall\", \"length\": 63}", "{\"kind\": \"adding\", \"length\": 64}",
    "{\"kind\": \"parity\", \"length\": 64, \"min_length\": 40}",
};
enum { N_ALL = sizeof all / sizeof *all };

static const void *bytes(const fixture *f) { return f->i->vocab_size ? (void *)f->b.ids : (void *)f->b.x; }
static size_t row_size(const fixture *f) { return (size_t)f->i->L * 4 * (f->i->vocab_size ? 1 : 2); }

/* A batch is a function of (seed, split, step) and nothing else; rows do not depend on S. */
static void test_pure(void **state) {
    (void)state;
    for (int k = 0; k < N_ALL; k++) {
        fixture a = setup(all[k], 4, 0, 77), b = setup(all[k], 4, 0, 77), two = setup(all[k], 2, 0, 77);
        get(&a, KR_SPLIT_TRAIN, 5);
        get(&b, KR_SPLIT_EVAL, 1), get(&b, KR_SPLIT_TRAIN, 9), get(&b, KR_SPLIT_TRAIN, 5);
        assert_memory_equal(bytes(&a), bytes(&b), 4 * row_size(&a));
        get(&two, KR_SPLIT_TRAIN, 11);
        assert_memory_equal((const char *)bytes(&a) + 2 * row_size(&a), bytes(&two), 2 * row_size(&a));
        int64_t n_allocs = kr_mem_get_stats().n_allocs;
        get(&a, KR_SPLIT_TRAIN, 6), get(&a, KR_SPLIT_EVAL, 6);
        assert_int_equal(kr_mem_get_stats().n_allocs, n_allocs);
        teardown(&a), teardown(&b), teardown(&two);
    }
}

/* No train row is an eval row; eval rows repeat after eval_batches and ignore the seed. */
static void test_splits(void **state) {
    (void)state;
    for (int k = 0; k < N_ALL; k++) {
        fixture a = setup(all[k], 8, 0, 0), b = setup(all[k], 8, 0, 2);
        enum { N = 6 };
        char *rows = kr_mem_new(3 * N * 8 * row_size(&a));
        for (int set = 0; set < 3; set++)
            for (int64_t step = 0; step < N; step++) {
                fixture *f = set == 1 ? &b : &a;
                get(f, set == 2 ? KR_SPLIT_EVAL : KR_SPLIT_TRAIN, step);
                memcpy(rows + ((size_t)set * N + (size_t)step) * 8 * row_size(&a), bytes(f), 8 * row_size(&a));
            }
        for (size_t i = 0; i < 3 * N * 8; i++)
            for (size_t j = 0; j < i; j++)
                assert_true(memcmp(rows + i * row_size(&a), rows + j * row_size(&a), row_size(&a)) != 0);
        get(&b, KR_SPLIT_EVAL, 2 + 3 * a.i->eval_batches);
        assert_memory_equal(rows + (2 * N + 2) * 8 * row_size(&a), bytes(&b), 8 * row_size(&a));
        kr_mem_free(rows);
        teardown(&a), teardown(&b);
    }
}

static void test_threads(void **state) {
    (void)state;
    enum { N = 32 };
    kr_source *s;
    int32_t ids[N][4 * 64], targets[N][4 * 64], want[4 * 64], skip[4 * 64];
    assert_int_equal(open_text(&s, all[3], 4, 0, 7), KR_OK);
#pragma omp parallel for num_threads(8) schedule(dynamic)
    for (int i = 0; i < N; i++) {
        kr_batch b = {.S = 4, .L = 64, .ids = ids[i], .targets = targets[i]};
        kr_source_batch(s, KR_SPLIT_TRAIN, i / 2, &b);
    }
    for (int i = 0; i < N; i++) {
        kr_batch b = {.S = 4, .L = 64, .ids = want, .targets = skip};
        assert_int_equal(kr_source_batch(s, KR_SPLIT_TRAIN, i / 2, &b), KR_OK);
        assert_memory_equal(ids[i], want, sizeof want);
    }
    kr_source_close(s);
}

static void test_permute(void **state) {
    (void)state;
    for (int64_t n = 1; n < 3000; n = n * 3 / 2 + 1) {
        char *seen = kr_mem_new((size_t)n);
        int64_t fixed = 0;
        for (int64_t i = 0; i < n; i++) {
            int64_t j = kr_permute(123, n, i);
            assert_in_range(j, 0, n - 1);
            assert_int_equal(seen[j]++, 0);
            fixed += i == j;
        }
        if (n > 100) assert_true(fixed < 12);
        kr_mem_free(seen);
    }
    assert_in_range(kr_permute(1, (int64_t)1 << 40, 12345), 0, ((int64_t)1 << 40) - 1);
}

static void test_refusals(void **state) {
    (void)state;
    const struct { const char *text, *say; int64_t L; } cases[] = {
        {"{\"kind\": \"sorting\"}", "data.kind is sorting, want one of text, selective_copying", 0},
        {"{\"kind\": 3}", "data.kind is not text", 0},
        {"{\"kind\": \"parity\", \"n_pairs\": 3}", "data has no key \"n_pairs\"", 0},
        {"{\"kind\": \"selective_copying\"}", "want at least 32", 31},
        {"{\"kind\": \"copying\", \"vocab_size\": 2}", "want at least 3", 0},
        {"{\"kind\": \"induction_heads\"}", "data.length is 2", 2},
        {"{\"kind\": \"mqar\", \"n_pairs\": 5}", "want 1 to 4", 19},
        {"{\"kind\": \"mqar\", \"vocab_size\": 20}", "want at least 130", 0},
        {"{\"kind\": \"mqar\"}", "n_pairs is 0", 3},
        {"{\"kind\": \"associative_recall\"}", "odd number", 8},
        {"{\"kind\": \"adding\"}", "at least 2", 1},
        {"{\"kind\": \"parity\", \"min_length\": 9}", "at most the length 8", 8},
    };
    int64_t n_live = kr_mem_get_stats().n_live;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kr_source *s = NULL;
        assert_int_equal(open_text(&s, cases[i].text, 2, cases[i].L, 0), KR_ERR_CONFIG);
        if (!strstr(kr_error(), cases[i].say)) fail_msg("%s: said: %s", cases[i].text, kr_error());
    }
    assert_int_equal(kr_mem_get_stats().n_live, n_live);
    fixture f = setup(all[0], 2, 0, 0);
    f.b.S = 3;
    assert_int_equal(kr_source_batch(f.s, KR_SPLIT_TRAIN, 0, &f.b), KR_ERR_SHAPE);
    f.b.S = 2;
    assert_int_equal(kr_source_batch(f.s, KR_SPLIT_TRAIN, -1, &f.b), KR_ERR_ARG);
    assert_true(kr_source_resets(f.s, KR_SPLIT_TRAIN, 3, 1));
    teardown(&f);
}

static void test_describe(void **state) {
    (void)state;
    const char *name, *about;
    const kr_key *keys;
    int n = 0;
    for (; kr_source_describe(n, &name, &about, &keys); n++) {
        const kr_key *kind = kr_key_find(keys, "kind");
        assert_non_null(kind);
        assert_string_equal(kind->text, name);
        for (; keys->name; keys++) assert_true(strlen(keys->help) > 5);
    }
    assert_true(n >= 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copying),
        cmocka_unit_test(test_induction_heads),
        cmocka_unit_test(test_mqar),
        cmocka_unit_test(test_mqar_places),
        cmocka_unit_test(test_associative_recall),
        cmocka_unit_test(test_adding),
        cmocka_unit_test(test_parity),
        cmocka_unit_test(test_pure),
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_permute),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_describe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
