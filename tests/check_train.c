/* check_train.c - training: the same bits on any number of threads and after any stop, the
 * optimiser and the schedules against their formulas, initialisation as published. */
#include "model/safetensors.h"
#include "train/adamw.h"
#include "train/options.h"
#include "train_case.h"

/* --- runs --------------------------------------------------------------------------------- */

/* A small run of 12 steps; `model`, `data` and `train` are more members, in single quotes. */
static char *recipe_of(const char *out, const char *model, const char *data, const char *train) {
    static char text[4000];
    const char *const more[3] = {model, data, train}, *const names[3] = {"model", "data", "train"};
    json_t *j = json_of("{'model': {'model_type': 'krait', 'd_model': 12, 'n_layer': 2}, 'data': {'kind': 'text'},"
                        " 'train': {'steps': 12, 'batch_size': 2, 'seq_len': 24, 'warmup_steps': 3, 'log_every': 1, 'eval_every': 5,"
                        " 'eval_batches': 2, 'checkpoint_every': 4, 'lr': 0.01}}");
    json_object_set_new(json_object_get(j, "data"), "paths", json_string(text_file()));
    json_object_set_new(json_object_get(j, "train"), "out", json_string(out));
    for (int i = 0; i < 3; i++) {
        snprintf(text, sizeof text, "{%s}", more[i]);
        json_t *o = json_of(text);
        json_object_update(json_object_get(j, names[i]), o);
        json_decref(o);
    }
    size_t n = json_dumpb(j, text, sizeof text - 1, 0);
    assert_true(n > 0 && n < sizeof text);
    text[n] = 0;
    json_decref(j);
    return text;
}

static bool same_run_file(const char *a, const char *b, const char *name) {
    char x[200], y[200];
    snprintf(x, sizeof x, "%s/%s", a, name);
    snprintf(y, sizeof y, "%s/%s", b, name);
    return same_file(x, y);
}

static void same_result(const char *what, const char *a, const char *b) {
    static const char *const files[] = {"model.safetensors", "config.json", "checkpoints/000000012/optimizer.safetensors"};
    for (int i = 0; i < 3; i++)
        if (!same_run_file(a, b, files[i])) fail_msg("%s: %s has other bytes", what, files[i]);
}

#define M1 "'mixer': {'type': 'mamba1', 'd_state': 3}"
#define M2 "'mixer': {'type': 'mamba2', 'd_state': 4, 'headdim': 6}"
#define M2_LEARNT "'mixer': {'type': 'mamba2', 'd_state': 4, 'headdim': 6, 'learnable_init_states': true}"
static const struct { const char *name, *model, *data, *train; } runs[] = {
    {"mamba1", M1, "", ""},
    {"mamba2", M2, "'mode': 'packed'", ""},
    {"carry", M1, "'mode': 'carry'", ""},
    {"carry, documents", M2, "'mode': 'carry', 'separator': '. '", "'accumulate': 2"},
    {"learnt states", M2_LEARNT, "'mode': 'packed'", ""},
    {"carry, learnt states", M2_LEARNT, "'mode': 'carry'", ""},
    {"bfloat16", M2, "", "'dtype': 'bfloat16'"},
    {"bfloat16, carry, dropout", M1, "'mode': 'carry'", "'dtype': 'bfloat16', 'dropout': 0.2"},
    {"dropout, accumulate", M1, "'separator': '. '", "'dropout': 0.2, 'accumulate': 2"},
    {"recompute, wsd", M2, "", "'recompute': true, 'schedule': 'wsd', 'dropout': 0.1"},
    {"s4d", "'mixer': {'type': 's4d', 'd_state': 4}", "", "'schedule': 'linear'"},
};
enum { N_RUNS = sizeof runs / sizeof *runs };

