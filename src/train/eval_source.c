/* eval_source.c - a trained model on a task, at any length in the same memory.
 *
 * A row is read in windows whose states carry, so 2^20 steps take no more activations than
 * 2^11.  Models that look ahead, and answers about a whole row, take it in one piece.  Held-out
 * examples (set.h) are scored all, or as many as are asked for. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/timing.h"
#include "data/source.h"
#include "krait/train.h"
#include "model/model.h"
#include "train/draws.h"
#include "train/fit.h"
#include "train/options.h"
#include "train/noise.h"
#include "train/score.h"

enum { DEFAULT_ROWS = 256, WINDOW = 2048 }; /* steps of all rows together that one run of the graph takes */

typedef struct run {
    const kr_model *m;
    kr_source *source;
    kr_graph *g;
    kr_diffusion *diffusion;
    kr_draws draws;
    kr_batch b;
    int64_t S, L, W;      /* rows at once, steps of a row, steps of a window */
    int32_t *targets;     /* of a window, [S, W] */
    float *y, *scale;
    bool tokens, examples, logits;
    kr_split split;
} run;

/* Sources of files are read once more, with as many rows a batch as memory likes. */
static kr_status open_examples(run *r, kr_source_options *o, int64_t rows, int64_t *n_batches) {
    enum { NUMBERS = 1 << 18 };
    const kr_source_info *i = kr_source_get_info(r->source);
    int64_t n = r->split == KR_SPLIT_TEST ? i->n_test : i->n_eval, each = i->L * (i->vocab_size ? 16 : i->x_width);
    if (n == 0) KR_FAIL(KR_ERR_MISSING, "data: there are no examples to %s; name data.%s_paths or set data.%s_fraction", r->split == KR_SPLIT_TEST ? "test on" : "score on",
                        r->split == KR_SPLIT_TEST ? "test" : "eval", r->split == KR_SPLIT_TEST ? "test" : "eval");
    if (rows == 0 || rows > n) rows = n;
    r->L = i->L;
    r->S = NUMBERS / each < 1 ? 1 : NUMBERS / each > 64 ? 64 : NUMBERS / each;
    if (r->S > rows) r->S = rows;
    *n_batches = (rows + r->S - 1) / r->S;
    kr_source_close(r->source), r->source = NULL;
    o->S = r->S;
    return kr_source_open(&r->source, o);
}

/* `rows` rows are scored whatever the length, so the source is asked for enough batches. */
static kr_status open_source(run *r, const json_t *data, int64_t rows, int64_t *n_batches) {
    kr_source_options o = {.data = data, .S = 1, .fitted = r->m->preprocessor};
    KR_TRY(kr_source_open(&r->source, &o));
    const kr_source_info *i = kr_source_get_info(r->source);
    r->examples = i->n_train + i->n_eval + i->n_test > 0;
    if (r->examples) return open_examples(r, &o, rows, n_batches);
    if (r->split == KR_SPLIT_TEST) KR_FAIL(KR_ERR_MISSING, "data.kind is \"%s\", which has no examples to test on", i->kind);
    if (rows == 0) rows = DEFAULT_ROWS;
    if (i->text) KR_FAIL(KR_ERR_ARG, "data.kind is \"text\", want a task; kr_eval_text scores texts");
    r->L = i->L;
    r->S = WINDOW / r->L > 1 ? WINDOW / r->L : 1;
    if (r->S > rows) r->S = rows;
    *n_batches = (rows + r->S - 1) / r->S;
    json_t *more = json_deep_copy(data);
    if (!more || json_object_set_new(more, "eval_batches", json_integer(*n_batches)) != 0) {
        json_decref(more);
        KR_FAIL(KR_ERR_NOMEM, "out of memory for the task");
    }
    kr_source_close(r->source), r->source = NULL;
    o.data = more, o.S = r->S;
    kr_status st = kr_source_open(&r->source, &o);
    json_decref(more);
    return st;
}

static kr_status check(run *r) {
    const kr_source_info *i = kr_source_get_info(r->source);
    const kr_config *c = &r->m->config;
    r->tokens = i->vocab_size > 0, r->logits = strcmp(i->metric, "bits_per_byte") != 0 && strcmp(i->metric, "perplexity") != 0;
    if (r->tokens != (strcmp(c->encoder->name, "token") == 0))
        KR_FAIL(KR_ERR_CONFIG, "the model's encoder is \"%s\", but the data \"%s\" gives %s", c->encoder->name, i->kind, r->tokens ? "tokens" : "numbers");
    if (r->tokens && i->vocab_size > c->vocab_size)
        KR_FAIL(KR_ERR_CONFIG, "the model's vocab_size is %lld, but the data \"%s\" has %lld ids", (long long)c->vocab_size, i->kind, (long long)i->vocab_size);
    bool windows = r->tokens && !r->examples && c->causal && c->head->causal;
    r->W = windows && r->L > WINDOW ? WINDOW : r->L;
    return KR_OK;
}

