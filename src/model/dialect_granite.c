/* dialect_granite.c - granitemoehybrid: Mamba-2 or attention, then experts beside one that all steps
 * share (or that one alone), with factors on embeddings, scores, logits and residuals. */
#include <string.h>

#include "model/dialect_hybrid.h"

static const kr_row rows[] = {
    KR_COMMON_ROWS, KR_ATTENTION_ROWS, KR_ATTENTION_BIAS_ROWS, KR_TIME_STEP_ROWS, KR_ROPE_ROWS, KR_MAMBA2_ROWS,
    {"rms_norm_eps", "norm_eps", "1e-6"}, {"rms_norm_eps", "mixer.norm_eps", "1e-6"}, {"intermediate_size", "mixers.moe.d_ff", NULL},
    {"shared_intermediate_size", "mixers.moe.d_shared", "1024"}, {"shared_intermediate_size", "mixers.mlp.d_ff", "1024"},
    {"num_local_experts", "mixers.moe.n_expert", "8"}, {"num_experts_per_tok", "mixers.moe.top_k", "2"},
    {"router_aux_loss_coef", "mixers.moe.balance", "0.001"}, {"output_router_logits", NULL, NULL}, {"layer_types", NULL, NULL},
    {"layers_block_type", NULL, NULL}, {"position_embedding_type", NULL, NULL}, {"embedding_multiplier", NULL, NULL},
    {"logits_scaling", NULL, NULL}, {"residual_multiplier", NULL, NULL}, {"attention_multiplier", NULL, NULL},
    {"normalization_function", NULL, NULL}, {"init_method", NULL, NULL}, {NULL, NULL, NULL}};

static kr_status scales(const json_t *j, const char *where, json_t *own) {
    static const char *const parts[] = {"mixer.out_scale", "mixers.attention.out_scale", "mixers.moe.out_scale", "mixers.mlp.out_scale"};
    double logits = kr_path_real(j, "logits_scaling", 1);
    if (logits == 0) KR_FAIL(KR_ERR_CONFIG, "%s: logits_scaling is 0", where);
    KR_TRY(kr_put_scale(own, "encoder.scale", kr_path_real(j, "embedding_multiplier", 1)));
    KR_TRY(kr_put_scale(own, "head.scale", 1 / logits));
    for (int i = 0; i < 4; i++) KR_TRY(kr_put_scale(own, parts[i], kr_path_real(j, "residual_multiplier", 1)));
    return kr_path_put(own, "mixers.attention.scale", json_real(kr_path_real(j, "attention_multiplier", 1)));
}

static kr_status granite(const json_t *j, const char *where, json_t *own) {
    int64_t M = kr_path_int(own, "d_model", 0), H = kr_path_int(own, "mixers.attention.n_head", 32);
    const json_t *types = json_object_get(j, "layer_types") ? json_object_get(j, "layer_types") : json_object_get(j, "layers_block_type");
    const char *positions = json_string_value(json_object_get(j, "position_embedding_type"));
    bool experts = kr_path_int(own, "mixers.moe.n_expert", 8) > 0;
    KR_TRY(kr_heads_read(j, where, kr_path_int(own, "mixer.expand", 2) * M, own));
    if (positions && strcmp(positions, "rope") == 0) KR_TRY(kr_rope_read(j, where, 1, H > 0 ? M / H : 0, own));
    else KR_TRY(kr_path_put(own, "mixers.attention.rope_dims", json_integer(0)));
    KR_TRY(kr_want_text(j, "hidden_act", "silu", where));
    KR_TRY(scales(j, where, own));
    KR_TRY(kr_path_put(own, "mixers.moe.gate_first", json_true()));
    KR_TRY(kr_path_put(own, "mixers.mlp.gate_first", json_true()));
    for (int64_t i = 0; i < kr_path_int(own, "n_layer", 0); i++) {
        const char *type = json_string_value(json_array_get(types, (size_t)i));
        bool attention = type && (strcmp(type, "full_attention") == 0 || strcmp(type, "attention") == 0);
        if (type && !attention && strcmp(type, "linear_attention") != 0 && strcmp(type, "mamba") != 0)
            KR_FAIL(KR_ERR_CONFIG, "%s: layer %lld is \"%s\", want linear_attention or full_attention", where, (long long)i, type);
        KR_TRY(kr_layers_add(own, experts ? attention ? "attention+moe" : "mixer+moe" : attention ? "attention+mlp" : "mixer+mlp"));
    }
    return KR_OK;
}

static const kr_name_row names[] = {
    {"backbone.embeddings.", {"model.embed_tokens."}},
    {"backbone.norm_f.", {"model.norm."}},
    {"norm.", {"input_layernorm."}},
    {"norm2.", {"post_attention_layernorm."}},
    {"mixer.in_proj.", {"self_attn.q_proj.", "self_attn.k_proj.", "self_attn.v_proj."}},
    {"mixer.out_proj.", {"self_attn.o_proj."}},
    {"mixer.", {"mamba."}},
    {"mlp.fc1.", {"block_sparse_moe.input_linear."}},
    {"mlp.fc2.", {"block_sparse_moe.output_linear."}},
    {"mlp.fc1.", {"shared_mlp.input_linear."}}, /* without experts */
    {"mlp.fc2.", {"shared_mlp.output_linear."}},
    {"mlp.router.", {"block_sparse_moe.router.layer."}},
    {"mlp.shared.fc1.", {"shared_mlp.input_linear."}},
    {"mlp.shared.fc2.", {"shared_mlp.output_linear."}},
    {NULL, {NULL}}};

const kr_family kr_family_granite = {.type = "granitemoehybrid", .mixer = "mamba2", .rows = rows, .finish = granite, .stem = "model.", .names = names};
