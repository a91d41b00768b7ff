/* fim_test.c - the order that fills in: every letter once, every span's mark twice, positions as they were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "data/fim.h"

static void by_hand(void **state) { /* abcdefghij without cd and h: ab1efg2ij 1cd 2h */
    const kr_fim f = {2, {2, 7}, {4, 8}};
    static const int64_t want[] = {0, 1, -1, 4, 5, 6, -2, 8, 9, -1, 2, 3, -2, 7}, where[] = {0, 1, 2, 4, 5, 6, 7, 8, 9, 2, 2, 3, 7, 7};
    int64_t at[20], head;
    (void)state;
    assert_int_equal(kr_fim_order(&f, 10, at, &head), 14);
    assert_int_equal(head, 9);
    assert_memory_equal(at, want, sizeof want);
    for (int i = 0; i < 14; i++) assert_int_equal(kr_fim_position(&f, at[i]), where[i]);
    assert_int_equal(kr_fim_order(&(kr_fim){0}, 3, at, &head), 3);
    assert_int_equal(head, 3);
}

static void drawn(void **state) {
    enum { MOST = 211, TIMES = 4000 };
    kr_rng r = {1, 2, 0};
    int64_t many = 0, counts[KR_FIM_SPANS + 1] = {0}, edge[2] = {0};
    (void)state;
    for (int time = 0; time < TIMES; time++) {
        int64_t n = time % MOST, at[MOST + 2 * KR_FIM_SPANS], head, hidden = 0, seen[MOST] = {0}, marks[2][KR_FIM_SPANS] = {{0}}, last = 0;
        kr_fim f;
        kr_fim_draw(&f, &r, n, 0.2);
        for (int k = 0; k < f.n; k++) {
            assert_true(f.from[k] >= last && f.to[k] > f.from[k] && f.to[k] <= n);
            last = f.to[k];
            hidden += f.to[k] - f.from[k];
            edge[0] += f.from[k] == 0, edge[1] += f.to[k] == n;
        }
        assert_true(f.n <= KR_FIM_SPANS && 5 * hidden <= n);
        if (n >= 5 * KR_FIM_SPANS) counts[f.n]++, many++;
        int64_t steps = kr_fim_order(&f, n, at, &head);
        assert_int_equal(steps, n + 2 * f.n);
        assert_int_equal(head, n - hidden + f.n);
        for (int64_t i = 0; i < steps; i++) {
            if (at[i] < 0) marks[i >= head][~at[i]]++;
            else seen[at[i]]++;
            if (i > 0 && i < head) assert_true(kr_fim_position(&f, at[i]) >= kr_fim_position(&f, at[i - 1])); /* the head in order */
        }
        for (int64_t i = 0; i < n; i++) assert_int_equal(seen[i], 1);
        for (int k = 0; k < f.n; k++) assert_true(marks[0][k] == 1 && marks[1][k] == 1);
    }
    double share = (double)counts[0] / (double)many, one = (double)counts[1] / (double)many; /* of a Poisson(1): 0.368 each */
    if (share < .34 || share > .40 || one < .34 || one > .40 || !counts[3] || !edge[0] || !edge[1]) fail_msg("%g without a span, %g with one", share, one);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(by_hand), cmocka_unit_test(drawn)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
