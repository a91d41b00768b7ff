/* dialect.c - one table a dialect: their key, our key, what holds when theirs is absent.
 *
 * "mixer.d_state" is a key of the mixer object.  A row without our key is read and
 * ignored: it does not change the model.  [0] and [1] take a pair apart. */
#include "model/dialect.h"

#include <stdio.h>
#include <string.h>

typedef struct row { const char *theirs, *ours, *absent; } row; /* absent: JSON, or NULL */

#define COMMON_HF                                                                                          \
    {"hidden_size", "d_model", NULL}, {"num_hidden_layers", "n_layer", NULL}, {"vocab_size", "vocab_size", NULL},  \
    {"layer_norm_epsilon", "norm_eps", "1e-5"}, {"expand", "mixer.expand", "2"}, {"conv_kernel", "mixer.d_conv", "4"}, \
    {"use_bias", "mixer.bias", "false"}, {"use_conv_bias", "mixer.conv_bias", "true"},                     \
    {"time_step_min", "mixer.dt_min", "0.001"}, {"time_step_max", "mixer.dt_max", "0.1"},                  \
    {"time_step_floor", "mixer.dt_init_floor", "0.0001"},                                                  \
    {"bos_token_id", "bos_token_id", NULL}, {"eos_token_id", "eos_token_id", NULL}, {"pad_token_id", NULL, NULL},  \
    {"architectures", NULL, NULL}, {"model_type", NULL, NULL}, {"dtype", NULL, NULL}, {"torch_dtype", NULL, NULL}, \
    {"transformers_version", NULL, NULL}, {"use_cache", NULL, NULL}, {"initializer_range", NULL, NULL},    \
    {"rescale_prenorm_residual", NULL, NULL}, {"residual_in_fp32", NULL, NULL}, {"hidden_act", NULL, NULL}, \
    {"_name_or_path", NULL, NULL}, {"use_mambapy", NULL, NULL}, {"use_associative_scan", NULL, NULL},      \
    {"fused_add_norm", NULL, NULL}, {"is_decoder", NULL, NULL}, {"_attn_implementation_autoset", NULL, NULL}

static const row mamba1_rows[] = {
    COMMON_HF,
    {"tie_word_embeddings", "tie_embeddings", "true"},
    {"state_size", "mixer.d_state", "16"}, {"intermediate_size", "mixer.d_inner", NULL},
    {"time_step_rank", "mixer.dt_rank", NULL}, {"time_step_scale", "mixer.dt_scale", "1.0"},
    {"time_step_init_scheme", "mixer.dt_init", "\"random\""}, {"mixer_rms_eps", "mixer.bc_dt_rms_eps", "1e-6"},
    /* what state-spaces' own converted files carry besides */
    {"d_model", NULL, NULL}, {"n_layer", NULL, NULL}, {"d_inner", NULL, NULL}, {"d_intermediate", NULL, NULL}, {"ssm_cfg", NULL, NULL},
    {"rms_norm", NULL, NULL}, {"pad_vocab_size_multiple", NULL, NULL}, {"use_falcon_mambapy", NULL, NULL},
    {NULL, NULL, NULL}};

/* Hugging Face always normalises after the gate, whatever rms_norm and norm_before_gate say
 * (Codestral's config says true and its weights are run like the others').  It does so group by group, as mamba_ssm,
 * in which such models are trained, and llama.cpp do; its versions before 5.23 took all groups together, by mistake.
 * No key of theirs tells, so group_norm is one of ours, for models trained by those versions. */
