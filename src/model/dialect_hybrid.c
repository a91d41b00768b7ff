/* dialect_hybrid.c - hybrids of Mamba, attention and MLPs: Hugging Face's bamba and nemotron_h,
 * and the keys by which state-spaces says it.
 *
 * One table a family, as in dialect.c, but ours are paths of any depth; then the pattern of
 * layers, and the names of the weights.  Read only: such a model is saved in our own dialect. */
#include <stdio.h>
#include <string.h>

#include "model/dialect.h"

typedef struct row { const char *theirs, *ours, *absent; } row; /* without ours: read and ignored */

#define COMMON                                                                                              \
    {"hidden_size", "d_model", NULL}, {"num_hidden_layers", "n_layer", NULL}, {"vocab_size", "vocab_size", NULL},  \
    {"tie_word_embeddings", "tie_embeddings", "false"}, {"bos_token_id", "bos_token_id", NULL},            \
    {"eos_token_id", "eos_token_id", NULL}, {"num_attention_heads", "mixers.attention.n_head", "32"},      \
    {"num_key_value_heads", "mixers.attention.n_kv_head", "8"}, {"attention_bias", "mixers.attention.qkv_bias", "false"}, \
    {"attention_bias", "mixers.attention.out_bias", "false"}, {"intermediate_size", "mixers.mlp.d_ff", NULL},  \
    {"mlp_bias", "mixers.mlp.bias", "false"}, {"mamba_proj_bias", "mixer.bias", "false"},                  \
    {"time_step_limit.0", "mixer.dt_limit_min", "0.0"}, {"time_step_limit.1", "mixer.dt_limit_max", "{\"__float__\": \"Infinity\"}"}, \
    {"time_step_min", "mixer.dt_min", "0.001"}, {"time_step_max", "mixer.dt_max", "0.1"},                  \
    {"time_step_floor", "mixer.dt_init_floor", "0.0001"}, {"max_position_embeddings", NULL, NULL},         \
    {"architectures", NULL, NULL}, {"model_type", NULL, NULL}, {"dtype", NULL, NULL}, {"torch_dtype", NULL, NULL}, \
    {"transformers_version", NULL, NULL}, {"use_cache", NULL, NULL}, {"initializer_range", NULL, NULL},    \
    {"attention_dropout", NULL, NULL}, {"hidden_dropout", NULL, NULL}, {"num_logits_to_keep", NULL, NULL}, \
    {"pad_token_id", NULL, NULL}, {"_name_or_path", NULL, NULL}, {"hidden_act", NULL, NULL}, {"use_mamba_kernels", NULL, NULL}, \
    {"rescale_prenorm_residual", NULL, NULL}, {"residual_in_fp32", NULL, NULL}

static const row bamba_rows[] = {
    COMMON,
    {"rms_norm_eps", "norm_eps", "1e-5"}, {"rms_norm_eps", "mixer.norm_eps", "1e-5"}, {"mamba_expand", "mixer.expand", "2"},
    {"mamba_d_conv", "mixer.d_conv", "4"}, {"mamba_d_state", "mixer.d_state", "256"}, {"mamba_n_groups", "mixer.ngroups", "1"},
    {"mamba_conv_bias", "mixer.conv_bias", "true"}, {"mamba_d_head", NULL, NULL}, {"mamba_n_heads", NULL, NULL},
    {"mamba_chunk_size", NULL, NULL}, {"attn_layer_indices", NULL, NULL}, {"rope_parameters", NULL, NULL}, {"rope_theta", NULL, NULL},
    {"rope_scaling", NULL, NULL}, {"partial_rotary_factor", NULL, NULL}, {"attn_rotary_emb", NULL, NULL}, {"z_loss_coefficient", NULL, NULL},
    {NULL, NULL, NULL}};

