/* routes_text.c - text as numbers: /tokenize, /detokenize, /v1/embeddings. */
#include <pthread.h>
#include <string.h>

#include "serve/ask.h"

/* Opens a body whose fields are all in `known`; false: refused. */
static bool open_body(kr_ask *a, kr_exchange *x, const char *const *known) {
    const char *name;
    json_t *j;
    *a = (kr_ask){.x = x, .n = 1, .most = 2048};
    if (!(a->body = kr_exchange_json(x))) return false;
    json_object_foreach(a->body, name, j) {
        int i = 0;
        while (known[i] && strcmp(known[i], name) != 0) i++;
        if (known[i]) continue;
        kr_refuse(x, 400, name, "unknown_parameter", "There is no parameter %.60s.", name);
        return false;
    }
    return kr_ask_model(a);
}

static bool wants(const kr_ask *a, const char *name) { return json_is_true(json_object_get(a->body, name)); }

/* {"content": text} as llama.cpp has it, {"prompt": text} as vLLM. */
static void tokenize(kr_exchange *x) {
    static const char *const known[] = {"model", "content", "prompt", "text", "with_pieces", NULL};
    kr_ask a;
    bool ok = open_body(&a, x, known);
    const char *field = json_is_string(json_object_get(a.body, "prompt")) ? "prompt" : json_is_string(json_object_get(a.body, "text")) ? "text" : "content";
    const json_t *text = ok ? json_object_get(a.body, field) : NULL;
    if (ok && !json_is_string(text)) kr_refuse(x, 400, field, "invalid_value", "%s is missing or no text.", field), ok = false;
    if (ok && json_string_length(text) == 0) kr_str_append(&x->out, "{\"tokens\":[],\"count\":0}\n"), ok = false;
    if (ok && kr_ask_add_text(&a, field, json_string_value(text), json_string_length(text))) {
        kr_str_append(&x->out, "{\"tokens\":[");
        for (int64_t i = 0; i < a.prompt[0].n; i++) {
            int64_t n = 0;
            const char *piece = kr_token_text(kr_server_of(x)->model, a.prompt[0].tok[i], &n);
            kr_str_appendf(&x->out, wants(&a, "with_pieces") ? "%s{\"id\":%d,\"piece\":" : "%s%d", i ? "," : "", a.prompt[0].tok[i]);
            if (!wants(&a, "with_pieces")) continue;
            kr_str_append_json_text(&x->out, piece ? piece : "", piece ? (size_t)n : 0);
            kr_str_append_char(&x->out, '}');
        }
        kr_str_appendf(&x->out, "],\"count\":%lld}\n", (long long)a.prompt[0].n);
    }
    kr_ask_close(&a);
}

static void detokenize(kr_exchange *x) {
    static const char *const known[] = {"model", "tokens", NULL};
    const kr_model *m = kr_server_of(x)->model;
    kr_str text = {0};
    kr_ask a;
    bool ok = open_body(&a, x, known);
    if (ok && json_is_array(json_object_get(a.body, "tokens")) && json_array_size(json_object_get(a.body, "tokens")) == 0) a.n = 0;
    if (ok && (a.n == 0 || kr_ask_tokens(&a, "tokens", json_object_get(a.body, "tokens")))) {
        for (int64_t i = 0; a.n && i < a.prompt[0].n; i++) {
            int64_t n = 0;
            const char *piece = kr_token_text(m, a.prompt[0].tok[i], &n);
            if (piece) kr_str_append_n(&text, piece, (size_t)n);
        }
        x->out.failed |= text.failed;
        kr_str_append(&x->out, "{\"content\":");
        kr_str_append_json_text(&x->out, kr_str_text(&text), text.n);
        kr_str_append(&x->out, "}\n");
    }
    kr_str_free(&text);
    kr_ask_close(&a);
}

/* --- embeddings --------------------------------------------------------------------------------- */

static void append_base64(kr_str *to, const void *bytes, size_t n) {
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
        char four[4] = {digit[v >> 18], digit[v >> 12 & 63], i + 1 < n ? digit[v >> 6 & 63] : '=', i + 2 < n ? digit[v & 63] : '='};
        kr_str_append_n(to, four, 4);
    }
}

static void append_embedding(kr_str *to, int64_t i, const float *v, int64_t n, bool base64) {
    kr_str_appendf(to, "%s{\"object\":\"embedding\",\"index\":%lld,\"embedding\":%s", i ? "," : "", (long long)i, base64 ? "\"" : "[");
    if (base64) append_base64(to, v, (size_t)n * sizeof *v); /* little-endian floats, as OpenAI's */
    for (int64_t k = 0; k < n && !base64; k++) kr_str_appendf(to, "%s%.7g", k ? "," : "", (double)v[k]);
    kr_str_append(to, base64 ? "\"}" : "]}");
}

