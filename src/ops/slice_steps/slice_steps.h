/* slice_steps.h - the slots and options of slice_steps, in the order of its signature. */
#ifndef KR_OPS_SLICE_STEPS_H
#define KR_OPS_SLICE_STEPS_H
#include "ops/op.h"

enum { SLICE_STEPS_X };
enum { SLICE_STEPS_Y };
typedef struct slice_steps_attr { int64_t start, count; } slice_steps_attr;

/* The first step: a negative start counts from the end. */
static inline int64_t slice_steps_from(const kr_call *c) {
    int64_t start = ((const slice_steps_attr *)c->attr)->start;
    return start < 0 ? start + KR_SIZE(c, 'L') : start;
}
#endif
