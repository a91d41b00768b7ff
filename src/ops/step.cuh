/* step.cuh - the products of one decoding step, and what is done to their sums.
 *
 * With a few rows a product is the reading of its weight, so a launch asks for its first
 * weights before it waits for the launch that makes its rows (programmatic dependent launch):
 * the memory is never idle between launches.  16 columns a block, K cut between its warps,
 * which read the weight straight into the registers that mma takes: the order of K inside a
 * step of 32 is free, so a thread takes 8 neighbours at once.
 *
 * How K is cut hangs on K and N alone, and the rows of an mma do not touch each other: a row has
 * the same bits beside any others, up to STEP_ROWS of them (fewer in wide products).  From there on
 * cuBLASLt multiplies.
 *
 * A weight in blocks is read as it lies (cuda/blocks.cuh): whole numbers are exact in bfloat16, so a
 * step of 32 is multiplied as such, and its sum then scaled in float32.  Where cuBLASLt multiplies, all
 * of it is turned into numbers first. */
#ifndef KR_OPS_STEP_CUH
#define KR_OPS_STEP_CUH
#include "cuda/blas.cuh"
#include "cuda/blocks.cuh"
#include "cuda/early.cuh"
#include "ops/op.h"

enum {
    STEP_COLS = 16,    /* of a row of mma; also what one share of q1 sums */
    STEP_AHEAD = 4,    /* steps of 32 along K whose weights are on their way */
    STEP_GROUPS = 8,   /* of a grouped norm, at most */
    STEP_ROWS = 32,    /* most rows that are multiplied here */
    STEP_HEAVY = 8192, STEP_HEAVY_ROWS = 16,   /* from so many columns on: most rows */
    STEP_SCORES = 16384, STEP_SCORES_ROWS = 8, /* beyond so many */
    STEP_WIDE = 2048   /* columns from which rows cost more than weights, and a block takes two mma's */
};

/* t = sum over groups of scale_g (a W^T over the group's part of K) + bias, where
 * scale_g = 1 / sqrt(mean of the group's squares + eps), q: shares of their sum. */
template <typename T> struct step_args_of {
    const T *a;
    const void *W;         /* of w_type */
    kr_dtype w_type;
    const float *q, *bias; /* q NULL: no scale */
    int64_t a_pitch, q_pitch, N, K;
    int M, J, groups;
    float eps;
    T *y;                  /* NULL: unwanted, as sum and q1 */
    /* y = (t + res) w, sum = t + res, q1 its squares summed by 16 columns */
    const float *res, *w;
    int64_t res_pitch;
    float *sum, *q1;
    int n_parts;
    /* or y = t, but silu(conv(t)) in columns [conv_at, conv_at + D); four taps, x0 and x1 [M, 3, D] */
    const float *cw, *cb, *x0;
    float *x1;
    int64_t conv_at, D;
};
typedef step_args_of<bf16> step_args;

/* How many warps share K: many, where there are few columns; 0: K is not for step_kernel. */
static inline int step_warps(int64_t N, int64_t K) { return K <= 0 || K % 256 ? 0 : K % 512 || N > 2048 ? 8 : 16; }

/* --- the end of a column ------------------------------------------------------------------ */

/* What the end of a column takes from parameters, and from the state of one row: all of it may
 * be read early. */
struct step_column { float w[4], bias, conv_bias; };
struct step_taps { float x[3]; };
template <bool CONV, typename T> static __device__ __forceinline__ step_column step_column_of(const step_args_of<T> &a, int64_t n) {
    step_column c = {{1, 0, 0, 0}, 0, 0};
    const int64_t d = n - a.conv_at;
    if (n >= a.N) return c;
    if (a.bias) c.bias = a.bias[n];
    if (CONV && d >= 0 && d < a.D) {
        const float4 w = *(const float4 *)(a.cw + d * 4);
        c.w[0] = w.x, c.w[1] = w.y, c.w[2] = w.z, c.w[3] = w.w;
        if (a.cb) c.conv_bias = a.cb[d];
    }
    if (!CONV && a.w) c.w[0] = a.w[n];
    return c;
}
template <typename T> static __device__ __forceinline__ step_taps step_taps_of(const step_args_of<T> &a, int64_t row, int64_t n) {
    step_taps t = {{0, 0, 0}};
    const int64_t d = n - a.conv_at;
    if (d < 0 || d >= a.D || row >= a.M) return t;
#pragma unroll
    for (int j = 0; j < 3; j++) t.x[j] = a.x0[(row * 3 + j) * a.D + d];
    return t;
}

