/* mixer_mamba3.c - the Mamba-3 mixer, with one input and one output a head, or mimo_rank of both
 * (Lahoti et al. 2026).
 *
 *   z, x, B, C, dt, A, trap, angle = u W_in      one product, split by width
 *   k, q  = B and C, normalised, with a bias for each head, turned by angles that add up (rotary_bc)
 *   S_t   = e^(A dt) S_{t-1} + beta_t x_{t-1} k_{t-1}' + gamma_t x_t k_t'     the trapezoid's rule (trapezoid)
 *   y     = S q + D x, times silu(z); with is_outproj_norm normalised by head before the gate
 *   out   = y W_out
 *
 * There is no convolution: the rule sees two steps.  The recurrence is ssd with inputs that
 * bring ahead what the next step would add, less what step t must not see yet.
 *
 * With mimo_rank R: v_r = x mimo_x_r and z_r = z mimo_z_r stand for x and z, B and C have R rows, and
 *
 *   S_t = e^(A dt) S_{t-1} + sum over r of (beta_t v_r k_r' of step t - 1, and gamma_t v_r k_r')
 *   y_r = (S q_r + D v_r) silu(z_r),   out = (sum over r of mimo_o_r y_r) W_out
 *
 * The scan takes the R inputs of a step one behind the other: see mimo().
 *
 * DenseSSM (memory_dense.c) reads the states of a shallower layer by this layer's C: a state turns by its own layer's
 * angles, so this layer's C is turned by those, too, and the rest is that layer's scan. */
#include <stdio.h>

#include "ops/binary/binary.h"
#include "ops/binary_row/binary_row.h"
#include "ops/gated_rmsnorm/gated_rmsnorm.h"
#include "ops/ops.h"
#include "ops/rank_mix/rank_mix.h"
#include "ops/rmsnorm/rmsnorm.h"
#include "ops/rotary_bc/rotary_bc.h"
#include "ops/slice_steps/slice_steps.h"
#include "ops/ssd/ssd.h"
#include "ops/trapezoid/trapezoid.h"
#include "ops/unary/unary.h"
#include "parts/part.h"

typedef struct mamba3 {
    int64_t d_state, expand, d_inner, headdim, ngroups, mimo_rank, chunk_size;
    double rope_fraction, dt_min, dt_max, dt_init_floor, A_floor, norm_eps;
    bool is_outproj_norm, rope_halves;
} mamba3;

static const kr_key keys[] = {
    KR_KEY_INT(mamba3, d_state, 128, 2, 512, "size N of a head's state, per channel; even"),
    KR_KEY_INT(mamba3, expand, 2, 1, 64, "inner width over d_model"),
    KR_KEY_INT(mamba3, d_inner, 0, 0, 1 << 24, "inner width; 0: expand * d_model"),
    KR_KEY_INT(mamba3, headdim, 64, 1, 4096, "width P of a head"),
    KR_KEY_INT(mamba3, ngroups, 1, 1, 4096, "groups G of heads that share B and C before their biases"),
    KR_KEY_INT(mamba3, mimo_rank, 0, 0, RANK_MIX_MOST, "inputs and outputs R of a head; 0: one of each, without factors of their own"),
    KR_KEY_REAL(mamba3, rope_fraction, 0.5, 0, 1, "part of the state that turns"),
    KR_KEY_BOOL(mamba3, rope_halves, false, "pairs are i and i + N/2 (as the published MIMO models), not 2i and 2i + 1"),
    KR_KEY_REAL(mamba3, dt_min, 1e-3, 0, 1e3, "least step size drawn at initialisation"),
    KR_KEY_REAL(mamba3, dt_max, 0.1, 0, 1e3, "largest step size drawn at initialisation"),
    KR_KEY_REAL(mamba3, dt_init_floor, 1e-4, 0, 1e3, "lower bound of the drawn step sizes"),
    KR_KEY_REAL(mamba3, A_floor, 1e-4, 1e-30, 1e3, "least decay rate"),
    KR_KEY_REAL(mamba3, norm_eps, 1e-5, 0, 1, "epsilon of the norms inside"),
    KR_KEY_BOOL(mamba3, is_outproj_norm, false, "each head is normalised before its gate"),
    KR_KEY_INT(mamba3, chunk_size, 0, 0, 1 << 16, "steps computed as one block; 0: what is fastest here; the result is the same"),
    KR_KEY_END};

