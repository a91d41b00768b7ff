/* gated_rmsnorm.cu - gated_rmsnorm on a GPU.
 *
 * As in ops/rmsnorm.cuh, a thread holds its elements of a row between the two passes, CH
 * groups of 8, so that every byte moves once; a "row" is one group of columns of one row,
 * and blockIdx.y is which group. */
#include "ops/gated_rmsnorm/gated_rmsnorm.h"

#include "ops/rows.cuh"

enum {
    MAX_GROUP = ROW_THREADS * 4 * 8,
    PROCESSORS = 132,   /* of a large GPU: a backward has as many blocks as it holds at once */
};

template <typename T> struct gated_args {
    int64_t rows, D;
    int width;          /* of a group */
    float eps;
    bool gate_first;
    row_split split;
    const T *x, *z, *dy;
    const float *w;
    T *y, *dx, *dz;     /* y: in backward made again, unless NULL */
    int64_t x_pitch, z_pitch, dx_pitch, dz_pitch;
    bool add_dx, add_dz;
    float *part;        /* of dw; NULL: unwanted */
    int64_t step, x_step, z_step, dy_step, dx_step, dz_step; /* usual backward: rows from one of a block to its next, and bytes */
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
            u[k][j] = x[k][j] * (z[k][j] * fast_sigmoid(z[k][j]));
            float v = a.gate_first ? u[k][j] : x[k][j];
            squares[0] += v * v;
        }
    row_sum(squares, a.split.threads, buffer, 0);
    const float inv = rsqrtf(squares[0] * (1 / (float)a.width) + a.eps);
