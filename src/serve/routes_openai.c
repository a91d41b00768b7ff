/* routes_openai.c - /v1/models, /v1/completions, /v1/chat/completions. */
#include <string.h>

#include "serve/reply.h"

static void append_model(kr_exchange *x) {
    const kr_server *s = kr_server_of(x);
    kr_str_append(&x->out, "{\"id\":");
    kr_str_append_json_text(&x->out, s->name, strlen(s->name));
    kr_str_appendf(&x->out, ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"krait\"}", (long long)s->started);
}

static void list_models(kr_exchange *x) {
    kr_str_append(&x->out, "{\"object\":\"list\",\"data\":[");
    append_model(x);
    kr_str_append(&x->out, "]}\n");
}

static void get_model(kr_exchange *x) {
    const char *name = kr_exchange_param(x, 0);
    if (strcmp(name, kr_server_of(x)->name) == 0) append_model(x);
    else kr_refuse(x, 404, "model", "model_not_found", "The model \"%s\" does not exist; this server has \"%s\".", name, kr_server_of(x)->name);
}

static void complete(kr_exchange *x) {
    kr_ask a;
    if (kr_ask_open(&a, x, false) && kr_ask_prompts(&a, "prompt")) kr_reply_start(&a);
    else kr_ask_close(&a);
}

/* --- chats ---------------------------------------------------------------------------------------- */

enum { MAX_MESSAGES = 10000 };
typedef struct talk { kr_chat_message *say; kr_str *joined; int64_t n; } talk;

static void free_talk(talk *t) {
    for (int64_t i = 0; t->joined && i < t->n; i++) kr_str_free(&t->joined[i]);
    kr_mem_free(t->joined);
    kr_mem_free(t->say);
}

#define REFUSE(x, ...) return kr_refuse(x, 400, "messages", "invalid_value", __VA_ARGS__), false

/* Content is a text or a list of parts, of which we take texts. */
static bool read_content(kr_exchange *x, talk *t, int64_t i, const json_t *content) {
    const json_t *part;
    size_t k;
    if (json_is_string(content)) t->say[i].content = json_string_value(content);
    else if (!content || json_is_null(content)) t->say[i].content = "";
    else if (!json_is_array(content)) REFUSE(x, "The content of message %lld is neither a text nor a list of parts.", (long long)i);
    json_array_foreach(content, k, part) {
        const char *type = json_string_value(json_object_get(part, "type")), *text = json_string_value(json_object_get(part, "text"));
        if (!type || strcmp(type, "text") != 0 || !text) REFUSE(x, "Part %zu of message %lld is no text; this server reads texts only.", k, (long long)i);
        kr_str_append(&t->joined[i], text);
    }
    if (json_is_array(content)) t->say[i].content = kr_str_text(&t->joined[i]);
    if (kr_str_status(&t->joined[i]) != KR_OK) return kr_refuse_status(x, KR_ERR_NOMEM, NULL), false;
    return true;
}

static bool read_messages(const kr_ask *a, talk *t) {
    const json_t *list = json_object_get(a->body, "messages");
    int64_t n = (int64_t)json_array_size(list);
    if (!json_is_array(list) || n == 0 || n > MAX_MESSAGES) REFUSE(a->x, "messages wants a list of 1 to %d objects with role and content.", MAX_MESSAGES);
    t->say = kr_mem_array((size_t)n, sizeof *t->say);
    t->joined = kr_mem_array((size_t)n, sizeof *t->joined);
    if (!t->say || !t->joined) return kr_refuse_status(a->x, KR_ERR_NOMEM, NULL), false;
    for (t->n = 0; t->n < n;) {
        const json_t *m = json_array_get(list, (size_t)t->n);
        int64_t i = t->n++;
        if (!json_is_object(m) || !(t->say[i].role = json_string_value(json_object_get(m, "role")))) REFUSE(a->x, "Message %lld has no role.", (long long)i);
        if (!read_content(a->x, t, i, json_object_get(m, "content"))) return false;
    }
    return true;
}

/* What ends an answer in this form: a token where the model has one for it, else a text. */
static void add_stops(kr_ask *a) {
    const kr_server *s = kr_server_of(a->x);
    for (int i = 0; i < KR_ASK_MORE_STOPS && kr_chat_stop(s->opt.chat, i); i++) {
        const char *text = kr_chat_stop(s->opt.chat, i);
        int32_t tok = s->model->tokenizer ? kr_tokenizer_find(s->model->tokenizer, text) : -1;
        if (tok >= 0) a->stop_tok[a->n_stop_tok++] = tok;
        else a->stop[a->n_stop++] = text;
    }
}

static bool ends_turns(const kr_chat *c, const char *stop) {
    for (int i = 0; kr_chat_stop(c, i); i++)
        if (strcmp(kr_chat_stop(c, i), stop) == 0) return true;
    return false;
}

/* Where an answer ended at a text that ends turns, the state has read that text: it is not written again.  `behind` is what the
 * template puts behind the answer, of which `n_head` bytes are its own, before anything that somebody said. */
static const char *skip_stop(const kr_ask *a, const char *behind, size_t n_head) {
    const char *beyond, *stop = kr_snapshot_stop(a->from, &beyond);
    const char *at = stop && ends_turns(kr_server_of(a->x)->opt.chat, stop) ? memmem(behind, n_head, stop, strlen(stop)) : NULL;
    if (!at) return behind;
    for (at += strlen(stop); *beyond && *at == *beyond; beyond++) at++;
    return at;
}

