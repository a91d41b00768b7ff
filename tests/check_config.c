/* check_config.c - configs and weights, out and in again: nothing of a model is lost. */
#include "krait.h"
#include "model/safetensors.h"
#include "model_case.h"

#define MAMBA                                                                                                            \
    "{'model_type': 'mamba', 'architectures': ['MambaForCausalLM'], 'hidden_size': 40, 'num_hidden_layers': 2, 'vocab_size': 323," \
    " 'state_size': 5, 'conv_kernel': 3, 'expand': 3, 'intermediate_size': 120, 'time_step_rank': 3, 'use_bias': true,"     \
    " 'use_conv_bias': false, 'layer_norm_epsilon': 1e-6, 'tie_word_embeddings': false, 'time_step_min': 0.01,"             \
    " 'time_step_max': 0.2, 'time_step_floor': 0.001, 'time_step_scale': 2.0, 'time_step_init_scheme': 'constant',"          \
    " 'bos_token_id': 3, 'eos_token_id': 4, 'hidden_act': 'silu'}"
#define FALCON                                                                                                            \
    "{'model_type': 'falcon_mamba', 'hidden_size': 64, 'num_hidden_layers': 2, 'vocab_size': 320, 'state_size': 16, 'mixer_rms_eps': 1e-4," \
    " 'intermediate_size': 128, 'time_step_rank': 8, 'tie_word_embeddings': true}"
#define MAMBA2                                                                                                            \
    "{'model_type': 'mamba2', 'hidden_size': 96, 'num_hidden_layers': 2, 'vocab_size': 320, 'state_size': 24, 'head_dim': 16,"  \
    " 'num_heads': 12, 'n_groups': 4, 'expand': 2, 'time_step_limit': [0.01, 0.2], 'use_bias': true, 'layer_norm_epsilon': 1e-6," \
    " 'tie_word_embeddings': false, 'eos_token_id': 2, 'bos_token_id': 0}"
#define MAMBA2_PLAIN                                                                                                      \
    "{'model_type': 'mamba2', 'hidden_size': 64, 'num_hidden_layers': 3, 'vocab_size': 320, 'head_dim': 16, 'num_heads': 8,"   \
    " 'n_groups': 1, 'time_step_limit': [0.0, {'__float__': 'Infinity'}], 'tie_word_embeddings': true}"
#define STATE_SPACES                                                                                                      \
    "{'d_model': 32, 'n_layer': 2, 'vocab_size': 50277, 'ssm_cfg': {'layer': 'Mamba2', 'headdim': 16, 'ngroups': 2, 'd_state': 8," \
    " 'A_init_range': [1, 8], 'dt_limit': [0.0, 0.5]}, 'rms_norm': true, 'residual_in_fp32': true, 'fused_add_norm': true," \
    " 'pad_vocab_size_multiple': 16, 'tie_embeddings': true}"
#define STATE_SPACES1 "{'d_model': 32, 'n_layer': 2, 'vocab_size': 50277, 'ssm_cfg': {}, 'rms_norm': true, 'pad_vocab_size_multiple': 8}"

static void read_ok(kr_config *c, const json_t *j) {
    if (kr_config_read(c, j, "config.json") != KR_OK) fail_msg("%s", kr_error());
}

static json_t *write_ok(const kr_config *c) {
    json_t *j;
    if (kr_config_write(c, &j) != KR_OK) fail_msg("%s", kr_error());
    return j;
}

static void same_json(const char *what, const json_t *a, const json_t *b) {
    bool same = json_is_number(a) && json_is_number(b) ? json_number_value(a) == json_number_value(b) : json_equal(a, b);
    if (same) return;
    char *x = json_dumps(a, JSON_ENCODE_ANY), *y = json_dumps(b, JSON_ENCODE_ANY);
    fail_msg("%s: %s became %s", what, x, y ? y : "nothing");
}

/* Both describe a model of the same parameters. */
static void same_parameters(const json_t *a, const json_t *b) {
    kr_model *m, *n = NULL;
    if (kr_model_describe(&m, a, "a", KR_F32, NULL) != KR_OK || kr_model_describe(&n, b, "b", KR_F32, NULL) != KR_OK) fail_msg("%s", kr_error());
    const kr_param *q = n->params->first;
    for (const kr_param *p = m->params->first; p; p = p->next, q = q->next) {
        assert_non_null(q);
        assert_string_equal(p->name, q->name);
        assert_memory_equal(p->dim, q->dim, sizeof p->dim);
        assert_int_equal(p->init.kind, q->init.kind);
    }
    assert_null(q);
    assert_int_equal(m->config.vocab_size, n->config.vocab_size);
    kr_model_release(m);
    kr_model_release(n);
}

