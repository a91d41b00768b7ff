/* eval.h - zero-shot tasks, scored as EleutherAI's lm-evaluation-harness scores them. */
#ifndef KRAIT_EVAL_H
#define KRAIT_EVAL_H
#include "krait.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kr_task_options {
    int64_t limit;           /* questions at most; 0: all */
    int n_threads;           /* default: all cores this process may use */
    void (*progress)(void *user, int64_t done, int64_t of); /* after each question; may be NULL */
    void *user;
} kr_task_options;

typedef struct kr_task_result {
    int64_t n;               /* questions */
    double acc, acc_stderr;  /* share answered right; of lambada: the last word's tokens are each the likeliest */
    bool has_norm;
    double acc_norm, acc_norm_stderr; /* by log-likelihood per character of the answer: hellaswag, piqa, arc */
    double perplexity;       /* lambada: of the last word; else 0 */
    double seconds;
} kr_task_result;

/* Scores every question of a file's text by the log-likelihood of its answers.
 *
 *   lambada     lines {"text"}
 *   hellaswag   lines {"activity_label", "ctx_a", "ctx_b", "endings", "label"}, or six lines of text
 *               a question: context, number of the right ending, four endings
 *   piqa        lines {"goal", "sol1", "sol2", "label"}
 *   arc         lines {"question", "choices", "answerKey"}
 *   winogrande  lines {"sentence", "option1", "option2", "answer"}
 *
 * or as llm-foundry keeps the last three: {"query", "choices", "gold"}, {"context_options",
 * "continuation", "gold"}.  KR_ERR_ARG: no such task, or the text has a token that the model has not; KR_ERR_FORMAT:
 * the text is not so. */
KR_API kr_status kr_eval_task(const kr_model *m, const char *task, const char *text, int64_t n_bytes, const kr_task_options *opt, kr_task_result *out);

#ifdef __cplusplus
}
#endif
#endif
