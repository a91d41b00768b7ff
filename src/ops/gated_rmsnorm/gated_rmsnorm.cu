/* gated_rmsnorm.cu - gated_rmsnorm on a GPU.
 *
 * As in ops/rmsnorm.cuh, a thread holds its elements of a row between the two passes, CH
 * groups of 8, so that every byte moves once; a "row" is one group of columns of one row,
 * and blockIdx.y is which group. */
#include "ops/gated_rmsnorm/gated_rmsnorm.h"

#include "ops/rows.cuh"

enum {
    MAX_GROUP = ROW_THREADS * 4 * 8,
    BLOCKS = 3 * 132, /* of a backward: what a large GPU holds at once */
};

template <typename T> struct gated_args {
    int64_t rows, D;
    int width;          /* of a group */
    float eps;
    bool gate_first;
    row_split split;
    const T *x, *z, *dy;
    const float *w;
    T *y, *dx, *dz;
    int64_t x_pitch, z_pitch, dx_pitch, dz_pitch;
    bool add_dx, add_dz;
    float *part;        /* of dw; NULL: unwanted */
};

template <typename T, int CH, bool FAST>
static __global__ void __maxnreg__(CH > 2 ? 128 : 48) gated_fwd_kernel(const gated_args<T> a) {
    __shared__ float buffer[2][ROW_WARPS][1];
    int slot = (int)threadIdx.x / a.split.threads, lane = (int)threadIdx.x - slot * a.split.threads;
    int64_t r = blockIdx.x * (int64_t)a.split.at_once + slot, col = blockIdx.y * (int64_t)a.width;
    int width = r < a.rows ? a.width : 0;
    const T *x_row = a.x + r * a.x_pitch + col, *z_row = a.z + r * a.z_pitch + col;
    const float *w_row = a.w ? a.w + col : NULL;
    T *y_row = a.y + r * a.D + col;
    lanes<T, 8> x[CH], z[CH];
    float u[CH][8], squares[1] = {0};
#pragma unroll
    for (int k = 0; k < CH; k++) {
        int i = (k * a.split.threads + lane) * 8;
        x[k] = get<8, FAST>(x_row + i, width - i);
        z[k] = get<8, FAST>(z_row + i, width - i);
    }
#pragma unroll
    for (int k = 0; k < CH; k++)
#pragma unroll
        for (int j = 0; j < 8; j++) {
            u[k][j] = x[k][j] * z[k][j] * fast_sigmoid(z[k][j]);
            float v = a.gate_first ? u[k][j] : x[k][j];
            squares[0] += v * v;
        }
    row_sum(squares, a.split.threads, buffer, 0);
    float inv = rsqrtf(squares[0] / (float)a.width + a.eps);
#pragma unroll
    for (int k = 0; k < CH; k++) {
        int i = (k * a.split.threads + lane) * 8;
        if (i >= width) continue;
        lanes<float, 8> w = get_weight<8, FAST>(w_row, i, width - i);
#pragma unroll
        for (int j = 0; j < 8; j++) u[k][j] *= inv * w.v[j];
        put<8, FAST>(y_row + i, u[k], false, width - i);
    }
}

/* The threads of a block that have the same columns add up dw; part gets one row a block. */
template <int CH>
static __device__ __forceinline__ void give_dw(const row_split &split, const float (&dw)[CH][8], float *share, float *part,
                                               int width) {
    int slot = (int)threadIdx.x / split.threads, lane = (int)threadIdx.x - slot * split.threads;
    float *to = split.at_once > 1 ? share + slot * width : part;
#pragma unroll
    for (int k = 0; k < CH; k++)
#pragma unroll
        for (int j = 0; j < 8; j++) {
            int i = (k * split.threads + lane) * 8 + j;
            if (i < width) to[i] = dw[k][j];
        }
    if (split.at_once == 1) return;
    __syncthreads();
    for (int i = (int)threadIdx.x; i < width; i += (int)blockDim.x) {
        float sum = 0;
        for (int n = 0; n < split.at_once; n++) sum += share[n * width + i];
        part[i] = sum;
    }
}

/* What a thread fetches of its next row while it works on this one: x, z, dy. */
template <typename T, int CH>
static __device__ __forceinline__ void fetch_row(const gated_args<T> &a, lanes<T, 8> *room, int64_t r, int64_t col, int lane) {
    int n = CH * (int)blockDim.x;
#pragma unroll
    for (int k = 0; k < CH; k++) {
        int i = (k * a.split.threads + lane) * 8, at = k * (int)blockDim.x + (int)threadIdx.x;
        if (r >= a.rows || i >= a.width) continue;
        fetch<8>(room + at, a.x + r * a.x_pitch + col + i);
        fetch<8>(room + n + at, a.z + r * a.z_pitch + col + i);
        fetch<8>(room + 2 * n + at, a.dy + r * a.D + col + i);
    }
    fetch_commit();
}

