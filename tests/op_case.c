/* op_case.c - guarded memory, the words of a case, and the making of calls. */
#include "op_case.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

/* --- guarded memory: [guard, >= 64][block][guard, 64] ------------------------------ */

enum { GUARD = 64, GUARD_BYTE = 0xa5, MAX_BLOCKS = 4096 };
typedef struct block {
    unsigned char *raw;
    size_t lead, bytes;
    uint64_t sum;
    bool frozen;
    const char *what;
    char *twin;          /* on the device; NULL: not there yet */
} block;
static block blocks[MAX_BLOCKS];
static int n_blocks;

static kr_device *device;
void case_set_device(kr_device *d) { device = d; }

void *own(size_t bytes, const char *what, size_t off) {
    KR_ASSERT(n_blocks < MAX_BLOCKS);
    block *b = &blocks[n_blocks++];
    *b = (block){.lead = GUARD + off, .bytes = bytes, .what = what};
    size_t all = (b->lead + bytes + GUARD + 63) & ~(size_t)63;
    b->raw = aligned_alloc(64, all);
    KR_ASSERT(b->raw != NULL);
    memset(b->raw, GUARD_BYTE, all);
    memset(b->raw + b->lead, 0xff, bytes); /* NaN in every real type, -1 in integers */
    return b->raw + b->lead;
}

static uint64_t checksum(const unsigned char *p, size_t n) {
    uint64_t h = 1469598103934665603ull, w;
    for (; n >= sizeof w; p += sizeof w, n -= sizeof w) {
        memcpy(&w, p, sizeof w);
        h = (h ^ w) * 0x9e3779b97f4a7c15ull;
        h ^= h >> 29;
    }
    for (; n; n--) h = (h ^ *p++) * 1099511628211ull;
    return h;
}

static block *block_of(const void *p) {
    for (int i = n_blocks; i-- > 0;)
        if (blocks[i].raw + blocks[i].lead == p) return &blocks[i];
    KR_ASSERT(!"a block of ours");
    return NULL;
}
void freeze(void *p) {
    block *b = block_of(p);
    b->sum = checksum(b->raw + b->lead, b->bytes);
    b->frozen = true;
}
void thaw(void *p) { block_of(p)->frozen = false; }
int own_mark(void) { return n_blocks; }
void own_release(int mark) {
    while (n_blocks > mark) {
        block *b = &blocks[--n_blocks];
        if (b->twin) kr_cuda()->free(device, b->twin);
        free(b->raw);
    }
}

/* --- on a device: every buffer of a call goes there and comes back ----------------- */

static size_t block_bytes(const block *b) { return b->lead + b->bytes + GUARD; }

/* Where a buffer lies on the device.  `used` lists the blocks of a call, each once. */
static void to_twin(void *pointer, block *used[], int *n_used) {
    unsigned char *p;
    memcpy(&p, pointer, sizeof p); /* pointer: the address of some pointer */
    if (!p) return;
    for (int i = n_blocks; i-- > 0;) {
        block *b = &blocks[i];
        if (p < b->raw || p > b->raw + block_bytes(b)) continue;
        if (!b->twin && kr_cuda()->alloc(device, (void **)&b->twin, block_bytes(b)) != KR_OK) {
            printf("%s\n", kr_error());
            exit(1);
        }
        int known = 0;
        while (known < *n_used && used[known] != b) known++;
        if (known == *n_used) used[(*n_used)++] = b;
        p = (unsigned char *)b->twin + (p - b->raw);
        memcpy(pointer, &p, sizeof p);
        return;
    }
    KR_ASSERT(!"a buffer of ours");
}

