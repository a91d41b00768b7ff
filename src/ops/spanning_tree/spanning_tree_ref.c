/* spanning_tree_ref.c - the definition of spanning_tree. */
#include "ops/ref.h"
#include "ops/spanning_tree/spanning_tree.h"

static float weight(const kr_call *c, int64_t s, int64_t i, int64_t j) {
    const kr_tensor *x = &c->in[TREE_X];
    const real *a = (const real *)x->data + (s * KR_SIZE(c, 'L') + i) * x->pitch, *b = (const real *)x->data + (s * KR_SIZE(c, 'L') + j) * x->pitch;
    real ab = 0, aa = 0, bb = 0;
    for (int64_t d = 0; d < KR_SIZE(c, 'D'); d++) ab += a[d] * b[d], aa += a[d] * a[d], bb += b[d] * b[d];
    return aa > 0 && bb > 0 ? (float)(-ab / sqrt(aa * bb)) : 0;
}

void REF(spanning_tree_fwd)(const kr_call *c) {
    int32_t L = (int32_t)KR_SIZE(c, 'L'), width = (int32_t)((const spanning_tree_attr *)c->attr)->width, W = width ? width : L;
    int32_t *order = c->out[TREE_ORDER].data, *place = c->out[TREE_PLACE].data, *parent = c->out[TREE_PARENT].data;
    for (int64_t s = 0; s < KR_SIZE(c, 'S'); s++) {
        void *room = (char *)c->scratch + (size_t)s * tree_bytes(L);
        int32_t *spare = (int32_t *)((tree_edge *)room + 2 * (int64_t)L) + 2 * (int64_t)L, n = 0;
        tree_edge *edge = room;
        for (int32_t i = 0; i < L; i++) {
            if (i % W + 1 < W) edge[n++] = (tree_edge){weight(c, s, i, i + 1), 2 * i};
            if (i + W < L) edge[n++] = (tree_edge){weight(c, s, i, i + W), 2 * i + 1};
        }
        tree_build(room, n, L, W, order + s * L, place ? place + s * L : spare, parent ? parent + s * L : spare + L);
    }
}
