/* ops.cu - the ops that have kernels for CUDA, in the order of ops.def. */
#include "cuda/device.cuh"

/* Weak: a folder without a .cu leaves a NULL. */
#define OP(name) extern "C" const kr_cuda_op kr_cuda_op_##name __attribute__((weak));
#include "ops/ops.def"
#undef OP

const kr_cuda_op *const kr_cuda_ops[] = {
#define OP(name) &kr_cuda_op_##name,
#include "ops/ops.def"
#undef OP
};
const int kr_cuda_n_ops = sizeof kr_cuda_ops / sizeof *kr_cuda_ops;
