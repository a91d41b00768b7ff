/* slice.h - the slots and options of slice, in the order of its signature. */
#ifndef KR_OPS_SLICE_H
#define KR_OPS_SLICE_H
#include "ops/op.h"

enum { SLICE_X };
enum { SLICE_Y };
typedef struct slice_attr { int64_t start, width; } slice_attr;

/* The first column: a negative start counts from the end. */
static inline int64_t slice_from(const kr_call *c) {
    int64_t start = ((const slice_attr *)c->attr)->start;
    return start < 0 ? start + KR_SIZE(c, 'A') : start;
}
#endif
