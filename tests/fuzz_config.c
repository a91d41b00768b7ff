/* fuzz_config.c - a config.json of any text, in every dialect: refused with a sentence, or a model whose parameters
 * are known, which is written so that it comes back the same, and whose graphs are built or refused.  A recipe, which
 * has the section "model", is read with keys set as on a command line; its model is then one of these. */
#include "fuzz.h"

#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "krait/train.h"
#include "model/model.h"
#include "train/options.h"
#include "train/recipe.h"

enum { MANY = 1 << 20 }; /* parameters and steps of a model whose graphs are worth the time */
static const char *const seeds[] = {
    "{'model_type': 'mamba', 'hidden_size': 8, 'num_hidden_layers': 2, 'vocab_size': 9, 'state_size': 3, 'conv_kernel': 3, 'expand': 2, 'intermediate_size': 16, 'time_step_rank': 2,"
    " 'use_bias': true, 'use_conv_bias': false, 'layer_norm_epsilon': 1e-6, 'tie_word_embeddings': false, 'time_step_min': 0.01, 'time_step_init_scheme': 'constant', 'eos_token_id': 4}",
    "{'model_type': 'mamba2', 'hidden_size': 8, 'num_hidden_layers': 2, 'vocab_size': 9, 'state_size': 3, 'head_dim': 4, 'num_heads': 4, 'n_groups': 2, 'expand': 2, 'group_norm': false,"
    " 'time_step_limit': [0.0, {'__float__': 'Infinity'}], 'tie_word_embeddings': true}",
    "{'model_type': 'falcon_mamba', 'hidden_size': 8, 'num_hidden_layers': 1, 'vocab_size': 9, 'state_size': 2, 'mixer_rms_eps': 1e-4, 'intermediate_size': 16, 'time_step_rank': 'auto'}",
    "{'d_model': 8, 'n_layer': 2, 'vocab_size': 9, 'ssm_cfg': {'layer': 'Mamba2', 'headdim': 4, 'ngroups': 2, 'd_state': 3, 'A_init_range': [1, 8], 'dt_limit': [0.0, 0.5]}, 'rms_norm': true,"
    " 'pad_vocab_size_multiple': 16, 'attn_layer_idx': [1], 'attn_cfg': {'num_heads': 2, 'head_dim': 4, 'causal': true, 'rotary_emb_dim': 4}, 'd_intermediate': 8}",
    "{'model_type': 'jamba', 'hidden_size': 8, 'num_hidden_layers': 2, 'vocab_size': 9, 'num_attention_heads': 2, 'num_key_value_heads': 1, 'attn_layer_period': 2, 'attn_layer_offset': 1,"
    " 'expert_layer_period': 2, 'expert_layer_offset': 1, 'num_experts': 2, 'num_experts_per_tok': 1, 'intermediate_size': 12, 'mamba_d_state': 3, 'mamba_d_conv': 3, 'mamba_expand': 2, 'mamba_dt_rank': 2}",
    "{'model_type': 'krait', 'd_model': 8, 'n_layer': 3, 'vocab_size': 9, 'layers': ['mamba1', 'a+mlp', 'mixer&attention'], 'mixer': {'type': 'mamba2', 'headdim': 4, 'd_state': 3, 'in_scale': 3.0},"
    " 'mixers': {'a': {'type': 'attention', 'n_head': 2, 'window': 3}}, 'encoder': {'type': 'token', 'scale': 2.0}, 'order': {'type': 'bidirectional', 'share': true}}",
    "{'model_type': 'krait', 'd_model': 8, 'n_layer': 2, 'mixer': {'type': 'mamba1', 'd_state': 3}, 'layers': ['mixer+moe'], 'encoder': {'type': 'linear', 'width': 3},"
    " 'mixers': {'moe': {'n_expert': 4, 'top_k': 1, 'gate': 'sigmoid', 'd_shared': 4}}, 'head': {'type': 'regress', 'width': 2, 'pool': 'mean'}}",
    "{'model_type': 'krait', 'd_model': 4, 'n_layer': 3, 'mixer': {'type': 'mamba1', 'd_state': 3, 'order': {'type': 'swap', 'groups': 2}}, 'layers': ['mixer+a', 'a+b', 'condense'],"
    " 'encoder': {'type': 'linear', 'width': 2}, 'mixers': {'a': {'type': 's4d', 'd_state': 4, 'order': {'type': 'scan', 'path': 'window:apart:back,forward:flipped', 'path_window': 3, 'shuffle': 0.5}},"
    " 'b': {'type': 'mamba1', 'order': {'type': 'scan', 'axis': 'channels', 'path': 'bidirectional'}}, 'condense': {'window': 2, 'by': 'join', 'width': 6}}, 'head': {'type': 'regress'}}",
    "{'model_type': 'krait', 'd_model': 4, 'n_layer': 1, 'vocab_size': 7, 'mixer': {'type': 'mamba1', 'd_state': 3}, 'encoder': {'type': 'token', 'complement': '0 1 2 6 5 4 3', 'lengths': true}}",
    "{'model_type': 'krait', 'd_model': 4, 'n_layer': 1, 'mixer': {'type': 'mamba1', 'd_state': 3}, 'encoder': {'type': 'linear', 'size': '3x5'}, 'order': {'type': 'nested', 'window': 2, 'by': 'mean'},"
    " 'layers': ['mixer+a'], 'mixers': {'a': {'type': 'mamba1', 'order': {'type': 'scan', 'path': 'cross', 'coarse': 2}}}, 'head': {'type': 'regress'}}",
    "{'model_type': 'krait', 'd_model': 4, 'n_layer': 1, 'mixer': {'type': 's4d', 'd_state': 4}, 'encoder': {'type': 'patch', 'size': '4x4', 'patch': '2x2'}, 'order': {'type': 'scan'},"
    " 'head': {'type': 'class', 'n_classes': 3}}",
    "{'attention_bias': false, 'attn_layer_indices': [2], 'eos_token_id': 2, 'hidden_size': 8, 'intermediate_size': 8, 'mamba_conv_bias': true, 'mamba_d_conv': 4, "
    "'mamba_d_head': 4, 'mamba_d_state': 3, 'mamba_expand': 2, 'mamba_n_groups': 1, 'mamba_n_heads': 4, 'mamba_proj_bias': false, 'mlp_bias': false, 'model_type': "
    "'bamba', 'num_attention_heads': 2, 'num_hidden_layers': 4, 'num_key_value_heads': 1, 'partial_rotary_factor': 0.5, 'rms_norm_eps': 1e-05, 'rope_parameters': "
    "{'partial_rotary_factor': 0.5, 'rope_theta': 10000.0, 'rope_type': 'default'}, 'tie_word_embeddings': false, 'time_step_limit': [0.0, {'__float__': 'Infinity'}], "
    "'vocab_size': 9}",
    "{'adapter_rank': 2, 'add_bias_linear': false, 'attention_head_dim': 8, 'attention_hidden_size': 16, 'eos_token_id': 2, 'hidden_size': 8, 'hybrid_layer_ids': [2], "
    "'intermediate_size': 8, 'kv_channels': 4, 'layers_block_type': ['linear_attention', 'linear_attention', 'hybrid', 'linear_attention'], 'mamba_d_conv': 4, "
    "'mamba_d_state': 3, 'mamba_expand': 2, 'mamba_headdim': 4, 'mamba_ngroups': 1, 'model_type': 'zamba2', 'n_mamba_heads': 4, 'num_attention_heads': 2, "
    "'num_hidden_layers': 4, 'num_key_value_heads': 2, 'num_mem_blocks': 1, 'num_query_groups': 2, 'rms_norm_eps': 1e-05, 'rope_parameters': {'rope_theta': 10000.0, "
    "'rope_type': 'default'}, 'tie_word_embeddings': true, 'time_step_max': 0.1, 'time_step_min': 0.001, 'use_conv_bias': true, 'use_mem_rope': false, "
    "'use_shared_attention_adapter': false, 'vocab_size': 9}",
    "{'attention_bias': false, 'conv_kernel': 4, 'eos_token_id': 2, 'expand': 2, 'head_dim': 4, 'hidden_size': 8, 'intermediate_size': 8, 'layer_norm_epsilon': 1e-05, "
    "'layers_block_type': ['linear_attention', 'mlp', 'linear_attention', 'full_attention'], 'mamba_head_dim': 4, 'mamba_hidden_act': 'silu', 'mamba_num_heads': 4, "
    "'mamba_proj_bias': false, 'mamba_ssm_cache_dtype': 'float32', 'mlp_bias': false, 'mlp_hidden_act': 'relu2', 'model_type': 'nemotron_h', 'moe_intermediate_size': "
    "7688, 'moe_latent_size': null, 'moe_shared_expert_intermediate_size': 7688, 'moe_shared_expert_overlap': true, 'mtp_layers_block_type': ['full_attention', 'moe'], "
    "'n_group': 1, 'n_groups': 1, 'n_routed_experts': 8, 'n_shared_experts': 1, 'norm_topk_prob': true, 'num_attention_heads': 2, 'num_experts_per_tok': 2, "
    "'num_key_value_heads': 1, 'num_nextn_predict_layers': 0, 'routed_scaling_factor': 1.0, 'sliding_window': null, 'ssm_state_size': 3, 'tie_word_embeddings': false, "
    "'time_step_limit': [0.0, {'__float__': 'Infinity'}], 'time_step_max': 0.1, 'time_step_min': 0.001, 'topk_group': 1, 'use_bias': false, 'use_conv_bias': true, "
    "'vocab_size': 9}",
    "{'attention_bias': false, 'attention_multiplier': 1.0, 'embedding_multiplier': 1.0, 'eos_token_id': 2, 'hidden_size': 8, 'intermediate_size': 8, 'layer_types': "
    "['linear_attention', 'linear_attention', 'full_attention', 'linear_attention'], 'logits_scaling': 1.0, 'mamba_conv_bias': true, 'mamba_d_conv': 4, 'mamba_d_head': 4, "
    "'mamba_d_state': 3, 'mamba_expand': 2, 'mamba_n_groups': 1, 'mamba_n_heads': 4, 'mamba_proj_bias': false, 'model_type': 'granitemoehybrid', 'num_attention_heads': 2, "
    "'num_experts_per_tok': 2, 'num_hidden_layers': 4, 'num_key_value_heads': 1, 'num_local_experts': 4, 'position_embedding_type': 'nope', 'residual_multiplier': 1.0, "
    "'rms_norm_eps': 1e-06, 'rope_parameters': {'rope_theta': 10000.0, 'rope_type': 'default'}, 'shared_intermediate_size': 8, 'tie_word_embeddings': false, "
    "'time_step_limit': [0.0, {'__float__': 'Infinity'}], 'vocab_size': 9}",
    "{'attention_bias': false, 'attention_in_multiplier': 1.0, 'attention_out_multiplier': 1.0, 'embedding_multiplier': 1.0, 'eos_token_id': 2, 'head_dim': 4, "
    "'hidden_size': 8, 'intermediate_size': 8, 'key_multiplier': 1.0, 'lm_head_multiplier': 1.0, 'mamba_conv_bias': true, 'mamba_d_conv': 4, 'mamba_d_head': 4, "
    "'mamba_d_ssm': 16, 'mamba_d_state': 3, 'mamba_expand': 2, 'mamba_n_groups': 1, 'mamba_n_heads': 4, 'mamba_norm_before_gate': true, 'mamba_proj_bias': false, "
    "'mamba_rms_norm': false, 'mlp_bias': false, 'mlp_multipliers': [1.0, 1.0], 'model_type': 'falcon_h1', 'num_attention_heads': 2, 'num_hidden_layers': 2, "
    "'num_key_value_heads': 1, 'projectors_bias': false, 'rms_norm_eps': 1e-05, 'rope_parameters': {'rope_theta': 10000.0, 'rope_type': 'default'}, 'ssm_in_multiplier': "
    "1.0, 'ssm_multipliers': [1.0, 1.0, 1.0, 1.0, 1.0], 'ssm_out_multiplier': 1.0, 'tie_word_embeddings': false, 'time_step_limit': [0.0, {'__float__': 'Infinity'}], "
    "'vocab_size': 9}",
    "{'name': 'x', 'about': 'y', 'model': {'d_model': 8, 'n_layer': 1, 'mixer': {'type': 'mamba2', 'headdim': 4, 'd_state': 3}}, 'data': {'kind': 'text', 'paths': ['a']},"
    " 'train': {'lr': 0.002, 'min_lr': 1e-5, 'steps': 40, 'warmup_steps': 8, 'schedule': 'wsd', 'decay_fraction': 0.5, 'batch_size': 2, 'out': 'z', 'recompute': true}, 'results': {}}",
};
const long fuzz_inputs = 8000;
const char *const fuzz_words[] = {"'mamba1'", "'mamba2'", "'mamba3'", "'attention'", "'mlp'", "'moe'", "'lstm'", "'s4d'", "'zamba2'", "'bamba'", "'jamba'", "'nemotron_h'", "'granitemoehybrid'",
                                  "'falcon_h1'", "'type': ", "'layers': ", "'mixers': ", "'d_state': ", "'headdim': ", "'ngroups': ", "'n_head': ", "'window': ", "[", "]", "{", "}", "null", "true",
                                  "'bidirectional'", "'token'", "'linear'", "'regress'", "'+'", "&", "'model': ", "'train': ", "'steps': ", "'schedule': ", NULL};

