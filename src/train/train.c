/* train.c - the training loop.
 *
 * A step is a pure function of the weights, the moments, the carried states and the step's
 * number: batches and dropout come from counters.  So a run that was stopped and resumed
 * goes through the same bits as one that was not. */
#include "train/train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/timing.h"
#include "train/adamw.h"
#include "train/noise.h"
#include "train/score.h"

static void say(const kr_train *t, const char *sentence) {
    if (t->hooks.message) t->hooks.message(t->hooks.user, sentence);
}

/* --- one step --------------------------------------------------------------------------- */

static void reset_rows(const kr_train *t, kr_graph *g, kr_split split, int64_t batch) {
    bool which[256], any = false;
    KR_ASSERT(t->info->S <= 256);
    for (int64_t s = 0; s < t->info->S; s++) any |= which[s] = kr_source_resets(t->source, split, batch, s);
    if (any) kr_graph_reset_states(g, which);
}

static kr_status load_batch(const kr_train *t, kr_graph *g, kr_split split, int64_t i, int64_t draw, kr_batch *b) {
    *b = (kr_batch){.S = t->info->S, .L = t->info->L, .draw = draw, .place = t->draws.place, .ids = kr_graph_data(g, "ids"), .targets = kr_graph_data(g, "targets"), .seq_idx = kr_graph_data(g, "seq_idx"),
                    .x = kr_graph_data(g, "x"), .y = kr_graph_data(g, "y"), .scale = kr_graph_data(g, "scale"), .len = kr_graph_data(g, "len"),
                    .positions = kr_graph_data(g, "positions"), .classes = kr_graph_data(g, "class"), .weight = kr_graph_data(g, "weight"),
                    .edge_from = kr_graph_data(g, "edge_from"), .edge_to = kr_graph_data(g, "edge_to"), .e = kr_graph_data(g, "e"), .ties = g};
    if (!b->targets) b->targets = t->targets; /* the graph of logits has no use for them, the count of hits has */
    if (!b->y) b->y = t->y;
    if (!b->scale) b->scale = t->scale;
    if (t->info->carries) reset_rows(t, g, split, i);
    KR_TRY(kr_source_batch(t->source, split, i, b));
    kr_noise_rows(t->diffusion, g, b, (uint64_t)t->opt.seed, split, i);
    return KR_OK;
}

/* What draws of this batch depend on; those of dropout and of orders that shuffle are others. */
static void set_keys(const kr_train *t, int64_t batch) {
    char name[40];
    for (int64_t i = 0; i <= t->model->config.n_residual; i++)
        for (int shuffles = 0; shuffles < 2; shuffles++) {
            snprintf(name, sizeof name, shuffles ? "shuffle_key.%lld" : "dropout_key.%lld", (long long)i);
            int32_t *key = kr_graph_data(t->graph, name);
            if (!key) continue;
            key[0] = (int32_t)(uint32_t)(uint64_t)t->opt.seed, key[1] = (int32_t)((uint64_t)t->opt.seed >> 32);
            key[2] = (int32_t)batch, key[3] = (int32_t)(i + (shuffles ? 1 << 30 : 0));
        }
}

static kr_status not_finite(kr_train *t, const char *what) {
    kr_status found = kr_graph_find_bad(t->graph);
    KR_FAIL(KR_ERR_NUMERIC, "step %lld: %s is not finite; first seen in %s. Lower train.lr, raise train.warmup_steps or lower "
            "train.clip, and resume from the last checkpoint", (long long)t->state.step + 1, what, found == KR_OK ? "no single tensor" : kr_error());
}

static double loss_of(const kr_train *t) { return (double)*(const float *)kr_graph_data(t->graph, "loss") / (double)t->opt.accumulate; }

static double learning_rate(const kr_train *t) {
    const kr_train_options *o = &t->opt;
    return kr_train_lr(&(kr_train_options){.steps = t->state.steps, .warmup_steps = o->warmup_steps, .lr = o->lr, .min_lr = o->min_lr,
                                           .schedule = o->schedule, .decay_fraction = o->decay_fraction}, t->state.step);
}

