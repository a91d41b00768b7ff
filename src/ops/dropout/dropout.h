/* dropout.h - the slots and options of dropout, in the order of its signature. */
#ifndef KR_OPS_DROPOUT_H
#define KR_OPS_DROPOUT_H
#include "base/rng.h"
#include "ops/op.h"

enum { DROPOUT_X, DROPOUT_KEY };
enum { DROPOUT_Y };
typedef struct dropout_attr { double p; } dropout_attr;

/* What decides about element e of [rows, D], counted without any pitch: 64 elements share
 * 16 Philox blocks, and e has word e / 16 % 4 of block e / 64 * 16 + e % 16 (so that lanes
 * need no shuffling).  It stays if that word is at least `threshold`. */
typedef struct dropout_draw { uint64_t seed, stream; uint32_t threshold; double scale; } dropout_draw;
static inline dropout_draw dropout_draws(const kr_call *c) {
    const int32_t *key = (const int32_t *)c->in[DROPOUT_KEY].data; /* seed low, seed high, step, tensor */
    double p = ((const dropout_attr *)c->attr)->p;
    dropout_draw d = {(uint32_t)key[0] | (uint64_t)(uint32_t)key[1] << 32,
                          (uint32_t)key[2] | (uint64_t)(uint32_t)key[3] << 32, (uint32_t)(p * 0x1p32), 1 / (1 - p)};
    return d;
}
#endif