/* 16 threads side by side have 16 columns of one row; all of a warp call it. */
template <bool CONV, typename T>
static __device__ __forceinline__ void step_finish(const step_args_of<T> &a, int64_t row, int64_t n, float t, const step_column &c, const step_taps &s,
                                                   float res) {
    const bool there = n < a.N && row < a.M;
    t += c.bias;
    if (CONV) {
        const int64_t d = n - a.conv_at;
        if (!there) return;
        if (d >= 0 && d < a.D) {
            const float x = cu_float(cu_as<T>(t)), v = c.conv_bias + c.w[0] * s.x[0] + c.w[1] * s.x[1] + c.w[2] * s.x[2] + c.w[3] * x;
            float *x1 = a.x1 + row * 3 * a.D + d;
            if (a.x1) x1[0] = s.x[1], x1[a.D] = s.x[2], x1[2 * a.D] = x;
            t = v * cu_sigmoid(v);
        }
        a.y[row * a.N + n] = cu_as<T>(t);
        return;
    }
    const float r = there ? t + res : 0;
    if (there && a.sum) a.sum[row * a.N + n] = r;
    if (there && a.y) a.y[row * a.N + n] = cu_as<T>(r * c.w[0]);
    if (!a.q1) return;
    float square = r * r;
#pragma unroll
    for (int d = 8; d > 0; d /= 2) square += __shfl_xor_sync(~0u, square, d);
    if (there && n % STEP_COLS == 0) a.q1[row * a.n_parts + n / STEP_COLS] = square;
}
template <typename T> static __device__ __forceinline__ float step_residual(const step_args_of<T> &a, int64_t row, int64_t n) {
    return a.res && row < a.M && n < a.N ? __ldcg(a.res + row * a.res_pitch + n) : 0;
}

/* By WIDTH threads side by side (all of a warp call it): the scale of a group of a row. */
template <int WIDTH, typename T> static __device__ __forceinline__ float step_scale(const step_args_of<T> &a, int64_t row, int group) {
    const int each = a.J / a.groups;
    const float *q = a.q + row * a.q_pitch + group * each;
    float sum = 0;
#pragma unroll 4
    for (int j = threadIdx.x % WIDTH; j < each; j += WIDTH) sum += row < a.M ? __ldcg(q + j) : 0;
#pragma unroll
    for (int d = WIDTH / 2; d > 0; d /= 2) sum += __shfl_xor_sync(~0u, sum, d);
    return rsqrtf(sum / (float)(a.K / a.groups) + a.eps);
}

/* --- few rows ------------------------------------------------------------------------------- */

/* What a thread reads of a column in a step of 32 along K: 8 neighbours, and their scale if they have
 * one.  BITS: 16 is bfloat16, 8 and 4 are planes. */
template <int BITS> struct step_weight { uint4 q; };
template <> struct step_weight<8> { uint2 q; __half scale; };
template <> struct step_weight<4> { unsigned q; __half2 scale; };
/* Where it reads them; q NULL: there is no such column. */
struct step_source { const unsigned char *q; const __half *scale; };

