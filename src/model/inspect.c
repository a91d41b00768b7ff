/* inspect.c - the matrices of a model's scans, in double from what the scans were given. */
#include "model/inspect.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/attention/attention.h"
#include "ops/lti_scan/lti_scan.h"
#include "ops/ops.h"
#include "ops/selective_scan/selective_scan.h"
#include "ops/ssd/ssd.h"

static const kr_op *const watched[] = {&kr_op_ssd, &kr_op_selective_scan, &kr_op_lti_scan, &kr_op_attention, NULL};

/* --- opening ------------------------------------------------------------------------------- */

/* "3 1 4 1 5", for models without words. */
static int64_t read_numbers(const char *text, int64_t vocab, int32_t *ids, int64_t cap) {
    int64_t n = 0;
    for (char *end; *(text += strspn(text, " \t\r\n,")); text = end) {
        long v = strtol(text, &end, 10);
        if (end == text || v < 0 || v >= vocab) return -1;
        if (n < cap) ids[n] = (int32_t)v;
        n++;
    }
    return n;
}

static kr_status read_ids(kr_inspect *x, const char *text, int64_t n_bytes, int64_t max_steps) {
    char *copy = kr_mem_new((size_t)n_bytes + 1);
    if (!copy || !(x->ids = kr_mem_array((size_t)max_steps, sizeof *x->ids)) || !(x->token = kr_mem_array((size_t)max_steps, sizeof *x->token))) {
        kr_mem_free(copy);
        return KR_ERR_NOMEM;
    }
    memcpy(copy, text, (size_t)n_bytes);
    int64_t n = kr_encode(x->model, copy, n_bytes, x->ids, max_steps);
    bool numbers = n == KR_ERR_MISSING;
    if (numbers) n = read_numbers(copy, x->model->config.vocab_size, x->ids, max_steps);
    kr_mem_free(copy);
    if (n < 0 && numbers) KR_FAIL(KR_ERR_ARG, "this model has no tokenizer, so its input is numbers from 0 to %lld with spaces between", (long long)x->model->config.vocab_size - 1);
    if (n < 0) return (kr_status)n;
    if (n == 0) KR_FAIL(KR_ERR_ARG, "the input is empty");
    x->L = n < max_steps ? n : max_steps;
    for (int64_t i = 0; i < x->L; i++) {
        const char *t = numbers ? NULL : kr_token_text(x->model, x->ids[i], NULL);
        if (t) snprintf(x->token[i], sizeof x->token[i], "%s", t);
        else snprintf(x->token[i], sizeof x->token[i], "%d", x->ids[i]);
    }
    return KR_OK;
}

static kr_status run(kr_inspect *x) {
    kr_model_graph_options o = {.mode = KR_MODEL_ALL, .S = 1, .L = x->L, .plain = true, .watch = watched};
    int64_t layer;
    const kr_op *op;
    KR_TRY(kr_model_graph(x->model, &o, &x->graph));
    KR_TRY(kr_graph_alloc(x->graph));
    memcpy(kr_graph_data(x->graph, "ids"), x->ids, (size_t)x->L * sizeof *x->ids);
    kr_graph_run(x->graph, KR_RUN_FORWARD);
    if (!kr_inspect_call(x, 0, &layer, &op)) KR_FAIL(KR_ERR_CONFIG, "the model has neither a scan nor attention");
    return KR_OK;
}

kr_status kr_inspect_open(kr_inspect **out, const char *path, const char *text, int64_t n_bytes, int64_t max_steps) {
    kr_inspect *x;
    if (max_steps < 1 || max_steps > 4096) KR_FAIL(KR_ERR_ARG, "%lld steps to inspect, want 1 to 4096", (long long)max_steps);
    if (!(x = kr_mem_new(sizeof *x))) return KR_ERR_NOMEM;
    kr_status st = kr_model_load(&x->model, path, false, KR_F32, NULL);
    if (st == KR_OK && strcmp(x->model->config.encoder->name, "token") != 0)
        st = kr_fail(KR_ERR_CONFIG, "%s reads no tokens but %s; that is not inspected yet", path, x->model->config.encoder->name);
    if (st == KR_OK) st = read_ids(x, text, n_bytes, max_steps);
    if (st == KR_OK) st = run(x);
    if (st != KR_OK) kr_inspect_free(x);
    else *out = x;
    return st;
}