static kr_node *ones(kr_build *b, const char *scope, const char *name, int n_dims, const int64_t *dim) {
    if (scope) kr_scope_push(b->g, scope);
    kr_node *w = kr_weight(b->g, name, KR_NO_DECAY, n_dims, dim, (kr_init){KR_INIT_CONST, 1, 0, 0, NULL});
    if (scope) kr_scope_pop(b->g);
    return w;
}

/* rmsnorm over N of each group, [S, L, G, N]. */
static kr_node *normed(kr_build *b, kr_node *x, const char *name, int64_t G, int64_t N, double eps) {
    rmsnorm_attr a = {.eps = eps};
    if (G > 1) x = kr_split_last(b, kr_act(b, x, KR_UNARY_COPY), G, N); /* rows of a slice lie apart, its groups do not */
    x = KR_APPLY(b->g, rmsnorm, &a, x, ones(b, name, "weight", 1, &N));
    return G > 1 ? x : kr_split_last(b, x, 1, N);
}

static kr_node *times(kr_build *b, kr_node *x, kr_node *y) {
    binary_attr mul = {.kind = KR_BINARY_MUL};
    return KR_APPLY(b->g, binary, &mul, x, y);
}
static kr_node *step_of(kr_build *b, kr_node *x, int64_t at, int64_t width) {
    slice_steps_attr a = {.start = at, .count = 1};
    return KR_APPLY(b->g, slice_steps, &a, kr_reshape(b->g, x, 3, KR_DIMS(b->S, b->L, width)));
}

/* The state before the first step, with what the step before that one brings into it:
 * (1 - lam_1) step_1 x_0 k_0' for each of the R inputs (the decay of step 1 is still to come). */
static kr_node *carried(kr_build *b, kr_node *state, kr_node *trap, kr_node *step, kr_node *const *k, kr_node *const *x, int R, int64_t H, int64_t P, int64_t N) {
    unary_attr minus = {.kind = KR_UNARY_SCALE, .alpha = -1};
    kr_node *weight = times(b, kr_act(b, KR_APPLY(b->g, unary, &minus, trap), KR_UNARY_SIGMOID), step);
    weight = kr_reshape(b->g, step_of(b, weight, 0, H), 2, KR_DIMS(b->S, H));
    for (int r = 0; r < R; r++) {
        char name[2][24] = {"k_state", "x_state"};
        if (r) snprintf(name[0], sizeof name[0], "k_state_%d", r), snprintf(name[1], sizeof name[1], "x_state_%d", r);
        kr_node *k0 = kr_state(b->g, name[0], 3, KR_DIMS(b->S, 1, H * N)), *x0 = kr_state(b->g, name[1], 3, KR_DIMS(b->S, 1, H * P));
        kr_state_set_next(b->g, k0, step_of(b, k[r], -1, H * N));
        kr_state_set_next(b->g, x0, step_of(b, x[r], -1, H * P));
        state = KR_APPLY(b->g, outer_add, NULL, state, weight, kr_reshape(b->g, x0, 3, KR_DIMS(b->S, H, P)), kr_reshape(b->g, k0, 3, KR_DIMS(b->S, H, N)));
    }
    return state;
}

/* What is known of the layer on the way through it, and by deeper layers that read its states. */
typedef struct flow {
    const mamba3 *o;
    int64_t E, P, H, G, N, J, W; /* W: columns of B, and of C */
    int R;
    kr_node *p, *x, *trap, *angle, *phi;
    kr_node *t[KR_MAX_OUT];      /* of trapezoid */
    kr_node *bc[2][RANK_MIX_MOST], *bias[2][RANK_MIX_MOST]; /* B and C, normalised, and their biases */
    kr_node *k[RANK_MIX_MOST], *v[RANK_MIX_MOST];
    kr_node *state, *h0;
} flow;

