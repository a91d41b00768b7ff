/* bench_call.c - making and timing one call of an op, from its signature and a few words. */
#include "model/bench_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "ops/ops.h"

/* The word "-name". */
static bool left_out(const char *sizes, const char *name) {
    size_t n = strlen(name);
    for (const char *p = sizes; (p = strchr(p, '-')); p++)
        if (strncmp(p + 1, name, n) == 0 && (p[n + 1] == 0 || p[n + 1] == ' ')) return true;
    return false;
}

/* The word "L1024", or "*64" for the rows; -1 if there is none. */
static int64_t size_of(const char *sizes, char letter) {
    for (const char *p = sizes; *p; p += strcspn(p, " "), p += *p == ' ')
        if (*p == letter) return atoll(p + 1);
    return -1;
}

static void *own(kr_bench_call *b, size_t bytes) {
    void *p = NULL;
    KR_ASSERT(b->n_owned < KR_BENCH_OWNED);
    if (!b->device) p = kr_mem_new(bytes + 64);
    else if (kr_cuda()->alloc(b->device, &p, bytes + 64) != KR_OK) p = NULL;
    if (p) b->owned[b->n_owned++] = p;
    return p;
}

static kr_status shape_inputs(kr_bench_call *b, const char *sizes) {
    kr_sig_term t = {0};
    int i = 0;
    for (const char *s = b->op->sig; kr_sig_next(&s, &t) && !t.output; i++) {
        kr_tensor *x = &b->call.in[i];
        if (left_out(sizes, t.name)) continue;
        x->dtype = t.kind == KR_SLOT_INT ? KR_I32 : t.kind == KR_SLOT_F32 ? KR_F32 : b->call.real;
        if (t.star) x->dim[x->n_dims++] = size_of(sizes, '*');
        for (const char *a = t.axes; *a; a++) x->dim[x->n_dims++] = size_of(sizes, *a);
        for (int d = 0; d < x->n_dims; d++)
            if (x->dim[d] < 1)
                KR_FAIL(KR_ERR_ARG, "%s: \"%s\" does not say every size of %s", b->op->name, sizes, t.name);
    }
    return KR_OK;
}

/* A list that changes steps two by two, at random: a permutation that is its own inverse. */
static kr_status draw_swaps(int32_t *list, int64_t n) {
    kr_rng rng = {1, kr_rng_stream("bench swaps"), 0};
    int32_t *all = kr_mem_array((size_t)n, sizeof *all);
    if (!all) return KR_ERR_NOMEM;
    for (int64_t i = 0; i < n; i++) {
        int64_t at = kr_rng_below(&rng, i + 1);
        all[i] = all[at], all[at] = (int32_t)i;
    }
    for (int64_t i = 0; i < n; i++) list[all[i]] = (i ^ 1) < n ? all[i ^ 1] : all[i];
    kr_mem_free(all);
    return KR_OK;
}

/* Decay rates are negative, steps small, ids below V, or a gather's below its L, and all different if it has their
 * inverse; all else lies in [-1, 1]. */
static kr_status draw(const kr_bench_call *b, const kr_sig_term *t, kr_tensor *x, int which) {
    const kr_call *c = &b->call;
    int back = kr_op_slot(b->op, "back", false);
    bool swaps = strcmp(t->name, "order") == 0 || (back >= 0 && c->in[back].n_dims && x->dtype == KR_I32);
    if (swaps) return draw_swaps(x->data, kr_count(x));
    kr_rng rng = {1, kr_rng_stream("bench") + (uint64_t)which, 0};
    float lo = -1, hi = 1;
    if (strcmp(t->name, "A") == 0 || strcmp(t->name, "Are") == 0) lo = -4, hi = -0.5f;
    if (strcmp(t->name, "dt") == 0 || strcmp(t->name, "log_dt") == 0) lo = -6, hi = -2;
    int64_t L = strcmp(t->name, "idx") == 0 ? KR_SIZE(c, 'L') : 1, V = KR_SIZE(c, 'V') > 0 ? KR_SIZE(c, 'V') : L, n = kr_count(x), drawn = n < 65536 ? n : 65536;
    for (int64_t i = 0; i < drawn; i++) {
        if (x->dtype == KR_I32) ((int32_t *)x->data)[i] = (int32_t)kr_rng_below(&rng, V);
        else ((float *)x->data)[i] = lo + (hi - lo) * (float)kr_rng_uniform(&rng);
    }
    for (int64_t i = drawn; i < n; i++)
        ((int32_t *)x->data)[i] = ((int32_t *)x->data)[i - drawn]; /* long tensors repeat */
    return KR_OK;
}

/* Drawn here and sent there. */
static kr_status draw_on(kr_bench_call *b, const kr_sig_term *t, kr_tensor *x, int which) {
    kr_tensor here = *x;
    size_t n = (size_t)kr_count(x), bytes = n * kr_dtype_bytes(x->dtype);
    if (here.dtype == KR_BF16) here.dtype = KR_F32;
    if (!b->device) return draw(b, t, x, which);
    if (!(here.data = kr_mem_array(n, 2 * sizeof(float)))) return KR_ERR_NOMEM;
    kr_status st = draw(b, t, &here, which);
    void *send = here.data;
    if (x->dtype == KR_BF16) kr_convert(send = (float *)here.data + n, KR_BF16, here.data, KR_F32, (int64_t)n);
    kr_cuda()->upload(b->device, x->data, send, bytes);
    kr_status sent = kr_cuda()->sync(b->device);
    kr_mem_free(here.data);
    return st == KR_OK ? sent : st;
}