/* Gradients of `accumulate` batches, then one update. */
static kr_status train_step(kr_train *t, double *loss, double *norm) {
    const kr_train_options *o = &t->opt;
    kr_params_zero_grad(t->model->params);
    kr_batch b;
    *loss = 0;
    for (int64_t a = 0; a < o->accumulate; a++) {
        int64_t batch = t->state.step * o->accumulate + a;
        KR_TRY(load_batch(t, t->graph, KR_SPLIT_TRAIN, batch, 0, &b));
        set_keys(t, batch);
        kr_graph_run(t->graph, KR_RUN_ALL);
        if (a + 1 < o->accumulate) *loss += loss_of(t);
    }
    /* on a device this queues behind the last batch before its loss is waited for */
    kr_adamw adamw = {.lr = learning_rate(t), .beta1 = o->beta1, .beta2 = o->beta2, .eps = o->eps, .weight_decay = o->weight_decay,
                      .step = t->state.step + 1, .n_threads = t->n_threads};
    KR_TRY(kr_adamw_clipped(t->model->params, &adamw, o->clip, norm));
    KR_TRY(kr_graph_wait(t->graph));
    *loss += loss_of(t);
    if (!isfinite(*loss)) return not_finite(t, "the loss");
    if (!isfinite(*norm)) return not_finite(t, "the gradient");
    t->lr = adamw.lr;
    t->state.step++;
    t->state.n_tok += t->info->S * t->info->L * o->accumulate;
    return KR_OK;
}

/* --- evaluation ---------------------------------------------------------------------------- */

static double bytes_of(const kr_source_info *info, const int32_t *targets) {
    double sum = 0;
    for (int64_t i = 0, n; i < info->S * info->L; i++)
        if (targets[i] >= 0 && targets[i] != info->end_id && kr_tokenizer_text(info->tokenizer, targets[i], &n)) sum += (double)n;
    return sum;
}

static kr_status score_split(kr_train *t, kr_split split, int64_t n, kr_score *s) {
    kr_batch b;
    if (t->info->carries) kr_graph_reset_states(t->eval, NULL);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t draw = t->draws.n; draw-- > 0;) {
            KR_TRY(load_batch(t, t->eval, split, i, draw, &b));
            kr_graph_run(t->eval, KR_RUN_FORWARD);
            kr_draws_add(&t->draws, t->eval, &b);
        }
        kr_score_add(s, t->eval, &b, t->info->S * kr_source_held_targets(t->info));
        if (t->info->tokenizer) s->bytes += bytes_of(t->info, b.targets);
    }
    return s->status;
}

/* The metric that a model is chosen by, and the others as members of JSON and as text. */
static double metrics_of(const kr_train *t, const kr_score *s, bool test, char *json, char *text, size_t size) {
    char name[24];
    json[0] = text[0] = 0;
    for (const char *p = t->info->more_metrics; p && *p; p += *p == ' ') {
        size_t n = strcspn(p, " "), used = strlen(json), shown = strlen(text);
        snprintf(name, sizeof name, "%.*s", (int)n, p);
        p += n;
        double x = kr_score_metric(s, name);
        if (!isfinite(x)) continue;
        snprintf(json + used, size - used, ", \"%s%s\": %.9g", test ? "test_" : "", name, x);
        snprintf(text + shown, size - shown, "  %s %.4f", name, x);
    }
    return kr_score_metric(s, t->info->metric);
}

static kr_status evaluate_split(kr_train *t, kr_split split, int64_t n) {
    kr_score s;
    char json[400], text[400];
    KR_TRY(kr_score_open(&s, t->info));
    kr_status st = score_split(t, split, n, &s);
    double loss = kr_score_loss(&s), metric = metrics_of(t, &s, split == KR_SPLIT_TEST, json, text, sizeof json);
    kr_score_close(&s);
    KR_TRY(st);
    bool test = split == KR_SPLIT_TEST;
    bool best = !test && !isnan(metric) && (t->state.best_step < 0 || kr_metric_is_better(t->info->metric, metric, t->state.best_metric));
    if (best) t->state.best_metric = metric, t->state.best_step = t->state.step;
    if (!test) t->last_metric = metric;
    t->best_unsaved |= best;
    kr_metrics_eval(&t->metrics, t->state.step, t->state.n_tok, test ? "test" : "eval", loss, t->info->metric, metric, json);
    kr_train_eval e = {.step = t->state.step, .n_tok = t->state.n_tok, .loss = loss, .metric = metric, .metric_name = t->info->metric, .best = best, .test = test, .more = text};
    if (t->hooks.eval) t->hooks.eval(t->hooks.user, &e);
    return KR_OK;
}

static kr_status evaluate(kr_train *t) {
    int64_t n = t->opt.eval_batches < t->info->eval_batches ? t->opt.eval_batches : t->info->eval_batches;
    return n > 0 ? evaluate_split(t, KR_SPLIT_EVAL, n) : KR_OK;
}

/* --- saving ---------------------------------------------------------------------------------- */