template <int BITS, typename T> static __device__ __forceinline__ step_source step_source_of(const step_args_of<T> &a, int64_t n, int64_t k) {
    const unsigned char *q = (const unsigned char *)a.W + (n * a.K + k) * BITS / 8;
    const __half *scales = (const __half *)((const unsigned char *)a.W + a.N * a.K * BITS / 8);
    if (n >= a.N) return {NULL, NULL};
    return {q, BITS == 16 ? NULL : scales + (n * a.K + k) / CU_BLOCK * (BITS == 4 ? 2 : 1)};
}
template <int BITS> static __device__ __forceinline__ step_weight<BITS> step_read(const step_source &from, int step) {
    step_weight<BITS> w;
    const unsigned char *p = from.q + step * (32 * BITS / 8);
    if constexpr (BITS == 16)
        asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(w.q.x), "=r"(w.q.y), "=r"(w.q.z), "=r"(w.q.w) : "l"(p));
    else if constexpr (BITS == 8) {
        asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v2.u32 {%0, %1}, [%2];" : "=r"(w.q.x), "=r"(w.q.y) : "l"(p));
        w.scale = __ldg(from.scale + step);
    } else {
        asm volatile("ld.global.nc.L1::no_allocate.L2::256B.u32 %0, [%1];" : "=r"(w.q) : "l"(p));
        w.scale = __ldg((const __half2 *)from.scale + step);
    }
    return w;
}
template <int BITS> static __device__ __forceinline__ step_weight<BITS> step_weight_at(const step_source &from, int step, int steps) {
    const step_weight<BITS> none = {};
    return step < steps && from.q ? step_read<BITS>(from, step) : none;
}

