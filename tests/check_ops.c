/* check_ops.c - holds every op of ops.def to the contract of op.h.
 *
 * The double reference is the definition: its gradients must agree with central
 * differences, and every float implementation must agree with it.  The rest of the
 * contract (acc, absent tensors, column slices, threads, declared reads, state carried
 * along L, ...) is compared bit for bit against a plain run of the same implementation.
 *
 *   check_ops [-v] [--quick] [--part I/N] [--device cuda] [op ...]
 *   check_ops --list            names all ops
 *
 * runs all ops, or these, on a CPU or on a GPU; -v prints what was measured.  On a GPU float32
 * keeps to the tolerances of the CPU, and bfloat16 to 3e-3 of the reference on the same
 * rounded numbers.  --quick takes four cases of an op and only plain runs, for slow tools;
 * --part 2/4 takes every fourth case, from the second on: all parts are the whole. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/rng.h"
#include "op_case.h"
#include "ops/ops.h"

#define OP(name) extern const kr_op_test kr_test_##name;
#include "ops/ops.def"
#undef OP
static const kr_op_test *const tests[] = {
#define OP(name) &kr_test_##name,
#include "ops/ops.def"
#undef OP
};

/* ways to run: every kr_impl, the reference in double, CUDA on bfloat16 */
enum { DOUBLE = KR_N_IMPL, CUDA_BF16, N_WAYS };
static const char *way_name(int way) {
    return way == DOUBLE ? "double" : way == CUDA_BF16 ? "cuda-bf16" : kr_impl_name((kr_impl)way);
}
static how way_how(int way) {
    if (way == CUDA_BF16) return (how){.impl = KR_CUDA, .real = KR_BF16};
    return (how){.f64 = way == DOUBLE, .impl = way == DOUBLE ? KR_REF : (kr_impl)way};
}
static bool quick;
static int the_part, n_parts = 1, n_cases; /* case i is run where i % n_parts == the_part */
static kr_device *device; /* NULL: the ways of a CPU are checked, else those of CUDA */

static int64_t n_passed, n_failed;
static double worst[N_WAYS][2]; /* of the current op: forward, backward */

static void verdict(const op_case *k, int way, const char *what, const char *slot, double err, double tol) {
    if (err <= tol) {
        n_passed++;
        return;
    }
    n_failed++;
    printf("FAIL %s [%s] %s%s%s %s: error %.3g > %.3g\n", k->op->name, k->text, what, *slot ? " " : "", slot, way_name(way), err, tol);
}
static void must(const op_case *k, int way, const char *what, const char *slot, bool ok) {
    n_passed += ok;
    n_failed += !ok;
    if (!ok) printf("FAIL %s [%s] %s%s%s %s\n", k->op->name, k->text, what, *slot ? " " : "", slot, way_name(way));
}

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* sqrt(sum of squared errors / sum of squares): scale free; NaN if a value is missing.
 * The floor is there for tensors that are zero. */
static double rel_err(const kr_sig_term *t, const kr_call *a, const kr_tensor *want, const kr_call *b, const kr_tensor *got) {
    view v = tensor_view(t, a, want), w = tensor_view(t, b, got);
    double num = 0, den = 0;
    if (v.n != w.n) return NAN;
    for (int64_t i = 0; i < v.n; i++) {
        double x = view_get(&v, want, i), y = view_get(&w, got, i);
        if (x == y) y = x = isfinite(x) ? x : 0;
        num += (x - y) * (x - y);
        den += x * x;
    }
    return sqrt(num / fmax(den, 1e-12 * (double)v.n));
}

/* "dx" for x. */
static const char *grad_name(const op_case *k, int i) {
    static char name[24];
    snprintf(name, sizeof name, "d%s", k->in_term[i].name);
    return name;
}

/* What is stored in bfloat16 is off by 1.6e-3 already. */
static double bf16_tol(const op_case *k) { return k->test->tol_bf16 ? k->test->tol_bf16 : 3e-3; }

/* A tolerance where x was rounded that often.  One number is off by up to 3.9e-3, many
 * together by much less. */
static double rounded(double tol, const kr_tensor *x, int times) {
    return x->dtype == KR_BF16 ? tol * times * (kr_count(x) < 64 ? 2 : 1) : tol;
}

