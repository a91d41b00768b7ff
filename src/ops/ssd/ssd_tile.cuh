/* ssd_tile.cuh - the pieces that ssd's tensor-core kernels are made of.
 *
 * A block of up to 8 warps works on neighbouring channels (h, p) of one group, for all of
 * which B and C are the same, and walks a segment of the sequence in chunks of 64 steps.
 * A warp owns 16 MT channels; their state, [16 MT, N] in float32, stays in its registers
 * as the accumulator of mma.m16n8k16:
 *
 *     S = decay S + (w X)' B          A operand: X' by transposing loads, scaled on the way
 *     Y' = S C'                       A operand: the accumulator itself, rounded to bf16
 *     Y' += X' M'                     B operand: C B' times decays, made in registers
 *
 * So neither the state nor M passes through shared memory.
 *
 * Decays are kept as base-2 logarithms, summed from the start of each chunk only. */
#ifndef KR_OPS_SSD_TILE_CUH
#define KR_OPS_SSD_TILE_CUH
#include "cuda/mma.cuh"

enum {
    SSD_Q = 64,          /* steps of a chunk */
    SSD_WARPS = 8,       /* of a block */
    SSD_MAX_HEADS = 8,   /* of a block: 256 channels, headdim 32 */
    SSD_SLOTS = 64       /* 8x8 tiles of C B' */
};

/* Everything a kernel needs; by value. */
template <typename T> struct ssd_args_of {
    const T *x, *B, *C, *dt, *dy;
    const float *A, *D, *Dhp, *dt_bias, *h0, *dh;
    const int *seq;
    int64_t x_pitch, dt_pitch, B_pitch, C_pitch, seq_pitch;
    T *y;
    float *h, *dh0;
    bool add_dh0;
    bf16 *states;             /* [S, n_seg, H, P * Np] in the order of accumulators; going back, their gradients */
    float *decay;             /* [S, n_seg, H]: of a whole segment */
    float *kept;              /* ssd_steps: [S, n_kept, H, P, N], the state before every SSD_KEEP-th step, or NULL */
    int64_t L;
    int S, H, P, G, N, R;     /* R = H / G */
    int seg, n_seg;           /* steps of a segment, a multiple of 64; segments of a sequence */
    int n_cols, n_blocks;     /* channels of a block; blocks of a group */
    int softplus;
    bool wide_x, wide_B, wide_C; /* rows start at multiples of 16 bytes */
    float dt_min, dt_max;
};
using ssd_args = ssd_args_of<bf16>;

/* Where a block stands. */
struct ssd_place {
    int s, k, g, h0, n_heads, cols; /* sequence, segment, group; first head, heads, channels */
    int64_t t0, t1;                 /* its steps */
};

__device__ inline ssd_place ssd_where(const ssd_args &a) {
    ssd_place p;
    int i = blockIdx.x;
    int b = i % a.n_blocks;
    i /= a.n_blocks;
    p.g = i % a.G;
    i /= a.G;
    p.k = i % a.n_seg;
    p.s = i / a.n_seg;
    int left = a.R * a.P - b * a.n_cols;
    p.cols = left < a.n_cols ? left : a.n_cols;
    p.h0 = p.g * a.R + b * a.n_cols / a.P;
    p.n_heads = p.cols / a.P;
    p.t0 = (int64_t)p.k * a.seg;
    p.t1 = p.t0 + a.seg < a.L ? p.t0 + a.seg : a.L;
    return p;
}

/* The next launch may take multiprocessors as soon as they are free; it waits before it
 * reads what this one or any before it writes. */
__device__ inline void launch_next() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
#endif
}
__device__ inline void launched_wait() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/* --- tiles in shared memory ---------------------------------------------------------------- */

/* A tile has 64 rows of U units of 16 bytes (U at least 8).  Units are permuted within
 * their row so that eight rows of one column lie in all banks. */
template <int U> __device__ inline uint32_t tile_at(uint32_t base, int row, int unit) {
    return base + (uint32_t)(row * U + (unit ^ (row & 7))) * 16;
}

