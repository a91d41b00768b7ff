/* metrics.c - one JSON line a report, and the picture of them all. */
#include "train/metrics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "train/chart.h"

/* Calls f for every whole line of the file; a line that is no JSON object is skipped. */
static kr_status each_line(const char *path, void (*f)(void *user, const json_t *line, const char *text, size_t n), void *user) {
    void *data;
    size_t n;
    KR_TRY(kr_file_read(&data, &n, path));
    for (char *p = data, *end = p + n; p < end;) {
        char *stop = memchr(p, '\n', (size_t)(end - p));
        json_t *line;
        if (!stop) break;
        if (kr_json_parse(&line, p, (size_t)(stop - p), path) == KR_OK) {
            f(user, line, p, (size_t)(stop - p) + 1);
            json_decref(line);
        }
        p = stop + 1;
    }
    kr_mem_free(data);
    return KR_OK;
}

typedef struct keep { kr_str text; int64_t step; } keep;

static void keep_line(void *user, const json_t *line, const char *text, size_t n) {
    keep *k = user;
    if (json_integer_value(json_object_get(line, "step")) <= k->step) kr_str_append_n(&k->text, text, n);
}

kr_status kr_metrics_open(kr_metrics *m, const char *out, int64_t step) {
    keep k = {.step = step};
    m->status = KR_OK;
    KR_TRY(kr_path_join(m->path, sizeof m->path, out, "metrics.jsonl"));
    if (step < 0 || !kr_file_exists(m->path)) return kr_file_write(m->path, "", 0);
    kr_status st = each_line(m->path, keep_line, &k);
    if (st == KR_OK) st = kr_str_status(&k.text);
    if (st == KR_OK) st = kr_file_write(m->path, kr_str_text(&k.text), strlen(kr_str_text(&k.text)));
    kr_str_free(&k.text);
    return st;
}

static void append(kr_metrics *m, const char *line) {
    kr_status st = kr_file_append(m->path, line);
    if (m->status == KR_OK) m->status = st;
}

void kr_metrics_step(kr_metrics *m, const kr_train_progress *p) {
    char line[400];
    snprintf(line, sizeof line,
             "{\"step\": %lld, \"n_tok\": %lld, \"loss\": %.9g, \"lr\": %.9g, \"grad_norm\": %.9g, \"tokens_per_s\": %.6g, \"seconds\": %.6g}",
             (long long)p->step, (long long)p->n_tok, p->loss, p->lr, p->grad_norm, p->tokens_per_s, p->seconds);
    append(m, line);
}

void kr_metrics_eval(kr_metrics *m, int64_t step, int64_t n_tok, const char *what, double loss, const char *metric, double value, const char *more) {
    char line[900];
    snprintf(line, sizeof line, "{\"step\": %lld, \"n_tok\": %lld, \"%s_loss\": %.9g, \"%s%s\": %.9g%.400s}", (long long)step, (long long)n_tok, what, loss,
             strcmp(what, "test") == 0 ? "test_" : "", metric, value, more);
    append(m, line);
}

/* --- the picture -------------------------------------------------------------------------- */

typedef struct curve { double *x, *y; int64_t n, cap; kr_status status; } curve;
typedef struct curves { curve train, eval; } curves;

static void add_point(curve *c, double x, double y) {
    if (c->status != KR_OK) return;
    if (c->n == c->cap) {
        int64_t cap = c->cap ? 2 * c->cap : 256;
        double *nx = kr_mem_resize(c->x, (size_t)cap * sizeof *nx);
        if (nx) c->x = nx;
        double *ny = nx ? kr_mem_resize(c->y, (size_t)cap * sizeof *ny) : NULL;
        if (ny) c->y = ny;
        if (!ny) {
            c->status = KR_ERR_NOMEM;
            return;
        }
        c->cap = cap;
    }
    c->x[c->n] = x, c->y[c->n++] = y;
}

static void add_line(void *user, const json_t *line, const char *text, size_t n) {
    curves *c = user;
    (void)text, (void)n;
    double step = json_number_value(json_object_get(line, "step"));
    const json_t *train = json_object_get(line, "loss"), *eval = json_object_get(line, "eval_loss");
    if (json_is_number(train)) add_point(&c->train, step, json_number_value(train));
    if (json_is_number(eval)) add_point(&c->eval, step, json_number_value(eval));
}

kr_status kr_metrics_chart(const kr_metrics *m, const char *out) {
    char path[4096];
    curves c = {{0}, {0}};
    KR_TRY(kr_path_join(path, sizeof path, out, "loss.svg"));
    kr_status st = each_line(m->path, add_line, &c);
    if (st == KR_OK) st = c.train.status != KR_OK ? c.train.status : c.eval.status;
    kr_series s[2] = {{"training", KR_LOOK_NOISY, c.train.x, c.train.y, c.train.n}, {"held out", KR_LOOK_MARKS, c.eval.x, c.eval.y, c.eval.n}};
    kr_chart chart = {.title = "Loss", .x_name = "step", .y_name = "loss (nats)", .series = s, .n_series = c.eval.n ? 2 : 1};
    if (st == KR_OK) st = kr_chart_write(path, &chart);
    kr_mem_free(c.train.x), kr_mem_free(c.train.y), kr_mem_free(c.eval.x), kr_mem_free(c.eval.y);
    return st;
}
