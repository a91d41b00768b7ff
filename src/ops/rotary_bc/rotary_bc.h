/* rotary_bc.h - the slots and options of rotary_bc, in the order of its signature. */
#ifndef KR_OPS_ROTARY_BC_H
#define KR_OPS_ROTARY_BC_H
#include "ops/op.h"

enum { ROTARY_B, ROTARY_C, ROTARY_B_BIAS, ROTARY_C_BIAS, ROTARY_ANGLE, ROTARY_DT, ROTARY_PHI0, ROTARY_SEQ_IDX };
enum { ROTARY_K, ROTARY_Q, ROTARY_KQ, ROTARY_PHI };
typedef struct rotary_bc_attr { int64_t halves; } rotary_bc_attr;

/* Steps whose angles are summed by one task: a sum's order depends on nothing else. */
enum { ROTARY_BLOCK = 64 };
static inline int64_t rotary_blocks(const kr_call *c) { return (KR_SIZE(c, 'L') + ROTARY_BLOCK - 1) / ROTARY_BLOCK; }
/* Does another document begin at step t of sequence s? */
static inline bool rotary_begins(const kr_call *c, int64_t s, int64_t t) {
    const kr_tensor *q = &c->in[ROTARY_SEQ_IDX];
    const int32_t *id = (const int32_t *)q->data;
    int64_t r = s * KR_SIZE(c, 'L') + t;
    return id && t > 0 && id[r * q->pitch] != id[(r - 1) * q->pitch];
}
#define ROTARY_PI 3.14159265358979323846
#endif
