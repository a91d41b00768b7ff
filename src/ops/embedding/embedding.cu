/* embedding.cu - embedding on a GPU.
 *
 * The gradient sorts the tokens by id and cuts the sorted list into tiles of 32.  A run of one
 * id inside a tile goes straight to its row of dW; what a run has in its first tile, where it
 * ends in a later one, and in the tiles after it are shares, summed in order by a second
 * kernel.  So no two blocks write a row, and every sum has one order. */
#include "ops/embedding/embedding.h"

#include "cuda/blocks.cuh"
#include "ops/elements.cuh"
#include "ops/sort.cuh"

enum { TILE = 32 };

template <typename T, typename W> struct embedding_work {
    const int32_t *ids;
    const W *w;
    T *y;
    int64_t D, V, id_pitch;
    template <bool FAST> __device__ void run(int64_t r, int64_t i, int left) const {
        int64_t id = ids[r * id_pitch];
        lanes<W, 8> v = get<8, FAST>(w + id * D + i, id >= 0 && id < V ? left : 0);
        float to[8];
#pragma unroll
        for (int j = 0; j < 8; j++) to[j] = v[j];
        put<8, FAST>(y + r * D + i, to, false, left);
    }
};

template <typename T, typename W> static void fwd(const kr_call *c) {
    const kr_tensor *ids = &c->in[EMBEDDING_IDS], *w = &c->in[EMBEDDING_W], *y = &c->out[EMBEDDING_Y];
    int64_t D = KR_SIZE(c, 'D');
    embedding_work<T, W> e = {(const int32_t *)ids->data, (const W *)w->data, (T *)y->data, D, KR_SIZE(c, 'V'), ids->pitch};
    elements(c, KR_SIZE(c, 'S') * KR_SIZE(c, 'L'), D, D % 8 == 0 && elements_fast(w, D) && elements_fast(y, D), e);
}

/* Rows of a table in blocks: a thread 8 numbers. */
template <typename T>
static __global__ void __launch_bounds__(128) blocks_kernel(const int32_t *ids, int64_t id_pitch, const cu_planes w, bool four, T *y, int64_t n, int64_t D, int64_t V) {
    const int64_t i = (blockIdx.x * (int64_t)blockDim.x + threadIdx.x) * 8, r = i / D;
    float v[8] = {};
    if (i >= n) return;
    const int64_t id = ids[r * id_pitch];
    if (id >= 0 && id < V) cu_unblock(v, w, four, id * D + i % D);
    cu_store<8>(y + i, v);
}
template <typename T> static void fwd_blocks(const kr_call *c) {
    const kr_tensor *ids = &c->in[EMBEDDING_IDS], *w = &c->in[EMBEDDING_W];
    const int64_t D = KR_SIZE(c, 'D'), V = KR_SIZE(c, 'V'), n = KR_SIZE(c, 'S') * KR_SIZE(c, 'L') * D;
    cu_launch(blocks_kernel<T>, cu_blocks(n, 128 * 8), 128, 0, c->stream, (const int32_t *)ids->data, ids->pitch, cu_planes_of(w->data, w->dtype, V * D),
              cu_four_bits(w->dtype), (T *)c->out[EMBEDDING_Y].data, n, D, V);
}

static void embedding_fwd_cuda(const kr_call *c) {
    bool low = c->in[EMBEDDING_W].dtype == KR_BF16;
    if (cu_blocked(c->in[EMBEDDING_W].dtype)) c->real == KR_BF16 ? fwd_blocks<bf16>(c) : fwd_blocks<float>(c);
    else if (c->real == KR_BF16 && low) fwd<bf16, bf16>(c);
    else if (c->real == KR_BF16) fwd<bf16, float>(c);
    else if (low) fwd<float, bf16>(c);
    else fwd<float, float>(c);
}

/* share[tile][0]: of the run that began before this tile; [1]: of the one that goes on after it. */
template <typename T, bool FAST>
static __global__ void __launch_bounds__(128) tile_kernel(int64_t n, int64_t D, int32_t V, const int32_t *id, const int32_t *at, const T *dy,
                                                          float *dw, float *share) {
    int64_t col = (blockIdx.y * (int64_t)128 + threadIdx.x) * 4, first = blockIdx.x * (int64_t)TILE;
    if (col >= D) return;
    int left = D - col < 4 ? (int)(D - col) : 4, count = n - first < TILE ? (int)(n - first) : TILE;
    float sum[4] = {};
    bool from_before = first > 0 && id[first - 1] == id[first];
    for (int k0 = 0; k0 < count; k0 += 8) {
        lanes<T, 4> v[8];
#pragma unroll
        for (int k = 0; k < 8; k++) {
            bool there = k0 + k < count;
            v[k] = get<4, FAST>(dy + (there ? at[first + k0 + k] : 0) * D + col, there ? left : 0);
        }
#pragma unroll
        for (int k = 0; k < 8; k++) {
            int64_t i = first + k0 + k;
            if (k0 + k >= count) break;
#pragma unroll
            for (int j = 0; j < 4; j++) sum[j] += v[k][j];
            bool last = k0 + k == count - 1, goes_on = i + 1 < n && id[i + 1] == id[i];
            if (goes_on && !last) continue;
            if (from_before) put<4, FAST>(share + (blockIdx.x * (int64_t)2) * D + col, sum, false, left);
            else if (goes_on) put<4, FAST>(share + (blockIdx.x * (int64_t)2 + 1) * D + col, sum, false, left);
            else if (id[i] < V) put<4, FAST>(dw + id[i] * D + col, sum, true, left);
            from_before = false;
#pragma unroll
            for (int j = 0; j < 4; j++) sum[j] = 0;
        }
    }
}

