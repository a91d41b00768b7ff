/* gate.h - who may ask what, by the first lines of a request. */
#ifndef KR_SERVE_GATE_H
#define KR_SERVE_GATE_H
#include "serve/http.h"

typedef struct kr_gate { const kr_http_options *o; bool loopback; } kr_gate; /* loopback: for this machine alone */

/* What a request's target begins with before its path, as it came: nothing, or where it goes ("http://host:port", RFC 9112 §3.2.2).
 * false: that is no host and perhaps a port, or the path has a byte 0, where C would take it to end. */
typedef struct kr_target { const char *host; size_t n_host, n_before; } kr_target;
bool kr_gate_target(kr_target *t, const char *target);
/* Finds the route; false: refused, or all is said. */
bool kr_gate_open(kr_exchange *x, const kr_gate *g);
#endif