#pragma unroll
    for (int k = 0; k < CH; k++) {
        int i = (k * a.split.threads + lane) * 8;
        if (i >= width) continue;
        lanes<float, 8> w = get_weight<8, FAST>(w_row, i, width - i);
#pragma unroll
        for (int j = 0; j < 8; j++) u[k][j] = u[k][j] * inv * w.v[j];
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

/* A thread's part of a row on its way to shared memory: x, z, dy. */
template <typename T, int CH>
static __device__ __forceinline__ void fetch_row(const gated_args<T> &a, lanes<T, 8> *room, int64_t r, int64_t col, int lane) {
    const int n = CH * (int)blockDim.x;
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

/* u is what is normalised and g the gradient of u / rms:  du = inv g - u inv^3 mean(g u).
 * Both passes over a row read it from shared memory, where the next one arrives meanwhile
 * (STAGES rows have room): only gates are kept in registers. */
template <int CH> static constexpr int stages(void) { return CH > 2 ? 1 : 2; }
template <typename T, int CH, bool FAST, bool GATE_FIRST>
static __global__ void __maxnreg__(CH > 2 ? 128 : 80) gated_bwd_kernel(const gated_args<T> a) {
    extern __shared__ __align__(16) char room[];
    __shared__ float buffer[2][ROW_WARPS][2];
    enum { STAGES = stages<CH>() };
    const int slot = (int)threadIdx.x / a.split.threads, lane = (int)threadIdx.x - slot * a.split.threads, n = CH * (int)blockDim.x;
    const int64_t col = blockIdx.y * (int64_t)a.width, step = gridDim.x * (int64_t)a.split.at_once, start = blockIdx.x * (int64_t)a.split.at_once;
    const float *w_row = a.w ? a.w + col : NULL;
    const float per = 1 / (float)a.width;
    float dw[CH][8] = {};
    int turn = 0;
    for (int k = 0; FAST && k < STAGES; k++) fetch_row<T, CH>(a, (lanes<T, 8> *)room + k * 3 * n, start + slot + k * step, col, lane);
    for (int64_t first = start; first < a.rows; first += step, turn++) {
        const int64_t r = first + slot;
        const int width = r < a.rows ? a.width : 0;
        lanes<T, 8> *here = (lanes<T, 8> *)room + turn % STAGES * 3 * n + threadIdx.x;
        const T *x_row = a.x + r * a.x_pitch + col, *z_row = a.z + r * a.z_pitch + col, *dy_row = a.dy + r * a.D + col;
        float gate[CH][8], sums[2] = {0, 0}; /* of u^2 and of g u */
        if (FAST) fetch_wait<STAGES - 1>();
#pragma unroll
        for (int k = 0; k < CH; k++) {
            const int i = (k * a.split.threads + lane) * 8, at = k * (int)blockDim.x;
            const lanes<T, 8> x = get<8, FAST>(FAST ? here[at].v : x_row + i, width - i), z = get<8, FAST>(FAST ? here[n + at].v : z_row + i, width - i),
                              dy = get<8, FAST>(FAST ? here[2 * n + at].v : dy_row + i, width - i);
            const lanes<float, 8> w = get_weight<8, FAST>(w_row, i, width - i);
#pragma unroll
            for (int j = 0; j < 8; j++) {
                gate[k][j] = fast_sigmoid(z[j]);
                float p = x[j] * (z[j] * gate[k][j]), g = dy[j] * w.v[j], u = GATE_FIRST ? p : x[j];
                sums[0] += u * u;
                sums[1] += g * p; /* g u: the gate is in one or in the other */
            }
        }
        row_sum(sums, a.split.threads, buffer, turn);
        const float inv = rsqrtf(sums[0] * per + a.eps), back = inv * inv * inv * sums[1] * per;
#pragma unroll
        for (int k = 0; k < CH; k++) {
            const int i = (k * a.split.threads + lane) * 8, at = k * (int)blockDim.x;
            if (i >= width) continue;
            const lanes<T, 8> x = get<8, FAST>(FAST ? here[at].v : x_row + i, width - i), z = get<8, FAST>(FAST ? here[n + at].v : z_row + i, width - i),
                              dy = get<8, FAST>(FAST ? here[2 * n + at].v : dy_row + i, width - i);
            const lanes<float, 8> w = get_weight<8, FAST>(w_row, i, width - i);
            float dx[8], dz[8], y[8];
#pragma unroll
            for (int j = 0; j < 8; j++) {
                const float sg = gate[k][j], s = z[j] * sg, slope = sg + s * (1 - sg), p = x[j] * s;
                const float q = p * inv, g = dy[j] * inv * w.v[j];
                const float du = GATE_FIRST ? g - p * back : g * s - x[j] * back;
                dx[j] = GATE_FIRST ? du * s : du;
                dz[j] = (GATE_FIRST ? du : g) * x[j] * slope;
                dw[k][j] += dy[j] * q;
                y[j] = q * w.v[j];
            }
            if (a.dx) put<8, FAST>(a.dx + r * a.dx_pitch + col + i, dx, a.add_dx, width - i);
            if (a.dz) put<8, FAST>(a.dz + r * a.dz_pitch + col + i, dz, a.add_dz, width - i);
            if (a.y) put<8, FAST>(a.y + r * a.D + col + i, y, false, width - i);
        }
        if (FAST) fetch_row<T, CH>(a, here - threadIdx.x, r + STAGES * step, col, lane);
    }
    fetch_wait<0>();
    __syncthreads(); /* from here on the room is for dw */
    if (a.part) give_dw<CH>(a.split, dw, (float *)room, a.part + blockIdx.x * a.D + col, a.width);
}

/* --- the usual case: gate first, whole runs of 512 columns a warp; blocks of [rows][threads] --------------------- */

/* Columns of a thread, 8 from its warp's first 256, 8 from the next; and threads of a multiprocessor that do best backward. */
enum { USUAL = 16, USUAL_THREADS = 384 };
static __device__ __forceinline__ int usual_column(void) { return (int)threadIdx.x / 32 * 512 + (int)threadIdx.x % 32 * 8; }

template <typename T> static __global__ void __maxnreg__(48) gated_fwd_usual_kernel(const gated_args<T> a) {
    __shared__ float buffer[ROW_WARPS][1];
    const int64_t r = blockIdx.x * (int64_t)blockDim.y + threadIdx.y;
    const int col = (int)blockIdx.y * a.width + usual_column();
    if (r >= a.rows) return;
    const T *x_row = a.x + r * a.x_pitch + col, *z_row = a.z + r * a.z_pitch + col;
    lanes<T, 8> x_in[2], z_in[2];
    float u[2][8], squares[1] = {0};
#pragma unroll
    for (int k = 0; k < 2; k++) x_in[k] = *(const lanes<T, 8> *)(x_row + k * 256), z_in[k] = *(const lanes<T, 8> *)(z_row + k * 256);
#pragma unroll
    for (int k = 0; k < 2; k++) {
        float x[8], z[8];
        open(x, x_in[k]), open(z, z_in[k]);
#pragma unroll
        for (int j = 0; j < 8; j++) {
            u[k][j] = x[j] * (z[j] * fast_sigmoid(z[j]));
            squares[0] += u[k][j] * u[k][j];
        }
    }
    slot_sum(squares, buffer);
    const float inv = rsqrtf(squares[0] * (1 / (float)a.width) + a.eps);
    T *y_row = a.y + r * a.D + col;
#pragma unroll
    for (int k = 0; k < 2; k++) {
        const lanes<float, 8> w = get_weight<8, true>(a.w, col + k * 256, 8);
#pragma unroll
        for (int j = 0; j < 8; j++) u[k][j] = u[k][j] * inv * w.v[j];
        *(lanes<T, 8> *)(y_row + k * 256) = closed<T>(u[k]);
    }
}

/* Two rows of x, z and dy, and the weights; then shares of dw. */
template <typename T> static size_t usual_shared(row_split split) { return (size_t)row_block(split) * USUAL * (2 * 3 * sizeof(T) + sizeof(float)); }

/* In shared memory 8 columns of a thread are pieces of 16 bytes, 512 bytes apart: a piece of each thread of the warp. */
template <typename T> static constexpr int eight_bytes(void) { return (int)sizeof(lanes<T, 8>) * 32; }
template <typename T> static __device__ __forceinline__ void fetch_usual(unsigned to, const T *from) {
    const int n = 16 / (int)sizeof(T), pieces = USUAL / n;
#pragma unroll
    for (int u = 0; u < pieces; u++)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to + u * 512), "l"(from + u / (pieces / 2) * 256 + u % (pieces / 2) * n) : "memory");
}
template <typename T> static __device__ __forceinline__ void read_eight(float (&v)[8], const char *from) {
    lanes<T, 8> x;
#pragma unroll
    for (int u = 0; u < (int)sizeof x / 16; u++) ((uint4 *)&x)[u] = *(const uint4 *)(from + u * 512);
    open(v, x);
}

