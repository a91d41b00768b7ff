/* predict.c - a trained model's answers about files. */
#include "krait/predict.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/png.h"
#include "data/source.h"
#include "model/model.h"
#include "train/draws.h"
#include "train/fit.h"

typedef struct run {
    const kr_model *m;
    kr_source *source;
    const kr_source_info *info;
    kr_graph *g;
    kr_draws draws;
    kr_batch b;
    int32_t *targets, *cells;
    float *y, *scale, *values;
    const char **label;
    int64_t n, n_labels;       /* numbers of an answer; names */
} run;

/* The keys that the model was trained with, but for the paths. */
static kr_status open_source(run *r, const char *const *files, int n_files) {
    if (r->m->config.condition == &kr_part_condition_diffusion)
        KR_FAIL(KR_ERR_CONFIG, "this is a diffusion model: it says nothing of files, it draws pictures (krait sample)");
    const json_t *keys = json_object_get(r->m->preprocessor, "data");
    if (!json_is_object(keys)) KR_FAIL(KR_ERR_CONFIG, "this model does not say how files become its input: want preprocessor_config.json with \"data\" in its folder, as krait train writes it");
    json_t *data = json_deep_copy(keys), *paths = json_array();
    bool ok = data && paths && json_object_set_new(data, "paths", paths) == 0;
    for (int i = 0; i < n_files && ok; i++) ok = json_array_append_new(paths, json_string(files[i])) == 0;
    kr_source_options o = {.data = data, .S = 1, .fitted = r->m->preprocessor, .predict = true};
    kr_status st = ok ? kr_source_open(&r->source, &o) : kr_fail(KR_ERR_ARG, "out of memory, or a file's name is no UTF-8");
    json_decref(data);
    if (st == KR_OK) r->info = kr_source_get_info(r->source);
    return st;
}

static kr_status take_memory(run *r) {
    const kr_source_info *i = r->info;
    kr_model_graph_options o = {.mode = KR_MODEL_ALL, .S = 1, .L = i->L};
    KR_TRY(kr_model_graph((kr_model *)r->m, &o, &r->g));
    KR_TRY(kr_graph_alloc(r->g));
    const char *name = kr_graph_find(r->g, "logits") ? "logits" : "prediction";
    const kr_node *out = kr_graph_find(r->g, name);
    if (!out || (i->n_targets != 0) != (strcmp(name, "logits") == 0)) KR_FAIL(KR_ERR_CONFIG, "the model's head is \"%s\", which does not go with data of kind \"%s\"", r->m->config.head->name, i->kind);
    KR_TRY(kr_fit(r->m, r->g, i, 1, i->L)); /* the folder may have been edited */
    KR_TRY(kr_draws_open(&r->draws, i, r->g));
    r->n = 1;
    for (int k = 0; k < kr_node_dims(out); k++) r->n *= kr_node_dim(out, k);
    r->n_labels = i->yes_or_no ? i->n_targets : i->n_classes ? i->n_classes : r->n;
    size_t numbers = (size_t)(i->y_width + 1);
    r->targets = kr_mem_array((size_t)i->n_targets + 1, sizeof *r->targets), r->cells = kr_mem_array((size_t)i->n_targets + 1, sizeof *r->cells);
    r->y = kr_mem_array(numbers, sizeof *r->y), r->scale = kr_mem_array(numbers, sizeof *r->scale);
    r->values = kr_mem_array((size_t)r->n, sizeof *r->values), r->label = kr_mem_array((size_t)r->n_labels, sizeof *r->label);
    if (!r->targets || !r->cells || !r->y || !r->scale || !r->values || !r->label) return KR_ERR_NOMEM;
    for (int64_t k = 0; k < r->n_labels; k++) r->label[k] = kr_source_label(r->source, k);
    r->b = (kr_batch){.S = 1, .L = i->L, .ids = kr_graph_data(r->g, "ids"), .x = kr_graph_data(r->g, "x"), .len = kr_graph_data(r->g, "len"), .positions = kr_graph_data(r->g, "positions"),
                      .targets = r->targets, .place = r->draws.place, .y = r->y, .scale = r->scale,
                      .edge_from = kr_graph_data(r->g, "edge_from"), .edge_to = kr_graph_data(r->g, "edge_to"), .e = kr_graph_data(r->g, "e"), .ties = r->g};
    return KR_OK;
}