/* u is what is normalised and g the gradient of u / rms:  du = inv g - u inv^3 mean(g u). */
template <typename T, int CH, bool FAST, bool GATE_FIRST>
static __global__ void __maxnreg__(CH > 2 ? 128 : 112) gated_bwd_kernel(const gated_args<T> a) {
    extern __shared__ __align__(16) char room[];
    __shared__ float buffer[2][ROW_WARPS][2];
    lanes<T, 8> *ahead = (lanes<T, 8> *)room;
    int slot = (int)threadIdx.x / a.split.threads, lane = (int)threadIdx.x - slot * a.split.threads, turn = 0;
    int64_t col = blockIdx.y * (int64_t)a.width, step = gridDim.x * (int64_t)a.split.at_once;
    const float *w_row = a.w ? a.w + col : NULL;
    float dw[CH][8] = {};
    if (FAST) fetch_row<T, CH>(a, ahead, blockIdx.x * (int64_t)a.split.at_once + slot, col, lane);
    for (int64_t first = blockIdx.x * (int64_t)a.split.at_once; first < a.rows; first += step) {
        int64_t r = first + slot;
        int width = r < a.rows ? a.width : 0, n = CH * (int)blockDim.x;
        lanes<T, 8> x[CH], z[CH], dy[CH];
        float gate[CH][8], sums[2] = {0, 0}; /* of u^2 and of g u */
        if (FAST) fetch_wait<0>();
#pragma unroll
        for (int k = 0; k < CH; k++) {
            int i = (k * a.split.threads + lane) * 8, at = k * (int)blockDim.x + (int)threadIdx.x;
            x[k] = get<8, FAST>(FAST ? ahead[at].v : a.x + r * a.x_pitch + col + i, width - i);
            z[k] = get<8, FAST>(FAST ? ahead[n + at].v : a.z + r * a.z_pitch + col + i, width - i);
            dy[k] = get<8, FAST>(FAST ? ahead[2 * n + at].v : a.dy + r * a.D + col + i, width - i);
        }
        if (FAST) fetch_row<T, CH>(a, ahead, r + step, col, lane);
#pragma unroll
        for (int k = 0; k < CH; k++) {
            int i = (k * a.split.threads + lane) * 8;
            lanes<float, 8> w = get_weight<8, FAST>(w_row, i, width - i);
#pragma unroll
            for (int j = 0; j < 8; j++) {
                gate[k][j] = fast_sigmoid(z[k][j]);
                float p = x[k][j] * (z[k][j] * gate[k][j]), g = dy[k][j] * w.v[j], u = GATE_FIRST ? p : x[k][j];
                sums[0] += u * u;
                sums[1] += g * p; /* g u: the gate is in one or in the other */
            }
        }
        row_sum(sums, a.split.threads, buffer, turn++);
        float inv = rsqrtf(sums[0] / (float)a.width + a.eps), back = inv * inv * inv * sums[1] / (float)a.width;
#pragma unroll
        for (int k = 0; k < CH; k++) {
            int i = (k * a.split.threads + lane) * 8;
            if (i >= width) continue;
            lanes<float, 8> w = get_weight<8, FAST>(w_row, i, width - i);
            float dx[8], dz[8];
#pragma unroll
            for (int j = 0; j < 8; j++) {
                float xj = x[k][j], sg = gate[k][j], s = z[k][j] * sg, slope = sg + s * (1 - sg), p = xj * s;
                float h = dy[k][j] * inv, g = h * w.v[j];
                float du = GATE_FIRST ? g - p * back : g * s - xj * back;
                dx[j] = GATE_FIRST ? du * s : du;
                dz[j] = (GATE_FIRST ? du : g) * xj * slope;
                dw[k][j] += h * p;
            }
            if (a.dx) put<8, FAST>(a.dx + r * a.dx_pitch + col + i, dx, a.add_dx, width - i);
            if (a.dz) put<8, FAST>(a.dz + r * a.dz_pitch + col + i, dz, a.add_dz, width - i);
        }
    }
    fetch_wait<0>();
    __syncthreads(); /* from here on the room is for dw */
    if (a.part) give_dw<CH>(a.split, dw, (float *)room, a.part + blockIdx.x * a.D + col, a.width);
}
template <typename T, int CH> static size_t shared_for(row_split split) {
    size_t n = (size_t)row_block(split) * CH, ahead = 3 * n * sizeof(lanes<T, 8>), share = n * 8 * sizeof(float);
    return ahead > share ? ahead : share;
}

static int groups_of_8(int64_t width) { return width <= ROW_THREADS * 2 * 8 ? 2 : 4; }
static row_split split_for(int64_t width) { return row_split_for((width + 7) / 8, groups_of_8(width)); }
static int64_t blocks_for(const kr_call *c, int64_t width) {
    int64_t groups = width > 0 ? KR_SIZE(c, 'D') / width : 1;
    return row_blocks(c->rows, split_for(width).at_once, groups < BLOCKS ? BLOCKS / groups : 1);
}