/* Every key that was there says the same afterwards, and a second round changes nothing. */
static void round_trip(const char *text) {
    kr_config c, again;
    json_t *in = json_of(text), *v;
    const char *key;
    read_ok(&c, in);
    json_t *out = write_ok(&c);
    json_object_foreach(in, key, v) same_json(key, v, json_object_get(out, key));
    read_ok(&again, out);
    json_t *twice = write_ok(&again);
    same_json(text, out, twice);
    assert_string_equal(c.dialect, again.dialect);
    kr_config_clear(&c);
    kr_config_clear(&again);
    json_decref(in);
    json_decref(out);
    json_decref(twice);
}

static void test_hugging_face(void **state) {
    static const char *const all[] = {MAMBA, FALCON, MAMBA2_PLAIN};
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) round_trip(all[i]);
}

/* Groups are normalised one by one unless a key says that the model was trained otherwise. */
static void test_hugging_face_groups(void **state) {
    (void)state;
    round_trip(MAMBA2);
    kr_config c;
    json_t *in = json_of(MAMBA2);
    read_ok(&c, in);
    assert_int_equal(c.d_model, 96);
    assert_int_equal(c.eos_token_id, 2);
    assert_true(!c.tie_embeddings && c.norm_eps == 1e-6);
    assert_null(json_object_get(json_object_get(c.json, "mixer"), "group_norm"));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(c.json, "mixer"), "ngroups")), 4);
    json_t *out = write_ok(&c);
    assert_null(json_object_get(out, "group_norm"));
    json_decref(out);
    kr_config_clear(&c);
    json_object_set_new(in, "group_norm", json_false());
    read_ok(&c, in);
    assert_true(json_is_false(json_object_get(json_object_get(c.json, "mixer"), "group_norm")));
    out = write_ok(&c);
    assert_string_equal(json_string_value(json_object_get(out, "model_type")), "mamba2");
    assert_true(json_is_false(json_object_get(out, "group_norm")));
    json_decref(out);
    kr_config_clear(&c);
    json_decref(in);
}

/* Hugging Face's code looks at neither of these, so nor must we. */
static void test_hugging_face_norm(void **state) {
    (void)state;
    kr_config c;
    json_t *in = json_of("{'model_type': 'mamba2', 'hidden_size': 64, 'num_hidden_layers': 3, 'vocab_size': 320, 'head_dim': 16, 'num_heads': 8,"
                         " 'norm_before_gate': true, 'rms_norm': false}");
    read_ok(&c, in);
    json_t *mixer = json_object_get(c.json, "mixer"), *out = write_ok(&c);
    assert_true(!json_is_true(json_object_get(mixer, "norm_before_gate")) && !json_is_false(json_object_get(mixer, "rmsnorm")));
    same_parameters(in, out);
    kr_config_clear(&c);
    json_decref(in);
    json_decref(out);
}

/* What has no end-of-text id must not be given one: Hugging Face's default is 0. */
static void test_no_end_of_text(void **state) {
    (void)state;
    kr_config c, again;
    json_t *in = json_of("{'model_type': 'krait', 'd_model': 40, 'mixer': {'type': 'mamba1', 'dt_rank': 0}}");
    read_ok(&c, in);
    json_t *out = write_ok(&c);
    assert_int_equal(json_integer_value(json_object_get(out, "time_step_rank")), 3); /* Hugging Face has no 0 */
    assert_string_equal(json_string_value(json_object_get(out, "model_type")), "mamba");
    assert_true(json_is_null(json_object_get(out, "eos_token_id")));
    assert_true(json_is_null(json_object_get(out, "bos_token_id")));
    read_ok(&again, out);
    assert_int_equal(again.eos_token_id, -1);
    kr_config_clear(&c);
    kr_config_clear(&again);
    json_decref(in);
    json_decref(out);
}

