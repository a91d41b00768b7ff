/* suppressed_scan.h - the slots, options and geometry of suppressed_scan. */
#ifndef KR_OPS_SUPPRESSED_SCAN_H
#define KR_OPS_SUPPRESSED_SCAN_H
#include "ops/op.h"

enum { SUPPRESSED_U, SUPPRESSED_DT, SUPPRESSED_A, SUPPRESSED_B, SUPPRESSED_C, SUPPRESSED_D, SUPPRESSED_DT_BIAS, SUPPRESSED_H0, SUPPRESSED_SEQ_IDX };
enum { SUPPRESSED_Y, SUPPRESSED_H };
typedef struct suppressed_scan_attr { double alpha; } suppressed_scan_attr;

/* A tile is at most so many channels of one group, and one thread's; it goes through them in vectors of at most
 * SUPPRESSED_LANES, and in time by chunks, whose first states backward keeps. */
enum { SUPPRESSED_TILE = 64, SUPPRESSED_LANES = 16, SUPPRESSED_CHUNK = 32 };
static inline int64_t suppressed_tiles(const kr_call *c) { /* of a group */
    return (KR_SIZE(c, 'D') / KR_SIZE(c, 'G') + SUPPRESSED_TILE - 1) / SUPPRESSED_TILE;
}
/* Floats of a thread's own. */
static inline int64_t suppressed_own(const kr_call *c, bool backward) {
    int64_t states = KR_SIZE(c, 'N') * SUPPRESSED_LANES, chunks = (KR_SIZE(c, 'L') + SUPPRESSED_CHUNK - 1) / SUPPRESSED_CHUNK;
    return backward ? (3 + chunks + SUPPRESSED_CHUNK + 1) * states : 2 * states;
}
#endif
