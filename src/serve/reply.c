/* reply.c - what the engine says as OpenAI's objects: whole, or as a stream of events.
 *
 * An answer has choices: n for each prompt, each a request of its own to the engine; what they share
 * of the prompt is read once, by the prefix cache.  All that is there of a choice when the loop looks goes
 * into one chunk. */
#include "serve/reply.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/timing.h"
#include "serve/named.h"
#include "text/unicode.h"

typedef struct choice {
    kr_request *req;
    kr_finish finish;
    bool ended, begun;
    kr_str text;                          /* not sent yet */
    kr_str tokens, logprobs, tops, offsets;/* the items of lists; a chat has only the first */
    int64_t offset;                       /* in characters */
    double last;                          /* when its last token came */
} choice;

typedef struct reply {
    kr_ask ask;
    choice *choice;
    int64_t n;
    kr_str head;                          /* {"id": ... "choices":[ */
    bool counted, saving;
    bool cut;                             /* the server ends */
    kr_str kept;                          /* what came of save_state; where it was cut, of all choices */
} reply;

/* --- logprobs ------------------------------------------------------------------------------------- */

static const char *text_of(const reply *r, int32_t tok, size_t *n) {
    int64_t bytes = 0;
    const char *text = kr_token_text(kr_server_of(r->ask.x)->model, tok, &bytes);
    *n = text ? (size_t)bytes : 0;
    return text ? text : "";
}

/* Half a character (and what ends texts in C) as OpenAI writes it, "bytes:\\xe2\\x80", so that no two are the same. */
static void append_token(const reply *r, kr_str *to, int32_t tok) {
    size_t n;
    const char *text = text_of(r, tok, &n);
    if (kr_utf8_valid(text, n) == n && !memchr(text, 0, n)) {
        kr_str_append_json_text(to, text, n);
        return;
    }
    kr_str_append(to, "\"bytes:");
    for (size_t i = 0; i < n; i++) kr_str_appendf(to, "\\\\x%02x", (unsigned char)text[i]);
    kr_str_append_char(to, '"');
}

/* JSON has no infinity; this is OpenAI's. */
static void append_logprob(kr_str *to, float x) { kr_str_appendf(to, "%.6g", x > -9999.0f ? (double)x : -9999.0); }

static void append_entry(const reply *r, kr_str *to, int32_t tok, float logprob) {
    size_t n;
    const char *text = text_of(r, tok, &n);
    kr_str_append(to, "{\"token\":");
    kr_str_append_json_text(to, text, n);
    kr_str_append(to, ",\"logprob\":");
    append_logprob(to, logprob);
    kr_str_append(to, ",\"bytes\":[");
    for (size_t i = 0; i < n; i++) kr_str_appendf(to, "%s%d", i ? "," : "", (unsigned char)text[i]);
    kr_str_appendf(to, "],\"id\":%d", tok);
}

static void add_chat_logprob(const reply *r, choice *c, const kr_event *e) {
    if (c->tokens.n) kr_str_append_char(&c->tokens, ',');
    append_entry(r, &c->tokens, e->tok, e->logprob);
    kr_str_append(&c->tokens, ",\"top_logprobs\":[");
    for (int64_t i = 0; i < e->n_top; i++) {
        if (i) kr_str_append_char(&c->tokens, ',');
        append_entry(r, &c->tokens, e->top[i].tok, e->top[i].logprob);
        kr_str_append_char(&c->tokens, '}');
    }
    kr_str_append(&c->tokens, "]}");
}

static void add_logprob(const reply *r, choice *c, const kr_event *e) {
    const char *comma = c->tokens.n ? "," : "";
    size_t n;
    const char *text = text_of(r, e->tok, &n);
    kr_str_append(&c->tokens, comma);
    append_token(r, &c->tokens, e->tok);
    kr_str_append(&c->logprobs, comma);
    append_logprob(&c->logprobs, e->logprob);
    kr_str_appendf(&c->offsets, "%s%lld", comma, (long long)c->offset);
    for (size_t i = 0; i < n; i++) c->offset += ((unsigned char)text[i] & 0xC0) != 0x80;
    kr_str_appendf(&c->tops, "%s{", comma);
    for (int64_t i = 0; i < e->n_top; i++) {
        if (i) kr_str_append_char(&c->tops, ',');
        append_token(r, &c->tops, e->top[i].tok);
        kr_str_append_char(&c->tops, ':');
        append_logprob(&c->tops, e->top[i].logprob);
    }
    kr_str_append_char(&c->tops, '}');
}

