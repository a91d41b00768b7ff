/* op.h - the op contract: what a differentiable function is, to all of Krait.
 *
 * An op is one const record.  Its signature names every tensor and spells every shape
 * with one letter per axis:
 *
 *     "x:SLHP dt:SLH A:H D?:H seq_idx?:SL@i W:NK@w -> y:SLHP h:SHPN"
 *
 *   - a letter means the same size wherever it stands;
 *   - '*' first stands for any leading axes (rows), the same wherever it stands;
 *   - '?' after a name makes an input optional: n_dims == 0 says it is not there;
 *   - '@i' is int32, '@w' a weight (float32 or bfloat16; of inference on a CPU also float16 or
 *     blocks of tensor/quant.h, which some ops take on a GPU too), '@f' float32 whatever happens:
 *     decays, biases, the residual stream, losses; '@s' a state: '@f', or for inference on a
 *     GPU bfloat16 or float16, and then its next value too; all else has the precision of
 *     activations, c->real: float32 on a CPU, float32 or bfloat16 on a GPU.
 *   - the reference in double has doubles for '@f' and for all else that is no integer.
 * A gradient has the type of its value, but that of a weight is float32.
 * From this one string come the shape checks and their messages, the output shapes, the
 * test cases and docs/ops.md.
 *
 * Rows.  The axes S and L (or "*") at the front of a tensor are its rows.  An input whose
 * axes start so may be a column slice of something wider: c->in[i].pitch is the elements
 * from one row to the next, and kernels must step by it.  After bind, pitch is never 0.
 * The same goes for din[i].  Outputs and their gradients are always contiguous.
 *
 * Every check happens in kr_op_bind, so kernels return nothing and cannot fail.  The
 * reference is the definition; any other implementation may be missing, and then the
 * next best one runs.
 *
 * A forward kernel sets every output (skip an out[o].data that is NULL: unwanted; out[0]
 * is always there).  A backward kernel reads only the inputs and outputs its record
 * declares (bwd_in, bwd_out) and skips a din[i].data that is NULL.
 *   - a reference ADDS into din[i];
 *   - any other kernel adds if c->acc[i] and sets otherwise. */
#ifndef KR_OPS_OP_H
#define KR_OPS_OP_H
#include <stddef.h>

#include "base/cpu.h"
#include "base/error.h"
#include "cuda/backend.h"
#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { KR_MAX_IN = 12, KR_MAX_OUT = 4 };

struct kr_call {
    const void *attr;                 /* the op's own options, or NULL if it has none */
    int64_t size[26];                 /* bound axis letters, 'A'..'Z'; -1: unbound */
    int64_t rows;                     /* product of the '*' axes; 1 if there is none */
    int n_star;
    int64_t star[KR_MAX_DIMS];
    kr_tensor in[KR_MAX_IN], out[KR_MAX_OUT];
    kr_tensor din[KR_MAX_IN];         /* gradients to make; data NULL: unwanted */
    kr_tensor dout[KR_MAX_OUT];       /* gradients given; data NULL: zero */
    bool acc[KR_MAX_IN];              /* add into din[i] instead of setting it */
    bool again;                       /* backward also writes what bwd_again says into out */
    kr_dtype real;                    /* set before bind: of activations; KR_F32, or on CUDA KR_BF16 */
    kr_impl impl;                     /* set before bind: KR_CUDA plans for its kernels, all else for a CPU's */
    int n_threads;                    /* set before bind; at least 1 */
    bool training;                    /* set before bind: backward will follow */
    void *scratch;                    /* 64-byte aligned, contents undefined */
    size_t fwd_scratch, bwd_scratch;  /* bytes this call needs there; plan sets them */
    void *saved;                      /* written by forward, read by backward; NULL unless training */
    size_t saved_bytes;               /* plan sets it */
    void *stream;                     /* of the device; kernels launch on it */
}; /* kr_call, and kr_kernel: void (const kr_call *c) */

/* One option of an op: int64_t, double or bool-as-int64_t in the op's attr struct. */
typedef enum kr_attr_type { KR_ATTR_INT, KR_ATTR_REAL } kr_attr_type;
typedef struct kr_attr {
    const char *name;
    kr_attr_type type;
    size_t offset;
    double def;
    const char *help;
} kr_attr;
#define KR_ATTR_INT(type, field, def, help) {#field, KR_ATTR_INT, offsetof(type, field), def, help}
#define KR_ATTR_REAL(type, field, def, help) {#field, KR_ATTR_REAL, offsetof(type, field), def, help}
#define KR_ATTR_END {NULL, KR_ATTR_INT, 0, 0, NULL}

