/* dialect_jamba.c - jamba: Mamba-1 whose dt, B and C are normalised, attention without positions,
 * and every few layers a mixture of experts where others have a perceptron. */
#include "model/dialect_hybrid.h"

static const kr_row rows[] = {
    KR_COMMON_ROWS, KR_ATTENTION_ROWS, {"intermediate_size", "mixers.mlp.d_ff", NULL}, {"intermediate_size", "mixers.moe.d_ff", NULL},
    {"rms_norm_eps", "norm_eps", "1e-6"}, {"rms_norm_eps", "mixer.bc_dt_rms_eps", "1e-6"}, {"mamba_expand", "mixer.expand", "2"},
    {"mamba_d_conv", "mixer.d_conv", "4"}, {"mamba_d_state", "mixer.d_state", "16"}, {"mamba_dt_rank", NULL, NULL},
    {"mamba_conv_bias", "mixer.conv_bias", "true"}, {"mamba_proj_bias", "mixer.bias", "false"},
    {"num_experts", "mixers.moe.n_expert", "16"}, {"num_experts_per_tok", "mixers.moe.top_k", "2"},
    {"router_aux_loss_coef", "mixers.moe.balance", "0.001"}, {"output_router_logits", NULL, NULL}, {"attn_layer_offset", NULL, NULL},
    {"attn_layer_period", NULL, NULL}, {"expert_layer_offset", NULL, NULL}, {"expert_layer_period", NULL, NULL},
    {"use_mambapy", NULL, NULL}, {"use_associative_scan", NULL, NULL}, {"mamba_inner_layernorms", NULL, NULL}, {"sliding_window", NULL, NULL},
    {"calc_logits_for_entire_prompt", NULL, NULL}, {"n_ctx", NULL, NULL}, {NULL, NULL, NULL}};

static kr_status jamba(const json_t *j, const char *where, json_t *own) {
    int64_t rank = kr_path_int(j, "mamba_dt_rank", 0), n_expert = kr_path_int(own, "mixers.moe.n_expert", 16);
    int64_t attention = kr_path_int(j, "attn_layer_period", 8), experts = kr_path_int(j, "expert_layer_period", 2);
    if (attention < 1 || experts < 1) KR_FAIL(KR_ERR_CONFIG, "%s: attn_layer_period or expert_layer_period is not positive", where);
    if (json_is_false(json_object_get(j, "mamba_inner_layernorms"))) KR_FAIL(KR_ERR_CONFIG, "%s: mamba_inner_layernorms is false, want true", where);
    if (kr_path_int(j, "sliding_window", 0)) KR_FAIL(KR_ERR_CONFIG, "%s: sliding_window is set, want null", where);
    KR_TRY(kr_want_text(j, "hidden_act", "silu", where));
    if (rank > 0) KR_TRY(kr_path_put(own, "mixer.dt_rank", json_integer(rank))); /* "auto" is our default */
    KR_TRY(kr_path_put(own, "mixer.rms_norm_dt_bc", json_true()));
    KR_TRY(kr_path_put(own, "mixer.dt_bc_weights", json_true()));
    KR_TRY(kr_path_put(own, "mixers.attention.rope_dims", json_integer(0)));
    KR_TRY(kr_path_put(own, "mixers.moe.normalise", json_false()));
    for (int64_t i = 0; i < kr_path_int(own, "n_layer", 0); i++) {
        bool a = i % attention == kr_path_int(j, "attn_layer_offset", 4), e = n_expert > 1 && i % experts == kr_path_int(j, "expert_layer_offset", 1);
        KR_TRY(kr_layers_add(own, a ? e ? "attention+moe" : "attention+mlp" : e ? "mixer+moe" : "mixer+mlp"));
    }
    return KR_OK;
}

static const kr_name_row names[] = {
    KR_ATTENTION_MAMBA_NAMES,
    {"mixer.dt_norm.", {"mamba.dt_layernorm."}},
    {"mixer.B_norm.", {"mamba.b_layernorm."}},
    {"mixer.C_norm.", {"mamba.c_layernorm."}},
    {"mixer.", {"mamba."}},
    {"mlp.fc1.", {"feed_forward.up_proj.", "feed_forward.gate_proj."}},
    {"mlp.fc2.", {"feed_forward.down_proj."}},
    {"mlp.fc1.", {"feed_forward.experts.*.up_proj.", "feed_forward.experts.*.gate_proj."}},
    {"mlp.fc2.", {"feed_forward.experts.*.down_proj."}},
    {"mlp.router.", {"feed_forward.router."}},
    {NULL, {NULL}}};

const kr_family kr_family_jamba = {.type = "jamba", .mixer = "mamba1", .rows = rows, .finish = jamba, .stem = "model.", .names = names};
