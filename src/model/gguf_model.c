/* gguf_model.c - llama.cpp's architectures mamba and mamba2 as models of ours: names, config, tokenizer.
 *
 * Where theirs differs: A stands as itself, not as the logarithm of -A; Mamba-2's A and D have
 * an inner axis of 1 and its norm one axis a group; a convolution has no axis of 1.  What
 * Krait writes holds its config and its tokenizer.json besides, which then count. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"
#include "model/gguf.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

/* --- names ------------------------------------------------------------------------------- */

static const kr_gguf_name of_model[] = {
    {"backbone.embeddings.weight", "token_embd.weight"}, {"backbone.norm_f.weight", "output_norm.weight"}, {"lm_head.weight", "output.weight"}, {NULL, NULL}};
#define OF_BOTH                                                                                                      \
    {"norm.weight", "attn_norm.weight"}, {"mixer.in_proj.weight", "ssm_in.weight"}, {"mixer.in_proj.bias", "ssm_in.bias"}, \
    {"mixer.conv1d.weight", "ssm_conv1d.weight"}, {"mixer.conv1d.bias", "ssm_conv1d.bias"}, {"mixer.A_log", "ssm_a"}, \
    {"mixer.D", "ssm_d"}, {"mixer.out_proj.weight", "ssm_out.weight"}, {"mixer.out_proj.bias", "ssm_out.bias"}
static const kr_gguf_name of_mamba1[] = {OF_BOTH, {"mixer.x_proj.weight", "ssm_x.weight"}, {"mixer.dt_proj.weight", "ssm_dt.weight"},
                                         {"mixer.dt_proj.bias", "ssm_dt.bias"}, {NULL, NULL}};
static const kr_gguf_name of_mamba2[] = {OF_BOTH, {"mixer.dt_bias", "ssm_dt.bias"}, {"mixer.norm.weight", "ssm_norm.weight"}, {NULL, NULL}};

const kr_gguf_name *kr_gguf_names(bool two, bool of_layer) { return !of_layer ? of_model : two ? of_mamba2 : of_mamba1; }

static const char *ours_of(const kr_gguf_name *names, const char *theirs) {
    for (; names->ours; names++)
        if (strcmp(names->theirs, theirs) == 0) return names->ours;
    return NULL;
}

/* *kind: the row's name; what no row knows keeps its name, and no model has a place for it. */
static kr_status rename_tensor(kr_arena *arena, bool two, const char *theirs, const char **ours, const char **kind) {
    char *after;
    const char *name;
    *ours = theirs, *kind = "";
    if ((name = ours_of(of_model, theirs))) return *ours = *kind = name, KR_OK;
    if (strncmp(theirs, "blk.", 4) != 0 || theirs[4] < '0' || theirs[4] > '9') return KR_OK;
    unsigned long layer = strtoul(theirs + 4, &after, 10);
    if (*after != '.' || layer > INT32_MAX || !(name = ours_of(kr_gguf_names(two, true), after + 1))) return KR_OK;
    char *full = kr_arena_new(arena, 64 + strlen(name));
    if (!full) return KR_ERR_NOMEM;
    snprintf(full, 64 + strlen(name), "backbone.layers.%lu.%s", layer, name);
    return *ours = full, *kind = name, KR_OK;
}

static kr_status architecture(const kr_gguf *g, const char **arch) {
    const kr_gguf_pair *v = kr_gguf_find(g, "general.architecture");
    static const char *const known[] = {"mamba", "mamba2"};
    for (int i = 0; v && v->kind == KR_GGUF_TEXT && i < 2; i++)
        if (v->n == strlen(known[i]) && memcmp(v->data, known[i], v->n) == 0) return *arch = known[i], KR_OK;
    if (!v || v->kind != KR_GGUF_TEXT) KR_FAIL(KR_ERR_FORMAT, "%s: general.architecture is missing or no text", g->name);
    KR_FAIL(KR_ERR_FORMAT, "%s: its architecture is %.*s, and Krait reads mamba and mamba2", g->name, v->n > 40 ? 40 : (int)v->n, (const char *)v->data);
}

/* --- tensors ------------------------------------------------------------------------------- */

