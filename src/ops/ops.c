/* ops.c - signatures, binding, and the choice of implementation. */
#include <stdio.h>
#include <string.h>

#include "ops/ops.h"
#include "tensor/weave.h"

const kr_op *const kr_ops[] = {
#define OP(name) &kr_op_##name,
#include "ops/ops.def"
#undef OP
    NULL};

const kr_op *kr_op_find(const char *name) {
    for (int i = 0; kr_ops[i]; i++)
        if (strcmp(kr_ops[i]->name, name) == 0) return kr_ops[i];
    return NULL;
}

/* "x:SLHP dt?:SLH -> y:SLHP": reads one term; false at the end.  t remembers the arrow. */
bool kr_sig_next(const char **sig, kr_sig_term *t) {
    const char *p = *sig;
    bool output = t->output;
    *t = (kr_sig_term){.output = output};
    while (*p == ' ') p++;
    if (p[0] == '-' && p[1] == '>') {
        t->output = true;
        for (p += 2; *p == ' ';) p++;
    }
    if (*p == 0) return false;
    for (size_t n = 0; *p && *p != ':'; p++) {
        if (*p == '?') t->optional = true;
        else if (n + 1 < sizeof t->name) t->name[n++] = *p;
    }
    KR_ASSERT(*p == ':');
    p++;
    if (*p == '*') t->star = true, p++;
    for (size_t n = 0; *p && *p != ' ' && *p != '@'; p++) {
        KR_ASSERT(*p >= 'A' && *p <= 'Z' && n < KR_MAX_DIMS);
        t->axes[n++] = *p;
    }
    if (*p == '@') {
        KR_ASSERT(p[1] == 'i' || p[1] == 'w' || p[1] == 'f' || p[1] == 's');
        t->low = p[1] == 's';
        t->kind = p[1] == 'i' ? KR_SLOT_INT : p[1] == 'w' ? KR_SLOT_WEIGHT : KR_SLOT_F32;
        p += 2;
    }
    if (t->star) t->n_row_axes = -1;
    else if (t->axes[0] == 'S') t->n_row_axes = t->axes[1] == 'L' ? 2 : 0;
    *sig = p;
    return true;
}

int kr_op_slot(const kr_op *op, const char *name, bool output) {
    kr_sig_term t = {0};
    int n[2] = {0, 0};
    for (const char *s = op->sig; kr_sig_next(&s, &t); n[t.output]++)
        if (t.output == output && strcmp(t.name, name) == 0) return n[output];
    return -1;
}

/* "S=2, L=?, 8": letters name what is wanted, '?' what nothing has bound yet. */
static void print_shape(char *s, size_t size, const int64_t *dim, int n_dims, const char *letters, bool star) {
    size_t n = 0;
    s[0] = 0;
    if (star) n += (size_t)snprintf(s, size, "...%s", n_dims ? ", " : "");
    for (int i = 0; i < n_dims && n < size; i++) {
        n += (size_t)snprintf(s + n, size - n, "%s", i ? ", " : "");
        if (letters && n < size) n += (size_t)snprintf(s + n, size - n, "%c=", letters[i]);
        if (n < size && dim[i] < 0) n += (size_t)snprintf(s + n, size - n, "?");
        else if (n < size) n += (size_t)snprintf(s + n, size - n, "%lld", (long long)dim[i]);
    }
}

static kr_status misfit(const kr_op *op, const kr_tensor *x, const kr_sig_term *t, const int64_t *want, int n) {
    char got[160], exp[160];
    print_shape(got, sizeof got, x->dim, x->n_dims, NULL, false);
    print_shape(exp, sizeof exp, want, n, t->axes, t->star);
    KR_FAIL(KR_ERR_SHAPE, "%s: %s is [%s], want [%s]", op->name, t->name, got, exp);
}

/* What a slot holds where activations are `real`. */
static kr_dtype slot_dtype(const kr_sig_term *t, kr_dtype real) {
    if (t->kind == KR_SLOT_INT) return KR_I32;
    return t->kind == KR_SLOT_F32 && real != KR_F64 ? KR_F32 : real;
}

/* May a state of this call be stored in half? */
static bool low_state(const kr_call *c, kr_dtype t) { return c->impl == KR_CUDA && !c->training && (t == KR_BF16 || t == KR_F16); }

/* Inference on a CPU takes weights of every type that converts, some ops on a GPU those in blocks; rows
 * of blocks are whole ones. */
