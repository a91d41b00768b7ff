/* params.c - parameters: creation, memory, initialisation. */
#include "graph/params.h"

#include <string.h>

#include "base/cpu.h"
#include "base/error.h"
#include "tensor/weave.h"

kr_status kr_params_new(kr_params **out, kr_dtype matrix_dtype, kr_device *device) {
    kr_params *p = kr_mem_new(sizeof *p);
    if (!p) {
        kr_device_close(device);
        return KR_ERR_NOMEM;
    }
    p->last = &p->first;
    p->device = device;
    p->matrix_dtype = matrix_dtype;
    *out = p;
    return KR_OK;
}

void kr_params_free(kr_params *p) {
    if (!p) return;
    if (p->device) {
        if (p->adamw) kr_cuda()->adamw_free(p->device, p->adamw);
        if (p->dev_block) kr_cuda()->free(p->device, p->dev_block);
        if (p->dev_weights) kr_cuda()->free(p->device, p->dev_weights);
        kr_device_close(p->device);
    }
    kr_mem_free(p->block);
    kr_mem_free(p->weights);
    if (p->lender) p->give_back(p->lender);
    kr_arena_clear(&p->arena);
    kr_mem_free(p);
}

kr_param *kr_params_find(const kr_params *p, const char *name) {
    for (kr_param *q = p->first; q; q = q->next)
        if (strcmp(q->name, name) == 0) return q;
    return NULL;
}

int64_t kr_param_count(const kr_param *p) {
    int64_t n = 1;
    for (int i = 0; i < p->n_dims; i++) n *= p->dim[i];
    return n;
}

kr_status kr_params_get(kr_param **out, kr_params *p, const char *name, int n_dims, const int64_t *dim, kr_init init) {
    kr_param *q = kr_params_find(p, name);
    size_t count;
    if ((*out = q)) {
        if (q->n_dims == n_dims && memcmp(q->dim, dim, (size_t)n_dims * sizeof *dim) == 0) return KR_OK;
        KR_FAIL(KR_ERR_SHAPE, "%s is wanted twice with different shapes", name);
    }
    if (!kr_mul_size(&count, n_dims, dim) || count == 0 || count > INT64_MAX / 16)
        KR_FAIL(KR_ERR_SHAPE, "%s has no elements, or too many", name);
    if (!(q = kr_arena_new(&p->arena, sizeof *q)) || !(q->name = kr_arena_strdup(&p->arena, name))) return KR_ERR_NOMEM;
    q->n_dims = n_dims;
    memcpy(q->dim, dim, (size_t)n_dims * sizeof *dim);
    q->init = init;
    if (init.kind == KR_INIT_ROW) {
        size_t bytes = (size_t)dim[n_dims - 1] * sizeof(float);
        float *row = kr_arena_new(&p->arena, bytes);
        if (!row) return KR_ERR_NOMEM;
        q->init.row = memcpy(row, init.row, bytes);
    }
    q->dtype = KR_F32;
    *p->last = q;
    p->last = &q->next;
    p->n++;
    p->n_elements += (int64_t)count;
    *out = q;
    return KR_OK;
}

static size_t padded(size_t bytes) { return (bytes + 255) & ~(size_t)255; } /* a device's vectors want it */
/* Here and on the device, where blocks may take more: both sides have one layout. */
static size_t weight_bytes(const kr_params *p, const kr_param *q) {
    size_t bytes = kr_dtype_row_bytes(q->dtype, kr_param_count(q));
    size_t there = p->device && kr_dtype_block(q->dtype) > 1 ? kr_cuda()->block_bytes(q->dtype, kr_param_count(q)) : 0;
    return padded(there > bytes ? there : bytes);
}

size_t kr_params_bytes(const kr_params *p) {
    size_t n = 0;
    for (const kr_param *q = p->first; q; q = q->next) n += weight_bytes(p, q);
    return n;
}

size_t kr_params_train_bytes(const kr_params *p) {
    size_t n = 0;
    for (const kr_param *q = p->first; q; q = q->next)
        n += padded((size_t)kr_param_count(q) * sizeof(float)) * (q->dtype == KR_F32 ? 3 : 4);
    return n;
}

