/* routes_info.c - how the server is and what it has: /health, /metrics, /props. */
#include <string.h>

#include "serve/server.h"

static void health(kr_exchange *x) {
    bool ending = kr_http_ending(x->http);
    if (ending) x->status = 503;
    kr_str_appendf(&x->out, "{\"status\":\"%s\"}\n", ending ? "ending" : "ok");
}

static void metrics(kr_exchange *x) {
    const kr_server *s = kr_server_of(x);
    kr_engine_stats e;
    kr_engine_get_stats(s->engine, &e);
    x->type = "text/plain; version=0.0.4; charset=utf-8";
    kr_metrics_write(&s->metrics, &e, kr_http_connections(x->http), difftime(time(NULL), s->started), s->name, &x->out);
    if (!s->states) return;
    kr_states_stats n;
    kr_states_get_stats(s->states, &n);
    kr_metrics_write_states(&n, &x->out);
}

static void append_text(kr_str *to, const char *name, const char *text) {
    kr_str_appendf(to, ",\"%s\":", name);
    if (text) kr_str_append_json_text(to, text, strlen(text));
    else kr_str_append(to, "null");
}

static void append_number(kr_str *to, const char *name, double x) { kr_str_appendf(to, ",\"%s\":%.15g", name, x); }

/* Where the server's files lie is nobody's business. */
static const char *base_name(const char *path) { return strrchr(path, '/') ? strrchr(path, '/') + 1 : path; }

static void props(kr_exchange *x) {
    const kr_server *s = kr_server_of(x);
    const kr_config *c = &s->model->config;
    kr_str *to = &x->out;
    kr_engine_stats e;
    int64_t n_params = 0, n;
    kr_engine_get_stats(s->engine, &e);
    for (const kr_param *p = s->model->params->first; p; p = p->next) n_params += kr_param_count(p);
    kr_str_append(to, "{\"server\":\"krait\"");
    append_text(to, "version", KRAIT_VERSION);
    append_text(to, "model", s->name);
    append_text(to, "mixer", c->mixer->name);
    append_number(to, "n_params", (double)n_params);
    append_number(to, "n_layer", (double)c->n_layer);
    append_number(to, "d_model", (double)c->d_model);
    append_number(to, "vocab_size", (double)c->vocab_size);
    append_number(to, "state_bytes", (double)e.state_bytes);
    const char *eos = c->eos_token_id >= 0 ? kr_token_text(s->model, (int32_t)c->eos_token_id, &n) : NULL;
    append_text(to, "eos_token", eos);
    append_number(to, "eos_token_id", (double)c->eos_token_id);
    append_text(to, "chat_template", s->opt.chat ? kr_chat_source(s->opt.chat) : NULL);
    append_text(to, "chat_template_name", s->opt.chat ? base_name(kr_chat_name(s->opt.chat)) : NULL);
    append_number(to, "slots", (double)e.n_slots);
    append_number(to, "draft", (double)s->opt.engine.n_draft);
    append_number(to, "max_tokens", (double)s->opt.max_tok);
    append_number(to, "max_prompt_tokens", (double)s->opt.max_prompt);
    append_number(to, "max_n", (double)s->opt.max_n);
    append_number(to, "max_embed_tokens", (double)s->opt.max_embed);
    append_number(to, "max_body_bytes", (double)s->opt.max_body);
    kr_str_appendf(to, ",\"named_states\":%s", s->states ? "true" : "false");
    append_number(to, "cache_bytes", (double)e.cache_bytes);
    kr_str_append(to, "}\n");
}

const kr_route kr_routes_info[] = {
    {"GET", "/health", health, KR_ROUTE_OPEN | KR_ROUTE_QUICK | KR_ROUTE_ALWAYS},
    {"GET", "/metrics", metrics, KR_ROUTE_QUICK | KR_ROUTE_ALWAYS},
    {"GET", "/props", props, KR_ROUTE_QUICK},
    {0},
};
