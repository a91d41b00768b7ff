/* gate.h - who may ask what, by the first lines of a request. */
#ifndef KR_SERVE_GATE_H
#define KR_SERVE_GATE_H
#include "serve/http.h"

typedef struct kr_gate { const kr_http_options *o; bool loopback; } kr_gate; /* loopback: for this machine alone */

/* Finds the route; false: refused, or all is said. */
bool kr_gate_open(kr_exchange *x, const kr_gate *g);
#endif
