/* chat_server.c - krait chat over a server that speaks OpenAI's protocol, through libcurl. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "chat.h"

#ifndef KR_WITH_CURL
int server_open(chat *c) {
    (void)c;
    fprintf(stderr, "krait chat: this build talks to no servers: it was made without libcurl (libcurl4-gnutls-dev)\n");
    return EXIT_FAILED;
}
void server_close(chat *c) { (void)c; }
char *server_answer(chat *c, bool *stopped) { return (void)c, (void)stopped, NULL; }
#else
#include <curl/curl.h>

/* Opened by who talks to a server: it and what it needs itself are most of what the program would load. */
#define CALLS(_) _(global_init) _(global_cleanup) _(easy_init) _(easy_cleanup) _(easy_reset) _(easy_setopt) _(easy_perform) _(easy_getinfo) \
    _(easy_strerror) _(slist_append) _(slist_free_all)
#define FIELD(f) __typeof__(curl_##f) *f;
#define NAME(f) "curl_" #f "\0"
static struct { CALLS(FIELD) } libcurl;

static CURL *curl;
static struct curl_slist *headers;

/* What comes: lines of server-sent events, or one body that says what is wrong. */
typedef struct reply {
    chat *c;
    char *line;   /* unfinished */
    size_t n, room;
    char *body;   /* all of it, as long as no event came */
    size_t n_body;
    char *answer;
    size_t n_answer;
    double first;
    char error[512];
} reply;

static bool append(char **to, size_t *n, const char *text, size_t more) {
    char *p = realloc(*to, *n + more + 1);
    if (!p) return false;
    memcpy(p + *n, text, more);
    *n += more;
    p[*n] = 0;
    *to = p;
    return true;
}

static void take_error(reply *r, const json_t *j) {
    const json_t *e = json_object_get(j, "error");
    const char *text = json_is_string(e) ? json_string_value(e) : json_string_value(json_object_get(e, "message"));
    if (text) snprintf(r->error, sizeof r->error, "%s", text);
}

static void take_event(reply *r, const char *data) {
    json_error_t e;
    json_t *j = strcmp(data, "[DONE]") == 0 ? NULL : json_loads(data, 0, &e);
    const json_t *choice = json_array_get(json_object_get(j, "choices"), 0), *usage = json_object_get(j, "usage");
    const char *text = json_string_value(json_object_get(json_object_get(choice, "delta"), "content"));
    if (text && *text) {
        if (!r->n_answer) r->first = seconds();
        show_text(stdout, text, strlen(text));
        append(&r->answer, &r->n_answer, text, strlen(text));
    }
    if (json_is_object(usage)) {
        r->c->n_read = json_integer_value(json_object_get(usage, "prompt_tokens"));
        r->c->n_written = json_integer_value(json_object_get(usage, "completion_tokens"));
    }
    take_error(r, j);
    json_decref(j);
}

static size_t take_bytes(char *bytes, size_t size, size_t n, void *user) {
    reply *r = user;
    n *= size;
    if (r->n_body < 65536 && !append(&r->body, &r->n_body, bytes, n)) return 0;
    if (r->n > (1 << 20) || !append(&r->line, &r->n, bytes, n)) return 0;
    char *p = r->line;
    for (char *end; (end = strchr(p, '\n')); p = end + 1) {
        *end = 0;
        if (end > p && end[-1] == '\r') end[-1] = 0;
        if (strncmp(p, "data:", 5) == 0) take_event(r, p + 5 + (p[5] == ' '));
    }
    r->n -= (size_t)(p - r->line);
    memmove(r->line, p, r->n + 1);
    return n;
}

static int watch(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    (void)user, (void)a, (void)b, (void)c, (void)d;
    return interrupted != 0;
}

/* "http://host:8080", ".../v1" and ".../v1/chat/completions" are all meant alike. */
static void address(const chat *c, const char *what, char *to, size_t size) {
    size_t n = strlen(c->url);
    while (n && c->url[n - 1] == '/') n--;
    if (n > 17 && strncmp(c->url + n - 17, "/chat/completions", 17) == 0) n -= 17;
    bool v1 = n > 3 && strncmp(c->url + n - 3, "/v1", 3) == 0;
    snprintf(to, size, "%.*s%s/%s", (int)n, c->url, v1 ? "" : "/v1", what);
}

static CURLcode ask(chat *c, const char *what, const char *body, reply *r, long *status) {
    char url[4096];
    address(c, what, url, sizeof url);
    libcurl.easy_reset(curl);
    libcurl.easy_setopt(curl, CURLOPT_URL, url);
    libcurl.easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    libcurl.easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    libcurl.easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
    libcurl.easy_setopt(curl, CURLOPT_WRITEDATA, r);
    libcurl.easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, watch);
    libcurl.easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    libcurl.easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 15L);
    libcurl.easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    if (body) libcurl.easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    CURLcode code = libcurl.easy_perform(curl);
    libcurl.easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
    return code;
}

