/* trapezoid.h - the slots and options of trapezoid, in the order of its signature. */
#ifndef KR_OPS_TRAPEZOID_H
#define KR_OPS_TRAPEZOID_H
#include "ops/op.h"

enum { TRAPEZOID_DT, TRAPEZOID_A, TRAPEZOID_TRAP, TRAPEZOID_DT_BIAS, TRAPEZOID_SEQ_IDX };
enum { TRAPEZOID_DECAY, TRAPEZOID_RATIO, TRAPEZOID_AHEAD, TRAPEZOID_STEP };
typedef struct trapezoid_attr { double A_floor; } trapezoid_attr;

/* Is there a step behind t that goes on with its document? */
static inline bool trapezoid_goes_on(const kr_call *c, int64_t s, int64_t t) {
    const kr_tensor *q = &c->in[TRAPEZOID_SEQ_IDX];
    const int32_t *id = (const int32_t *)q->data;
    int64_t L = KR_SIZE(c, 'L'), r = s * L + t;
    return t + 1 < L && (!id || id[r * q->pitch] == id[(r + 1) * q->pitch]);
}
#endif
