/* dialect_zamba.c - zamba2: Mamba-2, and before some of its layers a transformer block that they
 * share, with adapters of low rank for each use. */
#include <string.h>

#include "model/dialect_hybrid.h"

static const kr_row rows[] = {
    KR_COMMON_ROWS, KR_ROPE_ROWS,
    {"rms_norm_eps", "norm_eps", "1e-5"}, {"rms_norm_eps", "mixers.shared.norm_eps", "1e-5"}, {"mamba_expand", "mixer.expand", "2"},
    {"mamba_d_conv", "mixer.d_conv", "4"}, {"mamba_d_state", "mixer.d_state", "64"}, {"mamba_ngroups", "mixer.ngroups", "1"},
    {"add_bias_linear", "mixer.bias", "false"}, {"add_bias_linear", "mixers.shared.bias", "false"},
    {"time_step_min", "mixer.dt_min", "0.001"}, {"time_step_min", "mixer.dt_limit_min", "0.001"}, {"time_step_max", "mixer.dt_max", "0.1"},
    {"time_step_floor", "mixer.dt_init_floor", "0.0001"}, {"num_attention_heads", "mixers.shared.n_head", "32"},
    {"num_key_value_heads", "mixers.shared.n_kv_head", NULL}, {"intermediate_size", "mixers.shared.d_ff", NULL},
    {"num_mem_blocks", "mixers.shared.n_block", "1"}, {"adapter_rank", "mixers.shared.adapter_rank", "128"},
    {"use_shared_attention_adapter", "mixers.shared.attention_adapter", "false"}, {"use_mem_rope", NULL, NULL},
    {"attention_head_dim", NULL, NULL}, {"attention_hidden_size", NULL, NULL}, {"chunk_size", NULL, NULL}, {"hybrid_layer_ids", NULL, NULL},
    {"kv_channels", NULL, NULL}, {"layers_block_type", NULL, NULL}, {"layer_types", NULL, NULL}, {"mamba_headdim", NULL, NULL},
    {"n_mamba_heads", NULL, NULL}, {"num_query_groups", NULL, NULL}, {"use_conv_bias", NULL, NULL}, {"use_long_context", NULL, NULL},
    {"use_mem_eff_path", NULL, NULL}, {"use_shared_mlp_adapter", NULL, NULL}, {"ffn_hidden_size", NULL, NULL}, {"ft_lora", NULL, NULL},
    {"lora_rank", NULL, NULL}, {"use_shared_block_adapter", NULL, NULL}, {"sliding_window", NULL, NULL}, {"state_size", NULL, NULL},
    {"vocab_file", NULL, NULL}, {NULL, NULL, NULL}};

static kr_status activation(const json_t *j, const char *where, json_t *own) {
    static const char *const theirs[] = {"gelu", "silu", "gelu_pytorch_tanh", "relu"}, *const ours[] = {"gelu", "silu", "gelu_tanh", "relu"};
    const char *is = json_string_value(json_object_get(j, "hidden_act"));
    for (int i = 0; i < 4; i++)
        if (strcmp(is ? is : "gelu", theirs[i]) == 0) return kr_path_put(own, "mixers.shared.activation", json_string(ours[i]));
    KR_FAIL(KR_ERR_CONFIG, "%s: hidden_act is \"%s\", want \"gelu\"", where, is);
}