static const row mamba2_rows[] = {
    COMMON_HF,
    {"layer_norm_epsilon", "mixer.norm_eps", "1e-5"},
    {"tie_word_embeddings", "tie_embeddings", "false"},
    {"state_size", "mixer.d_state", "128"}, {"head_dim", "mixer.headdim", "64"}, {"n_groups", "mixer.ngroups", "8"}, {"group_norm", "mixer.group_norm", NULL},
    {"chunk_size", NULL, NULL}, {"rms_norm", NULL, NULL}, {"num_heads", NULL, NULL}, {"time_step_rank", NULL, NULL},
    {"time_step_limit[0]", "mixer.dt_limit_min", "0.0"}, {"time_step_limit[1]", "mixer.dt_limit_max", "{\"__float__\": \"Infinity\"}"},
    {"norm_before_gate", NULL, NULL}, {"intermediate_size", NULL, NULL}, {"time_step_scale", NULL, NULL},
    {"time_step_init_scheme", NULL, NULL},
    {NULL, NULL, NULL}};

#define COMMON_SS                                                                                          \
    {"d_model", "d_model", NULL}, {"n_layer", "n_layer", NULL}, {"vocab_size", "vocab_size", NULL},        \
    {"tie_embeddings", "tie_embeddings", "true"}, {"residual_in_fp32", NULL, NULL}, {"fused_add_norm", NULL, NULL}, \
    {"rms_norm", NULL, NULL}, {"pad_vocab_size_multiple", NULL, NULL}, {"d_intermediate", NULL, NULL},     \
    {"attn_layer_idx", NULL, NULL}, {"attn_cfg", NULL, NULL}, {"ssm_cfg.layer", NULL, NULL},               \
    {"ssm_cfg.d_state", "mixer.d_state", NULL}, {"ssm_cfg.d_conv", "mixer.d_conv", NULL}, {"ssm_cfg.expand", "mixer.expand", NULL}, \
    {"ssm_cfg.dt_min", "mixer.dt_min", NULL}, {"ssm_cfg.dt_max", "mixer.dt_max", NULL},                    \
    {"ssm_cfg.dt_init_floor", "mixer.dt_init_floor", NULL}, {"ssm_cfg.conv_bias", "mixer.conv_bias", NULL}, \
    {"ssm_cfg.bias", "mixer.bias", NULL}, {"ssm_cfg.use_fast_path", NULL, NULL}

static const row ss1_rows[] = {COMMON_SS,
    {"ssm_cfg.dt_rank", "mixer.dt_rank", NULL}, {"ssm_cfg.dt_init", "mixer.dt_init", NULL}, {"ssm_cfg.dt_scale", "mixer.dt_scale", NULL},
    {NULL, NULL, NULL}};
static const row ss2_rows[] = {COMMON_SS,
    {"ssm_cfg.headdim", "mixer.headdim", NULL}, {"ssm_cfg.d_ssm", "mixer.d_ssm", NULL}, {"ssm_cfg.ngroups", "mixer.ngroups", NULL},
    {"ssm_cfg.A_init_range[0]", "mixer.A_init_min", NULL}, {"ssm_cfg.A_init_range[1]", "mixer.A_init_max", NULL},
    {"ssm_cfg.D_has_hdim", "mixer.D_has_hdim", NULL}, {"ssm_cfg.rmsnorm", "mixer.rmsnorm", NULL},
    {"ssm_cfg.norm_before_gate", "mixer.norm_before_gate", NULL}, {"ssm_cfg.dt_limit[0]", "mixer.dt_limit_min", NULL},
    {"ssm_cfg.dt_limit[1]", "mixer.dt_limit_max", NULL}, {"ssm_cfg.conv_init", "mixer.conv_init", NULL},
    {"ssm_cfg.learnable_init_states", "mixer.learnable_init_states", NULL}, {"ssm_cfg.chunk_size", NULL, NULL},
    {"ssm_cfg.use_mem_eff_path", NULL, NULL},
    {NULL, NULL, NULL}};

/* "a.b[0]": the member's name up to the bracket, and the index (-1: none). */
static void take_apart(const char *path, char object[32], char member[48], int *index) {
    const char *dot = strchr(path, '.'), *name = dot ? dot + 1 : path, *bracket = strchr(name, '[');
    snprintf(object, 32, "%.*s", dot ? (int)(dot - path) : 0, path);
    snprintf(member, 48, "%.*s", (int)strcspn(name, "["), name);
    *index = bracket ? bracket[1] - '0' : -1;
}

