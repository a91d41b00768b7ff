/* task.c - the log-likelihood of answers: kr_eval_task.
 *
 * A context is read once; from its state each answer is read in windows that give the scores
 * of every token.  How text becomes tokens is the harness's: context and answer are encoded
 * together, and what is beyond the context's own tokens is the answer. */
#include "infer/task.h"

#include <math.h>
#include <string.h>

#include "base/timing.h"
#include "infer/session.h"
#include "krait/eval.h"
#include "text/tokenizer.h"

enum { N_WINDOWS = 2 };
static const int64_t window_of[N_WINDOWS] = {24, 4};

typedef struct scorer {
    const kr_model *m;
    kr_session *s;
    kr_graph *window[N_WINDOWS]; /* all scores of so many steps, on the session's states */
    int32_t *context, *both;
    int64_t context_room, both_room, n_context, n_both;
    kr_str text;
} scorer;

typedef struct score { double logprob; bool greedy; } score;

static kr_status open_scorer(scorer *s, const kr_model *m, int n_threads) {
    kr_session_options so = {.prefill_tok = 64, .n_threads = n_threads};
    *s = (scorer){.m = m};
    KR_TRY(kr_session_new(&s->s, m, &so));
    for (int i = 0; i < N_WINDOWS; i++) {
        kr_model_graph_options o = {.mode = KR_MODEL_ALL, .S = 1, .L = window_of[i], .stateful = true, .n_threads = n_threads, .states_of = s->s->reader.home};
        KR_TRY(kr_model_graph((kr_model *)(uintptr_t)m, &o, &s->window[i]));
        KR_TRY(kr_graph_alloc(s->window[i]));
    }
    return KR_OK;
}

static void close_scorer(scorer *s) {
    for (int i = 0; i < N_WINDOWS; i++) kr_graph_free(s->window[i]);
    kr_session_free(s->s);
    kr_mem_free(s->context);
    kr_mem_free(s->both);
    kr_str_free(&s->text);
}

/* --- tokens ------------------------------------------------------------------------------ */

/* Without the tokens that a tokenizer puts around a text. */
static kr_status encode(const kr_model *m, const char *text, size_t n, int32_t **tok, int64_t *room, int64_t *n_tok) {
    int64_t k = kr_encode(m, text, (int64_t)n, *tok, *room);
    if (k > *room) {
        int32_t *more = kr_mem_resize(*tok, (size_t)(2 * k) * sizeof *more);
        if (!more) return KR_ERR_NOMEM;
        *tok = more, *room = 2 * k;
        k = kr_encode(m, text, (int64_t)n, *tok, *room);
    }
    if (k < 0) return (kr_status)k;
    int before = m->tokenizer ? m->tokenizer->n_before : 0, after = m->tokenizer ? m->tokenizer->n_after : 0;
    *n_tok = k - before - after;
    if (before) memmove(*tok, *tok + before, (size_t)*n_tok * sizeof **tok);
    return KR_OK;
}

/* Spaces at the end of a context go to the answer. */
static kr_status encode_pair(scorer *s, const char *context, const char *answer) {
    size_t n = strlen(context);
    while (n && (context[n - 1] == ' ' || (context[n - 1] >= '\t' && context[n - 1] <= '\r'))) n--;
    KR_TRY(encode(s->m, context, n, &s->context, &s->context_room, &s->n_context));
    kr_str_cut(&s->text, 0);
    kr_str_append(&s->text, context);
    kr_str_append(&s->text, answer);
    KR_TRY(kr_str_status(&s->text));
    KR_TRY(encode(s->m, s->text.text, s->text.n, &s->both, &s->both_room, &s->n_both));
    return kr_check_tokens(s->m, s->both, s->n_both); /* a tokenizer may have more of them than the model */
}

/* --- scores -------------------------------------------------------------------------------- */

static double logprob_of(const float *logits, int64_t V, int32_t tok, bool *likeliest) {
    double sum = 0;
    float most = logits[0];
    int64_t best = 0;
    for (int64_t i = 1; i < V; i++)
        if (logits[i] > most) most = logits[best = i];
    for (int64_t i = 0; i < V; i++) sum += exp((double)logits[i] - most);
    *likeliest = *likeliest && best == tok;
    return (double)logits[tok] - most - log(sum);
}