/* state-spaces' configs are saved as Hugging Face's or ours; the model stays the same. */
static void test_state_spaces(void **state) {
    static const char *const all[] = {STATE_SPACES, STATE_SPACES1};
    (void)state;
    for (int i = 0; i < 2; i++) {
        kr_config c, again;
        json_t *in = json_of(all[i]);
        read_ok(&c, in);
        assert_string_equal(c.dialect, "state-spaces");
        assert_int_equal(c.vocab_size, i ? 50280 : 50288);
        assert_true(c.tie_embeddings);
        assert_string_equal(c.mixer->name, i ? "mamba1" : "mamba2");
        json_t *out = write_ok(&c);
        same_parameters(in, out);
        read_ok(&again, out);
        json_t *twice = write_ok(&again);
        same_json(all[i], out, twice);
        kr_config_clear(&c);
        kr_config_clear(&again);
        json_decref(in);
        json_decref(out);
        json_decref(twice);
    }
}

static void test_own(void **state) {
    static const char *const all[] = {
        "{'model_type': 'krait', 'd_model': 24, 'mixer': {'type': 'mamba2', 'd_ssm': 16, 'headdim': 8, 'D_has_hdim': true}}",
        "{'model_type': 'krait', 'd_model': 24, 'mixer': {'type': 'mamba2', 'ngroups': 2, 'headdim': 8, 'dt_limit_max': 0.5, 'D_has_hdim': true}}",
        "{'model_type': 'krait', 'd_model': 24, 'mixer': {'type': 'mamba2', 'headdim': 8, 'norm_before_gate': true, 'rmsnorm': false}}",
        "{'model_type': 'krait', 'd_model': 24, 'mixer': {'type': 'mamba2', 'headdim': 8, 'learnable_init_states': true, 'd_inner': 40}}",
        "{'model_type': 'krait', 'order': {'type': 'bidirectional', 'share': true}, 'mixer': {'type': 'mamba1', 'd_state': 7}}",
        "{'model_type': 'krait', 'encoder': {'type': 'linear', 'width': 3}, 'head': {'type': 'regress', 'width': 2, 'pool': 'mean'}}",
        "{'model_type': 'krait', 'd_model': 24, 'n_layer': 3, 'layers': ['mamba1', 'a+mlp', 'attention'],"
        " 'mixers': {'a': {'type': 'attention', 'n_head': 3, 'window': 7}}}",
        "{'model_type': 'krait', 'd_model': 24, 'n_layer': 2, 'mixer': {'type': 'mamba2', 'headdim': 8}, 'layers': ['mixer+mamba2']}",
        "{'model_type': 'krait', 'd_model': 24, 'n_layer': 2, 'mixer': {'type': 'mamba2', 'headdim': 8, 'in_scale': 3.0}, 'layers': ['mixer&a+mlp'],"
        " 'mixers': {'a': {'type': 'attention', 'out_scale': 0.5}}, 'encoder': {'type': 'token', 'scale': 2.0}}",
        "{'model_type': 'krait', 'd_model': 24, 'n_layer': 2, 'mixer': {'type': 'mamba1'}, 'layers': ['mixer+moe', 'shared+mixer'],"
        " 'mixers': {'moe': {'n_expert': 4, 'top_k': 1, 'gate': 'sigmoid', 'd_shared': 8}, 'shared': {'n_head': 2, 'adapter_rank': 3}}}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        json_t *in = json_of(all[i]), *v, *w;
        const char *key, *inner;
        kr_config c;
        read_ok(&c, in);
        json_t *out = write_ok(&c);
        same_parameters(in, out);
        assert_string_equal(json_string_value(json_object_get(out, "model_type")), "krait");
        json_object_foreach(in, key, v) {
            if (!json_is_object(v)) same_json(key, v, json_object_get(out, key));
            if (strcmp(key, "mixers") == 0) continue; /* compared below */
            json_object_foreach(v, inner, w) same_json(inner, w, json_object_get(json_object_get(out, key), inner));
        }
        kr_config_clear(&c);
        json_decref(in);
        json_decref(out);
    }
}