static json_t *get(const json_t *j, const char *path) {
    char object[32], member[48];
    int i;
    take_apart(path, object, member, &i);
    json_t *v = json_object_get(*object ? json_object_get(j, object) : j, member);
    return i >= 0 ? json_array_get(v, (size_t)i) : v;
}

/* The "time_step_limit" of "time_step_limit[0]" has to be a pair, if it is there. */
static kr_status pair_or_absent(const json_t *j, const char *path, const char *where) {
    char object[32], member[48], whole[96];
    int i;
    take_apart(path, object, member, &i);
    snprintf(whole, sizeof whole, "%s%s%s", object, *object ? "." : "", member);
    const json_t *v = get(j, whole);
    if (i < 0 || !v || json_is_null(v) || json_array_size(v) == 2) return KR_OK;
    KR_FAIL(KR_ERR_CONFIG, "%s: the key \"%s\" wants an array of two numbers", where, whole);
}

static kr_status set(json_t *j, const char *path, json_t *value) {
    char object[32], member[48];
    int i;
    take_apart(path, object, member, &i);
    if (*object && !json_object_get(j, object)) json_object_set_new(j, object, json_object());
    json_t *in = *object ? json_object_get(j, object) : j;
    if (i >= 0) {
        if (!json_object_get(in, member)) json_object_set_new(in, member, json_pack("[n,n]"));
        if (json_array_set(json_object_get(in, member), (size_t)i, value) == 0) return KR_OK;
    } else if (json_object_set(in, member, value) == 0) {
        return KR_OK;
    }
    KR_FAIL(KR_ERR_NOMEM, "out of memory at the key %s", path);
}

/* Every key of theirs has to stand in the table. */
static kr_status all_known(const row *rows, const json_t *theirs, const char *prefix, const char *where) {
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)theirs, name, v) {
        char full[96], object[32], member[48];
        int i;
        bool known = strcmp(name, "ssm_cfg") == 0 && !*prefix;
        snprintf(full, sizeof full, "%s%s%s", prefix, *prefix ? "." : "", name);
        for (const row *r = rows; r->theirs && !known; r++) {
            take_apart(r->theirs, object, member, &i);
            known = strcmp(object, prefix) == 0 && strcmp(member, name) == 0;
        }
        if (!known)
            KR_FAIL(KR_ERR_CONFIG, "%s: the key \"%s\" is not known, so the model might not be what Krait would build; remove it if it does not matter", where, full);
    }
    return KR_OK;
}

static kr_status translate(const row *rows, const json_t *theirs, const char *where, json_t *own) {
    KR_TRY(all_known(rows, theirs, "", where));
    const json_t *ssm = json_object_get(theirs, "ssm_cfg");
    if (ssm && !json_is_null(ssm) && !json_is_object(ssm)) KR_FAIL(KR_ERR_CONFIG, "%s: ssm_cfg wants an object: {...}", where);
    if (rows != mamba1_rows && json_is_object(ssm)) KR_TRY(all_known(rows, ssm, "ssm_cfg", where));
    for (const row *r = rows; r->theirs; r++) {
        if (!r->ours) continue;
        json_error_t e;
        KR_TRY(pair_or_absent(theirs, r->theirs, where));
        json_t *v = get(theirs, r->theirs);
        v = json_incref(json_is_array(v) ? json_array_get(v, 0) : v); /* several eos ids: the first */
        bool unset = !v || json_is_null(v) || (json_is_string(v) && strcmp(json_string_value(v), "auto") == 0);
        if (unset) {
            json_decref(v);
            if (!r->absent) continue;
            v = json_loads(r->absent, JSON_DECODE_ANY, &e);
        }
        kr_status st = v ? set(own, r->ours, v) : kr_fail(KR_ERR_NOMEM, "out of memory");
        json_decref(v);
        KR_TRY(st);
    }
    return KR_OK;
}

