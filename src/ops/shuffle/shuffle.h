/* shuffle.h - the slots, options and draws of shuffle. */
#ifndef KR_OPS_SHUFFLE_H
#define KR_OPS_SHUFFLE_H
#include "base/rng.h"
#include "ops/op.h"

enum { SHUFFLE_KEY };
enum { SHUFFLE_ORDER, SHUFFLE_PLACE };
typedef struct shuffle_attr { int64_t n; double p; } shuffle_attr;

#ifdef __CUDACC__
#define SHUFFLE_FN static __device__ inline
#else
#define SHUFFLE_FN static inline
#endif
/* Word i of the key's draws. */
SHUFFLE_FN uint32_t shuffle_word(const int32_t *key, int64_t i) {
    uint32_t words[4];
    kr_philox((uint32_t)key[0] | (uint64_t)(uint32_t)key[1] << 32, (uint32_t)key[2] | (uint64_t)(uint32_t)key[3] << 32, (uint64_t)(i / 4), words);
    return words[i % 4];
}
/* By what step i is sorted: its draw, of equals the earlier step first; itself, if nothing is to be shuffled. */
SHUFFLE_FN uint64_t shuffle_mark(const int32_t *key, double p, int64_t i) {
    bool drawn = (double)shuffle_word(key, 0) < p * 0x1p32;
    return (uint64_t)(drawn ? shuffle_word(key, i + 4) : 0) << 32 | (uint32_t)i;
}
#endif
