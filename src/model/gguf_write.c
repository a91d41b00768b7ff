/* gguf_write.c - a model as one GGUF file, as llama.cpp's converter would lay it out.
 *
 * Our own config and tokenizer.json stand in it besides, so what comes back is the same
 * model, whether or not llama.cpp's words can say it (kr_gguf_obstacle tells). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"
#include "model/gguf.h"
#include "text/tokenizer.h"

enum { ALIGNMENT = 32, STEP = 8192 };

typedef struct entry { const kr_param *p; char name[80]; kr_dtype dtype; int n_dims; int64_t dim[4]; size_t n_bytes; } entry;

typedef struct writer {
    const kr_model *m;
    json_t *mixer;       /* every option of the mixer */
    bool two;
    kr_str head, pairs;
    uint64_t n_pairs;
    entry *entry;
    size_t n;
} writer;

/* --- values ------------------------------------------------------------------------------- */

static void put(kr_str *s, uint64_t x, size_t bytes) { kr_str_append_n(s, &x, bytes); } /* little-endian */
static void put_text(kr_str *s, const char *text, size_t n) {
    put(s, n, 8);
    kr_str_append_n(s, text, n);
}

/* '%' at its start stands for the architecture. */
static void key(writer *w, const char *name, kr_gguf_kind kind) {
    char full[96];
    snprintf(full, sizeof full, "%s%s", *name == '%' ? (w->two ? "mamba2" : "mamba") : "", *name == '%' ? name + 1 : name);
    put_text(&w->pairs, full, strlen(full));
    put(&w->pairs, kind, 4);
    w->n_pairs++;
}

static void set_text(writer *w, const char *name, const char *text, size_t n) {
    key(w, name, KR_GGUF_TEXT);
    put_text(&w->pairs, text, n);
}

static void set_int(writer *w, const char *name, int64_t x) {
    key(w, name, KR_GGUF_U32);
    put(&w->pairs, (uint64_t)x, 4);
}

static void set_bool(writer *w, const char *name, bool x) {
    key(w, name, KR_GGUF_BOOL);
    put(&w->pairs, x, 1);
}

static void set_real(writer *w, const char *name, double x) {
    float f = (float)x;
    key(w, name, KR_GGUF_F32);
    kr_str_append_n(&w->pairs, &f, sizeof f);
}

static void begin_array(writer *w, const char *name, kr_gguf_kind of, uint64_t n) {
    key(w, name, KR_GGUF_ARRAY);
    put(&w->pairs, of, 4);
    put(&w->pairs, n, 8);
}

static int64_t option(const writer *w, const char *name) { return json_integer_value(json_object_get(w->mixer, name)); }
static bool flag(const writer *w, const char *name) { return json_is_true(json_object_get(w->mixer, name)); }
static double real(const writer *w, const char *name) { return json_number_value(json_object_get(w->mixer, name)); }

static int64_t inner(const writer *w) { return option(w, "d_inner") ? option(w, "d_inner") : option(w, "expand") * w->m->config.d_model; }

/* --- keys ------------------------------------------------------------------------------------ */

static kr_status set_config(writer *w) {
    json_t *j;
    KR_TRY(kr_config_write(&w->m->config, &j));
    char *text = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(j);
    if (!text) KR_FAIL(KR_ERR_NOMEM, "out of memory");
    set_text(w, "krait.config", text, strlen(text));
    kr_mem_free(text);
    return KR_OK;
}

static int file_type(kr_dtype t) {
    return t == KR_F32 ? 0 : t == KR_F16 ? 1 : t == KR_Q4_0 ? 2 : t == KR_Q8_0 ? 7 : t == KR_Q4_K ? 14 : t == KR_Q6_K ? 18 : 32;
}

static void set_sizes(writer *w, kr_dtype dtype) {
    const kr_config *c = &w->m->config;
    int64_t R = option(w, "dt_rank"), E = inner(w);
    set_text(w, "general.architecture", w->two ? "mamba2" : "mamba", w->two ? 6 : 5);
    set_text(w, "general.type", "model", 5);
    set_int(w, "general.file_type", file_type(dtype));
    if (kr_dtype_block(dtype) > 1) set_int(w, "general.quantization_version", 2);
    set_int(w, "%.context_length", 1 << 20); /* there is no limit, but the key is wanted */
    set_int(w, "%.embedding_length", c->d_model);
    set_int(w, "%.feed_forward_length", 0);
    set_int(w, "%.attention.head_count", 0);
    set_int(w, "%.block_count", c->n_layer);
    set_int(w, "%.vocab_size", c->vocab_size);
    set_int(w, "%.ssm.conv_kernel", option(w, "d_conv"));
    set_int(w, "%.ssm.inner_size", E);
    set_int(w, "%.ssm.state_size", option(w, "d_state"));
    set_int(w, "%.ssm.time_step_rank", w->two ? E / option(w, "headdim") : R ? R : (c->d_model + 15) / 16);
    if (w->two) set_int(w, "%.ssm.group_count", option(w, "ngroups"));
    else set_bool(w, "%.ssm.dt_b_c_rms", flag(w, "rms_norm_dt_bc"));
    set_real(w, "%.attention.layer_norm_rms_epsilon", c->norm_eps);
}