static void append_logprobs(const reply *r, kr_str *to, choice *c) {
    if (!r->ask.logprobs) kr_str_append(to, "null");
    else if (r->ask.chat) kr_str_appendf(to, "{\"content\":[%s],\"refusal\":null}", kr_str_text(&c->tokens));
    else
        kr_str_appendf(to, "{\"tokens\":[%s],\"token_logprobs\":[%s],\"top_logprobs\":[%s],\"text_offset\":[%s]}", kr_str_text(&c->tokens),
                       kr_str_text(&c->logprobs), kr_str_text(&c->tops), kr_str_text(&c->offsets));
    kr_str *const all[] = {&c->tokens, &c->logprobs, &c->tops, &c->offsets};
    for (int i = 0; i < 4; i++) to->failed |= all[i]->failed, kr_str_cut(all[i], 0);
}

/* --- answers ---------------------------------------------------------------------------------------- */

static const char *finish_of(const choice *c) { return !c->ended || c->finish == KR_FINISH_CANCEL ? "null" : c->finish == KR_FINISH_LENGTH ? "\"length\"" : "\"stop\""; }

static void append_usage(reply *r, kr_str *to) {
    kr_exchange *x = r->ask.x;
    x->n_prompt = x->n_cached = x->n_written = 0;
    for (int64_t i = 0; i < r->n; i++) {
        kr_request_usage u;
        kr_request_get_usage(r->choice[i].req, &u);
        x->n_written += u.n_written;
        if (i % r->ask.n == 0) x->n_prompt += u.n_prompt, x->n_cached += u.n_cached; /* n answers to one prompt: it counts once */
    }
    kr_str_appendf(to, "\"usage\":{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,\"total_tokens\":%lld,\"prompt_tokens_details\":{\"cached_tokens\":%lld}}",
                   (long long)x->n_prompt, (long long)x->n_written, (long long)(x->n_prompt + x->n_written), (long long)x->n_cached);
}

static void append_choice(reply *r, kr_str *to, int64_t i, bool whole) {
    choice *c = &r->choice[i];
    kr_str_appendf(to, "{\"index\":%lld,", (long long)i);
    if (!r->ask.chat) {
        kr_str_append(to, "\"text\":");
        kr_str_append_json_text(to, kr_str_text(&c->text), c->text.n);
    } else if (whole) {
        kr_str_append(to, "\"message\":{\"role\":\"assistant\",\"content\":");
        kr_str_append_json_text(to, kr_str_text(&c->text), c->text.n);
        kr_str_append(to, ",\"refusal\":null}");
    } else {
        kr_str_append(to, "\"delta\":{");
        if (!c->begun) kr_str_append(to, "\"role\":\"assistant\",");
        if (!c->begun || c->text.n) {
            kr_str_append(to, "\"content\":");
            kr_str_append_json_text(to, kr_str_text(&c->text), c->text.n);
        }
        kr_str_append_char(to, '}');
    }
    c->begun = true;
    to->failed |= c->text.failed;
    kr_str_cut(&c->text, 0);
    kr_str_append(to, ",\"logprobs\":");
    append_logprobs(r, to, c);
    kr_str_appendf(to, ",\"finish_reason\":%s}", finish_of(c));
}

static void append_head(reply *r, kr_str *to) {
    if (r->ask.stream) kr_str_append(to, "data: ");
    kr_str_append_n(to, r->head.text, r->head.n);
}

static void send_chunk(reply *r, int64_t i) {
    kr_str *out = &r->ask.x->out;
    append_head(r, out);
    append_choice(r, out, i, false);
    kr_str_append(out, r->ask.include_usage ? "],\"usage\":null}\n\n" : "]}\n\n");
}

static void make_head(reply *r) {
    const kr_server *s = kr_server_of(r->ask.x);
    kr_str_appendf(&r->head, "{\"id\":\"%s-%s\",\"object\":\"%s\",\"created\":%lld,\"model\":", r->ask.chat ? "chatcmpl" : "cmpl", r->ask.x->id,
                   !r->ask.chat ? "text_completion" : r->ask.stream ? "chat.completion.chunk" : "chat.completion", (long long)time(NULL));
    kr_str_append_json_text(&r->head, s->name, strlen(s->name));
    kr_str_append(&r->head, ",\"system_fingerprint\":\"krait-" KRAIT_VERSION "\",\"choices\":[");
}

