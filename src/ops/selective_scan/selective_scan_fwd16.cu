/* selective_scan_fwd16.cu - the forward of selective_scan on CUDA for what Mamba-1 trains with:
 * bfloat16, 16 states, whole tiles, softplus, no seq_idx.
 *
 * As in selective_scan.cu lanes are channels and a warp has some of the states, but 4 of them, B and C
 * stay in bfloat16 until a lane has them (what bounds the kernel is the way from shared memory to
 * registers), and a tile's preparation and the end of the one before it are done between its steps:
 * one barrier a tile. */
#include "ops/selective_scan/selective_scan16.cuh"

enum { SLOTS = 4 };
typedef struct fwd_tiles {
    bf16 rows[SLOTS][3][ROW];           /* dt, u, z */
    bf16 BC[SLOTS][2][BC_ROW];
    float step[2][ONE], x[2][ONE];
    float C[2][BC_ROW];                 /* as floats */
    float part[2][WARPS][ONE];          /* a warp's share of y */
} fwd_tiles;
enum { FWD_RING = 8 };       /* tiles; with ORDER the rows of as many tiles' steps lie behind fwd_tiles */
static __device__ __forceinline__ int *fwd_ring(fwd_tiles *m, int tile) {
    return (int *)(m + 1) + tile % FWD_RING * TILE;
}
static __device__ __forceinline__ void fwd_order(fwd_tiles *m, const scan_args &a, const scan_place &p, int tile) {
    const int lane = threadIdx.x;
    if (threadIdx.y != 3 || lane >= TILE) return; /* the warp with fewer rows to copy */
    copy_4(fwd_ring(m, tile) + lane, a.order + p.t0 + tile * TILE + lane, true);
}

/* A thread copies 2 pieces of 8 channels of one tensor, rows 8 apart (the last warp none), and one of
 * 4 states of B or C. */
typedef struct fwd_pieces { const char *row, *bc; int64_t pitch, bc_pitch; int to, bc_to; } fwd_pieces;
template <bool ORDER>
static __device__ __forceinline__ fwd_pieces fwd_pieces_of(const scan_args &a, const scan_place &p) {
    const int lane = threadIdx.x, warp = threadIdx.y;
    const slab from = warp == 0 ? a.dt : warp == 1 ? a.u : a.z, bc = warp < 2 ? a.B : a.C;
    const int step = warp % 2 * 8 + lane / 4, quarter = lane % 4;
    fwd_pieces q;
    q.pitch = from.pitch * 2, q.bc_pitch = bc.pitch * 2;
    const int64_t row = p.s * a.L + (ORDER ? 0 : p.t0 + lane / 4), bc_row = p.s * a.L + (ORDER ? 0 : p.t0 + step);
    q.row = (const char *)from.p + row * q.pitch + (p.d0 + lane % 4 * 8) * 2;
    q.bc = (const char *)bc.p + bc_row * q.bc_pitch + (p.group * N16 + quarter * 4) * 2;
    q.to = warp * ROW + lane * 8, q.bc_to = warp / 2 * BC_ROW + (step / 2 * 4 + quarter) * 8 + step % 2 * 4;
    return q;
}
template <bool ORDER, bool GATE> static __device__ __forceinline__ void fwd_copy(fwd_pieces &q, fwd_tiles *m, int tile) {
    const int slot = tile % SLOTS;
    const unsigned to = (unsigned)__cvta_generic_to_shared(&m->rows[slot][0][q.to]);
    if (ORDER) {
        const int *at = fwd_ring(m, tile), row = threadIdx.x / 4, step = threadIdx.y % 2 * 8 + row;
        if (threadIdx.y < (GATE ? 3 : 2)) {
            copy_piece(to, q.row + at[row] * q.pitch, 16);
            copy_piece(to + 8 * LANES * 2, q.row + at[row + 8] * q.pitch, 16);
        }
        copy_8((unsigned)__cvta_generic_to_shared(&m->BC[slot][0][q.bc_to]), q.bc + at[step] * q.bc_pitch, 8);
        copy_commit();
        return;
    }
    if (threadIdx.y < (GATE ? 3 : 2)) {
        copy_piece(to, q.row, 16);
        copy_piece(to + 8 * LANES * 2, q.row + 8 * q.pitch, 16);
    }
    copy_8((unsigned)__cvta_generic_to_shared(&m->BC[slot][0][q.bc_to]), q.bc, 8);
    q.row += TILE * q.pitch, q.bc += TILE * q.bc_pitch;
    copy_commit();
}

