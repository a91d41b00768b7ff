/* bench_call.c - making and timing one call of an op, from its signature and a few words. */
#include "model/bench_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

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
    void *p = kr_mem_new(bytes + 64);
    KR_ASSERT(b->n_owned < KR_BENCH_OWNED);
    if (p) b->owned[b->n_owned++] = p;
    return p;
}

static kr_status shape_inputs(kr_bench_call *b, const char *sizes) {
    kr_sig_term t = {0};
    int i = 0;
    for (const char *s = b->op->sig; kr_sig_next(&s, &t) && !t.output; i++) {
        kr_tensor *x = &b->call.in[i];
        if (left_out(sizes, t.name)) continue;
        x->dtype = t.kind == KR_SLOT_INT ? KR_I32 : KR_F32;
        if (t.star) x->dim[x->n_dims++] = size_of(sizes, '*');
        for (const char *a = t.axes; *a; a++) x->dim[x->n_dims++] = size_of(sizes, *a);
        for (int d = 0; d < x->n_dims; d++)
            if (x->dim[d] < 1)
                KR_FAIL(KR_ERR_ARG, "%s: \"%s\" does not say every size of %s", b->op->name, sizes, t.name);
    }
    return KR_OK;
}

/* Decay rates are negative, steps small, ids below V; all else lies in [-1, 1]. */
static void draw(const kr_call *c, const kr_sig_term *t, kr_tensor *x, int which) {
    kr_rng rng = {1, kr_rng_stream("bench") + (uint64_t)which, 0};
    float lo = -1, hi = 1;
    if (strcmp(t->name, "A") == 0 || strcmp(t->name, "Are") == 0) lo = -4, hi = -0.5f;
    if (strcmp(t->name, "dt") == 0 || strcmp(t->name, "log_dt") == 0) lo = -6, hi = -2;
    int64_t V = KR_SIZE(c, 'V') > 0 ? KR_SIZE(c, 'V') : 1, n = kr_count(x), drawn = n < 65536 ? n : 65536;
    for (int64_t i = 0; i < drawn; i++) {
        if (x->dtype == KR_I32) ((int32_t *)x->data)[i] = (int32_t)kr_rng_below(&rng, V);
        else ((float *)x->data)[i] = lo + (hi - lo) * (float)kr_rng_uniform(&rng);
    }
    for (int64_t i = drawn; i < n; i++)
        ((int32_t *)x->data)[i] = ((int32_t *)x->data)[i - drawn]; /* long tensors repeat */
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
        if (!t.output) draw(c, &t, x, i);
        if (!t.output && (b->op->no_grad >> i & 1)) continue;
        *d = *x;
        if (!(d->data = own(b, bytes))) return KR_ERR_NOMEM;
        if (t.output) draw(c, &t, d, KR_MAX_IN + i);
    }
    size_t scratch = c->fwd_scratch > c->bwd_scratch ? c->fwd_scratch : c->bwd_scratch;
    if (!(c->scratch = own(b, scratch)) || !(c->saved = own(b, c->saved_bytes))) return KR_ERR_NOMEM;
    return KR_OK;
}

kr_status kr_bench_call_open(kr_bench_call *b, const char *op, const char *sizes, kr_impl impl, int n_threads) {
    *b = (kr_bench_call){.op = kr_op_find(op), .impl = impl};
    KR_ASSERT(b->op && b->op->attr_bytes <= sizeof b->attr);
    if (b->op->attrs) kr_attr_defaults(b->op, b->attr);
    b->call.attr = b->attr;
    b->call.n_threads = n_threads;
    b->call.training = true;
    KR_TRY(shape_inputs(b, sizes));
    KR_TRY(kr_op_bind(b->op, &b->call));
    KR_TRY(take_memory(b, sizes));
    kr_op_forward(b->op, &b->call, impl);
    return KR_OK;
}

void kr_bench_call_close(kr_bench_call *b) {
    while (b->n_owned > 0) kr_mem_free(b->owned[--b->n_owned]);
}

static void forward(void *arg) {
    kr_bench_call *b = arg;
    kr_op_forward(b->op, &b->call, b->impl);
}
static void backward(void *arg) {
    kr_bench_call *b = arg;
    kr_op_backward(b->op, &b->call, b->impl);
}
kr_bench_time kr_bench_call_time(kr_bench_call *b, bool back, const kr_bench_options *opt) {
    return kr_time_work(back ? backward : forward, b, opt);
}

static double bytes_of(const kr_tensor *t) {
    return t->data ? (double)kr_count(t) * (double)kr_dtype_bytes(t->dtype) : 0;
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