/* For the tile in which a run begins that goes on in others: all its shares, in order. */
template <bool FAST>
static __global__ void __launch_bounds__(128) join_kernel(int64_t n, int64_t D, int32_t V, const int32_t *id, float *dw, const float *share) {
    int64_t col = (blockIdx.y * (int64_t)128 + threadIdx.x) * 4, first = blockIdx.x * (int64_t)TILE, last = first + TILE - 1;
    if (col >= D || last + 1 >= n) return;
    int32_t v = id[last];
    if (v >= V || id[last + 1] != v || (id[first] == v && first > 0 && id[first - 1] == v)) return;
    int left = D - col < 4 ? (int)(D - col) : 4;
    int64_t tile = blockIdx.x, end = tile + 1; /* binary search for the first tile that does not begin with v */
    for (int64_t hi = (n + TILE - 1) / TILE; end < hi;) {
        int64_t mid = (end + hi) / 2;
        if (id[mid * TILE] == v) end = mid + 1;
        else hi = mid;
    }
    lanes<float, 4> own = get<4, FAST>(share + (tile * 2 + 1) * D + col, left);
    float sum[4] = {own.v[0], own.v[1], own.v[2], own.v[3]};
#pragma unroll 8
    for (int64_t t = tile + 1; t < end; t++) {
        lanes<float, 4> s = get<4, FAST>(share + t * 2 * D + col, left);
#pragma unroll
        for (int j = 0; j < 4; j++) sum[j] += s.v[j];
    }
    put<4, FAST>(dw + v * D + col, sum, true, left);
}

static int64_t tokens(const kr_call *c) { return KR_SIZE(c, 'S') * KR_SIZE(c, 'L'); }
static size_t sort_room(const kr_call *c) { return (sort_bytes(tokens(c)) + 255) / 256 * 256; }

static kr_status embedding_plan_cuda(kr_call *c) {
    int64_t tiles = (tokens(c) + TILE - 1) / TILE;
    if (tokens(c) > INT32_MAX || KR_SIZE(c, 'V') > INT32_MAX - 1) KR_FAIL(KR_ERR_SHAPE, "embedding: more than 2^31 tokens or ids");
    c->fwd_scratch = c->saved_bytes = 0;
    c->bwd_scratch = sort_room(c) + (size_t)(tiles * 2 * KR_SIZE(c, 'D')) * sizeof(float);
    return KR_OK;
}

template <typename T> static void bwd(const kr_call *c) {
    const kr_tensor *ids = &c->in[EMBEDDING_IDS];
    int64_t n = tokens(c), D = KR_SIZE(c, 'D'), V = KR_SIZE(c, 'V');
    float *dw = (float *)c->din[EMBEDDING_W].data, *share = (float *)((char *)c->scratch + sort_room(c));
    const T *dy = (const T *)c->dout[EMBEDDING_Y].data;
    if (!dw) return;
    if (!c->acc[EMBEDDING_W]) cudaMemsetAsync(dw, 0, (size_t)(V * D) * sizeof(float), (cudaStream_t)c->stream);
    if (n == 0) return;
    sorted_ids s = sort_ids(c->scratch, (const int32_t *)ids->data, ids->pitch, n, V, c->stream);
    bool fast = D % 4 == 0 && rows_aligned(dy, D, sizeof(T), 4) && rows_aligned(dw, D, 4, 4);
    dim3 grid(cu_blocks(n, TILE), cu_blocks(D, 512));
    cu_launch(fast ? tile_kernel<T, true> : tile_kernel<T, false>, grid, 128, 0, c->stream, n, D, (int32_t)V, s.id, s.at, dy, dw, share);
    cu_launch(fast ? join_kernel<true> : join_kernel<false>, grid, 128, 0, c->stream, n, D, (int32_t)V, s.id, dw, share);
}
static void embedding_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) bwd<bf16>(c);
    else bwd<float>(c);
}

KR_CUDA_OP(embedding, embedding_plan_cuda, embedding_fwd_cuda, embedding_bwd_cuda, true)