static bool stored_weight(const kr_op *op, const kr_call *c, const kr_tensor *x, kr_dtype real) {
    if (c->training || real == KR_F64) return false;
    if (c->impl == KR_CUDA && !(kr_op_cuda(op) && kr_op_cuda(op)->blocks && kr_dtype_block(x->dtype) > 1)) return false;
    if (c->impl != KR_CUDA && real != KR_F32) return false;
    if (kr_is_woven(x->dtype) && x->n_dims != 2) return false;
    return x->dtype == KR_F16 || kr_is_woven(x->dtype) || (kr_dtype_block(x->dtype) > 1 && x->dim[x->n_dims - 1] % kr_dtype_block(x->dtype) == 0);
}

static kr_status bind_dtype(const kr_op *op, const kr_call *c, const kr_tensor *x, const kr_sig_term *t, kr_dtype real) {
    kr_dtype want = slot_dtype(t, real);
    if (t->low && low_state(c, x->dtype)) return KR_OK;
    if (x->dtype == want || (t->kind == KR_SLOT_WEIGHT && (x->dtype == KR_BF16 || (x->dtype == KR_F32 && real == KR_BF16) || stored_weight(op, c, x, real)))) return KR_OK;
    KR_FAIL(KR_ERR_DTYPE, "%s: %s is %s, want %s", op->name, t->name, kr_dtype_text(x->dtype), kr_dtype_text(want));
}

static kr_status bind_input(const kr_op *op, kr_call *c, kr_tensor *x, const kr_sig_term *t) {
    int n = (int)strlen(t->axes), lead = t->star ? x->n_dims - n : 0;
    bool fits = x->n_dims == n + lead && lead >= 0;
    int64_t want[KR_MAX_DIMS];
    for (int i = 0; i < n; i++) {
        int64_t *size = &KR_SIZE(c, t->axes[i]);
        if (*size < 0 && fits) *size = x->dim[lead + i];
        want[i] = *size;
        fits = fits && x->dim[lead + i] == want[i];
    }
    if (fits && t->star) {
        if (c->n_star < 0) {
            c->n_star = lead;
            memcpy(c->star, x->dim, (size_t)lead * sizeof *c->star);
        }
        fits = lead == c->n_star && memcmp(c->star, x->dim, (size_t)lead * sizeof *c->star) == 0;
    }
    if (!fits) return misfit(op, x, t, want, n);
    for (int i = 0; i < x->n_dims; i++)
        if (x->dim[i] < 0) KR_FAIL(KR_ERR_SHAPE, "%s: %s has a negative size", op->name, t->name);
    int n_rows = t->n_row_axes < 0 ? lead : t->n_row_axes;
    int64_t width = 1;
    for (int i = n_rows; i < x->n_dims; i++) width *= x->dim[i];
    if (x->pitch && x->pitch != width && n_rows == 0)
        KR_FAIL(KR_ERR_SHAPE, "%s: %s is a column slice, but has no row axes here", op->name, t->name);
    if (!x->pitch) x->pitch = width;
    return KR_OK;
}

static bool is_f64(const kr_call *c) {
    for (int i = 0; i < KR_MAX_IN; i++)
        if (c->in[i].n_dims && c->in[i].dtype == KR_F64) return true;
    return false;
}

const kr_cuda_op *kr_op_cuda(const kr_op *op) {
    const kr_cuda_api *api = kr_cuda();
    for (int i = 0; api && i < api->n_ops; i++) /* by name: the other side may be of another day */
        if (api->ops[i] && strcmp(api->ops[i]->name, op->name) == 0) return api->ops[i];
    return NULL;
}

/* The op's plan was for a CPU; these kernels need other memory. */
static kr_status plan_cuda(const kr_op *op, kr_call *c) {
    const kr_cuda_op *cuda = kr_op_cuda(op);
    if (!cuda) KR_FAIL(KR_ERR_MISSING, "%s: there is no CUDA version of this op%s", op->name, kr_cuda() ? "" : " before a device is open");
    c->fwd_scratch = c->bwd_scratch = c->saved_bytes = 0;
    return cuda->plan ? cuda->plan(c) : KR_OK;
}

