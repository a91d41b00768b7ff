/* rotary_bc.cu - rotary_bc on a GPU: angles of blocks of steps are summed side by side, linked
 * in order, and written for every step; then a warp takes a step of a group of heads. */
#include "ops/rotary_bc/rotary_bc.h"

#include "ops/rows.cuh"

enum { THREADS = 256, WARPS = THREADS / 32 };

typedef struct sizes {
    int64_t S, L, H, J, G, N, blocks, angles;
    int64_t per_group, far; /* heads of a group; elements between the two of a pair */
    const int32_t *id;      /* of documents */
    int64_t id_pitch;
    const float *phi0;
    bool halves;
} sizes;
static sizes sizes_of(const kr_call *c) {
    sizes d = {KR_SIZE(c, 'S'), KR_SIZE(c, 'L'), KR_SIZE(c, 'H'), KR_SIZE(c, 'J'), KR_SIZE(c, 'G'), KR_SIZE(c, 'N'), rotary_blocks(c)};
    d.angles = d.H * d.J, d.per_group = d.H / d.G;
    d.halves = ((const rotary_bc_attr *)c->attr)->halves != 0;
    d.far = d.halves ? d.N / 2 : 1;
    d.id = (const int32_t *)c->in[ROTARY_SEQ_IDX].data, d.id_pitch = c->in[ROTARY_SEQ_IDX].pitch;
    d.phi0 = (const float *)c->in[ROTARY_PHI0].data;
    return d;
}
static __device__ __forceinline__ bool begins(const sizes &d, int64_t s, int64_t t) {
    int64_t r = s * d.L + t;
    return d.id && t > 0 && d.id[r * d.id_pitch] != d.id[(r - 1) * d.id_pitch];
}
static __device__ __forceinline__ float wrapped(float phi) {
    float turns = rintf(phi * (float)(.5 / ROTARY_PI));
    return fmaf(turns, -1.9353071795864769e-3f, fmaf(turns, -6.28125f, phi));
}
static __device__ __forceinline__ int64_t first_of(const sizes &d, int64_t j) { return d.halves ? j : 2 * j; }

/* Thread: an angle of a block of steps.  write: every step's, from starts; else the block's sum,
 * into the starts of the next. */
template <typename T>
static __global__ void rotary_sum(sizes d, const T *angle, int64_t angle_pitch, const T *dt, int64_t dt_pitch, float *starts, float *phi, float *last,
                                  bool write) {
    int64_t s = blockIdx.x / d.blocks, b = blockIdx.x % d.blocks, i = blockIdx.y * (int64_t)THREADS + threadIdx.x;
    if (i >= d.angles || (!write && b == d.blocks - 1)) return;
    int64_t h = i / d.J, j = i % d.J;
    float sum = write ? starts[(s * d.blocks + b) * d.angles + i] : 0;
    for (int64_t t = b * ROTARY_BLOCK; t < d.L && t < (b + 1) * ROTARY_BLOCK; t++) {
        int64_t r = s * d.L + t;
        if (begins(d, s, t)) sum = 0;
        sum = wrapped(sum + (float)ROTARY_PI * tanhf(cu_float(angle[r * angle_pitch + j])) * cu_float(dt[r * dt_pitch + h]));
        if (write && phi) phi[r * d.angles + i] = sum;
    }
    if (!write) starts[(s * d.blocks + b + 1) * d.angles + i] = sum;
    else if (last && b == d.blocks - 1) last[s * d.angles + i] = sum;
}
static __device__ bool forgets(const sizes &d, int64_t s, int64_t b) {
    bool any = false;
    for (int64_t t = b * ROTARY_BLOCK; d.id && t < d.L && t < (b + 1) * ROTARY_BLOCK; t++) any |= begins(d, s, t);
    return any;
}
static __global__ void rotary_link(sizes d, float *starts) {
    int64_t s = blockIdx.x, i = blockIdx.y * (int64_t)THREADS + threadIdx.x;
    if (i >= d.angles) return;
    float *at = starts + s * d.blocks * d.angles + i, sum = d.phi0 ? d.phi0[s * d.angles + i] : 0;
    at[0] = sum;
    for (int64_t b = 1; b < d.blocks; b++) {
        float own = at[b * d.angles];
        sum = forgets(d, s, b - 1) ? own : wrapped(sum + own);
        at[b * d.angles] = sum;
    }
}

