/* fake_cuda.c - a device that is none: libkrait_cuda.so for machines without a GPU.
 *
 * It runs an op's CPU kernels on memory that nobody else can touch (a look at device memory
 * from the host faults), and does nothing that is queued before it is waited for (who forgets
 * to wait reads old numbers).  bfloat16 activations are widened, worked on and rounded.  So
 * all that lies between an op's kernel and the program is tested without a GPU. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ops/add_rmsnorm/add_rmsnorm.h"
#include "ops/ops.h"
#include "train/adamw.h"

enum { ARENA = 1 << 30, MAX_BLOCKS = 8192 };

typedef enum work_kind { UPLOAD, DOWNLOAD, COPY, FILL, FORWARD, BACKWARD, ADAMW } work_kind;
typedef struct work {
    work_kind kind;
    void *to;
    const void *from;
    size_t bytes;
    int byte;
    const kr_op *op;
    kr_call call;
    const kr_adamw_plan *adamw;
    kr_adamw_rates rates;
    double *norm;
} work;
struct kr_capture { work *list; size_t n; };
struct kr_adamw_plan { kr_params params; kr_param *param; };

struct kr_device {
    work *queue;
    size_t n, cap;
    bool recording;
    size_t record_from;
};

static const kr_cuda_host *host;
static char *arena;
static struct block { size_t at, bytes; } block[MAX_BLOCKS]; /* sorted by address */
static int n_blocks;

static void lock(bool on) { mprotect(arena, ARENA, on ? PROT_NONE : PROT_READ | PROT_WRITE); }

static kr_status refuse(kr_status st, const char *sentence) {
    host->fail(sentence);
    return st;
}

/* --- memory --------------------------------------------------------------------------- */

static void fake_fill(kr_device *d, void *to, int byte, size_t bytes);
static kr_status fake_alloc(kr_device *d, void **out, size_t bytes) {
    size_t at = 0, need = (bytes + 511) & ~(size_t)255; /* a gap between any two */
    int i = 0;
    for (; i < n_blocks && block[i].at - at < need; i++) at = block[i].at + block[i].bytes;
    if (n_blocks == MAX_BLOCKS || at + need > ARENA) return refuse(KR_ERR_NOMEM, "the fake device is full");
    memmove(block + i + 1, block + i, (size_t)(n_blocks - i) * sizeof *block);
    block[i] = (struct block){at, need};
    n_blocks++;
    *out = arena + at;
    fake_fill(d, *out, 0xff, bytes);
    return KR_OK;
}
static void fake_sync_all(kr_device *d);
static void fake_free(kr_device *d, void *p) {
    int i = 0;
    fake_sync_all(d);
    while (i < n_blocks && arena + block[i].at != (char *)p) i++;
    if (i == n_blocks) host->panic(__FILE__, __LINE__, "freed what was not allocated");
    memmove(block + i, block + i + 1, (size_t)(--n_blocks - i) * sizeof *block);
}
static kr_status fake_alloc_host(kr_device *d, void **out, size_t bytes) {
    (void)d;
    *out = calloc(1, bytes + 1);
    return *out ? KR_OK : refuse(KR_ERR_NOMEM, "out of memory");
}
static void fake_free_host(kr_device *d, void *p) {
    fake_sync_all(d);
    free(p);
}

/* --- the queue ------------------------------------------------------------------------- */

static work *push(kr_device *d) {
    if (d->n == d->cap) d->queue = realloc(d->queue, (d->cap = 2 * d->cap + 64) * sizeof *d->queue);
    d->queue[d->n] = (work){0};
    return &d->queue[d->n++];
}
static void push_move(kr_device *d, work_kind kind, void *to, const void *from, size_t bytes) {
    *push(d) = (work){.kind = kind, .to = to, .from = from, .bytes = bytes};
}
static void fake_upload(kr_device *d, void *to, const void *from, size_t bytes) { push_move(d, UPLOAD, to, from, bytes); }
static void fake_download(kr_device *d, void *to, const void *from, size_t bytes) { push_move(d, DOWNLOAD, to, from, bytes); }
static void fake_copy(kr_device *d, void *to, const void *from, size_t bytes) { push_move(d, COPY, to, from, bytes); }
static void fake_fill(kr_device *d, void *to, int byte, size_t bytes) { *push(d) = (work){.kind = FILL, .to = to, .byte = byte, .bytes = bytes}; }

/* An activation (or state) in half as floats, side by side; the original is kept in *was. */
static void widen(kr_tensor *t, const kr_sig_term *s, int n_star, kr_tensor *was) {
    int64_t n = kr_count(t), width = 1;
    *was = *t;
    if (!t->n_dims || (t->dtype != KR_BF16 && t->dtype != KR_F16) || (s->kind != KR_SLOT_REAL && !s->low)) return;
    for (int a = s->n_row_axes < 0 ? n_star : s->n_row_axes; a < t->n_dims; a++) width *= t->dim[a];
    t->dtype = KR_F32;
    if (!t->data) return;
    float *x = aligned_alloc(64, ((size_t)n * sizeof *x + 127) & ~(size_t)63);
    for (int64_t r = 0; r * width < n; r++)
        kr_convert(x + r * width, KR_F32, (const uint16_t *)was->data + r * was->pitch, was->dtype, width);
    t->data = x;
    t->pitch = width;
}
static void narrow(kr_tensor *t, const kr_tensor *was, bool back) {
    if (t->data == was->data) return;
    int64_t n = kr_count(t), width = t->pitch;
    for (int64_t r = 0; back && r * width < n; r++)
        kr_convert((uint16_t *)was->data + r * was->pitch, was->dtype, (const float *)t->data + r * width, KR_F32, width);
    free(t->data);
}