/* Rows row0.. of a matrix [S L, pitch]; zeros past `rows` and past `units`.  Rows that do
 * not start at multiples of 16 bytes are read number by number. */
template <int U>
__device__ inline void tile_load(unsigned char *tile, const bf16 *from, int64_t row0, int64_t pitch, int rows, int units, bool wide) {
    for (int i = threadIdx.x; i < SSD_Q * U; i += blockDim.x) {
        int r = i / U, u = i % U;
        bool there = r < rows && u < units;
        const bf16 *p = from + (row0 + (there ? r : 0)) * pitch + (there ? u : 0) * 8;
        if (wide) {
            copy_16(tile_at<U>(smem_at(tile), r, u), p, there);
        } else {
            bf16 *to = (bf16 *)(tile + tile_at<U>(0, r, u));
            for (int e = 0; e < 8; e++) to[e] = there ? p[e] : __float2bfloat16_rn(0);
        }
    }
}

/* Lane addresses of the operand fragments.
 * K-major B operand (rows of the tile are n, its columns k): two n-tiles, k 16. */
template <int U> __device__ inline uint32_t frag_rows(uint32_t base, int row, int unit, int lane) {
    return tile_at<U>(base, row + (lane >> 4) * 8 + (lane & 7), unit + (lane >> 3 & 1));
}
/* A operand from a tile whose rows are m: 16 rows, k 16. */
template <int U> __device__ inline uint32_t frag_a(uint32_t base, int row, int unit, int lane) {
    return tile_at<U>(base, row + (lane >> 3 & 1) * 8 + (lane & 7), unit + (lane >> 4));
}
/* A operand from a tile whose rows are k (transposing load): 16 columns are m. */
template <int U> __device__ inline uint32_t frag_a_trans(uint32_t base, int row, int unit, int lane) {
    return tile_at<U>(base, row + (lane >> 4) * 8 + (lane & 7), unit + (lane >> 3 & 1));
}
/* B operand from a tile whose rows are k (transposing load): two n-tiles. */
template <int U> __device__ inline uint32_t frag_b_trans(uint32_t base, int row, int unit, int lane) {
    return tile_at<U>(base, row + (lane >> 3 & 1) * 8 + (lane & 7), unit + (lane >> 4));
}

/* --- the decays of a chunk -------------------------------------------------------------- */

/* Of the block's heads; filled by one warp each. */
struct ssd_tables {
    float cum[SSD_MAX_HEADS][SSD_Q];   /* log2 of the decay from the chunk's start through step t */
    float dt[SSD_MAX_HEADS][SSD_Q];
    float in[SSD_MAX_HEADS][SSD_Q];    /* weight of step t in the state the walk goes on with */
    float out[SSD_MAX_HEADS][SSD_Q];   /* weight of the walk's state in step t */
    float decay[SSD_MAX_HEADS];        /* of the whole chunk: 0 if a sequence begins in it */
    int run[SSD_Q];                    /* how many sequences have begun in the chunk, through step t */
};

/* dt as given, read ahead of its use: steps 2 lane and 2 lane + 1. */
struct ssd_raw { float dt[2]; int run[2]; };

__device__ inline ssd_raw raw_load(const ssd_args &a, const ssd_place &p, int64_t t, int head, int lane) {
    ssd_raw r = {{0, 0}, {0, 0}};
    for (int i = 0; i < 2; i++) {
        int64_t at = t + 2 * lane + i, row = (int64_t)p.s * a.L + at;
        if (at >= p.t1) continue;
        r.dt[i] = __bfloat162float(a.dt[row * a.dt_pitch + head]);
        if (a.seq && at > 0) r.run[i] = a.seq[row * a.seq_pitch] != a.seq[(row - 1) * a.seq_pitch];
    }
    return r;
}

template <typename T> __device__ inline float step_size(const ssd_args_of<T> &a, float raw, int head) {
    if (a.dt_bias) raw += a.dt_bias[head];
    if (a.softplus) raw = raw > 20 ? raw : log1pf(expf(raw));
    return fminf(fmaxf(raw, a.dt_min), a.dt_max);
}

