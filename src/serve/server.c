/* server.c - a server from a model: the engine, the routes, the limits. */
#include "serve/server.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Every group of routes; first come, first asked. */
static const kr_route *const all_routes[] = {kr_routes_page, kr_routes_info, kr_routes_openai, kr_routes_text, kr_routes_states, NULL};

static void seen(kr_exchange *x, int status, int64_t n_sent, bool aborted) {
    kr_metrics *m = &kr_server_of(x)->metrics;
    m->by_status[status < 100 || status > 599 ? 0 : status / 100]++;
    m->n_aborted += aborted;
    m->in_bytes += x->n_body;
    m->out_bytes += n_sent;
}

int kr_retry_seconds(const kr_engine_stats *e) {
    double s = ceil((double)e->n_waiting * e->slot_s / (double)e->n_slots);
    return s < 1 ? 1 : s > 60 ? 60 : (int)s;
}

void kr_refuse_request(kr_exchange *x, kr_status st) {
    kr_engine_stats e;
    if (st != KR_ERR_BUSY) return kr_refuse_status(x, st, NULL);
    kr_engine_get_stats(kr_server_of(x)->engine, &e);
    kr_refuse_busy(x, kr_retry_seconds(&e));
}

static void log_line(void *user, const char *line) {
    const kr_server_options *o = &((kr_server *)user)->opt;
    o->log(o->user, line);
}

static void log_note(void *user, const char *sentence) {
    kr_str line = {0};
    char when[40];
    kr_str_appendf(&line, "{\"time\":\"%s\",\"note\":", kr_log_time(when));
    kr_str_append_json_text(&line, sentence, strlen(sentence));
    kr_str_append(&line, "}\n");
    if (kr_str_status(&line) == KR_OK) log_line(user, kr_str_text(&line));
    kr_str_free(&line);
}

static void fill_defaults(kr_server_options *o) {
    if (!o->host) o->host = "127.0.0.1";
    if (!o->max_tok) o->max_tok = 4096;
    if (!o->max_prompt) o->max_prompt = 4000000;
    if (!o->max_n) o->max_n = 64;
    if (!o->max_embed) o->max_embed = 65536;
    if (!o->max_body) o->max_body = 32 << 20;
    if (!o->max_connections) o->max_connections = 1024;
    if (!o->max_unsent) o->max_unsent = 1 << 20;
    if (o->header_s <= 0) o->header_s = 10;
    if (o->body_s <= 0) o->body_s = 60;
    if (o->idle_s <= 0) o->idle_s = 75;
    if (o->send_s <= 0) o->send_s = 30;
    if (o->n_workers <= 0) o->n_workers = 4;
    if (o->n_workers == 1) o->n_workers = 2; /* embeddings hold no more than half of them */
}

static kr_status open_states(kr_server *s) {
    const kr_server_options *o = &s->opt;
    kr_states_options so = {.budget = o->states_bytes, .forget_oldest = o->states_forget, .max_names = o->states_max};
    kr_model_sign(so.model, s->model);
    memcpy(s->states_model, so.model, sizeof so.model);
    return o->states_dir ? kr_states_open(&s->states, o->states_dir, &so) : KR_OK;
}

static kr_status open_server(kr_server *s) {
    const kr_server_options *o = &s->opt;
    if (o->max_tok < 1 || o->max_prompt < 1 || o->max_n < 1 || o->max_embed < 1 || o->states_max < 0 || o->max_body < 1 || o->max_connections < 1 || o->max_per_ip < 0)
        KR_FAIL(KR_ERR_ARG, "a limit of the server is negative");
    if (!o->tls_cert != !o->tls_key) KR_FAIL(KR_ERR_ARG, "HTTPS wants a certificate and its key");
    snprintf(s->name, sizeof s->name, "%s", o->name && *o->name ? o->name : "krait");
    s->started = time(NULL);
    kr_http_options h = {.user = s, .routes = all_routes, .host = o->host, .unix_path = o->unix_path, .port = o->port, .keys = o->keys, .n_keys = o->n_keys,
                         .cors = o->cors, .tls_cert = o->tls_cert, .tls_key = o->tls_key, .max_body = o->max_body, .max_bodies = 8 * o->max_body,
                         .max_header = 32768, .max_connections = o->max_connections, .max_per_ip = o->max_per_ip, .max_unsent = o->max_unsent,
                         .n_workers = o->n_workers, .header_s = o->header_s, .body_s = o->body_s, .idle_s = o->idle_s, .send_s = o->send_s, .seen = seen,
                         .log = o->log ? log_line : NULL};
    KR_TRY(open_states(s));
    KR_TRY(kr_http_new(&s->http, &h));
    kr_engine_options e = o->engine;
    if (o->log) e.note = log_note, e.user = s;
    return kr_engine_new(&s->engine, s->model, &e);
}

kr_status kr_server_new(kr_server **out, const kr_model *m, const kr_server_options *opt) {
    kr_server *s = kr_mem_new(sizeof *s);
    if (!s) return KR_ERR_NOMEM;
    if (opt) s->opt = *opt;
    s->model = m;
    pthread_mutex_init(&s->embedding, NULL);
    fill_defaults(&s->opt);
    kr_status st = open_server(s);
    if (st != KR_OK) kr_server_free(s);
    else *out = s;
    return st;
}

int kr_server_port(const kr_server *s) { return kr_http_port(s->http); }
kr_status kr_server_run(kr_server *s, double drain_s) { return kr_http_run(s->http, drain_s); }
void kr_server_stop(kr_server *s) { kr_http_stop(s->http); }

void kr_server_free(kr_server *s) {
    if (!s) return;
    kr_http_free(s->http);
    kr_engine_free(s->engine);
    kr_states_close(s->states);
    kr_embedder_free(s->embedder);
    pthread_mutex_destroy(&s->embedding);
    kr_mem_free(s);
}
