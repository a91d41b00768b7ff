/* step_out.c - the last product of a mixer and the norm behind it, for steps of decoding.
 *
 *   t   = sum over groups of K of  a W^T / sqrt(sum of the group's q / (K / groups) + eps)
 *   sum = t + b + res        no res: none
 *   y   = sum w              what the next product takes: times a norm's weight, not yet scaled
 *   q1  = sums of sum^2 over 16 columns each
 *
 * What linear and add_rmsnorm give, but for the scale of the next norm, which the next product
 * applies to its own sums; no q: a is normalised already. */
#include "ops/step_out/step_out.h"

KR_REF_DECLARE(step_out_fwd);

static const kr_attr attrs[] = {
    KR_ATTR_REAL(step_out_attr, eps, 1e-5, "added to the mean square"),
    KR_ATTR_INT(step_out_attr, groups, 1, "of columns of a that are normalised each by itself"),
    KR_ATTR_END,
};

static kr_status step_out_plan(kr_call *c) {
    int64_t groups = ((const step_out_attr *)c->attr)->groups, K = KR_SIZE(c, 'K'), J = KR_SIZE(c, 'J');
    if (groups < 1 || K % groups || (c->in[STEP_OUT_Q].n_dims && J % groups))
        KR_FAIL(KR_ERR_ARG, "step_out: K = %lld and the shares of q do not split into %lld groups", (long long)K, (long long)groups);
    KR_SIZE(c, 'I') = (KR_SIZE(c, 'N') + STEP_OUT_PART - 1) / STEP_OUT_PART;
    return KR_OK;
}

static double step_out_flops(const kr_call *c) {
    return 2.0 * (double)(KR_SIZE(c, 'S') * KR_SIZE(c, 'L')) * (double)KR_SIZE(c, 'N') * (double)KR_SIZE(c, 'K');
}

const kr_op kr_op_step_out = {
    .name = "step_out",
    .sig = "a:SLK q?:SLJ@f W:NK@w b?:N@f res?:SLN@f w?:N@f -> sum:SLN@f y:SLN q1:SLI@f",
    .about = "one step of rmsnorm's scale, linear, the residual's sum and the next norm's weight",
    .attr_bytes = sizeof(step_out_attr),
    .attrs = attrs,
    .plan = step_out_plan,
    .fwd = {[KR_REF] = step_out_fwd_ref_f32},
    .fwd_f64 = step_out_fwd_ref_f64,
    .flops = step_out_flops,
};
