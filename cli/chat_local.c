/* chat_local.c - krait chat over a model on this machine: answers from where the state stands. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chat.h"

static void find_stops(chat *c) {
    const char *text;
    for (int i = 0; (text = kr_chat_stop(c->form, i)) && c->n_stop < 8; i++) {
        int32_t tok[2];
        int64_t n = kr_encode_on(c->model, text, -1, tok, 2), k = 0;
        const char *own = n == 1 ? kr_token_text(c->model, tok[0], &k) : NULL;
        if (own && strcmp(own, text) == 0 && c->n_stop_tok < 8) c->stop_tok[c->n_stop_tok++] = tok[0];
        c->stop[c->n_stop++] = text;
    }
}

int local_open(chat *c, const char *path, const kr_model_options *where, const char *form, int n_threads) {
    kr_engine_options o = {.n_slots = 1, .cache_bytes = -1, .n_threads = n_threads};
    if (kr_model_open(&c->model, path, where) != KR_OK) return fail();
    kr_status st = kr_chat_open(&c->form, path, form);
    if (st == KR_ERR_MISSING && !form) {
        if (c->tty) fprintf(stderr, "The model brings no chat template, so the conversation is plain text; --chat-template names another form.\n");
        st = kr_chat_open(&c->form, path, "plain");
    }
    if (st == KR_OK) st = kr_engine_new(&c->engine, c->model, &o);
    if (st != KR_OK) return fail();
    find_stops(c);
    return 0;
}

void local_close(chat *c) {
    kr_engine_free(c->engine);
    kr_chat_free(c->form);
    kr_model_free(c->model);
}

/* From the latest state whose text is how this text begins; how much of the text that is. */
static size_t start_from(const conversation *v, const char *text, kr_snapshot **from) {
    size_t n = v->fed ? strlen(v->fed) : 0;
    *from = NULL;
    if (v->now && n && strncmp(text, v->fed, n) == 0) return *from = v->now, n;
    for (int i = v->n - 1; i >= 0; i--) {
        const message *m = &v->m[i];
        if (m->before && m->fed_before && m->fed_before <= n && strncmp(text, v->fed, m->fed_before) == 0) return *from = m->before, m->fed_before;
    }
    return 0;
}

/* States of a text that was read otherwise than it reads now: a form may rewrite what was said. */
static void forget_others(conversation *v, const char *text) {
    size_t same = 0;
    while (v->fed && v->fed[same] && v->fed[same] == text[same]) same++;
    for (int i = 0; i < v->n; i++)
        if (v->m[i].fed_before > same) kr_snapshot_free(v->m[i].before), v->m[i].before = NULL;
}

static char *rendered(chat *c) {
    const conversation *v = current(c);
    kr_chat_message *m = calloc((size_t)v->n + 1, sizeof *m);
    char *text = NULL;
    for (int i = 0; m && i < v->n; i++) m[i] = (kr_chat_message){v->m[i].role, v->m[i].content};
    if (!m || kr_chat_render(c->form, m, v->n, true, &text) != KR_OK) fail();
    free(m);
    return text;
}

typedef struct buffer { char *text; size_t n, room; } buffer;

static void add(buffer *b, const char *text, size_t n) {
    if (b->n + n + 1 > b->room) {
        b->room = 2 * (b->n + n) + 256;
        char *more = realloc(b->text, b->room);
        if (!more) exit(EXIT_FAILED);
        b->text = more;
    }
    if (n) memcpy(b->text + b->n, text, n);
    b->n += n;
    b->text[b->n] = 0;
}