static const row nemotron_rows[] = {
    COMMON,
    {"layer_norm_epsilon", "norm_eps", "1e-5"}, {"layer_norm_epsilon", "mixer.norm_eps", "1e-5"}, {"mamba_head_dim", "mixer.headdim", "64"},
    {"conv_kernel", "mixer.d_conv", "4"}, {"ssm_state_size", "mixer.d_state", "128"}, {"n_groups", "mixer.ngroups", "8"},
    {"use_conv_bias", "mixer.conv_bias", "true"}, {"head_dim", "mixers.attention.head_dim", "128"}, {"sliding_window", NULL, NULL},
    {"mamba_num_heads", NULL, NULL}, {"expand", NULL, NULL}, {"use_bias", NULL, NULL}, {"chunk_size", NULL, NULL},
    {"layers_block_type", NULL, NULL}, {"hybrid_override_pattern", NULL, NULL}, {"mamba_hidden_act", NULL, NULL},
    {"mlp_hidden_act", NULL, NULL}, {"mamba_ssm_cache_dtype", NULL, NULL}, {"mtp_layers_block_type", NULL, NULL}, {"num_nextn_predict_layers", NULL, NULL},
    /* of experts, which no layer that is read has */
    {"moe_intermediate_size", NULL, NULL}, {"moe_latent_size", NULL, NULL}, {"moe_shared_expert_intermediate_size", NULL, NULL},
    {"moe_shared_expert_overlap", NULL, NULL}, {"n_group", NULL, NULL}, {"n_routed_experts", NULL, NULL}, {"n_shared_experts", NULL, NULL},
    {"norm_topk_prob", NULL, NULL}, {"num_experts_per_tok", NULL, NULL}, {"routed_scaling_factor", NULL, NULL}, {"topk_group", NULL, NULL},
    {NULL, NULL, NULL}};

/* --- paths: "mixers.attention.n_head", "time_step_limit.1" -------------------------------- */

static json_t *find(const json_t *j, const char *path) {
    char name[64];
    for (const char *p = path; j && *p; p += *p == '.') {
        size_t n = strcspn(p, ".");
        snprintf(name, sizeof name, "%.*s", (int)n, p);
        j = json_is_array(j) ? json_array_get(j, (size_t)(name[0] - '0')) : json_object_get(j, name);
        p += n;
    }
    return (json_t *)j;
}

/* Takes over the value. */
static kr_status put(json_t *j, const char *path, json_t *value) {
    char name[64];
    const char *p = path;
    for (size_t n; p[n = strcspn(p, ".")] && j; p += n + 1) {
        snprintf(name, sizeof name, "%.*s", (int)n, p);
        if (!json_object_get(j, name)) json_object_set_new(j, name, json_object());
        j = json_object_get(j, name);
    }
    if (!j || !value || json_object_set_new(j, p, value) != 0) KR_FAIL(KR_ERR_NOMEM, "out of memory at the key %s", path);
    return KR_OK;
}

static kr_status translate(const row *rows, const json_t *theirs, const char *where, json_t *own) {
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)theirs, name, v) {
        bool known = false;
        for (const row *r = rows; r->theirs && !known; r++) known = strlen(name) == strcspn(r->theirs, ".") && strncmp(r->theirs, name, strlen(name)) == 0;
        if (!known)
            KR_FAIL(KR_ERR_CONFIG, "%s: the key \"%s\" is not known, so the model might not be what Krait would build; remove it if it does not matter", where, name);
    }
    for (const row *r = rows; r->theirs; r++) {
        json_error_t e;
        if (!r->ours) continue;
        v = find(theirs, r->theirs);
        if (json_is_array(v)) v = json_array_get(v, 0); /* several eos ids: the first */
        if ((!v || json_is_null(v)) && !r->absent) continue;
        KR_TRY(put(own, r->ours, !v || json_is_null(v) ? json_loads(r->absent, JSON_DECODE_ANY, &e) : json_incref(v)));
    }
    return KR_OK;
}

static int64_t int_at(const json_t *j, const char *path, int64_t absent) {
    const json_t *v = find(j, path);
    return json_is_integer(v) ? (int64_t)json_integer_value(v) : absent;
}

/* --- the layers ----------------------------------------------------------------------------- */

static kr_status want_text(const json_t *j, const char *key, const char *want, const char *where) {
    const char *is = json_string_value(json_object_get(j, key));
    if (is && strcmp(is, want) != 0) KR_FAIL(KR_ERR_CONFIG, "%s: %s is \"%s\", want \"%s\"", where, key, is, want);
    return KR_OK;
}