/* Warp: a head at a step. */
template <typename T>
static __global__ void __launch_bounds__(THREADS) rotary_fwd_kernel(sizes d, const T *B, int64_t B_pitch, const T *C, int64_t C_pitch, const float *Bb,
                                                                    const float *Cb, const float *phi, T *k, T *q, T *kq) {
    int64_t row = blockIdx.x * (int64_t)WARPS + threadIdx.x / 32, r = row / d.H, h = row % d.H;
    int lane = threadIdx.x % 32;
    if (row >= d.S * d.L * d.H) return;
    B += r * B_pitch + h / d.per_group * d.N, C += r * C_pitch + h / d.per_group * d.N, Bb += h * d.N, Cb += h * d.N;
    float sum = 0;
    for (int64_t p = lane; p < d.N / 2; p += 32) { /* pairs, the last of which do not turn */
        int64_t a = first_of(d, p), b = a + d.far;
        float ka = cu_float(B[a]) + Bb[a], kb = cu_float(B[b]) + Bb[b], qa = cu_float(C[a]) + Cb[a], qb = cu_float(C[b]) + Cb[b], x = 1, y = 0;
        sum += ka * qa + kb * qb;
        if (p < d.J) sincosf(phi[r * d.angles + h * d.J + p], &y, &x);
        k[row * d.N + a] = cu_as<T>(ka * x - kb * y), k[row * d.N + b] = cu_as<T>(ka * y + kb * x);
        if (q) q[row * d.N + a] = cu_as<T>(qa * x - qb * y), q[row * d.N + b] = cu_as<T>(qa * y + qb * x);
    }
    sum = cu_warp_sum(sum);
    if (kq && lane == 0) kq[row] = cu_as<T>(sum);
}

/* What a pair of one head at one step hands back. */
typedef struct pair { float ua, ub, va, vb, dphi; } pair;
typedef struct values { const void *B, *C, *dk, *dq, *dkq; const float *Bb, *Cb, *phi; int64_t B_pitch, C_pitch; } values;
template <typename T> static __device__ __forceinline__ pair pair_bwd(const sizes &d, const values &v, int64_t r, int64_t h, int64_t p) {
    int64_t a = first_of(d, p), b = a + d.far, at = (r * d.H + h) * d.N, g = h / d.per_group * d.N;
    const T *B = (const T *)v.B + r * v.B_pitch + g, *C = (const T *)v.C + r * v.C_pitch + g, *dk = (const T *)v.dk, *dq = (const T *)v.dq;
    float both = v.dkq ? cu_float(((const T *)v.dkq)[r * d.H + h]) : 0, x = 1, y = 0;
    float ka = cu_float(B[a]) + v.Bb[h * d.N + a], kb = cu_float(B[b]) + v.Bb[h * d.N + b];
    float qa = cu_float(C[a]) + v.Cb[h * d.N + a], qb = cu_float(C[b]) + v.Cb[h * d.N + b];
    float ga = dk ? cu_float(dk[at + a]) : 0, gb = dk ? cu_float(dk[at + b]) : 0, ea = dq ? cu_float(dq[at + a]) : 0, eb = dq ? cu_float(dq[at + b]) : 0;
    if (p < d.J) sincosf(v.phi[r * d.angles + h * d.J + p], &y, &x);
    pair o = {ga * x + gb * y, gb * x - ga * y, ea * x + eb * y, eb * x - ea * y};
    o.dphi = o.ub * ka - o.ua * kb + o.vb * qa - o.va * qb;
    o.ua += both * qa, o.ub += both * qb, o.va += both * ka, o.vb += both * kb;
    return o;
}