enum { OWN_WORDS = 2 }; /* messages of ours before those that are asked about */

/* How much of what the template puts behind the answer, `behind`, is its own: up to the first message's content. */
static size_t head_length(const kr_ask *a, kr_chat_message *all, int64_t n, bool answer, const char *mark, const char *behind) {
    static const char other[] = "krait:here-someone-speaks";
    char *text = NULL;
    if (n == 0) return strlen(behind);
    all[OWN_WORDS].content = other;
    kr_status st = kr_chat_render(kr_server_of(a->x)->opt.chat, all, n + OWN_WORDS, answer, &text);
    const char *from = st == KR_OK ? strstr(text, mark) : NULL, *to = from ? strstr(from, other) : NULL;
    size_t length = to ? (size_t)(to - from) - strlen(mark) : 0;
    if (length && strncmp(from + strlen(mark), behind, length) != 0) length = 0;
    kr_chat_text_free(text);
    return length;
}

/* What the messages add to a conversation whose last turn, an answer, is there already: what the template puts behind such
 * a turn's text; or, if the turn is closed, behind its end. */
static kr_status render_behind(const kr_ask *a, const talk *t, bool answer, kr_str *out) {
    static const char mark[] = "krait:here-it-goes-on";
    const kr_chat *c = kr_server_of(a->x)->opt.chat;
    kr_chat_message *all = kr_mem_array((size_t)t->n + OWN_WORDS, sizeof *all);
    char *whole = NULL, *closed = NULL;
    if (!all) return KR_ERR_NOMEM;
    all[0] = (kr_chat_message){"user", "."}, all[1] = (kr_chat_message){"assistant", mark};
    memcpy(all + OWN_WORDS, t->say, (size_t)t->n * sizeof *all);
    kr_status st = kr_chat_render(c, all, t->n + OWN_WORDS, answer, &whole);
    if (st == KR_OK) st = kr_chat_render(c, all, OWN_WORDS, false, &closed);
    const char *from = st == KR_OK ? strstr(whole, mark) : NULL, *end = st == KR_OK ? strstr(closed, mark) : NULL;
    if (from && end) {
        size_t n = a->from_open ? 0 : strlen(end + sizeof mark - 1);
        from += sizeof mark - 1;
        if (a->from_open) from = skip_stop(a, from, head_length(a, all, t->n, answer, mark, from));
        if (a->from_open || strncmp(from, end + sizeof mark - 1, n) == 0) kr_str_append(out, from + n);
        else from = NULL;
    }
    if (st == KR_OK) st = from && end ? kr_str_status(out) : kr_fail(KR_ERR_ARG, "the chat template does not let a conversation go on from a state");
    kr_chat_text_free(whole);
    kr_chat_text_free(closed);
    kr_mem_free(all);
    return st;
}

static kr_status render(const kr_ask *a, const talk *t, bool answer, kr_str *out) {
    char *text;
    if (a->from) { /* behind a closed turn a template may want a conversation from its start */
        kr_status st = render_behind(a, t, answer, out);
        if (st != KR_ERR_ARG || a->from_open) return st;
    }
    KR_TRY(kr_chat_render(kr_server_of(a->x)->opt.chat, t->say, t->n, answer, &text));
    kr_str_append(out, text);
    kr_chat_text_free(text);
    return kr_str_status(out);
}

bool kr_ask_messages(kr_ask *a, bool answer) {
    const kr_server *s = kr_server_of(a->x);
    talk t = {0};
    kr_str text = {0};
    if (!s->opt.chat) {
        kr_refuse(a->x, 400, "messages", "no_chat_template", "This model brings no chat template; krait serve --chat-template NAME chooses one.");
        return false;
    }
    bool ok = read_messages(a, &t);
    int64_t n = t.n;
    const char *begun = ""; /* an answer that is to be gone on with */
    if (ok && a->continue_final) {
        if (strcmp(t.say[t.n - 1].role, "assistant") == 0) begun = t.say[--t.n].content;
        else ok = false, kr_refuse(a->x, 400, "continue_final_message", "invalid_value", "The last message is of %s, want one of assistant to go on with.", t.say[t.n - 1].role);
    }
    bool in_turn = a->from && a->from_open && a->continue_final && t.n == 0; /* goes on with the very answer that the state stands in */
    if (ok && !in_turn) {
        kr_status st = render(a, &t, answer, &text);
        if (st != KR_OK) kr_refuse_status(a->x, st == KR_ERR_NUMERIC ? KR_ERR_ARG : st, "messages"), ok = false;
    }
    if (ok) {
        kr_str_append(&text, begun);
        ok = kr_str_status(&text) == KR_OK ? kr_ask_add_text(a, "messages", kr_str_text(&text), text.n) : (kr_refuse_status(a->x, KR_ERR_NOMEM, NULL), false);
    }
    if (ok) add_stops(a);
    kr_str_free(&text);
    t.n = n;
    free_talk(&t);
    return ok;
}

static void chat(kr_exchange *x) {
    kr_ask a;
    if (kr_ask_open(&a, x, true) && kr_ask_messages(&a, true)) kr_reply_start(&a);
    else kr_ask_close(&a);
}

const kr_route kr_routes_openai[] = {
    {"GET", "/v1/models", list_models, KR_ROUTE_QUICK},
    {"GET", "/v1/models/{model}", get_model, KR_ROUTE_QUICK},
    {"POST", "/v1/completions", complete, 0},
    {"POST", "/v1/chat/completions", chat, 0},
    {0},
};
