/* backend.h - all that libkrait and libkrait_cuda know of each other.
 *
 * libkrait is plain C and knows no CUDA.  When a device is asked for, load.c opens
 * libkrait_cuda.so and takes from it one table of functions; tests put another library in
 * its place.  Work on a device is queued: calls that return nothing only queue, in order,
 * on the device's one stream, and what goes wrong is returned by the next sync. */
#ifndef KR_CUDA_BACKEND_H
#define KR_CUDA_BACKEND_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kr_call kr_call; /* ops/op.h */
typedef void kr_kernel(const kr_call *c);

/* An op's kernels for CUDA, at the end of src/ops/NAME/NAME.cu.  plan runs after the op's
 * own and sets fwd_scratch, bwd_scratch and saved_bytes to what these kernels need; NULL:
 * nothing.  Kernels launch on c->stream, allocate nothing, wait for nothing, and may be
 * captured in a CUDA graph. */
typedef struct kr_cuda_op {
    const char *name;
    kr_status (*plan)(kr_call *c);
    kr_kernel *fwd, *bwd;
    bool blocks;          /* without training, its weights may be in blocks, as put_blocks lays them */
} kr_cuda_op;

typedef struct kr_device kr_device;   /* one GPU: its stream and what belongs to it */
typedef struct kr_capture kr_capture; /* recorded work, to be repeated */

typedef struct kr_device_info {
    char name[128];
    int index, major, minor, n_sm;    /* compute capability; multiprocessors */
    int driver, runtime;              /* CUDA versions, as 13000 for 13.0 */
    size_t bytes, bytes_free;
} kr_device_info;

/* One parameter to update.  NULL low: there is no bfloat16 copy of it. */
typedef struct kr_adamw_item {
    float *x, *grad, *m, *v;
    uint16_t *low;
    int64_t n;
    bool decay;
} kr_adamw_item;
typedef struct kr_adamw_rates {
    float lr, beta1, beta2, eps, weight_decay; /* weight_decay: already times lr */
    float correct1, correct2;         /* 1 / (1 - beta^step) */
    float clip;                       /* largest norm of the gradient; 0: any */
} kr_adamw_rates;
typedef struct kr_adamw_plan kr_adamw_plan;

enum { KR_CUDA_VERSION = 2 };         /* of this file */
typedef struct kr_cuda_api {
    int version;
    const char *krait;                /* KRAIT_VERSION of the build */
    const kr_cuda_op *const *ops;     /* found by their names; NULL: no kernels for that one */
    int n_ops;

    kr_status (*count)(int *n);
    kr_status (*open)(kr_device **out, int index);
    void (*close)(kr_device *d);
    kr_status (*info)(kr_device *d, kr_device_info *out);
    void *(*stream)(kr_device *d);    /* for kr_call.stream */

    kr_status (*alloc)(kr_device *d, void **out, size_t bytes);      /* 256-byte aligned; contents undefined */
    void (*free)(kr_device *d, void *p);
    kr_status (*alloc_host)(kr_device *d, void **out, size_t bytes); /* memory that copies fast; zeroed */
    void (*free_host)(kr_device *d, void *p);

    /* A host side must stay as it is until the work is done. */
    void (*upload)(kr_device *d, void *to, const void *from, size_t bytes);
    void (*download)(kr_device *d, void *to, const void *from, size_t bytes);
    void (*copy)(kr_device *d, void *to, const void *from, size_t bytes);
    void (*fill)(kr_device *d, void *to, int byte, size_t bytes);
    kr_status (*sync)(kr_device *d);
    /* n numbers in blocks of tensor/quant.h, from the host, as kernels of `blocks` read them;
     * done when it returns. */
    size_t (*block_bytes)(kr_dtype type, int64_t n);
    kr_status (*put_blocks)(kr_device *d, void *to, const void *from, kr_dtype type, int64_t n);

    /* Between these two, work is recorded and not done. */
    kr_status (*capture_begin)(kr_device *d);
    kr_status (*capture_end)(kr_device *d, kr_capture **out);
    void (*replay)(kr_device *d, kr_capture *c);
    void (*capture_free)(kr_device *d, kr_capture *c);

    /* All parameters in one launch.  norm gets the norm of all gradients together; where
     * that is not finite no parameter changes. */
    kr_status (*adamw_new)(kr_device *d, kr_adamw_plan **out, const kr_adamw_item *item, int64_t n);
    void (*adamw_run)(kr_device *d, kr_adamw_plan *p, const kr_adamw_rates *r, double *host_norm);
    void (*adamw_free)(kr_device *d, kr_adamw_plan *p);
} kr_cuda_api;

/* What libkrait lends to the other side. */
typedef struct kr_cuda_host {
    void (*fail)(const char *sentence);
    void (*panic)(const char *file, int line, const char *what);
} kr_cuda_host;
/* The one symbol of libkrait_cuda.so. */
typedef const kr_cuda_api *kr_cuda_get_api_fn(const kr_cuda_host *host);

/* --- load.c ------------------------------------------------------------------------ */
/* The table, once kr_device_open has found it; else NULL. */
const kr_cuda_api *kr_cuda(void);
/* "cpu" (or NULL) gives NULL, "cuda" the first GPU, "cuda:N" that one.  The sentence of a
 * failure says what is missing: the library, the driver, a GPU, that GPU. */
kr_status kr_device_open(kr_device **out, const char *text);
void kr_device_close(kr_device *d); /* takes NULL */

#ifdef __cplusplus
}
#endif
#endif