static kr_status bamba(const json_t *j, const char *where, json_t *own) {
    int64_t n = int_at(own, "n_layer", 0), E = int_at(own, "mixer.expand", 2) * int_at(own, "d_model", 0), H = int_at(j, "mamba_n_heads", 128);
    int64_t heads = int_at(own, "mixers.attention.n_head", 32), P = heads > 0 ? int_at(own, "d_model", 0) / heads : 0;
    const json_t *attention = json_object_get(j, "attn_layer_indices"), *v, *rope = json_object_get(j, "rope_parameters");
    const char *kind = json_string_value(find(rope ? rope : j, rope ? "rope_type" : "rope_scaling.type"));
    if (H < 1 || E % H) KR_FAIL(KR_ERR_CONFIG, "%s: mamba_n_heads %lld does not divide mamba_expand * hidden_size = %lld", where, (long long)H, (long long)E);
    if (kind && strcmp(kind, "default") != 0) KR_FAIL(KR_ERR_CONFIG, "%s: rope_type is \"%s\", want \"default\"", where, kind);
    KR_TRY(want_text(j, "hidden_act", "silu", where));
    v = find(j, "rope_parameters.partial_rotary_factor");
    if (!v) v = json_object_get(j, "partial_rotary_factor");
    double part = json_is_number(v) ? json_number_value(v) : 0.5;
    v = find(j, "rope_parameters.rope_theta");
    if (!v) v = json_object_get(j, "rope_theta");
    KR_TRY(put(own, "mixers.attention.rope_dims", json_integer((json_int_t)((double)P * part))));
    KR_TRY(put(own, "mixers.attention.rope_theta", json_real(json_is_number(v) ? json_number_value(v) : 10000)));
    KR_TRY(put(own, "mixer.headdim", json_integer(E / H)));
    KR_TRY(put(own, "mixer.group_norm", json_false())); /* it normalises all channels together */
    KR_TRY(put(own, "layers", json_array()));
    for (int64_t i = 0; i < n; i++) {
        bool there = false;
        for (size_t k = 0; k < json_array_size(attention); k++) there = there || json_integer_value(json_array_get(attention, k)) == i;
        if (json_array_append_new(json_object_get(own, "layers"), json_string(there ? "attention+mlp" : "mixer+mlp")) != 0)
            KR_FAIL(KR_ERR_NOMEM, "out of memory for the layers");
    }
    return KR_OK;
}

/* "M-M*" of older files, or the names of newer ones. */
static const char *nemotron_layer(const json_t *j, int64_t i) {
    static const char *const kinds[][3] = {{"linear_attention", "M", "mixer"}, {"mamba", "M", "mixer"}, {"full_attention", "*", "attention"},
                                           {"attention", "*", "attention"}, {"mlp", "-", "mlp"}};
    const char *name = json_string_value(json_array_get(json_object_get(j, "layers_block_type"), (size_t)i));
    const char *letters = json_string_value(json_object_get(j, "hybrid_override_pattern"));
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        if (name ? strcmp(name, kinds[k][0]) == 0 : letters && i < (int64_t)strlen(letters) && letters[i] == kinds[k][1][0]) return kinds[k][2];
    return NULL;
}

static kr_status nemotron_h(const json_t *j, const char *where, json_t *own) {
    const json_t *types = json_object_get(j, "layers_block_type");
    int64_t n = types ? (int64_t)json_array_size(types) : int_at(own, "n_layer", 0);
    KR_TRY(put(own, "n_layer", json_integer(n)));
    if (int_at(j, "sliding_window", 0)) KR_FAIL(KR_ERR_CONFIG, "%s: sliding_window is set, want null", where);
    KR_TRY(want_text(j, "mamba_hidden_act", "silu", where));
    KR_TRY(want_text(j, "mlp_hidden_act", "relu2", where));
    KR_TRY(put(own, "mixer.d_inner", json_integer(int_at(j, "mamba_num_heads", 128) * int_at(own, "mixer.headdim", 64))));
    KR_TRY(put(own, "mixers.attention.rope_dims", json_integer(0)));
    KR_TRY(put(own, "mixers.mlp.gated", json_false()));
    KR_TRY(put(own, "mixers.mlp.activation", json_string("relu2")));
    KR_TRY(put(own, "layers", json_array()));
    for (int64_t i = 0; i < n; i++) {
        const char *name = nemotron_layer(j, i);
        if (!name) KR_FAIL(KR_ERR_CONFIG, "%s: layer %lld is neither Mamba-2, attention nor an MLP", where, (long long)i);
        if (json_array_append_new(json_object_get(own, "layers"), json_string(name)) != 0) KR_FAIL(KR_ERR_NOMEM, "out of memory for the layers");
    }
    return KR_OK;
}

/* A name in mixers that no layer has is an error for our own reader. */
static void drop_unused(json_t *own) {
    static const char *const names[] = {"attention", "mlp"};
    for (int k = 0; k < 2; k++) {
        bool used = false;
        for (size_t i = 0; i < json_array_size(json_object_get(own, "layers")); i++)
            used = used || strstr(json_string_value(json_array_get(json_object_get(own, "layers"), i)), names[k]);
        if (!used) json_object_del(json_object_get(own, "mixers"), names[k]);
    }
}