/* --- the vocabulary ---------------------------------------------------------------------------- */

enum { NORMAL = 1, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5 };

static const kr_added_token *added(const kr_tokenizer *t, int64_t id) {
    for (int i = 0; t && i < t->n_added; i++)
        if (t->added[i].id == id) return &t->added[i];
    return NULL;
}

/* Without a tokenizer, the bytes. */
static void put_token(writer *w, int64_t id) {
    const kr_tokenizer *t = w->m->tokenizer;
    char byte = (char)id, pad[32];
    int64_t n = 1;
    const char *text = t ? kr_tokenizer_text(t, (int32_t)id, &n) : &byte;
    kr_str letters = {0};
    if (!text) text = pad, n = snprintf(pad, sizeof pad, "[PAD%lld]", (long long)id);
    else if (!added(t, id)) {
        kr_spell_bytes(&letters, text, (size_t)n);
        text = kr_str_text(&letters), n = (int64_t)letters.n;
    }
    put_text(&w->pairs, text, (size_t)n);
    w->pairs.failed |= letters.failed;
    kr_str_free(&letters);
}

static int type_of(const writer *w, int64_t id) {
    const kr_tokenizer *t = w->m->tokenizer;
    const kr_added_token *a = added(t, id);
    return a ? (a->special ? CONTROL : USER_DEFINED) : t && !kr_tokenizer_text(t, (int32_t)id, NULL) ? UNUSED : NORMAL;
}

static kr_status set_merges(writer *w) {
    const kr_tokenizer *t = w->m->tokenizer;
    uint32_t m = 0, n = t ? t->n_merges : 0;
    for (uint32_t i = 0; i < n; i++) m += t->merge[i].to >= 0;
    begin_array(w, "tokenizer.ggml.merges", KR_GGUF_TEXT, m);
    kr_str s = {0};
    for (uint32_t i = 0; i < n; i++) {
        int32_t left = t->merge[i].left, right = t->merge[i].right;
        if (t->merge[i].to < 0) continue;
        kr_str_cut(&s, 0);
        kr_spell_bytes(&s, kr_token_bytes(t, left), t->token[left].n);
        kr_str_append_char(&s, ' ');
        kr_spell_bytes(&s, kr_token_bytes(t, right), t->token[right].n);
        put_text(&w->pairs, kr_str_text(&s), s.n);
    }
    kr_status st = kr_str_status(&s);
    kr_str_free(&s);
    return st;
}

static kr_status set_json(writer *w, const kr_tokenizer *t) {
    kr_str json = {0};
    kr_status st = kr_tokenizer_write(t, &json);
    if (st == KR_OK) set_text(w, "tokenizer.huggingface.json", kr_str_text(&json), json.n);
    kr_str_free(&json);
    return st;
}

static kr_status set_vocabulary(writer *w) {
    static const char *const pre[] = {[KR_SPLIT_NONE] = "gpt-2", [KR_SPLIT_GPT2] = "gpt-2", [KR_SPLIT_LLAMA3] = "llama-bpe", [KR_SPLIT_QWEN2] = "qwen2", [KR_SPLIT_FALCON] = "falcon"};
    const kr_tokenizer *t = w->m->tokenizer;
    const kr_config *c = &w->m->config;
    if (!t && !kr_model_is_bytes(w->m)) return set_text(w, "tokenizer.ggml.model", "no_vocab", 8), KR_OK;
    const char *rule = pre[t ? t->split : KR_SPLIT_GPT2];
    set_text(w, "tokenizer.ggml.model", "gpt2", 4);
    set_text(w, "tokenizer.ggml.pre", rule, strlen(rule));
    begin_array(w, "tokenizer.ggml.tokens", KR_GGUF_TEXT, (uint64_t)c->vocab_size);
    for (int64_t i = 0; i < c->vocab_size; i++) put_token(w, i);
    begin_array(w, "tokenizer.ggml.token_type", KR_GGUF_I32, (uint64_t)c->vocab_size);
    for (int64_t i = 0; i < c->vocab_size; i++) put(&w->pairs, (uint64_t)type_of(w, i), 4);
    KR_TRY(set_merges(w));
    if (c->bos_token_id >= 0) set_int(w, "tokenizer.ggml.bos_token_id", c->bos_token_id);
    if (c->eos_token_id >= 0) set_int(w, "tokenizer.ggml.eos_token_id", c->eos_token_id);
    set_bool(w, "tokenizer.ggml.add_bos_token", t && t->n_before == 1 && t->before[0] == c->bos_token_id);
    if (t) KR_TRY(set_json(w, t));
    if (w->m->chat_template) set_text(w, "tokenizer.chat_template", w->m->chat_template, strlen(w->m->chat_template));
    return kr_str_status(&w->pairs);
}