/* state-spaces' own words for attention layers and MLPs, under its own names. */
static void test_state_spaces_hybrid(void **state) {
    static const struct { const char *name; int64_t rows, columns; } want[] = {
        {"backbone.layers.0.mixer.A_log", 4, 0},         {"backbone.layers.0.norm2.weight", 32, 0},
        {"backbone.layers.0.mlp.fc1.weight", 256, 32},   {"backbone.layers.1.mixer.in_proj.weight", 64, 32},
        {"backbone.layers.1.mixer.in_proj.bias", 64, 0}, {"backbone.layers.1.mixer.conv1d.weight", 64, 3},
        {"backbone.layers.1.mlp.fc2.weight", 32, 128},
    };
    json_t *j = json_of("{'d_model': 32, 'n_layer': 2, 'vocab_size': 50, 'ssm_cfg': {'layer': 'Mamba2', 'headdim': 16, 'd_state': 8},"
                        " 'attn_layer_idx': [1], 'attn_cfg': {'causal': true, 'num_heads': 4, 'num_heads_kv': 2, 'head_dim': 8, 'd_conv': 3,"
                        " 'rotary_emb_dim': 4, 'out_proj_bias': false}, 'd_intermediate': 100}");
    kr_model *m;
    (void)state;
    if (kr_model_describe(&m, j, "config.json", KR_F32, NULL) != KR_OK) fail_msg("%s", kr_error());
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const kr_param *p = kr_params_find(m->params, want[i].name);
        if (!p) fail_msg("there is no %s", want[i].name);
        assert_int_equal(p->dim[0], want[i].rows);
        if (want[i].columns) assert_int_equal(p->dim[1], want[i].columns);
    }
    assert_null(kr_params_find(m->params, "backbone.layers.1.mixer.out_proj.bias"));
    kr_model_release(m);
    json_decref(j);
}

