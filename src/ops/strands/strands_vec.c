/* strands_vec.c - strands for CPUs: a few numbers a row, by one thread. */
#include "ops/rows.h"
#include "ops/strands/strands.h"

void KR_VEC(strands_fwd)(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), V = KR_SIZE(c, 'V'), n = 2 * L * KR_SIZE(c, 'S');
    const int32_t *ids = c->in[STRANDS_IDS].data, *map = c->in[STRANDS_MAP].data, *len = c->in[STRANDS_LEN].data;
    for (int64_t i = 0; i < n; i++) ((int32_t *)c->out[STRANDS_Y].data)[i] = strands_at(ids, c->in[STRANDS_IDS].pitch, map, len, L, V, i / (2 * L), i % (2 * L));
}