static double tol_fwd(const op_case *k, int way) {
    return way == DOUBLE ? 1e-12 : way == CUDA_BF16 ? bf16_tol(k) : k->test->tol_fwd ? k->test->tol_fwd : 1e-5;
}
static double tol_bwd(const op_case *k, int way, int i) {
    if (way == CUDA_BF16) return k->in_term[i].kind == KR_SLOT_F32 && k->test->tol_param_bf16 ? k->test->tol_param_bf16 : bf16_tol(k);
    double tol = k->test->tol_bwd ? k->test->tol_bwd : 1e-5;
    return way == DOUBLE ? 1e-12 : way == KR_REF ? 4 * tol : tol; /* a reference adds up in the naive order */
}

static kr_call run_both(const op_case *k, const how *h) {
    kr_call c = case_call(k, h);
    case_forward(k, h, &c);
    if (k->op->bwd_f64) case_backward(k, h, &c);
    return c;
}
static void check_memory(const op_case *k, int way, const char *when, int mark) {
    const char *bad = own_check(mark);
    must(k, way, when, bad ? bad : "memory", !bad);
}
/* On a GPU a step of decoding may have kernels of its own, and a slice that no vector fits may
 * be summed in another order, so there (`near`) the last bits may differ. */
static void near_or_same(const op_case *k, int way, const char *what, const char *name, const kr_sig_term *t, bool near, double tol, const kr_call *a,
                         const kr_tensor *x, const kr_call *b, const kr_tensor *y) {
    if (near) verdict(k, way, what, name, rel_err(t, a, x, b, y), rounded(tol, y, 2));
    else must(k, way, what, name, same_bits(t, a, x, b, y));
}
static bool odd_slices; /* of the runs that are compared; see near_or_same */
static void same_outputs(const op_case *k, int way, const char *what, const kr_call *a, const kr_call *b) {
    bool near = device && (odd_slices || a->training != b->training);
    for (int o = 0; o < k->n_out; o++)
        if (a->out[o].data && b->out[o].data)
            near_or_same(k, way, what, k->out_term[o].name, &k->out_term[o], near, tol_fwd(k, way), a, &a->out[o], b, &b->out[o]);
}
static void same_gradients(const op_case *k, int way, const char *what, const kr_call *a, const kr_call *b) {
    for (int i = 0; i < k->n_in; i++)
        if (a->din[i].data && b->din[i].data && !b->acc[i])
            near_or_same(k, way, what, grad_name(k, i), &k->in_term[i], device && odd_slices, tol_bwd(k, way, i), a, &a->din[i], b, &b->din[i]);
}

/* --- the definition: central differences ----------------------------------------------- */

static const double SLOPE_TOL = 1e-6;

typedef struct differ {
    const op_case *k;
    how h;
    kr_call *c;
    double *up[KR_MAX_OUT];
} differ;

/* Derivative of sum(out * dout) along dir (NULL: element e alone) of in[i], for a step. */
static double slope(differ *d, int i, int64_t e, const double *dir, double step) {
    const kr_call *c = d->c;
    double *x = c->in[i].data, sum = 0;
    const double *from = d->k->in[i];
    int64_t n = kr_count(&c->in[i]), lo = dir ? 0 : e, hi = dir ? n : e + 1;
    double up = step, down = -step;
    for (int64_t j = lo; j < hi; j++) x[j] = from[j] + (dir ? dir[j] : 1) * up;
    kr_op_forward(d->k->op, c, KR_REF);
    for (int o = 0; o < d->k->n_out; o++)
        if (c->out[o].dtype == KR_F64) memcpy(d->up[o], c->out[o].data, (size_t)kr_count(&c->out[o]) * sizeof(double));
    for (int64_t j = lo; j < hi; j++) x[j] = from[j] + (dir ? dir[j] : 1) * down;
    kr_op_forward(d->k->op, c, KR_REF);
    for (int64_t j = lo; j < hi; j++) x[j] = from[j];
    for (int o = 0; o < d->k->n_out; o++)
        for (int64_t j = 0; c->out[o].dtype == KR_F64 && j < kr_count(&c->out[o]); j++)
            sum += (d->up[o][j] - ((double *)c->out[o].data)[j]) * d->k->dout[o][j];
    return sum / (2 * step);
}

