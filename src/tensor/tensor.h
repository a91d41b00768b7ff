/* tensor.h - a shaped, typed window on memory that someone else owns. */
#ifndef KR_TENSOR_TENSOR_H
#define KR_TENSOR_TENSOR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { KR_MAX_DIMS = 6 };

/* X(name, n, bytes, text): n numbers take so many bytes.  F64 serves the references, I32 ids and
 * indices, BF16 and F16 storage; where n > 1 numbers come in blocks with common scales (quant.h):
 * matrices of inference on a CPU, whose rows are whole blocks.  Woven ones (weave.h) are only in memory. */
#define KR_DTYPE_MAP(X)                                                                                      \
    X(F32, 1, 4, "float32") X(F64, 1, 8, "float64") X(BF16, 1, 2, "bfloat16") X(F16, 1, 2, "float16")        \
    X(I32, 1, 4, "int32") X(Q8_0, 32, 34, "q8_0") X(Q4_0, 32, 18, "q4_0") X(Q4_K, 256, 144, "q4_k")          \
    X(Q6_K, 256, 210, "q6_k") X(Q8_0_WOVEN, 32, 34, "woven q8_0") X(Q4_0_WOVEN, 32, 18, "woven q4_0")       \
    X(Q4_K_WOVEN, 256, 144, "woven q4_k") X(Q6_K_WOVEN, 256, 210, "woven q6_k")                             \
    X(F32_WOVEN, 1, 4, "woven float32") X(BF16_WOVEN, 1, 2, "woven bfloat16") X(F16_WOVEN, 1, 2, "woven float16")
typedef enum kr_dtype {
#define X(name, n, bytes, text) KR_##name,
    KR_DTYPE_MAP(X)
#undef X
    KR_N_DTYPE
} kr_dtype;

/* Row major, last dimension contiguous.  data == NULL: absent or not wanted.
 *
 * The leading axes of an activation (S and L, or any "*") are its rows.  Rows may lie
 * apart: `pitch` is the elements from one row to the next, so a column slice of a wider
 * tensor is a view that costs nothing.  pitch == 0 says side by side. */
typedef struct kr_tensor {
    void *data;
    kr_dtype dtype;
    int n_dims;
    int64_t dim[KR_MAX_DIMS];
    int64_t pitch;
} kr_tensor;

static inline int64_t kr_count(const kr_tensor *t) {
    int64_t n = 1;
    for (int i = 0; i < t->n_dims; i++) n *= t->dim[i];
    return n;
}
/* Numbers in a block; 1: each stands by itself. */
static inline int64_t kr_dtype_block(kr_dtype t) {
    static const int64_t length[KR_N_DTYPE] = {
#define X(name, n, bytes, text) n,
        KR_DTYPE_MAP(X)
#undef X
    };
    return length[t];
}
/* Bytes of n numbers, whole blocks of them. */
static inline size_t kr_dtype_row_bytes(kr_dtype t, int64_t n) {
    static const size_t bytes[KR_N_DTYPE] = {
#define X(name, n, b, text) b,
        KR_DTYPE_MAP(X)
#undef X
    };
    return (size_t)(n / kr_dtype_block(t)) * bytes[t];
}
/* Bytes of one number; 0 where there is no such thing. */
static inline size_t kr_dtype_bytes(kr_dtype t) { return kr_dtype_row_bytes(t, 1); }
static inline const char *kr_dtype_text(kr_dtype t) {
    static const char *const text[KR_N_DTYPE] = {
#define X(name, n, bytes, s) s,
        KR_DTYPE_MAP(X)
#undef X
    };
    return text[t];
}

/* bfloat16: the upper half of a float.  Rounds to nearest even; NaN stays NaN. */
static inline float kr_from_bf16(uint16_t h) {
    union { uint32_t u; float f; } v = {(uint32_t)h << 16};
    return v.f;
}
static inline uint16_t kr_to_bf16(float f) {
    union { float f; uint32_t u; } v = {f};
    if ((v.u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(v.u >> 16 | 0x40);
    return (uint16_t)((v.u + 0x7fffu + (v.u >> 16 & 1)) >> 16);
}
/* IEEE half precision. */
float kr_from_f16(uint16_t h);
uint16_t kr_to_f16(float f);
/* n elements from any of F32, F64, BF16, F16 and the block types to another; of a block type whole
 * blocks. */
void kr_convert(void *to, kr_dtype to_type, const void *from, kr_dtype from_type, int64_t n);

#ifdef __cplusplus
}
#endif
#endif
