/* recipe.c - reading recipes, overriding keys, listing every key there is. */
#include "train/recipe.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "krait/train.h"
#include "model/config.h"
#include "train/options.h"

/* --- every key there is ------------------------------------------------------------------- */

typedef struct table { char section[64]; const kr_key *keys; } table;

/* The i-th table of keys: of training, of the model, of each part, of each source. */
static bool table_at(int i, table *t) {
    if (i == 0) return *t = (table){"train", kr_train_keys}, true;
    if (i == 1) return *t = (table){"model", kr_config_keys}, true;
    i -= 2;
    int n_parts = 0;
    while (kr_parts[n_parts]) n_parts++;
    if (i < n_parts) {
        snprintf(t->section, sizeof t->section, "model.%s.%s", kr_parts[i]->kind, kr_parts[i]->name);
        t->keys = kr_parts[i]->keys;
        return true;
    }
    const char *name, *about;
    if (!kr_source_describe(i - n_parts, &name, &about, &t->keys)) return false;
    snprintf(t->section, sizeof t->section, "data.%s", name);
    return true;
}

static const char *type_text(const kr_key *k) {
    switch (k->type) {
    case KR_KEY_INT: return "whole number";
    case KR_KEY_REAL: return "number";
    case KR_KEY_BOOL: return "true|false";
    case KR_KEY_LIST: return "list of texts";
    case KR_KEY_CHOICE: return k->choices;
    default: return "text";
    }
}

bool kr_recipe_key(int i, kr_recipe_key_info *out) {
    static _Thread_local table t;
    for (int n = 0; table_at(n, &t); n++)
        for (const kr_key *k = t.keys; k && k->name; k++)
            if (i-- == 0) {
                *out = (kr_recipe_key_info){.section = t.section, .name = k->name, .help = k->help};
                kr_key_default(k, out->def, sizeof out->def);
                snprintf(out->type, sizeof out->type, "%s", type_text(k));
                return true;
            }
    return false;
}

/* --- overrides: "train.lr=1e-3", "model.mixer.d_state=64", "lr=1e-3" ---------------------- */

/* Where a key lives in the JSON: "train", "data", "model" or "model.mixer". */
static void json_path(const char *section, char to[64]) {
    const char *dot = strchr(section, '.');
    if (dot && strncmp(section, "model.", 6) == 0) {
        const char *second = strchr(dot + 1, '.');
        snprintf(to, 64, "%.*s", (int)(second - section), section);
    } else {
        snprintf(to, 64, "%.*s", (int)(dot ? dot - section : (int64_t)strlen(section)), section);
    }
}

/* "mixer.type" and "data.kind" choose a part and are no key of its table. */
static bool is_choice_of_part(const char *name) {
    static const char *const paths[] = {"encoder", "condition", "order", "mixer", "memory", "head", NULL};
    for (int i = 0; paths[i]; i++) {
        char full[2][80];
        snprintf(full[0], 80, "model.%s.type", paths[i]);
        snprintf(full[1], 80, "%s.type", paths[i]);
        if (strcmp(name, full[0]) == 0 || strcmp(name, full[1]) == 0) return true;
    }
    return false;
}

/* "mixers.NAME.KEY": a key of any mixer, in the object of that name. */
static const kr_key *key_of_named(const char *name, char path[64]) {
    table t;
    const char *from = strncmp(name, "model.", 6) == 0 ? name + 6 : name, *dot = strrchr(from, '.');
    if (strncmp(from, "mixers.", 7) != 0 || dot < from + 7) return NULL;
    snprintf(path, 64, "model.%.*s", (int)(dot - from), from);
    for (int i = 0; table_at(i, &t); i++) {
        const kr_key *k = t.keys && strncmp(t.section, "model.mixer.", 12) == 0 ? kr_key_find(t.keys, dot + 1) : NULL;
        if (k) return k;
    }
    return NULL;
}