/* --- tensors --------------------------------------------------------------------------------------- */

static kr_status name_tensor(const writer *w, const kr_param *p, entry *e) {
    static const char own[] = "backbone.layers.";
    const char *rest = p->name, *layer = NULL;
    if (strncmp(rest, own, strlen(own)) == 0) {
        layer = rest + strlen(own);
        rest = layer + strcspn(layer, ".") + 1;
    }
    for (const kr_gguf_name *r = kr_gguf_names(w->two, layer != NULL); r->ours; r++) {
        if (strcmp(r->ours, rest) != 0) continue;
        if (layer) snprintf(e->name, sizeof e->name, "blk.%.*s.%s", (int)strcspn(layer, "."), layer, r->theirs);
        else snprintf(e->name, sizeof e->name, "%s", r->theirs);
        return KR_OK;
    }
    KR_FAIL(KR_ERR_CONFIG, "GGUF has no name for the tensor %s: only Mamba-1 and Mamba-2 by themselves are written", p->name);
}

static bool ends(const char *name, const char *end) { return strlen(name) >= strlen(end) && strcmp(name + strlen(name) - strlen(end), end) == 0; }
static bool is_decay(const kr_param *p) { return ends(p->name, ".A_log"); }

static kr_status add_tensor(writer *w, const kr_param *p, kr_dtype dtype) {
    entry *e = &w->entry[w->n++];
    *e = (entry){.p = p, .dtype = kr_matrix_dtype(p, dtype), .n_dims = p->n_dims};
    KR_TRY(name_tensor(w, p, e));
    if (p->n_dims > 2) KR_FAIL(KR_ERR_CONFIG, "the tensor %s has no shape that GGUF's mamba knows", p->name);
    memcpy(e->dim, p->dim, 2 * sizeof *p->dim);
    if (w->two && p->n_dims == 1 && (is_decay(p) || ends(p->name, "mixer.D"))) e->n_dims = 2, e->dim[1] = 1;
    int64_t G = w->two ? option(w, "ngroups") : 1;
    if (ends(p->name, "mixer.norm.weight")) e->n_dims = 2, e->dim[0] = G, e->dim[1] = p->dim[0] / G;
    e->n_bytes = kr_dtype_row_bytes(e->dtype, kr_param_count(p));
    return KR_OK;
}