void kr_inspect_free(kr_inspect *x) {
    if (!x) return;
    kr_graph_free(x->graph);
    kr_model_release(x->model);
    kr_mem_free(x->ids);
    kr_mem_free(x->token);
    kr_mem_free(x);
}

int64_t kr_inspect_steps(const kr_inspect *x) { return x->L; }
const char *kr_inspect_token(const kr_inspect *x, int64_t i) { return x->token[i]; }

const kr_call *kr_inspect_call(const kr_inspect *x, int i, int64_t *layer, const kr_op **op) {
    int block;
    const kr_call *c = i < 0 ? NULL : kr_graph_watched(x->graph, watched, i, &block, op);
    if (c) *layer = block;
    return c;
}

bool kr_inspect_get(const kr_inspect *x, int i, kr_inspect_scan *s) {
    const kr_op *op;
    *s = (kr_inspect_scan){.headdim = 1};
    const kr_call *c = kr_inspect_call(x, i, &s->layer, &op);
    if (!c) return false;
    s->op = op->name;
    if (op == &kr_op_ssd || op == &kr_op_attention) s->n_heads = KR_SIZE(c, 'H'), s->headdim = KR_SIZE(c, 'P');
    else s->n_heads = KR_SIZE(c, 'D');
    if (op != &kr_op_attention) s->d_state = KR_SIZE(c, 'N') * (op == &kr_op_lti_scan && c->in[LTI_AIM].data ? 2 : 1);
    return true;
}

/* --- matrices ------------------------------------------------------------------------------ */

static double softplus(double x) { return x > 20 ? x : log1p(exp(x)); }

double kr_inspect_dt(const kr_op *op, const kr_call *c, int64_t t, int64_t unit) {
    bool ssd = op == &kr_op_ssd;
    const ssd_attr *a = c->attr;
    double dt = (double)(ssd ? kr_inspect_row(c, SSD_DT, t) : kr_inspect_step(c, SCAN_DT, t))[unit] + kr_inspect_at(c, ssd ? SSD_DT_BIAS : SCAN_DT_BIAS, unit);
    if (!ssd) return ((const selective_scan_attr *)c->attr)->dt_softplus ? softplus(dt) : dt;
    if (a->dt_softplus) dt = softplus(dt);
    return dt < a->dt_min ? a->dt_min : dt > a->dt_max ? a->dt_max : dt;
}

/* Adds to alpha; the decay from j to i is a product that grows with i. */
static void alpha_ssd(const kr_call *c, int64_t L, int64_t h, double *alpha) {
    int64_t N = KR_SIZE(c, 'N'), g = h / (KR_SIZE(c, 'H') / KR_SIZE(c, 'G'));
    double A = kr_inspect_at(c, SSD_A, h);
    for (int64_t j = 0; j < L; j++) {
        const float *B = kr_inspect_row(c, SSD_B, j) + g * N;
        double decay = kr_inspect_dt(&kr_op_ssd, c, j, h);
        for (int64_t i = j; i < L; i++) {
            const float *C = kr_inspect_row(c, SSD_C, i) + g * N;
            double dot = 0;
            if (i > j) decay *= exp(A * kr_inspect_dt(&kr_op_ssd, c, i, h));
            for (int64_t n = 0; n < N; n++) dot += (double)C[n] * B[n];
            alpha[i * L + j] += decay * dot;
        }
    }
}

