/* selective_scan.c - the selective scan of Mamba-1, S6 (Gu & Dao 2023, algorithm 2).
 *
 *   dt[t] = softplus(dt[t] + dt_bias)
 *   h[t]  = exp(dt[t] A) h[t-1] + dt[t] B[t] u[t]          h[-1] = h0, h = h[L-1]
 *   y[t]  = (C[t] . h[t] + D u[t]) silu(z[t])
 *
 * for each sequence S and channel D on its own, with N states.  The D/G channels of a group
 * share B and C; G = D gives each its own.  Where seq_idx changes, another sequence begins
 * and h[t-1] is zero.
 *
 * With `order`, a permutation of the rows, step t is row order[t]: dt[t] stands for row order[t] of
 * dt, and so do u, B, C, z, y and all gradients.  seq_idx goes by steps still. */
#include "ops/selective_scan/selective_scan.h"

KR_REF_DECLARE(selective_scan_fwd);
KR_REF_DECLARE(selective_scan_bwd);
KR_VEC_DECLARE(selective_scan_fwd);
KR_VEC_DECLARE(selective_scan_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_INT(selective_scan_attr, dt_softplus, 1, "1: dt goes through softplus first"),
    KR_ATTR_INT(selective_scan_attr, form, 0, "0: fast, 1: sequential, 2: Blelloch's tree, 3: chunked"),
    KR_ATTR_END,
};

static int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

scan_grid scan_grid_of(const kr_call *c) {
    scan_grid g = {
        .S = KR_SIZE(c, 'S'), .L = KR_SIZE(c, 'L'), .D = KR_SIZE(c, 'D'), .G = KR_SIZE(c, 'G'), .N = KR_SIZE(c, 'N')};
    g.per_group = g.D / g.G;
    g.shared = g.per_group >= SCAN_LANES;
    g.width = SCAN_LANES;
    g.n_tiles = divide_up(g.G, SCAN_LANES / (g.shared ? SCAN_LANES : g.per_group));
    if (g.shared) { /* wide tiles read whole cache lines and sum dB sooner: as wide as leaves enough of them */
        int64_t width = SCAN_MAX_WIDTH;
        while (width > SCAN_LANES && g.S * g.G * divide_up(g.per_group, width) < 8) width /= 2;
        int64_t in_group = divide_up(g.per_group, width);
        g.width = divide_up(divide_up(g.per_group, in_group), SCAN_LANES) * SCAN_LANES;
        g.n_tiles = g.G * divide_up(g.per_group, g.width);
    }
    g.n_chunks = divide_up(g.L, SCAN_CHUNK);
    /* segments cost a second pass, so only where a few threads would otherwise stand idle */
    int64_t wanted = g.S * g.n_tiles < 4 && g.L >= 1024 ? g.L / 512 : 1;
    if (wanted > SCAN_MAX_SEGMENTS) wanted = SCAN_MAX_SEGMENTS;
    g.seg = divide_up(divide_up(g.L, wanted), SCAN_CHUNK) * SCAN_CHUNK;
    g.n_segs = divide_up(g.L, g.seg);
    return g;
}

static int64_t segment_floats(const scan_grid *g) { return g->S * g->n_tiles * g->n_segs * g->N * g->width; }
int64_t scan_fwd_shared_floats(const scan_grid *g) {
    return g->n_tiles * g->N * g->width + (g->n_segs > 1 ? 2 : 1) * segment_floats(g);
}
int64_t scan_fwd_floats(const scan_grid *g) {
    return 3 * SCAN_CHUNK * g->width + SCAN_BAND * g->width + 2 * g->N * SCAN_LANES + SCAN_CHUNK;
}
int64_t scan_bwd_sum_floats(const scan_grid *g, int n_threads) {
    bool several = n_threads > 1 || g->n_tiles > SCAN_BAND;
    return g->shared && several && g->n_tiles > g->G ? g->n_tiles * g->S * g->L * g->N : 0;
}
int64_t scan_bwd_shared_floats(const scan_grid *g, int n_threads) {
    int64_t parts = g->S * g->n_tiles * g->n_segs;
    return g->n_tiles * g->N * g->width + 2 * scan_bwd_sum_floats(g, n_threads) + 3 * segment_floats(g) +
           2 * parts * g->width;
}
int64_t scan_bwd_floats(const scan_grid *g) {
    return (g->N + 7 * SCAN_CHUNK + SCAN_BAND) * g->width + (4 * SCAN_CHUNK + 5) * g->N * SCAN_LANES +
           2 * SCAN_BAND * SCAN_CHUNK * g->N + SCAN_CHUNK;
}