static kr_status gated_rmsnorm_plan_cuda(kr_call *c) {
    int64_t width = gated_rmsnorm_group(c);
    if (width > MAX_GROUP)
        KR_FAIL(KR_ERR_SHAPE, "gated_rmsnorm: groups have %lld columns, want at most %d on a GPU", (long long)width, MAX_GROUP);
    c->fwd_scratch = c->saved_bytes = 0;
    c->bwd_scratch = (size_t)blocks_for(c, width) * (size_t)KR_SIZE(c, 'D') * sizeof(float);
    return KR_OK;
}

template <typename T, int CH> static void launch(const kr_call *c, const gated_args<T> &a, bool fast, bool back) {
    unsigned groups = (unsigned)(a.D / a.width), block = row_block(a.split);
    dim3 fwd((unsigned)((a.rows + a.split.at_once - 1) / a.split.at_once), groups);
    dim3 bwd((unsigned)blocks_for(c, a.width), groups);
    size_t shared = shared_for<T, CH>(a.split);
    if (back && fast && a.gate_first) cu_launch(gated_bwd_kernel<T, CH, true, true>, bwd, block, shared, c->stream, a);
    else if (back && fast) cu_launch(gated_bwd_kernel<T, CH, true, false>, bwd, block, shared, c->stream, a);
    else if (back && a.gate_first) cu_launch(gated_bwd_kernel<T, CH, false, true>, bwd, block, shared, c->stream, a);
    else if (back) cu_launch(gated_bwd_kernel<T, CH, false, false>, bwd, block, shared, c->stream, a);
    else if (fast) cu_launch(gated_fwd_kernel<T, CH, true>, fwd, block, 0, c->stream, a);
    else cu_launch(gated_fwd_kernel<T, CH, false>, fwd, block, 0, c->stream, a);
    if (back) sum_parts(c, (float *)c->din[GATED_RMSNORM_W].data, c->acc[GATED_RMSNORM_W], a.part, bwd.x, a.D, a.D);
}

template <typename T> static void run(const kr_call *c, bool back) {
    const kr_tensor *x = &c->in[GATED_RMSNORM_X], *z = &c->in[GATED_RMSNORM_Z];
    const kr_tensor *dx = &c->din[GATED_RMSNORM_X], *dz = &c->din[GATED_RMSNORM_Z];
    const gated_rmsnorm_attr *attr = (const gated_rmsnorm_attr *)c->attr;
    gated_args<T> a = {};
    a.rows = c->rows, a.D = KR_SIZE(c, 'D'), a.width = (int)gated_rmsnorm_group(c);
    if (a.D == 0 || (a.rows == 0 && !back)) return;
    a.eps = (float)attr->eps, a.gate_first = !attr->norm_before_gate;
    a.split = split_for(a.width);
    a.x = (const T *)x->data, a.x_pitch = x->pitch;
    a.z = (const T *)z->data, a.z_pitch = z->pitch;
    a.w = (const float *)c->in[GATED_RMSNORM_W].data;
    if (!back) a.y = (T *)c->out[GATED_RMSNORM_Y].data;
    else {
        a.dy = (const T *)c->dout[GATED_RMSNORM_Y].data;
        a.dx = (T *)dx->data, a.dx_pitch = dx->pitch, a.add_dx = c->acc[GATED_RMSNORM_X];
        a.dz = (T *)dz->data, a.dz_pitch = dz->pitch, a.add_dz = c->acc[GATED_RMSNORM_Z];
        a.part = c->din[GATED_RMSNORM_W].data ? (float *)c->scratch : NULL;
    }
    bool fast = a.width % 8 == 0 && rows_aligned(a.x, a.x_pitch, sizeof(T), 8) && rows_aligned(a.z, a.z_pitch, sizeof(T), 8) &&
                rows_aligned(a.w, 0, 4, 8) && rows_aligned(a.y, a.D, sizeof(T), 8) && rows_aligned(a.dy, a.D, sizeof(T), 8) &&
                rows_aligned(a.dx, a.dx_pitch, sizeof(T), 8) && rows_aligned(a.dz, a.dz_pitch, sizeof(T), 8);
    if (groups_of_8(a.width) == 2) launch<T, 2>(c, a, fast, back);
    else launch<T, 4>(c, a, fast, back);
}

static void gated_rmsnorm_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, false);
    else run<float>(c, false);
}
static void gated_rmsnorm_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, true);
    else run<float>(c, true);
}

KR_CUDA_OP(gated_rmsnorm, gated_rmsnorm_plan_cuda, gated_rmsnorm_fwd_cuda, gated_rmsnorm_bwd_cuda)
