/* sinkhorn.h - the slots and options of sinkhorn, in the order of its signature. */
#ifndef KR_OPS_SINKHORN_H
#define KR_OPS_SINKHORN_H
#include "ops/op.h"

enum { SINKHORN_LOGITS };
enum { SINKHORN_BIAS };
#define SINKHORN_LEAST 1e-20f /* share of an expert that no row wants */
typedef struct sinkhorn_attr { int64_t rounds; } sinkhorn_attr;
#endif
