/* chat.c - which template a conversation is written by, what it is given, where answers end. */
#include "krait/chat.h"

#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "model/model.h"
#include "text/jinja/jinja.h"
#include "text/unicode.h"

enum { MAX_STOPS = 8 };

struct kr_chat {
    kr_arena arena;
    kr_jinja template;
    const char *name, *source;
    json_t *given;              /* special tokens, and what transformers always passes */
    const char *stop[MAX_STOPS + 1];
};

/* --- built in -------------------------------------------------------------------------------- */

static const struct { const char *name, *text, *stop[3]; } builtins[] = {
    {"chatml",
     "{% for message in messages %}{{ '<|im_start|>' ~ message.role ~ '\\n' ~ message.content ~ '<|im_end|>\\n' }}{% endfor %}"
     "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
     {"<|im_end|>", "<|im_start|>", NULL}},
    {"zephyr",
     "{% set end = eos_token or '</s>' %}{% for message in messages %}{{ '<|' ~ message.role ~ '|>\\n' ~ message.content ~ end ~ '\\n' }}{% endfor %}"
     "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}",
     {"</s>", "<|user|>", NULL}},
    {"tulu",
     "{% set end = eos_token or '</s>' %}{% for message in messages %}{{ '<|' ~ message.role ~ '|>\\n' ~ message.content }}"
     "{% if message.role == 'assistant' %}{{ end }}{% endif %}{% if message.role != 'assistant' or not loop.last %}{{ '\\n' }}{% endif %}{% endfor %}"
     "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}",
     {"</s>", "<|user|>", NULL}},
    {"llama3",
     "{{ bos_token or '<|begin_of_text|>' }}{% for message in messages %}"
     "{{ '<|start_header_id|>' ~ message.role ~ '<|end_header_id|>\\n\\n' ~ message.content | trim ~ '<|eot_id|>' }}{% endfor %}"
     "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
     {"<|eot_id|>", "<|start_header_id|>", NULL}},
    {"plain",
     "{% for message in messages %}{{ message.role | capitalize ~ ': ' ~ message.content | trim ~ '\\n\\n' }}{% endfor %}"
     "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}",
     {"\nUser:", "\nSystem:", NULL}},
};
enum { N_BUILTINS = sizeof builtins / sizeof *builtins };

const char *kr_chat_builtin(int i) { return i >= 0 && i < N_BUILTINS ? builtins[i].name : NULL; }

static int builtin_of(const char *name) {
    for (int i = 0; i < N_BUILTINS; i++)
        if (strcmp(builtins[i].name, name) == 0) return i;
    return -1;
}

/* --- what a model brings ------------------------------------------------------------------------- */

static kr_status keep(kr_chat *c, const char **to, const char *text) {
    *to = kr_arena_strdup(&c->arena, text);
    return *to ? KR_OK : KR_ERR_NOMEM;
}

static kr_status give_token(kr_chat *c, const char *name, const char *text) {
    return json_object_set_new(c->given, name, json_string(text)) == 0 ? KR_OK : kr_fail(KR_ERR_NOMEM, "out of memory");
}

/* "text", or {"content": "text", ...}. */
static const char *token_text(const json_t *v) {
    if (json_is_object(v)) v = json_object_get(v, "content");
    return json_string_value(v);
}

static kr_status from_config(kr_chat *c, const char *path) {
    static const char *const tokens[] = {"bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"};
    json_t *j = NULL;
    kr_status st = kr_json_load(&j, path);
    for (size_t i = 0; st == KR_OK && i < sizeof tokens / sizeof *tokens; i++) {
        const char *text = token_text(json_object_get(j, tokens[i]));
        if (text) st = give_token(c, tokens[i], text);
    }
    const char *text = st == KR_OK ? kr_chat_template_of(json_object_get(j, "chat_template")) : NULL;
    if (text && (st = keep(c, &c->source, text)) == KR_OK) st = keep(c, &c->name, path);
    if (j) json_decref(j);
    return st;
}

static kr_status from_file(kr_chat *c, const char *path) {
    void *text;
    size_t n;
    KR_TRY(kr_file_read(&text, &n, path));
    kr_status st = memchr(text, 0, n) ? kr_fail(KR_ERR_FORMAT, "%s: a template holds no zero bytes", path) : keep(c, &c->source, text);
    kr_mem_free(text);
    return st == KR_OK ? keep(c, &c->name, path) : st;
}