static int64_t int_at(const json_t *j, const char *path, int64_t absent) {
    const json_t *v = get(j, path);
    return json_is_integer(v) ? (int64_t)json_integer_value(v) : absent;
}

static kr_status set_text(json_t *own, const char *path, const char *text) {
    json_t *v = json_string(text);
    kr_status st = v ? set(own, path, v) : kr_fail(KR_ERR_NOMEM, "out of memory");
    json_decref(v);
    return st;
}

static kr_status set_bool(json_t *own, const char *path, bool b) { return set(own, path, b ? json_true() : json_false()); }

static kr_status read_hf(const json_t *j, const char *where, const char *type, json_t *own) {
    bool two = strcmp(type, "mamba2") == 0, falcon = strcmp(type, "falcon_mamba") == 0;
    const char *act = json_string_value(json_object_get(j, "hidden_act"));
    if (act && strcmp(act, "silu") != 0) KR_FAIL(KR_ERR_CONFIG, "%s: hidden_act is \"%s\", want \"silu\"", where, act);
    KR_TRY(translate(two ? mamba2_rows : mamba1_rows, j, where, own));
    KR_TRY(set_text(own, "mixer.type", two ? "mamba2" : "mamba1"));
    if (falcon) KR_TRY(set_bool(own, "mixer.rms_norm_dt_bc", true));
    if (!two) return KR_OK;
    int64_t H = int_at(j, "num_heads", 128), P = int_at(own, "mixer.headdim", 64), E;
    if (__builtin_mul_overflow(int_at(own, "mixer.expand", 2), int_at(own, "d_model", 0), &E)) E = 0; /* which no heads are */
    if (H < 1 || P < 1 || H > INT32_MAX || P > INT32_MAX || H * P != E)
        KR_FAIL(KR_ERR_CONFIG, "%s: num_heads %lld * head_dim %lld is not expand * hidden_size = %lld", where, (long long)H, (long long)P, (long long)E);
    return KR_OK;
}

static kr_status read_state_spaces(const json_t *j, const char *where, json_t *own) {
    const char *layer = json_string_value(get(j, "ssm_cfg.layer"));
    bool two = layer && strcmp(layer, "Mamba2") == 0;
    if (layer && !two && strcmp(layer, "Mamba1") != 0)
        KR_FAIL(KR_ERR_CONFIG, "%s: ssm_cfg.layer is \"%s\", want Mamba1 or Mamba2", where, layer);
    if (json_is_false(json_object_get(j, "rms_norm"))) KR_FAIL(KR_ERR_CONFIG, "%s: rms_norm is false, want true", where);
    KR_TRY(translate(two ? ss2_rows : ss1_rows, j, where, own));
    int64_t V = int_at(own, "vocab_size", 0), pad = int_at(j, "pad_vocab_size_multiple", 8);
    if (V < 1 || pad < 1 || V > INT32_MAX || pad > INT32_MAX) KR_FAIL(KR_ERR_CONFIG, "%s: vocab_size or pad_vocab_size_multiple is not positive", where);
    json_t *rows = json_integer((V + pad - 1) / pad * pad);
    kr_status st = set(own, "vocab_size", rows);
    json_decref(rows);
    KR_TRY(st);
    KR_TRY(set_text(own, "mixer.type", two ? "mamba2" : "mamba1"));
    return kr_state_spaces_layers(j, where, own);
}

