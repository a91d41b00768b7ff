/* params.h - the parameters of a model: named tensors that graphs share.
 *
 * A builder asks for a parameter by name.  The first asking creates it with a shape, an
 * initialisation and its weight-decay rule; later graphs over the same model (a training
 * graph, a decoding graph) find it again.  Memory is taken by kr_params_alloc, so a
 * model can be described and measured before any is.
 *
 * On a device the pointers below stay those of the host: a mirror that kr_params_push sends
 * to the device and kr_params_fetch fills from there.  What only training touches costs the
 * host nothing until it is fetched. */
#ifndef KR_GRAPH_PARAMS_H
#define KR_GRAPH_PARAMS_H
#include <stdint.h>

#include "base/mem.h"
#include "base/rng.h"
#include "cuda/backend.h"
#include "tensor/tensor.h"

typedef enum kr_init_kind {
    KR_INIT_ZEROS,
    KR_INIT_CONST,       /* a */
    KR_INIT_UNIFORM,     /* U(a, b) */
    KR_INIT_NORMAL,      /* N(0, a^2) */
    KR_INIT_LOG_UNIFORM, /* log U(a, b): Mamba-2's A_log */
    KR_INIT_LOG_COUNT,   /* log(1..N) along the last axis: Mamba-1's A_log */
    KR_INIT_DT_BIAS,     /* inverse softplus of exp U(log a, log b), at least c */
    KR_INIT_ROW,         /* every row along the last axis is `row`, which is copied */
} kr_init_kind;

typedef struct kr_init {
    kr_init_kind kind;
    double a, b, c;
    const float *row;
} kr_init;

typedef struct kr_param kr_param;
struct kr_param {
    const char *name;    /* its Hugging Face name, e.g. "backbone.layers.0.mixer.D" */
    int n_dims;
    int64_t dim[KR_MAX_DIMS];
    kr_init init;
    bool no_decay;       /* A_log, D, dt_bias, norms, biases, initial states */
    bool matrix;         /* may be stored in less than float32: the weight of a product or a table */
    bool conv;           /* files hold [D, 1, K] for our [D, K] */
    kr_dtype dtype;      /* of data: F32; of matrices the store's, or without training blocks, on a CPU F16 too, if set before memory is */
    void *data;          /* [dim], NULL before kr_params_alloc unless lent */
    bool lent;           /* data is read-only memory of the lender's: a mapped file, say; not on a device, not in training */
    float *master;       /* the float32 copy behind bf16 data while training; else NULL */
    float *grad;         /* NULL unless training */
    float *m, *v;        /* AdamW's moments; NULL unless training */
    kr_param *next;      /* in order of creation */
};

typedef struct kr_params {
    kr_arena arena;
    kr_param *first, **last;
    int64_t n, n_elements;
    kr_dtype matrix_dtype; /* F32 or BF16, for new matrices */
    float *block;          /* all grads, then moments and masters */
    void *weights;
    kr_device *device;     /* where graphs over these run; NULL: the CPU */
    char *dev_weights, *dev_block; /* there, laid out as block and weights here */
    kr_adamw_plan *adamw;
    void *lender;          /* called back for with `give_back` when the parameters go */
    void (*give_back)(void *lender);
} kr_params;

/* The device (NULL: the CPU) is the parameters' from here on, and closed with them. */
kr_status kr_params_new(kr_params **out, kr_dtype matrix_dtype, kr_device *device);
void kr_params_free(kr_params *p);
kr_param *kr_params_find(const kr_params *p, const char *name);
/* Finds or creates.  KR_ERR_SHAPE: it is there with another shape. */
kr_status kr_params_get(kr_param **out, kr_params *p, const char *name, int n_dims, const int64_t *dim, kr_init init);
int64_t kr_param_count(const kr_param *p);

/* Bytes of the weights, and of gradients plus optimiser state. */
size_t kr_params_bytes(const kr_params *p);
size_t kr_params_train_bytes(const kr_params *p);
/* Takes the memory of what is not lent (weights; with training also gradients, moments and masters). */
kr_status kr_params_alloc(kr_params *p, bool training);
/* What of a model is woven (tensor/weave.h). */
typedef enum kr_weaving { KR_WEAVE_NONE, KR_WEAVE_BLOCKS, KR_WEAVE_ALL } kr_weaving;
/* Is it a matrix that is woven then? */
bool kr_param_weaves(const kr_param *p, kr_weaving what);
/* Without training, on a CPU: weaves them, for graphs made from then on; none of them is lent.  KR_ERR_NOMEM. */
kr_status kr_params_weave(kr_params *p, kr_weaving what);
/* Draws every parameter from its initialisation; a number depends on seed and name only. */
void kr_params_init(kr_params *p, uint64_t seed);
/* Sets the values of one parameter (and its master) from floats. */
void kr_param_set(kr_param *p, const float *x);
void kr_params_zero_grad(kr_params *p);

/* Where a pointer into the mirror lies on the device; itself on a CPU. */
void *kr_params_place(const kr_params *p, const void *host);
/* The whole mirror to the device, and back.  Nothing to do on a CPU. */
kr_status kr_params_push(kr_params *p);
kr_status kr_params_fetch(kr_params *p);
#endif
