/* bench_forward.c - the time of a batch through a model and nothing else: what a classifier does once it is trained. */
#include "model/bench_model.h"

enum { PROFILE_RUNS = 3 };

static void forward(void *arg) {
    kr_graph *g = arg;
    kr_graph_run(g, KR_RUN_FORWARD);
    kr_graph_wait(g);
}

static kr_status bench(kr_graph *g, const kr_model *m, const kr_bench_options *o, kr_bench_forward_result *r) {
    KR_TRY(kr_graph_alloc(g));
    kr_bench_fill_inputs(g, m->config.vocab_size);
    kr_graph_memory mem = kr_graph_get_memory(g);
    r->n_params = m->params->n_elements;
    r->bytes = (int64_t)(kr_params_bytes(m->params) + mem.block + mem.inputs);
    r->batch = kr_time_work(forward, g, o);
    kr_graph_set_profile(g, true);
    for (int i = 0; i < PROFILE_RUNS; i++) forward(g);
    r->n_parts = kr_bench_profile(g, PROFILE_RUNS, r->part, KR_BENCH_PARTS);
    for (int i = 0; i < r->n_parts; i++) r->flops += r->part[i].flops;
    return kr_graph_wait(g);
}

kr_status kr_bench_forward(kr_bench_forward_result *out, const char *path, int64_t S, int64_t L, const kr_bench_options *opt) {
    kr_bench_options o = kr_bench_defaults(opt);
    kr_model *m;
    kr_graph *g = NULL;
    KR_TRY(kr_bench_model_open(&m, path, false, &o));
    *out = (kr_bench_forward_result){.S = S, .L = kr_model_steps(m, L)};
    kr_model_graph_options go = {.mode = KR_MODEL_LAST, .S = S, .L = out->L, .n_threads = o.n_threads};
    kr_status st = kr_model_graph(m, &go, &g);
    if (st == KR_OK) st = bench(g, m, &o, out);
    kr_graph_free(g);
    kr_model_release(m);
    return st;
}