/* The key that a name means.  A bare name has to belong to one place only. */
static kr_status find_key(const char *name, char path[64], const kr_key **key) {
    table t;
    const char *near = NULL, *dot = strrchr(name, '.'), *last = dot ? dot + 1 : name;
    if ((*key = key_of_named(name, path))) return KR_OK;
    for (int i = 0; table_at(i, &t); i++) {
        const kr_key *k = t.keys ? kr_key_find(t.keys, last) : NULL;
        char at[64], full[128];
        json_path(t.section, at);
        snprintf(full, sizeof full, "%s.%s", at, last);
        if (!k && t.keys && !near) near = kr_keys_nearest(t.keys, last);
        if (!k || (dot && strcmp(full, name) != 0 && (strncmp(full, "model.", 6) != 0 || strcmp(full + 6, name) != 0))) continue;
        if (*key && strcmp(at, path) != 0)
            KR_FAIL(KR_ERR_CONFIG, "the key \"%s\" could be %s.%s or %s.%s; write one of these", name, path, last, at, last);
        *key = k;
        snprintf(path, 64, "%s", at);
    }
    if (*key) return KR_OK;
    if (near) KR_FAIL(KR_ERR_CONFIG, "there is no key \"%s\"; did you mean \"%s\"? (krait config lists all)", name, near);
    KR_FAIL(KR_ERR_CONFIG, "there is no key \"%s\" (krait config lists all)", name);
}

static kr_status set_at(json_t *recipe, const char *path, const char *member, json_t *v) {
    char name[64];
    json_t *at = recipe;
    for (const char *p = path; *p && json_is_object(at); p += strcspn(p, "."), p += *p == '.') {
        snprintf(name, sizeof name, "%.*s", (int)strcspn(p, "."), p);
        bool there = json_object_get(at, name) || !json_is_object(at) || json_object_set_new(at, name, json_object()) == 0;
        at = there ? json_object_get(at, name) : NULL;
    }
    if (!at || !json_is_object(at)) {
        json_decref(v);
        if (!at) KR_FAIL(KR_ERR_NOMEM, "out of memory setting %s.%s", path, member);
        KR_FAIL(KR_ERR_CONFIG, "%s wants to be an object in the recipe, to set %s in it", name, member);
    }
    if (json_object_set_new(at, member, v) != 0) KR_FAIL(KR_ERR_NOMEM, "out of memory setting %s.%s", path, member);
    return KR_OK;
}

static kr_status override(json_t *recipe, const char *text) {
    char name[60], path[64];
    const char *eq = strchr(text, '=');
    const kr_key *key;
    json_t *v;
    if (!eq || eq == text || eq - text >= (int64_t)sizeof name) KR_FAIL(KR_ERR_CONFIG, "\"%s\" is no KEY=VALUE", text);
    snprintf(name, sizeof name, "%.*s", (int)(eq - text), text);
    if (strcmp(name, "data.kind") == 0 || strcmp(name, "kind") == 0) return set_at(recipe, "data", "kind", json_string(eq + 1));
    if (is_choice_of_part(name)) {
        bool full = strncmp(name, "model.", 6) == 0;
        snprintf(path, sizeof path, "%s%.*s", full ? "" : "model.", (int)(strrchr(name, '.') - name) % 48, name);
        return set_at(recipe, path, "type", json_string(eq + 1));
    }
    KR_TRY(find_key(name, path, &key));
    KR_TRY(kr_key_parse(key, eq + 1, path, &v));
    return set_at(recipe, path, key->name, v);
}

/* --- reading ------------------------------------------------------------------------------ */

static kr_status known_sections(const json_t *recipe, const char *where) {
    static const char *const known[] = {"name", "about", "model", "data", "train", "results", NULL};
    const char *name;
    json_t *v;
    if (!json_is_object(recipe)) KR_FAIL(KR_ERR_CONFIG, "%s is not a JSON object", where);
    json_object_foreach((json_t *)recipe, name, v) {
        bool ok = false;
        for (int i = 0; known[i]; i++) ok = ok || strcmp(known[i], name) == 0;
        if (!ok) KR_FAIL(KR_ERR_CONFIG, "%s: there is no section \"%s\"; there are model, data, train (and name, about)", where, name);
    }
    return KR_OK;
}