kr_status kr_dialect_read(const json_t *json, const char *where, json_t **own, const char **dialect) {
    static const char *const hf[] = {"mamba", "falcon_mamba", "mamba2"};
    if (!json_is_object(json)) KR_FAIL(KR_ERR_CONFIG, "%s is not a JSON object", where);
    const char *type = json_string_value(json_object_get(json, "model_type"));
    if (type && strcmp(type, "krait") == 0) {
        *dialect = "krait";
        if (!(*own = json_deep_copy(json))) KR_FAIL(KR_ERR_NOMEM, "out of memory");
        return KR_OK;
    }
    json_t *o = json_object();
    kr_status st = o ? set_text(o, "model_type", "krait") : kr_fail(KR_ERR_NOMEM, "out of memory");
    bool found = false;
    for (int i = 0; i < 3 && type && st == KR_OK; i++)
        if (strcmp(type, hf[i]) == 0) {
            found = true;
            st = read_hf(json, where, *dialect = hf[i], o);
        }
    if (st == KR_OK && type && !found && kr_hybrid_find(type)) {
        found = true;
        st = kr_hybrid_read(json, where, *dialect = kr_hybrid_find(type), o);
    }
    if (st == KR_OK && !found && !type && json_object_get(json, "d_model")) {
        found = true;
        *dialect = "state-spaces";
        st = read_state_spaces(json, where, o);
    }
    if (st == KR_OK && !found)
        st = kr_fail(KR_ERR_CONFIG, "%s: model_type is \"%s\", want one of krait, mamba, falcon_mamba, mamba2, bamba, falcon_h1, granitemoehybrid, jamba, nemotron_h, zamba2 (or a state-spaces config with d_model)", where,
                     type ? type : "absent");
    if (st != KR_OK) json_decref(o);
    else *own = o;
    return st;
}

/* --- back ----------------------------------------------------------------------- */

static json_t *hf_object(const json_t *own, const char *type, const char *architecture, bool two) {
    json_t *j = json_pack("{s:[s], s:s, s:s, s:s, s:b, s:b}", "architectures", architecture, "model_type", type, "dtype", "float32",
                          "hidden_act", "silu", "use_cache", 1, "residual_in_fp32", 1);
    for (const row *r = two ? mamba2_rows : mamba1_rows; j && r->theirs; r++) {
        json_error_t e;
        if (!r->ours) continue;
        json_t *v = json_incref(get(own, r->ours));
        if (json_is_integer(v) && json_integer_value(v) == -1) json_decref(v), v = json_null(); /* no such token id */
        if (!v && r->absent) v = json_loads(r->absent, JSON_DECODE_ANY, &e);
        if (v && set(j, r->theirs, v) != KR_OK) json_decref(j), j = NULL;
        json_decref(v);
    }
    return j;
}

kr_status kr_dialect_write(const json_t *own, json_t **out) {
    const char *mixer = json_string_value(get(own, "mixer.type"));
    bool two = mixer && strcmp(mixer, "mamba2") == 0, one = mixer && strcmp(mixer, "mamba1") == 0;
    bool falcon = one && json_is_true(get(own, "mixer.rms_norm_dt_bc"));
    *out = NULL;
    if (!one && !two) return KR_OK;
    json_t *j = hf_object(own, falcon ? "falcon_mamba" : two ? "mamba2" : "mamba",
                          falcon ? "FalconMambaForCausalLM" : two ? "Mamba2ForCausalLM" : "MambaForCausalLM", two);
    if (!j) return KR_ERR_NOMEM;
    int64_t E = int_at(own, "mixer.expand", 2) * int_at(own, "d_model", 0), P = int_at(own, "mixer.headdim", 64);
    if (two) json_object_set_new(j, "num_heads", json_integer(P > 0 ? E / P : 0));
    if (int_at(own, "mixer.ngroups", 1) == 1 || !json_is_false(json_object_get(j, "group_norm"))) json_object_del(j, "group_norm"); /* as usual */
    if (one) json_object_set_new(j, "intermediate_size", json_integer(int_at(own, "mixer.d_inner", 0) ? int_at(own, "mixer.d_inner", 0) : E));
    if (one && int_at(j, "time_step_rank", 0) < 1) json_object_set_new(j, "time_step_rank", json_integer((int_at(own, "d_model", 0) + 15) / 16));
    *out = j;
    return KR_OK;
}
