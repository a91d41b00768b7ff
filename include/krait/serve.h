/* serve.h - a model behind HTTP, as OpenAI's clients ask for it: what `krait serve` is made of.
 *
 *     kr_server *s;
 *     kr_server_new(&s, model, &(kr_server_options){.port = 8080});
 *     kr_server_run(s, 30);      until kr_server_stop, from a signal handler for one
 *     kr_server_free(s);
 *
 * docs/serve.md describes every route. */
#ifndef KRAIT_SERVE_H
#define KRAIT_SERVE_H
#include "krait/chat.h"
#include "krait/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kr_server kr_server;

typedef struct kr_server_options {
    kr_engine_options engine;
    /* where */
    const char *host;            /* default 127.0.0.1: this machine alone */
    int port;                    /* 0: any that is free, see kr_server_port */
    const char *unix_path;       /* a socket in the file system instead */
    const char *tls_cert, *tls_key; /* PEM, the texts: HTTPS */
    /* who */
    const char *const *keys;     /* API keys, any of which opens; none: open to all who can connect */
    int n_keys;
    const char *cors;            /* the origin whose pages may ask, "*": any; NULL: only the server's own */
    /* what */
    const char *name;            /* of the model in answers; default "krait" */
    const kr_chat *chat;         /* how a conversation becomes text; NULL: there are none.  Must outlive the server */
    int64_t max_tok;             /* most that a request may have written; default 4096 */
    int64_t max_prompt;          /* most tokens of a prompt; default 4 million */
    int64_t max_n;               /* most answers to a request (n, prompts); default 64 */
    int64_t max_embed;           /* most tokens of a request for embeddings, all texts together; default 65536 */
    const char *states_dir;      /* the folder of named states; NULL: none are kept */
    int64_t states_bytes;        /* of all of them; default 8 GB */
    int64_t states_max;          /* names; default 100000 */
    bool states_forget;          /* where these do not suffice, those used longest ago go; else the new one is refused (507) */
    /* how much */
    int64_t max_body;            /* bytes of a request; default 32 MB */
    int64_t max_connections;     /* default 1024 */
    int64_t max_per_ip;          /* connections of one address; default: no limit of its own */
    int64_t max_unsent;          /* bytes of a stream that its client does not read before it is cut; default 1 MB */
    double header_s, body_s;     /* for a request's headers and for its body to arrive; default 10 and 60 */
    double idle_s;               /* between requests of one connection; default 75 */
    double send_s;               /* of a client that reads nothing; default 30 */
    int n_workers;               /* threads for what may take a while: long texts, files; default 4 */
    /* A line of JSON for each request, from the thread of kr_server_run; now and then one of engine.cache_dir ("note"), from any. */
    void (*log)(void *user, const char *line);
    void *user;
} kr_server_options;

/* Listens; answers from kr_server_run on.  The model must outlive it.
 * KR_ERR_MISSING: this build has no server.  KR_ERR_IO: the address is taken ... */
KR_API kr_status kr_server_new(kr_server **out, const kr_model *m, const kr_server_options *opt);
KR_API int kr_server_port(const kr_server *s);
/* Runs until kr_server_stop; then new requests are refused (503), and when those it has are answered it returns.  What is not
 * answered after drain_s is cut: with states_dir its state is kept, and its client told (docs/serve.md); that takes 10 s at most. */
KR_API kr_status kr_server_run(kr_server *s, double drain_s);
KR_API void kr_server_stop(kr_server *s); /* from any thread or signal handler */
KR_API void kr_server_free(kr_server *s);

#ifdef __cplusplus
}
#endif
#endif