static void test_threads(void **state) {
    (void)state;
    for (int i = 0; i < N_RUNS; i++) {
        watch w[3] = {{0}};
        const char *out[3];
        for (int k = 0; k < 3; k++) {
            char train[200];
            snprintf(train, sizeof train, "%s%s'threads': %d", runs[i].train, *runs[i].train ? ", " : "", k + 1);
            out[k] = new_folder();
            if (watch_run(recipe_of(out[k], runs[i].model, runs[i].data, train), false, &w[k]) != KR_OK) fail_msg("%s: %s", runs[i].name, kr_error());
            assert_memory_equal(w[k].loss, w[0].loss, sizeof w[0].loss);
            same_result(runs[i].name, out[k], out[0]);
        }
        if (!(w[0].loss[12] < w[0].loss[1])) fail_msg("%s: the loss went from %g to %g", runs[i].name, w[0].loss[1], w[0].loss[12]);
        for (int k = 0; k < 3; k++) kr_dir_remove(out[k]);
    }
}

/* The numbers of each step in metrics.jsonl, without rates and times. */
static void read_metrics(const char *out, double value[64][3]) {
    char path[200];
    void *data;
    size_t n;
    memset(value, 0, 64 * sizeof *value);
    snprintf(path, sizeof path, "%s/metrics.jsonl", out);
    if (kr_file_read(&data, &n, path) != KR_OK) fail_msg("%s", kr_error());
    for (char *p = data, *stop; (stop = strchr(p, '\n')); p = stop + 1) {
        json_t *j;
        assert_int_equal(kr_json_parse(&j, p, (size_t)(stop - p), path), KR_OK);
        int64_t step = json_integer_value(json_object_get(j, "step"));
        assert_in_range(step, 1, 63);
        static const char *const names[] = {"loss", "grad_norm", "eval_loss"};
        for (int k = 0; k < 3; k++) {
            const json_t *v = json_object_get(j, names[k]);
            if (v && value[step][k] != 0) fail_msg("step %d has its %s twice", (int)step, names[k]);
            if (v) value[step][k] = json_number_value(v);
        }
        json_decref(j);
    }
    kr_mem_free(data);
}

static void test_resume(void **state) {
    (void)state;
    kr_rng r = {4, 5, 0};
    for (int i = 0; i < N_RUNS; i++)
        for (int again = 0; again < 2; again++) {
            watch straight = {0}, w = {0};
            const char *a = new_folder(), *b = new_folder();
            double want[64][3], got[64][3];
            char train[200];
            snprintf(train, sizeof train, "%s%s'threads': 1", runs[i].train, *runs[i].train ? ", " : "");
            if (watch_run(recipe_of(a, runs[i].model, runs[i].data, train), false, &straight) != KR_OK) fail_msg("%s: %s", runs[i].name, kr_error());
            w.stop_at = 1 + kr_rng_below(&r, 5);
            kr_status st = watch_run(recipe_of(b, runs[i].model, runs[i].data, train), false, &w);
            while (st == KR_ERR_STOPPED) {
                assert_non_null(strstr(kr_error(), "can be resumed"));
                w.stop_at += 1 + kr_rng_below(&r, 5);
                st = watch_run(recipe_of(b, runs[i].model, runs[i].data, train), true, &w);
            }
            if (st != KR_OK) fail_msg("%s: %s", runs[i].name, kr_error());
            assert_memory_equal(w.loss, straight.loss, sizeof w.loss);
            same_result(runs[i].name, b, a);
            read_metrics(a, want);
            read_metrics(b, got);
            if (memcmp(want, got, sizeof want)) fail_msg("%s: metrics.jsonl tells another story", runs[i].name);
            kr_dir_remove(a);
            kr_dir_remove(b);
        }
}

/* A stop at the last step is no stop: the run is over. */
static void test_stop_at_the_end(void **state) {
    (void)state;
    watch w = {.stop_at = 12};
    const char *out = new_folder();
    assert_int_equal(watch_run(recipe_of(out, M1, "", ""), false, &w), KR_OK);
    kr_dir_remove(out);
}

static int64_t step_of_the_best(const char *out) {
    double v[64][3];
    int64_t best = -1;
    read_metrics(out, v);
    for (int64_t i = 1; i < 64; i++)
        if (v[i][2] != 0 && (best < 0 || v[i][2] < v[best][2])) best = i;
    return best;
}