kr_status kr_hybrid_read(const json_t *j, const char *where, const char *type, json_t *own) {
    bool is_bamba = strcmp(type, "bamba") == 0;
    const json_t *limit = json_object_get(j, "time_step_limit");
    if (limit && !json_is_null(limit) && json_array_size(limit) != 2) KR_FAIL(KR_ERR_CONFIG, "%s: the key \"time_step_limit\" wants an array of two numbers", where);
    KR_TRY(translate(is_bamba ? bamba_rows : nemotron_rows, j, where, own));
    KR_TRY(put(own, "mixer.type", json_string("mamba2")));
    KR_TRY(is_bamba ? bamba(j, where, own) : nemotron_h(j, where, own));
    drop_unused(own);
    return KR_OK;
}

/* --- state-spaces ----------------------------------------------------------------------------- */

static const row mha_rows[] = {
    {"num_heads", "mixers.attention.n_head", NULL}, {"num_heads_kv", "mixers.attention.n_kv_head", NULL}, {"head_dim", "mixers.attention.head_dim", NULL},
    {"qkv_proj_bias", "mixers.attention.qkv_bias", "true"}, {"out_proj_bias", "mixers.attention.out_bias", "true"},
    {"softmax_scale", "mixers.attention.scale", NULL}, {"d_conv", "mixers.attention.d_conv", NULL},
    {"rotary_emb_dim", "mixers.attention.rope_dims", "0"}, {"rotary_emb_base", "mixers.attention.rope_theta", NULL},
    {"rotary_emb_interleaved", "mixers.attention.rope_interleaved", NULL}, {"causal", NULL, NULL}, {"mlp_dim", NULL, NULL}, {NULL, NULL, NULL}};

kr_status kr_state_spaces_layers(const json_t *j, const char *where, json_t *own) {
    const json_t *idx = json_object_get(j, "attn_layer_idx"), *cfg = json_object_get(j, "attn_cfg");
    int64_t n = int_at(own, "n_layer", 0), F = int_at(j, "d_intermediate", 0);
    bool attention = json_array_size(idx) > 0;
    if (!attention && F <= 0) return KR_OK;
    if (attention && !json_is_true(json_object_get(cfg, "causal"))) KR_FAIL(KR_ERR_CONFIG, "%s: attn_cfg.causal is not true", where);
    if (attention && int_at(cfg, "mlp_dim", 0)) KR_FAIL(KR_ERR_CONFIG, "%s: attn_cfg.mlp_dim is not supported", where);
    if (attention) KR_TRY(translate(mha_rows, cfg, where, own));
    if (F > 0) KR_TRY(put(own, "mixers.mlp.d_ff", json_integer((F + 127) / 128 * 128)));
    KR_TRY(put(own, "layers", json_array()));
    for (int64_t i = 0; i < n; i++) {
        bool there = false;
        for (size_t k = 0; k < json_array_size(idx); k++) there = there || json_integer_value(json_array_get(idx, k)) == i;
        const char *text = there ? F > 0 ? "attention+mlp" : "attention" : F > 0 ? "mixer+mlp" : "mixer";
        if (json_array_append_new(json_object_get(own, "layers"), json_string(text)) != 0) KR_FAIL(KR_ERR_NOMEM, "out of memory for the layers");
    }
    drop_unused(own);
    return KR_OK;
}

/* --- names of weights -------------------------------------------------------------------------- */

static const kr_name_row bamba_names[] = {
    {"backbone.embeddings.", {"model.embed_tokens."}},
    {"backbone.norm_f.", {"model.final_layernorm."}},
    {"norm.", {"input_layernorm."}},
    {"norm2.", {"pre_ff_layernorm."}},
    {"mixer.in_proj.", {"self_attn.q_proj.", "self_attn.k_proj.", "self_attn.v_proj."}},
    {"mixer.out_proj.", {"self_attn.o_proj."}},
    {"mixer.", {"mamba."}},
    {"mlp.fc1.", {"feed_forward.up_proj.", "feed_forward.gate_proj."}},
    {"mlp.fc2.", {"feed_forward.down_proj."}},
    {NULL, {NULL}}};
static const kr_name_row nemotron_names[] = {
    {"mixer.in_proj.", {"mixer.q_proj.", "mixer.k_proj.", "mixer.v_proj."}},
    {"mixer.out_proj.", {"mixer.o_proj."}},
    {"mixer.fc1.", {"mixer.up_proj."}},
    {"mixer.fc2.", {"mixer.down_proj."}},
    {NULL, {NULL}}};

const kr_name_row *kr_dialect_names(const char *dialect, const char **stem) {
    bool is_bamba = strcmp(dialect, "bamba") == 0;
    *stem = is_bamba ? "model." : "backbone.";
    return is_bamba ? bamba_names : strcmp(dialect, "nemotron_h") == 0 ? nemotron_names : NULL;
}