/* Warp: a group at a step; dB and dC sum over its heads. */
template <typename T>
static __global__ void __launch_bounds__(THREADS) rotary_bwd_kernel(sizes d, values v, T *dB, int64_t dB_pitch, bool addB, T *dC, int64_t dC_pitch, bool addC,
                                                                    float *dphi) {
    int64_t row = blockIdx.x * (int64_t)WARPS + threadIdx.x / 32, r = row / d.G, g = row % d.G;
    int lane = threadIdx.x % 32;
    if (row >= d.S * d.L * d.G) return;
    for (int64_t p = lane; p < d.N / 2; p += 32) {
        int64_t a = first_of(d, p), b = a + d.far;
        float sum[4] = {0, 0, 0, 0};
        for (int64_t h = g * d.per_group; h < (g + 1) * d.per_group; h++) {
            pair o = pair_bwd<T>(d, v, r, h, p);
            sum[0] += o.ua, sum[1] += o.ub, sum[2] += o.va, sum[3] += o.vb;
            if (p < d.J) dphi[r * d.angles + h * d.J + p] = o.dphi;
        }
        if (dB) cu_give(dB + r * dB_pitch + g * d.N + a, sum[0], addB), cu_give(dB + r * dB_pitch + g * d.N + b, sum[1], addB);
        if (dC) cu_give(dC + r * dC_pitch + g * d.N + a, sum[2], addC), cu_give(dC + r * dC_pitch + g * d.N + b, sum[3], addC);
    }
}

/* Thread: a pair of one head, over the steps of a block: shares of the biases' gradients. */
template <typename T> static __global__ void rotary_bias(sizes d, values v, float *parts) {
    int64_t s = blockIdx.x / d.blocks, b = blockIdx.x % d.blocks, i = blockIdx.y * (int64_t)THREADS + threadIdx.x;
    if (i >= d.H * (d.N / 2)) return;
    int64_t h = i / (d.N / 2), p = i % (d.N / 2), at = h * d.N + first_of(d, p);
    float sum[4] = {0, 0, 0, 0};
    for (int64_t t = b * ROTARY_BLOCK; t < d.L && t < (b + 1) * ROTARY_BLOCK; t++) {
        pair o = pair_bwd<T>(d, v, s * d.L + t, h, p);
        sum[0] += o.ua, sum[1] += o.ub, sum[2] += o.va, sum[3] += o.vb;
    }
    float *to = parts + blockIdx.x * 2 * d.H * d.N + at;
    to[0] = sum[0], to[d.far] = sum[1];
    to += d.H * d.N;
    to[0] = sum[2], to[d.far] = sum[3];
}
static __global__ void rotary_bias_sum(int64_t n_parts, int64_t width, const float *parts, float *d, bool add) {
    int64_t i = blockIdx.x * (int64_t)THREADS + threadIdx.x;
    if (i >= width) return;
    float sum = 0;
    for (int64_t k = 0; k < n_parts; k++) sum += parts[k * 2 * width + i];
    d[i] = add ? d[i] + sum : sum;
}

/* Thread: an angle; its gradients add up from the end of a block or document. */
static __global__ void rotary_back(sizes d, float *dphi, float *heads) {
    int64_t s = blockIdx.x / d.blocks, b = blockIdx.x % d.blocks, i = blockIdx.y * (int64_t)THREADS + threadIdx.x;
    if (i >= d.angles) return;
    int64_t end = (b + 1) * ROTARY_BLOCK < d.L ? (b + 1) * ROTARY_BLOCK : d.L;
    float sum = 0;
    for (int64_t t = end - 1; t >= b * ROTARY_BLOCK; t--) {
        float *now = dphi + (s * d.L + t) * d.angles + i;
        *now = sum += *now;
        if (begins(d, s, t)) sum = 0;
    }
    heads[blockIdx.x * d.angles + i] = sum;
}
static __global__ void rotary_link_back(sizes d, float *heads, const float *dlast, float *dphi0, bool add) {
    int64_t s = blockIdx.x, i = blockIdx.y * (int64_t)THREADS + threadIdx.x;
    if (i >= d.angles) return;
    float carry = dlast ? dlast[s * d.angles + i] : 0;
    for (int64_t b = d.blocks - 1; b >= 0; b--) {
        float *at = heads + (s * d.blocks + b) * d.angles + i, mine = *at;
        *at = carry;
        carry = mine + (forgets(d, s, b) ? 0 : carry);
    }
    if (dphi0) dphi0[s * d.angles + i] = add ? dphi0[s * d.angles + i] + carry : carry;
}