/* Eight steps that learn and six that ruin it: the eighth stays the best. */
static void test_checkpoints_kept(void **state) {
    static const char *const want[] = {"000000008", "000000012", "000000013", "000000014"};
    (void)state;
    watch w = {0};
    const char *out = new_folder();
    char dir[200];
    kr_file_list list = {0};
    if (watch_run(recipe_of(out, M1, "", "'steps': 8, 'eval_every': 4, 'keep_checkpoints': 3"), false, &w) != KR_OK ||
        watch_run(recipe_of(out, M1, "", "'steps': 14, 'eval_every': 2, 'checkpoint_every': 1, 'keep_checkpoints': 3, 'lr': 5, 'schedule': 'constant'"), true, &w) != KR_OK)
        fail_msg("%s", kr_error());
    assert_int_equal(step_of_the_best(out), 8);
    snprintf(dir, sizeof dir, "%s/checkpoints", out);
    assert_int_equal(kr_dir_list(&list, dir, KR_LIST_DIRS), KR_OK);
    assert_int_equal(list.n, 4);
    for (int i = 0; i < 4; i++) assert_string_equal(list.name[i], want[i]);
    kr_file_list_free(&list);
    kr_dir_remove(out);
}

static void test_runs_are_guarded(void **state) {
    (void)state;
    watch w = {0};
    const char *out = new_folder();
    assert_int_equal(watch_run(recipe_of(out, M1, "", ""), true, &w), KR_ERR_MISSING);
    assert_non_null(strstr(kr_error(), out));
    assert_int_equal(watch_run(recipe_of(out, M1, "", ""), false, &w), KR_OK);
    assert_int_equal(watch_run(recipe_of(out, M1, "", ""), false, &w), KR_ERR_CONFIG);
    assert_non_null(strstr(kr_error(), "train.overwrite=true"));
    assert_int_equal(watch_run(recipe_of(out, M1, "", "'overwrite': true"), false, &w), KR_OK);
    assert_int_equal(watch_run(recipe_of(out, M2, "", ""), true, &w), KR_ERR_CONFIG); /* another model than the checkpoint's */
    /* more steps than before: goes on */
    memset(&w, 0, sizeof w);
    assert_int_equal(watch_run(recipe_of(out, M1, "", "'steps': 15") , true, &w), KR_OK);
    assert_true(w.loss[12] == 0 && w.loss[13] > 0 && w.loss[15] > 0);
    kr_dir_remove(out);
}

static void test_not_finite(void **state) {
    (void)state;
    watch w = {0};
    const char *out = new_folder();
    assert_int_equal(watch_run(recipe_of(out, M1, "", "'lr': 1000, 'clip': 0, 'warmup_steps': 0, 'steps': 60"), false, &w), KR_ERR_NUMERIC);
    int step = 0;
    const char *at = strstr(kr_error(), "step ");
    if (!at || sscanf(at, "step %d:", &step) != 1 || step < 2 || step > 60) fail_msg("said: %s", kr_error());
    if (!strstr(kr_error(), "not finite") || !strstr(kr_error(), "train.lr")) fail_msg("said: %s", kr_error());
    kr_dir_remove(out);
}

/* --- formulas ------------------------------------------------------------------------------- */

static void near(double got, double want) {
    if (!(fabs(got - want) <= 1e-12 * fmax(1, fabs(want)))) fail_msg("%.17g, want %.17g", got, want);
}

