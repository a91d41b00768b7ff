/* check_golden.c - ops against values that are not ours.
 *
 * A golden file OP_i.safetensors holds in.NAME, out.NAME, cot.NAME (the gradients given to
 * the outputs), grad.NAME (those expected back), and the op's options as metadata.  Names
 * are bound to the signature's; each implementation runs forward and backward.  The
 * values were computed in float64 by autograd and rounded to float32.
 *
 *   check_golden [-v] [--device cuda] [file ...]     all of KRAIT_SHARED/fixtures/ops, or these
 * Exits with 77, which ctest calls skipped, when there are no files. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "model/safetensors.h"
#include "ops/ops.h"

enum { DOUBLE = KR_N_IMPL, N_WAYS, N_THREADS = 3 };
static const char *way_name(int way) { return way == DOUBLE ? "double" : kr_impl_name((kr_impl)way); }

/* Relative RMS.  Both sides round to float32 once, and a float implementation all along. */
static double tolerance(int way) { return way == DOUBLE ? 1e-6 : 1e-5; }

/* Options that choose how and not what: each value must give the golden ones. */
static const struct { const char *op, *attr; double value[4]; } variants[] = {
    {"ssd", "chunk_size", {0, 16, 64, 256}},
    {"selective_scan", "form", {0, 1, 2, 3}},
};

static bool verbose;
static kr_device *device; /* NULL: a CPU's implementations are checked, else CUDA's */
static int n_passed, n_failed;
static double worst[N_WAYS];

typedef struct golden {
    const char *file;  /* its name, for messages */
    const kr_op *op;
    kr_st *st;
    _Alignas(16) char attr[256];
    char variant[48];
} golden;

static void fail(const golden *g, int way, const char *what, const char *slot) {
    n_failed++;
    printf("FAIL %s%s %s: %s %s\n", g->file, g->variant, way_name(way), what, slot);
}

/* Memory of one run, freed together. */
static void *kept[64];
static int n_kept;
static void *keep(size_t bytes) {
    void *p = kr_mem_new(bytes ? bytes : 1);
    if (!p || n_kept == 64) {
        printf("out of memory\n");
        exit(1);
    }
    return kept[n_kept++] = p;
}
/* On a device: a copy there of what lies here, freed with the rest. */
static void *there[64];
static int n_there;
static void *send(const void *from, size_t bytes) {
    if (!from || n_there == 64 || kr_cuda()->alloc(device, &there[n_there], bytes) != KR_OK) return NULL;
    kr_cuda()->upload(device, there[n_there], from, bytes);
    return there[n_there++];
}
static void release(void) {
    while (n_there) kr_cuda()->free(device, there[--n_there]);
    while (n_kept) kr_mem_free(kept[--n_kept]);
}

/* --- options ------------------------------------------------------------------ */

static bool set_attr(golden *g, const char *name, double value) {
    for (const kr_attr *a = g->op->attrs; a && a->name; a++) {
        if (strcmp(a->name, name)) continue;
        if (a->type == KR_ATTR_INT) *(int64_t *)(g->attr + a->offset) = (int64_t)value;
        else *(double *)(g->attr + a->offset) = value;
        return true;
    }
    return false;
}

static bool read_attrs(golden *g) {
    const char *key, *value;
    double lo, hi;
    kr_attr_defaults(g->op, g->attr);
    for (size_t i = 0; kr_st_metadata_at(g->st, i, &key, &value); i++) {
        bool ok = false;
        if (strcmp(key, "dt_limit") == 0 && sscanf(value, "[%lf, %lf]", &lo, &hi) == 2)
            ok = set_attr(g, "dt_min", lo) && set_attr(g, "dt_max", hi);
        else if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0) ok = set_attr(g, key, value[0] == 't');
        else ok = set_attr(g, key, strtod(value, NULL));
        if (!ok) {
            printf("FAIL %s: %s has no option %s = %s\n", g->file, g->op->name, key, value);
            n_failed++;
            return false;
        }
    }
    return true;
}

/* --- binding ------------------------------------------------------------------ */

static const kr_st_tensor *find(const golden *g, const char *kind, const char *slot) {
    char name[64];
    snprintf(name, sizeof name, "%s.%s", kind, slot);
    return kr_st_find(g->st, name);
}

/* The files write B and C of a single group without its axis. */
static void shape_as(kr_tensor *x, const kr_st_tensor *from, const kr_sig_term *t) {
    const char *group = strchr(t->axes, 'G');
    int at = !t->star && group && from->n_dims + 1 == (int)strlen(t->axes) ? (int)(group - t->axes) : -1;
    for (int i = 0; i < from->n_dims && x->n_dims < KR_MAX_DIMS; i++) {
        if (i == at) x->dim[x->n_dims++] = 1;
        x->dim[x->n_dims++] = from->dim[i];
    }
}

