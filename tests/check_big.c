/* check_big.c - ops past 2^31 elements: 64-bit indexing, on the machine and not on paper.
 *
 * Inputs are zero but for the last steps, so the same op over the last steps alone must
 * give the same last outputs.  Zeroed pages cost no memory until they are written, so an op
 * takes its output: 8.6 GB.  Skipped (77) where less than 16 GB are free. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "base/rng.h"
#include "ops/op.h"

enum { D = 1024, TAIL = 50, H = 16, P = 64, N = 16 };
static const int64_t LONG = ((int64_t)1 << 21) + 7; /* steps: D * LONG > 2^31 */
static int n_passed, n_failed;

static void fill(float *x, int64_t n, const char *name, double lo, double hi) {
    kr_rng r = {7, kr_rng_stream(name), 0};
    for (int64_t i = 0; i < n; i++) x[i] = (float)(lo + (hi - lo) * kr_rng_uniform(&r));
}

/* A term with an axis L is zero until its last TAIL steps; others are random. */
static float *make(const kr_sig_term *t, kr_tensor *x, int64_t L) {
    int64_t n = kr_count(x), width = n / (x->n_dims > 1 && strchr(t->axes, 'L') ? L : 1);
    float *p = kr_mem_array((size_t)n, sizeof *p);
    bool steps = strchr(t->axes, 'L') != NULL, rate = strcmp(t->name, "A") == 0;
    if (!p) return NULL;
    if (steps) fill(p + (L - TAIL) * width, TAIL * width, t->name, -1, 1);
    else fill(p, n, t->name, rate ? -2 : -1, rate ? -.1 : 1);
    return p;
}

/* Runs op over L steps; the caller frees out[0]. */
static float *run(const kr_op *op, const void *attr, int64_t L, const int64_t size[26], unsigned present) {
    kr_call c = {.attr = attr, .n_threads = kr_cpu_threads()};
    kr_sig_term t = {0};
    int i = 0;
    for (const char *s = op->sig; kr_sig_next(&s, &t) && !t.output; i++) {
        if (!(present >> i & 1)) continue;
        kr_tensor *x = &c.in[i];
        *x = (kr_tensor){.dtype = KR_F32, .n_dims = (int)strlen(t.axes)};
        for (int d = 0; d < x->n_dims; d++) x->dim[d] = t.axes[d] == 'L' ? L : size[t.axes[d] - 'A'];
        x->data = make(&t, x, L);
        if (!x->data) return NULL;
    }
    if (kr_op_bind(op, &c) != KR_OK) return printf("FAIL %s: %s\n", op->name, kr_error()), NULL;
    c.out[0].data = kr_mem_array((size_t)kr_count(&c.out[0]), sizeof(float));
    c.scratch = kr_mem_new(c.fwd_scratch + 64);
    if (c.out[0].data && c.scratch) kr_op_forward(op, &c, kr_cpu_best());
    for (int k = 0; k < KR_MAX_IN; k++) kr_mem_free(c.in[k].data);
    kr_mem_free(c.scratch);
    return c.out[0].data;
}

static void check(const char *name, const void *attr, const int64_t size[26], unsigned present) {
    const kr_op *op = kr_op_find(name);
    float *all = run(op, attr, LONG, size, present), *tail = run(op, attr, TAIL, size, present);
    double num = 0, den = 0;
    for (int64_t k = 0; all && tail && k < TAIL * D; k++) {
        double d = (double)all[(LONG - TAIL) * D + k] - tail[k];
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

int main(void) {
#ifdef KR_INSTRUMENTED
    puts("check_big: skipped: a sanitizer would need several times the memory, counting lines the time");
    return 77;
#endif
    double gb = available_gb();
    if (gb < 16) return printf("check_big: skipped: %.1f GB available, want 16\n", gb), 77;
    int64_t size[26] = {0};
    size['S' - 'A'] = size['G' - 'A'] = 1, size['D' - 'A'] = D, size['K' - 'A'] = 4, size['H' - 'A'] = H, size['P' - 'A'] = P, size['N' - 'A'] = N;
    const char *const names[] = {"conv1d", "selective_scan", "ssd"};
    const unsigned present[] = {3, 0x1f, 0x1f}; /* x w; u dt A B C; x dt A B C */
    for (int i = 0; i < 3; i++) {
        char attr[256];
        kr_attr_defaults(kr_op_find(names[i]), attr);
        check(names[i], attr, size, present[i]);
    }
    printf("check_big: %d passed, %d failed\n", n_passed, n_failed);
    return n_failed != 0;
}