/* How far the gradient is from the slope.  A step may cross a jump of the op (suppressed_scan's
 * alpha), so a slope that does not fit is taken again over a hundredth of the step: what is
 * wrong stays wrong. */
static double slope_error(differ *d, int i, int64_t e, const double *dir, double step, double want, double scale) {
    double err = fabs(slope(d, i, e, dir, step) - want) / scale;
    return err > SLOPE_TOL ? fabs(slope(d, i, e, dir, step / 100) - want) / scale : err;
}

/* How many elements to probe: up to 60, or what some 25 million operations of the reference allow.  The mathematics is the
 * same under sanitizers and was checked without: there one tells as much. */
static int64_t probes(const kr_op *op, const kr_call *c) {
#ifdef KR_INSTRUMENTED
    (void)op, (void)c;
    return 1;
#else
    double work = op->flops ? op->flops(c) : 0;
    for (int i = 0; i < KR_MAX_IN; i++) work += c->in[i].data ? 20. * (double)kr_count(&c->in[i]) : 0;
    for (int o = 0; o < KR_MAX_OUT; o++) work += c->out[o].data ? 20. * (double)kr_count(&c->out[o]) : 0;
    return (int64_t)fmax(6, fmin(60, 25e6 / work));
#endif
}

/* Some elements one by one, then all at once along a random sign. */
static void differences_of(differ *d, int i, const double *g) {
    int64_t n = kr_count(&d->c->in[i]);
    double *dir = own((size_t)n * sizeof *dir, "direction", 0), lo = INFINITY, hi = -INFINITY, scale = 1e-3, err = 0, dot = 0;
    kr_rng rng = {.seed = 7, .stream = (uint64_t)i};
    for (int64_t j = 0; j < n; j++) {
        lo = fmin(lo, d->k->in[i][j]), hi = fmax(hi, d->k->in[i][j]);
        scale = fmax(scale, fabs(g[j]));
        dir[j] = (kr_rng_below(&rng, 2) ? 1 : -1) / sqrt((double)n);
        dot += dir[j] * g[j];
    }
    double step = 1e-5 * fmax(hi - lo, 1e-2);
    int64_t most = probes(d->k->op, d->c);
    for (int64_t s = 0; s < n && s < most; s++) {
        int64_t e = n <= most ? s : kr_rng_below(&rng, n);
        err = fmax(err, slope_error(d, i, e, NULL, step, g[e], scale));
        if (isnan(g[e])) err = NAN;
    }
    verdict(d->k, DOUBLE, "finite differences", grad_name(d->k, i), err, SLOPE_TOL);
    verdict(d->k, DOUBLE, "finite differences (all elements)", grad_name(d->k, i), slope_error(d, i, 0, dir, step, dot, scale), SLOPE_TOL);
}

static void check_differences(const op_case *k) {
    int mark = own_mark();
    differ d = {.k = k, .h = way_how(DOUBLE)};
    if (!k->op->bwd_f64) return;
    kr_call grad = run_both(k, &d.h), c = case_call(k, &d.h);
    c.scratch = own(c.fwd_scratch, "forward scratch", 0);
    d.c = &c;
    for (int o = 0; o < k->n_out; o++) d.up[o] = own((size_t)kr_count(&c.out[o]) * sizeof(double), "up", 0);
    for (int i = 0; i < k->n_in; i++)
        if (grad.din[i].data) differences_of(&d, i, grad.din[i].data);
    check_memory(k, DOUBLE, "finite differences:", mark);
    own_release(mark);
}

/* --- one implementation against the double reference ------------------------------------- */

static void check_values(const op_case *k, int way, const kr_call *want, const kr_call *got) {
    for (int o = 0; o < k->n_out; o++) {
        double err = rel_err(&k->out_term[o], want, &want->out[o], got, &got->out[o]);
        worst[way][0] = fmax(worst[way][0], err);
        verdict(k, way, "forward", k->out_term[o].name, err, rounded(tol_fwd(k, way), &got->out[o], 1));
    }
    for (int i = 0; i < k->n_in; i++) {
        if (!want->din[i].data) continue;
        double err = rel_err(&k->in_term[i], want, &want->din[i], got, &got->din[i]);
        worst[way][1] = fmax(worst[way][1], err);
        verdict(k, way, "backward", grad_name(k, i), err, rounded(tol_bwd(k, way, i), &got->din[i], 1));
    }
}