/* --- events ------------------------------------------------------------------------------------------- */

static void take_event(reply *r, choice *c, const kr_event *e, double now) {
    kr_metrics *m = &kr_server_of(r->ask.x)->metrics;
    kr_str_append_n(&c->text, e->text, (size_t)e->n_bytes);
    if (e->finish != KR_GOES_ON) {
        kr_request_usage u;
        kr_request_get_usage(c->req, &u);
        c->ended = true;
        c->finish = e->finish;
        kr_histogram_add(&m->whole, u.total_s);
        return;
    }
    if (c->last > 0) kr_histogram_add(&m->token, now - c->last);
    else kr_histogram_add(&m->first, now - r->ask.x->at);
    c->last = now;
    if (!r->ask.logprobs) return;
    if (r->ask.chat) add_chat_logprob(r, c, e);
    else add_logprob(r, c, e);
}

/* An engine that failed, or a server that ends: true if the answer is that. */
static bool failed(reply *r) {
    kr_exchange *x = r->ask.x;
    const choice *bad = NULL;
    for (int64_t i = 0; i < r->n && !bad; i++)
        if (r->choice[i].ended && (r->choice[i].finish == KR_FINISH_ERROR || (r->choice[i].finish == KR_FINISH_CANCEL && !r->cut))) bad = &r->choice[i];
    if (!bad) return false;
    int status = bad->finish == KR_FINISH_CANCEL ? 503 : 500;
    const char *code = status == 503 ? "shutting_down" : "internal", *why = status == 503 ? "The server is shutting down." : kr_request_error(bad->req);
    if (!*why) why = "Out of memory.";
    for (int64_t i = 0; i < r->n; i++) kr_request_cancel(r->choice[i].req);
    if (!r->ask.stream) {
        kr_refuse(x, status, NULL, code, "%s", why);
    } else {
        kr_str_append(&x->out, "data: ");
        kr_error_object(&x->out, status, NULL, code, why);
        kr_str_append(&x->out, "\n\n");
    }
    return true;
}

/* --- a server that ends ---------------------------------------------------------------------------------- */

static int64_t n_written(const choice *c) {
    kr_request_usage u;
    kr_request_get_usage(c->req, &u);
    return u.n_written;
}

static bool is_cut(const choice *c) { return c->finish == KR_FINISH_CANCEL; }

/* Of each choice that was cut while it was written, as items of a list: on a worker. */
static void save_cut(kr_exchange *x) {
    reply *r = x->state;
    for (int64_t i = 0; i < r->n; i++) {
        char name[KR_STATE_NAME + 1];
        if (!is_cut(&r->choice[i]) || n_written(&r->choice[i]) == 0) continue;
        if (r->ask.save_state) snprintf(name, sizeof name, "%s", r->ask.save_state);
        else if (r->n == 1) snprintf(name, sizeof name, "cut-%s", x->id);
        else snprintf(name, sizeof name, "cut-%s-%lld", x->id, (long long)i);
        if (r->kept.n) kr_str_append_char(&r->kept, ',');
        size_t at = r->kept.n + 1;
        kr_keep_state(&r->ask, name, r->choice[i].req, &r->kept);
        if (r->n == 1 || r->kept.failed) continue;
        kr_str object = {0}; /* {"index": i, "name": ...} */
        kr_str_append(&object, r->kept.text + at);
        kr_str_cut(&r->kept, at);
        kr_str_appendf(&r->kept, "\"index\":%lld,%s", (long long)i, kr_str_text(&object));
        kr_str_free(&object);
    }
}

/* The error of a request that was cut, in x->out, gets what was written by then, where nothing of it was sent, and its states. */
static void add_rest(reply *r) {
    kr_str *out = &r->ask.x->out;
    kr_str_cut(out, out->n - 1);
    if (!r->ask.stream && r->kept.n) {
        kr_str_append(out, ",\"choices\":[");
        for (int64_t i = 0; i < r->n; i++) {
            if (i) kr_str_append_char(out, ',');
            append_choice(r, out, i, true);
        }
        kr_str_append_char(out, ']');
    }
    if (r->kept.n) kr_str_appendf(out, r->n == 1 ? ",\"state\":%s" : ",\"states\":[%s]", kr_str_text(&r->kept));
    kr_str_append_char(out, '}');
}

