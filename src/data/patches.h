/* patches.h - a cloud of points as patches: centres far from each other, and the points around each (PointNet++,
 * Qi et al. 2017; PointMamba, Liang et al. 2024).  Nothing is drawn and nothing allocated. */
#ifndef KR_DATA_PATCHES_H
#define KR_DATA_PATCHES_H
#include <stdint.h>

/* Farthest point sampling: n_centres of the n points xyz [n, 3], first the one farthest from the origin, then always
 * the one farthest from those taken; the earlier of equals.  n_centres <= n; room: [n]. */
void kr_points_far(int64_t n, const float *xyz, int64_t n_centres, int32_t *centre, float *room);
/* The k points nearest to point `at`, itself among them, nearest first; the earlier of equals.  k <= n; room: [k]. */
void kr_points_near(int64_t n, const float *xyz, int64_t at, int64_t k, int32_t *near, float *room);
#endif