static bool is_gone(void *user) { return kr_exchange_gone(user); }

static kr_status embed_all(kr_ask *a, kr_pooling pooling, bool base64) {
    kr_server *s = kr_server_of(a->x);
    int64_t n_tok = 0;
    if (!s->embedder) KR_TRY(kr_embedder_new(&s->embedder, s->model, s->opt.engine.n_threads));
    kr_embedder_set_stop(s->embedder, is_gone, a->x);
    int64_t M = kr_embedder_width(s->embedder);
    float *v = kr_mem_array((size_t)M, sizeof *v);
    if (!v) return KR_ERR_NOMEM;
    kr_str_append(&a->x->out, "{\"object\":\"list\",\"data\":[");
    kr_status st = KR_OK;
    for (int64_t i = 0; i < a->n_prompt && st == KR_OK; i++) {
        st = kr_embed(s->embedder, a->prompt[i].tok, a->prompt[i].n, pooling, true, v);
        n_tok += a->prompt[i].n;
        append_embedding(&a->x->out, i, v, M, base64);
    }
    kr_mem_free(v);
    kr_str_append(&a->x->out, "],\"model\":");
    kr_str_append_json_text(&a->x->out, s->name, strlen(s->name));
    kr_str_appendf(&a->x->out, ",\"usage\":{\"prompt_tokens\":%lld,\"total_tokens\":%lld}}\n", (long long)n_tok, (long long)n_tok);
    a->x->n_prompt = n_tok;
    return st;
}

/* The text at `name`, `def` if there is none, or refused if it is none of two. */
static const char *one_of(const kr_ask *a, const char *name, const char *def, const char *other) {
    const json_t *j = json_object_get(a->body, name);
    const char *text = !j || json_is_null(j) ? def : json_string_value(j);
    if (text && (strcmp(text, def) == 0 || strcmp(text, other) == 0)) return text;
    kr_refuse(a->x, 400, name, "invalid_value", "%s wants \"%s\" or \"%s\".", name, def, other);
    return NULL;
}

/* One at a time, since each has all threads; that one and those that wait hold a worker each, so together they may hold half. */
static void embed_in_turn(kr_ask *a, kr_pooling pooling, bool base64) {
    kr_server *s = kr_server_of(a->x);
    if (atomic_fetch_add(&s->n_embedding, 1) >= s->opt.n_workers / 2) {
        kr_fail(KR_ERR_BUSY, "other embeddings are being made");
        kr_refuse_status(a->x, KR_ERR_BUSY, NULL);
    } else {
        pthread_mutex_lock(&s->embedding);
        kr_status st = embed_all(a, pooling, base64);
        pthread_mutex_unlock(&s->embedding);
        if (st != KR_OK) kr_refuse_status(a->x, st, "input");
    }
    atomic_fetch_sub(&s->n_embedding, 1);
}

static bool few_enough(const kr_ask *a) {
    int64_t n = 0, most = kr_server_of(a->x)->opt.max_embed;
    for (int64_t i = 0; i < a->n_prompt; i++) n += a->prompt[i].n;
    if (n <= most) return true;
    kr_refuse(a->x, 400, "input", "invalid_value", "input has %lld tokens together, more than the %lld that one request may have (krait serve --max-embed).", (long long)n, (long long)most);
    return false;
}

static void embed(kr_exchange *x) {
    static const char *const known[] = {"model", "input", "encoding_format", "dimensions", "pooling", "user", NULL};
    kr_server *s = kr_server_of(x);
    const char *format = NULL, *pooling = NULL;
    kr_ask a;
    bool ok = open_body(&a, x, known) && (format = one_of(&a, "encoding_format", "float", "base64")) && (pooling = one_of(&a, "pooling", "mean", "last"));
    const json_t *size = ok ? json_object_get(a.body, "dimensions") : NULL;
    if (ok && size && !json_is_null(size) && json_integer_value(size) != s->model->config.d_model)
        kr_refuse(x, 400, "dimensions", "invalid_value", "This model's embeddings have %lld dimensions.", (long long)s->model->config.d_model), ok = false;
    if (ok && s->model->params->device) kr_refuse(x, 501, NULL, "no_embeddings", "This server makes no embeddings: the model is on a GPU, and they are made on a CPU only (krait serve --device cpu)."), ok = false;
    if (ok && kr_ask_prompts(&a, "input") && few_enough(&a)) embed_in_turn(&a, strcmp(pooling, "last") == 0 ? KR_POOLING_LAST : KR_POOLING_MEAN, *format == 'b');
    kr_ask_close(&a);
}

const kr_route kr_routes_text[] = {
    {"POST", "/tokenize", tokenize, 0},
    {"POST", "/detokenize", detokenize, 0},
    {"POST", "/v1/embeddings", embed, 0},
    {0},
};
