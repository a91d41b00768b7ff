/* routes_openai.c - /v1/models, /v1/completions. */
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

const kr_route kr_routes_openai[] = {
    {"GET", "/v1/models", list_models, KR_ROUTE_QUICK},
    {"GET", "/v1/models/{model}", get_model, KR_ROUTE_QUICK},
    {"POST", "/v1/completions", complete, 0},
    {0},
};