static kr_status from_folder(kr_chat *c, const char *folder) {
    char path[4096];
    KR_TRY(kr_path_join(path, sizeof path, folder, "tokenizer_config.json"));
    if (kr_file_exists(path)) KR_TRY(from_config(c, path));
    KR_TRY(kr_path_join(path, sizeof path, folder, "chat_template.jinja"));
    return kr_file_exists(path) ? from_file(c, path) : KR_OK;
}

static kr_status from_gguf(kr_chat *c, const char *path) {
    kr_gguf_chat g;
    KR_TRY(kr_gguf_get_chat(&g, &c->arena, path));
    if (g.bos) KR_TRY(give_token(c, "bos_token", g.bos));
    if (g.eos) KR_TRY(give_token(c, "eos_token", g.eos));
    c->source = g.text;
    return g.text ? keep(c, &c->name, path) : KR_OK;
}

/* --- opening ---------------------------------------------------------------------------------------- */

static void add_stop(kr_chat *c, const char *text) {
    int i = 0;
    if (!text || !*text) return;
    for (; c->stop[i]; i++)
        if (strcmp(c->stop[i], text) == 0) return;
    if (i < MAX_STOPS) c->stop[i] = text;
}

/* A template does not say where its answers end: marks that end turns in models' templates. */
static void find_stops(kr_chat *c, int builtin) {
    static const char *const marks[] = {"<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>", "<|end_of_turn|>", "<|END_OF_TURN_TOKEN|>",
                                        "<|return|>", "</s>", "<|end_of_text|>", "<|endoftext|>", "<extra_id_1>", "<SPECIAL_12>"};
    for (int i = 0; builtin >= 0 && builtins[builtin].stop[i]; i++) add_stop(c, builtins[builtin].stop[i]);
    for (size_t i = 0; builtin < 0 && i < sizeof marks / sizeof *marks; i++)
        if (strstr(c->source, marks[i])) add_stop(c, marks[i]);
    add_stop(c, json_string_value(json_object_get(c->given, "eos_token")));
}

static kr_status new_chat(kr_chat **out) {
    kr_chat *c = kr_mem_new(sizeof *c);
    if (!c) return KR_ERR_NOMEM;
    c->given = json_pack("{s:n, s:n, s:b}", "tools", "documents", "add_generation_prompt", 0);
    if (!c->given) return kr_chat_free(c), kr_fail(KR_ERR_NOMEM, "out of memory");
    return *out = c, KR_OK;
}

static kr_status finish(kr_chat *c, int builtin) {
    KR_TRY(kr_jinja_parse(&c->template, c->source, strlen(c->source), c->name));
    find_stops(c, builtin);
    return KR_OK;
}

static kr_status read_all(kr_chat *c, const char *model, const char *use) {
    int builtin = use ? builtin_of(use) : -1;
    bool gguf = model && !kr_dir_exists(model) && kr_model_is_gguf(model);
    if (model && !gguf && !kr_dir_exists(model)) KR_FAIL(KR_ERR_IO, "%s: there is no such folder, and no such GGUF file", model);
    if (model) KR_TRY(gguf ? from_gguf(c, model) : from_folder(c, model));
    if (builtin >= 0) {
        c->source = builtins[builtin].text, c->name = builtins[builtin].name;
        return finish(c, builtin);
    }
    if (use && !kr_file_exists(use)) KR_FAIL(KR_ERR_MISSING, "no chat template is called \"%s\" (chatml, zephyr, tulu, llama3, plain), and no file", use);
    if (use) KR_TRY(from_file(c, use));
    if (!c->source) KR_FAIL(KR_ERR_MISSING, "%s brings no chat template; name one: chatml, zephyr, tulu, llama3, plain, or a file", model ? model : "no model");
    return finish(c, -1);
}

kr_status kr_chat_open(kr_chat **out, const char *model, const char *use) {
    kr_chat *c = NULL;
    KR_TRY(new_chat(&c));
    kr_status st = read_all(c, model, use);
    if (st == KR_OK) *out = c;
    else kr_chat_free(c);
    return st;
}