static kr_status load(const char *path, json_t **recipe) {
    char file[4096];
    if (!path) return kr_json_parse(recipe, "{}", 2, "recipe");
    if (kr_dir_exists(path)) KR_TRY(kr_path_join(file, sizeof file, path, "recipe.json"));
    else snprintf(file, sizeof file, "%s", path);
    KR_TRY(kr_json_load(recipe, file));
    kr_status st = known_sections(*recipe, file);
    if (st != KR_OK) json_decref(*recipe);
    return st;
}

kr_status kr_recipe_read(char **json, const char *path, const char *const *overrides, int n_overrides) {
    json_t *recipe;
    KR_TRY(load(path, &recipe));
    kr_status st = KR_OK;
    for (int i = 0; i < n_overrides && st == KR_OK; i++) st = override(recipe, overrides[i]);
    char *text = st == KR_OK ? json_dumps(recipe, JSON_INDENT(2)) : NULL;
    json_decref(recipe);
    KR_TRY(st);
    if (!text) KR_FAIL(KR_ERR_NOMEM, "out of memory for the recipe");
    *json = text;
    return KR_OK;
}

void kr_text_free(char *text) { kr_mem_free(text); } /* jansson's memory is ours, see json.c */

/* Keys that the data know and the recipe leaves open, as far as the chosen part has them. */
static int fill_part(json_t *model, const char *kind, const json_t *known) {
    const char *name;
    json_t *v, *part = json_object_get(model, kind);
    if (!known) return 0;
    if (!part && json_object_set_new(model, kind, part = json_object()) != 0) return -1;
    if (!json_is_object(part)) return 0; /* refused by whoever reads it */
    if (!json_object_get(part, "type") && json_object_set(part, "type", json_object_get(known, "type")) != 0) return -1;
    const char *type = json_string_value(json_object_get(part, "type"));
    const kr_part *p = type ? kr_part_find(kind, type) : NULL;
    json_object_foreach((json_t *)known, name, v)
        if (p && p->keys && kr_key_find(p->keys, name) && !json_object_get(part, name) && json_object_set(part, name, v) != 0) return -1;
    return 0;
}

kr_status kr_recipe_model(const json_t *recipe, const kr_source_info *info, json_t **model) {
    const json_t *given = json_object_get(recipe, "model");
    if (given && !json_is_object(given)) KR_FAIL(KR_ERR_CONFIG, "model is not an object");
    json_t *m = given ? json_deep_copy(given) : json_object();
    int bad = !m;
    if (m && !json_object_get(m, "model_type") && !json_object_get(m, "ssm_cfg")) {
        bad |= json_object_set_new(m, "model_type", json_string("krait"));
        if (info->vocab_size && !json_object_get(m, "vocab_size")) bad |= json_object_set_new(m, "vocab_size", json_integer(info->vocab_size));
        if (info->end_id >= 0 && !json_object_get(m, "eos_token_id")) bad |= json_object_set_new(m, "eos_token_id", json_integer(info->end_id));
        bad |= fill_part(m, "encoder", info->encoder) | fill_part(m, "condition", info->condition) | fill_part(m, "head", info->head);
        if (info->x_width && !json_object_get(m, "encoder"))
            bad |= json_object_set_new(m, "encoder", json_pack("{s:s, s:I}", "type", "linear", "width", (json_int_t)info->x_width));
        if (info->y_width && !json_object_get(m, "head"))
            bad |= json_object_set_new(m, "head", json_pack("{s:s, s:I}", "type", "regress", "width", (json_int_t)info->y_width));
    }
    if (bad) {
        json_decref(m);
        KR_FAIL(KR_ERR_NOMEM, "out of memory for the model's config");
    }
    *model = m;
    return KR_OK;
}
