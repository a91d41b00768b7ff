/* groupnorm.h - the slots and options of groupnorm, in the order of its signature. */
#ifndef KR_OPS_GROUPNORM_H
#define KR_OPS_GROUPNORM_H
#include "ops/op.h"

enum { GROUPNORM_X, GROUPNORM_W, GROUPNORM_B };
enum { GROUPNORM_Y };
typedef struct groupnorm_attr { int64_t groups; double eps; } groupnorm_attr;

/* Channels of a group. */
static inline int64_t groupnorm_width(const kr_call *c) {
    const groupnorm_attr *a = (const groupnorm_attr *)c->attr;
    return a->groups ? KR_SIZE(c, 'D') / a->groups : 1;
}
#endif
