/* dialect_hybrid.h - what the families of hybrids share: tables of keys by path, the list of layers.
 *
 * A family is one record in a file dialect_NAME.c: its table, as in dialect.c, but ours are paths
 * of any depth; what a table cannot say, above all the layers; and the names of the weights. */
#ifndef KR_MODEL_DIALECT_HYBRID_H
#define KR_MODEL_DIALECT_HYBRID_H
#include "model/dialect.h"

/* Their path, ours, and what holds when theirs is absent; without ours: read and ignored. */
typedef struct kr_row { const char *theirs, *ours, *absent; } kr_row;

typedef struct kr_family {
    const char *type;        /* model_type */
    const char *mixer;       /* the part of ours that "mixer" is */
    const kr_row *rows;      /* {NULL} ends */
    kr_status (*finish)(const json_t *theirs, const char *where, json_t *own);
    const char *stem;        /* for our "backbone." */
    const kr_name_row *names;
} kr_family;

extern const kr_family kr_family_bamba, kr_family_nemotron_h, kr_family_falcon_h1, kr_family_jamba, kr_family_granite, kr_family_zamba2;

/* The tensors of attention and Mamba in layers of two norms, as bamba and jamba name them. */
#define KR_ATTENTION_MAMBA_NAMES                                                                  \
    {"backbone.embeddings.", {"model.embed_tokens."}}, {"backbone.norm_f.", {"model.final_layernorm."}}, \
        {"norm.", {"input_layernorm."}}, {"norm2.", {"pre_ff_layernorm."}},                            \
        {"mixer.in_proj.", {"self_attn.q_proj.", "self_attn.k_proj.", "self_attn.v_proj."}},           \
        {"mixer.out_proj.", {"self_attn.o_proj."}}

/* What configs of Hugging Face have in common and no model depends on; the sizes of all. */
#define KR_COMMON_ROWS                                                                                             \
    {"hidden_size", "d_model", NULL}, {"num_hidden_layers", "n_layer", NULL}, {"vocab_size", "vocab_size", NULL},  \
    {"tie_word_embeddings", "tie_embeddings", "false"}, {"bos_token_id", "bos_token_id", NULL},                    \
    {"eos_token_id", "eos_token_id", NULL}, {"max_position_embeddings", NULL, NULL}, {"architectures", NULL, NULL}, \
    {"model_type", NULL, NULL}, {"dtype", NULL, NULL}, {"torch_dtype", NULL, NULL}, {"transformers_version", NULL, NULL}, \
    {"use_cache", NULL, NULL}, {"initializer_range", NULL, NULL}, {"attention_dropout", NULL, NULL}, {"hidden_dropout", NULL, NULL}, \
    {"num_logits_to_keep", NULL, NULL}, {"pad_token_id", NULL, NULL}, {"_name_or_path", NULL, NULL}, {"hidden_act", NULL, NULL}, \
    {"use_mamba_kernels", NULL, NULL}, {"rescale_prenorm_residual", NULL, NULL}, {"residual_in_fp32", NULL, NULL}
#define KR_ATTENTION_ROWS                                                                                          \
    {"num_attention_heads", "mixers.attention.n_head", "32"}, {"num_key_value_heads", "mixers.attention.n_kv_head", "8"}
#define KR_ATTENTION_BIAS_ROWS                                                                                     \
    {"attention_bias", "mixers.attention.qkv_bias", "false"}, {"attention_bias", "mixers.attention.out_bias", "false"}
#define KR_MLP_ROWS {"intermediate_size", "mixers.mlp.d_ff", NULL}, {"mlp_bias", "mixers.mlp.bias", "false"}
#define KR_TIME_STEP_ROWS                                                                                          \
    {"time_step_limit.0", "mixer.dt_limit_min", "0.0"}, {"time_step_limit.1", "mixer.dt_limit_max", "{\"__float__\": \"Infinity\"}"}, \
    {"time_step_min", "mixer.dt_min", "0.001"}, {"time_step_max", "mixer.dt_max", "0.1"},                          \
    {"time_step_floor", "mixer.dt_init_floor", "0.0001"}
#define KR_ROPE_ROWS                                                                                               \
    {"rope_parameters", NULL, NULL}, {"rope_theta", NULL, NULL}, {"rope_scaling", NULL, NULL},                     \
    {"partial_rotary_factor", NULL, NULL}
/* Mamba-2 as Bamba says it; kr_heads reads the rest of it. */
#define KR_MAMBA2_ROWS                                                                                             \
    {"mamba_expand", "mixer.expand", "2"}, {"mamba_d_conv", "mixer.d_conv", "4"}, {"mamba_d_state", "mixer.d_state", "256"}, \
    {"mamba_n_groups", "mixer.ngroups", "1"}, {"mamba_conv_bias", "mixer.conv_bias", "true"}, {"mamba_proj_bias", "mixer.bias", "false"}, \
    {"mamba_d_head", NULL, NULL}, {"mamba_n_heads", NULL, NULL}, {"mamba_chunk_size", NULL, NULL}

/* A value by its path ("mixers.attention.n_head", "time_step_limit.1"); NULL if it is not there. */
json_t *kr_path_find(const json_t *j, const char *path);
/* Takes over the value. */
kr_status kr_path_put(json_t *j, const char *path, json_t *value);
/* What is beyond 32 bits comes as the largest (or least) of these. */
int64_t kr_path_int(const json_t *j, const char *path, int64_t absent);
double kr_path_real(const json_t *j, const char *path, double absent);
/* A factor into `ours` unless it is 1. */
kr_status kr_put_scale(json_t *own, const char *ours, double scale);

kr_status kr_rows_translate(const kr_row *rows, const json_t *theirs, const char *where, json_t *own);
kr_status kr_want_text(const json_t *j, const char *key, const char *want, const char *where);
/* Is i in an array of integers? */
bool kr_list_has(const json_t *list, int64_t i);
/* mixer.headdim from mamba_n_heads heads of d_inner channels. */
kr_status kr_heads_read(const json_t *theirs, const char *where, int64_t d_inner, json_t *own);
/* Rotary positions on the part of a head of P that `absent` or partial_rotary_factor says. */
kr_status kr_rope_read(const json_t *theirs, const char *where, double absent, int64_t P, json_t *own);
/* Appends one layer, as "attention+mlp", to own's "layers". */
kr_status kr_layers_add(json_t *own, const char *text);
#endif