/* Rows in one piece: inputs are the graph's, answers ours unless its loss reads them. */
static kr_status take_rows(run *r, const kr_source_info *i) {
    kr_batch *b = &r->b;
    size_t numbers = (size_t)(r->S * (i->y_width + 1));
    b->ids = kr_graph_data(r->g, "ids"), b->x = kr_graph_data(r->g, "x"), b->targets = kr_graph_data(r->g, "targets"), b->y = kr_graph_data(r->g, "y");
    b->classes = kr_graph_data(r->g, "class"), b->len = kr_graph_data(r->g, "len"), b->positions = kr_graph_data(r->g, "positions"), b->scale = kr_graph_data(r->g, "scale");
    b->edge_from = kr_graph_data(r->g, "edge_from"), b->edge_to = kr_graph_data(r->g, "edge_to"), b->e = kr_graph_data(r->g, "e"), b->ties = r->g;
    r->targets = kr_mem_array((size_t)(r->S * (i->n_targets + 1)), sizeof *r->targets);
    r->y = kr_mem_array(numbers, sizeof *r->y), r->scale = kr_mem_array(numbers, sizeof *r->scale);
    if (!r->targets || !r->y || !r->scale) return KR_ERR_NOMEM;
    for (size_t k = 0; k < numbers; k++) r->scale[k] = 1;
    if (!b->targets) b->targets = r->targets;
    if (!b->y) b->y = r->y;
    if (!b->scale) b->scale = r->scale;
    const char *head = r->m->config.head->name;
    if (!b->x && !r->tokens) KR_FAIL(KR_ERR_CONFIG, "the model's encoder is \"%s\", but the data \"%s\" gives numbers", r->m->config.encoder->name, i->kind);
    if (!kr_graph_data(r->g, i->n_targets ? r->logits ? "logits" : "nll" : "prediction"))
        KR_FAIL(KR_ERR_CONFIG, "the model's head is \"%s\", but the data \"%s\" wants %s", head, i->kind, i->n_targets ? "classes" : "numbers");
    KR_TRY(kr_fit(r->m, r->g, i, r->S, r->W));
    KR_TRY(kr_draws_open(&r->draws, i, r->g));
    b->place = r->draws.place;
    return KR_OK;
}

static kr_status take_memory(run *r) {
    const kr_source_info *i = kr_source_get_info(r->source);
    kr_model_graph_options o = {.mode = r->logits ? KR_MODEL_ALL : KR_MODEL_LOSS, .S = r->S, .L = r->W, .stateful = r->W < r->L};
    KR_TRY(kr_model_graph((kr_model *)r->m, &o, &r->g));
    KR_TRY(kr_graph_alloc(r->g));
    KR_TRY(kr_diffusion_of(&r->diffusion, &r->m->config));
    r->b = (kr_batch){.S = r->S, .L = r->L};
    if (!r->tokens || r->examples) return take_rows(r, i);
    if (!kr_graph_data(r->g, "logits")) KR_FAIL(KR_ERR_CONFIG, "the model's head is \"%s\", but the data \"%s\" wants tokens", r->m->config.head->name, i->kind);
    KR_TRY(kr_fit(r->m, r->g, i, r->S, r->W));
    size_t n = (size_t)(r->S * r->L);
    r->b.ids = kr_mem_array(n, sizeof *r->b.ids), r->b.targets = kr_mem_array(n, sizeof *r->b.targets);
    r->targets = kr_mem_array((size_t)(r->S * r->W), sizeof *r->targets);
    return r->b.ids && r->b.targets && r->targets ? KR_OK : KR_ERR_NOMEM;
}

