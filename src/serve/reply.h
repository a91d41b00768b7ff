/* reply.h - from what was asked to what the client reads: requests to the engine, and their events as JSON. */
#ifndef KR_SERVE_REPLY_H
#define KR_SERVE_REPLY_H
#include "serve/ask.h"

/* Takes the ask over, whatever comes of it: submits n requests for each prompt and sets x's step; or refuses. */
void kr_reply_start(kr_ask *a);
#endif