template <typename T> static __device__ __forceinline__ void next_row(T *&p, int64_t bytes) { p = (T *)((char *)p + bytes); }

/* SET: dx and dz are both wanted, and set. */
template <typename T, bool SET> static __global__ void __maxnreg__(104) gated_bwd_usual_kernel(const gated_args<T> a) {
    extern __shared__ __align__(16) char room[];
    __shared__ float buffer[2][ROW_WARPS][2];
    enum { EIGHT = eight_bytes<T>(), TENSOR = 2 * EIGHT, STAGE = 3 * TENSOR }; /* bytes of a warp */
    const int me = (int)(threadIdx.y * blockDim.x + threadIdx.x), slot = (int)threadIdx.y, col = (int)blockIdx.y * a.width + usual_column();
    const int threads = (int)(blockDim.x * blockDim.y);
    int64_t r = blockIdx.x * (int64_t)blockDim.y + slot;
    const T *x_next = a.x + r * a.x_pitch + col, *z_next = a.z + r * a.z_pitch + col, *dy_next = a.dy + r * a.D + col;
    T *dx_row = a.dx + r * a.dx_pitch + col, *dz_row = a.dz + r * a.dz_pitch + col, *y_row = a.y + r * a.D + col;
    char *here = room + me / 32 * 2 * STAGE + me % 32 * 16;
    const unsigned there = (unsigned)__cvta_generic_to_shared(here);
    const float per = 1 / (float)a.width;
    float dw[2][8] = {};
    lanes<float, 4> *weights = (lanes<float, 4> *)(room + threads / 32 * 2 * STAGE) + me / 32 * 128 + me % 32;
#pragma unroll
    for (int k = 0; k < 4; k++) weights[k * 32] = get_weight<4, true>(a.w, col + k / 2 * 256 + k % 2 * 4, 4);
    int stage = 0;
#pragma unroll
    for (int k = 0; k < 2; k++) {
        if (r + k * a.step < a.rows) {
            fetch_usual(there + k * STAGE, x_next), fetch_usual(there + k * STAGE + TENSOR, z_next);
            fetch_usual(there + k * STAGE + 2 * TENSOR, dy_next);
        }
        next_row(x_next, a.x_step), next_row(z_next, a.z_step), next_row(dy_next, a.dy_step);
        fetch_commit();
    }
    for (; r < a.rows; r += a.step, stage ^= STAGE) {
        const char *row = here + stage;
        float gate[2][8], sums[2] = {0, 0}; /* of p^2 and of g p, p = x silu(z) */
        fetch_wait<1>();
#pragma unroll
        for (int k = 0; k < 2; k++) {
            float x[8], z[8], dy[8], w[8];
            read_eight<float>(w, (const char *)(weights + k * 64));
            read_eight<T>(x, row + k * EIGHT), read_eight<T>(z, row + TENSOR + k * EIGHT), read_eight<T>(dy, row + 2 * TENSOR + k * EIGHT);
#pragma unroll
            for (int j = 0; j < 8; j++) {
                gate[k][j] = fast_sigmoid(z[j]);
                const float p = x[j] * (z[j] * gate[k][j]);
                sums[0] += p * p;
                sums[1] += dy[j] * w[j] * p;
            }
        }
        slot_sum(sums, buffer[stage != 0]);
        const float inv = rsqrtf(sums[0] * per + a.eps), back = inv * inv * inv * sums[1] * per;
#pragma unroll
        for (int k = 0; k < 2; k++) {
            float x[8], z[8], dy[8], dx[8], dz[8], w[8];
            read_eight<float>(w, (const char *)(weights + k * 64));
            read_eight<T>(x, row + k * EIGHT), read_eight<T>(z, row + TENSOR + k * EIGHT), read_eight<T>(dy, row + 2 * TENSOR + k * EIGHT);
#pragma unroll
            for (int j = 0; j < 8; j++) {
                const float s = z[j] * gate[k][j], p = x[j] * s, g = dy[j] * inv, du = g * w[j] - p * back;
                dw[k][j] += g * p;
                dx[j] = du * s;
                dz[j] = du * (gate[k][j] * (x[j] - p) + p); /* x silu'(z) */
                z[j] = p;
            }
            if (SET || a.dx) put<8, true>(dx_row + k * 256, dx, !SET && a.add_dx, 8);
            if (SET || a.dz) put<8, true>(dz_row + k * 256, dz, !SET && a.add_dz, 8);
            if (a.y) {
#pragma unroll
                for (int j = 0; j < 8; j++) z[j] = z[j] * inv * w[j];
                *(lanes<T, 8> *)(y_row + k * 256) = closed<T>(z);
            }
        }
        next_row(dx_row, a.dx_step), next_row(dz_row, a.dz_step), next_row(y_row, a.dy_step);
        if (r + 2 * a.step < a.rows)
            fetch_usual(there + stage, x_next), fetch_usual(there + stage + TENSOR, z_next), fetch_usual(there + stage + 2 * TENSOR, dy_next);
        next_row(x_next, a.x_step), next_row(z_next, a.z_step), next_row(dy_next, a.dy_step);
        fetch_commit();
    }
    early_next();
    fetch_wait<0>();
    if (!a.part) return;
    /* the slots of a block in order; from here on the room is for dw */
    lanes<float, 8> *share = (lanes<float, 8> *)room + me;
    __syncthreads();
#pragma unroll
    for (int k = 0; slot && k < 2; k++) share[k * threads] = closed<float>(dw[k]);
    __syncthreads();
#pragma unroll
    for (int k = 0; !slot && k < 2; k++) {
#pragma unroll 1
        for (int n = 1; n < (int)blockDim.y; n++)
#pragma unroll
            for (int j = 0; j < 8; j++) dw[k][j] += share[k * threads + n * blockDim.x].v[j];
        *(lanes<float, 8> *)(a.part + blockIdx.x * a.D + col + k * 256) = closed<float>(dw[k]);
    }
}

