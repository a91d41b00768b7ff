/* gradient_case.h - what checks of whole models share: gradients against central differences of the
 * loss, parameter by parameter, and a step of training whose bits are compared. */
#ifndef TESTS_GRADIENT_CASE_H
#define TESTS_GRADIENT_CASE_H
#include "model_case.h"

static double loss_of(kr_graph *g) {
    kr_graph_run(g, KR_RUN_FORWARD);
    return *(float *)kr_graph_data(g, "loss");
}

/* Moves p by h along d and back; the data is restored exactly. */
static double loss_at(kr_graph *g, kr_param *p, const float *saved, const float *d, double h) {
    int64_t n = kr_param_count(p);
    float *x = p->data;
    for (int64_t i = 0; i < n; i++) x[i] = (float)(saved[i] + h * d[i]);
    double y = loss_of(g);
    memcpy(x, saved, (size_t)n * sizeof *x);
    return y;
}

/* The loss is piecewise smooth only (a step size at its limit, the largest of a pool), so
 * one of three step sizes has to agree; a wrong gradient agrees with none. */
static void check_direction(const char *name, kr_graph *g, kr_param *p, const float *grad, uint64_t k) {
    int64_t n = kr_param_count(p);
    float *saved = kr_mem_array((size_t)n, sizeof *saved), *d = kr_mem_array((size_t)n, sizeof *d);
    kr_rng r = {k, kr_rng_stream(p->name), 0};
    double norm = 0, size = 0, want = 0, got = 0, rounding = 1e-6 * fmax(1, fabs(loss_of(g)));
    bool agreed = false;
    memcpy(saved, p->data, (size_t)n * sizeof *saved);
    for (int64_t i = 0; i < n; i++) {
        d[i] = (float)kr_rng_normal(&r);
        norm += (double)d[i] * d[i];
        size += (double)grad[i] * grad[i];
    }
    for (int64_t i = 0; i < n; i++) {
        d[i] = (float)(d[i] / sqrt(norm));
        want += (double)grad[i] * d[i];
    }
    for (double h = 0.03; h > 0.001 && !agreed; h /= 4) { /* fourth-order differences */
        got = (8 * (loss_at(g, p, saved, d, h) - loss_at(g, p, saved, d, -h)) - (loss_at(g, p, saved, d, 2 * h) - loss_at(g, p, saved, d, -2 * h))) / (12 * h);
        agreed = fabs(got - want) <= 0.01 * (fabs(want) + sqrt(size / (double)n)) + rounding / h;
    }
    if (!agreed) fail_msg("%s: the gradient of %s along direction %llu is %.6g, differences say %.6g", name, p->name, (unsigned long long)k, want, got);
    kr_mem_free(saved);
    kr_mem_free(d);
}

/* Of a training graph whose inputs are filled. */
static void check_gradients(const char *name, kr_model *m, kr_graph *g) {
    kr_params_zero_grad(m->params);
    kr_graph_run(g, KR_RUN_ALL);
    float *all = copy_gradients(m->params), *grad = all;
    for (kr_param *p = m->params->first; p; grad += kr_param_count(p), p = p->next) {
        bool any = false;
        for (int64_t i = 0; i < kr_param_count(p); i++) any |= grad[i] != 0;
        if (!any) fail_msg("%s: the gradient of %s is zero", name, p->name);
        for (uint64_t k = 0; k < 3; k++) check_direction(name, g, p, grad, k);
    }
    kr_mem_free(all);
}

/* Of a whole model, whose inputs `fill` draws; the bits do not depend on the threads. */
static inline void check_training(const char *name, kr_model *m, int64_t S, int64_t L, void (*fill)(kr_graph *g, uint64_t seed)) {
    float *first = NULL;
    for (int threads = 1; threads <= 3; threads++) {
        kr_graph *g = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_TRAIN, .S = S, .L = L, .n_threads = threads});
        fill(g, 3);
        if (threads == 1) check_gradients(name, m, g);
        kr_params_zero_grad(m->params);
        kr_graph_run(g, KR_RUN_ALL);
        float *all = copy_gradients(m->params);
        if (first) assert_memory_equal(all, first, (size_t)m->params->n_elements * sizeof *all), kr_mem_free(all);
        else first = all;
        kr_graph_free(g);
    }
    kr_mem_free(first);
}

typedef struct result { float loss, *grad; size_t block; } result;

static result train_once(kr_model *m, kr_model_graph_options o) {
    o.mode = KR_MODEL_TRAIN;
    kr_graph *g = graph_of(m, o);
    fill_inputs(m, g, o.S, o.L, 12);
    kr_params_zero_grad(m->params);
    kr_graph_run(g, KR_RUN_ALL);
    result r = {*(float *)kr_graph_data(g, "loss"), copy_gradients(m->params), kr_graph_get_memory(g).block};
    kr_graph_free(g);
    return r;
}

static bool same_bits(const kr_model *m, const result *a, const result *b) {
    return memcmp(&a->loss, &b->loss, sizeof a->loss) == 0 && memcmp(a->grad, b->grad, (size_t)m->params->n_elements * sizeof *a->grad) == 0;
}

/* A model of this config, S rows of L steps, against differences. */
static inline void check_model_gradients(const char *name, const char *config, int64_t S, int64_t L) {
    kr_model *m = model_of(config, 5);
    kr_graph *g = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_TRAIN, .S = S, .L = L});
    fill_inputs(m, g, S, L, 3);
    check_gradients(name, m, g);
    kr_graph_free(g);
    kr_model_release(m);
}

/* Recomputed, remade and with several threads a model's loss and gradients have the same bits. */
static inline void check_model_bits(const char *name, const char *config, int64_t L) {
    kr_model *m = model_of(config, 8);
    kr_model_graph_options o = {.S = 3, .L = L, .dropout = 0.2};
    result plain = train_once(m, o), other;
    for (int way = 0; way < 3; way++) {
        o.checkpoint = way == 0, o.remake = way == 1, o.n_threads = way == 2 ? 3 : 1;
        other = train_once(m, o);
        if (!same_bits(m, &plain, &other)) fail_msg("%s: %s changes bits", name, way == 0 ? "recomputing" : way == 1 ? "remaking" : "a number of threads");
        kr_mem_free(other.grad);
    }
    kr_mem_free(plain.grad);
    kr_model_release(m);
}
#endif
