/* rope.h - the slots and options of rope, in the order of its signature. */
#ifndef KR_OPS_ROPE_H
#define KR_OPS_ROPE_H
#include "ops/op.h"

enum { ROPE_X, ROPE_N0, ROPE_SEQ_IDX };
enum { ROPE_Y };
typedef struct rope_attr {
    int64_t dims, interleaved;
    double theta;
} rope_attr;

/* How many numbers of a head are turned. */
static inline int64_t rope_dims(const kr_call *c) {
    int64_t dims = ((const rope_attr *)c->attr)->dims;
    return dims ? dims : KR_SIZE(c, 'P') / 2 * 2;
}
/* The steps before t in its document, those read in earlier calls included. */
static inline int64_t rope_position(const kr_call *c, int64_t s, int64_t t) {
    const kr_tensor *ids = &c->in[ROPE_SEQ_IDX];
    const int32_t *n0 = (const int32_t *)c->in[ROPE_N0].data;
    int64_t first = 0;
    if (ids->data) {
        const int32_t *id = (const int32_t *)ids->data + s * KR_SIZE(c, 'L') * ids->pitch;
        for (first = t; first > 0 && id[(first - 1) * ids->pitch] == id[t * ids->pitch];) first--;
    }
    return t - first + (n0 && first == 0 ? n0[s] : 0);
}
#endif