static kr_status zamba2(const json_t *j, const char *where, json_t *own) {
    int64_t M = kr_path_int(own, "d_model", 0), E = kr_path_int(own, "mixer.expand", 2) * M, H = kr_path_int(j, "n_mamba_heads", 8);
    int64_t P = 2 * M / (kr_path_int(own, "mixers.shared.n_head", 32) > 0 ? kr_path_int(own, "mixers.shared.n_head", 32) : 1);
    const json_t *types = json_object_get(j, "layers_block_type") ? json_object_get(j, "layers_block_type") : json_object_get(j, "layer_types");
    if (H < 1 || E % H) KR_FAIL(KR_ERR_CONFIG, "%s: n_mamba_heads %lld does not divide mamba_expand * hidden_size = %lld", where, (long long)H, (long long)E);
    if (kr_path_int(j, "sliding_window", 0)) KR_FAIL(KR_ERR_CONFIG, "%s: sliding_window is set, want null", where);
    KR_TRY(kr_path_put(own, "mixer.headdim", json_integer(E / H)));
    KR_TRY(kr_path_put(own, "mixers.shared.head_dim", json_integer(P)));
    if (json_is_true(json_object_get(j, "use_mem_rope"))) {
        const json_t *rope = json_object_get(j, "rope_parameters");
        KR_TRY(kr_rope_read(j, where, 1, P, own));
        KR_TRY(kr_path_put(own, "mixers.shared.rope_dims", json_integer(P)));
        KR_TRY(kr_path_put(own, "mixers.shared.rope_theta", json_real(kr_path_real(rope, "rope_theta", kr_path_real(j, "rope_theta", 10000)))));
        json_object_del(json_object_get(own, "mixers"), "attention");
    }
    KR_TRY(activation(j, where, own));
    if (!json_object_get(j, "tie_word_embeddings")) KR_TRY(kr_path_put(own, "tie_embeddings", json_true()));
    if (!json_object_get(j, "intermediate_size")) KR_TRY(kr_path_put(own, "mixers.shared.d_ff", json_integer(4 * M)));
    for (int64_t i = 0; i < kr_path_int(own, "n_layer", 0); i++) {
        const char *type = json_string_value(json_array_get(types, (size_t)i));
        if (!type) KR_FAIL(KR_ERR_CONFIG, "%s: layers_block_type says nothing of layer %lld", where, (long long)i);
        KR_TRY(kr_layers_add(own, strcmp(type, "hybrid") == 0 ? "shared+mixer" : "mixer"));
    }
    return KR_OK;
}

#define SHARED "layers.#.shared_transformer."
#define ITS "layers.@.shared_transformer." /* adapters lie in the block that uses them */
static const kr_name_row names[] = {
    {"backbone.embeddings.", {"model.embed_tokens."}},
    {"backbone.norm_f.", {"model.final_layernorm."}},
    {"backbone.shared.#.norm.", {"model." SHARED "input_layernorm."}},
    {"backbone.shared.#.norm2.", {"model." SHARED "pre_ff_layernorm."}},
    {"backbone.shared.#.attention.in_proj.", {"model." SHARED "self_attn.q_proj.", "model." SHARED "self_attn.k_proj.", "model." SHARED "self_attn.v_proj."}},
    {"backbone.shared.#.attention.out_proj.", {"model." SHARED "self_attn.o_proj."}},
    {"backbone.shared.#.attention.q_adapter.", {"model." ITS "self_attn.linear_q_adapter_list."}},
    {"backbone.shared.#.attention.k_adapter.", {"model." ITS "self_attn.linear_k_adapter_list."}},
    {"backbone.shared.#.attention.v_adapter.", {"model." ITS "self_attn.linear_v_adapter_list."}},
    {"backbone.shared.#.mlp.fc1.", {"model." SHARED "feed_forward.gate_up_proj."}},
    {"backbone.shared.#.mlp.fc2.", {"model." SHARED "feed_forward.down_proj."}},
    {"backbone.shared.#.mlp.adapter.", {"model." ITS "feed_forward.gate_up_proj_adapter_list."}},
    {"shared.linear.", {"linear."}},
    {"norm.", {"mamba_decoder.input_layernorm."}},
    {"norm.", {"input_layernorm."}},
    {"mixer.", {"mamba_decoder.mamba."}},
    {"mixer.", {"mamba."}},
    {NULL, {NULL}}};

const kr_family kr_family_zamba2 = {.type = "zamba2", .mixer = "mamba2", .rows = rows, .finish = zamba2, .stem = "model.", .names = names};
