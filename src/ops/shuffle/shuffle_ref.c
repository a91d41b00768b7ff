/* shuffle_ref.c - the definition of shuffle: a step comes after as many as have lower marks. */
#include "ops/ref.h"
#include "ops/shuffle/shuffle.h"

void REF(shuffle_fwd)(const kr_call *c) {
    const shuffle_attr *a = c->attr;
    const int32_t *key = c->in[SHUFFLE_KEY].data;
    for (int64_t i = 0; i < a->n; i++) {
        int64_t before = 0;
        for (int64_t j = 0; j < a->n; j++) before += shuffle_mark(key, a->p, j) < shuffle_mark(key, a->p, i);
        if (c->out[SHUFFLE_ORDER].data) ((int32_t *)c->out[SHUFFLE_ORDER].data)[before] = (int32_t)i;
        if (c->out[SHUFFLE_PLACE].data) ((int32_t *)c->out[SHUFFLE_PLACE].data)[i] = (int32_t)before;
    }
}