/* Block: a step; threads first take pairs (sums over heads), then heads (sums over pairs). */
template <typename T>
static __global__ void rotary_speeds(sizes d, const T *angle, int64_t angle_pitch, const T *dt, int64_t dt_pitch, const float *dphi, const float *heads,
                                     T *dangle, int64_t dangle_pitch, bool add_angle, T *ddt, int64_t ddt_pitch, bool add_dt) {
    int64_t r = blockIdx.x, s = r / d.L, t = r % d.L, b = t / ROTARY_BLOCK;
    bool open = true; /* nothing is forgotten between here and the block's end */
    for (int64_t i = t + 1; d.id && i < d.L && i < (b + 1) * ROTARY_BLOCK; i++) open = open && !begins(d, s, i);
    const float *now = dphi + r * d.angles, *carry = heads + (s * d.blocks + b) * d.angles;
    for (int64_t j = threadIdx.x; dangle && j < d.J; j += THREADS) {
        float sum = 0, w = tanhf(cu_float(angle[r * angle_pitch + j]));
        for (int64_t h = 0; h < d.H; h++) sum += cu_float(dt[r * dt_pitch + h]) * (now[h * d.J + j] + (open ? carry[h * d.J + j] : 0));
        cu_give(dangle + r * dangle_pitch + j, (float)ROTARY_PI * (1 - w * w) * sum, add_angle);
    }
    for (int64_t h = threadIdx.x / 32; ddt && h < d.H; h += WARPS) {
        float sum = 0;
        for (int64_t j = threadIdx.x % 32; j < d.J; j += 32)
            sum += (float)ROTARY_PI * tanhf(cu_float(angle[r * angle_pitch + j])) * (now[h * d.J + j] + (open ? carry[h * d.J + j] : 0));
        sum = cu_warp_sum(sum);
        if (threadIdx.x % 32 == 0) cu_give(ddt + r * ddt_pitch + h, sum, add_dt);
    }
}

/* Scratch: starts of blocks, angles of all steps; backward also what comes from behind blocks,
 * gradients of all angles, shares of the biases'. */
static kr_status rotary_bc_plan_cuda(kr_call *c) {
    sizes d = sizes_of(c);
    size_t blocks = (size_t)(d.S * d.blocks * d.angles), all = (size_t)(d.S * d.L * d.angles);
    c->saved_bytes = 0;
    c->fwd_scratch = (blocks + all) * sizeof(float);
    c->bwd_scratch = (2 * blocks + 2 * all + (size_t)(d.S * d.blocks * 2 * d.H * d.N)) * sizeof(float);
    return KR_OK;
}

template <typename T> static void find_angles(const kr_call *c, const sizes &d, float *starts, float *phi, float *last) {
    const kr_tensor *a = &c->in[ROTARY_ANGLE], *dt = &c->in[ROTARY_DT];
    dim3 blocks((unsigned)(d.S * d.blocks), cu_blocks(d.angles, THREADS)), rows((unsigned)d.S, cu_blocks(d.angles, THREADS));
    for (int write = 0; write < 2; write++) {
        cu_launch(rotary_sum<T>, blocks, THREADS, 0, c->stream, d, (const T *)a->data, a->pitch, (const T *)dt->data, dt->pitch, starts, phi, last, write != 0);
        if (!write) cu_launch(rotary_link, rows, THREADS, 0, c->stream, d, starts);
    }
}