/* acc adds to what is there; a second backward doubles; inputs without acc are still set. */
static void check_acc(const op_case *k, int way, const kr_call *base, unsigned mask) {
    int mark = own_mark();
    how h = way_how(way);
    h.acc = mask;
    double *start[KR_MAX_IN] = {0};
    kr_call c = case_call(k, &h);
    for (int i = 0; i < k->n_in; i++) {
        if (!c.din[i].data || !c.acc[i]) continue;
        view v = tensor_view(&k->in_term[i], &c, &c.din[i]), w = tensor_view(&k->in_term[i], base, &base->din[i]);
        double rms = 0;
        for (int64_t e = 0; e < v.n; e++) rms += pow(view_get(&w, &base->din[i], e), 2) / (double)v.n;
        rms = sqrt(rms) + 1e-30;
        start[i] = own((size_t)v.n * sizeof(double), "start", 0);
        for (int64_t e = 0; e < v.n; e++) {
            double x = rms * (double)((e * 37 + 11) % 64 - 31) / 64;
            view_put(&v, &c.din[i], e, x);
            start[i][e] = view_get(&v, &c.din[i], e);
        }
    }
    case_forward(k, &h, &c);
    for (int times = 1; times <= 2; times++) {
        case_backward(k, &h, &c);
        for (int i = 0; i < k->n_in; i++) {
            if (!c.din[i].data || !c.acc[i]) continue;
            view v = tensor_view(&k->in_term[i], &c, &c.din[i]), w = tensor_view(&k->in_term[i], base, &base->din[i]);
            double num = 0, den = 1e-60;
            for (int64_t e = 0; e < v.n; e++) {
                double want = start[i][e] + times * view_get(&w, &base->din[i], e);
                num += pow(view_get(&v, &c.din[i], e) - want, 2), den += want * want;
            }
            verdict(k, way, times == 1 ? "acc" : "acc, second backward", grad_name(k, i), sqrt(num / den),
                    rounded(tol_bwd(k, way, i), &c.din[i], 1 + times));
        }
        same_gradients(k, way, "beside an acc:", base, &c);
    }
    check_memory(k, way, "acc:", mark);
    own_release(mark);
}

static void check_absent(const op_case *k, int way, const kr_call *base) {
    for (int o = 1; o <= k->n_out; o++) { /* an absent output gradient is zero; last all but the first */
        int mark = own_mark();
        how z = way_how(way), n = z;
        z.zero_dout = n.no_dout = o < k->n_out ? 1u << o : (1u << k->n_out) - 2;
        if (k->n_out > 1 && base->dout[o < k->n_out ? o : 1].data && k->op->bwd_f64) {
            kr_call zero = run_both(k, &z), none = run_both(k, &n);
            for (int i = 0; i < k->n_in; i++)
                if (zero.din[i].data)
                    verdict(k, way, "absent output gradient:", grad_name(k, i),
                            rel_err(&k->in_term[i], &zero, &zero.din[i], &none, &none.din[i]), rounded(tol_bwd(k, way, i), &none.din[i], 1));
        }
        check_memory(k, way, "absent output gradient:", mark);
        own_release(mark);
    }
    unsigned grads = 0, outs = (1u << k->n_out) - 2;
    for (int i = 0; i < k->n_in; i++) grads |= base->din[i].data ? 1u << i : 0;
    for (int i = 0; i < k->n_in; i++)
        for (int alone = 0; alone < 2 && grads >> i & 1; alone++) { /* all but this one, this one alone */
            int mark = own_mark();
            how h = way_how(way);
            h.no_din = alone ? grads & ~(1u << i) : 1u << i;
            kr_call c = run_both(k, &h);
            same_gradients(k, way, alone ? "the only gradient wanted:" : "beside a gradient not wanted:", base, &c);
            check_memory(k, way, "gradient not wanted:", mark);
            own_release(mark);
        }
    for (int o = 1; o <= k->n_out && k->n_out > 1; o++) { /* each secondary output alone, then all */
        int mark = own_mark();
        how h = way_how(way);
        h.no_out = o < k->n_out ? 1u << o : outs;
        for (int inference = 0; inference < 2; inference++) {
            h.inference = inference;
            kr_call c = case_call(k, &h);
            case_forward(k, &h, &c);
            same_outputs(k, way, "beside an output not wanted:", base, &c);
        }
        check_memory(k, way, "output not wanted:", mark);
        own_release(mark);
    }
}

