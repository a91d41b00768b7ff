/* config.c - reading and writing what a model is. */
#include "model/config.h"

#include <string.h>

#include "model/dialect.h"

const kr_key kr_config_keys[] = {
    KR_KEY_INT(kr_config, d_model, 256, 1, 1 << 24, "width M of the residual stream"),
    KR_KEY_INT(kr_config, n_layer, 4, 1, 100000, "layers"),
    KR_KEY_INT(kr_config, vocab_size, 256, 1, INT32_MAX, "rows V of the token table"),
    KR_KEY_INT(kr_config, eos_token_id, -1, -1, INT32_MAX, "the id that ends a text; -1: none"),
    KR_KEY_INT(kr_config, bos_token_id, -1, -1, INT32_MAX, "the id that starts a text; -1: none"),
    KR_KEY_REAL(kr_config, norm_eps, 1e-5, 0, 1, "epsilon of the layers' norms"),
    KR_KEY_BOOL(kr_config, tie_embeddings, true, "the head shares the token table"),
    KR_KEY_END};

static const char *const also[] = {"model_type", "encoder", "condition", "order", "mixer", "memory", "head", "layers", "mixers", NULL};

static kr_status read_parts(kr_config *c, const char *where) {
    const json_t *j = c->json;
    kr_status st = kr_keys_read_with(kr_config_keys, j, "config", also, c);
    if (st == KR_OK) st = kr_part_read("encoder", "token", json_object_get(j, "encoder"), "encoder", &c->arena, &c->encoder, &c->encoder_opt);
    if (st == KR_OK) st = kr_part_read("condition", "none", json_object_get(j, "condition"), "condition", &c->arena, &c->condition, &c->condition_opt);
    if (st == KR_OK) st = kr_part_read("order", "causal", json_object_get(j, "order"), "order", &c->arena, &c->order, &c->order_opt);
    if (st == KR_OK) st = kr_part_read("mixer", "mamba2", json_object_get(j, "mixer"), "mixer", &c->arena, &c->mixer, &c->mixer_opt);
    if (st == KR_OK) st = kr_part_read("memory", "plain", json_object_get(j, "memory"), "memory", &c->arena, &c->memory, &c->memory_opt);
    if (st == KR_OK) st = kr_part_read("head", "lm", json_object_get(j, "head"), "head", &c->arena, &c->head, &c->head_opt);
    if (st == KR_OK && (c->condition == &kr_part_condition_diffusion) != (c->head == &kr_part_head_noise))
        st = kr_fail(KR_ERR_CONFIG, "condition \"%s\" and head \"%s\" do not go together: a diffusion model has condition \"diffusion\" and head \"noise\"", c->condition->name, c->head->name);
    if (st == KR_OK) st = kr_layers_read(c);
    return st == KR_OK ? st : kr_fail_in(st, where);
}

kr_status kr_config_read(kr_config *c, const json_t *json, const char *where) {
    memset(c, 0, sizeof *c);
    KR_TRY(kr_dialect_read(json, where, &c->json, &c->dialect));
    kr_status st = read_parts(c, where);
    if (st != KR_OK) kr_config_clear(c);
    return st;
}

kr_status kr_config_load(kr_config *c, const char *path) {
    json_t *j;
    KR_TRY(kr_json_load(&j, path));
    kr_status st = kr_config_read(c, j, path);
    json_decref(j);
    return st;
}

void kr_config_clear(kr_config *c) {
    json_decref(c->json);
    kr_arena_clear(&c->arena);
    memset(c, 0, sizeof *c);
}

/* What the config's mixer has that is no option of the part. */
static bool copy_scales(const kr_config *c, json_t *mixer) {
    static const char *const names[] = {"in_scale", "out_scale", "ways", "order"};
    bool ok = true;
    for (int i = 0; i < 4; i++) {
        json_t *v = json_object_get(json_object_get(c->json, "mixer"), names[i]);
        ok = ok && (!v || json_number_value(v) == 1 || json_object_set(mixer, names[i], v) == 0);
    }
    return ok;
}

/* Our own dialect with every key in it. */
static json_t *write_own(const kr_config *c) {
    const kr_part *parts[] = {c->encoder, c->order, c->mixer, c->head, c->memory, c->condition};
    const void *opts[] = {c->encoder_opt, c->order_opt, c->mixer_opt, c->head_opt, c->memory_opt, c->condition_opt};
    json_t *j = json_pack("{s:s}", "model_type", "krait");
    bool ok = j && kr_keys_write(kr_config_keys, c, j, true) == KR_OK;
    for (int i = 0; i < 6 && ok; i++) {
        if (parts[i] == &kr_part_memory_plain || parts[i] == &kr_part_condition_none) continue; /* nobody else knows these */
        json_t *p = kr_part_write(parts[i], opts[i]);
        ok = p && json_object_set(j, parts[i]->kind, p) == 0;
        json_decref(p);
    }
    ok = ok && copy_scales(c, json_object_get(j, "mixer"));
    if (ok && kr_layers_write(c, j) == KR_OK) return j;
    json_decref(j);
    return NULL;
}

/* Would a reader of `theirs` build the same model?  What only steers initialisation or
 * training may differ. */
static bool same_model(const json_t *theirs, const json_t *own) {
    static const char *const free_keys[] = {"A_init_min", "A_init_max", "conv_init", "chunk_size", "d_inner", "dt_rank", "z_loss", "d_ssm"};
    kr_config c;
    if (kr_config_read(&c, theirs, "config.json") != KR_OK) return false;
    json_t *a = write_own(&c), *b = json_deep_copy(own);
    json_t *m = json_object_get(b, "mixer");
    if (json_integer_value(json_object_get(m, "ngroups")) == 1) json_object_set_new(m, "group_norm", json_true()); /* the same then */
    bool all = json_integer_value(json_object_get(m, "d_ssm")) == 0;
    for (size_t i = 0; a && b && i < sizeof free_keys / sizeof *free_keys; i++)
        for (int k = 0; k < 4; k++) {
            static const char *const kinds[] = {"encoder", "order", "mixer", "head"};
            json_object_del(json_object_get(a, kinds[k]), free_keys[i]);
            json_object_del(json_object_get(b, kinds[k]), free_keys[i]);
        }
    bool same = a && b && all && json_equal(a, b);
    json_decref(a);
    json_decref(b);
    kr_config_clear(&c);
    return same;
}

kr_status kr_config_write(const kr_config *c, json_t **out) {
    json_t *own = write_own(c), *hf = NULL;
    kr_status st = own ? kr_dialect_write(own, &hf) : kr_fail(KR_ERR_NOMEM, "out of memory writing the config");
    if (st == KR_OK && hf && same_model(hf, own)) {
        json_decref(own);
        *out = hf;
        return KR_OK;
    }
    json_decref(hf);
    if (st == KR_OK) *out = own;
    else json_decref(own);
    return st;
}
