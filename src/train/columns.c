/* columns.c - a curve in pixel columns, smoothed.
 *
 * The smooth line is a local straight fit with Gaussian weights over the columns: unlike a
 * running mean it does not lag, and it does not bend at the ends.  It is fitted wide and
 * narrow, and goes over to the narrow fit where the two differ by more than the noise
 * explains (the steep start).  A lone spike is kept out by a median of three. */
#include "train/columns.h"

#include <math.h>

#include "base/mem.h"

enum { WIDE_PX = 10, NARROW_PX = 2 };

kr_status kr_columns_new(kr_columns *k, int n, bool noisy) {
    double **all[] = {&k->count, &k->sum, &k->x_sum, &k->min, &k->max, &k->smooth};
    *k = (kr_columns){.n = n, .noisy = noisy};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!(*all[i] = kr_mem_array((size_t)n, sizeof(double)))) return KR_ERR_NOMEM;
    return KR_OK;
}

void kr_columns_free(kr_columns *k) {
    double *all[] = {k->count, k->sum, k->x_sum, k->min, k->max, k->smooth};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) kr_mem_free(all[i]);
    *k = (kr_columns){0};
}

static double median3(double a, double b, double c) { return fmax(fmin(a, b), fmin(fmax(a, b), c)); }

static void put(kr_columns *k, double x, double y, double calm) {
    int j = x < 0 ? 0 : x >= k->n ? k->n - 1 : (int)x;
    if (k->count[j] == 0 || y < k->min[j]) k->min[j] = y;
    if (k->count[j] == 0 || y > k->max[j]) k->max[j] = y;
    k->count[j]++, k->sum[j] += calm, k->x_sum[j] += x;
}

/* A noisy curve is put one point late, when its successor is known. */
void kr_columns_add(kr_columns *k, double x, double y) {
    double *lx = k->last_x, *ly = k->last_y;
    lx[0] = lx[1], lx[1] = lx[2], lx[2] = x;
    ly[0] = ly[1], ly[1] = ly[2], ly[2] = y;
    k->n_points++;
    if (k->n_points > 1) k->steps += fabs(ly[2] - ly[1]);
    if (k->n_points == 1 || !k->noisy) put(k, x, y, y);
    else if (k->n_points > 2) put(k, lx[1], ly[1], median3(ly[0], ly[1], ly[2]));
}

/* A straight line through the columns near `at`, weighted by their distance and points.
 * *n becomes the number of points that it stands on. */
static double local_fit(const kr_columns *k, int at, int sigma, double *n) {
    double w0 = 0, w1 = 0, w2 = 0, v0 = 0, v1 = 0;
    for (int j = at - 3 * sigma; j <= at + 3 * sigma; j++) {
        if (j < 0 || j >= k->n || k->count[j] == 0) continue;
        double dx = k->x_sum[j] / k->count[j] - k->x_sum[at] / k->count[at], u = dx / sigma, g = exp(-0.5 * u * u);
        double w = g * k->count[j];
        w0 += w, w1 += w * dx, w2 += w * dx * dx, v0 += g * k->sum[j], v1 += g * k->sum[j] * dx;
    }
    double det = w0 * w2 - w1 * w1;
    *n = w0;
    return det > 1e-6 * w0 * w0 ? (w2 * v0 - w1 * v1) / det : v0 / w0;
}

static double smooth_at(const kr_columns *k, int at) {
    double n, skip, narrow = local_fit(k, at, NARROW_PX, &n), wide = local_fit(k, at, WIDE_PX, &skip);
    double differ = (narrow - wide) * (narrow - wide), noise = 9 * k->noise * k->noise / n;
    return differ > 0 ? wide + (narrow - wide) * (differ / (differ + noise)) : wide;
}

void kr_columns_finish(kr_columns *k) {
    if (k->noisy && k->n_points > 1) put(k, k->last_x[2], k->last_y[2], k->last_y[2]);
    k->noise = k->n_points > 1 ? 0.886 * k->steps / (double)(k->n_points - 1) : 0; /* if normal, from its mean step */
    for (int j = 0; j < k->n; j++) {
        if (k->count[j] == 0) k->smooth[j] = NAN;
        else k->smooth[j] = k->noisy ? smooth_at(k, j) : k->sum[j] / k->count[j];
    }
}