/* How the states of a layer are read: C turned by that layer's angles, and k.q. */
typedef struct query { kr_node *q[RANK_MIX_MOST], *kq; bool own; } query;

/* [H, n] of rank r out of a parameter [H, R, n]. */
static kr_node *rank_of(kr_build *b, kr_node *w, int64_t H, int R, int r, int64_t n) {
    w = kr_reshape(b->g, w, 2, KR_DIMS(H, R * n));
    return R == 1 ? w : kr_act(b, kr_columns(b->g, w, r * n, n), KR_UNARY_COPY);
}
static kr_node *rank_param(kr_build *b, const char *name, const flow *f, float value) {
    return kr_weight(b->g, name, KR_NO_DECAY, 3, KR_DIMS(f->H, f->R, f->P), (kr_init){KR_INIT_CONST, value, 0, 0, NULL});
}
/* x [..., E] times the factors of rank r. */
static kr_node *rank_times(kr_build *b, kr_node *x, kr_node *w, const flow *f, int r) {
    binary_row_attr mul = {.kind = KR_BINARY_ROW_MUL};
    return KR_APPLY(b->g, binary_row, &mul, x, kr_reshape(b->g, rank_of(b, w, f->H, f->R, r, f->P), 1, &f->E));
}

/* B and C: a norm for all, and for each rank a bias. */
static void keys_and_queries(kr_build *b, flow *f) {
    kr_node *bc[2], *bias[2];
    for (int i = 0; i < 2; i++) {
        bc[i] = normed(b, kr_columns(b->g, f->p, 2 * f->E + i * f->W, f->W), i ? "C_norm" : "B_norm", f->R * f->G, f->N, f->o->norm_eps);
        bc[i] = kr_reshape(b->g, bc[i], 3, KR_DIMS(b->S, b->L, f->W));
    }
    for (int i = 0; i < 2; i++) bias[i] = ones(b, NULL, i ? "C_bias" : "B_bias", 3, KR_DIMS(f->H, f->R, f->N));
    for (int r = 0; r < f->R; r++)
        for (int i = 0; i < 2; i++) {
            f->bc[i][r] = kr_split_last(b, kr_columns(b->g, bc[i], r * f->G * f->N, f->G * f->N), f->G, f->N);
            f->bias[i][r] = rank_of(b, bias[i], f->H, f->R, r, f->N);
        }
}

/* The keys of `from` and the queries of `by`, turned by the angles of `from`. */
static query turned(kr_build *b, flow *from, const flow *by) {
    query q = {.own = from == by};
    rotary_bc_attr ra = {.halves = from->o->rope_halves};
    for (int r = 0; r < from->R; r++) {
        kr_node *out[KR_MAX_OUT] = {NULL};
        kr_apply(b->g, &kr_op_rotary_bc, &ra, (kr_node *const[KR_MAX_IN]){from->bc[0][r], by->bc[1][r], from->bias[0][r], by->bias[1][r],
                 from->angle, from->t[TRAPEZOID_STEP], from->phi, b->seq_idx}, out);
        q.q[r] = out[ROTARY_Q];
        if (r == 0) q.kq = out[ROTARY_KQ];
        if (q.own) from->k[r] = out[ROTARY_K];
        if (q.own && r == 0 && from->phi && out[ROTARY_PHI]) kr_state_set_next(b->g, from->phi, out[ROTARY_PHI]);
    }
    return q;
}