static void run_on_device(const op_case *k, const kr_call *c, bool backward) {
    const kr_op *op = k->op;
    block *used[4 * KR_MAX_IN + 8];
    int n = 0;
    kr_call d = *c;
    const kr_cuda_api *api = kr_cuda();
    for (int i = 0; i < KR_MAX_IN; i++) to_twin(&d.in[i].data, used, &n), to_twin(&d.din[i].data, used, &n);
    for (int o = 0; o < KR_MAX_OUT; o++) to_twin(&d.out[o].data, used, &n), to_twin(&d.dout[o].data, used, &n);
    to_twin(&d.scratch, used, &n);
    to_twin(&d.saved, used, &n);
    d.stream = api->stream(device);
    for (int i = 0; i < n; i++) api->upload(device, used[i]->twin, used[i]->raw, block_bytes(used[i]));
    if (backward) kr_op_backward(op, &d, KR_CUDA);
    else kr_op_forward(op, &d, KR_CUDA);
    for (int i = 0; i < n; i++) api->download(device, used[i]->raw, used[i]->twin, block_bytes(used[i]));
    if (api->sync(device) == KR_OK) return;
    printf("FAIL %s [%s] %s: %s\n", op->name, k->text, backward ? "backward" : "forward", kr_error()); /* the device is lost */
    exit(1);
}

const char *own_check(int mark) {
    static char text[80];
    for (int i = mark; i < n_blocks; i++) {
        const block *b = &blocks[i];
        const unsigned char *end = b->raw + b->lead + b->bytes;
        bool before = false, after = false;
        for (size_t j = 0; j < b->lead; j++) before |= b->raw[j] != GUARD_BYTE;
        for (size_t j = 0; j < GUARD; j++) after |= end[j] != GUARD_BYTE;
        if (before || after) {
            snprintf(text, sizeof text, "wrote %s %s", before ? "before" : "past the end of", b->what);
            return text;
        }
        if (b->frozen && checksum(b->raw + b->lead, b->bytes) != b->sum) {
            snprintf(text, sizeof text, "changed %s", b->what);
            return text;
        }
    }
    return NULL;
}

/* --- views -------------------------------------------------------------------------- */

view tensor_view(const kr_sig_term *t, const kr_call *c, const kr_tensor *x) {
    view v = {.n = kr_count(x), .width = 1};
    for (int a = t->n_row_axes < 0 ? c->n_star : t->n_row_axes; a < x->n_dims; a++) v.width *= x->dim[a];
    v.pitch = x->pitch ? x->pitch : v.width;
    return v;
}
void *view_at(const view *v, const kr_tensor *x, int64_t i) {
    return (char *)x->data + (i / v->width * v->pitch + i % v->width) * (int64_t)kr_dtype_bytes(x->dtype);
}
double view_get(const view *v, const kr_tensor *x, int64_t i) {
    const void *p = view_at(v, x, i);
    switch (x->dtype) {
    case KR_F64: return *(const double *)p;
    case KR_I32: return *(const int32_t *)p;
    case KR_BF16: return kr_from_bf16(*(const uint16_t *)p);
    default: return *(const float *)p;
    }
}
bool same_bits(const kr_sig_term *t, const kr_call *a, const kr_tensor *x, const kr_call *b, const kr_tensor *y) {
    view vx = tensor_view(t, a, x), vy = tensor_view(t, b, y);
    size_t bytes = (size_t)vx.width * kr_dtype_bytes(x->dtype);
    if (vx.n != vy.n || x->dtype != y->dtype) return false;
    for (int64_t i = 0; i < vx.n; i += vx.width)
        if (memcmp(view_at(&vx, x, i), view_at(&vy, y, i), bytes) != 0) return false;
    return true;
}

/* --- the words of a case ------------------------------------------------------------ */

static bool complain(const op_case *k, const char *why, const char *word) {
    printf("FAIL %s [%s] %s: %s\n", k->op->name, k->text, why, word);
    return false;
}

static bool read_option(op_case *k, char *word, char *value) {
    *value++ = 0;
    for (const kr_attr *a = k->op->attrs; a && a->name; a++) {
        if (strcmp(a->name, word) != 0) continue;
        if (a->type == KR_ATTR_INT) *(int64_t *)(k->attr + a->offset) = strtoll(value, NULL, 10);
        else *(double *)(k->attr + a->offset) = strtod(value, NULL);
        return true;
    }
    return complain(k, "no such option", word);
}

