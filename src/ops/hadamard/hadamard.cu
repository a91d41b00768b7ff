/* hadamard.cu - hadamard on a GPU: a block a row, which lies in shared memory while sums and differences are taken of
 * it; Paley's matrix gives each number its last sum. */
#include "ops/hadamard/hadamard.h"

#include "cuda/kernel.cuh"

enum { THREADS = 256, MAX_D = 48 * 1024 };
typedef struct squares { signed char of[HADAMARD_MOST]; } squares; /* hadamard_squares, as an argument */

template <typename T>
static __global__ void __launch_bounds__(THREADS) hadamard_kernel(int64_t D, int m, squares square, bool turned, float by, const T *x, int64_t x_pitch, T *y,
                                                                  int64_t y_pitch, bool add) {
    extern __shared__ float row[];
    const int two = (int)D / m;
    x += blockIdx.x * x_pitch, y += blockIdx.x * y_pitch;
    for (int i = (int)threadIdx.x; i < D; i += THREADS) row[i] = cu_float(x[i]);
    for (int h = 1; h < two; h *= 2) {
        __syncthreads();
        for (int p = (int)threadIdx.x; p < D / 2; p += THREADS) {
            const int i = p / h * 2 * h + p % h;
            const float a = row[i], b = row[i + h];
            row[i] = a + b, row[i + h] = a - b;
        }
    }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < D; i += THREADS) {
        const int at = i / two;
        float sum = m > 1 ? 0 : row[i];
        for (int j = 0; m > 1 && j < m; j++) {
            const int r = turned ? j : at, c = turned ? at : j, d = r - c;
            const bool plus = r == 0 || (c && square.of[d < 0 ? d + m - 1 : d] > 0);
            const float v = row[j * two + i % two];
            sum += plus ? v : -v;
        }
        cu_give(y + i, sum * by, add);
    }
}

static kr_status hadamard_plan_cuda(kr_call *c) {
    if (KR_SIZE(c, 'D') > MAX_D)
        KR_FAIL(KR_ERR_SHAPE, "hadamard: %lld columns, want at most %d on a GPU", (long long)KR_SIZE(c, 'D'), MAX_D);
    c->fwd_scratch = c->bwd_scratch = c->saved_bytes = 0;
    return KR_OK;
}

template <typename T> static void turn(const kr_call *c, const kr_tensor *x, int64_t x_pitch, const kr_tensor *y, int64_t y_pitch, bool turned, bool add) {
    const int64_t D = KR_SIZE(c, 'D'), m = hadamard_paley(D);
    squares s = {};
    if (!y->data) return;
    hadamard_squares(m, s.of);
    cu_launch(hadamard_kernel<T>, (unsigned)c->rows, THREADS, (size_t)D * sizeof(float), c->stream, D, (int)m, s, turned, (float)(1 / sqrt((double)D)),
              (const T *)x->data, x_pitch, (T *)y->data, y_pitch, add);
}

static void hadamard_fwd_cuda(const kr_call *c) {
    const kr_tensor *x = &c->in[HADAMARD_X], *y = &c->out[HADAMARD_Y];
    if (c->real == KR_BF16) turn<bf16>(c, x, x->pitch, y, KR_SIZE(c, 'D'), false, false);
    else turn<float>(c, x, x->pitch, y, KR_SIZE(c, 'D'), false, false);
}
static void hadamard_bwd_cuda(const kr_call *c) {
    const kr_tensor *dy = &c->dout[HADAMARD_Y], *dx = &c->din[HADAMARD_X];
    if (c->real == KR_BF16) turn<bf16>(c, dy, KR_SIZE(c, 'D'), dx, dx->pitch, true, c->acc[HADAMARD_X]);
    else turn<float>(c, dy, KR_SIZE(c, 'D'), dx, dx->pitch, true, c->acc[HADAMARD_X]);
}

KR_CUDA_OP(hadamard, hadamard_plan_cuda, hadamard_fwd_cuda, hadamard_bwd_cuda)