static kr_node *scan(kr_build *b, const flow *f, const query *by, kr_node *x, kr_node *dt, kr_node *k, kr_node *q) {
    kr_node *out[KR_MAX_OUT] = {NULL};
    ssd_attr a;
    kr_attr_defaults(&kr_op_ssd, &a);
    a.dt_softplus = 0;
    a.dt_max = INFINITY;
    a.chunk_size = f->o->chunk_size;
    kr_node *unit = kr_act(b, kr_input(b->g, "zero", KR_F32, 1, &f->H), KR_UNARY_NEG_EXP); /* -1: inputs start as zeros */
    kr_node *y = kr_apply(b->g, &kr_op_ssd, &a, (kr_node *const[KR_MAX_IN]){[SSD_X] = x, [SSD_DT] = dt, [SSD_A] = unit, [SSD_B] = k, [SSD_C] = q,
                          [SSD_H0] = f->h0, [SSD_SEQ_IDX] = b->seq_idx}, out);
    if (y && by->own && f->state) kr_state_set_next(b->g, f->state, out[SSD_H]);
    return y;
}

/* One input and one output: y + (D - ahead k.q) x; D is the layer's own. */
static kr_node *siso(kr_build *b, const flow *f, const query *q) {
    binary_attr sub = {.kind = KR_BINARY_SUB};
    binary_row_attr less = {.kind = KR_BINARY_ROW_SUB};
    kr_node *y = scan(b, f, q, KR_APPLY(b->g, scale_heads, NULL, f->x, f->t[TRAPEZOID_RATIO]), f->t[TRAPEZOID_DECAY], f->k[0], q->q[0]);
    kr_node *early = times(b, f->t[TRAPEZOID_AHEAD], q->kq);
    if (q->own) early = KR_APPLY(b->g, binary_row, &less, early, ones(b, NULL, "D", 1, &f->H));
    return KR_APPLY(b->g, binary, &sub, y, KR_APPLY(b->g, scale_heads, NULL, f->x, early));
}

/* R tensors [S, L, ...] of `width` as one [S, L, R width]. */
static kr_node *joined(kr_build *b, kr_node *const *x, int R, int64_t width) {
    kr_node *y = kr_reshape(b->g, x[0], 3, KR_DIMS(b->S, b->L, width));
    for (int r = 1; r < R; r++) y = KR_APPLY(b->g, concat, NULL, y, kr_reshape(b->g, x[r], 3, KR_DIMS(b->S, b->L, width)));
    return y;
}
static kr_node *repeated(kr_build *b, kr_node *x, int R, int64_t width) {
    kr_node *all[RANK_MIX_MOST] = {NULL};
    for (int r = 0; r < R; r++) all[r] = x;
    return joined(b, all, R, width);
}
/* x [..., R H] times one factor for each rank. */
static kr_node *by_rank(kr_build *b, kr_node *x, const double *factor, int R, int64_t H) {
    binary_row_attr mul = {.kind = KR_BINARY_ROW_MUL};
    kr_piece piece[RANK_MIX_MOST];
    for (int r = 0; r < R; r++) piece[r] = (kr_piece){H, (float)factor[r]};
    return KR_APPLY(b->g, binary_row, &mul, x, kr_const_pieces(b->g, piece, R));
}

/* A step is R steps of the scan.  All but 2^-10 of its decay lies before the first input; the rest,
 * e = 2^-10 decay before each other one, is made up for: input r is raised by exp(e (R - 1 - r)), and what
 * output j reads is lowered by exp(e (R - 1 - j)).  So all R outputs see the state of the end of the step,
 * but for the inputs behind them, which rank_mix adds. */