/* The same for one channel with a decay for each number of its state. */
static void alpha_selective(const kr_call *c, int64_t L, int64_t d, double *room, double *alpha) {
    int64_t N = KR_SIZE(c, 'N'), g = d / (KR_SIZE(c, 'D') / KR_SIZE(c, 'G'));
    double *a = room, *w = room + L * N; /* decays of each step; what is left of j's input */
    for (int64_t t = 0; t < L; t++)
        for (int64_t n = 0; n < N; n++) a[t * N + n] = exp(kr_inspect_dt(&kr_op_selective_scan, c, t, d) * kr_inspect_at(c, SCAN_A, d * N + n));
    for (int64_t j = 0; j < L; j++) {
        double dt = kr_inspect_dt(&kr_op_selective_scan, c, j, d);
        for (int64_t n = 0; n < N; n++) w[n] = dt * (double)kr_inspect_step(c, SCAN_B, j)[g * N + n];
        for (int64_t i = j; i < L; i++) {
            const float *C = kr_inspect_step(c, SCAN_C, i) + g * N;
            double sum = 0;
            for (int64_t n = 0; n < N; n++) {
                if (i > j) w[n] *= a[i * N + n];
                sum += w[n] * C[n];
            }
            alpha[i * L + j] += sum;
        }
    }
}

/* A convolution: one number for each distance. */
static void alpha_lti(const kr_call *c, int64_t L, int64_t d, double *kernel, double *alpha) {
    int64_t N = KR_SIZE(c, 'N');
    double twice = c->in[LTI_AIM].data ? 2 : 1;
    for (int64_t l = 0; l < L; l++) kernel[l] = 0;
    for (int64_t k = d * N; k < (d + 1) * N; k++) {
        lti_mode m = lti_discretise(((const lti_scan_attr *)c->attr)->disc, kr_inspect_at(c, LTI_LOG_DT, d), (lti_complex){kr_inspect_at(c, LTI_ARE, k), kr_inspect_at(c, LTI_AIM, k)});
        lti_complex B = {c->in[LTI_BRE].data ? kr_inspect_at(c, LTI_BRE, k) : 1, kr_inspect_at(c, LTI_BIM, k)};
        lti_complex p = lti_mul((lti_complex){twice * kr_inspect_at(c, LTI_CRE, k), twice * kr_inspect_at(c, LTI_CIM, k)}, lti_mul(m.gain, B));
        for (int64_t l = 0; l < L; l++, p = lti_mul(p, m.a)) kernel[l] += p.re;
    }
    for (int64_t i = 0; i < L; i++)
        for (int64_t j = 0; j <= i; j++) alpha[i * L + j] += kernel[i - j];
}

static void alpha_attention(const kr_call *c, int64_t L, int64_t h, double *p, double *alpha) {
    attention_dims d = attention_dims_of(c);
    int64_t g = h / d.R;
    for (int64_t i = 0; i < L; i++) {
        int64_t first = i - d.reach + 1 > 0 ? i - d.reach + 1 : 0, last = d.causal ? i : L - 1;
        const float *q = kr_inspect_row(c, ATTENTION_Q, i) + h * d.P;
        double most = -INFINITY, sum = 0;
        for (int64_t j = first; j <= last; j++) {
            const float *k = kr_inspect_row(c, ATTENTION_K, j) + g * d.P;
            p[j] = 0;
            for (int64_t e = 0; e < d.P; e++) p[j] += (double)q[e] * k[e];
            p[j] *= d.scale;
            most = fmax(most, p[j]);
        }
        for (int64_t j = first; j <= last; j++) sum += p[j] = exp(p[j] - most);
        for (int64_t j = first; j <= last; j++) alpha[i * L + j] += p[j] / sum;
    }
}

static size_t room_for(const kr_op *op, const kr_call *c, int64_t L) {
    return op == &kr_op_selective_scan ? (size_t)((L + 1) * KR_SIZE(c, 'N')) : (size_t)L;
}
static void add_alpha(const kr_op *op, const kr_call *c, int64_t L, int64_t unit, double *room, double *alpha) {
    if (op == &kr_op_ssd) alpha_ssd(c, L, unit, alpha);
    else if (op == &kr_op_selective_scan) alpha_selective(c, L, unit, room, alpha);
    else if (op == &kr_op_lti_scan) alpha_lti(c, L, unit, room, alpha);
    else alpha_attention(c, L, unit, room, alpha);
}

