/* rows.cuh - rows copied from one tensor to another, whatever types they are stored in. */
#ifndef KR_CUDA_ROWS_CUH
#define KR_CUDA_ROWS_CUH
#include "cuda/kernel.cuh"

/* V columns a thread; dense tensors are one long row each. */
template <typename To, typename From, int V>
static __global__ void cu_copy_rows_kernel(To *to, int64_t to_pitch, const From *from, int64_t from_pitch, int64_t rows, int64_t width, bool add) {
    int64_t per_row = width / V, n = rows * per_row, step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        int64_t r = i / per_row, col = i % per_row * V;
        float v[V];
        if (from) cu_load<V>(v, from + r * from_pitch + col);
        else
            for (int k = 0; k < V; k++) v[k] = 0;
        cu_give<V>(to + r * to_pitch + col, v, add);
    }
}

template <typename To, typename From>
static void cu_copy_rows_typed(const kr_tensor *to, const kr_tensor *from, int64_t rows, int64_t width, bool add, void *stream) {
    const int64_t threads = 256, most = 132 * 16;
    int64_t to_pitch = to->pitch, from_pitch = from->pitch;
    if (to_pitch == width && (from_pitch == width || !from->data)) width *= rows, rows = rows > 0, to_pitch = from_pitch = width;
    bool wide = width % 4 == 0 && cu_aligned(to->data, to_pitch, sizeof(To), 4 * sizeof(To)) &&
                cu_aligned(from->data, from_pitch, sizeof(From), 4 * sizeof(From));
    int64_t blocks = (rows * (wide ? width / 4 : width) + threads - 1) / threads;
    cu_launch(wide ? cu_copy_rows_kernel<To, From, 4> : cu_copy_rows_kernel<To, From, 1>, (unsigned)(blocks < most ? blocks : most),
              (unsigned)threads, 0, stream, (To *)to->data, to_pitch, (const From *)from->data, from_pitch, rows, width, add);
}

/* to = from, or to += from; from->data NULL is zeros, to->data NULL is nothing to do. */
static inline void cu_copy_rows(const kr_tensor *to, const kr_tensor *from, int64_t rows, int64_t width, bool add, void *stream) {
    if (!to->data) return;
    auto *copy = to->dtype == KR_BF16 ? (from->dtype == KR_BF16 ? cu_copy_rows_typed<bf16, bf16> : cu_copy_rows_typed<bf16, float>)
                                      : (from->dtype == KR_BF16 ? cu_copy_rows_typed<float, bf16> : cu_copy_rows_typed<float, float>);
    copy(to, from, rows, width, add, stream);
}
#endif
