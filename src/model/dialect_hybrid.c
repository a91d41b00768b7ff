/* dialect_hybrid.c - hybrids of Mamba, attention and perceptrons: Hugging Face's families, each in
 * its dialect_NAME.c, and the keys by which state-spaces says it.
 *
 * Read only: such a model is saved in our own dialect. */
#include "model/dialect_hybrid.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const kr_family *const families[] = {&kr_family_bamba, &kr_family_nemotron_h, &kr_family_falcon_h1, &kr_family_jamba, &kr_family_granite, &kr_family_zamba2};
enum { N_FAMILIES = sizeof families / sizeof *families, MAX_LAYERS = 100000 }; /* as config.c */

/* --- paths: "mixers.attention.n_head", "time_step_limit.1" -------------------------------- */

json_t *kr_path_find(const json_t *j, const char *path) {
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
kr_status kr_path_put(json_t *j, const char *path, json_t *value) {
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

kr_status kr_rows_translate(const kr_row *rows, const json_t *theirs, const char *where, json_t *own) {
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)theirs, name, v) {
        bool known = false;
        for (const kr_row *r = rows; r->theirs && !known; r++) known = strlen(name) == strcspn(r->theirs, ".") && strncmp(r->theirs, name, strlen(name)) == 0;
        if (!known)
            KR_FAIL(KR_ERR_CONFIG, "%s: the key \"%s\" is not known, so the model might not be what Krait would build; remove it if it does not matter", where, name);
    }
    for (const kr_row *r = rows; r->theirs; r++) {
        json_error_t e;
        if (!r->ours) continue;
        v = kr_path_find(theirs, r->theirs);
        if (json_is_array(v)) v = json_array_get(v, 0); /* several eos ids: the first */
        if ((!v || json_is_null(v)) && !r->absent) continue;
        KR_TRY(kr_path_put(own, r->ours, !v || json_is_null(v) ? json_loads(r->absent, JSON_DECODE_ANY, &e) : json_incref(v)));
    }
    return KR_OK;
}

/* No size of a model is beyond 32 bits, and the product of two within them does not wrap. */
int64_t kr_path_int(const json_t *j, const char *path, int64_t absent) {
    const json_t *v = kr_path_find(j, path);
    json_int_t i = json_integer_value(v);
    return !json_is_integer(v) ? absent : i > INT32_MAX ? INT32_MAX : i < -INT32_MAX ? -INT32_MAX : (int64_t)i;
}

double kr_path_real(const json_t *j, const char *path, double absent) {
    const json_t *v = kr_path_find(j, path);
    return json_is_number(v) ? json_number_value(v) : absent;
}

kr_status kr_put_scale(json_t *own, const char *ours, double scale) {
    return scale == 1 ? KR_OK : kr_path_put(own, ours, json_real(scale));
}

/* --- what several families say alike -------------------------------------------------------- */

kr_status kr_want_text(const json_t *j, const char *key, const char *want, const char *where) {
    const char *is = json_string_value(json_object_get(j, key));
    if (is && strcmp(is, want) != 0) KR_FAIL(KR_ERR_CONFIG, "%s: %s is \"%s\", want \"%s\"", where, key, is, want);
    return KR_OK;
}

bool kr_list_has(const json_t *list, int64_t i) {
    for (size_t k = 0; k < json_array_size(list); k++)
        if (json_integer_value(json_array_get(list, k)) == i) return true;
    return false;
}

kr_status kr_heads_read(const json_t *j, const char *where, int64_t d_inner, json_t *own) {
    int64_t H = kr_path_int(j, "mamba_n_heads", 128);
    if (H < 1 || d_inner < 1 || d_inner % H)
        KR_FAIL(KR_ERR_CONFIG, "%s: mamba_n_heads %lld does not divide the inner width %lld", where, (long long)H, (long long)d_inner);
    return kr_path_put(own, "mixer.headdim", json_integer(d_inner / H));
}

kr_status kr_rope_read(const json_t *j, const char *where, double absent, int64_t P, json_t *own) {
    const json_t *rope = json_object_get(j, "rope_parameters");
    if (!json_is_object(rope)) rope = NULL;
    const char *kind = json_string_value(kr_path_find(rope ? rope : j, rope ? "rope_type" : "rope_scaling.type"));
    if (kind && strcmp(kind, "default") != 0) KR_FAIL(KR_ERR_CONFIG, "%s: rope_type is \"%s\", want \"default\"", where, kind);
    double part = kr_path_real(rope, "partial_rotary_factor", kr_path_real(j, "partial_rotary_factor", absent));
    if (!(part >= 0 && part <= 1)) KR_FAIL(KR_ERR_CONFIG, "%s: partial_rotary_factor is %g, want 0 to 1", where, part);
    double theta = kr_path_real(rope, "rope_theta", kr_path_real(j, "rope_theta", 10000));
    KR_TRY(kr_path_put(own, "mixers.attention.rope_dims", json_integer((json_int_t)((double)P * part))));
    return kr_path_put(own, "mixers.attention.rope_theta", json_real(theta));
}