static kr_status take_logarithm(kr_arena *arena, const kr_gguf *g, kr_st_tensor *t) {
    float *x = t->dtype == KR_ST_F32 ? kr_arena_new(arena, t->n_bytes) : NULL;
    if (t->dtype != KR_ST_F32) KR_FAIL(KR_ERR_FORMAT, "%s: tensor %.200s is not F32", g->name, t->name);
    if (!x) return KR_ERR_NOMEM;
    memcpy(x, t->data, t->n_bytes);
    for (int64_t i = 0; i < t->count; i++) {
        if (!(x[i] < 0) || isinf(x[i])) KR_FAIL(KR_ERR_FORMAT, "%s: tensor %.200s holds %g, want numbers below 0", g->name, t->name, (double)x[i]);
        x[i] = logf(-x[i]);
    }
    t->data = x;
    return KR_OK;
}

static kr_status convert_tensor(kr_arena *arena, const kr_gguf *g, bool two, const kr_gguf_tensor *from, kr_st_tensor *t) {
    const char *kind;
    *t = (kr_st_tensor){.file = g->name, .dtype = kr_st_dtype_of(from->dtype), .n_dims = from->n_dims, .count = from->count, .data = from->data, .n_bytes = from->n_bytes};
    if (kr_dtype_block(from->dtype) > 1) t->block = from->dtype;
    KR_TRY(rename_tensor(arena, two, from->name, &t->name, &kind));
    memcpy(t->dim, from->dim, sizeof from->dim);
    bool conv = strcmp(kind, "mixer.conv1d.weight") == 0, a = strcmp(kind, "mixer.A_log") == 0, d = strcmp(kind, "mixer.D") == 0;
    if (conv && t->n_dims == 2 && !t->block) t->n_dims = 3, t->dim[2] = t->dim[1], t->dim[1] = 1;
    if (two && (a || d) && t->n_dims == 2 && t->dim[1] == 1) t->n_dims = 1;
    if (strcmp(kind, "mixer.norm.weight") == 0 && !t->block) t->n_dims = 1, t->dim[0] = t->count;
    return a ? take_logarithm(arena, g, t) : KR_OK;
}

static int by_name(const void *a, const void *b) { return strcmp(((const kr_st_tensor *)a)->name, ((const kr_st_tensor *)b)->name); }

kr_status kr_gguf_tensors(kr_arena *arena, const void *file, size_t n_bytes, const char *name, kr_st_tensor **tensor, size_t *n_tensors) {
    kr_gguf g;
    const char *arch;
    KR_TRY(kr_gguf_read(&g, arena, file, n_bytes, name));
    KR_TRY(architecture(&g, &arch));
    kr_st_tensor *t = kr_arena_new(arena, (g.n_tensors + 1) * sizeof *t);
    if (!t) return KR_ERR_NOMEM;
    for (size_t i = 0; i < g.n_tensors; i++) KR_TRY(convert_tensor(arena, &g, strcmp(arch, "mamba2") == 0, &g.tensor[i], &t[i]));
    qsort(t, g.n_tensors, sizeof *t, by_name);
    for (size_t i = 1; i < g.n_tensors; i++)
        if (strcmp(t[i - 1].name, t[i].name) == 0) KR_FAIL(KR_ERR_FORMAT, "%s: two tensors are %.200s", name, t[i].name);
    *tensor = t, *n_tensors = g.n_tensors;
    return KR_OK;
}

/* --- the config -------------------------------------------------------------------------------- */

static const kr_gguf_tensor *find_tensor(const kr_gguf *g, const char *name) {
    for (size_t i = 0; i < g->n_tensors; i++)
        if (strcmp(g->tensor[i].name, name) == 0) return &g->tensor[i];
    return NULL;
}

typedef struct sizes { int64_t M, n_layer, K, E, N, R, G, V, bos, eos, rms; double eps; } sizes;

static kr_status want_int(const kr_gguf *g, const char *arch, const char *key, int64_t *out) {
    char full[80];
    snprintf(full, sizeof full, "%s.%s", arch, key);
    *out = -1;
    if (!kr_gguf_int(g, full, out) || *out < 1 || *out > INT32_MAX) KR_FAIL(KR_ERR_FORMAT, "%s: %s is missing or no number from 1 to %d", g->name, full, INT32_MAX);
    return KR_OK;
}

