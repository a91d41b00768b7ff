/* dialect_nemotron.c - nemotron_h: a layer is Mamba-2, attention, a perceptron with relu2, or a mixture
 * of such beside one that all steps share, alone. */
#include <string.h>

#include "model/dialect_hybrid.h"

static const kr_row rows[] = {
    KR_COMMON_ROWS, KR_ATTENTION_ROWS, KR_ATTENTION_BIAS_ROWS, KR_MLP_ROWS, KR_TIME_STEP_ROWS, {"mamba_proj_bias", "mixer.bias", "false"},
    {"layer_norm_epsilon", "norm_eps", "1e-5"}, {"layer_norm_epsilon", "mixer.norm_eps", "1e-5"}, {"mamba_head_dim", "mixer.headdim", "64"},
    {"conv_kernel", "mixer.d_conv", "4"}, {"ssm_state_size", "mixer.d_state", "128"}, {"n_groups", "mixer.ngroups", "8"},
    {"use_conv_bias", "mixer.conv_bias", "true"}, {"head_dim", "mixers.attention.head_dim", "128"}, {"sliding_window", NULL, NULL},
    {"mamba_num_heads", NULL, NULL}, {"expand", NULL, NULL}, {"use_bias", NULL, NULL}, {"chunk_size", NULL, NULL},
    {"layers_block_type", NULL, NULL}, {"hybrid_override_pattern", NULL, NULL}, {"mamba_hidden_act", NULL, NULL},
    {"mlp_hidden_act", NULL, NULL}, {"mamba_ssm_cache_dtype", NULL, NULL}, {"mtp_layers_block_type", NULL, NULL}, {"num_nextn_predict_layers", NULL, NULL},
    /* of experts */
    {"moe_intermediate_size", NULL, NULL}, {"moe_latent_size", NULL, NULL}, {"moe_shared_expert_intermediate_size", NULL, NULL},
    {"moe_shared_expert_overlap", NULL, NULL}, {"n_group", NULL, NULL}, {"n_routed_experts", NULL, NULL}, {"n_shared_experts", NULL, NULL},
    {"norm_topk_prob", NULL, NULL}, {"num_experts_per_tok", NULL, NULL}, {"routed_scaling_factor", NULL, NULL}, {"topk_group", NULL, NULL},
    {"output_router_logits", NULL, NULL}, {"router_aux_loss_coef", NULL, NULL},
    {NULL, NULL, NULL}};

/* "M-M*" of older files, or the names of newer ones. */
static const char *nemotron_layer(const json_t *j, int64_t i) {
    static const char *const kinds[][3] = {{"linear_attention", "M", "mixer"}, {"mamba", "M", "mixer"}, {"full_attention", "*", "attention"},
                                           {"attention", "*", "attention"}, {"mlp", "-", "mlp"}, {"moe", "E", "moe"}};
    const char *name = json_string_value(json_array_get(json_object_get(j, "layers_block_type"), (size_t)i));
    const char *letters = json_string_value(json_object_get(j, "hybrid_override_pattern"));
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        if (name ? strcmp(name, kinds[k][0]) == 0 : letters && i < (int64_t)strlen(letters) && letters[i] == kinds[k][1][0]) return kinds[k][2];
    return NULL;
}

