/* spanning_tree.cu - spanning_tree on a GPU: a warp an edge for the weights, then one thread a picture
 * builds the tree as a CPU does.  Only many pictures fill the machine. */
#include "ops/spanning_tree/spanning_tree.h"

#include "ops/rows.cuh"

/* Edges of a picture, in the order of their ids. */
static __device__ __forceinline__ int32_t edge_place(int32_t i, int32_t down, int32_t L, int32_t W) {
    int32_t row = i / W, col = i % W, rows = L / W, all = 2 * W - 1; /* of a full row: W - 1 to the right, W down */
    if (row + 1 == rows) return row * all + col;
    return row * all + 2 * col + (col + 1 < W ? down : 0); /* the last cell has one edge, down */
}

template <typename T>
static __global__ void __launch_bounds__(256) tree_weight_kernel(int64_t S, int32_t L, int32_t W, int64_t D, const T *x, int64_t pitch, char *room, size_t bytes) {
    int64_t e = (blockIdx.x * (int64_t)256 + threadIdx.x) / 32, s = e / (2 * (int64_t)L);
    int32_t lane = threadIdx.x % 32, i = (int32_t)(e % (2 * (int64_t)L)) / 2, down = (int32_t)(e % 2), j = down ? i + W : i + 1;
    if (s >= S || (down ? j >= L : i % W + 1 >= W)) return;
    const T *a = x + (s * L + i) * pitch, *b = x + (s * L + j) * pitch;
    float ab = 0, aa = 0, bb = 0;
    for (int64_t d = lane; d < D; d += 32) {
        float p = cu_float(a[d]), q = cu_float(b[d]);
        ab += p * q, aa += p * p, bb += q * q;
    }
    ab = cu_warp_sum(ab), aa = cu_warp_sum(aa), bb = cu_warp_sum(bb);
    if (lane == 0) ((tree_edge *)(room + s * bytes))[edge_place(i, down, L, W)] = {aa * bb > 0 ? -ab / sqrtf(aa * bb) : 0, 2 * i + down};
}

static __global__ void tree_build_kernel(int64_t S, int32_t n, int32_t L, int32_t W, char *room, size_t bytes, int32_t *order, int32_t *place, int32_t *parent) {
    int64_t s = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (s >= S) return;
    int32_t *spare = (int32_t *)((tree_edge *)(room + s * bytes) + 2 * (int64_t)L) + 2 * (int64_t)L;
    tree_build(room + s * bytes, n, L, W, order + s * L, place ? place + s * L : spare, parent ? parent + s * L : spare + L);
}

static kr_status spanning_tree_plan_cuda(kr_call *c) {
    c->fwd_scratch = (size_t)KR_SIZE(c, 'S') * tree_bytes(KR_SIZE(c, 'L'));
    c->bwd_scratch = c->saved_bytes = 0;
    return KR_OK;
}

template <typename T> static void fwd(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S');
    int32_t L = (int32_t)KR_SIZE(c, 'L'), width = (int32_t)((const spanning_tree_attr *)c->attr)->width, W = width ? width : L, rows = L / W;
    int32_t n = rows * (W - 1) + (rows - 1) * W;
    const kr_tensor *x = &c->in[TREE_X];
    cu_launch(tree_weight_kernel<T>, cu_blocks(S * 2 * L * 32, 256), 256, 0, c->stream, S, L, W, KR_SIZE(c, 'D'), (const T *)x->data, x->pitch,
              (char *)c->scratch, tree_bytes(L));
    cu_launch(tree_build_kernel, cu_blocks(S, 1), 1, 0, c->stream, S, n, L, W, (char *)c->scratch, tree_bytes(L), (int32_t *)c->out[TREE_ORDER].data,
              (int32_t *)c->out[TREE_PLACE].data, (int32_t *)c->out[TREE_PARENT].data);
}
static void spanning_tree_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) fwd<bf16>(c);
    else fwd<float>(c);
}

KR_CUDA_OP(spanning_tree, spanning_tree_plan_cuda, spanning_tree_fwd_cuda, NULL)
