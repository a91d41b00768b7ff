/* dialect_bamba.c - Mamba-2 and attention over perceptrons: bamba (one or the other in a layer) and
 * falcon_h1 (both, side by side, with a factor on nearly every tensor). */
#include <math.h>

#include "model/dialect_hybrid.h"

static const kr_row bamba_rows[] = {
    KR_COMMON_ROWS, KR_ATTENTION_ROWS, KR_ATTENTION_BIAS_ROWS, KR_MLP_ROWS, KR_TIME_STEP_ROWS, KR_ROPE_ROWS, KR_MAMBA2_ROWS,
    {"rms_norm_eps", "norm_eps", "1e-5"}, {"rms_norm_eps", "mixer.norm_eps", "1e-5"}, {"attn_layer_indices", NULL, NULL},
    {"attn_rotary_emb", NULL, NULL}, {"z_loss_coefficient", NULL, NULL}, {NULL, NULL, NULL}};

static kr_status bamba(const json_t *j, const char *where, json_t *own) {
    int64_t M = kr_path_int(own, "d_model", 0), H = kr_path_int(own, "mixers.attention.n_head", 32);
    KR_TRY(kr_heads_read(j, where, kr_path_int(own, "mixer.expand", 2) * M, own));
    KR_TRY(kr_rope_read(j, where, 0.5, H > 0 ? M / H : 0, own));
    KR_TRY(kr_want_text(j, "hidden_act", "silu", where));
    for (int64_t i = 0; i < kr_path_int(own, "n_layer", 0); i++)
        KR_TRY(kr_layers_add(own, kr_list_has(json_object_get(j, "attn_layer_indices"), i) ? "attention+mlp" : "mixer+mlp"));
    return KR_OK;
}

static const kr_name_row bamba_names[] = {
    KR_ATTENTION_MAMBA_NAMES,
    {"mixer.", {"mamba."}},
    {"mlp.fc1.", {"feed_forward.up_proj.", "feed_forward.gate_proj."}},
    {"mlp.fc2.", {"feed_forward.down_proj."}},
    {NULL, {NULL}}};

const kr_family kr_family_bamba = {.type = "bamba", .mixer = "mamba2", .rows = bamba_rows, .finish = bamba, .stem = "model.", .names = bamba_names};

/* --- falcon_h1 -------------------------------------------------------------------------------- */

static const kr_row falcon_rows[] = {
    KR_COMMON_ROWS, KR_ATTENTION_ROWS, KR_ATTENTION_BIAS_ROWS, KR_MLP_ROWS, KR_TIME_STEP_ROWS, KR_ROPE_ROWS, KR_MAMBA2_ROWS,
    {"rms_norm_eps", "norm_eps", "1e-5"}, {"rms_norm_eps", "mixer.norm_eps", "1e-5"}, {"head_dim", "mixers.attention.head_dim", NULL},
    {"mamba_d_ssm", "mixer.d_inner", NULL}, {"mamba_rms_norm", "mixer.rmsnorm", "false"},
    {"mamba_norm_before_gate", "mixer.norm_before_gate", "true"}, {"mamba_use_mlp", NULL, NULL}, {"projectors_bias", NULL, NULL},
    {"embedding_multiplier", NULL, NULL}, {"lm_head_multiplier", NULL, NULL}, {"mlp_multipliers", NULL, NULL}, {"key_multiplier", NULL, NULL},
    {"attention_out_multiplier", NULL, NULL}, {"attention_in_multiplier", NULL, NULL}, {"ssm_multipliers", NULL, NULL},
    {"ssm_in_multiplier", NULL, NULL}, {"ssm_out_multiplier", NULL, NULL}, {"mlp_expansion_factor", NULL, NULL}, {NULL, NULL, NULL}};

static kr_status falcon_scales(const json_t *j, json_t *own, int64_t P) {
    static const char *const scales[][2] = {
        {"embedding_multiplier", "encoder.scale"}, {"lm_head_multiplier", "head.scale"}, {"mlp_multipliers.0", "mixers.mlp.gate_scale"},
        {"mlp_multipliers.1", "mixers.mlp.out_scale"}, {"attention_in_multiplier", "mixers.attention.in_scale"},
        {"attention_out_multiplier", "mixers.attention.out_scale"}, {"ssm_in_multiplier", "mixer.in_scale"}, {"ssm_out_multiplier", "mixer.out_scale"},
        {"ssm_multipliers.0", "mixer.z_scale"}, {"ssm_multipliers.1", "mixer.x_scale"}, {"ssm_multipliers.2", "mixer.B_scale"},
        {"ssm_multipliers.3", "mixer.C_scale"}, {"ssm_multipliers.4", "mixer.dt_scale"}};
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) KR_TRY(kr_put_scale(own, scales[i][1], kr_path_real(j, scales[i][0], 1)));
    double key = kr_path_real(j, "key_multiplier", 1); /* keys only meet queries, in products */
    return key == 1 || P < 1 ? KR_OK : kr_path_put(own, "mixers.attention.scale", json_real(key / sqrt((double)P)));
}

static kr_status falcon_h1(const json_t *j, const char *where, json_t *own) {
    int64_t M = kr_path_int(own, "d_model", 0), H = kr_path_int(own, "mixers.attention.n_head", 32);
    int64_t P = kr_path_int(own, "mixers.attention.head_dim", H > 0 ? M / H : 0);
    if (json_is_true(json_object_get(j, "projectors_bias")) != json_is_true(json_object_get(j, "mamba_proj_bias")))
        KR_FAIL(KR_ERR_CONFIG, "%s: projectors_bias and mamba_proj_bias differ, want both or neither", where);
    KR_TRY(kr_heads_read(j, where, kr_path_int(own, "mixer.d_inner", kr_path_int(own, "mixer.expand", 2) * M), own));
    KR_TRY(kr_rope_read(j, where, 1, P, own));
    KR_TRY(kr_want_text(j, "hidden_act", "silu", where));
    KR_TRY(falcon_scales(j, own, P));
    return kr_layers_add(own, "mixer&attention+mlp");
}

static const kr_name_row falcon_names[] = {
    {"backbone.embeddings.", {"model.embed_tokens."}},
    {"backbone.norm_f.", {"model.final_layernorm."}},
    {"norm.", {"input_layernorm."}},
    {"norm2.", {"pre_ff_layernorm."}},
    {"parallel2.mixer.in_proj.", {"self_attn.q_proj.", "self_attn.k_proj.", "self_attn.v_proj."}},
    {"parallel2.mixer.out_proj.", {"self_attn.o_proj."}},
    {"mixer.", {"mamba."}},
    {"mlp.fc1.", {"feed_forward.up_proj.", "feed_forward.gate_proj."}},
    {"mlp.fc2.", {"feed_forward.down_proj."}},
    {NULL, {NULL}}};

const kr_family kr_family_falcon_h1 = {.type = "falcon_h1", .mixer = "mamba2", .rows = falcon_rows, .finish = falcon_h1, .stem = "model.", .names = falcon_names};
