/* spanning_tree_vec.c - spanning_tree for CPUs: lanes over D for the weights, a thread a picture. */
#include "ops/rows.h"
#include "ops/spanning_tree/spanning_tree.h"

static float dot(const float *a, const float *b, int64_t D) {
    vf sum = {0};
    for (int64_t d = 0; d < D; d += KR_VL) sum += v_keep(v_get(a + d, D - d) * v_get(b + d, D - d), D - d);
    return v_sum(sum);
}

void KR_VEC(spanning_tree_fwd)(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), D = KR_SIZE(c, 'D');
    int32_t L = (int32_t)KR_SIZE(c, 'L'), width = (int32_t)((const spanning_tree_attr *)c->attr)->width, W = width ? width : L;
    int32_t *order = c->out[TREE_ORDER].data, *place = c->out[TREE_PLACE].data, *parent = c->out[TREE_PARENT].data;
#pragma omp parallel for num_threads(rows_threads(c, S * L * D)) schedule(static)
    for (int64_t s = 0; s < S; s++) {
        void *room = (char *)c->scratch + (size_t)s * tree_bytes(L);
        int32_t *spare = (int32_t *)((tree_edge *)room + 2 * (int64_t)L) + 2 * (int64_t)L, n = 0;
        float *square = (float *)spare; /* of each cell, until the tree is built */
        tree_edge *edge = room;
        for (int64_t i = 0; i < L; i++) square[i] = dot(row_at(&c->in[TREE_X], s * L + i), row_at(&c->in[TREE_X], s * L + i), D);
        for (int32_t i = 0; i < L; i++)
            for (int32_t down = 0; down < 2; down++) {
                int32_t j = down ? i + W : i + 1;
                if (down ? j >= L : i % W + 1 >= W) continue;
                float both = square[i] * square[j], ab = dot(row_at(&c->in[TREE_X], s * L + i), row_at(&c->in[TREE_X], s * L + j), D);
                edge[n++] = (tree_edge){both > 0 ? -ab / sqrtf(both) : 0, 2 * i + down};
            }
        tree_build(room, n, L, W, order + s * L, place ? place + s * L : spare, parent ? parent + s * L : spare + L);
    }
}