kr_status kr_layers_add(json_t *own, const char *text) {
    if (!json_object_get(own, "layers")) KR_TRY(kr_path_put(own, "layers", json_array()));
    if (json_array_append_new(json_object_get(own, "layers"), json_string(text)) != 0) KR_FAIL(KR_ERR_NOMEM, "out of memory for the layers");
    return KR_OK;
}

/* The list of layers is built before config.c sees how long it is. */
static kr_status check_layers(const json_t *own, const char *where) {
    int64_t n = kr_path_int(own, "n_layer", 0);
    if (n > MAX_LAYERS) KR_FAIL(KR_ERR_CONFIG, "%s: there are more than %d layers", where, MAX_LAYERS);
    return KR_OK;
}

/* Is `name` one of the names in "attention&mixer+mlp"? */
static bool names_part(const char *text, const char *name) {
    for (size_t n = strlen(name); text; text = strpbrk(text, "+&") ? strpbrk(text, "+&") + 1 : NULL)
        if (strncmp(text, name, n) == 0 && strchr("+&", text[n])) return true; /* or the end */
    return false;
}

/* A name in mixers that no layer has is an error for our own reader. */
static void drop_unused(json_t *own) {
    const char *name;
    void *next;
    json_t *v, *mixers = json_object_get(own, "mixers");
    json_object_foreach_safe(mixers, next, name, v) {
        bool used = false;
        for (size_t i = 0; i < json_array_size(json_object_get(own, "layers")); i++)
            used = used || names_part(json_string_value(json_array_get(json_object_get(own, "layers"), i)), name);
        if (!used) json_object_del(mixers, name);
    }
}

static const kr_family *family_of(const char *type) {
    for (int i = 0; i < N_FAMILIES; i++)
        if (strcmp(type, families[i]->type) == 0) return families[i];
    return NULL;
}

const char *kr_hybrid_find(const char *type) { return family_of(type) ? family_of(type)->type : NULL; }

kr_status kr_hybrid_read(const json_t *j, const char *where, const char *type, json_t *own) {
    const kr_family *f = family_of(type);
    const json_t *limit = json_object_get(j, "time_step_limit");
    if (limit && !json_is_null(limit) && json_array_size(limit) != 2) KR_FAIL(KR_ERR_CONFIG, "%s: the key \"time_step_limit\" wants an array of two numbers", where);
    KR_TRY(kr_rows_translate(f->rows, j, where, own));
    KR_TRY(check_layers(own, where));
    KR_TRY(kr_path_put(own, "mixer.type", json_string(f->mixer)));
    KR_TRY(f->finish(j, where, own));
    drop_unused(own);
    return KR_OK;
}

const kr_name_row *kr_dialect_names(const char *dialect, const char **stem) {
    const kr_family *f = family_of(dialect);
    *stem = f ? f->stem : "backbone.";
    return f ? f->names : NULL;
}

/* --- state-spaces ----------------------------------------------------------------------------- */

static const kr_row mha_rows[] = {
    {"num_heads", "mixers.attention.n_head", NULL}, {"num_heads_kv", "mixers.attention.n_kv_head", NULL}, {"head_dim", "mixers.attention.head_dim", NULL},
    {"qkv_proj_bias", "mixers.attention.qkv_bias", "true"}, {"out_proj_bias", "mixers.attention.out_bias", "true"},
    {"softmax_scale", "mixers.attention.scale", NULL}, {"d_conv", "mixers.attention.d_conv", NULL},
    {"rotary_emb_dim", "mixers.attention.rope_dims", "0"}, {"rotary_emb_base", "mixers.attention.rope_theta", NULL},
    {"rotary_emb_interleaved", "mixers.attention.rope_interleaved", NULL}, {"causal", NULL, NULL}, {"mlp_dim", NULL, NULL}, {NULL, NULL, NULL}};

kr_status kr_state_spaces_layers(const json_t *j, const char *where, json_t *own) {
    const json_t *idx = json_object_get(j, "attn_layer_idx"), *cfg = json_object_get(j, "attn_cfg");
    int64_t n = kr_path_int(own, "n_layer", 0), F = kr_path_int(j, "d_intermediate", 0);
    bool attention = json_array_size(idx) > 0;
    if (!attention && F <= 0) return KR_OK;
    KR_TRY(check_layers(own, where));
    if (attention && !json_is_true(json_object_get(cfg, "causal"))) KR_FAIL(KR_ERR_CONFIG, "%s: attn_cfg.causal is not true", where);
    if (attention && kr_path_int(cfg, "mlp_dim", 0)) KR_FAIL(KR_ERR_CONFIG, "%s: attn_cfg.mlp_dim is not supported", where);
    if (attention) KR_TRY(kr_rows_translate(mha_rows, cfg, where, own));
    if (F > 0) KR_TRY(kr_path_put(own, "mixers.mlp.d_ff", json_integer((F + 127) / 128 * 128)));
    for (int64_t i = 0; i < n; i++) {
        bool there = kr_list_has(idx, i);
        const char *text = there ? F > 0 ? "attention+mlp" : "attention" : F > 0 ? "mixer+mlp" : "mixer";
        KR_TRY(kr_layers_add(own, text));
    }
    drop_unused(own);
    return KR_OK;
}