static kr_node *mimo(kr_build *b, const flow *f, const query *by) {
    kr_graph *g = b->g;
    const int R = f->R;
    const double small = 1. / 1024;
    double part[RANK_MIX_MOST] = {0}, inverse[RANK_MIX_MOST] = {0}, up[RANK_MIX_MOST] = {0}, down[RANK_MIX_MOST] = {0};
    for (int r = 0; r < R; r++) {
        part[r] = r ? small : 1 - (R - 1) * small;
        inverse[r] = 1 / part[r];
        up[r] = small * (R - 1 - r);
        down[r] = -up[r];
    }
    int64_t S = b->S, L = b->L, H = f->H, P = f->P, N = f->N;
    kr_node *decay = repeated(b, f->t[TRAPEZOID_DECAY], R, H), *raised = kr_act(b, by_rank(b, decay, up, R, H), KR_UNARY_EXP);
    kr_node *in = by_rank(b, times(b, repeated(b, f->t[TRAPEZOID_RATIO], R, H), raised), inverse, R, H);
    kr_node *lowered = kr_act(b, by_rank(b, decay, down, R, H), KR_UNARY_EXP), *dt = by_rank(b, decay, part, R, H);
    kr_node *v = joined(b, f->v, R, f->E), *k = joined(b, f->k, R, H * N), *q = joined(b, by->q, R, H * N);
    const int64_t *heads = KR_DIMS(S, L * R, H), *of_p = KR_DIMS(S, L * R, H, P), *of_n = KR_DIMS(S, L * R, H, N);
    kr_node *x = KR_APPLY(g, scale_heads, NULL, kr_reshape(g, v, 4, of_p), kr_reshape(g, in, 3, heads));
    kr_node *read = KR_APPLY(g, scale_heads, NULL, kr_reshape(g, q, 4, of_n), kr_reshape(g, lowered, 3, heads));
    kr_node *y = scan(b, f, by, x, kr_reshape(g, dt, 3, heads), kr_reshape(g, k, 4, of_n), read);
    const int64_t *rp = KR_DIMS(S, L, R, H, P), *rn = KR_DIMS(S, L, R, H, N);
    kr_node *mix = KR_APPLY(g, rank_mix, NULL, kr_reshape(g, v, 5, rp), kr_reshape(g, k, 5, rn), kr_reshape(g, q, 5, rn),
                            times(b, f->t[TRAPEZOID_RATIO], f->t[TRAPEZOID_DECAY]), f->t[TRAPEZOID_AHEAD], by->own ? ones(b, NULL, "D", 1, &H) : kr_const_pieces(g, &(kr_piece){H, 0}, 1));
    return kr_add(b, kr_reshape(g, y, 5, rp), mix);
}

/* kr_scan.read: what the C of `by` reads out of the states of `from`, [S, L, R E]. */
static kr_node *read_states(kr_build *b, const kr_scan *from, const kr_scan *by) {
    flow *f = (flow *)from->flow;
    query q = turned(b, f, by->flow);
    if (q.own) f->h0 = f->state ? carried(b, f->state, f->trap, f->t[TRAPEZOID_STEP], f->k, f->v, f->R, f->H, f->P, f->N) : NULL;
    return kr_reshape(b->g, f->o->mimo_rank ? mimo(b, f, &q) : siso(b, f, &q), 3, KR_DIMS(b->S, b->L, f->R * f->E));
}

/* y [S, L, E] by its gate. */
static kr_node *gated(kr_build *b, const mamba3 *o, const flow *f, kr_node *y, kr_node *z) {
    gated_rmsnorm_attr n = {.eps = o->norm_eps, .group_size = f->P, .norm_before_gate = true};
    if (!o->is_outproj_norm) return times(b, y, kr_act(b, z, KR_UNARY_SILU));
    return KR_APPLY(b->g, gated_rmsnorm, &n, y, z, ones(b, "norm", "weight", 1, &f->E));
}

static kr_node *wrong(kr_build *b, const flow *f) {
    const mamba3 *o = f->o;
    if (f->E % f->P) return kr_graph_fail(b->g, KR_ERR_CONFIG, "mamba3: d_inner %lld is not a number of heads of headdim %lld", (long long)f->E, (long long)f->P);
    if (f->H % f->G) return kr_graph_fail(b->g, KR_ERR_CONFIG, "mamba3: %lld heads do not split into ngroups %lld", (long long)f->H, (long long)f->G);
    if (f->N % 2 || f->J < 1) return kr_graph_fail(b->g, KR_ERR_CONFIG, "mamba3: d_state %lld with rope_fraction %g turns no pair; want d_state even and a pair at least", (long long)f->N, o->rope_fraction);
    return kr_graph_fail(b->g, KR_ERR_CONFIG, "mamba3: with mimo_rank a row is one document; packed ones are not taken");
}