static int64_t largest(const float *x, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

static void softmax(const float *x, int64_t n, float *p) {
    double sum = 0, top = x[largest(x, n)];
    for (int64_t i = 0; i < n; i++) sum += exp(x[i] - top);
    for (int64_t i = 0; i < n; i++) p[i] = (float)(exp(x[i] - top) / sum);
}

static kr_status answer(run *r, int64_t step, kr_answer_fn *f, void *user) {
    const kr_source_info *i = r->info;
    int64_t n_told = kr_source_held_targets(i);
    const float *out = kr_graph_data(r->g, n_told ? "logits" : "prediction");
    char name[4096] = "";
    kr_source_name(r->source, KR_SPLIT_EVAL, step, 0, name, sizeof name);
    kr_answer a = {.name = name, .label = r->label[0] ? r->label : NULL, .n = r->n, .values = r->values, .n_classes = i->n_classes};
    if (i->yes_or_no) {
        for (int64_t q = 0; q < n_told; q++) r->values[q] = (float)(1 / (1 + exp((double)out[2 * q] - out[2 * q + 1])));
        a.kind = KR_ANSWER_NUMBERS, a.n = n_told; /* how probable a yes is */
    } else if (n_told > 1) {
        int64_t V = r->n / n_told;
        for (int64_t c = 0; c < n_told; c++) r->targets[c] = (int32_t)largest(out + c * V, V);
        n_told = kr_source_cells(r->source, KR_SPLIT_EVAL, step, 0, r->targets, r->cells);
        a.kind = KR_ANSWER_CELLS, a.cells = r->cells, a.n = n_told, a.values = NULL;
        a.H = i->H ? i->H : 1, a.W = n_told / a.H;
    } else if (n_told) {
        softmax(out, r->n, r->values);
        a.kind = i->n_classes ? KR_ANSWER_CLASS : KR_ANSWER_RANKED, a.best = largest(out, r->n);
    } else {
        memcpy(r->values, out, (size_t)r->n * sizeof *out);
        kr_source_restore(r->source, KR_SPLIT_EVAL, step, 0, r->values);
        a.kind = KR_ANSWER_NUMBERS;
    }
    return f(user, &a);
}

static kr_status answer_all(run *r, kr_answer_fn *f, void *user) {
    for (int64_t step = 0; step < r->info->eval_batches; step++) {
        for (int64_t draw = r->draws.n; draw-- > 0;) {
            r->b.draw = draw;
            KR_TRY(kr_source_batch(r->source, KR_SPLIT_EVAL, step, &r->b));
            kr_graph_run(r->g, KR_RUN_FORWARD);
            kr_draws_add(&r->draws, r->g, &r->b);
        }
        KR_TRY(answer(r, step, f, user));
    }
    return KR_OK;
}

kr_status kr_predict(const kr_model *m, const char *const *files, int n_files, kr_answer_fn *f, void *user) {
    run r = {.m = m};
    kr_status st = open_source(&r, files, n_files);
    if (st == KR_OK) st = take_memory(&r);
    if (st == KR_OK) st = answer_all(&r, f, user);
    kr_graph_free(r.g);
    kr_draws_close(&r.draws);
    kr_source_close(r.source);
    kr_mem_free(r.targets), kr_mem_free(r.cells), kr_mem_free(r.y), kr_mem_free(r.scale), kr_mem_free(r.values), kr_mem_free(r.label);
    return st;
}

kr_status kr_png_write(const char *path, int64_t H, int64_t W, const uint8_t *grey) { return kr_png_save(path, W, H, 1, grey); }