/* What a backward writes again; add_rmsnorm's has the sum, not what was added. */
static void make_again(const kr_op *op, kr_call c) {
    if (op == &kr_op_add_rmsnorm) {
        c.in[ADD_RMSNORM_X] = c.out[ADD_RMSNORM_SUM];
        c.in[ADD_RMSNORM_RES] = (kr_tensor){0};
        c.out[ADD_RMSNORM_SUM].data = NULL;
    }
    c.scratch = aligned_alloc(64, (c.fwd_scratch + 127) & ~(size_t)63);
    kr_op_forward(op, &c, c.impl);
    free(c.scratch);
}

static void run_op(const work *w) {
    kr_call c = w->call;
    kr_tensor in[KR_MAX_IN], out[KR_MAX_OUT], din[KR_MAX_IN], dout[KR_MAX_OUT];
    kr_sig_term t = {0};
    bool backward = w->kind == BACKWARD;
    int i = 0, o = 0;
    for (const char *s = w->op->sig; kr_sig_next(&s, &t);) {
        if (!t.output) widen(&c.in[i], &t, c.n_star, &in[i]), widen(&c.din[i], &t, c.n_star, &din[i]), i++;
        else widen(&c.out[o], &t, c.n_star, &out[o]), widen(&c.dout[o], &t, c.n_star, &dout[o]), o++;
    }
    c.impl = kr_cpu_best(), c.real = KR_F32;
    unsigned made = backward ? (c.again ? w->op->bwd_again : 0) : ~0u;
    if (backward && made) make_again(w->op, c);
    if (backward) kr_op_backward(w->op, &c, c.impl);
    else kr_op_forward(w->op, &c, c.impl);
    while (i-- > 0) narrow(&c.in[i], &in[i], false), narrow(&c.din[i], &din[i], backward);
    while (o-- > 0) narrow(&c.out[o], &out[o], made >> o & 1), narrow(&c.dout[o], &dout[o], false);
}

static void run_adamw(const work *w) {
    const kr_adamw_rates *r = &w->rates;
    double norm = kr_grad_norm(&w->adamw->params, 1);
    float scale = r->clip > 0 && norm > r->clip ? (float)(r->clip / norm) : 1;
    for (kr_param *q = w->adamw->params.first; q && isfinite(norm); q = q->next)
        for (int64_t i = 0; i < q->dim[0]; i++) {
            float *x = q->master ? q->master : q->data, g = q->grad[i] * scale, decay = q->no_decay ? 0 : r->weight_decay;
            q->m[i] = r->beta1 * q->m[i] + (1 - r->beta1) * g;
            q->v[i] = r->beta2 * q->v[i] + (1 - r->beta2) * g * g;
            x[i] -= r->lr * (q->m[i] * r->correct1) / (sqrtf(q->v[i] * r->correct2) + r->eps) + decay * x[i];
            if (q->master) ((uint16_t *)q->data)[i] = kr_to_bf16(x[i]);
        }
    if (w->norm) *w->norm = norm;
}

static void run_work(const work *w) {
    switch (w->kind) {
    case UPLOAD:
    case DOWNLOAD:
    case COPY: memmove(w->to, w->from, w->bytes); break;
    case FILL: memset(w->to, w->byte, w->bytes); break;
    case ADAMW: run_adamw(w); break;
    default: run_op(w);
    }
}

static void fake_sync_all(kr_device *d) {
    if (d->recording) host->panic(__FILE__, __LINE__, "waited while recording");
    if (d->n == 0) return;
    lock(false);
    for (size_t i = 0; i < d->n; i++) run_work(&d->queue[i]);
    d->n = 0;
    lock(true);
}
static kr_status fake_sync(kr_device *d) {
    fake_sync_all(d);
    return KR_OK;
}

static kr_status fake_capture_begin(kr_device *d) {
    d->recording = true;
    d->record_from = d->n;
    return KR_OK;
}
static kr_status fake_capture_end(kr_device *d, kr_capture **out) {
    kr_capture *c = *out = malloc(sizeof *c);
    c->n = d->n - d->record_from;
    c->list = malloc(c->n * sizeof *c->list + 1);
    memcpy(c->list, d->queue + d->record_from, c->n * sizeof *c->list);
    d->n = d->record_from;
    d->recording = false;
    return KR_OK;
}
static void fake_replay(kr_device *d, kr_capture *c) {
    for (size_t i = 0; i < c->n; i++) *push(d) = c->list[i];
}
static void fake_capture_free(kr_device *d, kr_capture *c) {
    fake_sync_all(d);
    free(c->list);
    free(c);
}