/* Padding around a pitched gradient still holds the 0xff it was filled with. */
static bool padding_kept(const op_case *k, int i, const kr_call *c) {
    view v = tensor_view(&k->in_term[i], c, &c->din[i]);
    size_t elem = kr_dtype_bytes(c->din[i].dtype), row = (size_t)v.width * elem, gap = (size_t)(v.pitch - v.width) * elem;
    for (int64_t r = 0; r < v.n / v.width; r++)
        for (size_t j = 0; j < gap; j++)
            if (((unsigned char *)c->din[i].data)[(size_t)r * (row + gap) + row + j] != 0xff) return false;
    return true;
}

static void check_pitched(const op_case *k, int way, const kr_call *base, bool even, bool shifted) {
    for (int only = -1; only < k->n_in; only++) { /* all inputs, then each alone to name the culprit */
        int mark = own_mark();
        int64_t before = n_failed;
        char what[64];
        how h = way_how(way);
        h.pitched = only < 0 ? ~0u : 1u << only;
        h.even = even, h.shifted = shifted;
        odd_slices = !even || shifted;
        snprintf(what, sizeof what, "%scolumn slices (%s):", shifted ? "shifted " : even ? "aligned " : "", only < 0 ? "all" : k->in_term[only].name);
        kr_call c = run_both(k, &h);
        same_outputs(k, way, what, base, &c);
        same_gradients(k, way, what, base, &c);
        for (int i = 0; i < k->n_in; i++)
            if (c.din[i].data) must(k, way, "wrote between the rows of", grad_name(k, i), padding_kept(k, i, &c));
        odd_slices = false;
        check_memory(k, way, what, mark);
        own_release(mark);
        if (only < 0 && n_failed == before) return;
    }
}

/* Runs that must give the bits of the plain one. */
static void check_same(const op_case *k, int way, const kr_call *base, const char *what, how h) {
    int mark = own_mark();
    kr_call c = case_call(k, &h);
    case_forward(k, &h, &c);
    same_outputs(k, way, what, base, &c);
    if (k->op->bwd_f64 && !h.inference) {
        case_backward(k, &h, &c);
        same_gradients(k, way, what, base, &c);
    }
    check_memory(k, way, what, mark);
    own_release(mark);
}

/* Backward writes an output again: the same bits as forward's, and gradients as ever. */
static void check_again(const op_case *k, int way, const kr_call *base) {
    int mark = own_mark();
    how h = way_how(way);
    h.again = true;
    kr_call c = run_both(k, &h);
    same_outputs(k, way, "made again in backward:", base, &c);
    same_gradients(k, way, "made again in backward:", base, &c);
    check_memory(k, way, "made again in backward:", mark);
    own_release(mark);
}

static void check_contract(const op_case *k, int way, const kr_call *base) {
    how plain = way_how(way), h = plain;
    h.poison = true;
    check_same(k, way, base, "undeclared reads in backward:", h);
    h = plain, h.inference = true;
    check_same(k, way, base, "training off:", h);
    for (int o = 0; o < k->n_out; o++) {
        h = plain, h.inference = true, h.alias = 1u << o;
        if (alias_input(k, o) >= 0) check_same(k, way, base, "output in its input's place:", h);
    }
    check_pitched(k, way, base, false, false);
    for (int shifted = 0; shifted < 2 && (way == KR_CUDA || way == CUDA_BF16); shifted++) check_pitched(k, way, base, true, shifted);
    if ((way == KR_CUDA || way == CUDA_BF16) && k->op->bwd_again) check_again(k, way, base);
    check_absent(k, way, base);
    if (k->op->bwd_f64) {
        kr_rng rng = {.seed = 3, .stream = kr_rng_stream(k->text)};
        check_acc(k, way, base, ~0u);
        check_acc(k, way, base, (unsigned)kr_rng_u64(&rng));
    }
}

/* --- results that must not depend on how the work is cut ----------------------------------- */