/* dt after softplus, and dt u, of this thread's 4 steps. */
static __device__ __forceinline__ void fwd_ready(fwd_tiles *m, int slot, int to, float bias) {
    const int lane = threadIdx.x, t = 4 * threadIdx.y;
    const bf16 *raw = &m->rows[slot][0][t * LANES + lane];
    float step[4], x[4];
#pragma unroll
    for (int k = 0; k < 4; k++) {
        const float v = cu_float(raw[k * LANES]) + bias;
        step[k] = softplus_5(v, ex2(-LOG2_E * fabsf(v)));
        x[k] = step[k] * cu_float(raw[ROW + k * LANES]);
    }
    const int i = t / 4 % 2 * LANES + lane; /* of C, for half of the warps */
    if (t >= TILE / 2) {
        const uint2 packed = *(const uint2 *)&m->BC[slot][1][i * 4];
        four(m->C[to] + (i / 8 * 2 + i % 2) * N16 + i / 2 % 4 * 4) =
            make_float4(low(packed.x), high(packed.x), low(packed.y), high(packed.y));
    }
    four(m->step[to] + lane * PITCH + t) = make_float4(step[0], step[1], step[2], step[3]);
    four(m->x[to] + lane * PITCH + t) = make_float4(x[0], x[1], x[2], x[3]);
}
/* y of this thread's 4 steps, which are the 4 rows from y on, or those in a list. */
template <bool ORDER, bool GATE>
static __device__ __forceinline__ void fwd_end(const fwd_tiles *m, int slot, int from, float skip, bf16 *y,
                                               int64_t pitch, const int *rows_at, bool real) {
    const int lane = threadIdx.x, t = 4 * threadIdx.y;
    const bf16 *raw = &m->rows[slot][1][t * LANES + lane];
    const float *part = m->part[from][0] + lane * PITCH + t;
    const int4 rows = ORDER ? *(const int4 *)rows_at : int4{};
    const float4 v0 = four(part), v1 = four(part + ONE), v2 = four(part + 2 * ONE), v3 = four(part + 3 * ONE);
#pragma unroll
    for (int k = 0; k < 4; k++) {
        const float sum = (at(v0, k) + at(v1, k)) + (at(v2, k) + at(v3, k));
        float v = fmaf(skip, cu_float(raw[k * LANES]), sum);
        if (GATE) {
            const float z = cu_float(raw[ROW + k * LANES]);
            v *= z * sigmoid(z);
        }
        if (real) y[(ORDER ? at(rows, k) : k) * pitch] = cu_as<bf16>(v);
    }
}

