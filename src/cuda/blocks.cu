/* blocks.cu - blocks to planes, and planes to numbers. */
#include "cuda/blocks.cuh"

#include "cuda/device.cuh"
#include "tensor/quant.h"

/* --- into planes ------------------------------------------------------------------------- */

static __device__ float of_half(const uint16_t *p) { return __half2float(__ushort_as_half(*p)); }

/* 32 numbers of 4 bits and their scale and offset. */
static __device__ void four_bits(unsigned (&word)[4], float &scale, float &min, const void *blocks, kr_dtype type, int64_t i) {
    unsigned char q[32];
    if (type == KR_Q4_0) {
        const kr_q4_0 *b = (const kr_q4_0 *)blocks + i;
        for (int k = 0; k < 16; k++) q[k] = b->q[k] & 15, q[k + 16] = b->q[k] >> 4;
        scale = of_half(&b->d), min = 8 * scale;
    } else {
        const kr_q4_k *b = (const kr_q4_k *)blocks + i / 8;
        const int j = (int)(i % 8);
        const uint8_t *s = b->scales;
        const int sc = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | s[j - 4] >> 6 << 4, m = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | s[j] >> 6 << 4;
        for (int k = 0; k < 32; k++) q[k] = b->q[j / 2 * 32 + k] >> j % 2 * 4 & 15;
        scale = of_half(&b->d) * (float)sc, min = of_half(&b->dmin) * (float)m;
    }
    for (int w = 0; w < 4; w++) {
        word[w] = 0;
        for (int j = 0; j < 4; j++) word[w] |= (unsigned)q[8 * w + 2 * j] << 4 * j | (unsigned)q[8 * w + 2 * j + 1] << (16 + 4 * j);
    }
}

static __device__ void six_bits(float (&x)[32], const void *blocks, int64_t i) {
    const kr_q6_k *b = (const kr_q6_k *)blocks + i / 8;
    for (int k = 0; k < 32; k++) {
        const int at = (int)(i % 8) * 32 + k, half = at / 128, l = at % 128;
        const int low = b->low[64 * half + l % 64] >> l / 64 * 4 & 15, high = b->high[32 * half + l % 32] >> l / 32 * 2 & 3;
        x[k] = of_half(&b->d) * (float)b->scales[at / 16] * (float)((low | high << 4) - 32);
    }
}
static __device__ void eight_bits(int8_t (&q)[32], __half &scale, const void *blocks, kr_dtype type, int64_t i) {
    if (type == KR_Q8_0) {
        const kr_q8_0 *b = (const kr_q8_0 *)blocks + i;
        for (int k = 0; k < 32; k++) q[k] = b->q[k];
        scale = __ushort_as_half(b->d);
        return;
    }
    float x[32], most = 0;
    six_bits(x, blocks, i);
    for (int k = 0; k < 32; k++) most = fmaxf(most, fabsf(x[k]));
    scale = __float2half_ru(most / 127);
    const float by = most > 0 ? 1 / __half2float(scale) : 0;
    for (int k = 0; k < 32; k++) q[k] = (int8_t)__float2int_rn(x[k] * by);
}

/* A thread 32 numbers. */
static __global__ void __launch_bounds__(128) deal_kernel(unsigned char *to, __half *scales, const void *blocks, kr_dtype type, bool four, int64_t n) {
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i * CU_BLOCK >= n) return;
    if (four) {
        unsigned word[4];
        float scale, min;
        four_bits(word, scale, min, blocks, type, i);
        ((uint4 *)to)[i] = make_uint4(word[0], word[1], word[2], word[3]);
        ((__half2 *)scales)[i] = __floats2half2_rn(scale, min);
    } else {
        int8_t q[32];
        eight_bits(q, scales[i], blocks, type, i);
        for (int k = 0; k < 32; k++) ((int8_t *)to)[i * 32 + k] = q[k];
    }
}

size_t device_block_bytes(kr_dtype type, int64_t n) { return (size_t)(n / CU_BLOCK) * (cu_four_bits(type) ? 20 : 34); }

kr_status device_put_blocks(kr_device *d, void *to, const void *from, kr_dtype type, int64_t n) {
    const size_t bytes = kr_dtype_row_bytes(type, n);
    const cu_planes p = cu_planes_of(to, type, n);
    void *room = NULL;
    CU_TRY(cudaSetDevice(d->index), "the GPU cannot be used");
    CU_TRY(cudaMalloc(&room, bytes), "no memory on the GPU for weights on their way");
    cudaError_t e = cudaMemcpyAsync(room, from, bytes, cudaMemcpyHostToDevice, d->stream);
    if (e == cudaSuccess)
        cu_launch(deal_kernel, cu_blocks(n, 128 * CU_BLOCK), 128, 0, d->stream, (unsigned char *)p.q, (__half *)p.scale, (const void *)room, type,
                  cu_four_bits(type), n);
    if (e == cudaSuccess) e = cudaStreamSynchronize(d->stream);
    cudaFree(room);
    CU_TRY(e, "the GPU failed");
    return KR_OK;
}

/* --- out of planes ------------------------------------------------------------------------- */

template <typename T> static __global__ void __launch_bounds__(256) unblock_kernel(T *to, const cu_planes from, bool four, int64_t n) {
    const int64_t i = (blockIdx.x * (int64_t)blockDim.x + threadIdx.x) * 8;
    float v[8];
    if (i >= n) return;
    cu_unblock(v, from, four, i);
    cu_store<8>(to + i, v);
}
void kr_cuda_unblock(void *to, kr_dtype to_type, const void *from, kr_dtype from_type, int64_t n, void *stream) {
    const cu_planes p = cu_planes_of(from, from_type, n);
    const bool four = cu_four_bits(from_type);
    if (to_type == KR_F32) cu_launch(unblock_kernel<float>, cu_blocks(n, 2048), 256, 0, stream, (float *)to, p, four, n);
    else cu_launch(unblock_kernel<bf16>, cu_blocks(n, 2048), 256, 0, stream, (bf16 *)to, p, four, n);
}