static kr_node *build(kr_build *b, const void *opt, kr_node *u) {
    const mamba3 *o = opt;
    kr_graph *g = b->g;
    flow *f = kr_graph_room(g, sizeof *f);
    if (!f) return NULL;
    *f = (flow){.o = o, .E = o->d_inner ? o->d_inner : o->expand * b->d_model, .P = o->headdim, .G = o->ngroups, .N = o->d_state, .R = o->mimo_rank ? (int)o->mimo_rank : 1};
    f->H = f->E / f->P, f->W = f->R * f->G * f->N, f->J = (int64_t)((double)f->N * o->rope_fraction) / 2;
    int64_t E = f->E, H = f->H, at = 2 * E + 2 * f->W;
    bool many = o->mimo_rank > 0;
    if (E % f->P || H % f->G || f->N % 2 || f->J < 1 || (many && b->seq_idx)) return wrong(b, f);

    f->p = kr_linear(b, u, "in_proj", at + 3 * H + f->J, false);
    f->x = kr_split_last(b, kr_columns(g, f->p, E, E), H, f->P), f->trap = kr_columns(g, f->p, at + 2 * H, H), f->angle = kr_columns(g, f->p, at + 3 * H, f->J);
    kr_node *z = kr_columns(g, f->p, 0, E), *x = kr_columns(g, f->p, E, E), *mimo_z = NULL, *mimo_o = NULL, *out[KR_MAX_OUT], *sum = NULL;
    kr_node *dt_bias = kr_weight(g, "dt_bias", KR_NO_DECAY, 1, &H, (kr_init){KR_INIT_DT_BIAS, o->dt_min, o->dt_max, o->dt_init_floor, NULL});
    trapezoid_attr ta = {.A_floor = o->A_floor};
    kr_apply(g, &kr_op_trapezoid, &ta, (kr_node *const[KR_MAX_IN]){kr_columns(g, f->p, at, H), kr_columns(g, f->p, at + H, H), f->trap, dt_bias, b->seq_idx}, f->t);
    f->phi = b->stateful ? kr_state(g, "angle_state", 3, KR_DIMS(b->S, H, f->J)) : NULL;
    keys_and_queries(b, f);
    if (many) {
        kr_node *mimo_x = rank_param(b, "mimo_x", f, 1 / (float)f->R);
        mimo_z = rank_param(b, "mimo_z", f, 1), mimo_o = rank_param(b, "mimo_o", f, 1 / (float)f->R);
        for (int r = 0; r < f->R; r++) f->v[r] = rank_times(b, x, mimo_x, f, r);
    } else if (b->stateful) {
        f->v[0] = kr_act(b, x, KR_UNARY_COPY);
    }
    f->state = b->stateful ? kr_state(g, "ssm_state", 4, KR_DIMS(b->S, H, f->P, f->N)) : NULL;

    kr_scan s = {.op = &kr_op_ssd, .u = u, .E = E, .ranks = f->R, .read = read_states, .flow = f, .in = {[SSD_X] = f->x, [SSD_C] = f->bc[1][0]}};
    kr_node *y = kr_has_memory(b) ? kr_read_out(b, &s, out) : read_states(b, &s, &s);
    if (!many) return kr_linear_out(b, gated(b, o, f, y, z), "out_proj", b->d_model, false);
    for (int r = 0; r < f->R; r++) {
        kr_node *part = rank_times(b, gated(b, o, f, kr_columns(g, y, r * E, E), rank_times(b, z, mimo_z, f, r)), mimo_o, f, r);
        sum = sum ? kr_add(b, sum, part) : part;
    }
    return kr_linear_out(b, sum, "out_proj", b->d_model, false);
}

const kr_part kr_part_mixer_mamba3 = {.kind = "mixer", .name = "mamba3", .about = "trapezoidal rule, turning states, no convolution; one input and output a head, or several",
                                      .bytes = sizeof(mamba3), .keys = keys, .causal = true, .build = build};