/* Running sums over 64 steps, two a lane. */
template <typename T> __device__ inline void running_sum(T v[2], int lane) {
    T sum = v[0] + v[1];
    for (int d = 1; d < 32; d *= 2) {
        T other = __shfl_up_sync(~0u, sum, d);
        if (lane >= d) sum += other;
    }
    T before = __shfl_up_sync(~0u, sum, 1);
    if (lane > 0) v[0] += before;
    v[1] = sum;
}

/* Forward in time the state gathers dt x with the decay from each step to the chunk's end,
 * and step t sees the state behind the decay from the chunk's start.  Sums run over 64
 * steps, so their error stays within a few float roundings of the chunk's whole decay. */
__device__ inline void chunk_tables(ssd_tables *T, const ssd_args &a, const ssd_place &p, int64_t t, int h, const ssd_raw &r, int lane) {
    float dt[2], cum[2], rate = a.A[p.h0 + h] * 1.44269504f;
    int run[2] = {r.run[0], r.run[1]};
    for (int i = 0; i < 2; i++) {
        dt[i] = t + 2 * lane + i < p.t1 ? step_size(a, r.dt[i], p.h0 + h) : 0;
        cum[i] = dt[i] * rate;
    }
    running_sum(cum, lane);
    if (a.seq) running_sum(run, lane);
    float end = __shfl_sync(~0u, cum[1], 31);
    int last = __shfl_sync(~0u, run[1], 31);
    for (int i = 0; i < 2; i++) {
        int at = 2 * lane + i;
        float from_start = run[i] == 0 ? pow2(cum[i]) : 0, to_end = run[i] == last ? pow2(end - cum[i]) : 0;
        T->cum[h][at] = cum[i];
        T->dt[h][at] = dt[i];
        T->in[h][at] = dt[i] * to_end;
        T->out[h][at] = from_start;
        if (h == 0) T->run[at] = run[i];
    }
    if (lane == 0) T->decay[h] = last == 0 ? pow2(end) : 0;
}

/* --- the state --------------------------------------------------------------------------- */

/* S = decay S + (in V)' K over one chunk; V's channels of this warp start at `unit`. */
template <int NT, int MT, int UV>
__device__ inline void state_step(float S[MT][2 * NT][4], uint32_t V, int unit, uint32_t K, const float *in, float decay, int lane) {
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int n = 0; n < 2 * NT; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) S[m][n][i] *= decay;
#pragma unroll
    for (int ks = 0; ks < SSD_Q / 16; ks++) {
        uint32_t v[MT][4];
        float2 w0 = *(const float2 *)(in + ks * 16 + 2 * (lane & 3)), w1 = *(const float2 *)(in + ks * 16 + 8 + 2 * (lane & 3));
#pragma unroll
        for (int m = 0; m < MT; m++) {
            load_x4_trans(v[m], frag_a_trans<UV>(V, ks * 16, unit + 2 * m, lane));
            v[m][0] = pack(low(v[m][0]) * w0.x, high(v[m][0]) * w0.y);
            v[m][1] = pack(low(v[m][1]) * w0.x, high(v[m][1]) * w0.y);
            v[m][2] = pack(low(v[m][2]) * w1.x, high(v[m][2]) * w1.y);
            v[m][3] = pack(low(v[m][3]) * w1.x, high(v[m][3]) * w1.y);
        }
#pragma unroll
        for (int n = 0; n < NT; n++) {
            uint32_t b[4];
            load_x4_trans(b, frag_b_trans<2 * NT>(K, ks * 16, 2 * n, lane));
#pragma unroll
            for (int m = 0; m < MT; m++) {
                mma(S[m][2 * n], v[m], b[0], b[1]);
                mma(S[m][2 * n + 1], v[m], b[2], b[3]);
            }
        }
    }
}