/* From the state behind all of the context but its last token. */
static kr_status read_answer(scorer *s, score *out) {
    const int32_t *answer = s->both + s->n_context;
    int64_t V = s->m->config.vocab_size, n = s->n_both - s->n_context;
    *out = (score){0, true};
    if (n < 1) KR_FAIL(KR_ERR_FORMAT, "an answer has no tokens of its own"); /* it would be certain */
    for (int64_t at = 0; at < n;) {
        int i = n - at <= window_of[1] ? 1 : 0;
        int64_t L = window_of[i], k = n - at < L ? n - at : L;
        int32_t *ids = kr_graph_data(s->window[i], "ids");
        for (int64_t t = 0; t < L; t++) ids[t] = t >= k ? 0 : at + t == 0 ? s->context[s->n_context - 1] : answer[at + t - 1];
        kr_graph_run(s->window[i], KR_RUN_FORWARD);
        const float *logits = kr_graph_data(s->window[i], "logits");
        KR_TRY(kr_graph_wait(s->window[i]));
        for (int64_t t = 0; t < k; t++) out->logprob += logprob_of(logits + t * V, V, answer[at + t], &out->greedy);
        at += k;
    }
    return KR_OK;
}

static kr_status read_context(scorer *s) {
    kr_session_reset(s->s);
    return s->n_context > 1 ? kr_session_feed(s->s, s->context, s->n_context - 1) : KR_OK;
}

static kr_status score_question(scorer *s, const kr_question *q, score *out) {
    kr_snapshot *before = NULL;
    kr_status st = KR_OK;
    for (int i = 0; i < q->n && st == KR_OK; i++) {
        st = encode_pair(s, q->context[i], q->answer[i]);
        if (st == KR_OK && s->n_context < 1) st = kr_fail(KR_ERR_FORMAT, "a question has an empty context");
        if (st == KR_OK && before) st = kr_session_restore(s->s, before);
        else if (st == KR_OK) st = read_context(s);
        if (st == KR_OK && i == 0 && q->one_context && q->n > 1 && s->n_context > 1) st = kr_session_snapshot(&before, s->s);
        if (st == KR_OK) st = read_answer(s, &out[i]);
    }
    kr_snapshot_free(before);
    return st;
}

static bool is_right(const kr_question *q, const score *s, bool by_length) {
    int best = 0;
    double most = -INFINITY;
    for (int i = 0; i < q->n; i++) {
        double x = by_length ? s[i].logprob / (double)q->n_characters[i] : s[i].logprob;
        if (x > most) most = x, best = i;
    }
    return best == q->right;
}

static double deviation(double share, int64_t n) { return n > 1 ? sqrt(share * (1 - share) / (double)(n - 1)) : 0; }

static kr_status score_all(scorer *s, kr_task task, const kr_questions *q, const kr_task_options *o, kr_task_result *out) {
    score each[KR_MAX_CHOICES];
    int64_t n = o->limit > 0 && o->limit < (int64_t)q->n ? o->limit : (int64_t)q->n, right = 0, right_by_length = 0;
    double t0 = kr_now(), logprobs = 0;
    for (int64_t i = 0; i < n; i++) {
        KR_TRY(score_question(s, &q->q[i], each));
        right += task == KR_TASK_LAMBADA ? each[0].greedy : is_right(&q->q[i], each, false);
        right_by_length += is_right(&q->q[i], each, true);
        logprobs += each[0].logprob;
        if (o->progress) o->progress(o->user, i + 1, n);
    }
    *out = (kr_task_result){.n = n, .acc = (double)right / (double)n, .has_norm = task != KR_TASK_LAMBADA && task != KR_TASK_WINOGRANDE, .seconds = kr_now() - t0};
    out->acc_stderr = deviation(out->acc, n);
    if (out->has_norm) out->acc_norm = (double)right_by_length / (double)n, out->acc_norm_stderr = deviation(out->acc_norm, n);
    if (task == KR_TASK_LAMBADA) out->perplexity = exp(-logprobs / (double)n);
    return KR_OK;
}

kr_status kr_eval_task(const kr_model *m, const char *name, const char *text, int64_t n_bytes, const kr_task_options *opt, kr_task_result *out) {
    kr_task_options o = opt ? *opt : (kr_task_options){0};
    kr_questions q = {0};
    kr_task task;
    scorer s = {0};
    KR_TRY(kr_task_find(&task, name));
    kr_status st = kr_questions_read(&q, task, text, n_bytes < 0 ? strlen(text) : (size_t)n_bytes);
    if (st == KR_OK) st = open_scorer(&s, m, o.n_threads);
    if (st == KR_OK) st = score_all(&s, task, &q, &o, out);
    close_scorer(&s);
    kr_questions_free(&q);
    return st;
}