static __device__ __forceinline__ void step_mma(float (&c)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

/* c += 16 columns of a weight times 8 NT rows, 32 along K; v: columns g and g + 8. */
template <int BITS, int NT> static __device__ __forceinline__ void step_multiply(float (&c)[NT][4], const step_weight<BITS> (&v)[2], const uint4 (&x)[NT]) {
    if constexpr (BITS == 16) {
#pragma unroll
        for (int k = 0; k < NT; k++) {
            step_mma(c[k], v[0].q.x, v[1].q.x, v[0].q.y, v[1].q.y, x[k].x, x[k].y);
            step_mma(c[k], v[0].q.z, v[1].q.z, v[0].q.w, v[1].q.w, x[k].z, x[k].w);
        }
    } else {
        const unsigned one = 0x3f803f80u;
        unsigned w[2][4];
        float scale[2], min[2] = {0, 0};
#pragma unroll
        for (int hi = 0; hi < 2; hi++) {
            cu_eight(w[hi], v[hi].q);
            if constexpr (BITS == 8) scale[hi] = __half2float(v[hi].scale);
            else scale[hi] = __low2float(v[hi].scale), min[hi] = __high2float(v[hi].scale);
        }
#pragma unroll
        for (int k = 0; k < NT; k++) {
            float sum[4] = {}, rows[4] = {};
            step_mma(sum, w[0][0], w[1][0], w[0][1], w[1][1], x[k].x, x[k].y);
            step_mma(sum, w[0][2], w[1][2], w[0][3], w[1][3], x[k].z, x[k].w);
            if constexpr (BITS == 4) { /* what every row sums to, for the offsets */
                step_mma(rows, one, one, one, one, x[k].x, x[k].y);
                step_mma(rows, one, one, one, one, x[k].z, x[k].w);
            }
#pragma unroll
            for (int i = 0; i < 4; i++) {
                c[k][i] = fmaf(scale[i / 2], sum[i], c[k][i]);
                if constexpr (BITS == 4) c[k][i] = fmaf(-min[i / 2], rows[i], c[k][i]);
            }
        }
    }
}

/* Few rows and no fixed number of steps: twice as many weights on their way, for fewer blocks. */
template <int BITS, int NT, int WARPS, int STEPS> constexpr bool step_deep = BITS == 16 && NT == 1 && WARPS == 8 && STEPS == 0;
/* Blocks of it a multiprocessor. */
template <int BITS, int NT, int MT, int WARPS, int STEPS> constexpr int step_blocks = NT * MT > 2 || WARPS > 8 ? 1 : step_deep<BITS, NT, WARPS, STEPS> ? 2 : 3;

/* 16 MT columns and 8 NT rows a block, and then those gridDim.x tiles on.  STEPS of 32 along K a
 * warp, all asked for at once; 0: as many as are given, some ahead. */
template <int BITS, int NT, int MT, int WARPS, bool CONV, int STEPS>
static __global__ void __launch_bounds__(32 * WARPS, step_blocks<BITS, NT, MT, WARPS, STEPS>) step_kernel(const step_args a, int given, int tiles) {
    enum { ROWS = 8 * NT, PITCH = STEP_COLS + 4, AHEAD = STEPS ? STEPS : step_deep<BITS, NT, WARPS, STEPS> ? 2 * STEP_AHEAD : STEP_AHEAD, THREADS = 32 * WARPS };
    enum { ROWS_AHEAD = STEPS ? STEPS : NT == 1 ? 4 : NT * MT <= 4 ? 2 : 1, AGAIN = NT == 1 };
    enum { ROUND = THREADS / STEP_COLS, EACH = (ROWS + ROUND - 1) / ROUND }; /* rows that all threads end at once, and how often */
    __shared__ float part[WARPS][ROWS][PITCH], scale[ROWS][STEP_GROUPS];
    const int steps = STEPS ? STEPS : given, rounds = (steps + AHEAD - 1) / AHEAD * AHEAD;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, col = threadIdx.x % STEP_COLS, r0 = threadIdx.x / STEP_COLS;
    const int64_t m0 = (int64_t)blockIdx.y * ROWS, k0 = (int64_t)warp * steps * 32 + 8 * t;
    const uint4 none = {0, 0, 0, 0};
    int tile = blockIdx.x;
    step_source W[MT][2];
    step_weight<BITS> w[AHEAD][MT][2];
    step_column column[MT];
    step_taps taps[MT][EACH];
    float res[MT][EACH];
    const auto n_of = [&](int j) { return (int64_t)tile * (STEP_COLS * MT) + STEP_COLS * j; };
    const auto find = [&]() {
#pragma unroll
        for (int j = 0; j < MT; j++)
#pragma unroll
            for (int hi = 0; hi < 2; hi++) W[j][hi] = step_source_of<BITS>(a, n_of(j) + 8 * hi + g, k0);
    };
    const auto ask = [&]() {
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
#pragma unroll
            for (int j = 0; j < MT; j++)
#pragma unroll
                for (int hi = 0; hi < 2; hi++) w[i][j][hi] = step_weight_at<BITS>(W[j][hi], i, steps);
    };
    const auto ask_columns = [&]() {
        if (r0 < ROWS)
#pragma unroll
            for (int j = 0; j < MT; j++) {
                column[j] = step_column_of<CONV>(a, n_of(j) + col);
#pragma unroll
                for (int e = 0; e < EACH && CONV; e++) taps[j][e] = step_taps_of(a, m0 + r0 + e * ROUND, n_of(j) + col);
            }
    };
    const auto ask_residual = [&]() {
        if (r0 < ROWS)
#pragma unroll
            for (int e = 0; e < EACH; e++)
#pragma unroll
                for (int j = 0; j < MT; j++) res[j][e] = CONV ? 0 : step_residual(a, m0 + r0 + e * ROUND, n_of(j) + col);
    };
    early_next();
    find();
    ask();
    ask_columns();
    early_wait();

    const bf16 *x_at[NT];
    uint4 x[ROWS_AHEAD][NT];
#pragma unroll
    for (int j = 0; j < NT; j++) x_at[j] = m0 + 8 * j + g < a.M ? a.a + (m0 + 8 * j + g) * a.a_pitch + k0 : NULL;
    const auto ask_rows = [&](int from) {
#pragma unroll
        for (int i = 0; i < ROWS_AHEAD; i++)
#pragma unroll
            for (int j = 0; j < NT; j++) x[i][j] = x_at[j] && from + i < steps ? __ldcg((const uint4 *)(x_at[j] + (from + i) * 32)) : none;
    };
    ask_rows(0);
    ask_residual();
    if (r0 < ROWS)
#pragma unroll
        for (int e = 0; e < EACH; e++) {
            const int r = r0 + e * ROUND;
            for (int group = 0; group < a.groups && a.q; group++) {
                const float v = step_scale<STEP_COLS>(a, m0 + r, group);
                if (col == 0) scale[r][group] = v;
            }
        }
    for (;;) {
        float c[MT][NT][4] = {};
        const int64_t n0 = n_of(0);
        tile += gridDim.x;
        const bool again = AGAIN && tile < tiles;
        if constexpr (STEPS > 0) {
#pragma unroll
            for (int i = 0; i < STEPS; i++)
#pragma unroll
                for (int j = 0; j < MT; j++) step_multiply<BITS, NT>(c[j], w[i][j], x[i]);
            if (again) find(), ask();
        } else {
            for (int i0 = 0; i0 < steps; i0 += AHEAD) {
                const bool last = i0 + AHEAD >= steps; /* then the next tile's first weights are asked for */
                if (last && again) find();
                const int more = last ? again ? -rounds : steps : 0;
#pragma unroll
                for (int i1 = 0; i1 < AHEAD; i1 += ROWS_AHEAD) {
#pragma unroll
                    for (int i = 0; i < ROWS_AHEAD; i++) {
                        const int at = i0 + i1 + i;
#pragma unroll
                        for (int j = 0; j < MT; j++) {
                            step_multiply<BITS, NT>(c[j], w[i1 + i][j], x[i]);
#pragma unroll
                            for (int hi = 0; hi < 2; hi++) w[i1 + i][j][hi] = step_weight_at<BITS>(W[j][hi], at + AHEAD + more, steps);
                        }
                    }
                    ask_rows(last && again && i1 + ROWS_AHEAD == AHEAD ? 0 : i0 + i1 + ROWS_AHEAD);
                }
            }
        }
        const int per_group = WARPS / a.groups;
#pragma unroll
        for (int j = 0; j < MT; j++) {
            if (j) __syncthreads();
#pragma unroll
            for (int k = 0; k < NT; k++) {
                float(*p)[PITCH] = part[warp] + 8 * k;
                p[2 * t][g] = c[j][k][0], p[2 * t + 1][g] = c[j][k][1];
                p[2 * t][g + 8] = c[j][k][2], p[2 * t + 1][g + 8] = c[j][k][3];
            }
            __syncthreads();
            if (r0 < ROWS)
#pragma unroll
                for (int e = 0; e < EACH; e++) {
                    const int r = r0 + e * ROUND;
                    float s[WARPS], v = 0;
#pragma unroll
                    for (int i = 0; i < WARPS; i++) s[i] = part[i][r][col];
                    if (a.groups == 1) {
#pragma unroll
                        for (int i = 0; i < WARPS; i++) v += s[i];
                        if (a.q) v *= scale[r][0];
                    } else {
#pragma unroll
                        for (int i = 0; i < WARPS; i++) v += a.q ? s[i] * scale[r][i / per_group] : s[i];
                    }
                    step_finish<CONV>(a, m0 + r, n0 + STEP_COLS * j + col, v, column[j], taps[j][e], res[j][e]);
                }
        }
        if (!again) break;
        ask_columns();
        ask_residual();
        __syncthreads(); /* part may be written again */
    }
}

/* --- many rows, and what fits no vector ----------------------------------------------------- */

/* A row of a times its scale, for products that know none. */
static __global__ void __launch_bounds__(128) step_normalise_kernel(const step_args a, bf16 *to) {
    const int64_t row = blockIdx.x;
    const float scale = step_scale<32>(a, row, 0);
    for (int64_t k = threadIdx.x * 8; k < a.K; k += 128 * 8) {
        float v[8];
        cu_load<8>(v, a.a + row * a.a_pitch + k);
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] *= scale;
        cu_store<8>(to + row * a.K + k, v);
    }
}

