/* gated_rmsnorm.h - the slots and options of gated_rmsnorm, in the order of its signature. */
#ifndef KR_OPS_GATED_RMSNORM_H
#define KR_OPS_GATED_RMSNORM_H
#include "ops/op.h"

enum { GATED_RMSNORM_X, GATED_RMSNORM_Z, GATED_RMSNORM_W };
enum { GATED_RMSNORM_Y };
typedef struct gated_rmsnorm_attr {
    double eps;
    int64_t group_size, norm_before_gate;
} gated_rmsnorm_attr;

/* Columns that are normalised together. */
static inline int64_t gated_rmsnorm_group(const kr_call *c) {
    int64_t g = ((const gated_rmsnorm_attr *)c->attr)->group_size;
    return g ? g : KR_SIZE(c, 'D');
}
#endif