static kr_status save(kr_train *t) {
    const char *out = t->opt.out;
    t->state.seconds += kr_now() - t->clock;
    t->clock = kr_now();
    KR_TRY(kr_checkpoint_save(out, t->model, t->info->carries ? t->graph : NULL, &t->state));
    t->best_unsaved = false;
    t->saved_step = t->state.step;
    KR_TRY(kr_checkpoint_prune(out, t->opt.keep_checkpoints, t->state.best_step));
    KR_TRY(kr_model_save(t->model, out, t->model->params->matrix_dtype));
    return kr_metrics_chart(&t->metrics, out);
}

/* A disk that is full now may have room later: training goes on with its state in memory. */
static void try_save(kr_train *t) {
    char text[1200];
    if (save(t) == KR_OK) return;
    snprintf(text, sizeof text, "could not save a checkpoint at step %lld: %s. Training goes on and will try again; free some space",
             (long long)t->state.step, kr_error());
    say(t, text);
}

/* --- the loop --------------------------------------------------------------------------------- */

/* From here on the rate is measured. */
static void mark(kr_train *t) { t->mark = kr_now(), t->mark_tok = t->state.n_tok, t->mark_step = t->state.step; }

static void progress(kr_train *t, double loss, double norm) {
    double seconds = t->state.seconds + kr_now() - t->clock, span = kr_now() - t->mark;
    int64_t tokens = t->state.n_tok - t->mark_tok, steps = t->state.step - t->mark_step;
    double rate = span > 0 ? (double)tokens / span : 0;
    kr_train_progress p = {.step = t->state.step, .steps = t->state.steps, .loss = loss, .lr = t->lr, .grad_norm = norm,
                           .bits = t->info->vocab_size && t->info->n_targets && !t->info->n_classes ? loss / log(2) : NAN, .tokens_per_s = rate, .seconds = seconds,
                           .eta_s = steps > 0 ? (double)(t->state.steps - t->state.step) * span / (double)steps : 0, .n_tok = t->state.n_tok};
    kr_metrics_step(&t->metrics, &p);
    if (t->metrics.status != KR_OK && !t->metrics_lost) { /* once: the run itself is not harmed */
        t->metrics_lost = true;
        say(t, "metrics.jsonl could not be written, so lines of it are missing; training goes on");
    }
    if (t->hooks.progress) t->hooks.progress(t->hooks.user, &p);
    mark(t);
}

/* train.minutes: the first steps tell how many fit. */
static void set_steps_by_clock(kr_train *t) {
    enum { WARM = 3, TIMED = 8 };
    if (t->opt.minutes <= 0 || t->state.steps || t->state.step < WARM) return;
    if (t->timed_from == 0) t->timed_from = kr_now(), t->timed_step = t->state.step;
    if (t->state.step < t->timed_step + TIMED) return;
    double each = (kr_now() - t->timed_from) / TIMED, n = t->opt.minutes * 60 / each;
    t->state.steps = n > 2 * (WARM + TIMED) ? (int64_t)n : 2 * (WARM + TIMED);
}

static bool due(int64_t step, int64_t every) { return every > 0 && step % every == 0; }

static kr_status finish(kr_train *t) {
    if (t->evaluated_step != t->state.step) KR_TRY(evaluate(t));
    if (t->info->test_batches) KR_TRY(evaluate_split(t, KR_SPLIT_TEST, t->info->test_batches));
    return save(t);
}

kr_status kr_train_run(kr_train *t) {
    const kr_train_options *o = &t->opt;
    double loss, norm;
    if (o->minutes <= 0) t->state.steps = o->steps;
    t->clock = kr_now();
    mark(t);
    while (t->state.steps == 0 || t->state.step < t->state.steps) {
        KR_TRY(train_step(t, &loss, &norm));
        set_steps_by_clock(t);
        int64_t step = t->state.step, last = t->state.steps;
        bool end = last && step >= last;
        if (due(step, o->log_every) || end || step == 1) progress(t, loss, norm);
        if (due(step, o->eval_every) && !end) {
            KR_TRY(evaluate(t));
            t->evaluated_step = step;
            mark(t); /* the rate is of training alone */
        }
        if (due(step, o->sample_every) && !end && t->hooks.sample) t->hooks.sample(t->hooks.user, t->model, step), mark(t);
        if (t->stop && !end) {
            KR_TRY(save(t));
            KR_FAIL(KR_ERR_STOPPED, "stopped after step %lld; saved, and can be resumed", (long long)step);
        }
        if (!end && (due(step, o->checkpoint_every) || t->best_unsaved)) try_save(t), mark(t);
    }
    return finish(t);
}

void kr_train_stop(kr_train *t) { t->stop = 1; }