template <bool ORDER, bool GATE> __global__ void __launch_bounds__(WARPS *LANES, 3) scan_fwd16(const __grid_constant__ scan_args a) {
    extern __shared__ __align__(16) unsigned char base[];
    fwd_tiles *m = (fwd_tiles *)base;
    const int lane = threadIdx.x, warp = threadIdx.y, n0 = warp * R;
    const scan_place p = place_of(a);
    const int64_t d = p.d0 + lane;
    const float bias = a.bias ? a.bias[d] : 0.f, skip = a.skip ? a.skip[d] : 0.f;
    const int n = (int)((p.t1 - p.t0) / TILE);
    float A[R], h[R];
#pragma unroll
    for (int r = 0; r < R; r++) {
        A[r] = LOG2_E * a.A[d * N16 + n0 + r], h[r] = 0;
        if (a.n_segs > 1) h[r] = a.ends[state_at(a, p, p.seg, a.n_segs) + (n0 + r) * LANES];
        else if (a.h0) h[r] = a.h0[(p.s * a.D + d) * N16 + n0 + r];
    }
    float *saved = a.saved ? a.saved + state_at(a, p, p.t0 / TILE, a.L / TILE) + n0 * LANES : NULL;
    const int64_t saved_step = a.G * a.group_tiles * N16 * LANES;
    bf16 *y = (bf16 *)a.y + (p.s * a.L + (ORDER ? 0 : p.t0 + 4 * warp - TILE)) * a.D + d; /* of the tile before */

    if (ORDER) {
        for (int j = 0; j < 3 && j < n; j++) fwd_order(m, a, p, j);
        copy_wait();
        __syncthreads();
    }
    fwd_pieces q = fwd_pieces_of<ORDER>(a, p);
    fwd_copy<ORDER, GATE>(q, m, 0);
    if (n > 1) fwd_copy<ORDER, GATE>(q, m, 1);
    copy_wait();
    __syncthreads();
    fwd_ready(m, 0, 0, bias);
    __syncthreads();
    for (int i = 0; i < n; i++, y += ORDER ? 0 : TILE * a.D) {
        if (ORDER && i + 3 < n) fwd_order(m, a, p, i + 3);
        if (i + 2 < n) fwd_copy<ORDER, GATE>(q, m, i + 2);
        const float *step_of = m->step[i & 1] + lane * PITCH, *x_of = m->x[i & 1] + lane * PITCH;
        const bf16 *B = m->BC[i % SLOTS][0] + warp * 8;
        const float *C = m->C[i & 1] + n0;
        float *part = m->part[i & 1][warp] + lane * PITCH;
#pragma unroll
        for (int t = 0; t < TILE; t += 4) {
            if (t == 0 && saved) {
#pragma unroll
                for (int r = 0; r < R; r++) saved[r * LANES] = h[r];
                saved += saved_step;
            }
            const float4 step = four(step_of + t), x = four(x_of + t);
            float sum[4], b[2][R];
#pragma unroll
            for (int k = 0; k < 4; k++) {
                if (k % 2 == 0) two_rows(b, B + (t + k) * N16);
                const float4 c = four(C + (t + k) * N16);
#pragma unroll
                for (int r = 0; r < R; r++) {
                    h[r] = fmaf(ex2(at(step, k) * A[r]), h[r], at(x, k) * b[k % 2][r]);
                    sum[k] = r ? fmaf(at(c, r), h[r], sum[k]) : at(c, r) * h[r];
                }
            }
            four(part + t) = make_float4(sum[0], sum[1], sum[2], sum[3]);
        }
        fwd_ready(m, (i + 1) % SLOTS, (i + 1) & 1, bias); /* after the last tile of nothing that is used */
        fwd_end<ORDER, GATE>(m, (i + SLOTS - 1) % SLOTS, (i + 1) & 1, skip, y, a.D, fwd_ring(m, i + FWD_RING - 1) + 4 * warp, i > 0);
        copy_wait();
        __syncthreads();
    }
    fwd_end<ORDER, GATE>(m, (n - 1) % SLOTS, (n - 1) & 1, skip, y, a.D, fwd_ring(m, n - 1) + 4 * warp, true);
    if (a.h1 && p.seg == a.n_segs - 1) {
#pragma unroll
        for (int r = 0; r < R; r++) a.h1[(p.s * a.D + d) * N16 + n0 + r] = h[r];
    }
}

bool scan_fwd_16(const scan_args &a, bool is_bf16, void *stream) {
    if (!is_bf16 || a.N != N16 || !a.wide || a.seq_idx) return false;
    if (!a.softplus || a.L % TILE || a.per_group % LANES) return false;
    const unsigned blocks = (unsigned)(a.S * a.n_segs * a.G * a.group_tiles);
    const size_t bytes = sizeof(fwd_tiles) + (a.order ? FWD_RING * TILE * sizeof(int) : 0);
    const auto kernel = a.order ? a.z.p ? scan_fwd16<true, true> : scan_fwd16<true, false> : a.z.p ? scan_fwd16<false, true> : scan_fwd16<false, false>;
    cu_launch(kernel, blocks, dim3(LANES, WARPS), bytes, stream, a);
    return true;
}
