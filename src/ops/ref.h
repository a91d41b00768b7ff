/* ref.h - for reference implementations: real is float or double, set by the build. */
#ifndef KR_OPS_REF_H
#define KR_OPS_REF_H
#include <math.h>
#include <string.h>

#include "ops/op.h"

typedef KR_REAL real;
#define REF_JOIN2_(a, b) a##_##b
#define REF_JOIN_(a, b) REF_JOIN2_(a, b)
#define REF(name) REF_JOIN_(name, KR_REF_SUFFIX) /* ssd_fwd -> ssd_fwd_ref_f64 */

/* Element i of a weight slot (@w): stored as real or as bfloat16. */
static inline real ref_weight(const kr_tensor *w, int64_t i) {
    return w->dtype == KR_BF16 ? (real)kr_from_bf16(((const uint16_t *)w->data)[i]) : ((const real *)w->data)[i];
}
static inline real ref_sigmoid(real x) { return 1 / (1 + exp(-x)); }
static inline real ref_softplus(real x) { return x > 20 ? x : log1p(exp(x)); }
#endif