static bool seq_idx_changes(const op_case *k, int64_t at) {
    int i = kr_op_slot(k->op, "seq_idx", false);
    if (i < 0 || !k->in[i]) return false;
    int64_t L = k->size['L' - 'A'], S = k->size['S' - 'A'];
    for (int64_t s = 0; s < S; s++)
        if (k->in[i][s * L + at - 1] != k->in[i][s * L + at]) return true;
    return false;
}

/* out[o] of a run on a slice against the same slice of the whole run. */
static double slice_err(const op_case *k, int o, char letter, const kr_call *whole, const kr_call *part, int64_t from, bool *has) {
    const kr_tensor *x = &whole->out[o], *y = &part->out[o];
    int64_t outer, inner, n = letter == '*' ? k->star[0] : k->size[letter - 'A'];
    *has = axis_split(k, &k->out_term[o], x, letter, &outer, &inner);
    if (!*has) return 0;
    view v = tensor_view(&k->out_term[o], whole, x), w = tensor_view(&k->out_term[o], part, y);
    int64_t m = kr_count(y) / (outer * inner);
    double num = 0, den = 1e-12;
    for (int64_t a = 0; a < outer; a++)
        for (int64_t b = 0; b < m * inner; b++) {
            double want = view_get(&v, x, (a * n + from) * inner + b), got = view_get(&w, y, a * m * inner + b);
            if (want == got) continue;
            num += (want - got) * (want - got), den += want * want;
        }
    return sqrt(num / den);
}

static void check_split_at(const op_case *k, int way, const kr_call *base, int64_t at) {
    int mark = own_mark();
    how h = way_how(way);
    h.inference = true;
    double tol = tol_fwd(k, way);
    char what[48];
    bool has;
    snprintf(what, sizeof what, "split after step %lld:", (long long)at);
    op_case one = case_slice(k, 'L', 0, at), two = case_slice(k, 'L', at, k->size['L' - 'A'] - at);
    kr_call c1 = case_call(&one, &h);
    case_forward(&one, &h, &c1);
    for (int s = 0; s < 2 && k->op->state[s].in; s++) {
        int i = k->op->state[s].in - 1, o = k->op->state[s].out - 1;
        view v = tensor_view(&k->out_term[o], &c1, &c1.out[o]);
        two.absent &= ~(1u << i);
        two.in[i] = own((size_t)v.n * sizeof(double), "case", 0);
        for (int64_t e = 0; e < v.n; e++) two.in[i][e] = view_get(&v, &c1.out[o], e);
    }
    kr_call c2 = case_call(&two, &h);
    case_forward(&two, &h, &c2);
    /* both runs are rounded, and the errors of a step are of the size of all of them, not its own */
    for (int o = 0; o < k->n_out; o++) {
        double err = slice_err(k, o, 'L', base, &c1, 0, &has);
        if (has) verdict(k, way, what, k->out_term[o].name, err, rounded(tol, &c1.out[o], 3));
        err = slice_err(k, o, 'L', base, &c2, at, &has);
        if (has) verdict(k, way, what, k->out_term[o].name, err, rounded(tol, &c2.out[o], 3));
    }
    for (int s = 0; s < 2 && k->op->state[s].in; s++) {
        int o = k->op->state[s].out - 1;
        verdict(k, way, what, k->out_term[o].name, rel_err(&k->out_term[o], base, &base->out[o], &c2, &c2.out[o]), tol);
    }
    check_memory(k, way, what, mark);
    own_release(mark);
}

/* An option "causal" that is 0, or steps by a list: such a row cannot be cut. */
static bool looks_ahead(const op_case *k) {
    int order = kr_op_slot(k->op, "order", false);
    if (order >= 0 && k->in[order]) return true;
    for (const kr_attr *a = k->op->attrs; a && a->name; a++)
        if (strcmp(a->name, "causal") == 0) return *(const int64_t *)(k->attr + a->offset) == 0;
    return false;
}

static void check_split(const op_case *k, int way, const kr_call *base) {
    int64_t L = k->size['L' - 'A'], cut[3] = {1, L / 2, L - 1};
    if (!k->op->state[0].in || L < 2 || looks_ahead(k)) return;
    for (int i = 0; i < 3; i++)
        if ((i == 0 || cut[i] > cut[i - 1]) && cut[i] < L && !seq_idx_changes(k, cut[i])) check_split_at(k, way, base, cut[i]);
}