size_t fuzz_seed(int i, uint8_t *to, size_t room) { return i < (int)(sizeof seeds / sizeof *seeds) ? fuzz_text(seeds[i], to, room) : 0; }

static bool sentence(kr_status st) { if (st > 0 && st != KR_ERR_FORMAT && st != KR_ERR_ARG) fprintf(stderr, "%d %s\n", (int)st, kr_error());
    return st == KR_OK || ((st == KR_ERR_FORMAT || st == KR_ERR_ARG || st == KR_ERR_SHAPE || st == KR_ERR_CONFIG || st == KR_ERR_MISSING) && *kr_error()); }

/* What is written is the same model, and written again the same text. */
static void there_and_back(const kr_config *c) {
    kr_config again;
    json_t *out, *twice;
    FUZZ_MUST(kr_config_write(c, &out) == KR_OK);
    FUZZ_MUST(kr_config_read(&again, out, "written") == KR_OK);
    FUZZ_MUST(again.d_model == c->d_model && again.n_layer == c->n_layer && again.vocab_size == c->vocab_size && again.mixer == c->mixer && again.causal == c->causal);
    FUZZ_MUST(kr_config_write(&again, &twice) == KR_OK);
    FUZZ_MUST(json_equal(out, twice));
    kr_config_clear(&again);
    json_decref(out);
    json_decref(twice);
}