/* Sigmoid scores, a bias for the choice alone; the keys are those of a model without experts too. */
static kr_status experts(const json_t *j, const char *where, json_t *own) {
    const json_t *normalise = json_object_get(j, "norm_topk_prob");
    if (kr_path_int(j, "n_group", 1) != 1) KR_FAIL(KR_ERR_CONFIG, "%s: n_group is %lld, want 1: experts are not chosen by groups here", where, (long long)kr_path_int(j, "n_group", 1));
    if (json_is_true(json_object_get(j, "mlp_bias"))) KR_FAIL(KR_ERR_CONFIG, "%s: mlp_bias is true, but experts have no biases here", where);
    KR_TRY(kr_path_put(own, "mixers.moe.n_expert", json_integer(kr_path_int(j, "n_routed_experts", 8))));
    KR_TRY(kr_path_put(own, "mixers.moe.top_k", json_integer(kr_path_int(j, "num_experts_per_tok", 2))));
    KR_TRY(kr_path_put(own, "mixers.moe.d_ff", json_integer(kr_path_int(j, "moe_intermediate_size", 7688))));
    KR_TRY(kr_path_put(own, "mixers.moe.d_shared", json_integer(kr_path_int(j, "moe_shared_expert_intermediate_size", 7688))));
    if (kr_path_int(j, "moe_latent_size", 0)) KR_TRY(kr_path_put(own, "mixers.moe.d_latent", json_integer(kr_path_int(j, "moe_latent_size", 0))));
    KR_TRY(kr_path_put(own, "mixers.moe.gated", json_false()));
    KR_TRY(kr_path_put(own, "mixers.moe.activation", json_string("relu2")));
    KR_TRY(kr_path_put(own, "mixers.moe.gate", json_string("sigmoid")));
    KR_TRY(kr_path_put(own, "mixers.moe.normalise", json_boolean(!json_is_false(normalise))));
    KR_TRY(kr_path_put(own, "mixers.moe.route_scale", json_real(kr_path_real(j, "routed_scaling_factor", 1))));
    KR_TRY(kr_path_put(own, "mixers.moe.route_bias", json_true()));
    return kr_path_put(own, "mixers.moe.balance", json_real(kr_path_real(j, "router_aux_loss_coef", 0)));
}

static kr_status nemotron_h(const json_t *j, const char *where, json_t *own) {
    const json_t *types = json_object_get(j, "layers_block_type");
    bool any = false;
    int64_t n = types ? (int64_t)json_array_size(types) : kr_path_int(own, "n_layer", 0);
    KR_TRY(kr_path_put(own, "n_layer", json_integer(n)));
    if (kr_path_int(j, "sliding_window", 0)) KR_FAIL(KR_ERR_CONFIG, "%s: sliding_window is set, want null", where);
    KR_TRY(kr_want_text(j, "mamba_hidden_act", "silu", where));
    KR_TRY(kr_want_text(j, "mlp_hidden_act", "relu2", where));
    KR_TRY(kr_path_put(own, "mixer.d_inner", json_integer(kr_path_int(j, "mamba_num_heads", 128) * kr_path_int(own, "mixer.headdim", 64))));
    KR_TRY(kr_path_put(own, "mixers.attention.rope_dims", json_integer(0)));
    KR_TRY(kr_path_put(own, "mixers.mlp.gated", json_false()));
    KR_TRY(kr_path_put(own, "mixers.mlp.activation", json_string("relu2")));
    for (int64_t i = 0; i < n; i++) {
        const char *name = nemotron_layer(j, i);
        if (!name) KR_FAIL(KR_ERR_CONFIG, "%s: layer %lld is neither Mamba-2, attention, an MLP nor experts", where, (long long)i);
        KR_TRY(kr_layers_add(own, name));
        any = any || strcmp(name, "moe") == 0;
    }
    return any ? experts(j, where, own) : KR_OK;
}

static const kr_name_row names[] = {
    {"mixer.in_proj.", {"mixer.q_proj.", "mixer.k_proj.", "mixer.v_proj."}},
    {"mixer.out_proj.", {"mixer.o_proj."}},
    {"mixer.fc1.", {"mixer.up_proj."}},
    {"mixer.fc2.", {"mixer.down_proj."}},
    {"mixer.fc1.", {"mixer.experts.*.up_proj."}},
    {"mixer.fc2.", {"mixer.experts.*.down_proj."}},
    {"mixer.router.", {"mixer.gate."}},
    {"mixer.shared.fc1.", {"mixer.shared_experts.up_proj."}},
    {"mixer.shared.fc2.", {"mixer.shared_experts.down_proj."}},
    {"mixer.latent_in.", {"mixer.fc1_latent_proj."}},
    {"mixer.latent_out.", {"mixer.fc2_latent_proj."}},
    {NULL, {NULL}}};

const kr_family kr_family_nemotron_h = {.type = "nemotron_h", .mixer = "mamba2", .rows = rows, .finish = nemotron_h, .stem = "backbone.", .names = names};