static kr_status take_memory(kr_bench_call *b, const char *sizes) {
    kr_call *c = &b->call;
    kr_sig_term t = {0};
    int n[2] = {0, 0};
    for (const char *s = b->op->sig; kr_sig_next(&s, &t);) {
        int i = n[t.output]++;
        kr_tensor *x = t.output ? &c->out[i] : &c->in[i], *d = t.output ? &c->dout[i] : &c->din[i];
        if (x->n_dims == 0 || left_out(sizes, t.name)) continue;
        size_t bytes = (size_t)kr_count(x) * kr_dtype_bytes(x->dtype);
        if (!(x->data = own(b, bytes))) return KR_ERR_NOMEM;
        if (!t.output) KR_TRY(draw_on(b, &t, x, i));
        if (!t.output && (b->op->no_grad >> i & 1)) continue;
        *d = *x;
        if (!t.output) d->dtype = kr_grad_dtype(&t, c->real);
        if (!(d->data = own(b, (size_t)kr_count(d) * kr_dtype_bytes(d->dtype)))) return KR_ERR_NOMEM;
        if (t.output) KR_TRY(draw_on(b, &t, d, KR_MAX_IN + i));
    }
    size_t scratch = c->fwd_scratch > c->bwd_scratch ? c->fwd_scratch : c->bwd_scratch;
    if (!(c->scratch = own(b, scratch)) || !(c->saved = own(b, c->saved_bytes))) return KR_ERR_NOMEM;
    return KR_OK;
}

static kr_status open_call(kr_bench_call *b, const char *op, const char *sizes) {
    b->op = kr_op_find(op);
    KR_ASSERT(b->op && b->op->attr_bytes <= sizeof b->attr);
    if (b->op->attrs) kr_attr_defaults(b->op, b->attr);
    b->call.attr = b->attr;
    b->call.training = true;
    KR_TRY(shape_inputs(b, sizes));
    KR_TRY(kr_op_bind(b->op, &b->call));
    KR_TRY(take_memory(b, sizes));
    kr_op_forward(b->op, &b->call, b->impl);
    return b->device ? kr_cuda()->sync(b->device) : KR_OK;
}

kr_status kr_bench_call_open(kr_bench_call *b, const char *op, const char *sizes, kr_impl impl, int n_threads) {
    *b = (kr_bench_call){.impl = impl, .call.n_threads = n_threads};
    return open_call(b, op, sizes);
}

kr_status kr_bench_call_open_on(kr_bench_call *b, const char *op, const char *sizes, kr_device *device, kr_dtype real) {
    *b = (kr_bench_call){.impl = KR_CUDA, .device = device,
                         .call = {.impl = KR_CUDA, .real = real, .n_threads = 1, .stream = kr_cuda()->stream(device)}};
    return open_call(b, op, sizes);
}

kr_status kr_bench_dtype(const kr_bench_options *opt, kr_dtype *out) {
    *out = opt->dtype && strcmp(opt->dtype, "bfloat16") == 0 ? KR_BF16 : KR_F32;
    if (*out == KR_BF16 || !opt->dtype || strcmp(opt->dtype, "float32") == 0) return KR_OK;
    KR_FAIL(KR_ERR_ARG, "dtype is \"%s\", want float32 or bfloat16", opt->dtype);
}

void kr_bench_call_close(kr_bench_call *b) {
    while (b->n_owned > 0) {
        void *p = b->owned[--b->n_owned];
        if (b->device) kr_cuda()->free(b->device, p);
        else kr_mem_free(p);
    }
}

static void forward(void *arg) {
    kr_bench_call *b = arg;
    kr_op_forward(b->op, &b->call, b->impl);
}
static void backward(void *arg) {
    kr_bench_call *b = arg;
    kr_op_backward(b->op, &b->call, b->impl);
}

/* On a device: several calls recorded and repeated together, so that launching costs little. */
enum { TOGETHER = 10 };
typedef struct repeated { kr_device *device; kr_capture *calls; } repeated;
static void repeat(void *arg) {
    repeated *r = arg;
    kr_cuda()->replay(r->device, r->calls);
    kr_cuda()->sync(r->device);
}
static kr_bench_time time_on_device(kr_bench_call *b, void (*work)(void *arg), const kr_bench_options *opt) {
    repeated r = {.device = b->device};
    kr_bench_time t = {0};
    work(b); /* what is made at first use */
    if (kr_cuda()->sync(b->device) != KR_OK || kr_cuda()->capture_begin(b->device) != KR_OK) return t;
    for (int i = 0; i < TOGETHER; i++) work(b);
    if (kr_cuda()->capture_end(b->device, &r.calls) != KR_OK) return t;
    t = kr_time_work(repeat, &r, opt);
    t.best_s /= TOGETHER, t.median_s /= TOGETHER;
    kr_cuda()->capture_free(b->device, r.calls);
    return t;
}

kr_bench_time kr_bench_call_time(kr_bench_call *b, bool back, const kr_bench_options *opt) {
    void (*work)(void *arg) = back ? backward : forward;
    return b->device ? time_on_device(b, work, opt) : kr_time_work(work, b, opt);
}

static double bytes_of(const kr_tensor *t) {
    return t->data ? (double)kr_dtype_row_bytes(t->dtype, kr_count(t)) : 0;
}

double kr_bench_call_bytes(const kr_bench_call *b, bool back) {
    const kr_call *c = &b->call;
    double sum = 0;
    for (int i = 0; i < KR_MAX_IN; i++) {
        if (!back || b->op->bwd_in >> i & 1) sum += bytes_of(&c->in[i]);
        if (back) sum += bytes_of(&c->din[i]);
    }
    for (int o = 0; o < KR_MAX_OUT; o++) {
        if (!back || b->op->bwd_out >> o & 1) sum += bytes_of(&c->out[o]);
        if (back) sum += bytes_of(&c->dout[o]);
    }
    return sum;
}
