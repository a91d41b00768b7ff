/* layers.c - what each layer is made of: "layers" and "mixers" of a config.
 *
 *     "layers": ["mamba2", "mamba2", "attention+mlp"],      repeated over n_layer layers
 *     "mixers": {"attention": {"n_head": 8}, "mlp": {"d_ff": 512}}
 *
 * A name is one of "mixers" (its part is "type", or the name itself), else "mixer" for the
 * config's mixer, or the name of a part, which then has its defaults; the config's mixer if
 * it is that part.  Parts joined by + follow each other in a layer, each with a norm and a
 * residual of its own; parts joined by & stand side by side: one norm, and their outputs are
 * added.  Without "layers" each layer is the mixer.
 *
 * Any mixer's object may have "in_scale" and "out_scale", factors of what it reads and gives,
 * "ways", groups of channels that it works on one by one (model.c), and an "order" in which it sees
 * the steps instead of the config's.
 *
 * A part that makes a new residual stream (down, up, tokens, readout) is a layer by itself. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/config.h"

typedef struct named { const char *name; kr_residual r; } named;
enum { MAX_NAMED = 32 };
typedef struct names { named at[MAX_NAMED]; int n; } names;

static kr_status read_scale(const json_t *object, const char *key, const char *where, double *scale) {
    const json_t *v = json_object_get(object, key);
    *scale = json_is_number(v) ? json_number_value(v) : 1;
    if ((v && !json_is_number(v)) || !isfinite(*scale)) KR_FAIL(KR_ERR_CONFIG, "%s.%s wants a number", where, key);
    return KR_OK;
}

static kr_status read_order(kr_config *c, const json_t *object, const char *where, kr_residual *r) {
    const json_t *own = json_object_get(object, "order");
    char name[128];
    void *opt;
    r->order = c->order, r->order_opt = c->order_opt;
    if (!own) return KR_OK;
    snprintf(name, sizeof name, "%s.order", where);
    if (!json_is_object(own)) KR_FAIL(KR_ERR_CONFIG, "%s wants an object: {\"type\": \"scan\", ...}", name);
    if (r->part->own_order || r->part->pointwise) KR_FAIL(KR_ERR_CONFIG, "%s: %s is not run in any order", name, r->part->name);
    KR_TRY(kr_part_read("order", "causal", own, name, &c->arena, &r->order, &opt));
    r->order_opt = opt;
    return KR_OK;
}

static kr_status read_scales(kr_config *c, const json_t *object, const char *where, kr_residual *r) {
    const json_t *ways = json_object_get(object, "ways");
    r->ways = json_is_integer(ways) ? json_integer_value(ways) : 1;
    if ((ways && !json_is_integer(ways)) || r->ways < 1 || r->ways > 1024) KR_FAIL(KR_ERR_CONFIG, "%s.ways wants a number from 1 to 1024", where);
    KR_TRY(read_order(c, object, where, r));
    KR_TRY(read_scale(object, "in_scale", where, &r->in_scale));
    return read_scale(object, "out_scale", where, &r->out_scale);
}

/* From "mixers", or by the rules above. */
static kr_status open_name(kr_config *c, const char *name, kr_residual *r) {
    const json_t *given = json_object_get(json_object_get(c->json, "mixers"), name);
    char where[96];
    snprintf(where, sizeof where, "mixers.%s", name);
    *r = (kr_residual){.part = c->mixer, .opt = c->mixer_opt};
    if (!given && (strcmp(name, "mixer") == 0 || strcmp(name, c->mixer->name) == 0)) return read_scales(c, json_object_get(c->json, "mixer"), "mixer", r);
    if (given && !json_is_object(given)) KR_FAIL(KR_ERR_CONFIG, "%s wants an object: {...}", where);
    void *opt;
    KR_TRY(kr_part_read("mixer", name, given, where, &c->arena, &r->part, &opt));
    r->opt = opt;
    return read_scales(c, given, where, r);
}

static kr_status find_name(kr_config *c, names *known, const char *name, kr_residual *r) {
    for (int i = 0; i < known->n; i++)
        if (strcmp(known->at[i].name, name) == 0) return *r = known->at[i].r, KR_OK;
    if (known->n == MAX_NAMED) KR_FAIL(KR_ERR_CONFIG, "layers has more than %d names", MAX_NAMED);
    named *n = &known->at[known->n];
    KR_TRY(open_name(c, name, &n->r));
    if (!(n->name = kr_arena_strdup(&c->arena, name))) return KR_ERR_NOMEM;
    known->n++;
    *r = n->r;
    return KR_OK;
}

/* "attention&mixer+mlp" */
static kr_status read_layer(kr_config *c, names *known, const char *text, kr_layer *l) {
    char name[64];
    for (const char *p = text;; p++) {
        size_t n = strcspn(p, "+&");
        if (n == 0 || n >= sizeof name) KR_FAIL(KR_ERR_CONFIG, "layers: \"%s\" is no list of names joined by + or &", text);
        if (l->n == KR_MAX_RESIDUALS) KR_FAIL(KR_ERR_CONFIG, "layers: \"%s\" has more than %d parts", text, KR_MAX_RESIDUALS);
        snprintf(name, sizeof name, "%.*s", (int)n, p);
        KR_TRY(find_name(c, known, name, &l->part[l->n]));
        l->part[l->n++].beside = p > text && p[-1] == '&';
        p += n;
        if (l->part[l->n - 1].part->before && (*p != '+' || l->part[l->n - 1].beside))
            KR_FAIL(KR_ERR_CONFIG, "layers: in \"%s\" %s stands alone, want + and what it goes before", text, name);
        if (!*p) break;
    }
    for (int i = 0; i < l->n; i++)
        if (l->part[i].part->stream && l->n > 1) KR_FAIL(KR_ERR_CONFIG, "layers: in \"%s\" %s makes a new stream, so it is a layer by itself", text, l->part[i].part->name);
    return KR_OK;
}