static bool read_word(op_case *k, char *w) {
    char *at;
    if (*w == '*') {
        for (char *p = w + 1; *p && k->n_star < KR_MAX_DIMS; p += *p == ',') k->star[k->n_star++] = strtoll(p, &p, 10);
        return true;
    }
    if (*w == '-' || (at = strchr(w, '@'))) {
        bool out = *w == '-';
        if (!out && strcmp(at, "@bf16") != 0) return complain(k, "cannot read the word", w);
        if (!out) *at = 0;
        int i = kr_op_slot(k->op, w + out, false);
        if (i < 0 || (out && !k->in_term[i].optional)) return complain(k, "no such (optional) input", w);
        *(out ? &k->absent : &k->bf16) |= 1u << i;
        return true;
    }
    if ((at = strchr(w, '='))) return read_option(k, w, at);
    if (*w < 'A' || *w > 'Z' || w[1] < '0' || w[1] > '9') return complain(k, "cannot read the word", w);
    k->size[*w - 'A'] = strtoll(w + 1, NULL, 10);
    return true;
}

/* "dt .01 .5, ids 0 V": the bounds of a name, a letter being the size of that axis. */
static void read_range(const op_case *k, const char *name, double *lo, double *hi) {
    char who[16], a[32], b[32];
    int used;
    const char *p = k->test->range ? k->test->range : "";
    *lo = -1, *hi = 1;
    for (; sscanf(p, " %15s %31s %31[^, ]%n", who, a, b, &used) == 3; p += *p == ',') {
        p += used;
        if (strcmp(who, name) != 0) continue;
        *lo = *a >= 'A' && *a <= 'Z' ? (double)k->size[*a - 'A'] : strtod(a, NULL);
        *hi = *b >= 'A' && *b <= 'Z' ? (double)k->size[*b - 'A'] : strtod(b, NULL);
    }
}

kr_tensor case_input_shape(const op_case *k, int i, kr_dtype real) {
    const kr_sig_term *t = &k->in_term[i];
    kr_tensor x = {.dtype = t->kind == KR_SLOT_INT ? KR_I32 : t->kind == KR_SLOT_F32 && real == KR_BF16 ? KR_F32 : real};
    if (t->star)
        for (int d = 0; d < k->n_star; d++) x.dim[x.n_dims++] = k->star[d];
    for (const char *a = t->axes; *a; a++) x.dim[x.n_dims++] = k->size[*a - 'A'];
    return x;
}

/* 0 ... n - 1 at random. */
static void draw_order(double *p, int64_t n, kr_rng *rng) {
    for (int64_t e = 0; e < n; e++) {
        int64_t at = kr_rng_below(rng, e + 1);
        p[e] = p[at], p[at] = (double)e;
    }
}
/* idx without repeats, a permutation if it can be, else with some beyond the end; back is its inverse, -1 for what it has not. */
static void draw_back(op_case *k, double *back, int64_t L, kr_rng *rng) {
    int i = kr_op_slot(k->op, "idx", false);
    kr_tensor x = case_input_shape(k, i, KR_F64);
    int64_t J = kr_count(&x), most = J < L ? L + L / 4 : J;
    double *all = own((size_t)most * sizeof *all, "case", 0);
    draw_order(all, most, rng);
    for (int64_t l = 0; l < L; l++) back[l] = -1;
    for (int64_t j = 0; j < J; j++) {
        k->in[i][j] = all[j];
        if (all[j] < (double)L) back[(int64_t)all[j]] = (double)j;
    }
}

static void draw_input(op_case *k, int i, kr_rng *rng) {
    kr_tensor x = case_input_shape(k, i, KR_F64);
    int64_t n = kr_count(&x), L = x.n_dims ? x.dim[x.n_dims - 1] : 1;
    double lo, hi, *p = k->in[i] = own((size_t)n * sizeof *p, "case", 0);
    read_range(k, k->in_term[i].name, &lo, &hi);
    for (int64_t e = 0; e < n; e++) {
        double u = lo + (hi - lo) * kr_rng_uniform(rng);
        if (k->in_term[i].kind == KR_SLOT_INT) u = floor(u);
        else u = k->bf16 >> i & 1 ? kr_from_bf16(kr_to_bf16((float)u)) : (float)u;
        p[e] = u;
    }
    if (strcmp(k->in_term[i].name, "order") == 0) draw_order(p, n, rng);
    if (strcmp(k->in_term[i].name, "back") == 0) draw_back(k, p, n, rng);
    if (strcmp(k->in_term[i].name, "seq_idx") != 0) return;
    for (int64_t e = 1; e < n; e++) /* sequences packed in a row: insertion sort along L */
        for (int64_t j = e; j % L != 0 && p[j - 1] > p[j]; j--) {
            double swap = p[j];
            p[j] = p[j - 1], p[j - 1] = swap;
        }
}