kr_status kr_op_bind(const kr_op *op, kr_call *c) {
    kr_sig_term t = {0};
    int n_in = 0, n_out = 0;
    kr_dtype real = is_f64(c) ? KR_F64 : c->real, state = KR_F32;
    for (int i = 0; i < 26; i++) c->size[i] = -1;
    c->n_star = -1;
    c->rows = 1;
    c->fwd_scratch = c->bwd_scratch = c->saved_bytes = 0;
    if (c->n_threads < 1) c->n_threads = 1;
    if (real == KR_BF16 && c->impl != KR_CUDA) KR_FAIL(KR_ERR_DTYPE, "%s: activations in bfloat16 need a GPU", op->name);
    for (const char *s = op->sig; kr_sig_next(&s, &t) && !t.output;) {
        kr_tensor *x = &c->in[n_in++];
        if (x->n_dims == 0) {
            if (t.optional) continue;
            KR_FAIL(KR_ERR_ARG, "%s: %s is missing", op->name, t.name);
        }
        KR_TRY(bind_dtype(op, c, x, &t, real));
        KR_TRY(bind_input(op, c, x, &t));
        if (t.low) state = x->dtype;
    }
    if (c->n_star < 0) c->n_star = 0;
    for (int i = 0; i < c->n_star; i++) c->rows *= c->star[i];
    if (op->plan) KR_TRY(op->plan(c));
    if (c->impl == KR_CUDA) KR_TRY(plan_cuda(op, c));
    t = (kr_sig_term){0};
    for (const char *s = op->sig; kr_sig_next(&s, &t);) {
        if (!t.output) continue;
        kr_tensor *y = &c->out[n_out++];
        void *data = y->data;
        *y = (kr_tensor){.data = data, .dtype = t.low && real != KR_F64 ? state : slot_dtype(&t, real)};
        if (t.star)
            for (int i = 0; i < c->n_star; i++) y->dim[y->n_dims++] = c->star[i];
        for (const char *a = t.axes; *a; a++) {
            KR_ASSERT(y->n_dims < KR_MAX_DIMS && KR_SIZE(c, *a) >= 0);
            y->dim[y->n_dims++] = KR_SIZE(c, *a);
        }
        int n_rows = t.n_row_axes < 0 ? c->n_star : t.n_row_axes;
        y->pitch = 1;
        for (int i = n_rows; i < y->n_dims; i++) y->pitch *= y->dim[i];
    }
    return KR_OK;
}

void kr_attr_defaults(const kr_op *op, void *attr) {
    memset(attr, 0, op->attr_bytes);
    for (const kr_attr *a = op->attrs; a && a->name; a++) {
        if (a->type == KR_ATTR_INT) *(int64_t *)((char *)attr + a->offset) = (int64_t)a->def;
        else *(double *)((char *)attr + a->offset) = a->def;
    }
}

static kr_kernel *pick(const kr_op *op, bool backward, kr_impl best) {
    kr_kernel *const *k = backward ? op->bwd : op->fwd;
    if (best == KR_CUDA) { /* device memory: no CPU can step in */
        const kr_cuda_op *cuda = kr_op_cuda(op);
        return !cuda ? NULL : backward ? cuda->bwd : cuda->fwd;
    }
    for (int i = (int)best; i > KR_REF; i--)
        if (k[i]) return k[i];
    return k[KR_REF];
}

void kr_op_forward(const kr_op *op, const kr_call *c, kr_impl best) {
    kr_kernel *k = is_f64(c) ? op->fwd_f64 : pick(op, false, best);
    KR_ASSERT(k != NULL);
    k(c);
}

/* Zeroes a gradient row by row, for kernels that only add. */
static void clear(const kr_tensor *d, int64_t n_rows, size_t elem) {
    int64_t n = kr_count(d), width = n_rows > 0 ? n / n_rows : n;
    for (int64_t r = 0; r < (n_rows > 0 ? n_rows : 1); r++)
        memset((char *)d->data + (size_t)(r * d->pitch) * elem, 0, (size_t)width * elem);
}

void kr_op_backward(const kr_op *op, const kr_call *c, kr_impl best) {
    kr_kernel *k = is_f64(c) ? op->bwd_f64 : pick(op, true, best);
    KR_ASSERT(k != NULL);
    if (k == op->bwd_f64 || k == op->bwd[KR_REF]) {
        kr_sig_term t = {0};
        int i = 0;
        for (const char *s = op->sig; kr_sig_next(&s, &t) && !t.output; i++) {
            const kr_tensor *d = &c->din[i];
            if (!d->data || c->acc[i]) continue;
            int64_t n_rows = 1;
            for (int a = 0; a < (t.n_row_axes < 0 ? c->n_star : t.n_row_axes); a++) n_rows *= d->dim[a];
            clear(d, n_rows, kr_dtype_bytes(d->dtype));
        }
    }
    k(c);
}
