/* strands.h - the slots of strands, in the order of its signature. */
#ifndef KR_OPS_STRANDS_H
#define KR_OPS_STRANDS_H
#include "ops/op.h"

enum { STRANDS_IDS, STRANDS_MAP, STRANDS_LEN };
enum { STRANDS_Y };

#ifdef __CUDACC__
#define STRANDS_FN static __device__ inline
#else
#define STRANDS_FN static inline
#endif
/* Number i of row s: of 2 L, the sequence and then its other strand. */
STRANDS_FN int32_t strands_at(const int32_t *ids, int64_t pitch, const int32_t *map, const int32_t *len, int64_t L, int64_t V, int64_t s, int64_t i) {
    int64_t n = len && len[s] < L ? len[s] : L, l = i - L;
    int32_t id = ids[(s * L + (i < L ? i : l < n ? n - 1 - l : l)) * pitch];
    return i < L || id < 0 || id >= V ? id : map[id];
}
#endif