bool case_read(op_case *k, const kr_op_test *t, const char *text) {
    *k = (op_case){.test = t, .op = t->op, .text = text};
    char words[256], *rest = words;
    kr_sig_term s = {0};
    for (const char *p = k->op->sig; kr_sig_next(&p, &s);) {
        if (s.output) k->out_term[k->n_out++] = s;
        else k->in_term[k->n_in++] = s;
    }
    for (int i = 0; i < 26; i++) k->size[i] = -1;
    KR_ASSERT(k->op->attr_bytes <= sizeof k->attr);
    kr_attr_defaults(k->op, k->attr);
    snprintf(words, sizeof words, "%s", text);
    for (char *w; (w = strtok_r(rest, " ", &rest));)
        if (!read_word(k, w)) return false;
    kr_rng rng = {.seed = kr_rng_stream(k->op->name), .stream = kr_rng_stream(text)};
    for (int i = 0; i < k->n_in; i++) {
        for (const char *a = k->in_term[i].axes; *a && !(k->absent >> i & 1); a++)
            if (k->size[*a - 'A'] < 0) return complain(k, "the case does not say the size of", a);
        if (!(k->absent >> i & 1)) draw_input(k, i, &rng);
    }
    kr_call c = {.attr = k->attr};
    for (int i = 0; i < k->n_in; i++)
        if (!(k->absent >> i & 1)) c.in[i] = case_input_shape(k, i, KR_F64);
    if (kr_op_bind(k->op, &c) != KR_OK) return complain(k, "bind", kr_error());
    for (int o = 0; o < k->n_out; o++) {
        int64_t n = kr_count(&c.out[o]);
        k->dout[o] = own((size_t)n * sizeof(double), "case", 0);
        for (int64_t e = 0; e < n; e++) k->dout[o][e] = (float)(2 * kr_rng_uniform(&rng) - 1);
    }
    return true;
}

static double *rounded(const double *x, int64_t n) {
    double *y = own((size_t)n * sizeof *y, "case", 0);
    for (int64_t e = 0; e < n; e++) y[e] = kr_from_bf16(kr_to_bf16((float)x[e]));
    return y;
}

op_case case_rounded(const op_case *k) {
    op_case r = *k;
    kr_call c = {.attr = r.attr};
    for (int i = 0; i < k->n_in; i++) {
        kr_slot_kind kind = k->in_term[i].kind;
        if (k->absent >> i & 1) continue;
        c.in[i] = case_input_shape(k, i, KR_F64);
        if (kind != KR_SLOT_REAL && kind != KR_SLOT_WEIGHT) continue;
        r.in[i] = rounded(k->in[i], kr_count(&c.in[i]));
        if (kind == KR_SLOT_WEIGHT) r.bf16 |= 1u << i;
    }
    if (kr_op_bind(k->op, &c) != KR_OK) KR_ASSERT(!"a case that was read binds again");
    for (int o = 0; o < k->n_out; o++)
        if (k->out_term[o].kind == KR_SLOT_REAL) r.dout[o] = rounded(k->dout[o], kr_count(&c.out[o]));
    return r;
}

/* --- calls --------------------------------------------------------------------------- */

bool wants_grad(const op_case *k, int i) {
    return !(k->absent >> i & 1) && !(k->op->no_grad >> i & 1) && k->in_term[i].kind != KR_SLOT_INT;
}
int alias_input(const op_case *k, int o) {
    if (!(k->op->may_alias >> o & 1)) return -1;
    for (int s = 0; s < 2; s++)
        if (k->op->state[s].out == o + 1) return k->absent >> (k->op->state[s].in - 1) & 1 ? -1 : k->op->state[s].in - 1;
    return o == 0 && !(k->absent & 1) ? 0 : -1;
}

