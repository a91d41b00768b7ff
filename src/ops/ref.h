/* ref.h - for reference implementations: real is float or double, set by the build. */
#ifndef KR_OPS_REF_H
#define KR_OPS_REF_H
#include <math.h>
#include <string.h>

#include "ops/op.h"
#include "tensor/quant.h"
#include "tensor/weave.h"

typedef KR_REAL real;
#define REF_JOIN2_(a, b) a##_##b
#define REF_JOIN_(a, b) REF_JOIN2_(a, b)
#define REF(name) REF_JOIN_(name, KR_REF_SUFFIX) /* ssd_fwd -> ssd_fwd_ref_f64 */

/* Element i of a weight slot (@w): stored as real, in 16 bits or in blocks. */
static inline real ref_weight(const kr_tensor *w, int64_t i) {
    if (w->dtype == KR_BF16) return (real)kr_from_bf16(((const uint16_t *)w->data)[i]);
    if (w->dtype == KR_F16) return (real)kr_from_f16(((const uint16_t *)w->data)[i]);
    if (kr_is_woven(w->dtype)) return (real)kr_woven_number(w->data, w->dtype, w->dim[0], w->dim[1], i);
    return kr_dtype_block(w->dtype) > 1 ? (real)kr_dequantize_at(w->data, w->dtype, i) : ((const real *)w->data)[i];
}
static inline real ref_sigmoid(real x) { return 1 / (1 + exp(-x)); }
/* gelu, its tanh form, and their slopes */
static inline real ref_gelu(real x) { return x * (1 + erf(x * 0.70710678118654752440)) / 2; }
static inline real ref_gelu_slope(real x) {
    return (1 + erf(x * 0.70710678118654752440)) / 2 + x * 0.39894228040143267794 * exp(-x * x / 2);
}
static inline real ref_gelu_tanh(real x) { return x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x))) / 2; }
static inline real ref_gelu_tanh_slope(real x) {
    real t = tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x));
    return (1 + t) / 2 + x * (1 - t * t) / 2 * 0.79788456080286535588 * (1 + 3 * 0.044715 * x * x);
}
static inline real ref_softplus(real x) { return x > 20 ? x : log1p(exp(x)); }
#endif