template <typename T, int CH> static size_t shared_for(row_split split) {
    size_t n = (size_t)row_block(split) * CH, ahead = 3 * stages<CH>() * n * sizeof(lanes<T, 8>), share = n * 8 * sizeof(float);
    return ahead > share ? ahead : share;
}

static int groups_of_8(int64_t width) { return width <= ROW_THREADS * 2 * 8 ? 2 : 4; }
static row_split split_for(int64_t width) { return row_split_for((width + 7) / 8, groups_of_8(width)); }
/* ... and a block's shared memory is what an A100 has, too. */
template <typename T> static bool usual_width(int64_t width) {
    return groups_of_8(width) == 2 && width == split_for(width).threads * USUAL && usual_shared<T>(split_for(width)) <= 160 * 1024;
}
template <typename T> static int64_t blocks_for(const kr_call *c, int64_t width) {
    const row_split split = split_for(width);
    const int64_t groups = width > 0 ? KR_SIZE(c, 'D') / width : 1, threads = row_block(split);
    const int64_t each = usual_width<T>(width) ? USUAL_THREADS / threads : 65536 / ((groups_of_8(width) > 2 ? 128 : 80) * threads);
    const int64_t most = PROCESSORS * (each > 1 ? each : 1);
    return row_blocks(c->rows, split.at_once, groups < most ? most / groups : 1);
}