static void *values(const kr_st_tensor *from, kr_dtype type) {
    void *to = keep((size_t)from->count * kr_dtype_bytes(type));
    if (kr_st_read_part(from, 0, from->count, type, to) == KR_OK) return to;
    printf("FAIL %s\n", kr_error());
    n_failed++;
    return NULL;
}

/* Every tensor of the file must have a slot, or the file tests less than it says. */
static bool all_bound(const golden *g) {
    bool ok = true;
    for (size_t i = 0; i < kr_st_count(g->st); i++) {
        const char *name = kr_st_at(g->st, i)->name, *dot = strchr(name, '.');
        bool output = strncmp(name, "out.", 4) == 0 || strncmp(name, "cot.", 4) == 0;
        if (dot && kr_op_slot(g->op, dot + 1, output) >= 0) continue;
        printf("FAIL %s: %s has no slot for %s\n", g->file, g->op->name, name);
        n_failed++;
        ok = false;
    }
    return ok;
}

static bool bind(const golden *g, int way, kr_call *c) {
    kr_dtype real = way == DOUBLE ? KR_F64 : KR_F32;
    kr_sig_term t = {0};
    int i = 0, o = 0;
    *c = (kr_call){.attr = g->op->attr_bytes ? g->attr : NULL, .n_threads = N_THREADS, .training = true,
                    .impl = way == KR_CUDA ? KR_CUDA : KR_REF};
    for (const char *s = g->op->sig; kr_sig_next(&s, &t) && !t.output; i++) {
        const kr_st_tensor *from = find(g, "in", t.name);
        if (!from) continue;
        c->in[i] = (kr_tensor){.dtype = t.kind == KR_SLOT_INT ? KR_I32 : real};
        c->in[i].data = values(from, c->in[i].dtype);
        shape_as(&c->in[i], from, &t);
    }
    if (kr_op_bind(g->op, c) != KR_OK) {
        fail(g, way, "bind:", kr_error());
        return false;
    }
    t = (kr_sig_term){0};
    i = 0;
    for (const char *s = g->op->sig; kr_sig_next(&s, &t);) {
        if (t.output) {
            const kr_st_tensor *cot = find(g, "cot", t.name);
            c->out[o].data = keep((size_t)kr_count(&c->out[o]) * kr_dtype_bytes(c->out[o].dtype));
            c->dout[o] = c->out[o];
            c->dout[o].data = cot ? values(cot, real) : NULL;
            o++;
        } else {
            c->din[i] = c->in[i];
            c->din[i].data = find(g, "grad", t.name) ? keep((size_t)kr_count(&c->in[i]) * kr_dtype_bytes(real)) : NULL;
            i++;
        }
    }
    c->scratch = keep(c->fwd_scratch > c->bwd_scratch ? c->fwd_scratch : c->bwd_scratch);
    c->saved = keep(c->saved_bytes);
    return true;
}

/* --- one run ------------------------------------------------------------------ */

static void compare(const golden *g, int way, const char *kind, const char *slot, const kr_tensor *got) {
    const kr_st_tensor *from = find(g, kind, slot);
    if (!from) return;
    if (from->count != kr_count(got)) {
        fail(g, way, "another size of", slot);
        return;
    }
    const double *want = values(from, KR_F64);
    double *have = keep((size_t)from->count * sizeof *have), num = 0, den = 0;
    kr_convert(have, KR_F64, got->data, got->dtype, from->count);
    for (int64_t i = 0; want && i < from->count; i++) {
        num += (have[i] - want[i]) * (have[i] - want[i]);
        den += want[i] * want[i];
    }
    double err = sqrt(num / fmax(den, 1e-24 * (double)from->count));
    if (verbose) printf("  %s%s %s %s.%s: %.2g\n", g->file, g->variant, way_name(way), kind, slot, err);
    if (err <= tolerance(way)) {
        n_passed++;
        worst[way] = fmax(worst[way], err);
        return;
    }
    char what[80];
    snprintf(what, sizeof what, "error %.3g > %.3g in %s.", err, tolerance(way), kind);
    fail(g, way, what, slot);
}

static size_t bytes_of(const kr_tensor *t) { return (size_t)kr_count(t) * kr_dtype_bytes(t->dtype); }