static void clear(reply *r) { free(r->line), free(r->body), free(r->answer); }

static int refuse(chat *c, const reply *r, CURLcode code, long status) {
    json_error_t e;
    reply said = {0};
    json_t *j = r->body ? json_loads(r->body, 0, &e) : NULL;
    take_error(&said, j);
    json_decref(j);
    const char *why = *r->error ? r->error : *said.error ? said.error : code != CURLE_OK ? libcurl.easy_strerror(code) : "it gave no answer";
    fprintf(stderr, "krait chat: %s", c->url);
    if (status >= 400) fprintf(stderr, " answered %ld", status);
    fputs(": ", stderr);
    show_text(stderr, why, strlen(why));
    fputc('\n', stderr);
    return EXIT_FAILED;
}

int server_open(chat *c) {
    char key[4096];
    reply r = {.c = c};
    json_error_t e;
    long status = 0;
    if (!open_functions(&libcurl, sizeof libcurl, KR_LIB_CURL, CALLS(NAME))) return fprintf(stderr, "krait chat: %s cannot be opened\n", KR_LIB_CURL), EXIT_FAILED;
    libcurl.global_init(CURL_GLOBAL_DEFAULT);
    if (!(curl = libcurl.easy_init())) return EXIT_FAILED;
    headers = libcurl.slist_append(NULL, "Content-Type: application/json");
    if (c->key) {
        snprintf(key, sizeof key, "Authorization: Bearer %s", c->key);
        headers = libcurl.slist_append(headers, key);
    }
    CURLcode code = ask(c, "models", NULL, &r, &status);
    json_t *j = r.body ? json_loads(r.body, 0, &e) : NULL;
    const char *id = json_string_value(json_object_get(json_array_get(json_object_get(j, "data"), 0), "id"));
    if (id && !c->server_model) c->server_model = copied(id, strlen(id));
    int bad = code != CURLE_OK || status != 200 || !c->server_model ? refuse(c, &r, code, status) : 0;
    json_decref(j);
    clear(&r);
    return bad;
}

void server_close(chat *c) {
    (void)c;
    if (!libcurl.slist_free_all) return;
    libcurl.slist_free_all(headers);
    if (curl) libcurl.easy_cleanup(curl);
    libcurl.global_cleanup();
}

static char *request_text(chat *c) {
    const conversation *v = current(c);
    const kr_sampler_options *h = &c->how;
    json_t *list = json_array();
    for (int i = 0; i < v->n; i++) json_array_append_new(list, json_pack("{s:s, s:s}", "role", v->m[i].role, "content", v->m[i].content));
    json_t *j = json_pack("{s:s, s:o, s:b, s:{s:b}, s:I, s:f, s:f, s:I}", "model", c->server_model, "messages", list, "stream", 1, "stream_options", "include_usage", 1,
                          "max_tokens", (json_int_t)c->max_tok, "temperature", (double)h->temperature, "top_p", h->top_p > 0 ? (double)h->top_p : 1.0,
                          "seed", (json_int_t)h->seed + c->n_asked++);
    /* OpenAI's own server knows these not, so it is told of them only if they do something */
    if (h->top_k > 0) json_object_set_new(j, "top_k", json_integer((json_int_t)h->top_k));
    if (h->min_p > 0) json_object_set_new(j, "min_p", json_real((double)h->min_p));
    if (h->repetition_penalty != 1) json_object_set_new(j, "repetition_penalty", json_real((double)h->repetition_penalty));
    char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    char *copy = text ? copied(text, strlen(text)) : NULL;
    void (*give)(void *) = NULL;
    json_malloc_t take;
    json_get_alloc_funcs(&take, &give);
    if (text) give(text);
    json_decref(j);
    return copy;
}

char *server_answer(chat *c, bool *stopped) {
    reply r = {.c = c};
    long status = 0;
    char *body = request_text(c);
    if (!body) return fprintf(stderr, "krait chat: a message is no UTF-8\n"), NULL;
    double start = seconds();
    c->n_read = c->n_written = 0;
    CURLcode code = ask(c, "chat/completions", body, &r, &status);
    free(body);
    c->read_s = r.n_answer ? r.first - start : 0, c->write_s = r.n_answer ? seconds() - r.first : 0;
    c->all_read += c->n_read, c->all_written += c->n_written;
    *stopped = interrupted;
    char *answer = r.answer ? r.answer : *stopped || (code == CURLE_OK && status == 200 && !*r.error) ? copied("", 0) : NULL;
    r.answer = NULL;
    if (!answer || (!*stopped && (code != CURLE_OK || *r.error))) refuse(c, &r, code, status);
    clear(&r);
    return answer;
}
#endif