static kr_status read_sizes(const kr_gguf *g, const char *arch, bool two, sizes *s) {
    char key[80], text[32];
    const kr_gguf_tensor *table = find_tensor(g, "token_embd.weight");
    KR_TRY(want_int(g, arch, "embedding_length", &s->M));
    KR_TRY(want_int(g, arch, "block_count", &s->n_layer));
    KR_TRY(want_int(g, arch, "ssm.conv_kernel", &s->K));
    KR_TRY(want_int(g, arch, "ssm.inner_size", &s->E));
    KR_TRY(want_int(g, arch, "ssm.state_size", &s->N));
    KR_TRY(want_int(g, arch, "ssm.time_step_rank", &s->R));
    s->G = 1;
    if (two) KR_TRY(want_int(g, arch, "ssm.group_count", &s->G));
    if (two && s->E % s->R) KR_FAIL(KR_ERR_FORMAT, "%s: %s.ssm.inner_size %lld is no multiple of its %lld heads", g->name, arch, (long long)s->E, (long long)s->R);
    if (!table || table->n_dims != 2) KR_FAIL(KR_ERR_FORMAT, "%s: there is no table token_embd.weight", g->name);
    s->V = table->dim[0];
    snprintf(key, sizeof key, "%s.ssm.dt_b_c_rms", arch);
    s->rms = 0;
    kr_gguf_int(g, key, &s->rms);
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    if (!kr_gguf_real(g, key, &s->eps) || !(s->eps >= 0 && s->eps <= 1)) KR_FAIL(KR_ERR_FORMAT, "%s: %s is missing or no number from 0 to 1", g->name, key);
    snprintf(text, sizeof text, "%.7g", s->eps); /* 1e-5, not the float nearest to it */
    s->eps = strtod(text, NULL);
    s->bos = s->eos = -1;
    kr_gguf_int(g, "tokenizer.ggml.bos_token_id", &s->bos);
    kr_gguf_int(g, "tokenizer.ggml.eos_token_id", &s->eos);
    if (s->bos < 0 || s->bos >= s->V) s->bos = -1;
    if (s->eos < 0 || s->eos >= s->V) s->eos = -1;
    return KR_OK;
}

static kr_status make_config(const kr_gguf *g, json_t **out) {
    const char *arch;
    sizes s;
    KR_TRY(architecture(g, &arch));
    bool two = strcmp(arch, "mamba2") == 0, tied = !find_tensor(g, "output.weight");
    KR_TRY(read_sizes(g, arch, two, &s));
    json_t *mixer = json_pack("{s:s, s:I, s:I, s:I, s:b, s:b}", "type", two ? "mamba2" : "mamba1", s.E % s.M ? "d_inner" : "expand",
                              (json_int_t)(s.E % s.M ? s.E : s.E / s.M), "d_state", (json_int_t)s.N, "d_conv", (json_int_t)s.K,
                              "conv_bias", find_tensor(g, "blk.0.ssm_conv1d.bias") != NULL, "bias", find_tensor(g, "blk.0.ssm_in.bias") != NULL);
    json_t *more = two ? json_pack("{s:I, s:I, s:f, s:b}", "headdim", (json_int_t)(s.E / s.R), "ngroups", (json_int_t)s.G, "norm_eps", s.eps, "group_norm", 1)
                       : json_pack("{s:I, s:b, s:f}", "dt_rank", (json_int_t)s.R, "rms_norm_dt_bc", s.rms != 0, "bc_dt_rms_eps", s.eps);
    json_t *j = json_pack("{s:s, s:I, s:I, s:I, s:f, s:b, s:I, s:I}", "model_type", "krait", "d_model", (json_int_t)s.M, "n_layer", (json_int_t)s.n_layer,
                          "vocab_size", (json_int_t)s.V, "norm_eps", s.eps, "tie_embeddings", tied, "bos_token_id", (json_int_t)s.bos, "eos_token_id", (json_int_t)s.eos);
    bool whole = mixer && more && j && json_object_update(mixer, more) == 0 && json_object_set(j, "mixer", mixer) == 0;
    json_decref(mixer);
    json_decref(more);
    if (whole) return *out = j, KR_OK;
    json_decref(j);
    KR_FAIL(KR_ERR_NOMEM, "%s: out of memory", g->name);
}

typedef struct opened { kr_arena arena; const void *map; size_t n; kr_gguf g; } opened;

static kr_status open_file(opened *o, const char *path) {
    *o = (opened){0};
    KR_TRY(kr_file_map(&o->map, &o->n, path));
    return kr_gguf_read(&o->g, &o->arena, o->map, o->n, path);
}

static void close_file(opened *o) {
    kr_arena_clear(&o->arena);
    kr_file_unmap(o->map, o->n);
}