static void run_on_device(const golden *g, const kr_call *c) {
    kr_call d = *c;
    for (int i = 0; i < KR_MAX_IN; i++) {
        d.in[i].data = send(c->in[i].data, bytes_of(&c->in[i]));
        d.din[i].data = send(c->din[i].data, bytes_of(&c->din[i]));
    }
    for (int o = 0; o < KR_MAX_OUT; o++) {
        d.out[o].data = send(c->out[o].data, bytes_of(&c->out[o]));
        d.dout[o].data = send(c->dout[o].data, bytes_of(&c->dout[o]));
    }
    d.scratch = send(c->scratch, c->fwd_scratch > c->bwd_scratch ? c->fwd_scratch : c->bwd_scratch);
    d.saved = send(c->saved, c->saved_bytes);
    d.stream = kr_cuda()->stream(device);
    kr_op_forward(g->op, &d, KR_CUDA);
    kr_op_backward(g->op, &d, KR_CUDA);
    for (int o = 0; o < KR_MAX_OUT; o++)
        if (d.out[o].data) kr_cuda()->download(device, c->out[o].data, d.out[o].data, bytes_of(&c->out[o]));
    for (int i = 0; i < KR_MAX_IN; i++)
        if (d.din[i].data) kr_cuda()->download(device, c->din[i].data, d.din[i].data, bytes_of(&c->din[i]));
    if (kr_cuda()->sync(device) != KR_OK) {
        printf("FAIL %s: %s\n", g->file, kr_error());
        exit(1);
    }
}

static void run(const golden *g, int way) {
    kr_call c;
    kr_sig_term t = {0};
    int n[2] = {0, 0};
    if (bind(g, way, &c)) {
        kr_impl impl = way == DOUBLE ? KR_REF : (kr_impl)way;
        if (way == KR_CUDA) run_on_device(g, &c);
        else kr_op_forward(g->op, &c, impl), kr_op_backward(g->op, &c, impl);
        for (const char *s = g->op->sig; kr_sig_next(&s, &t); n[t.output]++) {
            if (t.output) compare(g, way, "out", t.name, &c.out[n[1]]);
            else if (c.din[n[0]].data) compare(g, way, "grad", t.name, &c.din[n[0]]);
        }
    }
    release();
}

static void run_ways(const golden *g) {
    for (int way = KR_REF; way < N_WAYS; way++) {
        if (device ? way != KR_CUDA || !kr_op_cuda(g->op) : way == KR_CUDA) continue;
        if (way != KR_CUDA && way != DOUBLE && (!kr_cpu_has((kr_impl)way) || (!g->op->fwd[way] && !g->op->bwd[way]))) continue;
        run(g, way);
    }
}

static void run_variants(golden *g) {
    bool any = false;
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++)
        for (int i = 0; i < 4 && strcmp(variants[v].op, g->op->name) == 0; i++) {
            any = true;
            snprintf(g->variant, sizeof g->variant, " %s=%g", variants[v].attr, variants[v].value[i]);
            if (set_attr(g, variants[v].attr, variants[v].value[i])) run_ways(g);
            else fail(g, DOUBLE, "no option", variants[v].attr);
        }
    if (!any) run_ways(g);
}

/* False: there is no such op. */
static bool check(const char *path) {
    golden g = {.file = strrchr(path, '/') ? strrchr(path, '/') + 1 : path};
    char name[64];
    const char *end = strrchr(g.file, '_');
    snprintf(name, sizeof name, "%.*s", end ? (int)(end - g.file) : 0, g.file);
    if (!(g.op = kr_op_find(name))) {
        printf("skipped %s: there is no op %s\n", g.file, name);
        return false;
    }
    if (g.op->attr_bytes > sizeof g.attr || kr_st_open(&g.st, path) != KR_OK) {
        printf("FAIL %s\n", kr_error());
        n_failed++;
        return true;
    }
    if (read_attrs(&g) && all_bound(&g)) run_variants(&g);
    kr_st_close(g.st);
    return true;
}

int main(int argc, char **argv) {
    char pattern[1024];
    const char *shared = getenv("KRAIT_SHARED");
    kr_file_list files = {0};
    int first = 1, n_skipped = 0;
    if (argc > first && strcmp(argv[first], "-v") == 0) verbose = true, first++;
    if (argc > first + 1 && strcmp(argv[first], "--device") == 0) {
        if (kr_device_open(&device, argv[first + 1]) != KR_OK) return printf("check_golden: skipped: %s\n", kr_error()), 77;
        first += 2;
    }
    snprintf(pattern, sizeof pattern, "%s/fixtures/ops/*.safetensors", shared ? shared : KRAIT_SOURCE_DIR "/../shared");
    if (first == argc && kr_file_glob(&files, pattern) != KR_OK) printf("%s\n", kr_error());
    for (size_t i = 0; i < files.n; i++) n_skipped += !check(files.name[i]);
    for (int i = first; i < argc; i++) n_skipped += !check(argv[i]);
    if (first == argc && files.n == 0) {
        printf("skipped: there is no %s (KRAIT_SHARED says where to look)\n", pattern);
        return 77;
    }
    kr_file_list_free(&files);
    for (int way = 0; way < N_WAYS; way++)
        if (worst[way] > 0) printf("worst %-8s %.2g\n", way_name(way), worst[way]);
    kr_device_close(device);
    printf("%d passed, %d failed, %d files skipped\n", n_passed, n_failed, n_skipped);
    return n_failed != 0;
}