/* t [M, N] is made; 128 columns from n0 on of 8 rows a block. */
template <bool CONV, typename T> static __global__ void __launch_bounds__(256) step_finish_kernel(const step_args_of<T> a, const float *t, int64_t n0) {
    const int64_t n = n0 + (int64_t)blockIdx.x * 128 + threadIdx.x % 128, row0 = (int64_t)blockIdx.y * 8 + threadIdx.x / 128;
    const step_column column = step_column_of<CONV>(a, n);
    step_taps taps[4];
    float v[4], res[4];
#pragma unroll
    for (int e = 0; e < 4; e++) {
        const int64_t row = row0 + 2 * e;
        v[e] = n < a.N && row < a.M ? t ? t[row * a.N + n] : cu_float(a.y[row * a.N + n]) : 0;
        taps[e] = CONV ? step_taps_of(a, row, n) : step_taps{};
        res[e] = CONV ? 0 : step_residual(a, row, n);
    }
#pragma unroll
    for (int e = 0; e < 4; e++) step_finish<CONV>(a, row0 + 2 * e, n, v[e], column, taps[e], res[e]);
}

/* A warp a sum, scaled by groups. */
template <typename T> static __global__ void __launch_bounds__(256) step_plain_kernel(const step_args_of<T> a, const cu_planes planes, bool four, float *t) {
    const int64_t at = blockIdx.x * (int64_t)8 + threadIdx.x / 32, row = at / a.N, n = at % a.N, each = a.K / a.groups;
    if (row >= a.M) return;
    float sum = 0;
    for (int group = 0; group < a.groups; group++) {
        float v = 0;
        for (int64_t k = group * each + threadIdx.x % 32; k < (group + 1) * each; k += 32) {
            const int64_t i = n * a.K + k;
            const float w = planes.q ? cu_unblock_at(planes, four, i) : a.w_type == KR_F32 ? ((const float *)a.W)[i] : cu_float(((const bf16 *)a.W)[i]);
            v += cu_float(a.a[row * a.a_pitch + k]) * w;
        }
        v = cu_warp_sum(v);
        sum += a.q ? v * step_scale<32>(a, row, group) : v;
    }
    if (threadIdx.x % 32 == 0) t[at] = sum;
}