template <typename T> static void fwd(const kr_call *c) {
    sizes d = sizes_of(c);
    const kr_tensor *B = &c->in[ROTARY_B], *C = &c->in[ROTARY_C];
    float *starts = (float *)c->scratch, *phi = starts + d.S * d.blocks * d.angles;
    find_angles<T>(c, d, starts, phi, (float *)c->out[ROTARY_PHI].data);
    cu_launch(rotary_fwd_kernel<T>, dim3(cu_blocks(d.S * d.L * d.H, WARPS)), THREADS, 0, c->stream, d, (const T *)B->data, B->pitch, (const T *)C->data,
              C->pitch, (const float *)c->in[ROTARY_B_BIAS].data, (const float *)c->in[ROTARY_C_BIAS].data, phi, (T *)c->out[ROTARY_K].data,
              (T *)c->out[ROTARY_Q].data, (T *)c->out[ROTARY_KQ].data);
}

template <typename T> static void bwd(const kr_call *c) {
    sizes d = sizes_of(c);
    const kr_tensor *B = &c->in[ROTARY_B], *C = &c->in[ROTARY_C], *a = &c->in[ROTARY_ANGLE], *dt = &c->in[ROTARY_DT];
    const kr_tensor *dB = &c->din[ROTARY_B], *dC = &c->din[ROTARY_C], *da = &c->din[ROTARY_ANGLE], *ddt = &c->din[ROTARY_DT];
    int64_t n = d.S * d.blocks;
    float *starts = (float *)c->scratch, *heads = starts + n * d.angles, *phi = heads + n * d.angles, *dphi = phi + d.S * d.L * d.angles;
    float *parts = dphi + d.S * d.L * d.angles;
    values v = {B->data, C->data, c->dout[ROTARY_K].data, c->dout[ROTARY_Q].data, c->dout[ROTARY_KQ].data, (const float *)c->in[ROTARY_B_BIAS].data,
                (const float *)c->in[ROTARY_C_BIAS].data, phi, B->pitch, C->pitch};
    dim3 blocks((unsigned)n, cu_blocks(d.angles, THREADS)), rows((unsigned)d.S, cu_blocks(d.angles, THREADS));
    find_angles<T>(c, d, starts, phi, NULL);
    cu_launch(rotary_bwd_kernel<T>, dim3(cu_blocks(d.S * d.L * d.G, WARPS)), THREADS, 0, c->stream, d, v, (T *)dB->data, dB->pitch, c->acc[ROTARY_B],
              (T *)dC->data, dC->pitch, c->acc[ROTARY_C], dphi);
    cu_launch(rotary_bias<T>, dim3((unsigned)n, cu_blocks(d.H * (d.N / 2), THREADS)), THREADS, 0, c->stream, d, v, parts);
    for (int slot = ROTARY_B_BIAS; slot <= ROTARY_C_BIAS; slot++)
        if (c->din[slot].data)
            cu_launch(rotary_bias_sum, dim3(cu_blocks(d.H * d.N, THREADS)), THREADS, 0, c->stream, n, d.H * d.N,
                      parts + (slot - ROTARY_B_BIAS) * d.H * d.N, (float *)c->din[slot].data, c->acc[slot]);
    cu_launch(rotary_back, blocks, THREADS, 0, c->stream, d, dphi, heads);
    cu_launch(rotary_link_back, rows, THREADS, 0, c->stream, d, heads, (const float *)c->dout[ROTARY_PHI].data, (float *)c->din[ROTARY_PHI0].data,
              c->acc[ROTARY_PHI0]);
    if (da->data || ddt->data)
        cu_launch(rotary_speeds<T>, dim3((unsigned)(d.S * d.L)), THREADS, 0, c->stream, d, (const T *)a->data, a->pitch, (const T *)dt->data, dt->pitch, dphi,
                  heads, (T *)da->data, da->pitch, c->acc[ROTARY_ANGLE], (T *)ddt->data, ddt->pitch, c->acc[ROTARY_DT]);
}

static void rotary_bc_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) fwd<bf16>(c);
    else fwd<float>(c);
}
static void rotary_bc_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) bwd<bf16>(c);
    else bwd<float>(c);
}

KR_CUDA_OP(rotary_bc, rotary_bc_plan_cuda, rotary_bc_fwd_cuda, rotary_bc_bwd_cuda)