/* Prints and gathers: what is shown in `answer`, all that the state has read in `fed`. */
static bool follow(chat *c, kr_request *r, buffer *answer, buffer *fed, bool *stopped) {
    kr_event ev = {0};
    bool first = true;
    while (ev.finish == KR_GOES_ON) {
        if (interrupted && !*stopped) kr_request_cancel(r), *stopped = true;
        if (!kr_request_next(r, &ev, 0.1)) continue;
        if (ev.finish == KR_GOES_ON && ev.tok >= 0) {
            int64_t n = 0;
            const char *text = kr_token_text(c->model, ev.tok, &n);
            if (text) add(fed, text, (size_t)n);
        }
        const char *text = ev.text;
        size_t n = text ? (size_t)ev.n_bytes : 0;
        for (; first && n && (*text == ' ' || *text == '\n'); text++) n--; /* a form may leave the space to the model */
        if (n) show_text(stdout, text, n), first = false;
        add(answer, text, n);
    }
    if (ev.finish == KR_FINISH_ERROR) return fprintf(stderr, "krait: %s\n", kr_request_error(r)), false;
    return true;
}

static void take_usage(chat *c, kr_request *r) {
    kr_request_usage u;
    kr_request_get_usage(r, &u);
    c->n_read = u.n_prompt, c->n_written = u.n_written;
    c->read_s = u.first_s - u.wait_s, c->write_s = u.total_s - u.first_s;
    c->all_read += c->n_read, c->all_written += c->n_written;
}

static int64_t encode(const chat *c, const char *text, bool goes_on, int32_t *tok, int64_t cap) {
    return goes_on ? kr_encode_on(c->model, text, -1, tok, cap) : kr_chat_encode(c->form, c->model, text, -1, tok, cap);
}

char *local_answer(chat *c, bool *stopped) {
    conversation *v = current(c);
    kr_snapshot *from, *after = NULL;
    kr_request *r = NULL;
    buffer answer = {0}, fed = {0};
    char *text = rendered(c);
    if (!text) return NULL;
    size_t known = start_from(v, text, &from);
    int64_t n = encode(c, text + known, from, NULL, 0);
    int32_t *tok = n >= 0 ? malloc(((size_t)n + 1) * sizeof *tok) : NULL;
    if (!tok) return fail(), kr_chat_text_free(text), NULL;
    encode(c, text + known, from, tok, n);
    kr_request_options o = {.prompt = tok, .n_prompt = n, .from = from, .sampler = c->how, .max_tok = c->max_tok, .stop = c->stop, .n_stop = c->n_stop,
                            .stop_tok = c->stop_tok, .n_stop_tok = c->n_stop_tok, .keep_state = true, .no_cache = true};
    o.sampler.seed += (uint64_t)c->n_asked++;
    add(&fed, text, strlen(text));
    bool ok = kr_engine_submit(c->engine, &o, &r) == KR_OK;
    if (!ok) fail();
    ok = ok && follow(c, r, &answer, &fed, stopped);
    if (ok) {
        take_usage(c, r);
        bool kept = kr_request_state(r, &after) == KR_OK;
        forget_others(v, fed.text);
        kr_snapshot_free(v->now);
        free(v->fed);
        v->now = kept ? after : NULL;
        v->fed = fed.text, fed.text = NULL;
    }
    kr_request_free(r);
    kr_chat_text_free(text);
    free(tok), free(fed.text);
    if (!ok) return free(answer.text), NULL;
    while (answer.n && (answer.text[answer.n - 1] == '\n' || answer.text[answer.n - 1] == ' ')) answer.text[--answer.n] = 0;
    return answer.text ? answer.text : copied("", 0);
}

static char *state_path(const char *path) {
    char *to = malloc(strlen(path) + 8);
    if (to) sprintf(to, "%s.state", path);
    return to;
}

int local_save(chat *c, const char *path) {
    conversation *v = current(c);
    char *to = state_path(path);
    int bad = v->now && to && kr_snapshot_save(v->now, to) != KR_OK ? fail() : 0;
    free(to);
    return bad;
}

void local_load(chat *c, const char *path) {
    conversation *v = current(c);
    char *from = state_path(path);
    if (!v->fed || !from || kr_engine_load_state(c->engine, &v->now, from) != KR_OK) v->now = NULL;
    free(from);
}