kr_status kr_chat_parse(kr_chat **out, const char *text, int64_t n_bytes) {
    kr_chat *c = NULL;
    size_t n = n_bytes < 0 ? strlen(text) : (size_t)n_bytes;
    if (memchr(text, 0, n)) KR_FAIL(KR_ERR_FORMAT, "chat template: a template holds no zero bytes");
    KR_TRY(new_chat(&c));
    char *copy = kr_arena_new(&c->arena, n + 1);
    if (copy && n) memcpy(copy, text, n);
    c->source = copy, c->name = "chat template";
    kr_status st = copy ? finish(c, -1) : KR_ERR_NOMEM;
    if (st == KR_OK) *out = c;
    else kr_chat_free(c);
    return st;
}

void kr_chat_free(kr_chat *c) {
    if (!c) return;
    if (c->given) json_decref(c->given);
    kr_jinja_free(&c->template);
    kr_arena_clear(&c->arena);
    kr_mem_free(c);
}

const char *kr_chat_name(const kr_chat *c) { return c->name; }
const char *kr_chat_source(const kr_chat *c) { return c->source; }
const char *kr_chat_stop(const kr_chat *c, int i) { return i >= 0 && i < MAX_STOPS ? c->stop[i] : NULL; }

/* --- rendering ------------------------------------------------------------------------------------------ */

static kr_status render(const kr_chat *c, const json_t *variables, char **text) {
    kr_str out = {0};
    if (!json_is_array(json_object_get(variables, "messages"))) KR_FAIL(KR_ERR_ARG, "messages are missing or no list");
    kr_status st = kr_jinja_run(&c->template, variables, c->given, &out);
    char *all = st == KR_OK ? kr_str_take(&out) : NULL;
    if (st == KR_OK && !all) st = kr_fail(KR_ERR_NOMEM, "out of memory");
    if (st == KR_OK) *text = all;
    else kr_str_free(&out);
    return st;
}

kr_status kr_chat_render_json(const kr_chat *c, const char *json, int64_t n_bytes, char **text) {
    json_t *j;
    KR_TRY(kr_json_parse(&j, json, n_bytes < 0 ? strlen(json) : (size_t)n_bytes, "messages"));
    kr_status st = render(c, j, text);
    json_decref(j);
    return st;
}

static json_t *text_value(const char *text) {
    kr_str s = {0};
    size_t n = strlen(text);
    if (kr_utf8_valid(text, n) == n) return json_stringn_nocheck(text, n);
    kr_utf8_repair(&s, text, n);
    json_t *j = s.failed ? NULL : json_stringn_nocheck(kr_str_text(&s), s.n);
    kr_str_free(&s);
    return j;
}

kr_status kr_chat_render(const kr_chat *c, const kr_chat_message *message, int64_t n, bool add_generation_prompt, char **text) {
    json_t *list = json_array(), *all = json_object();
    bool ok = json_object_set_new(all, "messages", list) == 0 && json_object_set_new(all, "add_generation_prompt", json_boolean(add_generation_prompt)) == 0;
    for (int64_t i = 0; ok && i < n; i++) {
        json_t *m = json_object();
        ok = json_object_set_new(m, "role", text_value(message[i].role)) == 0 && json_object_set_new(m, "content", text_value(message[i].content)) == 0;
        ok = json_array_append_new(list, m) == 0 && ok;
    }
    kr_status st = ok ? render(c, all, text) : kr_fail(KR_ERR_NOMEM, "out of memory");
    if (all) json_decref(all);
    return st;
}

void kr_chat_text_free(char *text) { kr_mem_free(text); }

int64_t kr_chat_encode(const kr_chat *c, const kr_model *m, const char *text, int64_t n_bytes, int32_t *tok, int64_t cap) {
    int32_t start;
    int64_t n = n_bytes < 0 ? (int64_t)strlen(text) : n_bytes, k = 0;
    (void)c;
    if (kr_encode(m, "", 0, &start, 1) == 1) { /* this is put before every text */
        const char *bos = kr_token_text(m, start, &k);
        if (bos && k > 0 && k <= n && memcmp(text, bos, (size_t)k) == 0) text += k, n -= k;
    }
    return kr_encode(m, text, n, tok, cap);
}
