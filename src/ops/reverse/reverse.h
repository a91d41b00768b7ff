/* reverse.h - the slots of reverse, in the order of its signature. */
#ifndef KR_OPS_REVERSE_H
#define KR_OPS_REVERSE_H
#include "ops/op.h"

enum { REVERSE_X, REVERSE_LEN };
enum { REVERSE_Y };

#ifdef __CUDACC__
#define REVERSE_FN static __device__ inline
#else
#define REVERSE_FN static inline
#endif
/* Where step l of a sequence of L steps comes from, whose first `len` count; it goes there, too. */
REVERSE_FN int64_t reverse_from(int64_t l, int64_t L, int64_t len) {
    len = len > L ? L : len;
    return l < len ? len - 1 - l : l;
}
#endif
