/* routes_info.c - how the server is: /health, /metrics. */
#include "base/timing.h"
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
}

const kr_route kr_routes_info[] = {
    {"GET", "/health", health, KR_ROUTE_OPEN | KR_ROUTE_QUICK | KR_ROUTE_ALWAYS},
    {"GET", "/metrics", metrics, KR_ROUTE_QUICK | KR_ROUTE_ALWAYS},
    {0},
};
