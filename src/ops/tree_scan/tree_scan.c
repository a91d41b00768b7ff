/* tree_scan.c - a selective scan over a tree (GrootV: Xiao et al. 2024): every step hears every other
 * along the one way between them.
 *
 *   w_i = exp(dt_i A),  x_i = dt_i B_i u_i            for each channel and state
 *   h_i = sum over steps j of x_j times the w of all edges between j and i, an edge's being its
 *         lower end's
 *   y_i = C_i . h_i + D u_i
 *
 * in two passes: up, a_i = x_i + sum of w_c a_c over children c; down, h_i = a_i + w_i (h_p - w_i a_i)
 * with p its parent; at a root h = a.  The steps stand so that a parent comes before its children;
 * whose parent is not before him is a root of his own.  dt is taken as it is, softplus and all
 * before.  The map from x to h is symmetric, so backward is the same two passes. */
#include "ops/tree_scan/tree_scan.h"

KR_REF_DECLARE(tree_scan_fwd);
KR_REF_DECLARE(tree_scan_bwd);
KR_VEC_DECLARE(tree_scan_fwd);
KR_VEC_DECLARE(tree_scan_bwd);

static kr_status tree_scan_plan(kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), N = KR_SIZE(c, 'N'), blocks = (D + TREE_SCAN_BLOCK - 1) / TREE_SCAN_BLOCK;
    size_t one = (size_t)(L * TREE_SCAN_BLOCK) * sizeof(double);
    c->fwd_scratch = (size_t)c->n_threads * 2 * one; /* a reference has doubles; a float kernel half of that */
    c->bwd_scratch = (size_t)c->n_threads * 7 * one + (size_t)(S * (blocks * 2 * L * N + D * (N + 1))) * sizeof(float);
    return KR_OK;
}

const kr_op kr_op_tree_scan = {
    .name = "tree_scan",
    .sig = "u:SLD dt:SLD A:DN@f B:SLN C:SLN D?:D@f parent:SL@i -> y:SLD",
    .about = "a selective scan along all ways of a tree",
    .plan = tree_scan_plan,
    .fwd = {[KR_REF] = tree_scan_fwd_ref_f32, KR_VEC_IMPLS(tree_scan_fwd)},
    .bwd = {[KR_REF] = tree_scan_bwd_ref_f32, KR_VEC_IMPLS(tree_scan_bwd)},
    .fwd_f64 = tree_scan_fwd_ref_f64,
    .bwd_f64 = tree_scan_bwd_ref_f64,
    .bwd_in = 0x7f,
    .no_grad = 1 << TREE_SCAN_PARENT,
};