typedef struct kr_op {
    const char *name, *sig;
    const char *about;                /* one line: what it computes */
    size_t attr_bytes;
    const kr_attr *attrs;             /* ends with KR_ATTR_END; NULL: no options */
    /* Checks what letters cannot say, binds letters that only outputs have, sets
     * fwd_scratch, bwd_scratch, saved_bytes.  May be NULL. */
    kr_status (*plan)(kr_call *c);
    kr_kernel *fwd[KR_N_IMPL], *bwd[KR_N_IMPL];
    kr_kernel *fwd_f64, *bwd_f64;     /* the reference in double; bwd NULL: not differentiable */
    unsigned bwd_in, bwd_out;         /* bit i: backward reads in[i] / out[i] */
    unsigned bwd_again;               /* bit i: on a GPU, backward can write out[i] once more as it goes (c->again) */
    unsigned no_grad;                 /* bit i: in[i] has no gradient (ids, indices) */
    struct { signed char in, out; } state[2]; /* in/out pairs carried along L, as index + 1; 0 ends */
    /* bit o: out[o] may be the same memory as its state input (or as in[0] for o == 0) */
    unsigned may_alias;
    double (*flops)(const kr_call *c); /* of a forward; NULL: bytes are what counts */
} kr_op;

/* [KR_BASELINE] = f_baseline, ...: the instruction sets this build compiles *_vec.c for. */
#if defined(__x86_64__)
#define KR_VEC_DECLARE(f) kr_kernel f##_baseline, f##_avx2, f##_avx512
#define KR_VEC_IMPLS(f) [KR_BASELINE] = f##_baseline, [KR_AVX2] = f##_avx2, [KR_AVX512] = f##_avx512
#elif defined(__aarch64__)
#define KR_VEC_DECLARE(f) kr_kernel f##_neon
#define KR_VEC_IMPLS(f) [KR_BASELINE] = f##_neon, [KR_NEON] = f##_neon
#else
#define KR_VEC_DECLARE(f) kr_kernel f##_baseline
#define KR_VEC_IMPLS(f) [KR_BASELINE] = f##_baseline
#endif
#define KR_REF_DECLARE(f) kr_kernel f##_ref_f32, f##_ref_f64

#define KR_SIZE(c, letter) ((c)->size[(letter) - 'A'])

/* Checks c->in against the signature, binds c->size, shapes c->out, plans. */
kr_status kr_op_bind(const kr_op *op, kr_call *c);
/* Fills an attr struct with its defaults. */
void kr_attr_defaults(const kr_op *op, void *attr);

/* Run the best implementation up to `best`; references get their din cleared unless acc[i]. */
void kr_op_forward(const kr_op *op, const kr_call *c, kr_impl best);
void kr_op_backward(const kr_op *op, const kr_call *c, kr_impl best);

/* One tensor of a signature: walk with  for (s = op->sig; kr_sig_next(&s, &t);) */
typedef enum kr_slot_kind { KR_SLOT_REAL, KR_SLOT_INT, KR_SLOT_WEIGHT, KR_SLOT_F32 } kr_slot_kind;
typedef struct kr_sig_term {
    char name[16], axes[KR_MAX_DIMS + 1]; /* axes without the '*' */
    bool optional, output, star;
    kr_slot_kind kind;
    bool low;                             /* '@s': kind is KR_SLOT_F32, but may be stored in half */
    int n_row_axes;                       /* leading S and L axes, or those of '*' (then -1) */
} kr_sig_term;
bool kr_sig_next(const char **sig, kr_sig_term *t);
/* The type of a slot's gradient, where activations are `real`. */
static inline kr_dtype kr_grad_dtype(const kr_sig_term *t, kr_dtype real) {
    return t->kind == KR_SLOT_REAL || real == KR_F64 ? real : KR_F32;
}

/* What libkrait_cuda has for an op; NULL: nothing, or it is not loaded. */
const kr_cuda_op *kr_op_cuda(const kr_op *op);

/* A slot's index by name in c->in or c->out; -1 if there is none. */
int kr_op_slot(const kr_op *op, const char *name, bool output);

#ifdef __cplusplus
}
#endif
#endif