/* --- the optimiser ------------------------------------------------------------------------ */

static kr_status fake_adamw_new(kr_device *d, kr_adamw_plan **out, const kr_adamw_item *item, int64_t n) {
    kr_adamw_plan *p = calloc(1, sizeof *p);
    (void)d;
    p->param = calloc((size_t)n, sizeof *p->param);
    for (int64_t i = n; i-- > 0;) {
        const kr_adamw_item *q = &item[i];
        p->param[i] = (kr_param){.n_dims = 1, .dim = {q->n}, .dtype = q->low ? KR_BF16 : KR_F32, .data = q->low ? (void *)q->low : q->x,
                                 .master = q->low ? q->x : NULL, .grad = q->grad, .m = q->m, .v = q->v, .no_decay = !q->decay,
                                 .next = p->params.first};
        p->params.first = &p->param[i];
    }
    *out = p;
    return KR_OK;
}
static void fake_adamw_run(kr_device *d, kr_adamw_plan *p, const kr_adamw_rates *r, double *norm) {
    *push(d) = (work){.kind = ADAMW, .adamw = p, .rates = *r, .norm = norm};
}
static void fake_adamw_free(kr_device *d, kr_adamw_plan *p) {
    fake_sync_all(d);
    free(p->param);
    free(p);
}

/* --- ops and the table ------------------------------------------------------------------------ */

/* The CPU's plan once more, because kr_op_bind has cleared what it asked for. */
static kr_status plan_as_cpu(const kr_op *op, kr_call *c) { return op->plan ? op->plan(c) : KR_OK; }
static void queue_op(const kr_op *op, const kr_call *c, bool backward) {
    *push(c->stream) = (work){.kind = backward ? BACKWARD : FORWARD, .op = op, .call = *c};
}

#define OP(name)                                                                                  \
    static kr_status name##_plan_fake(kr_call *c) { return plan_as_cpu(&kr_op_##name, c); }       \
    static void name##_fwd_fake(const kr_call *c) { queue_op(&kr_op_##name, c, false); }          \
    static void name##_bwd_fake(const kr_call *c) { queue_op(&kr_op_##name, c, true); }           \
    static const kr_cuda_op name##_fake = {#name, name##_plan_fake, name##_fwd_fake, name##_bwd_fake, true};
#include "ops/ops.def"
#undef OP
static const kr_cuda_op *const fake_ops[] = {
#define OP(name) &name##_fake,
#include "ops/ops.def"
#undef OP
};

static kr_status fake_count(int *n) { return *n = 2, KR_OK; }
static kr_status fake_open(kr_device **out, int index) {
    if (index == 1) return refuse(KR_ERR_DEVICE, "cuda:1 of the fake is broken, for tests");
    *out = calloc(1, sizeof **out);
    return KR_OK;
}
static void fake_close(kr_device *d) {
    fake_sync_all(d);
    free(d->queue);
    free(d);
}
static kr_status fake_info(kr_device *d, kr_device_info *out) {
    (void)d;
    *out = (kr_device_info){.name = "fake", .major = 9, .n_sm = 1, .bytes = ARENA, .bytes_free = ARENA};
    return KR_OK;
}
static void *fake_stream(kr_device *d) { return d; }
/* The CPU's kernels want blocks as they are. */
static size_t fake_block_bytes(kr_dtype type, int64_t n) { return kr_dtype_row_bytes(type, n); }
static kr_status fake_put_blocks(kr_device *d, void *to, const void *from, kr_dtype type, int64_t n) {
    fake_upload(d, to, from, kr_dtype_row_bytes(type, n));
    return fake_sync(d);
}

static const kr_cuda_api api = {
    .version = KR_CUDA_VERSION, .krait = KRAIT_VERSION, .ops = fake_ops, .n_ops = sizeof fake_ops / sizeof *fake_ops,
    .count = fake_count, .open = fake_open, .close = fake_close, .info = fake_info, .stream = fake_stream,
    .alloc = fake_alloc, .free = fake_free, .alloc_host = fake_alloc_host, .free_host = fake_free_host,
    .upload = fake_upload, .download = fake_download, .copy = fake_copy, .fill = fake_fill, .sync = fake_sync,
    .block_bytes = fake_block_bytes, .put_blocks = fake_put_blocks,
    .capture_begin = fake_capture_begin, .capture_end = fake_capture_end, .replay = fake_replay, .capture_free = fake_capture_free,
    .adamw_new = fake_adamw_new, .adamw_run = fake_adamw_run, .adamw_free = fake_adamw_free,
};

KR_API const kr_cuda_api *kr_cuda_get_api(const kr_cuda_host *h);
const kr_cuda_api *kr_cuda_get_api(const kr_cuda_host *h) {
    host = h;
    if (!arena) arena = mmap(NULL, ARENA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return arena == MAP_FAILED ? NULL : &api;
}
