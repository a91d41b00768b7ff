/* named.h - named states in requests: "state", to go on from, and "save_state", to keep the end. */
#ifndef KR_SERVE_NAMED_H
#define KR_SERVE_NAMED_H
#include "serve/ask.h"
#include "serve/states.h"

/* The server's states; NULL: refused, as it has none. */
kr_states *kr_named_states(kr_exchange *x);
/* Refuses in the words of a kr_status of states.h. */
void kr_refuse_state(kr_exchange *x, kr_status st, const char *param);
/* For kr_states_get: `user` is the engine. */
kr_status kr_read_state(void *engine, kr_snapshot **out, const char *path);
void kr_append_state(kr_str *to, const kr_state_info *i, const char *model);

/* Reads both fields of an ask; false: refused.  On a worker: it may read a file. */
bool kr_ask_states(kr_ask *a);
/* Keeps the end of a request under a name, and appends what came of it as an object: {"name", "n_tokens"}, or
 * {"name", "error"}, as the answer is there already.  On a worker. */
void kr_keep_state(const kr_ask *a, const char *name, const kr_request *r, kr_str *out);
#endif