static void test_schedules(void **state) {
    (void)state;
    kr_train_options o = {.steps = 1000, .warmup_steps = 100, .lr = 1e-3, .min_lr = 1e-5, .decay_fraction = 0.2};
    for (o.schedule = KR_SCHEDULE_COSINE; o.schedule <= KR_SCHEDULE_WSD; o.schedule++) {
        near(kr_train_lr(&o, 0), 1e-5);
        near(kr_train_lr(&o, 49), 5e-4);
        near(kr_train_lr(&o, 99), 1e-3);
        near(kr_train_lr(&o, 100), 1e-3);
        for (int64_t i = 101; i < 1000; i++) assert_true(kr_train_lr(&o, i) <= kr_train_lr(&o, i - 1) && kr_train_lr(&o, i) >= o.min_lr);
    }
    o.schedule = KR_SCHEDULE_COSINE;
    near(kr_train_lr(&o, 550), (1e-3 + 1e-5) / 2);
    near(kr_train_lr(&o, 1000), 1e-5);
    near(kr_train_lr(&o, 325), 1e-5 + (1e-3 - 1e-5) * 0.5 * (1 + sqrt(0.5)));
    o.schedule = KR_SCHEDULE_LINEAR;
    near(kr_train_lr(&o, 550), (1e-3 + 1e-5) / 2);
    near(kr_train_lr(&o, 1000), 1e-5);
    o.schedule = KR_SCHEDULE_CONSTANT;
    near(kr_train_lr(&o, 999), 1e-3);
    o.schedule = KR_SCHEDULE_WSD;
    near(kr_train_lr(&o, 799), 1e-3);
    near(kr_train_lr(&o, 900), (1e-3 + 1e-5) / 2);
    near(kr_train_lr(&o, 1000), 1e-5);
    o.warmup_steps = 0;
    near(kr_train_lr(&o, 0), 1e-3);
    o.steps = 10, o.warmup_steps = 100; /* a short run warms up for half of it */
    near(kr_train_lr(&o, 0), 2e-4);
    near(kr_train_lr(&o, 4), 1e-3);
}

static bool ends_with(const char *name, const char *end) {
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* Written out once more, from what the papers' code excludes. */
static bool decays(const char *name) {
    static const char *const no[] = {"A_log", ".D", "dt_bias", ".bias", "norm.weight", "norm_f.weight", "init_states", "A_imag", "log_dt", "C_real", "C_imag", NULL};
    static const char *const yes[] = {"conv1d.weight", "in_proj.weight", "x_proj.weight", "dt_proj.weight", "out_proj.weight", "embeddings.weight",
                                      "lm_head.weight", "encoder.weight", "head.weight", NULL};
    for (int i = 0; no[i]; i++)
        if (ends_with(name, no[i])) return false;
    for (int i = 0; yes[i]; i++)
        if (ends_with(name, yes[i])) return true;
    fail_msg("%s is on neither list", name);
    return false;
}

static const char *const zoo[] = {
    "{'model_type': 'krait', 'd_model': 12, 'n_layer': 2, 'vocab_size': 11, 'tie_embeddings': false, " M1 "}",
    ("{'model_type': 'krait', 'd_model': 12, 'n_layer': 1, 'vocab_size': 11, 'mixer': {'type': 'mamba2', 'd_state': 4, 'headdim': 6, 'bias': true,"
     " 'learnable_init_states': true}}"),
    "{'model_type': 'krait', 'd_model': 12, 'n_layer': 1, 'encoder': {'type': 'linear', 'width': 3}, 'head': {'type': 'regress'}, 'mixer': {'type': 's4d'}}",
};

static void test_adamw(void **state) {
    (void)state;
    for (size_t z = 0; z < sizeof zoo / sizeof *zoo; z++) {
        kr_model *m = model_of(zoo[z], 3);
        int64_t n = m->params->n_elements;
        double *x = kr_mem_array((size_t)n, sizeof *x), *mo = kr_mem_array((size_t)n, sizeof *x), *v = kr_mem_array((size_t)n, sizeof *x);
        int64_t at = 0;
        for (const kr_param *p = m->params->first; p; p = p->next)
            for (int64_t i = 0; i < kr_param_count(p); i++) x[at++] = ((float *)p->data)[i];
        for (int step = 1; step <= 5; step++) {
            kr_adamw a = {.lr = 0.01 * step, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1, .scale = step == 3 ? 0.5 : 1, .step = step, .n_threads = 1};
            double norm = 0;
            at = 0;
            for (kr_param *p = m->params->first; p; p = p->next) {
                kr_rng r = {(uint64_t)step, kr_rng_stream(p->name), 0};
                for (int64_t i = 0; i < kr_param_count(p); i++, at++) {
                    p->grad[i] = (float)kr_rng_normal(&r);
                    norm += (double)p->grad[i] * p->grad[i];
                    double g = p->grad[i] * a.scale;
                    mo[at] = 0.9 * mo[at] + 0.1 * g;
                    v[at] = 0.95 * v[at] + 0.05 * g * g;
                    double up = mo[at] / (1 - pow(0.9, step)) / (sqrt(v[at] / (1 - pow(0.95, step))) + 1e-8);
                    x[at] -= a.lr * (up + (decays(p->name) ? 0.1 * x[at] : 0));
                }
            }
            near(kr_grad_norm(m->params, 2), sqrt(norm));
            kr_adamw_step(m->params, &a);
        }
        at = 0;
        for (const kr_param *p = m->params->first; p; p = p->next)
            for (int64_t i = 0; i < kr_param_count(p); i++, at++) {
                double got = ((float *)p->data)[i];
                if (!(fabs(got - x[at]) <= 2e-6 * fmax(1, fabs(x[at])))) fail_msg("%s[%lld] is %.9g, want %.9g", p->name, (long long)i, got, x[at]);
            }
        kr_mem_free(x);
        kr_mem_free(mo);
        kr_mem_free(v);
        kr_model_release(m);
    }
}

/* --- initialisation --------------------------------------------------------------------------- */

typedef struct spread { double min, max, mean, std; } spread;

static spread of(const kr_model *m, const char *name) {
    const kr_param *p = kr_params_find(m->params, name);
    if (!p) fail_msg("there is no %s", name);
    int64_t n = kr_param_count(p);
    spread s = {.min = 1e30, .max = -1e30};
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) {
        double x = ((float *)p->data)[i];
        s.min = fmin(s.min, x), s.max = fmax(s.max, x);
        sum += x, squares += x * x;
    }
    s.mean = sum / (double)n;
    s.std = sqrt(squares / (double)n - s.mean * s.mean);
    return s;
}

