/* weave.h - matrices in blocks (quant.h), arranged as products read them.
 *
 * A product takes four bytes of many rows at once.  So rows are woven in strips of KR_STRIP: the
 * first blocks of a strip's rows, then their second ones, and of these blocks four bytes of each
 * row, then the next four of each; halves that stand before (Q8_0, Q4_0) or behind (Q6_K) a block's
 * other bytes go by twos.  A vector's lanes are rows then, and a strip is read in order.  Rows
 * past the last whole strip stay as they were.  Size and numbers are those of the plain matrix. */
#ifndef KR_TENSOR_WEAVE_H
#define KR_TENSOR_WEAVE_H
#include "base/error.h"
#include "tensor/tensor.h"

enum { KR_STRIP = 16 };

/* Of a block type its woven one and back; of other types the type itself. */
static inline bool kr_is_woven(kr_dtype t) { return t >= KR_Q8_0_WOVEN && t <= KR_Q6_K_WOVEN; }
static inline kr_dtype kr_unwoven(kr_dtype t) { return kr_is_woven(t) ? (kr_dtype)(KR_Q8_0 + (t - KR_Q8_0_WOVEN)) : t; }
static inline kr_dtype kr_woven(kr_dtype t) { return t >= KR_Q8_0 && t <= KR_Q6_K ? (kr_dtype)(KR_Q8_0_WOVEN + (t - KR_Q8_0)) : t; }

/* In place: from `plain` to its woven type.  KR_ERR_NOMEM: there is none for a strip. */
kr_status kr_weave(void *data, kr_dtype plain, int64_t rows, int64_t width);
/* Where byte `at` of the plain matrix stands in the woven one. */
size_t kr_woven_at(kr_dtype plain, int64_t rows, int64_t width, size_t at);
/* Numbers [from, from + n) of a woven matrix, whole blocks of a row, as floats. */
void kr_unweave(float *to, const void *data, kr_dtype woven, int64_t rows, int64_t width, int64_t from, int64_t n);
float kr_woven_number(const void *data, kr_dtype woven, int64_t rows, int64_t width, int64_t i);
#endif