static void build(kr_model *m) {
    static const kr_model_graph_options options[] = {{.mode = KR_MODEL_LAST, .S = 1, .L = 1, .stateful = true, .n_threads = 1},
                                                     {.mode = KR_MODEL_TRAIN, .S = 2, .L = 16, .n_threads = 2},
                                                     {.mode = KR_MODEL_ALL, .S = 1, .L = 3, .n_threads = 1}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        kr_graph *g = NULL;
        FUZZ_MUST(sentence(kr_model_graph(m, &options[i], &g)));
        kr_graph_free(g);
    }
}

/* What becomes of the recipe; NULL: refused. */
static json_t *model_of_recipe(const char *text, size_t n) {
    static const char *const set[] = {"lr=0.1", "model.norm_eps=1e-6", "mixer.d_state=4"};
    static const kr_source_info info = {.kind = "text", .vocab_size = 9, .end_id = 8, .n_targets = 1};
    static int fd = -1;
    char path[40], *out;
    kr_train_options o;
    json_t *j, *model = NULL;
    if (fd < 0) fd = memfd_create("fuzz", MFD_CLOEXEC);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    FUZZ_MUST(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, text, n, 0) == (ssize_t)n);
    kr_status st = kr_recipe_read(&out, path, set, n % 2 ? 3 : 1);
    FUZZ_MUST(sentence(st));
    if (st != KR_OK) return NULL;
    FUZZ_MUST(kr_json_parse(&j, out, strlen(out), "recipe") == KR_OK);
    kr_text_free(out);
    st = kr_train_options_read(&o, json_object_get(j, "train"));
    FUZZ_MUST(sentence(st));
    for (int64_t step = 0; st == KR_OK && step < 4; step++) {
        double lr = kr_train_lr(&o, step * (o.steps / 3));
        FUZZ_MUST(isfinite(lr) && lr >= 0);
    }
    FUZZ_MUST(sentence(kr_recipe_model(j, &info, &model)));
    json_decref(j);
    return model;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static char text[1 << 16];
    int64_t live = kr_mem_get_stats().n_live;
    json_t *j;
    kr_model *m;
    if (n > sizeof text) return 0;
    for (size_t i = 0; i < n; i++) text[i] = data[i] == '\'' ? '"' : (char)data[i]; /* easier to read above */
    if (kr_json_parse(&j, text, n, "fuzz") != KR_OK) return 0;                     /* fuzz_json's */
    if (json_object_get(j, "model")) {
        json_decref(j);
        if (!(j = model_of_recipe(text, n))) goto end;
    }
    kr_status st = kr_model_describe(&m, j, "fuzz", KR_F32, NULL);
    FUZZ_MUST(sentence(st));
    json_decref(j);
    if (st == KR_OK) {
        int64_t all = 0, n_params = 0;
        for (const kr_param *p = m->params->first; p && all < MANY; p = p->next, n_params++) all += kr_param_count(p);
        there_and_back(&m->config);
        if (all < MANY && n_params < 400) build(m);
        kr_model_release(m);
    }
end:
    FUZZ_MUST(kr_mem_get_stats().n_live == live);
    return 0;
}