static void uniform(const kr_model *m, const char *name, double r) {
    spread s = of(m, name);
    if (!(s.min >= -r * 1.0001 && s.max <= r * 1.0001 && fabs(s.std - r / sqrt(3)) < 0.1 * r && fabs(s.mean) < 0.1 * r))
        fail_msg("%s: %g to %g, std %g; want U(+-%g)", name, s.min, s.max, s.std, r);
}

static void constant(const kr_model *m, const char *name, double x) {
    spread s = of(m, name);
    if (s.min != x || s.max != x) fail_msg("%s: %g to %g, want %g", name, s.min, s.max, x);
}

/* softplus of it is log-uniform in [lo, hi]. */
static void time_step(const kr_model *m, const char *name, double lo, double hi) {
    const kr_param *p = kr_params_find(m->params, name);
    double sum = 0;
    for (int64_t i = 0; i < kr_param_count(p); i++) {
        double dt = log1p(exp(((float *)p->data)[i]));
        if (!(dt >= lo * 0.999 && dt <= hi * 1.001)) fail_msg("%s: a step size of %g, want %g to %g", name, dt, lo, hi);
        sum += log(dt);
    }
    double mean = sum / (double)kr_param_count(p), want = (log(lo) + log(hi)) / 2;
    if (fabs(mean - want) > 0.2 * (log(hi) - log(lo))) fail_msg("%s: mean of log dt is %g, want %g", name, mean, want);
}

static kr_model *drawn(const char *config) {
    json_t *j = json_of(config);
    kr_model *m;
    if (kr_model_describe(&m, j, "test", KR_F32, NULL) != KR_OK) fail_msg("%s", kr_error());
    json_decref(j);
    assert_int_equal(kr_params_alloc(m->params, false), KR_OK);
    kr_params_init(m->params, 1);
    return m;
}

