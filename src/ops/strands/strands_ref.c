/* strands_ref.c - the definition of strands. */
#include "ops/ref.h"
#include "ops/strands/strands.h"

void REF(strands_fwd)(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), V = KR_SIZE(c, 'V');
    const int32_t *ids = c->in[STRANDS_IDS].data, *map = c->in[STRANDS_MAP].data, *len = c->in[STRANDS_LEN].data;
    for (int64_t s = 0; s < KR_SIZE(c, 'S'); s++)
        for (int64_t i = 0; i < 2 * L; i++) ((int32_t *)c->out[STRANDS_Y].data)[2 * s * L + i] = strands_at(ids, c->in[STRANDS_IDS].pitch, map, len, L, V, s, i);
}