static int64_t rows_of(const kr_sig_term *t, const kr_tensor *x, int n_star) {
    int64_t rows = 1;
    for (int a = 0; a < (t->n_row_axes < 0 ? n_star : t->n_row_axes); a++) rows *= x->dim[a];
    return rows;
}
void view_put(const view *v, kr_tensor *x, int64_t i, double value) {
    void *p = view_at(v, x, i);
    switch (x->dtype) {
    case KR_F64: *(double *)p = value; break;
    case KR_I32: *(int32_t *)p = (int32_t)value; break;
    case KR_BF16: *(uint16_t *)p = kr_to_bf16((float)value); break;
    default: *(float *)p = (float)value;
    }
}
/* How far past the guard a buffer lies: on a CPU one element off every vector alignment; on
 * a device aligned to 256 bytes, but a column slice one element off, or 16 bytes. */
static size_t offset(const how *h, bool slice, size_t elem) {
    if (h->impl != KR_CUDA) return elem;
    return 256 - GUARD + (!slice ? 0 : h->even && !h->shifted ? 16 : elem);
}
/* Memory for x. */
static void place(kr_tensor *x, int64_t rows, const how *h, bool slice, const char *what) {
    int64_t elements = x->pitch ? rows * x->pitch : kr_count(x);
    size_t elem = kr_dtype_bytes(x->dtype);
    x->data = own((size_t)elements * elem, what, offset(h, slice, elem));
}

static void place_input(const op_case *k, const how *h, kr_call *c, int i) {
    const kr_sig_term *t = &k->in_term[i];
    kr_dtype real = h->f64 ? KR_F64 : h->real;
    kr_tensor x = case_input_shape(k, i, real);
    int n_rows = t->n_row_axes < 0 ? k->n_star : t->n_row_axes;
    int64_t rows = rows_of(t, &x, k->n_star), width = kr_count(&x) / (rows ? rows : 1);
    bool slice = h->pitched >> i & 1 && n_rows > 0;
    if (slice) x.pitch = h->even ? (width + 15) / 8 * 8 : width + 1 + (5 * i + 2) % 9;
    kr_tensor dx = x;
    if (k->bf16 >> i & 1 && !h->f64) x.dtype = KR_BF16;
    place(&x, rows, h, slice, t->name);
    kr_call stars = {.n_star = k->n_star};
    view v = tensor_view(t, &stars, &x);
    for (int64_t e = 0; e < v.n; e++) view_put(&v, &x, e, k->in[i][e]);
    freeze(x.data);
    c->in[i] = x;
    if (!wants_grad(k, i) || h->no_din >> i & 1 || !k->op->bwd_f64) return;
    dx.pitch = v.pitch;
    dx.dtype = kr_grad_dtype(t, real);
    place(&dx, rows, h, slice, "a gradient");
    c->acc[i] = h->acc >> i & 1;
    c->din[i] = dx;
}

kr_call case_call(const op_case *k, const how *h) {
    kr_call c = {.attr = k->attr, .real = h->real, .impl = h->impl, .n_threads = h->n_threads ? h->n_threads : 1, .training = !h->inference};
    for (int i = 0; i < k->n_in; i++)
        if (!(k->absent >> i & 1)) place_input(k, h, &c, i);
    if (kr_op_bind(k->op, &c) != KR_OK) {
        printf("%s [%s]: %s\n", k->op->name, k->text, kr_error());
        KR_ASSERT(!"a case that binds in double binds again");
    }
    for (int o = 0; o < k->n_out; o++) {
        kr_tensor *y = &c.out[o];
        int a = h->alias >> o & 1 ? alias_input(k, o) : -1;
        c.dout[o] = *y;
        if (a >= 0) y->data = c.in[a].data, thaw(y->data);
        else if (!(h->no_out >> o & 1)) place(y, rows_of(&k->out_term[o], y, c.n_star), h, false, k->out_term[o].name);
        if (h->no_dout >> o & 1 || y->dtype == KR_I32) continue;
        place(&c.dout[o], rows_of(&k->out_term[o], y, c.n_star), h, false, k->out_term[o].name);
        view v = tensor_view(&k->out_term[o], &c, &c.dout[o]);
        for (int64_t e = 0; e < v.n; e++) view_put(&v, &c.dout[o], e, h->zero_dout >> o & 1 || !k->dout[o] ? 0 : k->dout[o][e]);
        freeze(c.dout[o].data);
    }
    if (c.training) c.saved = own(c.saved_bytes, "saved", h->impl == KR_CUDA ? 256 - GUARD : 0);
    return c;
}

