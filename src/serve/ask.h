/* ask.h - what a request to write asks for, read from its JSON. */
#ifndef KR_SERVE_ASK_H
#define KR_SERVE_ASK_H
#include "serve/server.h"

enum { KR_ASK_MORE_STOPS = 16 }; /* room for as many stops of a chat template, each */

typedef struct kr_prompt { int32_t *tok; int64_t n; } kr_prompt;

/* Fields whose names are OpenAI's, and the rest of the samplers. */
typedef struct kr_ask {
    kr_exchange *x;
    json_t *body;                /* owns the texts */
    bool chat;
    kr_prompt *prompt;
    int64_t n_prompt, most;      /* most answers */
    /* plain fields */
    double temperature, top_p, min_p, typical_p, top_n_sigma, xtc_probability, xtc_threshold, repetition_penalty, frequency_penalty,
        presence_penalty, mirostat_tau, mirostat_eta, dry_multiplier, dry_base;
    int64_t top_k, draft, min_tokens, dry_allowed_length, dry_penalty_last_n, n, max_tokens, seed, n_top;
    bool max_tokens_given, continue_final, stream, include_usage, logprobs, ignore_eos, cache_prompt;
    /* and what needs looking at */
    const char **stop;
    int64_t n_stop;
    int32_t *stop_tok;
    int64_t n_stop_tok;
    kr_logit_bias *bias;
    int64_t n_bias;
    kr_grammar *grammar;
    const char *state, *save_state; /* named states (named.h); NULL: none */
    kr_snapshot *from;
    bool from_open;              /* it stands within a turn of a chat */
} kr_ask;

/* Reads all fields but the prompt (kr_ask_prompt, or messages); false: refused already.
 * Close it either way. */
bool kr_ask_open(kr_ask *a, kr_exchange *x, bool chat);
/* The same of a body that was read already, and now is the ask's. */
bool kr_ask_open_body(kr_ask *a, kr_exchange *x, bool chat, json_t *body);
void kr_ask_close(kr_ask *a);
/* The `prompt` of a completion: a text, token ids, or a list of either. */
bool kr_ask_prompts(kr_ask *a, const char *param);
/* One more prompt from a text. */
bool kr_ask_add_text(kr_ask *a, const char *param, const char *text, size_t n);
/* One more prompt from a list of token ids. */
bool kr_ask_tokens(kr_ask *a, const char *param, const json_t *list);
/* The prompt of a chat's messages; answer: with the head of the turn to be written. */
bool kr_ask_messages(kr_ask *a, bool answer);
/* Is the request for this server's model, or for none by name? */
bool kr_ask_model(kr_ask *a);
/* Where it goes on from a state, a prompt has no start token, and may be empty.
 * For the engine: the i-th prompt, the k-th answer to it. */
void kr_ask_request(const kr_ask *a, int64_t i, int64_t k, kr_request_options *o);
#endif