/* A sequence (or row) alone gives the bits that it gives among others.  On a GPU a product may
 * be another kernel's for another number of rows, and sum in another order. */
static void check_neighbours(const op_case *k, int way) {
    bool product = false;
    for (int i = 0; i < k->n_in; i++) product = product || k->in_term[i].kind == KR_SLOT_WEIGHT;
    for (int pass = 0; pass < 2; pass++) {
        char letter = pass ? '*' : 'S';
        if (pass ? k->n_star == 0 || k->star[0] < 2 : k->size['S' - 'A'] < 2) continue;
        int mark = own_mark();
        how h = way_how(way);
        h.inference = true;
        op_case one = case_slice(k, letter, 1, 1);
        kr_call c = case_call(&one, &h), all = case_call(k, &h);
        case_forward(&one, &h, &c);
        case_forward(k, &h, &all);
        for (int o = 0; o < k->n_out; o++) {
            bool has;
            double err = slice_err(k, o, letter, &all, &c, 1, &has);
            if (has) verdict(k, way, "without its neighbours:", k->out_term[o].name, err, device && product ? tol_fwd(k, way) : 0);
        }
        check_memory(k, way, "without its neighbours:", mark);
        own_release(mark);
    }
}

/* --- what bind must refuse -------------------------------------------------------------------- */

static void refused(const op_case *k, const kr_call *good, int i, kr_tensor bad, const char *what, const char *slot) {
    kr_call c = *good;
    c.in[i] = bad;
    bool ok = kr_op_bind(k->op, &c) != KR_OK;
    must(k, DOUBLE, "not refused:", what, ok);
    if (ok) must(k, DOUBLE, what, "refused without a name", strstr(kr_error(), k->op->name) && strstr(kr_error(), slot));
}

static void check_refusals(const op_case *k) {
    kr_call good = {.attr = k->attr};
    unsigned seen = 0;
    for (int i = 0; i < k->n_in; i++)
        if (k->in[i]) good.in[i] = case_input_shape(k, i, KR_F32);
    for (int i = 0; i < k->n_in; i++) {
        const kr_sig_term *t = &k->in_term[i];
        char what[64];
        if (!k->in[i]) continue;
        kr_tensor x = good.in[i], bad = x;
        snprintf(what, sizeof what, "%s of a wrong dtype", t->name);
        bad.dtype = t->kind == KR_SLOT_INT ? KR_F32 : KR_I32;
        refused(k, &good, i, bad, what, t->name);
        if (!t->optional) {
            snprintf(what, sizeof what, "%s missing", t->name);
            refused(k, &good, i, (kr_tensor){0}, what, t->name);
        }
        if (!t->star && x.n_dims < KR_MAX_DIMS) {
            snprintf(what, sizeof what, "%s with a dimension too many", t->name);
            bad = x, bad.dim[bad.n_dims++] = 1;
            refused(k, &good, i, bad, what, t->name);
        }
        int lead = x.n_dims - (int)strlen(t->axes);
        for (int a = 0; t->axes[a]; a++) {
            unsigned bit = 1u << (t->axes[a] - 'A');
            bad = x, bad.dim[lead + a]++;
            snprintf(what, sizeof what, "%s with a wrong %c", t->name, t->axes[a]);
            if (seen & bit) refused(k, &good, i, bad, what, t->name); /* else this is who binds the letter */
            seen |= bit;
        }
    }
}

/* --- the run ------------------------------------------------------------------------------------ */

static bool can_run(const kr_op *op, int way) {
    if (way == DOUBLE) return op->fwd_f64 != NULL;
    if (way == KR_CUDA || way == CUDA_BF16) return device && kr_op_cuda(op);
    return !device && kr_cpu_has((kr_impl)way) && (op->fwd[way] || op->bwd[way]);
}

/* One way to run a case, held against the reference in double. */
static void check_way(const op_case *k, int way, const kr_call *want) {
    int mark = own_mark();
    how h = way_how(way);
    kr_call base = run_both(k, &h);
    check_memory(k, way, "plain run:", mark);
    check_values(k, way, want, &base);
    if (quick) {
        own_release(mark);
        return;
    }
    check_contract(k, way, &base);
    check_split(k, way, &base);
    check_neighbours(k, way);
    for (h.n_threads = 2; h.n_threads <= 3; h.n_threads++)
        check_same(k, way, &base, h.n_threads == 2 ? "two threads:" : "three threads:", h);
    own_release(mark);
}

