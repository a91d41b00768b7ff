/* selective_scan.h - the slots, options and geometry of selective_scan. */
#ifndef KR_OPS_SELECTIVE_SCAN_H
#define KR_OPS_SELECTIVE_SCAN_H
#include "ops/op.h"

enum { SCAN_U, SCAN_DT, SCAN_A, SCAN_B, SCAN_C, SCAN_D, SCAN_Z, SCAN_DT_BIAS, SCAN_H0, SCAN_SEQ_IDX, SCAN_ORDER };
enum { SCAN_Y, SCAN_H };

/* How the recurrence is evaluated.  All agree to rounding; FAST is the implementation's own. */
enum { SCAN_FAST, SCAN_SEQUENTIAL, SCAN_BLELLOCH, SCAN_CHUNKED };

typedef struct selective_scan_attr { int64_t dt_softplus, form; } selective_scan_attr;

/* How the fast form cuts the work; by the shapes alone, so that threads cannot change bits.
 *
 * Channels are cut in tiles of `width` lanes that share B and C.  Where groups are narrower
 * than SCAN_LANES, a tile holds whole groups and its lanes gather B and C.  Time is cut in
 * chunks, between which forward saves the state for backward; only when there are few tiles
 * is it also cut in segments, whose beginnings are found by a scan of the segments' pairs. */
enum { SCAN_LANES = 16, SCAN_MAX_WIDTH = 64, SCAN_CHUNK = 64, SCAN_MAX_SEGMENTS = 16 };
enum { SCAN_BAND = 16 };          /* tiles that a thread takes through time together, at most */
enum { SCAN_STREAM = 1 << 21 };   /* elements from which on y and gradients are stored past the caches */
typedef struct scan_grid {
    int64_t S, L, D, G, N;
    int64_t per_group;            /* channels of a group */
    bool shared;                  /* all lanes of a tile are of one group */
    int64_t width, n_tiles;       /* padded lanes of a tile, a multiple of SCAN_LANES */
    int64_t n_chunks;
    int64_t n_segs, seg;          /* time segments, and the steps of each */
} scan_grid;
scan_grid scan_grid_of(const kr_call *c);

/* The row of u, dt, B, C, z, y and their gradients that belongs to step t of sequence s. */
static inline int64_t scan_row(const kr_call *c, int64_t s, int64_t t) {
    const int32_t *order = (const int32_t *)c->in[SCAN_ORDER].data; /* C++ reads this, too */
    int64_t L = KR_SIZE(c, 'L'), row = order ? order[t] : t;
    KR_ASSERT(row >= 0 && row < L);
    return s * L + row;
}

/* Floats of scratch: what all threads share, at the front, and then each thread's own. */
int64_t scan_fwd_shared_floats(const scan_grid *g), scan_fwd_floats(const scan_grid *g);
int64_t scan_bwd_shared_floats(const scan_grid *g, int n_threads), scan_bwd_floats(const scan_grid *g);
/* Of the shared part of backward: sums over tiles of dB, or dC, if several threads may have parts of them. */
int64_t scan_bwd_sum_floats(const scan_grid *g, int n_threads);
#endif
