/* attention.cuh - what attention's CUDA kernels share: whom a step sees, and where keys lie. */
#ifndef KR_OPS_ATTENTION_CUH
#define KR_OPS_ATTENTION_CUH
#include "ops/attention/attention.h"
#include "ops/documents.cuh"
#include "ops/rows.cuh"

/* All that a kernel needs of a call.  T: of activations. */
template <typename T> struct attention_work {
    const T *q, *k, *v, *y, *dy;
    T *out, *dq, *dk, *dv;
    int64_t q_pitch, k_pitch, v_pitch, dq_pitch, dk_pitch, dv_pitch;
    const float *cache0, *dcache;
    const int32_t *n0;
    const int32_t *first, *last; /* of each step's document; NULL: the whole row */
    float *lse, *dots;           /* [S, H, L]: of each row of scores; y . dy */
    float2 *table;               /* where dots are, for tensor cores: [S, H, L in whole 64s], lse in base 2 and y . dy */
    int64_t L, C, reach;
    int S, H, G, R, P;
    float scale;
    bool causal, cached, add_q, add_k, add_v;

    __device__ __forceinline__ int64_t before(int64_t s) const { return cached ? n0[s] : 0; }
    __device__ __forceinline__ attention_span sees(int64_t s, int64_t t) const {
        int64_t f = first ? first[s * L + t] : 0, l = last ? last[s * L + t] : L - 1;
        attention_span a = {f, causal ? t : l};
        if (f == 0 && cached) a.first = n0[s] < C ? -n0[s] : -C;
        if (a.first < t - reach + 1) a.first = t - reach + 1;
        if (a.last > t + reach - 1) a.last = t + reach - 1;
        return a;
    }
    __device__ __forceinline__ const float *cached_row(int64_t s, int row, int64_t j) const {
        return cache0 + ((s * 2 * G + row) * C + (before(s) + j) % C) * P;
    }
};

/* What stays for the next call; see attention_remains. */
template <typename T> static __device__ __forceinline__ attention_rest attention_left(const attention_work<T> &w, int64_t s) {
    int64_t f = w.first ? w.first[s * w.L + w.L - 1] : 0;
    attention_rest r = {f, f > 0 ? -f : w.before(s), 0};
    r.n = r.start + w.L;
    if (r.from < w.L - w.C) r.from = w.L - w.C;
    return r;
}

/* --- what kernels on tensor cores share -------------------------------------------------- */

static constexpr float LOG2_E = 1.4426950408889634f;

/* Keys that any of n queries sees, and those that all see; below 0: in the cache. */
struct attention_range { int64_t from, to, all_from, all_to; };
static __device__ __forceinline__ attention_range attention_range_of(const attention_work<bf16> &w, int64_t s, int64_t t0, int64_t n) {
    attention_span a = w.sees(s, t0), b = w.sees(s, t0 + n - 1);
    attention_range r = {a.first, b.last, b.first, a.last}; /* both ends grow with the step */
    return r;
}
/* The queries that see any of keys j0 .. j1. */
static __device__ __forceinline__ attention_span attention_seen_by(const attention_work<bf16> &w, int64_t s, int64_t j0, int64_t j1) {
    attention_span a = {w.causal ? j0 : w.first ? w.first[s * w.L + j0] : 0, w.last ? w.last[s * w.L + j1] : w.L - 1};
    if (a.first < j0 - w.reach + 1) a.first = j0 - w.reach + 1;
    if (a.last > j1 + w.reach - 1) a.last = j1 + w.reach - 1;
    return a;
}

static inline __host__ __device__ int64_t attention_padded(int64_t L) { return (L + 63) / 64 * 64; }

static __device__ __forceinline__ void attention_give(bf16 *p, float a, float b, bool add) {
    if (add) a += cu_float(p[0]), b += cu_float(p[1]);
    __nv_bfloat162 x = __floats2bfloat162_rn(a, b);
    *(__nv_bfloat162 *)p = x;
}
/* Gradients to rows as accumulators have them: of 8 columns a thread has two, from `col` on, of rows r and r + 8. */
template <int P> static __device__ __forceinline__ void attention_give_query(const attention_work<bf16> &w, int64_t s, int h, int64_t t, int col, const float (&dq)[P / 2]) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
        if (t + 8 * i >= w.L) continue;
        bf16 *to = w.dq + (s * w.L + t + 8 * i) * w.dq_pitch + h * P + col;
#pragma unroll
        for (int c = 0; c < P / 8; c++) attention_give(to + c * 8, dq[4 * c + 2 * i] * w.scale, dq[4 * c + 2 * i + 1] * w.scale, w.add_q);
    }
}
template <int P>
static __device__ __forceinline__ void attention_give_key(const attention_work<bf16> &w, int64_t s, int g, int64_t key, int col, const float (&dk)[P / 2], const float (&dv)[P / 2]) {
    attention_rest rest = attention_left(w, s);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int64_t j = key + 8 * i;
        if (j >= w.L) continue;
        bf16 *tk = w.dk ? w.dk + (s * w.L + j) * w.dk_pitch + g * P + col : NULL, *tv = w.dv ? w.dv + (s * w.L + j) * w.dv_pitch + g * P + col : NULL;
        const float *ck = NULL, *cv = NULL; /* what comes through the cache */
        if (w.dcache && j >= rest.from) {
            ck = w.dcache + ((s * 2 * w.G + g) * w.C + (rest.start + j) % w.C) * P + col;
            cv = ck + (int64_t)w.G * w.C * P;
        }
#pragma unroll
        for (int c = 0; c < P / 8; c++) {
            float a = ck ? ck[c * 8] : 0, b = ck ? ck[c * 8 + 1] : 0, d = cv ? cv[c * 8] : 0, e = cv ? cv[c * 8 + 1] : 0;
            if (tk) attention_give(tk + c * 8, dk[4 * c + 2 * i] * w.scale + a, dk[4 * c + 2 * i + 1] * w.scale + b, w.add_k);
            if (tv) attention_give(tv + c * 8, dv[4 * c + 2 * i] + d, dv[4 * c + 2 * i + 1] + e, w.add_v);
        }
    }
}

/* attention_tensor.cu: on any tensor cores; attention_wgmma.cu: on Hopper's.  Do they take the sizes? */
bool attention_tensor_takes(const kr_call *c, bool backward);
void attention_tensor_fwd(const kr_call *c, const attention_work<bf16> &w);
void attention_tensor_bwd(const kr_call *c, const attention_work<bf16> &w);
void attention_tables(const kr_call *c, const attention_work<bf16> &w);
bool attention_wgmma_takes(const kr_call *c);
void attention_wgmma_fwd(const kr_call *c, const attention_work<bf16> &w);
void attention_wgmma_bwd(const kr_call *c, const attention_work<bf16> &w);
#endif
