/* rng.h - counter-based random numbers: Philox4x32-10 (Salmon et al. 2011).
 *
 * A number is a pure function of (seed, stream, index), so results do not depend on
 * threads or order, and resuming needs no hidden state. */
#ifndef KR_BASE_RNG_H
#define KR_BASE_RNG_H
#include <math.h>
#include <stdint.h>

#ifdef __CUDACC__ /* the same draws on a GPU */
#define KR_RNG_ANYWHERE __host__ __device__
#else
#define KR_RNG_ANYWHERE
#endif

KR_RNG_ANYWHERE static inline void kr_philox(uint64_t seed, uint64_t stream, uint64_t index, uint32_t out[4]) {
    uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32), c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c0 = n0, c1 = (uint32_t)p1, c2 = n2, c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* A stream of draws with a position that can be saved and restored. */
typedef struct kr_rng { uint64_t seed, stream, index; } kr_rng;

static inline uint64_t kr_rng_u64(kr_rng *r) {
    uint32_t w[4];
    kr_philox(r->seed, r->stream, r->index++, w);
    return (uint64_t)w[0] | (uint64_t)w[1] << 32;
}
/* [0, 1) with 53 bits. */
static inline double kr_rng_uniform(kr_rng *r) { return (double)(kr_rng_u64(r) >> 11) * 0x1p-53; }
/* An integer in [0, n), n > 0; the bias of the multiply-shift is below 2^-32 for n < 2^31. */
static inline int64_t kr_rng_below(kr_rng *r, int64_t n) {
    return (int64_t)(((unsigned __int128)kr_rng_u64(r) * (unsigned __int128)n) >> 64);
}
static inline double kr_rng_normal(kr_rng *r) {
    double u = 1.0 - kr_rng_uniform(r), v = kr_rng_uniform(r); /* Box-Muller; u > 0 */
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}
/* A stream number from a name, so that each tensor draws its own numbers (FNV-1a). */
static inline uint64_t kr_rng_stream(const char *name) {
    uint64_t h = 1469598103934665603ull;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 1099511628211ull;
    return h;
}
#endif
