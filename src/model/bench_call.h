/* bench_call.h - an op with sizes, numbers and memory, ready to be timed. */
#ifndef KR_MODEL_BENCH_CALL_H
#define KR_MODEL_BENCH_CALL_H
#include "base/timing.h"
#include "ops/op.h"

enum { KR_BENCH_OWNED = 2 * (KR_MAX_IN + KR_MAX_OUT) + 2 };

typedef struct kr_bench_call {
    const kr_op *op;
    kr_impl impl;
    kr_device *device;    /* NULL: the CPU */
    kr_call call;
    _Alignas(16) char attr[256];
    void *owned[KR_BENCH_OWNED];
    int n_owned;
} kr_bench_call;

/* sizes are words, as in op_test.h: "S8" sets an axis, "*64" the rows, "-h" leaves an input
 * out or an output unwanted.  The forward has run once.  Freed by the caller even on failure. */
kr_status kr_bench_call_open(kr_bench_call *b, const char *op, const char *sizes, kr_impl impl, int n_threads);
/* The same on a device, with activations and weights as `real`; memory and numbers there. */
kr_status kr_bench_call_open_on(kr_bench_call *b, const char *op, const char *sizes, kr_device *device, kr_dtype real);
/* "bfloat16" or "float32" (or NULL). */
kr_status kr_bench_dtype(const kr_bench_options *opt, kr_dtype *out);
/* Are weights to be in blocks?  Activations on a GPU are then bfloat16. */
static inline bool kr_bench_blocks(const kr_bench_options *opt) { return opt->dtype && opt->dtype[0] == 'q'; }
void kr_bench_call_close(kr_bench_call *b);
kr_bench_time kr_bench_call_time(kr_bench_call *b, bool backward, const kr_bench_options *opt);
/* Bytes a second that threads read from so much memory, and flops a second of a product of 1024 x 1024. */
kr_status kr_bench_read_roof(size_t bytes, const kr_bench_options *opt, double *out);
kr_status kr_bench_gemm_roof(const kr_bench_options *opt, double *out);
/* Bytes that must move: inputs read and outputs written; backward likewise. */
double kr_bench_call_bytes(const kr_bench_call *b, bool backward);
#endif
