/* quant.h - numbers in blocks with common scales: what is left of weights at 4 to 9 bits.
 *
 * The layouts are ggml's, byte for byte, so blocks pass between GGUF and us as they are:
 *
 *     Q8_0   32 numbers    d q                   q in -127..127
 *     Q4_0   32 numbers    d (q - 8)             q in 0..15
 *     Q4_K   8 times 32    d sc q - dmin m       q in 0..15, sc and m in 0..63
 *     Q6_K   16 times 16   d sc (q - 32)         q in 0..63, sc in -128..127
 *
 * d and dmin are half precision.  Of two numbers in a byte the lower four bits come first,
 * half a block (of Q4_K: 32 numbers) before the upper ones. */
#ifndef KR_TENSOR_QUANT_H
#define KR_TENSOR_QUANT_H
#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kr_q8_0 { uint16_t d; int8_t q[32]; } kr_q8_0;
typedef struct kr_q4_0 { uint16_t d; uint8_t q[16]; } kr_q4_0;             /* q[i]: numbers i and 16 + i */
typedef struct kr_q4_k { uint16_t d, dmin; uint8_t scales[12], q[128]; } kr_q4_k; /* q[32 g + i]: 64 g + i and 64 g + 32 + i */
/* In each half of 128: low[l] of numbers l and 64 + l (l < 64), two more bits of each in high[l % 32]. */
typedef struct kr_q6_k { uint8_t low[128], high[64]; int8_t scales[16]; uint16_t d; } kr_q6_k;

/* The scale and the offset of group j of a Q4_K block: 6 bits each, the upper two of the
 * last four groups in the bytes of the first four. */
static inline void kr_q4_k_scale(const uint8_t s[12], int j, int *scale, int *min) {
    if (j < 4) *scale = s[j] & 63, *min = s[j + 4] & 63;
    else *scale = (s[j + 4] & 15) | s[j - 4] >> 6 << 4, *min = s[j + 4] >> 4 | s[j] >> 6 << 4;
}

/* n numbers, whole blocks of them, as floats. */
void kr_dequantize(float *to, const void *from, kr_dtype type, int64_t n);
/* The blocks that are closest to x, by weighted squares: larger numbers weigh more. */
void kr_quantize(void *to, kr_dtype type, const float *x, int64_t n);
/* One number of a row of blocks. */
float kr_dequantize_at(const void *from, kr_dtype type, int64_t i);

#ifdef __cplusplus
}
#endif
#endif