static void tell_cut(reply *r) {
    static const char plain[] = "The server is shutting down.", kept[] = "The server is shutting down; what it remembers is kept, to go on from.";
    kr_exchange *x = r->ask.x;
    const char *why = r->kept.n && !strstr(kr_str_text(&r->kept), "\"error\":") ? kept : plain;
    if (r->ask.stream) {
        for (int64_t i = 0; i < r->n; i++)
            if (r->choice[i].text.n || r->choice[i].tokens.n || (r->choice[i].ended && !is_cut(&r->choice[i]) && r->choice[i].finish != KR_GOES_ON)) send_chunk(r, i);
        kr_str_append(&x->out, "data: ");
        kr_error_object(&x->out, 503, NULL, "shutting_down", why);
    } else {
        kr_refuse(x, 503, NULL, "shutting_down", "%s", why);
        kr_exchange_set(x, "Retry-After", "5");
        kr_str_cut(&x->out, x->out.n - 1);
    }
    add_rest(r);
    kr_str_append(&x->out, r->ask.stream ? "\n\n" : "\n");
}

/* True: this is the end, or what is kept for it is being written. */
static bool end_cut(reply *r, bool *all_is_said) {
    bool any = false, begun = false;
    for (int64_t i = 0; i < r->n; i++) {
        any |= is_cut(&r->choice[i]);
        begun |= is_cut(&r->choice[i]) && n_written(&r->choice[i]) > 0;
    }
    if (!any) return false; /* each came to its end in time */
    *all_is_said = !begun || r->saving || !kr_server_of(r->ask.x)->states;
    if (*all_is_said) return tell_cut(r), true;
    r->saving = true;
    kr_exchange_work(r->ask.x, save_cut);
    return true;
}

static void cut(kr_exchange *x) {
    reply *r = x->state;
    r->cut = true;
    for (int64_t i = 0; i < r->n; i++) {
        if (kr_server_of(x)->states) kr_request_interrupt(r->choice[i].req);
        else kr_request_cancel(r->choice[i].req);
    }
}

/* --- the whole --------------------------------------------------------------------------------------------- */

static void finish_stream(reply *r) {
    kr_str *out = &r->ask.x->out, usage = {0};
    append_usage(r, &usage);
    if (r->ask.save_state) {
        append_head(r, out);
        kr_str_appendf(out, "],\"state\":%s}\n\n", kr_str_text(&r->kept));
    }
    if (r->ask.include_usage) {
        append_head(r, out);
        kr_str_appendf(out, "],%s}\n\n", kr_str_text(&usage));
    }
    kr_str_append(out, "data: [DONE]\n\n");
    kr_str_free(&usage);
}

static void save_state(kr_exchange *x) {
    reply *r = x->state;
    kr_keep_state(&r->ask, r->ask.save_state, r->choice[0].req, &r->kept);
}

static bool step(kr_exchange *x) {
    reply *r = x->state;
    double now = kr_now();
    bool all = true;
    kr_event e;
    if (!r->counted) r->counted = true, kr_server_of(x)->metrics.n_streams++;
    for (int64_t i = 0; i < r->n; i++) {
        choice *c = &r->choice[i];
        while (!c->ended && kr_request_next(c->req, &e, 0)) take_event(r, c, &e, now);
        all &= c->ended;
    }
    if (failed(r)) return true;
    if (r->cut && !all) return false;
    if (r->cut && end_cut(r, &all)) return all;
    for (int64_t i = 0; i < r->n && r->ask.stream; i++) {
        choice *c = &r->choice[i];
        if (c->text.n || c->tokens.n || (c->ended && c->finish != KR_GOES_ON) || (r->ask.chat && !c->begun)) send_chunk(r, i);
        if (c->ended) c->finish = KR_GOES_ON; /* its end was told */
    }
    if (!all) return false;
    if (r->ask.save_state && !r->saving) {
        r->saving = true;
        kr_exchange_work(x, save_state);
        return false;
    }
    if (r->ask.stream) return finish_stream(r), true;
    append_head(r, &x->out);
    for (int64_t i = 0; i < r->n; i++) {
        if (i) kr_str_append_char(&x->out, ',');
        append_choice(r, &x->out, i, true);
    }
    kr_str_append(&x->out, "],");
    if (r->ask.save_state) kr_str_appendf(&x->out, "\"state\":%s,", kr_str_text(&r->kept));
    append_usage(r, &x->out);
    kr_str_append(&x->out, "}\n");
    return true;
}

