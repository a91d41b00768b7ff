/* metrics.h - metrics.jsonl and loss.svg of a run. */
#ifndef KR_TRAIN_METRICS_H
#define KR_TRAIN_METRICS_H
#include "base/error.h"
#include "krait/train.h"

/* A line is appended as soon as it is known; a resume drops the lines of steps that it
 * will repeat. */
typedef struct kr_metrics {
    char path[4096];
    kr_status status;  /* the first line that could not be written */
} kr_metrics;

/* Keeps the lines up to `step` of a file that is there (-1: starts anew). */
kr_status kr_metrics_open(kr_metrics *m, const char *out, int64_t step);
void kr_metrics_step(kr_metrics *m, const kr_train_progress *p);
/* what: "eval" or "test"; more: members behind the rest, ", \"f1\": 0.9". */
void kr_metrics_eval(kr_metrics *m, int64_t step, int64_t n_tok, const char *what, double loss, const char *metric, double value, const char *more);
/* Draws loss.svg from the file. */
kr_status kr_metrics_chart(const kr_metrics *m, const char *out);
#endif