kr_status kr_inspect_want(const kr_inspect *x, int i, int64_t from, int64_t to, kr_inspect_scan *s, const kr_call **c, const kr_op **op) {
    int64_t layer;
    if (!kr_inspect_get(x, i, s) || from < 0 || to > s->n_heads || from >= to)
        KR_FAIL(KR_ERR_ARG, "heads %lld to %lld of scan %d, which has %lld", (long long)from, (long long)to, i, (long long)s->n_heads);
    *c = kr_inspect_call(x, i, &layer, op);
    return KR_OK;
}

kr_status kr_inspect_alpha(const kr_inspect *x, int i, int64_t from, int64_t to, double *alpha) {
    kr_inspect_scan s;
    const kr_op *op = NULL;
    const kr_call *c = NULL;
    int64_t L = x->L;
    KR_TRY(kr_inspect_want(x, i, from, to, &s, &c, &op));
    double *room = kr_mem_array(room_for(op, c, L), sizeof *room);
    if (!room) return KR_ERR_NOMEM;
    memset(alpha, 0, (size_t)(L * L) * sizeof *alpha);
    for (int64_t h = from; h < to; h++) add_alpha(op, c, L, h, room, alpha);
    for (int64_t e = 0; e < L * L; e++) alpha[e] /= (double)(to - from);
    kr_mem_free(room);
    return KR_OK;
}

/* --- do they give y? ------------------------------------------------------------------------- */

/* What channel p of a head reads at step j, and what is added to y for it at the same step. */
static double input_of(const kr_op *op, const kr_call *c, int64_t j, int64_t h, int64_t P, int64_t p, double *skip) {
    int64_t e = h * P + p;
    *skip = 0;
    if (op == &kr_op_attention) return kr_inspect_row(c, ATTENTION_V, j)[h / (KR_SIZE(c, 'H') / KR_SIZE(c, 'G')) * P + p];
    double x = kr_inspect_row(c, 0, op == &kr_op_selective_scan ? scan_row(c, 0, j) : j)[e];
    *skip = x * (op == &kr_op_ssd ? kr_inspect_at(c, SSD_D, h) + kr_inspect_at(c, SSD_DHP, e) : kr_inspect_at(c, op == &kr_op_lti_scan ? LTI_D : SCAN_D, e));
    return x;
}

static double gate_of(const kr_op *op, const kr_call *c, int64_t i, int64_t e) {
    const float *z = op == &kr_op_selective_scan && c->in[SCAN_Z].data ? kr_inspect_step(c, SCAN_Z, i) : NULL;
    return z ? z[e] / (1 + exp(-(double)z[e])) : 1;
}

kr_status kr_inspect_check(const kr_inspect *x, int k, double *error) {
    kr_inspect_scan s;
    const kr_op *op = NULL;
    int64_t layer, L = x->L;
    double num = 0, den = 1e-300;
    if (!kr_inspect_get(x, k, &s)) KR_FAIL(KR_ERR_ARG, "there is no scan %d", k);
    const kr_call *c = kr_inspect_call(x, k, &layer, &op);
    double *alpha = kr_mem_array((size_t)(L * L), sizeof *alpha), *room = kr_mem_array(room_for(op, c, L), sizeof *room);
    for (int64_t h = 0; h < s.n_heads && alpha && room; h++) {
        memset(alpha, 0, (size_t)(L * L) * sizeof *alpha);
        add_alpha(op, c, L, h, room, alpha);
        for (int64_t p = 0; p < s.headdim; p++)
            for (int64_t i = 0; i < L; i++) {
                double y = 0, skip, unused, got = ((const float *)c->out[0].data)[(op == &kr_op_selective_scan ? scan_row(c, 0, i) : i) * s.n_heads * s.headdim + h * s.headdim + p];
                for (int64_t j = 0; j < L; j++) y += alpha[i * L + j] * input_of(op, c, j, h, s.headdim, p, &unused);
                input_of(op, c, i, h, s.headdim, p, &skip);
                y = (y + skip) * gate_of(op, c, i, h * s.headdim + p);
                num += (y - got) * (y - got), den += y * y;
            }
    }
    bool enough = alpha && room;
    kr_mem_free(alpha);
    kr_mem_free(room);
    *error = sqrt(num / den);
    return enough ? KR_OK : KR_ERR_NOMEM;
}