/* A warp's part of a state kept between kernels: every lane its own accumulators. */
template <int NT, int MT> __device__ inline int64_t slot_at(const ssd_args &a, const ssd_place &p, int k, int channel) {
    return (((int64_t)p.s * a.n_seg + k) * a.H * a.P + (int64_t)p.h0 * a.P + channel) * (16 * NT);
}
template <int NT, int MT> __device__ inline void slot_store(bf16 *slot, const float S[MT][2 * NT][4], int lane) {
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int n = 0; n < 2 * NT; n++)
            ((uint2 *)slot)[(m * 2 * NT + n) * 32 + lane] = make_uint2(pack(S[m][n][0], S[m][n][1]), pack(S[m][n][2], S[m][n][3]));
}
template <int NT, int MT> __device__ inline void slot_load(float S[MT][2 * NT][4], const bf16 *slot, int lane) {
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int n = 0; n < 2 * NT; n++) {
            uint2 v = ((const uint2 *)slot)[(m * 2 * NT + n) * 32 + lane];
            S[m][n][0] = low(v.x), S[m][n][1] = high(v.x), S[m][n][2] = low(v.y), S[m][n][3] = high(v.y);
        }
}
/* The same as float32 [H, P, N], as inputs and outputs have it; channel counts from head 0. */
template <int NT, int MT, bool LOAD>
__device__ inline void state_io(float S[MT][2 * NT][4], float *at, const ssd_args &a, int s, int64_t channel, int lane, bool add) {
    float *base = at + ((int64_t)s * a.H * a.P + channel) * a.N;
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int n = 0; n < 2 * NT; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int p = m * 16 + (lane >> 2) + (i >> 1) * 8, c = n * 8 + 2 * (lane & 3) + (i & 1);
                float *e = base + (int64_t)p * a.N + c;
                if (LOAD) S[m][n][i] = c < a.N ? *e : 0;
                else if (c < a.N) *e = S[m][n][i] + (add ? *e : 0);
            }
}
template <int NT, int MT> __device__ inline void state_clear(float S[MT][2 * NT][4]) {
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int n = 0; n < 2 * NT; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) S[m][n][i] = 0;
}

/* --- products of a chunk with itself -------------------------------------------------------- */

/* The 20 tiles [16, 8] of Q K' that touch the triangle: below the diagonal, or above it. */
__device__ inline void triangle_tile(int tile, bool above, int *row16, int *col8) {
    int r = tile < 2 ? 0 : tile < 6 ? 1 : tile < 12 ? 2 : 3, c = tile - r * (r + 1);
    *row16 = above ? 3 - r : r;
    *col8 = above ? 7 - c : c;
}

/* Q K' into shared memory, tile [8 rows, 8 columns] as float2 a lane, the way a B operand
 * with these rows as n wants it: slot row8 * 8 + col8. */
template <int NT, bool ABOVE> __device__ inline void products(float2 *slots, uint32_t Q, uint32_t K, int warp, int n_warps, int lane) {
    for (int tile = warp; tile < 20; tile += n_warps) {
        int r, c;
        triangle_tile(tile, ABOVE, &r, &c);
        float d[2][4] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
#pragma unroll
        for (int ks = 0; ks < NT; ks += 2) {
            uint32_t q0[4], q1[4], k[4];
            load_x4(q0, frag_a<2 * NT>(Q, r * 16, 2 * ks, lane));
            load_x4(q1, frag_a<2 * NT>(Q, r * 16, 2 * ks + 2, lane));
            load_x4(k, tile_at<2 * NT>(K, c * 8 + (lane & 7), 2 * ks + (lane >> 3)));
            mma(d[0], q0, k[0], k[1]);
            mma(d[1], q1, k[2], k[3]);
        }
        slots[(2 * r * 8 + c) * 32 + lane] = make_float2(d[0][0] + d[1][0], d[0][1] + d[1][1]);
        slots[((2 * r + 1) * 8 + c) * 32 + lane] = make_float2(d[0][2] + d[1][2], d[0][3] + d[1][3]);
    }
}
#endif
