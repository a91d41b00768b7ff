/* pool.h - the slots and options of pool, in the order of its signature. */
#ifndef KR_OPS_POOL_H
#define KR_OPS_POOL_H
#include "ops/op.h"

typedef enum kr_pool { KR_POOL_MEAN, KR_POOL_MAX, KR_POOL_LAST, KR_POOL_SUM, KR_POOL_FIRST, KR_N_POOL } kr_pool;

enum { POOL_X, POOL_LEN };
enum { POOL_Y };
typedef struct pool_attr { int64_t kind; } pool_attr;

/* Steps of sequence s that count: len[s] held to [0, L]. */
static inline int64_t pool_steps(const kr_call *c, int64_t s) {
    const int32_t *len = (const int32_t *)c->in[POOL_LEN].data;
    int64_t L = KR_SIZE(c, 'L'), n = len ? len[s] : L;
    return n < 0 ? 0 : n < L ? n : L;
}
#endif