static void gone(kr_exchange *x) {
    reply *r = x->state;
    for (int64_t i = 0; i < r->n; i++) kr_request_cancel(r->choice[i].req);
}

static void free_reply(reply *r) {
    for (int64_t i = 0; i < r->n; i++) {
        choice *c = &r->choice[i];
        kr_request_free(c->req);
        kr_str *const all[] = {&c->text, &c->tokens, &c->logprobs, &c->tops, &c->offsets};
        for (int k = 0; k < 5; k++) kr_str_free(all[k]);
    }
    kr_mem_free(r->choice);
    kr_str_free(&r->head);
    kr_str_free(&r->kept);
    kr_ask_close(&r->ask);
    kr_mem_free(r);
}

static void drop(kr_exchange *x) {
    reply *r = x->state;
    if (r->counted) kr_server_of(x)->metrics.n_streams--;
    free_reply(r);
}

static void wake(void *user) { kr_exchange_wake(user); }

/* The engine has its own copy: a long text is not kept three times over while a short answer is written. */
static void forget_question(kr_ask *a) {
    for (int64_t i = 0; i < a->n_prompt; i++) {
        kr_mem_free(a->prompt[i].tok);
        a->prompt[i].tok = NULL;
    }
    json_object_del(a->body, "prompt");
    json_object_del(a->body, "messages");
    kr_exchange_drop_body(a->x);
}

enum { MOST_WHOLE = 1 << 22 };

/* An answer that is not streamed is kept until its end, with all its logprobs. */
static bool bounded(kr_ask *a) {
    int64_t each = a->n_prompt * a->n * (a->logprobs ? a->n_top + 1 : 1), most = MOST_WHOLE / each;
    if (a->stream || a->max_tokens <= most) return true;
    if (most > 0 && !a->max_tokens_given) return a->max_tokens = most, true;
    kr_refuse(a->x, 400, "max_tokens", "invalid_value", "The whole answer may have %lld times %lld tokens and logprobs, more than the %d that are kept at most; ask for fewer, or with stream: true.",
              (long long)a->max_tokens, (long long)each, MOST_WHOLE);
    return false;
}

void kr_reply_start(kr_ask *a) {
    kr_exchange *x = a->x;
    if (!bounded(a)) {
        kr_ask_close(a);
        return;
    }
    if (a->save_state && a->n_prompt * a->n != 1) {
        kr_refuse(x, 400, "save_state", "invalid_value", "save_state keeps the end of one answer, and %lld are asked for.", (long long)(a->n_prompt * a->n));
        kr_ask_close(a);
        return;
    }
    reply *r = kr_mem_new(sizeof *r);
    if (!r) {
        kr_ask_close(a);
        kr_refuse_status(x, KR_ERR_NOMEM, NULL);
        return;
    }
    r->ask = *a;
    make_head(r);
    kr_status st = kr_str_status(&r->head);
    if (!(r->choice = kr_mem_array((size_t)(a->n_prompt * a->n), sizeof *r->choice))) st = KR_ERR_NOMEM;
    for (int64_t i = 0; i < a->n_prompt && st == KR_OK; i++)
        for (int64_t k = 0; k < a->n && st == KR_OK; k++) {
            kr_request_options o;
            kr_ask_request(a, i, k, &o);
            o.on_event = wake;
            o.user = x;
            if ((st = kr_engine_submit(kr_server_of(x)->engine, &o, &r->choice[r->n].req)) == KR_OK) r->n++;
        }
    if (st != KR_OK) {
        kr_refuse_request(x, st);
        free_reply(r);
        return;
    }
    forget_question(&r->ask);
    x->state = r;
    x->step = step;
    x->gone = gone;
    x->cut = cut;
    x->drop = drop;
    if (!(x->stream = a->stream)) return;
    x->type = "text/event-stream";
}