static size_t float_bytes(const kr_param *q) { return padded((size_t)kr_param_count(q) * sizeof(float)); }

/* Grads, both moments, masters: each kind in one piece, so that clearing is one stroke. */
static void lay_out_training(kr_params *p) {
    char *at = (char *)p->block;
    for (kr_param *q = p->first; q; at += float_bytes(q), q = q->next) q->grad = (float *)at;
    for (kr_param *q = p->first; q; at += float_bytes(q), q = q->next) q->m = (float *)at;
    for (kr_param *q = p->first; q; at += float_bytes(q), q = q->next) q->v = (float *)at;
    for (kr_param *q = p->first; q; q = q->next) {
        if (q->dtype == KR_F32) continue;
        q->master = (float *)at;
        at += float_bytes(q);
    }
}

static kr_status alloc_device(kr_params *p, bool training) {
    const kr_cuda_api *api = kr_cuda();
    KR_TRY(api->alloc(p->device, (void **)&p->dev_weights, kr_params_bytes(p)));
    if (!training) return KR_OK;
    KR_TRY(api->alloc(p->device, (void **)&p->dev_block, kr_params_train_bytes(p)));
    kr_adamw_item *item = kr_mem_array((size_t)p->n, sizeof *item), *i = item;
    if (!item) return KR_ERR_NOMEM;
    for (kr_param *q = p->first; q; q = q->next)
        *i++ = (kr_adamw_item){.x = kr_params_place(p, q->master ? q->master : q->data), .grad = kr_params_place(p, q->grad),
                               .m = kr_params_place(p, q->m), .v = kr_params_place(p, q->v),
                               .low = q->master ? kr_params_place(p, q->data) : NULL, .n = kr_param_count(q), .decay = !q->no_decay};
    kr_status st = api->adamw_new(p->device, &p->adamw, item, p->n);
    kr_mem_free(item);
    return st == KR_OK ? kr_params_push(p) : st;
}

kr_status kr_params_alloc(kr_params *p, bool training) {
    KR_ASSERT(!p->weights);
    size_t bytes = kr_params_bytes(p);
    for (const kr_param *q = p->first; q; q = q->next)
        if (q->lent) bytes -= weight_bytes(p, q);
    char *w = kr_mem_new(bytes);
    if (!w) return KR_ERR_NOMEM;
    p->weights = w;
    if (training && !(p->block = kr_mem_new(kr_params_train_bytes(p)))) return KR_ERR_NOMEM;
    for (kr_param *q = p->first; q; q = q->next) {
        KR_ASSERT(!q->lent || (!training && !p->device));
        if (q->lent) continue;
        q->data = w;
        w += weight_bytes(p, q);
    }
    if (training) lay_out_training(p);
    return p->device ? alloc_device(p, training) : KR_OK;
}

/* --- the device's side ---------------------------------------------------------------- */

bool kr_param_weaves(const kr_param *p, kr_weaving what) {
    if (what == KR_WEAVE_NONE || (what == KR_WEAVE_BLOCKS && kr_dtype_block(p->dtype) == 1)) return false;
    return p->matrix && p->n_dims == 2 && kr_woven(p->dtype, p->dim[1]) != p->dtype;
}

kr_status kr_params_weave(kr_params *p, kr_weaving what) {
    KR_ASSERT(!p->device && !p->block);
    for (kr_param *q = p->first; q; q = q->next) {
        if (!kr_param_weaves(q, what)) continue;
        KR_ASSERT(!q->lent);
        KR_TRY(kr_weave(q->data, q->dtype, q->dim[0], q->dim[1]));
        q->dtype = kr_woven(q->dtype, q->dim[1]);
    }
    return KR_OK;
}

void *kr_params_place(const kr_params *p, const void *host) {
    const char *x = host, *weights = p->weights, *block = (const char *)p->block;
    if (!p->device || !x) return (void *)host;
    if (block && x >= block && x < block + kr_params_train_bytes(p)) return p->dev_block + (x - block);
    KR_ASSERT(x >= weights && x < weights + kr_params_bytes(p));
    return p->dev_weights + (x - weights);
}

