/* gate.c - who may ask what: targets, API keys, origins, routes. */
#include "serve/gate.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

/* --- targets ---------------------------------------------------------------------------------------- */

bool kr_gate_target(kr_target *t, const char *target) {
    static const char in_host[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:[]"; /* nobody's name, nothing escaped */
    size_t scheme = strncasecmp(target, "http://", 7) == 0 ? 7 : strncasecmp(target, "https://", 8) == 0 ? 8 : 0;
    *t = (kr_target){.host = target + scheme, .n_host = scheme ? strcspn(target + scheme, "/?#") : 0};
    t->n_before = scheme + t->n_host;
    if (scheme && (t->n_host == 0 || strspn(t->host, in_host) < t->n_host)) return false;
    const char *zero = strstr(target, "%00");
    return !zero || zero > target + strcspn(target, "?");
}

/* --- keys and origins ------------------------------------------------------------------------------- */

/* Each key is compared as a whole, whatever differs first. */
static int key_of(const kr_gate *g, const char *given) {
    int found = -1;
    size_t n = strlen(given);
    for (int k = 0; k < g->o->n_keys; k++) {
        const char *key = g->o->keys[k];
        size_t len = strlen(key);
        volatile unsigned char diff = n != len;
        for (size_t i = 0; i < len; i++) diff = (unsigned char)(diff | (key[i] ^ given[i < n ? i : 0]));
        if (!diff) found = k;
    }
    return found;
}

static bool allow_key(kr_exchange *x, const kr_gate *g) {
    const char *given = kr_exchange_header(x, "Authorization"), *other = kr_exchange_header(x, "X-API-Key");
    if (g->o->n_keys == 0 || (x->route && (x->route->flags & KR_ROUTE_OPEN))) return true;
    given = given && strncasecmp(given, "Bearer ", 7) == 0 ? given + 7 : other ? other : "";
    int k = key_of(g, given);
    if (k >= 0) {
        x->client ^= (int64_t)(k + 1) * 0x9E3779B97F4A7C15;
        return true;
    }
    kr_refuse(x, 401, NULL, *given ? "invalid_api_key" : "missing_api_key",
              *given ? "The API key is not one of this server's." : "This server wants an API key: Authorization: Bearer KEY");
    kr_exchange_set(x, "WWW-Authenticate", "Bearer");
    return false;
}

static bool is_local(const char *name) {
    size_t n = *name == '[' ? strcspn(name, "]") + 1 : strcspn(name, ":/");
    return (n == 9 && (strncasecmp(name, "localhost", n) == 0 || strncmp(name, "127.0.0.1", n) == 0)) || (n == 5 && strncmp(name, "[::1]", n) == 0);
}

/* 127.x.y.z, perhaps with a port: a number, which no name server can point elsewhere. */
static bool is_loopback_number(const char *host) {
    char number[INET_ADDRSTRLEN];
    struct in_addr a;
    size_t n = strcspn(host, ":");
    if (n >= sizeof number) return false;
    memcpy(number, host, n);
    number[n] = 0;
    return inet_pton(AF_INET, number, &a) == 1 && ntohl(a.s_addr) >> 24 == 127;
}

/* Is an origin "scheme://host[:port]" of the name that the request went to, or on a loopback server a name of this machine? */
static bool own_origin(const kr_gate *g, const char *origin, const char *host) {
    const char *at = strstr(origin, "://");
    if (!at) return false;
    at += 3;
    return g->loopback ? is_local(at) : host && strcasecmp(at, host) == 0;
}

/* A page from elsewhere, in the browser of someone who can reach this server, may not ask: even an answer that it cannot read
 * costs us. */
static bool allow_origin(kr_exchange *x, const kr_gate *g) {
    const char *origin = kr_exchange_header(x, "Origin"), *host = kr_exchange_host(x);
    /* nor may one whose name was made to point here, which to the browser is ours */
    if (g->loopback && !g->o->unix_path && !g->o->n_keys && !g->o->cors && host && !is_local(host) && !is_loopback_number(host)) {
        kr_refuse(x, 403, NULL, "host_not_allowed", "This server is for this machine; it is not called %.100s (an API key, or krait serve --cors, lets it be).", host);
        return false;
    }
    if (!origin) return true;
    if (g->o->cors && (strcmp(g->o->cors, "*") == 0 || strcmp(g->o->cors, origin) == 0)) {
        kr_exchange_set(x, "Access-Control-Allow-Origin", "%s", g->o->cors);
        if (*g->o->cors != '*') kr_exchange_set(x, "Vary", "Origin");
        return true;
    }
    if (own_origin(g, origin, host)) return true;
    kr_refuse(x, 403, NULL, "origin_not_allowed", "Pages of %.100s may not use this server (krait serve --cors ORIGIN allows one).", origin);
    return false;
}

/* --- routes ------------------------------------------------------------------------------------------- */

static bool matches(const char *pattern, const char *path, char param[KR_HTTP_PARAMS][KR_HTTP_PARAM_BYTES]) {
    int k = 0;
    while (*pattern) {
        if (*pattern == '{') {
            size_t n = strcspn(path, "/");
            if (n == 0 || n >= KR_HTTP_PARAM_BYTES || k == KR_HTTP_PARAMS) return false;
            memcpy(param[k], path, n);
            param[k++][n] = 0;
            path += n;
            pattern += strcspn(pattern, "}") + 1;
        } else if (*pattern++ != *path++) return false;
    }
    return *path == 0;
}

static bool find_route(kr_exchange *x, const kr_gate *g) {
    const char *method = strcmp(x->method, "HEAD") == 0 ? "GET" : x->method;
    kr_str others = {0};
    for (const kr_route *const *t = g->o->routes; *t; t++)
        for (const kr_route *r = *t; r->path; r++) {
            if (!matches(r->path, x->path, x->param)) continue;
            if (strcmp(r->method, method) == 0) return x->route = r, kr_str_free(&others), true;
            kr_str_appendf(&others, "%s%s", others.n ? ", " : "", r->method);
        }
    if (others.n && strcmp(method, "OPTIONS") == 0 && g->o->cors) { /* a browser asks before it asks */
        const char *wants = kr_exchange_header(x, "Access-Control-Request-Headers");
        x->status = 204;
        kr_exchange_set(x, "Access-Control-Allow-Methods", "%s", kr_str_text(&others));
        if (wants) kr_exchange_set(x, "Access-Control-Allow-Headers", "%s", wants);
        kr_exchange_set(x, "Access-Control-Max-Age", "86400");
    } else if (others.n) {
        kr_refuse(x, 405, NULL, "method_not_allowed", "%s takes %s, not %s.", x->path, kr_str_text(&others), x->method);
        kr_exchange_set(x, "Allow", "%s", kr_str_text(&others));
    } else {
        kr_refuse(x, 404, NULL, "unknown_url", "Unknown request URL: %s %.200s. docs/serve.md lists the routes.", x->method, x->path);
    }
    kr_str_free(&others);
    return false;
}

bool kr_gate_open(kr_exchange *x, const kr_gate *g) {
    if (!allow_origin(x, g)) return false;
    if (find_route(x, g)) return allow_key(x, g);
    if (x->status != 204) allow_key(x, g); /* without a key nothing is said of what there is */
    return false;
}
