/* server.h - the server as its routes see it.
 *
 *     http.c          connections; the only file that knows libmicrohttpd
 *     gate.c          who may ask what
 *     exchange.c      errors, JSON text
 *     body.c          a request's JSON, without long lists of tokens
 *     server.c        opening, the list of all routes
 *     ask.c           the fields of a request
 *     reply.c         what the engine says, as JSON or as a stream of events
 *     routes_*.c      groups of routes
 *     named.c         named states in requests; states.c, states_index.c: the folder they are kept in
 *     metrics.c       counters and histograms, for Prometheus */
#ifndef KR_SERVE_SERVER_H
#define KR_SERVE_SERVER_H
#include <pthread.h>
#include <time.h>

#include "krait/infer.h"
#include "krait/serve.h"
#include "model/model.h"
#include "serve/http.h"
#include "serve/metrics.h"
#include "serve/states.h"

struct kr_server {
    kr_server_options opt;
    const kr_model *model;
    kr_engine *engine;
    kr_http *http;
    kr_states *states;    /* NULL: none are kept */
    char states_model[KR_STATE_MODEL + 1];
    kr_metrics metrics;   /* the loop's */
    time_t started;
    char name[256];
    pthread_mutex_t embedding; /* of the embedder */
    kr_embedder *embedder;    /* made when first asked for */
    atomic_int n_embedding;   /* requests that have it or wait for it */
};

static inline kr_server *kr_server_of(const kr_exchange *x) { return x->user; }

/* When to ask again, from 1 to 60 seconds: when those that wait have a slot, if answers take as long as they did lately. */
int kr_retry_seconds(const kr_engine_stats *e);
/* What the engine did not take. */
void kr_refuse_request(kr_exchange *x, kr_status st);

extern const kr_route kr_routes_page[], kr_routes_info[], kr_routes_openai[], kr_routes_text[], kr_routes_states[];
#endif
