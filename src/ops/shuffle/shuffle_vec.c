/* shuffle_vec.c - shuffle for CPUs: the marks in a heap, by one thread. */
#include "ops/rows.h"
#include "ops/shuffle/shuffle.h"

static void sift(uint64_t *m, int64_t root, int64_t n) {
    uint64_t v = m[root];
    for (int64_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && m[child] < m[child + 1]) child++;
        if (v >= m[child]) break;
        m[root] = m[child];
    }
    m[root] = v;
}

void KR_VEC(shuffle_fwd)(const kr_call *c) {
    const shuffle_attr *a = c->attr;
    const int32_t *key = c->in[SHUFFLE_KEY].data;
    int32_t *order = c->out[SHUFFLE_ORDER].data, *place = c->out[SHUFFLE_PLACE].data;
    uint64_t *m = c->scratch;
    for (int64_t i = 0; i < a->n; i++) m[i] = shuffle_mark(key, a->p, i);
    for (int64_t i = a->n / 2; i-- > 0;) sift(m, i, a->n);
    for (int64_t n = a->n; n-- > 0;) {
        int32_t i = (int32_t)(uint32_t)m[0];
        if (order) order[n] = i;
        if (place) place[i] = (int32_t)n;
        m[0] = m[n];
        sift(m, 0, n);
    }
}
