/* op_case.h - one test case of an op: its words parsed, its numbers drawn, its calls made.
 *
 * A case owns values in double that float holds exactly.  case_call() turns them into a
 * bound kr_call in either precision, with every buffer between guard words, filled with
 * NaN where a kernel has no right to look, and off any vector alignment.
 *
 * On a device every buffer, guard words and all, is copied there before a run and back
 * after it.  There tensors are aligned as a graph aligns them; column slices are not. */
#ifndef KR_TESTS_OP_CASE_H
#define KR_TESTS_OP_CASE_H
#include "ops/op_test.h"

typedef struct op_case {
    const kr_op_test *test;
    const kr_op *op;
    const char *text;
    int n_in, n_out, n_star;
    kr_sig_term in_term[KR_MAX_IN], out_term[KR_MAX_OUT];
    int64_t size[26], star[KR_MAX_DIMS];
    unsigned absent, bf16;           /* bit i: in[i] is left out / stored in bfloat16 */
    _Alignas(16) char attr[256];
    double *in[KR_MAX_IN], *dout[KR_MAX_OUT];
} op_case;

/* How to make and run a call. */
typedef struct how {
    bool f64, inference;             /* inference: training is off and nothing is saved */
    kr_impl impl;
    kr_dtype real;                   /* of activations: KR_F32, or KR_BF16 on CUDA */
    bool even, shifted;              /* column slices start and step by multiples of 16 bytes; start one element later */
    int n_threads;                   /* 0: one */
    unsigned pitched;                /* bit i: in[i] and din[i] are column slices, NaN around them */
    unsigned no_out, no_din, no_dout, zero_dout, acc;
    unsigned alias;                  /* bit o: out[o] lies in the memory of its state input or in[0] */
    bool poison;                     /* what backward has not declared turns to NaN before it */
    bool again;                      /* backward writes bwd_again once more; NaN before */
} how;

/* Parses the words and draws the numbers; false after printing why it cannot. */
bool case_read(op_case *k, const kr_op_test *t, const char *text);
/* The same with activations and weights that bfloat16 holds exactly. */
op_case case_rounded(const op_case *k);
/* Where KR_CUDA runs. */
void case_set_device(kr_device *d);
/* A call in its own memory.  The forward has not run; din holds NaN. */
kr_call case_call(const op_case *k, const how *h);
void case_forward(const op_case *k, const how *h, kr_call *c);
void case_backward(const op_case *k, const how *h, kr_call *c);
/* The case on steps [from, from + n) of axis `letter` ('*': the first of the leading axes). */
op_case case_slice(const op_case *k, char letter, int64_t from, int64_t n);
bool wants_grad(const op_case *k, int i);
int alias_input(const op_case *k, int o); /* -1: none */
kr_tensor case_input_shape(const op_case *k, int i, kr_dtype real);

/* Axes before and after `letter`: outer * n * inner elements.  False: the term lacks it. */
bool axis_split(const op_case *k, const kr_sig_term *t, const kr_tensor *x, char letter, int64_t *outer, int64_t *inner);

/* A tensor's element in its own order, whatever its pitch. */
typedef struct view { int64_t n, width, pitch; } view;
view tensor_view(const kr_sig_term *t, const kr_call *c, const kr_tensor *x);
double view_get(const view *v, const kr_tensor *x, int64_t i);
void view_put(const view *v, kr_tensor *x, int64_t i, double value);
void *view_at(const view *v, const kr_tensor *x, int64_t i);
bool same_bits(const kr_sig_term *t, const kr_call *a, const kr_tensor *x, const kr_call *b, const kr_tensor *y);

/* Guarded memory, released back to a mark. */
void *own(size_t bytes, const char *what, size_t off);
void freeze(void *p);                /* its contents must not change from here on */
void thaw(void *p);
int own_mark(void);
void own_release(int mark);
/* NULL if every block since mark is sound, or what is wrong with the first that is not. */
const char *own_check(int mark);
#endif
