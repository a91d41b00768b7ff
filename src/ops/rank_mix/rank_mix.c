/* rank_mix.c - what the R inputs of one step of Mamba-3 (MIMO) give its R outputs beside the state.
 *
 *   y_j = D v_j + sum over r of ((all if r > j) - ahead) (k_r . q_j) v_r
 *
 * A scan that takes the inputs of a step one behind the other shows output j those up to j, each
 * with the weight `all`, of which `ahead` belongs to the next step: this adds what is missing and
 * takes off what is too much. */
#include "ops/rank_mix/rank_mix.h"

#include "ops/rows.h"

KR_REF_DECLARE(rank_mix_fwd);
KR_REF_DECLARE(rank_mix_bwd);
KR_VEC_DECLARE(rank_mix_fwd);
KR_VEC_DECLARE(rank_mix_bwd);

static kr_status rank_mix_plan(kr_call *c) {
    if (KR_SIZE(c, 'R') > RANK_MIX_MOST) KR_FAIL(KR_ERR_SHAPE, "rank_mix: R is %lld, at most %d", (long long)KR_SIZE(c, 'R'), RANK_MIX_MOST);
    c->bwd_scratch = rows_part_bytes(KR_SIZE(c, 'S') * KR_SIZE(c, 'L'), KR_SIZE(c, 'H')); /* dD */
    return KR_OK;
}

const kr_op kr_op_rank_mix = {
    .name = "rank_mix",
    .sig = "v:SLRHP k:SLRHN q:SLRHN all:SLH ahead:SLH D:H@f -> y:SLRHP",
    .about = "y_j = D v_j + sum over r of ((all if r > j) - ahead) (k_r . q_j) v_r",
    .plan = rank_mix_plan,
    .fwd = {[KR_REF] = rank_mix_fwd_ref_f32, KR_VEC_IMPLS(rank_mix_fwd)},
    .bwd = {[KR_REF] = rank_mix_bwd_ref_f32, KR_VEC_IMPLS(rank_mix_bwd)},
    .fwd_f64 = rank_mix_fwd_ref_f64,
    .bwd_f64 = rank_mix_bwd_ref_f64,
    .bwd_in = 1 << RANK_MIX_V | 1 << RANK_MIX_K | 1 << RANK_MIX_Q | 1 << RANK_MIX_ALL | 1 << RANK_MIX_AHEAD | 1 << RANK_MIX_D,
};