static kr_status all_named(const kr_config *c, const names *known) {
    const char *name;
    json_t *v;
    json_object_foreach(json_object_get(c->json, "mixers"), name, v) {
        bool used = false;
        for (int i = 0; i < known->n; i++) used = used || strcmp(known->at[i].name, name) == 0;
        if (!used) KR_FAIL(KR_ERR_CONFIG, "mixers.%s is not in layers", name);
    }
    return KR_OK;
}

kr_status kr_layers_read(kr_config *c) {
    const json_t *list = json_object_get(c->json, "layers"), *mixers = json_object_get(c->json, "mixers");
    size_t n = json_array_size(list);
    names known = {.n = 0};
    if (list && n == 0) KR_FAIL(KR_ERR_CONFIG, "layers wants an array of names: [\"mamba2\", \"attention+mlp\"]");
    if (mixers && !json_is_object(mixers)) KR_FAIL(KR_ERR_CONFIG, "mixers wants an object: {\"attention\": {...}}");
    if ((int64_t)n > c->n_layer) KR_FAIL(KR_ERR_CONFIG, "layers has %zu entries, but n_layer is %lld", n, (long long)c->n_layer);
    c->n_pattern = n ? (int64_t)n : 1;
    if (!(c->pattern = kr_arena_new(&c->arena, (size_t)c->n_pattern * sizeof *c->pattern))) return KR_ERR_NOMEM;
    for (size_t i = 0; i < (n ? n : 1); i++) {
        const char *text = n ? json_string_value(json_array_get(list, i)) : "mixer";
        if (!text) KR_FAIL(KR_ERR_CONFIG, "layers[%zu] wants a text, as \"attention+mlp\"", i);
        KR_TRY(read_layer(c, &known, text, &c->pattern[i]));
    }
    for (int64_t i = 0; i < c->n_layer; i++) c->n_residual += kr_config_layer(c, i)->n;
    c->causal = c->as_they_come = true;
    for (int64_t i = 0; i < c->n_pattern; i++)
        for (int k = 0; k < c->pattern[i].n; k++) {
            const kr_residual *r = &c->pattern[i].part[k];
            c->as_they_come = c->as_they_come && r->order->causal;
            c->causal = c->causal && r->order->causal && r->part->causal && !(r->part->looks_ahead && r->part->looks_ahead(r->opt));
        }
    return all_named(c, &known);
}

json_t *kr_part_write(const kr_part *part, const void *opt) {
    json_t *o = json_pack("{s:s}", "type", part->name);
    if (o && (!part->keys || kr_keys_write(part->keys, opt, o, true) == KR_OK)) return o;
    json_decref(o);
    return NULL;
}

kr_status kr_scales_write(const kr_config *c, const kr_residual *r, json_t *object) {
    bool ok = r->in_scale == 1 || json_object_set_new(object, "in_scale", json_real(r->in_scale)) == 0;
    ok = ok && (r->out_scale == 1 || json_object_set_new(object, "out_scale", json_real(r->out_scale)) == 0);
    ok = ok && (r->ways == 1 || json_object_set_new(object, "ways", json_integer(r->ways)) == 0);
    ok = ok && (r->order_opt == c->order_opt || json_object_set_new(object, "order", kr_part_write(r->order, r->order_opt)) == 0);
    return ok ? KR_OK : kr_fail(KR_ERR_NOMEM, "out of memory writing the layers");
}

/* The options in full, under the names that "layers" uses. */
kr_status kr_layers_write(const kr_config *c, json_t *own) {
    const json_t *list = json_object_get(c->json, "layers"), *given = json_object_get(c->json, "mixers");
    if (!list) return KR_OK;
    json_t *mixers = json_object();
    bool ok = mixers && json_object_set(own, "layers", (json_t *)list) == 0;
    for (size_t i = 0; i < json_array_size(list) && ok; i++) {
        const char *p = json_string_value(json_array_get(list, i));
        for (int k = 0; k < c->pattern[i].n && ok; k++, p += *p != 0) {
            char name[64];
            size_t n = strcspn(p, "+&");
            snprintf(name, sizeof name, "%.*s", (int)n, p);
            p += n;
            const kr_residual *r = &c->pattern[i].part[k];
            if (json_object_get(mixers, name) || (r->opt == c->mixer_opt && !json_object_get(given, name))) continue;
            json_t *o = kr_part_write(r->part, r->opt);
            ok = o && kr_scales_write(c, r, o) == KR_OK && json_object_set(mixers, name, o) == 0;
            json_decref(o);
        }
    }
    ok = ok && (json_object_size(mixers) == 0 || json_object_set(own, "mixers", mixers) == 0);
    json_decref(mixers);
    return ok ? KR_OK : kr_fail(KR_ERR_NOMEM, "out of memory writing the layers");
}
