/* helper.c - see helper.h. */
#include "infer/helper.h"

#include <string.h>

enum { LONGEST = 64, A_STEP = 256 }; /* tokens: of a piece; read at most while others wait */

struct kr_helper {
    kr_reader reader;   /* of whom it is asked for */
    size_t bytes;       /* of a state */
    char *state;        /* [n_slots] behind ... */
    int64_t *n_read;    /* [n_slots] ... so many tokens of the text */
    void *memory;       /* of a sampler, while it draws guesses */
    size_t memory_bytes;
};

static kr_status open_helper(kr_helper *h, const kr_model *m, int64_t V, int64_t n_slots, int n_threads) {
    if (m->config.vocab_size != V)
        KR_FAIL(KR_ERR_ARG, "the draft's model has %lld tokens, the engine's %lld", (long long)m->config.vocab_size, (long long)V);
    KR_TRY(kr_reader_open(&h->reader, m, LONGEST, n_threads, NULL));
    h->bytes = kr_graph_row_bytes(h->reader.home);
    h->memory_bytes = kr_sampler_memory_bytes(V);
    h->state = kr_mem_array((size_t)n_slots, h->bytes);
    h->n_read = kr_mem_array((size_t)n_slots, sizeof *h->n_read);
    h->memory = kr_mem_new(h->memory_bytes);
    return h->state && h->n_read && h->memory ? KR_OK : KR_ERR_NOMEM;
}

kr_status kr_helper_open(kr_helper **out, const kr_model *m, int64_t V, int64_t n_slots, int n_threads) {
    kr_helper *h = kr_mem_new(sizeof *h);
    if (!h) return KR_ERR_NOMEM;
    kr_status st = open_helper(h, m, V, n_slots, n_threads);
    if (st != KR_OK) kr_helper_close(h);
    else *out = h;
    return st;
}

void kr_helper_close(kr_helper *h) {
    if (!h) return;
    kr_reader_close(&h->reader);
    kr_mem_free(h->state);
    kr_mem_free(h->n_read);
    kr_mem_free(h->memory);
    kr_mem_free(h);
}

void kr_helper_forget(kr_helper *h, int64_t slot) { h->n_read[slot] = 0; }

/* Reads on in the slot's text; *logits NULL: there is more of it. */
static kr_status catch_up(kr_helper *h, int64_t slot, const int32_t *tok, int64_t n_tok, const float **logits) {
    char *state = h->state + (size_t)slot * h->bytes;
    int64_t at = h->n_read[slot], end = n_tok - at < A_STEP ? n_tok : at + A_STEP;
    *logits = NULL;
    if (at >= n_tok) return KR_OK;
    if (at > 0) KR_TRY(kr_graph_put_row(h->reader.home, 0, state));
    else kr_graph_reset_states(h->reader.home, NULL);
    while (at < end) {
        int64_t piece = kr_reader_piece(&h->reader, end - at);
        KR_TRY(kr_reader_read(&h->reader, tok + at, piece, logits));
        at += piece;
    }
    KR_TRY(kr_graph_get_row(h->reader.home, 0, state));
    h->n_read[slot] = at;
    if (at < n_tok) *logits = NULL;
    return KR_OK;
}

int kr_helper_guess(kr_helper *h, int64_t slot, const int32_t *tok, int64_t n_tok, kr_sampler *s, int32_t *guess, int most) {
    const float *logits;
    int n = 0;
    if (catch_up(h, slot, tok, n_tok, &logits) != KR_OK) return h->n_read[slot] = 0, 0;
    if (!logits) return 0;
    memcpy(h->memory, s->memory, h->memory_bytes);
    while (n < most) {
        int32_t t = kr_sampler_draw(s, logits, NULL);
        if (t < 0 || t == s->eos) break;
        guess[n++] = t;
        if (n == most) break;
        kr_sampler_see(s, t, true);
        if (kr_reader_read(&h->reader, &t, 1, &logits) != KR_OK) break;
    }
    memcpy(s->memory, h->memory, h->memory_bytes);
    return n;
}