static size_t padded(size_t n) { return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

static kr_status print_head(writer *w) {
    kr_str *s = &w->head;
    uint64_t offset = 0;
    KR_TRY(kr_str_status(&w->pairs));
    kr_str_append(s, "GGUF");
    put(s, 3, 4);
    put(s, w->n, 8);
    put(s, w->n_pairs, 8);
    kr_str_append_n(s, w->pairs.text, w->pairs.n);
    for (size_t i = 0; i < w->n; i++) {
        const entry *e = &w->entry[i];
        put_text(s, e->name, strlen(e->name));
        put(s, (uint64_t)e->n_dims, 4);
        for (int d = e->n_dims - 1; d >= 0; d--) put(s, (uint64_t)e->dim[d], 8);
        put(s, (uint64_t)kr_gguf_type_of(e->dtype), 4);
        put(s, offset, 8);
        offset += padded(e->n_bytes);
    }
    while (s->n % ALIGNMENT && !s->failed) kr_str_append_char(s, 0);
    return kr_str_status(s);
}

static kr_status put_tensor(kr_file_writer *f, const entry *e, double *buffer) {
    static const char zeros[ALIGNMENT];
    const kr_param *p = e->p;
    kr_dtype from = p->master ? KR_F32 : p->dtype;
    const char *data = p->master ? (const char *)p->master : p->data;
    int64_t count = kr_param_count(p), step = from == e->dtype && !is_decay(p) ? count : STEP;
    for (int64_t i = 0; i < count; i += step) {
        int64_t n = count - i < step ? count - i : step;
        const void *out = data + kr_dtype_row_bytes(from, i);
        if (step == STEP) kr_convert(buffer, e->dtype, out, from, n), out = buffer;
        for (int64_t k = 0; k < n && is_decay(p); k++) ((float *)buffer)[k] = -expf(((float *)buffer)[k]);
        KR_TRY(kr_file_writer_write(f, out, kr_dtype_row_bytes(e->dtype, n)));
    }
    return kr_file_writer_write(f, zeros, padded(e->n_bytes) - e->n_bytes);
}

static kr_status put_file(writer *w, const char *path) {
    kr_file_writer *f;
    double *buffer = kr_mem_array(STEP, sizeof *buffer);
    if (!buffer) return KR_ERR_NOMEM;
    kr_file_sweep(path);
    kr_status st = kr_file_writer_open(&f, path);
    if (st != KR_OK) return kr_mem_free(buffer), st;
    st = kr_file_writer_write(f, w->head.text, w->head.n);
    for (size_t i = 0; i < w->n && st == KR_OK; i++) st = put_tensor(f, &w->entry[i], buffer);
    kr_mem_free(buffer);
    if (st == KR_OK) return kr_file_writer_commit(f);
    kr_file_writer_abort(f);
    return st;
}

/* --- all of it ----------------------------------------------------------------------------------------- */

static kr_status begin(writer *w, const kr_model *m) {
    const kr_config *c = &m->config;
    *w = (writer){.m = m, .two = strcmp(c->mixer->name, "mamba2") == 0};
    bool plain = (w->two || strcmp(c->mixer->name, "mamba1") == 0) && strcmp(c->encoder->name, "token") == 0 && strcmp(c->head->name, "lm") == 0 && c->causal;
    for (int64_t i = 0; i < c->n_pattern; i++) plain = plain && c->pattern[i].n == 1 && c->pattern[i].part[0].part == c->mixer;
    if (!plain) KR_FAIL(KR_ERR_CONFIG, "only language models of Mamba-1 or Mamba-2 alone can be written as GGUF");
    if (!(w->mixer = json_object())) KR_FAIL(KR_ERR_NOMEM, "out of memory");
    return kr_keys_write(c->mixer->keys, c->mixer_opt, w->mixer, true);
}

static kr_status write_all(writer *w, const char *path, kr_dtype dtype) {
    const kr_params *ps = w->m->params;
    set_sizes(w, dtype);
    KR_TRY(set_config(w));
    KR_TRY(set_vocabulary(w));
    if (!(w->entry = kr_mem_array((size_t)ps->n, sizeof *w->entry))) return KR_ERR_NOMEM;
    for (const kr_param *p = ps->first; p; p = p->next) KR_TRY(add_tensor(w, p, dtype));
    KR_TRY(print_head(w));
    return put_file(w, path);
}

kr_status kr_gguf_save(const kr_model *m, const char *path, kr_dtype dtype) {
    writer w;
    kr_status st = begin(&w, m);
    if (st == KR_OK) st = kr_params_fetch(m->params);
    if (st == KR_OK) st = write_all(&w, path, dtype);
    json_decref(w.mixer);
    kr_mem_free(w.entry);
    kr_str_free(&w.head);
    kr_str_free(&w.pairs);
    return st;
}

static const char *find_obstacle(const writer *w) {
    const kr_config *c = &w->m->config;
    if (inner(w) != 2 * c->d_model) return "its inner width is not twice d_model";
    if (flag(w, "bias")) return "its products have biases";
    if (!flag(w, "conv_bias")) return "its convolution has no bias";
    if (flag(w, "int8_inputs") || flag(w, "hadamard")) return "its products' inputs have fixed scales or are rotated";
    if (!w->two) return flag(w, "rms_norm_dt_bc") && real(w, "bc_dt_rms_eps") != c->norm_eps ? "dt, B and C are normalised with an epsilon of their own" : NULL;
    if (option(w, "ngroups") > 1 && !flag(w, "group_norm")) return "its norm takes all groups together";
    if (!flag(w, "rmsnorm") || flag(w, "norm_before_gate")) return "its gate is not followed by a norm";
    if (real(w, "norm_eps") != c->norm_eps) return "the norm of its mixers has an epsilon of its own";
    if (real(w, "dt_limit_min") > 0 || json_is_real(json_object_get(w->mixer, "dt_limit_max"))) return "its step sizes are limited";
    if (flag(w, "D_has_hdim") || option(w, "d_ssm") || flag(w, "learnable_init_states")) return "its mixer has an option that GGUF does not know";
    return NULL;
}

const char *kr_gguf_obstacle(const kr_model *m) {
    writer w;
    const char *why = begin(&w, m) == KR_OK ? find_obstacle(&w) : "it is no Mamba-1 or Mamba-2 alone";
    json_decref(w.mixer);
    return why;
}
