/* bench_train.c - the time of a training step, whole and by parts. */

#include "model/bench_model.h"
#include "train/adamw.h"

enum { PROFILE_RUNS = 3 };

typedef struct trainer {
    kr_model *model;
    kr_graph *graph;
    int64_t step;
    int n_threads;
    bool timing;
    double norm;
    double zero_s, adamw_s; /* outside the graph; while timing */
} trainer;

static void train_step(void *arg) {
    trainer *t = arg;
    double a = kr_now();
    kr_params_zero_grad(t->model->params);
    double b = kr_now();
    kr_graph_run(t->graph, KR_RUN_ALL);
    double c = kr_now();
    kr_adamw o = {.lr = 1e-4, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1, .step = ++t->step, .n_threads = t->n_threads};
    kr_adamw_clipped(t->model->params, &o, 1, &t->norm);
    if (t->timing) t->zero_s += b - a, t->adamw_s += kr_now() - c;
}

static void profile(trainer *t, kr_bench_train_result *r) {
    kr_graph_set_profile(t->graph, true);
    t->timing = true;
    for (int i = 0; i < PROFILE_RUNS; i++) train_step(t);
    r->n_parts = kr_bench_profile(t->graph, PROFILE_RUNS, r->part, KR_BENCH_PARTS - 2);
    for (int i = 0; i < r->n_parts; i++) r->flops += r->part[i].flops;
    r->part[r->n_parts++] = (kr_bench_part){.what = "(norm and AdamW)", .seconds = t->adamw_s / PROFILE_RUNS, .calls = 1};
    r->part[r->n_parts++] = (kr_bench_part){
        .what = "(clear gradients)", .seconds = t->zero_s / PROFILE_RUNS, .calls = 1};
}

static kr_status bench(trainer *t, const kr_bench_options *opt, kr_bench_train_result *r) {
    KR_TRY(kr_graph_alloc(t->graph));
    kr_bench_fill_inputs(t->graph, t->model->config.vocab_size);
    kr_graph_memory m = kr_graph_get_memory(t->graph);
    r->n_params = t->model->params->n_elements;
    r->bytes = (int64_t)(kr_params_bytes(t->model->params) + kr_params_train_bytes(t->model->params) + m.block +
                         m.inputs + m.state);
    r->step = kr_time_work(train_step, t, opt);
    profile(t, r);
    return KR_OK;
}

kr_status kr_bench_train(kr_bench_train_result *out, const char *path, int64_t S, int64_t L, bool recompute,
                         const kr_bench_options *opt) {
    kr_bench_options o = kr_bench_defaults(opt);
    trainer t = {.n_threads = o.n_threads};
    KR_TRY(kr_bench_model_open(&t.model, path, true, &o));
    *out = (kr_bench_train_result){.S = S, .L = L = kr_model_steps(t.model, L)};
    kr_model_graph_options go = {
        .mode = KR_MODEL_TRAIN, .S = S, .L = L, .checkpoint = recompute, .remake_scans = o.remake_scans, .n_threads = o.n_threads};
    kr_status st = kr_model_graph(t.model, &go, &t.graph);
    if (st == KR_OK) st = bench(&t, &o, out);
    kr_graph_free(t.graph);
    kr_model_release(t.model);
    return st;
}
