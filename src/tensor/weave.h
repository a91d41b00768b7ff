/* weave.h - matrices arranged as products of few rows read them.
 *
 * Such a product takes four bytes of many rows at once.  So rows are woven in strips of KR_STRIP: four
 * bytes of each row, then the next four of each.  Blocks (quant.h) stay whole: the first ones of a
 * strip's rows, then their second ones; and halves that stand before (Q8_0, Q4_0) or behind (Q6_K) a
 * block's other bytes go by twos.  A vector's lanes are rows then, and a strip is read in order.  Rows
 * past the last whole strip stay as they were.  Size and numbers are those of the plain matrix. */
#ifndef KR_TENSOR_WEAVE_H
#define KR_TENSOR_WEAVE_H
#include "base/error.h"
#include "tensor/tensor.h"

enum { KR_STRIP = 16 };

static inline bool kr_is_woven(kr_dtype t) { return t >= KR_Q8_0_WOVEN && t <= KR_F16_WOVEN; }
/* What a woven type is woven of; of other types the type itself. */
static inline kr_dtype kr_unwoven(kr_dtype t) {
    if (t == KR_F32_WOVEN) return KR_F32;
    if (t > KR_F32_WOVEN && t <= KR_F16_WOVEN) return (kr_dtype)(KR_BF16 + (t - KR_BF16_WOVEN));
    return kr_is_woven(t) ? (kr_dtype)(KR_Q8_0 + (t - KR_Q8_0_WOVEN)) : t;
}
/* The woven type of rows of so many numbers; the type itself, where there is none: rows are whole words. */
kr_dtype kr_woven(kr_dtype t, int64_t width);

/* In place: from `plain` to its woven type.  KR_ERR_NOMEM: there is none for a strip. */
kr_status kr_weave(void *data, kr_dtype plain, int64_t rows, int64_t width);
/* Where byte `at` of the plain matrix stands in the woven one. */
size_t kr_woven_at(kr_dtype plain, int64_t rows, int64_t width, size_t at);
/* Numbers [from, from + n) of a woven matrix, whole blocks (or words) of a row, as floats. */
void kr_unweave(float *to, const void *data, kr_dtype woven, int64_t rows, int64_t width, int64_t from, int64_t n);
float kr_woven_number(const void *data, kr_dtype woven, int64_t rows, int64_t width, int64_t i);
#endif