static inline bool step_by_blas(int64_t M, int64_t N) { return M > (N > STEP_SCORES ? STEP_SCORES_ROWS : N >= STEP_HEAVY ? STEP_HEAVY_ROWS : STEP_ROWS); }
static inline size_t step_padded(int64_t bytes) { return ((size_t)bytes + 255) / 256 * 256; }
/* Scratch of a call: [t] [a, normalised] [workspace] [W, out of its blocks]. */
typedef struct step_room { size_t rows, workspace, weight, total; } step_room;
static inline step_room step_room_of(int64_t M, int64_t N, int64_t K, kr_dtype w_type) {
    const bool blas = step_by_blas(M, N);
    step_room r = {step_padded(M * N * 4), 0, 0, 0};
    r.workspace = r.rows + (blas ? step_padded(M * K * 2) : 0);
    r.weight = r.workspace + (blas ? KR_BLAS_WORKSPACE : 0);
    r.total = r.weight + (blas && cu_blocked(w_type) ? step_padded(N * K * 2) : 0);
    return r;
}

template <bool CONV, typename T> static void step_finish_run(const step_args_of<T> &a, const float *t, int64_t n0, int64_t n, void *stream) {
    cu_launch(step_finish_kernel<CONV, T>, dim3(cu_blocks(n, 128), cu_blocks(a.M, 8)), 256, 0, stream, a, t, n0);
}
template <bool CONV, typename T> static void step_plain_run(const step_args_of<T> &a, float *t, void *stream) {
    const cu_planes planes = cu_blocked(a.w_type) ? cu_planes_of(a.W, a.w_type, a.N * a.K) : cu_planes{};
    cu_launch(step_plain_kernel<T>, cu_blocks((int64_t)a.M * a.N, 8), 256, 0, stream, a, planes, cu_four_bits(a.w_type), t);
    step_finish_run<CONV>(a, t, 0, a.N, stream);
}

/* By cuBLASLt; only what it cannot do itself is left to a kernel of ours. */
template <bool CONV> static void step_blas_run(const step_args &a, char *scratch, void *stream) {
    const step_room r = step_room_of(a.M, a.N, a.K, a.w_type);
    float *t = (float *)scratch;
    bf16 *rows = (bf16 *)(scratch + r.rows);
    kr_blas g = {};
    g.M = a.M, g.N = a.N, g.K = a.K, g.A = a.a, g.lda = a.a_pitch, g.B = a.W, g.ldb = a.K, g.b_t = true, g.ldc = a.N, g.type = KR_BF16;
    g.workspace = scratch + r.workspace;
    if (cu_blocked(a.w_type)) {
        kr_cuda_unblock(scratch + r.weight, KR_BF16, a.W, a.w_type, a.N * a.K, stream);
        g.B = scratch + r.weight;
    }
    if (a.q) {
        cu_launch(step_normalise_kernel, (unsigned)a.M, 128, 0, stream, a, rows);
        g.A = rows, g.lda = a.K;
    }
    bool plain = !CONV && a.sum && !a.y && !a.q1 && !a.res && !a.bias, low = CONV && !a.bias;
    g.C = plain ? (void *)a.sum : low ? (void *)a.y : (void *)t;
    g.c_type = low ? KR_BF16 : KR_F32;
    kr_blas_run(&g, stream);
    if (low) step_finish_run<CONV>(a, NULL, a.conv_at, a.D, stream);
    else if (!plain) step_finish_run<CONV>(a, t, 0, a.N, stream);
}