static void check_case(const kr_op_test *t, const char *text) {
    op_case k;
    if (!case_read(&k, t, text)) {
        n_failed++;
        own_release(0);
        return;
    }
    how h = way_how(DOUBLE);
    if (!device) {
        check_refusals(&k);
        check_differences(&k);
    }
    kr_call want = run_both(&k, &h);
    for (int way = CUDA_BF16; way-- > 0;)
        if (can_run(t->op, way) && !(way == DOUBLE && device)) check_way(&k, way, &want);
    if (can_run(t->op, CUDA_BF16)) {
        op_case r = case_rounded(&k);
        want = run_both(&r, &h);
        check_way(&r, CUDA_BF16, &want);
    }
    own_release(0);
}

static void check_op(const kr_op_test *t, bool verbose) {
    int64_t passed = n_passed, failed = n_failed;
    double start = cpu_seconds();
    memset(worst, 0, sizeof worst);
    if (device && !kr_op_cuda(t->op)) {
        printf("%s: no CUDA version yet\n", t->op->name);
        return;
    }
    if (device && t->op->bwd_f64 && !kr_op_cuda(t->op)->bwd) {
        printf("FAIL %s: its CUDA version has no backward\n", t->op->name);
        n_failed++;
        return;
    }
    if (!t->op->fwd_f64 || !t->op->fwd[KR_REF] || !t->cases[0]) {
        printf("FAIL %s: no reference or no cases\n", t->op->name);
        n_failed++;
        return;
    }
    for (int i = 0; i < (quick ? 4 : (int)(sizeof t->cases / sizeof *t->cases)) && t->cases[i]; i++)
        if (n_cases++ % n_parts == the_part) check_case(t, t->cases[i]);
    if (!verbose) return;
    printf("%s: %lld passed, %lld failed, %.2f s of a core;", t->op->name, (long long)(n_passed - passed), (long long)(n_failed - failed), cpu_seconds() - start);
    for (int way = 0; way < N_WAYS; way++)
        if (way != DOUBLE && can_run(t->op, way)) printf(" %s %.1e/%.1e", way_name(way), worst[way][0], worst[way][1]);
    printf("\n");
}

int main(int argc, char **argv) {
    bool verbose = false;
    int n_named = 0;
    /* threads that spin while they wait would make a loaded machine crawl */
    if (!getenv("OMP_WAIT_POLICY") && setenv("OMP_WAIT_POLICY", "passive", 1) == 0) execv("/proc/self/exe", argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-v") == 0) verbose = true;
        else if (strcmp(argv[i], "--quick") == 0) quick = true;
        else if (strcmp(argv[i], "--list") == 0) {
            for (int k = 0; kr_ops[k]; k++) printf("%s\n", kr_ops[k]->name);
            return 0;
        }
        else if (strcmp(argv[i], "--device") == 0 && i + 1 < argc) {
            if (kr_device_open(&device, argv[++i]) != KR_OK) return printf("check_ops: skipped: %s\n", kr_error()), 77;
            case_set_device(device);
        } else if (strcmp(argv[i], "--part") == 0 && i + 1 < argc) {
            if (sscanf(argv[++i], "%d/%d", &the_part, &n_parts) != 2 || the_part < 1 || the_part > n_parts)
                return fprintf(stderr, "check_ops: --part is I/N, I from 1 to N\n"), 2;
            the_part--;
        } else if (!kr_op_find(argv[i])) return fprintf(stderr, "check_ops: no op %s\n", argv[i]), 2;
        else n_named++;
    }
    for (size_t j = 0; j < sizeof tests / sizeof *tests; j++) {
        bool wanted = n_named == 0;
        for (int i = 1; i < argc; i++) wanted |= strcmp(argv[i], tests[j]->op->name) == 0;
        if (wanted) check_op(tests[j], verbose);
    }
    printf("check_ops: %lld passed, %lld failed\n", (long long)n_passed, (long long)n_failed);
    kr_device_close(device);
    return n_failed != 0;
}