kr_status kr_gguf_config(json_t **config, const char *path) {
    opened o;
    const char *arch;
    kr_status st = open_file(&o, path);
    if (st == KR_OK) st = architecture(&o.g, &arch);
    const kr_gguf_pair *own = st == KR_OK ? kr_gguf_find(&o.g, "krait.config") : NULL;
    if (own && own->kind == KR_GGUF_TEXT) st = kr_json_parse(config, (const char *)own->data, (size_t)own->n, path);
    else if (st == KR_OK) st = make_config(&o.g, config);
    close_file(&o);
    return st;
}

/* --- the tokenizer -------------------------------------------------------------------------------- */

static bool is_text(const kr_gguf_pair *v, const char *want) { return v && v->kind == KR_GGUF_TEXT && v->n == strlen(want) && memcmp(v->data, want, v->n) == 0; }

/* The rule of a name of llama.cpp's for a pre-tokeniser. */
static kr_status find_rule(const kr_gguf *g, kr_split_rule *rule) {
    static const struct { const char *pre; kr_split_rule rule; } known[] = {
        {"gpt-2", KR_SPLIT_GPT2}, {"gpt2", KR_SPLIT_GPT2}, {"mpt", KR_SPLIT_GPT2}, {"olmo", KR_SPLIT_GPT2}, {"gpt-neox", KR_SPLIT_GPT2}, {"jais", KR_SPLIT_GPT2},
        {"llama-bpe", KR_SPLIT_LLAMA3}, {"llama3", KR_SPLIT_LLAMA3}, {"llama-v3", KR_SPLIT_LLAMA3}, {"dbrx", KR_SPLIT_LLAMA3}, {"smaug-bpe", KR_SPLIT_LLAMA3},
        {"qwen2", KR_SPLIT_QWEN2}, {"stablelm2", KR_SPLIT_QWEN2}, {"falcon", KR_SPLIT_FALCON}};
    const kr_gguf_pair *pre = kr_gguf_find(g, "tokenizer.ggml.pre");
    *rule = KR_SPLIT_GPT2;
    if (!pre || is_text(pre, "default")) return KR_OK; /* files older than the key hold GPT-NeoX's */
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (is_text(pre, known[i].pre)) return *rule = known[i].rule, KR_OK;
    if (pre->kind != KR_GGUF_TEXT) KR_FAIL(KR_ERR_FORMAT, "%s: tokenizer.ggml.pre is no text", g->name);
    KR_FAIL(KR_ERR_FORMAT, "%s: its pre-tokeniser is %.*s, which Krait does not know", g->name, pre->n > 40 ? 40 : (int)pre->n, (const char *)pre->data);
}

static kr_status quote(const kr_gguf *g, kr_str *j, const char *text, size_t n) {
    char *copy = kr_mem_new(n + 1);
    if (!copy) return KR_ERR_NOMEM;
    memcpy(copy, text, n);
    bool odd = memchr(text, 0, n) != NULL || kr_utf8_valid(text, n) < n;
    if (!odd) kr_str_append_json(j, copy);
    kr_mem_free(copy);
    if (odd) KR_FAIL(KR_ERR_FORMAT, "%s: a token or a merge is no UTF-8", g->name);
    return kr_str_status(j);
}

static const kr_gguf_pair *list_of(const kr_gguf *g, const char *key, kr_gguf_kind of) {
    const kr_gguf_pair *v = kr_gguf_find(g, key);
    return v && v->kind == KR_GGUF_ARRAY && v->of == of ? v : NULL;
}

enum { NORMAL = 1, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5 };

static int32_t type_at(const kr_gguf_pair *types, uint64_t i) {
    int32_t t = NORMAL;
    if (types && i < types->n) memcpy(&t, types->data + 4 * i, sizeof t);
    return t;
}

static kr_status write_added(const kr_gguf *g, kr_str *j, const kr_gguf_pair *tokens, const kr_gguf_pair *types) {
    const unsigned char *p = tokens->data;
    size_t n;
    bool any = false;
    kr_str_append(j, "{\"added_tokens\":[");
    for (uint64_t i = 0; i < tokens->n; i++) {
        const char *text = kr_gguf_next_text(&p, &n);
        int32_t type = type_at(types, i);
        if (type != CONTROL && type != USER_DEFINED) continue;
        kr_str_appendf(j, "%s{\"id\":%llu,\"special\":%s,\"normalized\":false,\"content\":", any ? "," : "", (unsigned long long)i, type == CONTROL ? "true" : "false");
        KR_TRY(quote(g, j, text, n));
        kr_str_append(j, "}");
        any = true;
    }
    kr_str_append(j, "],");
    return KR_OK;
}

