/* roof.h - loops that do nothing but what a processor does best: what kernels are held against. */
#ifndef KR_OPS_ROOF_H
#define KR_OPS_ROOF_H
#include <stdint.h>

enum { KR_ROOF_READ = 16384 }; /* floats that a thread reads at once */
enum { KR_ROOF_CHAINS = 12 }; /* adds in flight: latency times ports at least, registers at most */

/* n rounds of KR_ROOF_CHAINS vector multiply-adds on one thread; *lanes floats a vector.
 * Returns a number that depends on all of them. */
#define KR_ROOF_DECLARE(isa)                              \
    float kr_roof_fma_##isa(int64_t n, int64_t *lanes);   \
    void kr_roof_triad_##isa(float *a, const float *b, const float *c, int64_t n, int n_threads); /* a = b + 3 c */ \
    void kr_roof_read_##isa(const float *a, int64_t n, int n_threads); /* n a multiple of KR_ROOF_READ */
KR_ROOF_DECLARE(baseline) KR_ROOF_DECLARE(avx2) KR_ROOF_DECLARE(avx512) KR_ROOF_DECLARE(neon)
#endif