static void test_refusals(void **state) {
    static const char *const cases[][2] = {
        {"{'model_type': 'krait', 'd_modell': 3}", "did you mean \"d_model\""},
        {"{'model_type': 'krait', 'mixer': {'type': 'mamba2', 'dstate': 3}}", "did you mean \"d_state\""},
        {"{'model_type': 'krait', 'mixer': {'type': 'mamba1', 'headdim': 3}}", "mixer has no key \"headdim\""},
        {"{'model_type': 'krait', 'mixer': {'type': 'mamba9'}}", "there is no mixer \"mamba9\"; there are "},
        {"{'model_type': 'krait', 'mixer': {'type': 3}}", "mixer.type"},
        {"{'model_type': 'krait', 'mixer': 'mamba1'}", "mixer wants an object"},
        {"{'model_type': 'krait', 'd_model': 0}", "config.d_model is 0, want 1"},
        {"{'model_type': 'krait', 'd_model': 5, 'mixer': {'type': 'mamba2', 'headdim': 4}}", "is not a number of heads of headdim 4"},
        {"{'model_type': 'krait', 'd_model': 6, 'mixer': {'type': 'mamba2', 'headdim': 4, 'ngroups': 2}}", "3 heads do not split into ngroups 2"},
        {"{'model_type': 'krait', 'd_model': 4, 'mixer': {'type': 'mamba2', 'headdim': 4, 'd_ssm': 400}}", "d_ssm 400 of d_inner 8"},
        {"{'model_type': 'krait', 'd_model': 4, 'mixer': {'type': 'mamba2', 'headdim': 4, 'dt_limit_min': 0.5, 'dt_limit_max': 0.1}}", "dt_limit_min 0.5 is above dt_limit_max 0.1"},
        {"{'model_type': 'llama'}", "model_type is \"llama\", want one of krait, mamba"},
        {"{'model_type': 3}", "model_type is"},
        {"{}", "model_type is \"absent\""},
        {"[]", "is not a JSON object"},
        {"{'model_type': 'mamba', 'hidden_size': 8, 'secret': 1}", "the key \"secret\" is not known"},
        {"{'model_type': 'mamba', 'hidden_size': 8, 'hidden_act': 'relu'}", "hidden_act is \"relu\", want \"silu\""},
        {"{'model_type': 'mamba', 'hidden_size': 'big'}", "d_model wants a whole number"},
        {"{'model_type': 'mamba2', 'hidden_size': 64, 'num_heads': 7, 'head_dim': 16}", "num_heads 7 * head_dim 16 is not expand * hidden_size = 128"},
        {"{'model_type': 'mamba2', 'hidden_size': 64, 'num_heads': 8, 'head_dim': 16, 'time_step_limit': 3}", "time_step_limit"},
        {"{'model_type': 'mamba2', 'hidden_size': 4611686018427387904, 'expand': 4611686018427387904}", "is not expand * hidden_size"},
        {"{'d_model': 8, 'n_layer': 1, 'vocab_size': 9, 'ssm_cfg': {'layer': 'Mamba3'}}", "ssm_cfg.layer is \"Mamba3\""},
        {"{'d_model': 8, 'n_layer': 1, 'vocab_size': 9, 'ssm_cfg': {'headdin': 3, 'layer': 'Mamba2'}}", "\"ssm_cfg.headdin\" is not known"},
        {"{'d_model': 8, 'n_layer': 1, 'vocab_size': 9, 'ssm_cfg': 3}", "ssm_cfg"},
        {"{'d_model': 8, 'n_layer': 1, 'vocab_size': 9, 'rms_norm': false}", "rms_norm is false"},
        {"{'d_model': 8, 'n_layer': 1, 'vocab_size': 9, 'attn_layer_idx': [0]}", "attn_cfg.causal is not true"},
        {"{'d_model': 8, 'n_layer': 1, 'vocab_size': 9, 'attn_layer_idx': [0], 'attn_cfg': {'causal': true, 'num_heads': 2, 'heads': 1}}", "\"heads\" is not known"},
        {"{'model_type': 'bamba', 'hidden_size': 8, 'surprise': 1}", "\"surprise\" is not known"},
        {"{'model_type': 'bamba', 'hidden_size': 8, 'mamba_n_heads': 3, 'num_attention_heads': 2}", "mamba_n_heads 3 does not divide"},
        {"{'model_type': 'nemotron_h', 'hidden_size': 8, 'layers_block_type': ['moa']}", "layer 0 is neither"},
        {"{'model_type': 'nemotron_h', 'hidden_size': 8, 'layers_block_type': ['moe'], 'n_group': 2}", "n_group is 2, want 1"},
        {"{'model_type': 'nemotron_h', 'hidden_size': 8, 'layers_block_type': ['moe'], 'mlp_bias': true}", "experts have no biases"},
        {"{'model_type': 'bamba', 'hidden_size': 64, 'num_hidden_layers': 9000000000000000}", "more than 100000 layers"},
        {"{'d_model': 8, 'n_layer': 9000000000000000, 'vocab_size': 9, 'd_intermediate': 8}", "more than 100000 layers"},
        {"{'model_type': 'bamba', 'hidden_size': 64, 'num_attention_heads': 2, 'partial_rotary_factor': 1e300}", "want 0 to 1"},
        {"{'model_type': 'krait', 'layers': []}", "layers wants an array"},
        {"{'model_type': 'krait', 'layers': 'mamba2'}", "layers wants an array"},
        {"{'model_type': 'krait', 'layers': [3]}", "layers[0] wants a text"},
        {"{'model_type': 'krait', 'layers': ['mamba2+']}", "no list of names"},
        {"{'model_type': 'krait', 'layers': ['&mamba2']}", "no list of names"},
        {"{'model_type': 'krait', 'layers': ['mixer+shared']}", "shared stands alone"},
        {"{'model_type': 'krait', 'layers': ['shared&mixer']}", "shared stands alone"},
        {"{'model_type': 'krait', 'layers': ['moe'], 'mixers': {'moe': {'n_expert': 2, 'top_k': 3}}}", "top_k is 3, but n_expert is 2"},
        {"{'model_type': 'jamba', 'hidden_size': 8, 'attn_layer_period': 0}", "is not positive"},
        {"{'model_type': 'jamba', 'hidden_size': 8, 'mamba_inner_layernorms': false}", "want true"},
        {"{'model_type': 'granitemoehybrid', 'hidden_size': 64, 'num_hidden_layers': 1, 'layer_types': ['rnn']}", "layer 0 is \"rnn\""},
        {"{'model_type': 'granitemoehybrid', 'hidden_size': 64, 'logits_scaling': 0}", "logits_scaling is 0"},
        {"{'model_type': 'zamba2', 'hidden_size': 64, 'num_hidden_layers': 1}", "says nothing of layer 0"},
        {"{'model_type': 'zamba2', 'hidden_size': 64, 'hidden_act': 'tanh'}", "want \"gelu\""},
        {"{'model_type': 'krait', 'layers': ['mlp'], 'mixers': {'mlp': {'out_scale': 'x'}}}", "mixers.mlp.out_scale wants a number"},
        {"{'model_type': 'krait', 'mixer': {'in_scale': true}}", "mixer.in_scale wants a number"},
        {"{'model_type': 'falcon_h1', 'hidden_size': 8, 'projectors_bias': true}", "projectors_bias and mamba_proj_bias differ"},
        {"{'model_type': 'krait', 'layers': ['mlp+mlp+mlp&mlp+mlp+mlp+mlp']}", "more than 6 parts"},
        {"{'model_type': 'krait', 'n_layer': 1, 'layers': ['mlp', 'mlp']}", "layers has 2 entries, but n_layer is 1"},
        {"{'model_type': 'krait', 'layers': ['mamab2']}", "there is no mixer \"mamab2\""},
        {"{'model_type': 'krait', 'layers': ['mixer'], 'mixers': {'mlp': {}}}", "mixers.mlp is not in layers"},
        {"{'model_type': 'krait', 'layers': ['mlp'], 'mixers': {'mlp': {'d_f': 3}}}", "d_f"},
        {"{'model_type': 'krait', 'layers': ['mlp'], 'mixers': {'mlp': 3}}", "mixers.mlp wants an object"},
        {"{'model_type': 'krait', 'layers': ['mlp'], 'mixers': []}", "mixers wants an object"},
        {"{'model_type': 'krait', 'layers': ['mlp'], 'mixers': {'mlp': {'activation': 'relu2'}}}", "relu2 has no gate"},
        {"{'model_type': 'krait', 'd_model': 20, 'mixer': {'type': 'attention', 'n_head': 6}}", "d_model 20 is no multiple of n_head 6"},
        {"{'model_type': 'krait', 'mixer': {'type': 'attention', 'n_head': 6, 'n_kv_head': 4, 'head_dim': 4}}", "n_head 6 is no multiple of n_kv_head 4"},
        {"{'model_type': 'krait', 'd_model': 16, 'mixer': {'type': 'attention', 'n_head': 2, 'rope_dims': 3}}", "rope_dims is 3"},
        {"{'d_model': 8, 'n_layer': 1, 'vocab_size': -4}", "vocab_size"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t live = kr_mem_get_stats().n_live;
        json_t *j = json_of(cases[i][0]);
        kr_model *m;
        kr_status st = kr_model_describe(&m, j, "config.json", KR_F32, NULL);
        if (st != KR_ERR_CONFIG) fail_msg("%s: status %d", cases[i][0], st);
        if (!strstr(kr_error(), cases[i][1])) fail_msg("%s: said: %s", cases[i][0], kr_error());
        if (!strstr(kr_error(), "config.json")) fail_msg("%s: does not name the file: %s", cases[i][0], kr_error());
        json_decref(j);
        assert_int_equal(kr_mem_get_stats().n_live, live);
    }
}

/* --- weights ------------------------------------------------------------------------------ */

static const char tied[] = "{'model_type': 'krait', 'd_model': 12, 'n_layer': 2, 'vocab_size': 11, 'mixer': {'type': 'mamba2', 'headdim': 6, 'd_state': 5}}";
static const char untied[] = "{'model_type': 'krait', 'd_model': 12, 'n_layer': 2, 'vocab_size': 11, 'tie_embeddings': false, 'mixer': {'type': 'mamba1', 'd_state': 5}}";

static void same_weights(const kr_model *a, const kr_model *b, bool rounded) {
    const kr_param *q = b->params->first;
    for (const kr_param *p = a->params->first; p; p = p->next, q = q->next) {
        const float *x = p->data, *y = q->data;
        for (int64_t i = 0; i < kr_param_count(p); i++) {
            float want = rounded && p->matrix ? kr_from_bf16(kr_to_bf16(x[i])) : x[i];
            if (want != y[i]) fail_msg("%s[%lld] is %.9g, want %.9g", p->name, (long long)i, y[i], want);
        }
    }
}

static kr_model *load_ok(const char *dir, kr_dtype dtype) {
    kr_model *m;
    if (kr_model_load(&m, dir, false, dtype, NULL) != KR_OK) fail_msg("%s", kr_error());
    return m;
}

static void test_weights(void **state) {
    static const char *const all[] = {tied, untied};
    (void)state;
    for (int i = 0; i < 2; i++)
        for (int bf16 = 0; bf16 < 2; bf16++) {
            const char *dir = new_folder();
            kr_model *m = model_of(all[i], 3);
            if (kr_model_save(m, dir, bf16 ? KR_BF16 : KR_F32) != KR_OK) fail_msg("%s", kr_error());
            char path[200];
            json_t *j;
            snprintf(path, sizeof path, "%s/config.json", dir);
            assert_int_equal(kr_json_load(&j, path), KR_OK);
            assert_string_equal(json_string_value(json_object_get(j, "dtype")), bf16 ? "bfloat16" : "float32");
            json_decref(j);
            kr_model *again = load_ok(dir, KR_F32);
            same_weights(m, again, bf16);
            kr_model_release(m);
            kr_model_release(again);
            kr_dir_remove(dir);
        }
}

/* Saved, loaded in bfloat16 for training, saved and loaded: still the same. */
static void test_bf16_training_weights(void **state) {
    (void)state;
    const char *dir = new_folder(), *other = new_folder();
    kr_model *m = model_of(tied, 3), *half;
    if (kr_model_save(m, dir, KR_F32) != KR_OK) fail_msg("%s", kr_error());
    assert_int_equal(kr_model_load(&half, dir, true, KR_BF16, NULL), KR_OK);
    for (const kr_param *p = m->params->first, *q = half->params->first; p; p = p->next, q = q->next)
        if (p->matrix) assert_memory_equal(p->data, q->master, (size_t)kr_param_count(p) * sizeof(float));
    if (kr_model_save(half, other, KR_F32) != KR_OK) fail_msg("%s", kr_error());
    kr_model *again = load_ok(other, KR_F32);
    same_weights(m, again, false);
    kr_model_release(m);
    kr_model_release(half);
    kr_model_release(again);
    kr_dir_remove(dir);
    kr_dir_remove(other);
}

/* The file of m under other names: the token table by state-spaces' name, and `skip` left out. */
static void write_as(const kr_model *m, const char *dir, const char *table, const char *skip, const char *extra) {
    char path[256];
    kr_st_writer *w;
    assert_int_equal(kr_st_writer_new(&w), KR_OK);
    for (const kr_param *p = m->params->first; p; p = p->next) {
        kr_tensor t = {.data = p->data, .dtype = KR_F32, .n_dims = p->n_dims};
        memcpy(t.dim, p->dim, sizeof p->dim);
        if (p->conv) t.n_dims = 3, t.dim[2] = t.dim[1], t.dim[1] = 1;
        if (strcmp(p->name, skip) == 0) continue;
        assert_int_equal(kr_st_writer_add(w, strcmp(p->name, "backbone.embeddings.weight") ? p->name : table, &t, KR_F32), KR_OK);
    }
    float one = 1;
    kr_tensor t = {.data = &one, .dtype = KR_F32, .n_dims = 1, .dim = {1}};
    if (*extra) assert_int_equal(kr_st_writer_add(w, extra, &t, KR_F32), KR_OK);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    if (kr_st_writer_save(w, path) != KR_OK) fail_msg("%s", kr_error());
    kr_st_writer_free(w);
}

static void test_other_names(void **state) {
    (void)state;
    const char *dir = new_folder();
    kr_model *m = model_of(tied, 3), *bad;
    if (kr_model_save(m, dir, KR_F32) != KR_OK) fail_msg("%s", kr_error());
    write_as(m, dir, "backbone.embedding.weight", "", "");
    kr_model *again = load_ok(dir, KR_F32);
    same_weights(m, again, false);
    kr_model_release(again);
    write_as(m, dir, "backbone.embeddings.weight", "", "lm_head.weight"); /* tied: not read, as the table is */
    again = load_ok(dir, KR_F32);
    same_weights(m, again, false);
    kr_model_release(again);
    write_as(m, dir, "backbone.embeddings.weight", "", "backbone.layers.7.mixer.D");
    assert_int_equal(kr_model_load(&bad, dir, false, KR_F32, NULL), KR_ERR_CONFIG);
    assert_non_null(strstr(kr_error(), "backbone.layers.7.mixer.D"));
    write_as(m, dir, "backbone.embeddings.weight", "backbone.layers.1.mixer.A_log", "");
    assert_int_equal(kr_model_load(&bad, dir, false, KR_F32, NULL), KR_ERR_MISSING);
    assert_non_null(strstr(kr_error(), "backbone.layers.1.mixer.A_log"));
    kr_model_release(m);
    kr_dir_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hugging_face),  cmocka_unit_test(test_hugging_face_groups), cmocka_unit_test(test_hugging_face_norm), cmocka_unit_test(test_no_end_of_text),
        cmocka_unit_test(test_state_spaces),  cmocka_unit_test(test_own),                 cmocka_unit_test(test_state_spaces_hybrid), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_weights),       cmocka_unit_test(test_bf16_training_weights), cmocka_unit_test(test_other_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