#define IN(name) "backbone.layers.3.mixer." name
static void test_initialisation(void **state) {
    (void)state;
    kr_model *m = drawn("{'model_type': 'krait', 'd_model': 64, 'n_layer': 4, 'vocab_size': 300, 'tie_embeddings': false, 'mixer': {'type': 'mamba1', 'd_state': 8}}");
    spread e = of(m, "backbone.embeddings.weight");
    assert_true(fabs(e.std - 0.02) < 0.0005 && fabs(e.mean) < 0.0005 && e.max > 0.06);
    uniform(m, "lm_head.weight", 1 / sqrt(64));
    uniform(m, IN("in_proj.weight"), 1 / sqrt(64));
    uniform(m, IN("conv1d.weight"), 0.5);
    uniform(m, IN("conv1d.bias"), 0.5);
    uniform(m, IN("x_proj.weight"), 1 / sqrt(128));
    uniform(m, IN("dt_proj.weight"), 1 / sqrt(4));
    uniform(m, IN("out_proj.weight"), 1 / sqrt(128) / sqrt(4));
    time_step(m, IN("dt_proj.bias"), 1e-3, 0.1);
    constant(m, IN("D"), 1);
    constant(m, "backbone.layers.3.norm.weight", 1);
    constant(m, "backbone.norm_f.weight", 1);
    const float *a = kr_params_find(m->params, IN("A_log"))->data;
    for (int i = 0; i < 128 * 8; i++) near(a[i], (float)log(1 + i % 8));
    assert_memory_not_equal(kr_params_find(m->params, IN("in_proj.weight"))->data, kr_params_find(m->params, "backbone.layers.2.mixer.in_proj.weight")->data, 4096);
    kr_model_release(m);

    m = drawn("{'model_type': 'krait', 'd_model': 256, 'n_layer': 4, 'vocab_size': 10, 'mixer': {'type': 'mamba2', 'd_state': 16, 'headdim': 8,"
              " 'learnable_init_states': true}}");
    uniform(m, IN("in_proj.weight"), 1.0 / 16);
    uniform(m, IN("conv1d.weight"), 0.5);
    uniform(m, IN("out_proj.weight"), 1 / sqrt(512) / 2);
    time_step(m, IN("dt_bias"), 1e-3, 0.1);
    constant(m, IN("D"), 1);
    constant(m, IN("norm.weight"), 1);
    constant(m, IN("init_states"), 0);
    const float *log_a = kr_params_find(m->params, IN("A_log"))->data;
    double mean = 0;
    for (int i = 0; i < 64; i++) {
        assert_true(exp(log_a[i]) >= 0.999 && exp(log_a[i]) <= 16.001); /* log U(1, 16) */
        mean += exp(log_a[i]) / 64;
    }
    assert_true(fabs(mean - 8.5) < 2);
    kr_model_release(m);

    m = drawn("{'model_type': 'krait', 'd_model': 256, 'n_layer': 4, 'vocab_size': 10, 'mixer': {'type': 'mamba2', 'headdim': 8, 'conv_init': 0.1, 'dt_min': 0.01,"
              " 'dt_max': 0.02, 'dt_init_floor': 0.015, 'A_init_min': 2, 'A_init_max': 3}}");
    uniform(m, IN("conv1d.weight"), 0.1);
    spread dt = of(m, IN("dt_bias")), al = of(m, IN("A_log"));
    near(floor(1e4 * log1p(exp(dt.min)) + 0.5), 150);
    assert_true(log1p(exp(dt.max)) < 0.0201 && al.min >= log(2) * 0.999 && al.max <= log(3) * 1.001);
    kr_model_release(m);
}

static int leave(void **state) {
    (void)state;
    char dir[128];
    snprintf(dir, sizeof dir, "%.*s", (int)(strlen(text_file()) - strlen("/text.txt")), text_file());
    return kr_dir_remove(dir) != KR_OK;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),          cmocka_unit_test(test_resume),     cmocka_unit_test(test_stop_at_the_end), cmocka_unit_test(test_checkpoints_kept),
        cmocka_unit_test(test_runs_are_guarded), cmocka_unit_test(test_not_finite), cmocka_unit_test(test_schedules),       cmocka_unit_test(test_adamw),
        cmocka_unit_test(test_initialisation),
    };
    return cmocka_run_group_tests(tests, NULL, leave);
}
