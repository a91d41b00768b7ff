/* columns.h - a curve gathered into the pixel columns of a chart, and smoothed there. */
#ifndef KR_TRAIN_COLUMNS_H
#define KR_TRAIN_COLUMNS_H
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

typedef struct kr_columns {
    int n;                          /* columns */
    double *count, *sum, *x_sum;    /* points in each, their y (calmed) and their x */
    double *min, *max;              /* of y as it is */
    double *smooth;                 /* the curve at x_sum / count; NAN where count is 0 */
    bool noisy;                     /* smooth it; else the curve is the mean of each column */
    double noise;                   /* standard deviation of a point around the curve */
    double last_x[3], last_y[3], steps; /* while adding */
    int64_t n_points;
} kr_columns;

kr_status kr_columns_new(kr_columns *k, int n, bool noisy);
void kr_columns_free(kr_columns *k);
/* x in pixels, 0..n; points in the order of the curve. */
void kr_columns_add(kr_columns *k, double x, double y);
void kr_columns_finish(kr_columns *k); /* after the last point: the smooth curve */
#endif