/* Past the end of the row nothing is scored. */
static void run_window(run *r, int64_t at, kr_score *s) {
    int32_t *ids = kr_graph_data(r->g, "ids");
    for (int64_t i = 0; i < r->S; i++)
        for (int64_t l = 0; l < r->W; l++) {
            bool inside = at + l < r->L;
            ids[i * r->W + l] = inside ? r->b.ids[i * r->L + at + l] : 0;
            r->targets[i * r->W + l] = inside ? r->b.targets[i * r->L + at + l] : -1;
        }
    kr_batch b = {.S = r->S, .L = r->W, .targets = r->targets, .n_rows = r->S};
    kr_graph_run(r->g, KR_RUN_FORWARD);
    kr_score_add(s, r->g, &b, r->S * r->W);
}

/* Batch i in one piece; of several draws the mean. */
static kr_status score_rows(run *r, int64_t i, kr_score *s) {
    for (int64_t draw = r->draws.n; draw-- > 0;) {
        r->b.draw = draw;
        KR_TRY(kr_source_batch(r->source, r->split, i, &r->b));
        kr_noise_rows(r->diffusion, r->g, &r->b, 0, r->split, i);
        kr_graph_run(r->g, KR_RUN_FORWARD);
        kr_draws_add(&r->draws, r->g, &r->b);
    }
    kr_score_add(s, r->g, &r->b, r->S * kr_source_held_targets(kr_source_get_info(r->source)));
    return KR_OK;
}

static kr_status score_batches(run *r, int64_t n, kr_score *s) {
    for (int64_t i = 0; i < n; i++) {
        if (!r->tokens || r->examples) {
            KR_TRY(score_rows(r, i, s));
            continue;
        }
        KR_TRY(kr_source_batch(r->source, r->split, i, &r->b));
        kr_graph_reset_states(r->g, NULL);
        for (int64_t at = 0; at < r->L; at += r->W) run_window(r, at, s);
    }
    return KR_OK;
}

static void more_metrics(const kr_score *s, const char *names, kr_eval_source_result *out) {
    for (const char *p = names; p && *p && out->n_more < KR_MORE_METRICS; p += *p == ' ') {
        size_t n = strcspn(p, " ");
        snprintf(out->more_name[out->n_more], sizeof out->more_name[0], "%.*s", (int)n, p);
        out->more[out->n_more] = kr_score_metric(s, out->more_name[out->n_more]);
        out->n_more++;
        p += n;
    }
}

static kr_status eval_data(run *r, const json_t *data, int64_t rows, kr_eval_source_result *out) {
    int64_t n = 0;
    if (!data) KR_FAIL(KR_ERR_CONFIG, "the recipe has no data, want data.kind");
    KR_TRY(open_source(r, data, rows, &n));
    KR_TRY(check(r));
    KR_TRY(take_memory(r));
    const kr_source_info *i = kr_source_get_info(r->source);
    double t0 = kr_now();
    kr_score s;
    KR_TRY(kr_score_open(&s, i));
    kr_status st = score_batches(r, n, &s);
    int64_t n_rows = n * r->S, held = r->split == KR_SPLIT_TEST ? i->n_test : i->n_eval;
    *out = (kr_eval_source_result){.L = r->L, .n_rows = r->examples && n_rows > held ? held : n_rows, .loss = kr_score_loss(&s), .metric = kr_score_metric(&s, i->metric), .seconds = kr_now() - t0};
    snprintf(out->metric_name, sizeof out->metric_name, "%s", i->metric); /* the source is closed before the result is read */
    more_metrics(&s, i->more_metrics, out);
    out->n_scored = i->n_targets ? (int64_t)s.n : out->n_rows;
    snprintf(out->data, sizeof out->data, "%s", i->about);
    kr_score_close(&s);
    return st;
}

kr_status kr_eval_source(const kr_model *m, const char *recipe_json, int64_t rows, bool test, kr_eval_source_result *out) {
    json_t *recipe;
    run r = {.m = m, .split = test ? KR_SPLIT_TEST : KR_SPLIT_EVAL};
    if (rows < 0) KR_FAIL(KR_ERR_ARG, "%lld rows, want at least 1, or 0 for all", (long long)rows);
    KR_TRY(kr_json_parse(&recipe, recipe_json, strlen(recipe_json), "recipe"));
    kr_status st = eval_data(&r, json_object_get(recipe, "data"), rows, out);
    kr_graph_free(r.g);
    kr_draws_close(&r.draws);
    kr_diffusion_free(r.diffusion);
    if (r.tokens && !r.examples) kr_mem_free(r.b.ids), kr_mem_free(r.b.targets);
    kr_mem_free(r.targets), kr_mem_free(r.y), kr_mem_free(r.scale);
    kr_source_close(r.source);
    json_decref(recipe);
    return st;
}