static kr_status gated_rmsnorm_plan_cuda(kr_call *c) {
    int64_t width = gated_rmsnorm_group(c);
    if (width > MAX_GROUP)
        KR_FAIL(KR_ERR_SHAPE, "gated_rmsnorm: groups have %lld columns, want at most %d on a GPU", (long long)width, MAX_GROUP);
    c->fwd_scratch = c->saved_bytes = 0;
    c->bwd_scratch = (size_t)(c->real == KR_BF16 ? blocks_for<bf16>(c, width) : blocks_for<float>(c, width)) * (size_t)KR_SIZE(c, 'D') * sizeof(float);
    return KR_OK;
}

template <typename T, int CH> static void launch(const kr_call *c, gated_args<T> &a, bool fast, bool back) {
    unsigned groups = (unsigned)(a.D / a.width), block = row_block(a.split);
    dim3 fwd((unsigned)((a.rows + a.split.at_once - 1) / a.split.at_once), groups);
    dim3 bwd((unsigned)blocks_for<T>(c, a.width), groups);
    size_t shared = shared_for<T, CH>(a.split);
    bool usual = CH == 2 && fast && a.gate_first && usual_width<T>(a.width);
    a.step = bwd.x * a.split.at_once;
    a.x_step = a.step * a.x_pitch * (int64_t)sizeof(T), a.z_step = a.step * a.z_pitch * (int64_t)sizeof(T), a.dy_step = a.step * a.D * (int64_t)sizeof(T);
    a.dx_step = a.step * a.dx_pitch * (int64_t)sizeof(T), a.dz_step = a.step * a.dz_pitch * (int64_t)sizeof(T);
    const bool set = a.dx && a.dz && !a.add_dx && !a.add_dz;
    if (back && usual) cu_launch(set ? gated_bwd_usual_kernel<T, true> : gated_bwd_usual_kernel<T, false>, bwd, dim3(a.split.threads, a.split.at_once), usual_shared<T>(a.split), c->stream, a);
    else if (usual) cu_launch(gated_fwd_usual_kernel<T>, fwd, dim3(a.split.threads, a.split.at_once), 0, c->stream, a);
    else if (back && fast && a.gate_first) cu_launch(gated_bwd_kernel<T, CH, true, true>, bwd, block, shared, c->stream, a);
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
        a.y = c->again ? (T *)c->out[GATED_RMSNORM_Y].data : NULL;
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
