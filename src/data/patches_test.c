/* patches_test.c - against the plainest search there is, on drawn clouds and on clouds full of ties. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "data/patches.h"

enum { MOST = 60 };
static float xyz[3 * MOST], room[MOST];
static int32_t centre[MOST], near[MOST];

static float between(int64_t i, int64_t k) {
    float s = 0;
    for (int a = 0; a < 3; a++) s += (xyz[3 * i + a] - xyz[3 * k + a]) * (xyz[3 * i + a] - xyz[3 * k + a]);
    return s;
}
/* To the nearest of the first c centres; without any, to the origin. */
static float alone(int64_t i, int64_t c) {
    float least = INFINITY;
    if (!c) return xyz[3 * i] * xyz[3 * i] + xyz[3 * i + 1] * xyz[3 * i + 1] + xyz[3 * i + 2] * xyz[3 * i + 2];
    for (int64_t k = 0; k < c; k++) least = fminf(least, between(i, centre[k]));
    return least;
}

/* sides: coordinates are whole numbers below, so that many are equal; 0: drawn from all. */
static int64_t draw(uint64_t seed, int64_t sides) {
    kr_rng r = {seed, 5, 0};
    int64_t n = 1 + kr_rng_below(&r, MOST);
    for (int64_t i = 0; i < 3 * n; i++) xyz[i] = sides ? (float)kr_rng_below(&r, sides) : (float)kr_rng_normal(&r);
    return n;
}

static void far_points(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        int64_t n = draw(seed, (int64_t)(seed % 4));
        kr_points_far(n, xyz, n, centre, room);
        for (int64_t c = 0; c < n; c++) {
            int64_t want = 0;
            for (int64_t i = 1; i < n; i++)
                if (alone(i, c) > alone(want, c)) want = i;
            assert_int_equal(centre[c], want);
        }
    }
}

static int64_t around;
static int by_distance(const void *a, const void *b) {
    int32_t i = *(const int32_t *)a, k = *(const int32_t *)b;
    float x = between(i, around), y = between(k, around);
    return x < y ? -1 : x > y ? 1 : i - k;
}

static void near_points(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        int64_t n = draw(seed + 1000, (int64_t)(seed % 4)), k = 1 + (int64_t)(seed * 7) % n;
        int32_t all[MOST];
        around = (int64_t)(seed * 13) % n;
        for (int32_t i = 0; i < n; i++) all[i] = i;
        qsort(all, (size_t)n, sizeof *all, by_distance);
        kr_points_near(n, xyz, around, k, near, room);
        assert_memory_equal(near, all, (size_t)k * sizeof *all);
        assert_true(between(near[0], around) == 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(far_points), cmocka_unit_test(near_points)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