void case_forward(const op_case *k, const how *h, kr_call *c) {
    c->scratch = own(c->fwd_scratch, "forward scratch", h->impl == KR_CUDA ? 256 - GUARD : 0);
    if (h->impl == KR_CUDA) run_on_device(k, c, false);
    else kr_op_forward(k->op, c, h->impl);
    for (int o = 0; o < k->n_out; o++)
        if (c->out[o].data && !(h->alias >> o & 1)) freeze(c->out[o].data);
    if (c->saved) freeze(c->saved);
}

static void poison(kr_tensor *x, const kr_sig_term *t, const kr_call *c) {
    if (!x->data || x->dtype == KR_I32) return;
    view v = tensor_view(t, c, x);
    for (int64_t e = 0; e < v.n; e++) memset(view_at(&v, x, e), 0xff, kr_dtype_bytes(x->dtype));
    freeze(x->data);
}

void case_backward(const op_case *k, const how *h, kr_call *c) {
    for (int i = 0; i < k->n_in && h->poison; i++)
        if (!(k->op->bwd_in >> i & 1)) poison(&c->in[i], &k->in_term[i], c);
    for (int o = 0; o < k->n_out && h->poison; o++)
        if (!(k->op->bwd_out >> o & 1)) poison(&c->out[o], &k->out_term[o], c);
    for (int o = 0; o < k->n_out && h->again; o++)
        if (k->op->bwd_again >> o & 1) poison(&c->out[o], &k->out_term[o], c), thaw(c->out[o].data);
    c->again = h->again;
    c->scratch = own(c->bwd_scratch, "backward scratch", h->impl == KR_CUDA ? 256 - GUARD : 0);
    if (h->impl == KR_CUDA) run_on_device(k, c, true);
    else kr_op_backward(k->op, c, h->impl);
}

/* --- slices of a case ------------------------------------------------------------------ */

bool axis_split(const op_case *k, const kr_sig_term *t, const kr_tensor *x, char letter, int64_t *outer, int64_t *inner) {
    int at = -1;
    if (letter == '*') at = t->star && k->n_star > 0 ? 0 : -1;
    else if (strchr(t->axes, letter)) at = x->n_dims - (int)strlen(t->axes) + (int)(strchr(t->axes, letter) - t->axes);
    if (at < 0) return false;
    *outer = *inner = 1;
    for (int d = 0; d < at; d++) *outer *= x->dim[d];
    for (int d = at + 1; d < x->n_dims; d++) *inner *= x->dim[d];
    return true;
}

op_case case_slice(const op_case *k, char letter, int64_t from, int64_t n) {
    op_case s = *k;
    int64_t *size = letter == '*' ? &s.star[0] : &s.size[letter - 'A'], whole = *size, outer, inner;
    *size = n;
    for (int o = 0; o < k->n_out; o++) s.dout[o] = NULL;
    for (int i = 0; i < k->n_in; i++) {
        if (!k->in[i]) continue;
        kr_tensor x = case_input_shape(k, i, KR_F64);
        if (!axis_split(k, &k->in_term[i], &x, letter, &outer, &inner)) continue;
        s.in[i] = own((size_t)(outer * n * inner) * sizeof(double), "case", 0);
        for (int64_t a = 0; a < outer; a++)
            memcpy(s.in[i] + a * n * inner, k->in[i] + (a * whole + from) * inner, (size_t)(n * inner) * sizeof(double));
    }
    return s;
}
