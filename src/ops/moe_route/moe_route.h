/* moe_route.h - the slots and options of moe_route, in the order of its signature. */
#ifndef KR_OPS_MOE_ROUTE_H
#define KR_OPS_MOE_ROUTE_H
#include "ops/op.h"

enum { MOE_ROUTE_LOGITS, MOE_ROUTE_BIAS };
enum { MOE_ROUTE_W, MOE_ROUTE_IDX };
enum { MOE_ROUTE_MOST = 64 }; /* experts a row may be sent to */
#define MOE_ROUTE_LEAST 1e-20f /* in what probabilities are divided by: sigmoids may all be zero */
enum { MOE_SOFTMAX, MOE_SIGMOID, MOE_N_GATES };
typedef struct moe_route_attr {
    int64_t k, gate, normalise, bias_logits;
    double scale;
} moe_route_attr;
#endif
