/* ssd.h - the slots and options of ssd, in the order of its signature, and its chunking. */
#ifndef KR_OPS_SSD_H
#define KR_OPS_SSD_H
#include "ops/op.h"

enum { SSD_X, SSD_DT, SSD_A, SSD_B, SSD_C, SSD_D, SSD_DHP, SSD_DT_BIAS, SSD_H0, SSD_SEQ_IDX };
enum { SSD_Y, SSD_H };
typedef struct ssd_attr {
    int64_t dt_softplus;   /* 1: dt = softplus(dt + dt_bias) before the clamp */
    double dt_min, dt_max; /* the clamp */
    int64_t chunk_size;    /* 0: choose */
} ssd_attr;

/* The reference's backward keeps a state every SSD_STRIDE(L) steps, and redoes those between. */
static inline int64_t ssd_stride(int64_t L) {
    int64_t k = 1;
    while (k * k < L) k++;
    return k;
}
#endif
