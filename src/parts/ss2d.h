/* ss2d.h - selective scans along several paths that share their products: VMamba's SS2D, Vim's
 * block, PlainMamba's; for parts that have one inside. */
#ifndef KR_PARTS_SS2D_H
#define KR_PARTS_SS2D_H
#include "parts/part.h"

typedef struct kr_ss2d {
    const char *path;
    int64_t path_window, path_seed, d_state, d_conv, expand, d_inner, dt_rank;
    double dt_min, dt_max;
    int conv, own, merge, norm;
    bool gate, bias, conv_bias, directions;
} kr_ss2d;
extern const kr_key kr_ss2d_keys[];
kr_node *kr_ss2d_build(kr_build *b, const kr_ss2d *o, kr_node *x);
#endif