static kr_status selective_scan_plan(kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), G = KR_SIZE(c, 'G'), N = KR_SIZE(c, 'N');
    int64_t form = ((const selective_scan_attr *)c->attr)->form;
    if (S == 0 || L == 0 || D == 0 || N == 0 || G == 0)
        KR_FAIL(KR_ERR_SHAPE, "selective_scan: S=%lld, L=%lld, D=%lld, G=%lld, N=%lld, want none empty", (long long)S,
                (long long)L, (long long)D, (long long)G, (long long)N);
    if (D % G != 0)
        KR_FAIL(KR_ERR_SHAPE, "selective_scan: D=%lld channels do not split into G=%lld groups", (long long)D,
                (long long)G);
    if (form < SCAN_FAST || form > SCAN_CHUNKED)
        KR_FAIL(KR_ERR_ARG, "selective_scan: form is %lld, want 0 to 3", (long long)form);
    scan_grid g = scan_grid_of(c);
    size_t real = kr_dtype_bytes(c->in[SCAN_U].dtype);
    /* the references: h[L] and at most 2 L + 1 pairs, or h[N]; dh[N] and the states of one channel */
    size_t ref_fwd = (size_t)(form > SCAN_SEQUENTIAL ? 5 * L + 16 : N) * real, ref_bwd = (size_t)((L + 2) * N) * real;
    size_t fwd = (size_t)(scan_fwd_shared_floats(&g) + c->n_threads * scan_fwd_floats(&g)) * sizeof(float);
    int64_t shared = scan_bwd_shared_floats(&g, c->n_threads);
    size_t bwd = (size_t)(shared + c->n_threads * scan_bwd_floats(&g)) * sizeof(float);
    c->fwd_scratch = ref_fwd > fwd ? ref_fwd : fwd;
    c->bwd_scratch = ref_bwd > bwd ? ref_bwd : bwd;
    if (c->training) c->saved_bytes = (size_t)(g.S * g.n_tiles * (g.n_chunks - 1) * g.N * g.width) * sizeof(float);
    return KR_OK;
}

/* A state and step: an exp is 20 (its polynomial and scaling), a h + b u and C h 6. */
static double selective_scan_flops(const kr_call *c) {
    return 26.0 * (double)(KR_SIZE(c, 'S') * KR_SIZE(c, 'L') * KR_SIZE(c, 'D')) * (double)KR_SIZE(c, 'N');
}

const kr_op kr_op_selective_scan = {
    .name = "selective_scan",
    .sig = "u:SLD dt:SLD A:DN@f B:SLGN C:SLGN D?:D@f z?:SLD dt_bias?:D@f h0?:SDN@s seq_idx?:SL@i order?:L@i -> y:SLD h:SDN@s",
    .about = "the selective scan of Mamba-1: a diagonal SSM whose dt, B and C depend on time",
    .attr_bytes = sizeof(selective_scan_attr),
    .attrs = attrs,
    .plan = selective_scan_plan,
    .fwd = {[KR_REF] = selective_scan_fwd_ref_f32, KR_VEC_IMPLS(selective_scan_fwd)},
    .bwd = {[KR_REF] = selective_scan_bwd_ref_f32, KR_VEC_IMPLS(selective_scan_bwd)},
    .fwd_f64 = selective_scan_fwd_ref_f64,
    .bwd_f64 = selective_scan_bwd_ref_f64,
    .bwd_in = (1 << (SCAN_ORDER + 1)) - 1,
    .no_grad = 1 << SCAN_SEQ_IDX | 1 << SCAN_ORDER,
    .state = {{SCAN_H0 + 1, SCAN_H + 1}},
    .may_alias = 1 << SCAN_H,
    .flops = selective_scan_flops,
};