template <int BITS, int NT, int MT, int WARPS, bool CONV, int STEPS> static void step_tiles_run(const step_args &a, void *stream) {
    const int tiles = (int)cu_blocks(a.N, STEP_COLS * MT), most = NT == 1 ? step_blocks<BITS, NT, MT, WARPS, STEPS> * cu_multiprocessors() : tiles;
    const dim3 grid((unsigned)(tiles < most ? tiles : most), cu_blocks(a.M, 8 * NT));
    early_launch(step_kernel<BITS, NT, MT, WARPS, CONV, STEPS>, grid, 32 * WARPS, stream, a, (int)(a.K / 32 / WARPS), tiles);
}
/* Short rows in bfloat16, as of the models of 130 and 370 million parameters, have kernels of their own. */
template <int BITS, int NT, int MT, int WARPS, bool CONV> static void step_cut_run(const step_args &a, void *stream) {
    const int64_t steps = a.K / 32 / WARPS;
    if constexpr (BITS == 16 && NT != 2) {
        if (steps == 3) return step_tiles_run<BITS, NT, MT, WARPS, CONV, 3>(a, stream);
        if (steps == 4) return step_tiles_run<BITS, NT, MT, WARPS, CONV, 4>(a, stream);
    }
    step_tiles_run<BITS, NT, MT, WARPS, CONV, 0>(a, stream);
}
template <int BITS, int NT, bool CONV> static void step_few_run(const step_args &a, void *stream) {
    const int warps = step_warps(a.N, a.K);
    if (warps == 16) step_cut_run<BITS, NT, 1, 16, CONV>(a, stream);
    else if (NT == 1 || a.N < STEP_WIDE) step_cut_run<BITS, NT, 1, 8, CONV>(a, stream);
    else step_cut_run<BITS, NT, NT == 1 ? 1 : 2, 8, CONV>(a, stream); /* never with NT 1 */
}
template <int BITS, bool CONV> static void step_rows_run(const step_args &a, void *stream) {
    if (a.M <= 8) step_few_run<BITS, 1, CONV>(a, stream);
    else if (a.M <= 16) step_few_run<BITS, 2, CONV>(a, stream);
    else step_few_run<BITS, 4, CONV>(a, stream);
}

/* Scratch as step_room_of says. */
template <bool CONV, typename T> void step_run(const step_args_of<T> &a, void *scratch, void *stream) {
    if constexpr (sizeof(T) == 2) {
        const int warps = step_warps(a.N, a.K);
        const bool blocked = cu_blocked(a.w_type), fits = warps && a.groups <= STEP_GROUPS && warps % a.groups == 0 && cu_aligned(a.a, a.a_pitch, 2, 16) &&
                                                          (blocked || (a.w_type == KR_BF16 && cu_aligned(a.W, a.K, 2, 16)));
        if (fits && step_by_blas(a.M, a.N) && a.groups == 1) return step_blas_run<CONV>(a, (char *)scratch, stream);
        if (fits && !blocked) return step_rows_run<16, CONV>(a, stream);
        if (fits) return cu_four_bits(a.w_type) ? step_rows_run<4, CONV>(a, stream) : step_rows_run<8, CONV>(a, stream);
    }
    step_plain_run<CONV>(a, (float *)scratch, stream);
}
extern template void step_run<false, bf16>(const step_args &a, void *scratch, void *stream); /* step_out.cu; linear has it too */
#endif
