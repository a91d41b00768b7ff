/* check_big.c - ops past 2^31 elements: 64-bit indexing, on the machine and not on paper.
 *
 * Inputs are zero but for the last steps, so the same op over the last steps alone must
 * give the same last outputs.  Zeroed pages cost no memory until they are written, so an op
 * takes its output: 8.6 GB.  Skipped (77) where less than 16 GB are free.
 *
 *   check_big [--device cuda]     on a device it takes about 35 GB */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "base/rng.h"
#include "ops/ops.h"

enum { D = 1024, TAIL = 50, H = 16, P = 64, N = 16 };
static const int64_t LONG = ((int64_t)1 << 21) + 7; /* steps: D * LONG > 2^31 */
static int n_passed, n_failed;

static void fill(float *x, int64_t n, const char *name, double lo, double hi) {
    kr_rng r = {7, kr_rng_stream(name), 0};
    for (int64_t i = 0; i < n; i++) x[i] = (float)(lo + (hi - lo) * kr_rng_uniform(&r));
}

/* --- memory, here or on a device ------------------------------------------------------ */

static kr_device *device; /* NULL: the CPU */
static void *kept[KR_MAX_IN + 4];
static int n_kept;

static void *take(size_t bytes, bool zeroed) {
    void *p = NULL;
    if (!device) p = kr_mem_new(bytes + 64);
    else if (kr_cuda()->alloc(device, &p, bytes + 64) != KR_OK) return printf("%s\n", kr_error()), NULL;
    if (device && zeroed) kr_cuda()->fill(device, p, 0, bytes);
    if (p) kept[n_kept++] = p;
    return p;
}
static void release(void) {
    while (n_kept) {
        void *p = kept[--n_kept];
        if (device) kr_cuda()->free(device, p);
        else kr_mem_free(p);
    }
}
static void put(float *to, const float *from, size_t n) {
    if (!device) {
        memcpy(to, from, n * sizeof *to);
        return;
    }
    kr_cuda()->upload(device, to, from, n * sizeof *to);
    kr_cuda()->sync(device);
}
static bool get(float *to, const float *from, size_t n) {
    if (!device) return memcpy(to, from, n * sizeof *to), true;
    kr_cuda()->download(device, to, from, n * sizeof *to);
    return kr_cuda()->sync(device) == KR_OK || (printf("%s\n", kr_error()), false);
}

/* --- long and short runs ---------------------------------------------------------------- */

/* A term with an axis L is zero until its last TAIL steps; others are random. */
static float *make(const kr_sig_term *t, kr_tensor *x, int64_t L) {
    int64_t n = kr_count(x), width = n / (x->n_dims > 1 && strchr(t->axes, 'L') ? L : 1);
    float *p = take((size_t)n * sizeof *p, true);
    bool steps = strchr(t->axes, 'L') != NULL, rate = strcmp(t->name, "A") == 0;
    int64_t drawn = steps ? TAIL * width : n;
    float *x0 = kr_mem_array((size_t)drawn, sizeof *x0);
    if (p && x0) {
        fill(x0, drawn, t->name, rate ? -2 : -1, rate ? -.1 : 1);
        put(p + (steps ? (L - TAIL) * width : 0), x0, (size_t)drawn);
    }
    kr_mem_free(x0);
    return p;
}

/* Runs op over L steps; the last steps of out[0], which the caller frees. */
static float *run(const kr_op *op, const void *attr, int64_t L, const int64_t size[26], unsigned present) {
    kr_impl impl = device ? KR_CUDA : kr_cpu_best();
    kr_call c = {.attr = attr, .n_threads = kr_cpu_threads(), .impl = impl, .stream = device ? kr_cuda()->stream(device) : NULL};
    kr_sig_term t = {0};
    int i = 0;
    float *tail = kr_mem_array(TAIL * D, sizeof *tail);
    bool fine = tail != NULL;
    for (const char *s = op->sig; fine && kr_sig_next(&s, &t) && !t.output; i++) {
        if (!(present >> i & 1)) continue;
        kr_tensor *x = &c.in[i];
        *x = (kr_tensor){.dtype = KR_F32, .n_dims = (int)strlen(t.axes)};
        for (int d = 0; d < x->n_dims; d++) x->dim[d] = t.axes[d] == 'L' ? L : size[t.axes[d] - 'A'];
        fine = (x->data = make(&t, x, L)) != NULL;
    }
    if (fine && kr_op_bind(op, &c) != KR_OK) fine = false, printf("FAIL %s: %s\n", op->name, kr_error());
    if (fine) {
        c.out[0].data = take((size_t)kr_count(&c.out[0]) * sizeof(float), false);
        c.scratch = take(c.fwd_scratch, false);
        fine = c.out[0].data && c.scratch;
    }
    if (fine) {
        kr_op_forward(op, &c, impl);
        fine = get(tail, (const float *)c.out[0].data + (L - TAIL) * D, TAIL * D);
    }
    release();
    if (!fine) kr_mem_free(tail);
    return fine ? tail : NULL;
}

static void check(const char *name, const void *attr, const int64_t size[26], unsigned present) {
    const kr_op *op = kr_op_find(name);
    float *all = run(op, attr, LONG, size, present), *tail = run(op, attr, TAIL, size, present);
    double num = 0, den = 0;
    for (int64_t k = 0; all && tail && k < TAIL * D; k++) {
        double d = (double)all[k] - tail[k];
        num += d * d;
        den += (double)tail[k] * tail[k];
    }
    bool ok = all && tail && den > 0 && sqrt(num / den) <= 1e-6;
    ok ? n_passed++ : n_failed++;
    printf("%s %s over %lld elements: relative RMS %.2g\n", ok ? "ok  " : "FAIL", name, (long long)(LONG * D), den > 0 ? sqrt(num / den) : NAN);
    kr_mem_free(all);
    kr_mem_free(tail);
}

static double available_gb(void) {
    char line[128];
    long long kb = 0;
    FILE *f = fopen("/proc/meminfo", "r");
    while (f && fgets(line, sizeof line, f) && sscanf(line, "MemAvailable: %lld", &kb) != 1) {}
    if (f) fclose(f);
    return (double)kb / 1e6;
}

int main(int argc, char **argv) {
#ifdef KR_INSTRUMENTED
    puts("check_big: skipped: a sanitizer would need several times the memory, counting lines the time");
    return 77;
#endif
    double gb = available_gb();
    if (argc == 3 && strcmp(argv[1], "--device") == 0) {
        if (kr_device_open(&device, argv[2]) != KR_OK) return printf("check_big: skipped: %s\n", kr_error()), 77;
        gb = 1e9; /* its own memory is asked for */
    }
    if (gb < 16) return printf("check_big: skipped: %.1f GB available, want 16\n", gb), 77;
    int64_t size[26] = {0};
    size['S' - 'A'] = size['G' - 'A'] = 1, size['D' - 'A'] = D, size['K' - 'A'] = 4, size['H' - 'A'] = H, size['P' - 'A'] = P, size['N' - 'A'] = N;
    const char *const names[] = {"conv1d", "selective_scan", "ssd"};
    const unsigned present[] = {3, 0x1f, 0x1f}; /* x w; u dt A B C; x dt A B C */
    for (int i = 0; i < 3; i++) {
        char attr[256];
        if (device && !kr_op_cuda(kr_op_find(names[i]))) continue;
        kr_attr_defaults(kr_op_find(names[i]), attr);
        check(names[i], attr, size, present[i]);
    }
    printf("check_big: %d passed, %d failed\n", n_passed, n_failed);
    return n_failed != 0;
}