static kr_status write_vocab(const kr_gguf *g, kr_str *j, const kr_gguf_pair *tokens, const kr_gguf_pair *types, const kr_gguf_pair *merges) {
    const unsigned char *p = tokens->data;
    size_t n;
    bool any = false;
    kr_str_append(j, "\"model\":{\"type\":\"BPE\",\"vocab\":{");
    for (uint64_t i = 0; i < tokens->n; i++) {
        const char *text = kr_gguf_next_text(&p, &n);
        if (type_at(types, i) == UNUSED) continue;
        if (any) kr_str_append(j, ",");
        KR_TRY(quote(g, j, text, n));
        kr_str_appendf(j, ":%llu", (unsigned long long)i);
        any = true;
    }
    kr_str_append(j, "},\"merges\":[");
    p = merges ? merges->data : NULL;
    for (uint64_t i = 0; merges && i < merges->n; i++) {
        if (i) kr_str_append(j, ",");
        const char *text = kr_gguf_next_text(&p, &n);
        KR_TRY(quote(g, j, text, n));
    }
    kr_str_append(j, "]}");
    return KR_OK;
}

static kr_status write_tokenizer(const kr_gguf *g, kr_str *j) {
    const kr_gguf_pair *tokens = list_of(g, "tokenizer.ggml.tokens", KR_GGUF_TEXT), *types = list_of(g, "tokenizer.ggml.token_type", KR_GGUF_I32);
    const kr_gguf_pair *merges = list_of(g, "tokenizer.ggml.merges", KR_GGUF_TEXT);
    kr_split_rule rule;
    int64_t add_bos = 0, bos = -1;
    KR_TRY(find_rule(g, &rule));
    KR_TRY(write_added(g, j, tokens, types));
    kr_gguf_int(g, "tokenizer.ggml.add_bos_token", &add_bos);
    kr_gguf_int(g, "tokenizer.ggml.bos_token_id", &bos);
    if (add_bos && bos >= 0 && (uint64_t)bos < tokens->n)
        kr_str_appendf(j, "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"bos\"}},{\"Sequence\":{\"id\":\"A\"}}],"
                          "\"special_tokens\":{\"bos\":{\"ids\":[%lld]}}},", (long long)bos);
    const char *level = "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":";
    if (rule == KR_SPLIT_GPT2) kr_str_appendf(j, "\"pre_tokenizer\":%strue},", level);
    else if (rule == KR_SPLIT_FALCON)
        kr_str_appendf(j, "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Punctuation\",\"behavior\":\"Contiguous\"},%strue},{\"type\":\"Digits\","
                          "\"individual_digits\":false},{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[0-9][0-9][0-9]\"},\"behavior\":\"Isolated\",\"invert\":false}]},", level);
    else {
        kr_str_append(j, "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":{\"Regex\":");
        kr_str_append_json(j, kr_split_regex(rule));
        kr_str_appendf(j, "}},%sfalse}]},", level);
    }
    KR_TRY(write_vocab(g, j, tokens, types, merges));
    kr_str_append(j, "}");
    return kr_str_status(j);
}

static const kr_gguf_pair *own_json(const kr_gguf *g) {
    const kr_gguf_pair *v = kr_gguf_find(g, "tokenizer.huggingface.json");
    return v && v->kind == KR_GGUF_TEXT ? v : NULL;
}

/* The text of a tokenizer.json: the file's own, or one made of its lists. */
static kr_status write_json(void *from, kr_str *to) {
    const kr_gguf *g = &((opened *)from)->g;
    const kr_gguf_pair *own = own_json(g);
    if (!own) return write_tokenizer(g, to);
    kr_str_append_n(to, (const char *)own->data, (size_t)own->n);
    return kr_str_status(to);
}

static void give_back(void *from) {
    close_file(from);
    kr_mem_free(from);
}

/* Is there a tokenizer that Krait could read? */
static kr_status find_tokenizer(const kr_gguf *g, bool *any) {
    const kr_gguf_pair *model = kr_gguf_find(g, "tokenizer.ggml.model");
    *any = own_json(g) != NULL;
    if (*any || kr_gguf_find(g, "krait.config")) return KR_OK; /* in the latter case the model reads bytes, or had no tokenizer */
    if (!model || is_text(model, "no_vocab") || is_text(model, "none")) return KR_OK;
    if (!is_text(model, "gpt2")) KR_FAIL(KR_ERR_FORMAT, "%s: its tokenizer.ggml.model is not gpt2 (byte-level BPE)", g->name);
    if (!list_of(g, "tokenizer.ggml.tokens", KR_GGUF_TEXT)) KR_FAIL(KR_ERR_FORMAT, "%s: tokenizer.ggml.tokens is missing or no list of texts", g->name);
    return *any = true, KR_OK;
}

/* The tokenizer has the file then, and leaves its pages. */
static kr_status make_tokenizer(opened *o, kr_tokenizer **t) {
    const kr_gguf_pair *own = own_json(&o->g);
    const kr_json_lender lender = {o, write_json, give_back};
    const void *map = o->map;
    const size_t n = o->n;
    kr_str made = {0};
    kr_status st = own ? KR_OK : write_tokenizer(&o->g, &made);
    if (st != KR_OK) give_back(o);
    else if (own) st = kr_tokenizer_open_lent(t, (const char *)own->data, (size_t)own->n, o->g.name, &lender);
    else st = kr_tokenizer_open_lent(t, kr_str_text(&made), made.n, o->g.name, &lender);
    if (*t) kr_file_forget(map, n);
    kr_str_free(&made);
    return st;
}

kr_status kr_gguf_tokenizer(kr_tokenizer **t, char *reason, size_t size, const char *path) {
    bool any = false;
    opened *o = kr_mem_new(sizeof *o);
    *t = NULL;
    *reason = 0;
    if (!o) return KR_ERR_NOMEM;
    kr_status st = open_file(o, path);
    if (st == KR_OK && !(o->g.name = kr_arena_strdup(&o->arena, path))) st = KR_ERR_NOMEM; /* it outlives the caller's */
    if (st == KR_OK) st = find_tokenizer(&o->g, &any);
    if (st == KR_OK && any) st = make_tokenizer(o, t);
    else give_back(o);
    if (st == KR_ERR_FORMAT) snprintf(reason, size, "%s", kr_error()), st = KR_OK;
    return st;
}

/* --- the chat template -------------------------------------------------------------------------------- */

static kr_status copy_text(kr_arena *arena, const kr_gguf *g, const char *what, const void *text, size_t n, const char **out) {
    if (memchr(text, 0, n) || kr_utf8_valid(text, n) < n) KR_FAIL(KR_ERR_FORMAT, "%s: %s is no UTF-8 text", g->name, what);
    char *copy = kr_arena_new(arena, n + 1);
    if (!copy) return KR_ERR_NOMEM;
    memcpy(copy, text, n);
    return *out = copy, KR_OK;
}

static kr_status text_of_token(kr_arena *arena, const kr_gguf *g, const char *key, const char **out) {
    const kr_gguf_pair *tokens = list_of(g, "tokenizer.ggml.tokens", KR_GGUF_TEXT);
    int64_t id = -1;
    size_t n = 0;
    if (!tokens || !kr_gguf_int(g, key, &id) || id < 0 || (uint64_t)id >= tokens->n) return KR_OK;
    const unsigned char *p = tokens->data;
    const char *text = NULL;
    for (int64_t i = 0; i <= id; i++) text = kr_gguf_next_text(&p, &n);
    return copy_text(arena, g, "a token", text, n, out);
}

static kr_status chat_of(kr_arena *arena, const kr_gguf *g, kr_gguf_chat *out) {
    const kr_gguf_pair *v = kr_gguf_find(g, "tokenizer.chat_template");
    KR_TRY(text_of_token(arena, g, "tokenizer.ggml.bos_token_id", &out->bos));
    KR_TRY(text_of_token(arena, g, "tokenizer.ggml.eos_token_id", &out->eos));
    return v && v->kind == KR_GGUF_TEXT ? copy_text(arena, g, v->key, v->data, (size_t)v->n, &out->text) : KR_OK;
}

kr_status kr_gguf_get_chat(kr_gguf_chat *out, kr_arena *arena, const char *path) {
    opened o;
    *out = (kr_gguf_chat){0};
    kr_status st = open_file(&o, path);
    if (st == KR_OK) st = chat_of(arena, &o.g, out);
    close_file(&o);
    return st;
}