kr_status kr_params_push(kr_params *p) {
    if (!p->device) return KR_OK;
    for (const kr_param *q = p->first; q; q = q->next) {
        if (kr_dtype_block(q->dtype) == 1) kr_cuda()->upload(p->device, kr_params_place(p, q->data), q->data, kr_dtype_row_bytes(q->dtype, kr_param_count(q)));
        else KR_TRY(kr_cuda()->put_blocks(p->device, kr_params_place(p, q->data), q->data, q->dtype, kr_param_count(q)));
    }
    if (p->block) kr_cuda()->upload(p->device, p->dev_block, p->block, kr_params_train_bytes(p));
    return kr_cuda()->sync(p->device);
}

kr_status kr_params_fetch(kr_params *p) {
    if (!p->device || !p->block) return KR_OK; /* without training nothing changes there */
    kr_cuda()->download(p->device, p->weights, p->dev_weights, kr_params_bytes(p));
    kr_cuda()->download(p->device, p->block, p->dev_block, kr_params_train_bytes(p));
    return kr_cuda()->sync(p->device);
}

void kr_param_set(kr_param *p, const float *x) {
    int64_t n = kr_param_count(p);
    kr_convert(p->data, p->dtype, x, KR_F32, n);
    if (p->master) memcpy(p->master, x, (size_t)n * sizeof *x);
}

static float draw(const kr_init *in, kr_rng *r, int64_t column) {
    switch (in->kind) {
    case KR_INIT_CONST: return (float)in->a;
    case KR_INIT_UNIFORM: return (float)(in->a + (in->b - in->a) * kr_rng_uniform(r));
    case KR_INIT_NORMAL: return (float)(in->a * kr_rng_normal(r));
    case KR_INIT_LOG_UNIFORM: return (float)log(in->a + (in->b - in->a) * kr_rng_uniform(r));
    case KR_INIT_LOG_COUNT: return (float)log((double)(column + 1));
    case KR_INIT_ROW: return in->row[column];
    case KR_INIT_DT_BIAS: {
        double dt = exp(log(in->a) + (log(in->b) - log(in->a)) * kr_rng_uniform(r));
        dt = dt < in->c ? in->c : dt;
        return (float)(dt + log(-expm1(-dt))); /* softplus of it is dt again */
    }
    default: return 0;
    }
}

/* In pieces through a buffer on the stack, because data may be bf16. */
static void init_one(kr_param *q, uint64_t seed) {
    float piece[256];
    kr_rng r = {seed, kr_rng_stream(q->name), 0};
    int64_t n = kr_param_count(q), width = q->dim[q->n_dims - 1];
    for (int64_t i = 0; i < n; i += 256) {
        int64_t m = n - i < 256 ? n - i : 256;
        for (int64_t j = 0; j < m; j++) piece[j] = draw(&q->init, &r, (i + j) % width);
        kr_convert((char *)q->data + kr_dtype_row_bytes(q->dtype, i), q->dtype, piece, KR_F32, m);
        if (q->master) memcpy(q->master + i, piece, (size_t)m * sizeof *piece);
    }
}

/* Parameters do not know of each other, so any thread may draw any of them. */
void kr_params_init(kr_params *p, uint64_t seed) {
#pragma omp parallel num_threads(p->n_elements < 1000000 ? 1 : kr_cpu_threads())
#pragma omp single
    for (kr_param *q = p->first; q; q = q->next) {
#pragma omp task firstprivate(q)
        init_one(q, seed);
    }
}

void kr_params_zero_grad(kr_params *p) {
    if (p->device && p->block) {
        size_t bytes = 0;
        for (kr_param *q = p->first; q; q = q->next) bytes += float_bytes(q);
        kr_cuda()->fill(p->device, p->dev_block, 0, bytes);
        return;
    }
    for (kr_param *q = p->first; q; q = q->next)
        if (q->grad) memset(q->grad, 0, (size_t)kr_param_count(q) * sizeof(float));
}
