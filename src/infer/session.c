/* session.c - one sequence being read and continued.
 *
 * Memory is bounded for any prompt, and each token costs the same; the graph of a length of piece is made when it is
 * first read with. */
#include "infer/session.h"

#include <string.h>

/* The few choices of krait.h as all choices. */
static kr_sampler_options choices_of(const kr_session_options *o) {
    if (o->sampler) return *o->sampler;
    return (kr_sampler_options){.temperature = o->temperature, .top_k = o->top_k, .top_p = o->top_p, .min_p = o->min_p,
                                .repetition_penalty = o->repetition_penalty, .seed = o->seed};
}

static kr_status open_session(kr_session *s, const kr_model *m) {
    kr_sampler_options choices = choices_of(&s->opt);
    int64_t V = m->config.vocab_size;
    s->opt.sampler = NULL;
    KR_TRY(kr_reader_open(&s->reader, m, s->opt.prefill_tok > 0 ? s->opt.prefill_tok : 512, s->opt.n_threads, s->opt.state_dtype));
    KR_TRY(kr_layout_new(&s->layout, s->reader.home, V));
    if (!(s->kept_logits = kr_mem_array((size_t)V, sizeof *s->kept_logits))) return KR_ERR_NOMEM;
    KR_TRY(kr_sampler_init(&s->sampler, V, (int32_t)m->config.eos_token_id));
    KR_TRY(kr_sampler_start(&s->sampler, &choices));
    kr_session_reset(s);
    return KR_OK;
}

kr_status kr_session_new(kr_session **out, const kr_model *m, const kr_session_options *opt) {
    kr_session *s = kr_mem_new(sizeof *s);
    if (!s) return KR_ERR_NOMEM;
    if (opt) s->opt = *opt;
    kr_status st = open_session(s, m);
    if (st != KR_OK) kr_session_free(s);
    else *out = s;
    return st;
}

void kr_session_free(kr_session *s) {
    if (!s) return;
    kr_draft_free(s->draft); /* its graphs share the states of the reader's */
    kr_reader_close(&s->reader);
    kr_sampler_clear(&s->sampler);
    kr_layout_free(s->layout);
    kr_grammar_leave(s->grammar);
    kr_grammar_free(s->grammar);
    kr_mem_free(s->allowed);
    kr_mem_free(s->kept_logits);
    kr_mem_free(s);
}

void kr_session_reset(kr_session *s) {
    kr_draft_forget(s->draft);
    kr_graph_reset_states(s->reader.home, NULL);
    kr_sampler_forget(&s->sampler);
    if (s->grammar) s->place = s->grammar->start;
    s->logits = NULL;
    s->last = KR_END;
    s->n_tok = 0;
}

kr_status kr_session_see(kr_session *s, int32_t tok) {
    bool own = tok == s->last;
    s->last = KR_END;
    s->n_tok++;
    kr_sampler_see(&s->sampler, tok, own);
    return own && s->grammar ? kr_grammar_take(s->grammar, &s->place, s->reader.model, tok) : KR_OK;
}

kr_status kr_session_feed(kr_session *s, const int32_t *tok, int64_t n) {
    KR_TRY(kr_check_tokens(s->reader.model, tok, n));
    if (s->draft && n == 1 && *tok == s->last) return kr_draft_take(s, *tok);
    KR_TRY(kr_draft_settle(s));
    KR_TRY(kr_draft_also(s->draft, tok, n));
    while (n > 0) {
        int64_t piece = kr_reader_piece(&s->reader, n);
        KR_TRY(kr_reader_read(&s->reader, tok, piece, &s->logits));
        for (int64_t i = 0; i < piece; i++) KR_TRY(kr_session_see(s, tok[i]));
        tok += piece;
        n -= piece;
    }
    return KR_OK;
}

int32_t kr_session_sample(kr_session *s) {
    if (!s->logits) return KR_END;
    if (s->grammar && kr_grammar_choices(s->grammar, s->place, s->sampler.eos, s->allowed) != KR_OK) return s->last = KR_END;
    int32_t t = kr_sampler_draw(&s->sampler, s->logits, s->grammar ? s->allowed : NULL);
    return s->last = t < 0 || t == s->sampler.eos ? KR_END : t;
}

kr_status kr_session_set_grammar(kr_session *s, kr_grammar *g) {
    if (g && g->V != s->layout->V) KR_FAIL(KR_ERR_ARG, "the grammar is for another model");
    if (g && !s->allowed && !(s->allowed = kr_mem_array(((size_t)g->V + 63) / 64, sizeof *s->allowed))) return KR_ERR_NOMEM;
    if (g) kr_grammar_enter(kr_grammar_share(g));
    kr_grammar_leave(s->grammar);
    kr_grammar_free(s->grammar);
    s->grammar = g;
    s->place = g ? g->start : 0;
    return KR_OK;
}

const float *kr_session_logits(const kr_session *s) { return s->logits; }
int64_t kr_session_n_tok(const kr_session *s) { return s->n_tok; }
int64_t kr_session_state_bytes(const kr_session *s) { return (int64_t)kr_graph_get_memory(s->reader.home).state; }
