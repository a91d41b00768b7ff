/* chart_test.c - charts: the smooth line is right, odd inputs give a whole picture. */
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem_test.h"
#include "base/rng.h"
#include "train/chart.h"
#include "train/columns.h"

/* Every tag is closed in order, every attribute quoted, no stray '&', no nan or inf. */
static void check_xml(const char *s) {
    char stack[16][16];
    int depth = 0;
    assert_null(strstr(s, "nan"));
    assert_null(strstr(s, "inf"));
    for (const char *p = s; *p; p++) {
        if (*p == '&') assert_true(!strncmp(p, "&lt;", 4) || !strncmp(p, "&gt;", 4) || !strncmp(p, "&amp;", 5));
        if (*p != '<') continue;
        bool closing = p[1] == '/';
        const char *name = p + 1 + closing, *end = strchr(p, '>');
        size_t len = strcspn(name, " />");
        assert_non_null(end);
        assert_true(len > 0 && len < 16);
        int quotes = 0;
        for (const char *q = p; q < end; q++) quotes += *q == '"';
        assert_int_equal(quotes % 2, 0);
        if (closing) {
            assert_true(depth > 0);
            assert_memory_equal(stack[--depth], name, len);
        } else if (end[-1] != '/') {
            assert_true(depth < 16);
            memcpy(stack[depth++], name, len);
        }
    }
    assert_int_equal(depth, 0);
}

static char *draw(const kr_chart *c) {
    kr_str s = {0};
    int64_t n_live = kr_mem_get_stats().n_live;
    if (kr_chart_svg(&s, c) != KR_OK) fail_msg("%s", kr_error());
    assert_int_equal(kr_mem_get_stats().n_live, n_live + 1);
    check_xml(kr_str_text(&s));
    return kr_str_take(&s);
}

static void test_smooth(void **state) {
    (void)state;
    enum { N = 20000 };
    kr_columns k;
    kr_rng r = {1, 2, 0};
    assert_int_equal(kr_columns_new(&k, 600, true), KR_OK);
    for (int i = 0; i < N; i++) { /* a steep start, then a slow fall, noise 0.1, and one spike */
        double t = (double)i / N, y = 1 + 4 * exp(-t * 150) + exp(-t * 3);
        kr_columns_add(&k, t * 600, i == N / 2 ? 1000 : y + 0.1 * kr_rng_normal(&r));
    }
    kr_columns_finish(&k);
    double n = 0, squares = 0;
    assert_true(k.max[300] == 1000);
    for (int j = 0; j < 600; j++) {
        double t = k.x_sum[j] / k.count[j] / 600, want = 1 + 4 * exp(-t * 150) + exp(-t * 3);
        double allowed = j < 8 ? 0.3 : j < 20 ? 0.1 : 0.05; /* the start falls 1 in a column */
        if (fabs(k.smooth[j] - want) > allowed) fail_msg("column %d: %g, want %g", j, k.smooth[j], want);
        n += k.count[j];
        if (j >= 50) squares += (k.smooth[j] - want) * (k.smooth[j] - want);
    }
    assert_true(n == N);
    assert_true(sqrt(squares / 550) < 0.005); /* the mean of a column alone: 0.017 */
    kr_columns_free(&k);
}

/* A straight line stays one, whatever the smoothing; few points stay where they are. */
static void test_straight(void **state) {
    (void)state;
    kr_columns k;
    for (int step = 1; step < 300; step *= 3) {
        assert_int_equal(kr_columns_new(&k, 300, true), KR_OK);
        for (int i = 0; i < 300; i += step) kr_columns_add(&k, i, 5 - 0.01 * i);
        kr_columns_finish(&k);
        for (int j = 0; j < 300; j++)
            if (k.count[j] > 0) assert_true(fabs(k.smooth[j] - (5 - 0.01 * j)) < 1e-9);
            else assert_true(isnan(k.smooth[j]));
        kr_columns_free(&k);
    }
}

static void test_odd_inputs(void **state) {
    (void)state;
    static const double x[] = {-1, 0, 1, 2, 3, 1e6}, flat[] = {2, 2, 2, 2, 2, 2}, zero[6];
    static const double odd[] = {NAN, INFINITY, -INFINITY, 1e300, 1e99, -1e99};
    static const double tiny[] = {1e-9, 2e-9, 1e-9, 4e-9, 0, -1};
    const double *const ys[] = {x, flat, zero, odd, tiny};
    const char *const titles[] = {NULL, "", "a <b> & \"c\" \xce\xb1\x01",
                                  "A title so long that there is no room for the names of the curves beside it"};
    for (int n = 0; n <= 6; n++)
        for (int k = 0; k < 5; k++)
            for (int mode = 0; mode < 4; mode++)
                for (int look = 0; look < 3; look++) {
                    kr_series s[] = {{"one", (kr_series_look)look, x, ys[k], n},
                                     {"two", KR_LOOK_MARKS, x, flat, n / 2}};
                    kr_chart c = {.title = titles[mode], .note = titles[look + 1], .log_x = mode & 1, .log_y = mode & 2,
                                  .x_name = "step", .series = s, .n_series = 1 + n % 2, .width = 300, .height = 200};
                    kr_mem_free(draw(&c));
                }
    char *svg = draw(&(kr_chart){.title = titles[2]});
    assert_non_null(strstr(svg, "a &lt;b&gt; &amp; \"c\" \xce\xb1<"));
    assert_non_null(strstr(svg, "no points yet"));
    kr_mem_free(svg);
}

/* A million points cost no more text than the pixels can show, and a comma locale no digits. */
static void test_size(void **state) {
    (void)state;
    enum { N = 1000000 };
    double *x = kr_mem_array(N, sizeof *x), *y = kr_mem_array(N, sizeof *y);
    kr_rng r = {1, 3, 0};
    for (int i = 0; i < N; i++) x[i] = i, y[i] = 2 + kr_rng_uniform(&r);
    kr_series s = {"loss", KR_LOOK_NOISY, x, y, N};
    char *svg = draw(&(kr_chart){.series = &s, .n_series = 1});
    assert_true(strlen(svg) < 40000);
    assert_non_null(strstr(svg, ">200k<"));
    assert_non_null(strstr(svg, ">800k<"));
    assert_non_null(strstr(svg, ">2.4<"));
    for (int i = 0; i < 3; i++) {
        if (!setlocale(LC_NUMERIC, (const char *const[]){"de_DE.UTF-8", "fr_FR.UTF-8", "C"}[i])) continue;
        char *again = draw(&(kr_chart){.series = &s, .n_series = 1});
        assert_string_equal(svg, again);
        kr_mem_free(again);
    }
    kr_mem_free(svg), kr_mem_free(x), kr_mem_free(y);
}

static kr_status draw_some(void *unused) {
    double x[] = {1, 2};
    kr_series one = {"a", KR_LOOK_NOISY, x, x, 2};
    kr_str s = {0};
    (void)unused;
    kr_status st = kr_chart_svg(&s, &(kr_chart){.series = &one, .n_series = 1});
    kr_str_free(&s);
    return st;
}

static void test_failures(void **state) {
    (void)state;
    kr_str s = {0};
    assert_int_equal(kr_chart_svg(&s, &(kr_chart){.width = 100, .height = 100}), KR_ERR_ARG);
    until_it_works(draw_some, NULL);
    assert_int_equal(kr_chart_write("/nowhere/at/all.svg", &(kr_chart){.title = "x"}), KR_ERR_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smooth),
        cmocka_unit_test(test_straight),
        cmocka_unit_test(test_odd_inputs),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
