/* check_diffusion.c - diffusion models: the schedule, noise, the way back, the graph, training, pictures.
 *
 *   schedule   against its formula in long double
 *   noise      what it is told to be: moments, the same for the same row
 *   way back   with the best denoiser there is of a known Gaussian
 *   gradient   of plain stacks and U-Nets with a condition; the same bits whatever the threads
 *   golden     a whole small model against PyTorch (scripts/blocks-golden.py)
 *   training   stopped and resumed as if never stopped; pictures from what was trained */
#include "gradient_case.h"
#include "krait/sample.h"
#include "model/diffusion.h"
#include "model/safetensors.h"
#include "train_case.h"

static kr_diffusion *diffusion_of(int64_t T) {
    kr_diffusion *d;
    assert_int_equal(kr_diffusion_new(&d, T, 8), KR_OK);
    return d;
}

static long double share(int64_t t, int64_t T) {
    long double c = cosl(((long double)t / T + 0.008L) / 1.008L * 1.57079632679489661923L), c0 = cosl(0.008L / 1.008L * 1.57079632679489661923L);
    return c * c / (c0 * c0);
}

static void test_schedule(void **state) {
    static const int64_t T[] = {1, 2, 10, 1000, 4000};
    (void)state;
    for (int k = 0; k < 5; k++) {
        kr_diffusion *d = diffusion_of(T[k]);
        long double left = 1;
        assert_true(d->left[0] == 1);
        for (int64_t t = 1; t <= T[k]; t++) {
            left = fmaxl(share(t, T[k]) / share(t - 1, T[k]), 0.001L) * left;
            if (fabsl(d->left[t] - left) > 1e-9L * left) fail_msg("a_%lld of %lld is %.17g, want %.17Lg", (long long)t, (long long)T[k], d->left[t], left);
            if (t < T[k] && T[k] <= 1000 && fabsl(left - share(t, T[k])) > 1e-9L * left) fail_msg("step %lld of %lld is held back", (long long)t, (long long)T[k]);
        }
        kr_diffusion_free(d);
    }
    kr_diffusion *d = diffusion_of(1000);
    float f[8];
    kr_diffusion_features(d, 123, f);
    for (int i = 0; i < 4; i++) {
        double w = pow(10000, -i / 4.);
        assert_true(fabs(f[i] - cos(123 * w)) < 1e-6 && fabs(f[4 + i] - sin(123 * w)) < 1e-6);
    }
    kr_diffusion_free(d);
}

/* Means over many rows, each with a tolerance of five of its own deviations. */
static void test_noise(void **state) {
    enum { ROWS = 20000, N = 5 };
    kr_diffusion *d = diffusion_of(50);
    double sum[6] = {0}, dropped = 0, steps[51] = {0}, n = (double)ROWS * N;
    (void)state;
    d->class_drop = 0.2;
    for (int64_t row = 0; row < ROWS; row++) {
        float x[N], again[N], e[N], e2[N], f[8];
        int32_t class = 3, class2 = 3;
        for (int i = 0; i < N; i++) x[i] = again[i] = 0.1f * (float)i - 0.3f;
        int64_t t = kr_diffusion_noise(d, 7, true, row, N, x, e, f, &class);
        assert_int_equal(t, kr_diffusion_noise(d, 7, true, row, N, again, e2, f, &class2));
        assert_memory_equal(x, again, sizeof x);
        assert_true(t >= 1 && t <= 50 && class == class2);
        steps[t]++, dropped += class < 0;
        for (int i = 0; i < N; i++) {
            double z = (x[i] - sqrt(d->left[t]) * (0.1 * i - 0.3)) / sqrt(1 - d->left[t]);
            assert_true(fabs(z - e[i]) < 2e-5 / sqrt(1 - d->left[t]));
            sum[0] += e[i], sum[1] += (double)e[i] * e[i], sum[2] += pow(e[i], 3), sum[3] += pow(e[i], 4), sum[4] += (double)e[i] * e[(i + 1) % N];
        }
    }
    assert_true(fabs(sum[0] / n) < 5 / sqrt(n) && fabs(sum[1] / n - 1) < 5 * sqrt(2 / n) && fabs(sum[2] / n) < 5 * sqrt(15 / n));
    assert_true(fabs(sum[3] / n - 3) < 5 * sqrt(96 / n) && fabs(sum[4] / n) < 5 / sqrt(n));
    assert_true(fabs(dropped / ROWS - 0.2) < 5 * sqrt(0.16 / ROWS));
    for (int t = 1; t <= 50; t++) assert_true(fabs(steps[t] - ROWS / 50.) < 5 * sqrt(ROWS / 50.));
    kr_diffusion_free(d);
}

static void test_rows_differ(void **state) {
    kr_diffusion *d = diffusion_of(1000);
    float a[64] = {0}, b[64] = {0}, e[64], f[8];
    (void)state;
    kr_diffusion_noise(d, 7, true, 1, 64, a, e, f, NULL);
    static const struct { uint64_t seed; bool train; int64_t row; } others[] = {{8, true, 1}, {7, false, 1}, {7, true, 2}};
    for (int k = 0; k < 3; k++) {
        float mine[64];
        int same = 0;
        memset(b, 0, sizeof b);
        kr_diffusion_noise(d, others[k].seed, others[k].train, others[k].row, 64, b, mine, f, NULL);
        for (int i = 0; i < 64; i++) same += mine[i] == e[i];
        assert_int_equal(same, 0);
    }
    kr_diffusion_free(d);
}

/* --- the way back -------------------------------------------------------------------------------- */

/* x_0 ~ N(mean, deviation^2): the best answer is known. */
typedef struct gaussian { const kr_diffusion *d; double mean, deviation; int64_t n; } gaussian;

static double best(const gaussian *g, int64_t t, double x) {
    double a = g->d->left[t], v = g->deviation * g->deviation;
    double x0 = g->mean + v * sqrt(a) / (a * v + 1 - a) * (x - sqrt(a) * g->mean);
    return (x - sqrt(a) * x0) / sqrt(1 - a);
}
static kr_status denoise(void *user, int64_t t, const float *x, float *noise) {
    const gaussian *g = user;
    for (int64_t i = 0; i < g->n; i++) noise[i] = (float)best(g, t, x[i]);
    return KR_OK;
}

/* A step is affine in x, so mean and variance go through it exactly. */
static void expected(const gaussian *g, int64_t steps, double eta, double *mean, double *variance) {
    const double *a = g->d->left;
    *mean = 0, *variance = 1;
    for (int64_t k = steps; k > 0; k--) {
        int64_t t = g->d->T * k / steps, s = g->d->T * (k - 1) / steps;
        double v = eta * eta * (1 - a[s]) / (1 - a[t]) * (1 - a[t] / a[s]), y[2];
        for (int i = 0; i < 2; i++) {
            double e = best(g, t, i), x0 = (i - sqrt(1 - a[t]) * e) / sqrt(a[t]);
            y[i] = sqrt(a[s]) * x0 + sqrt(1 - a[s] - v) * e;
        }
        *mean = y[0] + (y[1] - y[0]) * *mean;
        *variance = (y[1] - y[0]) * (y[1] - y[0]) * *variance + v;
    }
}

static void test_way_back(void **state) {
    enum { N = 2000, W = 8 };
    /* how far off a way of so many steps ends: DDPM adds the least of the variances that it may, too little if steps are few */
    static const struct { int64_t steps; double eta, off; } ways[] = {{1000, 0, 0.01}, {1000, 1, 0.02}, {50, 0, 0.1}, {20, 1, 0.4}};
    float *x = kr_mem_array(N * W, sizeof *x), few[2 * W];
    kr_diffusion *d = diffusion_of(1000);
    (void)state;
    for (int k = 0; k < 4; k++) {
        gaussian g = {d, 0.4, 0.3, N * W};
        kr_diffusion_walk w = {.n = N, .width = W, .steps = ways[k].steps, .eta = ways[k].eta, .low = -INFINITY, .high = INFINITY, .seed = 5};
        double mean = 0, square = 0, want, variance, n = N * W;
        assert_int_equal(kr_diffusion_sample(d, &w, denoise, &g, x), KR_OK);
        for (int i = 0; i < N * W; i++) mean += x[i] / n, square += (double)x[i] * x[i] / n;
        square -= mean * mean;
        expected(&g, ways[k].steps, ways[k].eta, &want, &variance);
        if (fabs(mean - want) > 5 * sqrt(variance / n)) fail_msg("eta %g, %lld steps: the mean is %.4f, want %.4f", ways[k].eta, (long long)ways[k].steps, mean, want);
        if (fabs(square / variance - 1) > 5 * sqrt(2 / n)) fail_msg("eta %g, %lld steps: the variance is %.5f, want %.5f", ways[k].eta, (long long)ways[k].steps, square, variance);
        if (fabs(want - 0.4) > 0.005 || fabs(variance / 0.09 - 1) > ways[k].off) fail_msg("eta %g, %lld steps: the way ends at N(%.4f, %.5f)", ways[k].eta, (long long)ways[k].steps, want, variance);
        w.first = 3, w.n = 2, g.n = 2 * W;
        assert_int_equal(kr_diffusion_sample(d, &w, denoise, &g, few), KR_OK);
        assert_memory_equal(few, x + 3 * W, sizeof few); /* whatever else is drawn */
    }
    gaussian g = {d, 0.4, 0.3, 2 * W};
    kr_diffusion_walk w = {.n = 2, .width = W, .steps = 30, .low = 0.3, .high = 0.5, .seed = 5};
    assert_int_equal(kr_diffusion_sample(d, &w, denoise, &g, few), KR_OK);
    for (int i = 0; i < 2 * W; i++) assert_true(few[i] >= 0.3f && few[i] <= 0.5f);
    w.steps = 1001;
    assert_int_equal(kr_diffusion_sample(d, &w, denoise, &g, few), KR_ERR_ARG);
    w.steps = 5, w.eta = 2;
    assert_int_equal(kr_diffusion_sample(d, &w, denoise, &g, few), KR_ERR_ARG);
    kr_mem_free(x);
    kr_diffusion_free(d);
}

/* --- the graph ---------------------------------------------------------------------------------------- */

#define MODEL(size, n, tell) "{'model_type': 'krait', 'd_model': 8, 'n_layer': " #n ", 'norm_eps': 1e-3, 'head': {'type': 'noise', 'channels': 2}," \
    " 'encoder': {'type': 'patch', 'size': '" size "', 'channels': 2, 'patch': '2x2'}, 'condition': {'type': 'diffusion', 'time_features': 6, " tell "}, "
#define STEPS "'dt_min': 0.1, 'dt_max': 1, 'd_state': 3"

static const struct { const char *name, *config; int64_t L; } cases[] = {
    {"ZigMa", MODEL("4x6", 2, "'classes': 2") "'order': {'type': 'scan', 'path': 'zigzag'}, 'mixer': {'type': 'mamba1', " STEPS "}}", 24},
    {"side by side, with an MLP, a shift alone", MODEL("4x4", 2, "'tell': 'add', 'condition_width': 5") "'order': {'type': 'bidirectional'}, 'mixer': {'type': 'mamba1', " STEPS "},"
     " 'layers': ['mixer&conv+mlp'], 'mixers': {'conv': {'groups': 2, 'activation': 'silu'}, 'mlp': {'d_ff': 6}}}", 16},
    {"a U-Net with Mamba in the bottleneck", MODEL("8x8", 5, "'classes': 2") "'order': {'type': 'bidirectional'}, 'mixer': {'type': 'mamba1', " STEPS "},"
     " 'layers': ['conv', 'down', 'conv+mixer', 'up', 'conv'], 'mixers': {'conv': {'groups': 2, 'activation': 'silu'}}}", 64},
    {"VSS blocks", MODEL("4x4", 1, "'classes': 2") "'layers': ['ss2d+mlp'], 'mixers': {'ss2d': {" STEPS "}, 'mlp': {'d_ff': 6}}}", 16},
};
enum { N_CASES = sizeof cases / sizeof *cases };

static void test_gradient(void **state) {
    (void)state;
    for (int i = 0; i < N_CASES; i++) check_model_gradients(cases[i].name, cases[i].config, 3, cases[i].L);
}

static void test_bits(void **state) {
    (void)state;
    for (int i = 0; i < N_CASES; i++) check_model_bits(cases[i].name, cases[i].config, cases[i].L);
}

/* As it is drawn, a model says nothing: its head is zero, and its gates are shut. */
static void test_starts_silent(void **state) {
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        kr_model *m = model_of(cases[i].config, 5);
        kr_params_init(m->params, 3);
        kr_graph *g = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_ALL, .S = 1, .L = cases[i].L});
        fill_inputs(m, g, 1, cases[i].L, 3);
        kr_graph_run(g, KR_RUN_FORWARD);
        const float *y = kr_graph_data(g, "prediction");
        for (int64_t k = 0; k < 2 * cases[i].L; k++) assert_true(y[k] == 0);
        kr_graph_free(g);
        kr_model_release(m);
    }
}

static void test_config(void **state) {
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        json_t *j = json_of(cases[i].config), *first, *second;
        kr_config a, b;
        if (kr_config_read(&a, j, "test") != KR_OK || kr_config_write(&a, &first) != KR_OK) fail_msg("%s: %s", cases[i].name, kr_error());
        if (kr_config_read(&b, first, "written") != KR_OK || kr_config_write(&b, &second) != KR_OK) fail_msg("%s: %s", cases[i].name, kr_error());
        assert_true(json_equal(first, second));
        assert_non_null(json_object_get(first, "condition"));
        json_decref(j), json_decref(first), json_decref(second);
        kr_config_clear(&a);
        kr_config_clear(&b);
    }
}

static void test_golden(void **state) {
    static const char *const inputs[] = {"x", "time", "class"};
    kr_st *f;
    (void)state;
    kr_model *m = model_of("{'model_type': 'krait', 'd_model': 10, 'n_layer': 2, 'head': {'type': 'noise', 'channels': 3},"
                           " 'encoder': {'type': 'patch', 'size': '4x6', 'channels': 3, 'patch': '2x2'},"
                           " 'condition': {'type': 'diffusion', 'time_features': 6, 'condition_width': 7, 'classes': 3},"
                           " 'order': {'type': 'scan', 'path': 'zigzag'}, 'mixer': {'type': 'mamba1', 'd_state': 4}}", 1);
    if (kr_st_open(&f, KRAIT_SOURCE_DIR "/tests/data/blocks/diffusion.safetensors") != KR_OK) fail_msg("%s", kr_error());
    for (kr_param *p = m->params->first; p; p = p->next) {
        const kr_st_tensor *v = kr_st_find(f, p->name);
        if (!v || v->count != kr_param_count(p)) fail_msg("the file has no %s of our shape", p->name);
        memcpy(p->data, v->data, v->n_bytes);
    }
    kr_graph *g = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_ALL, .S = 2, .L = 24});
    for (int i = 0; i < 3; i++) memcpy(kr_graph_data(g, inputs[i]), kr_st_find(f, inputs[i])->data, kr_st_find(f, inputs[i])->n_bytes);
    kr_graph_run(g, KR_RUN_FORWARD);
    const kr_st_tensor *y = kr_st_find(f, "y");
    float want[2 * 24 * 3];
    assert_int_equal(y->n_bytes, sizeof want);
    memcpy(want, y->data, sizeof want);
    double e = difference(kr_graph_data(g, "prediction"), want, y->count);
    if (!(e <= 1e-5)) fail_msg("differs from PyTorch by %.3g", e);
    kr_graph_free(g);
    kr_model_release(m);
    kr_st_close(f);
}

static void test_refusals(void **state) {
    static const struct { const char *config, *says; } refused[] = {
        {"{'head': {'type': 'noise'}, 'encoder': {'type': 'linear', 'width': 1}}", "do not go together"},
        {"{'head': {'type': 'regress'}, 'encoder': {'type': 'linear', 'width': 1}, 'condition': {'type': 'diffusion'}}", "do not go together"},
        {"{'head': {'type': 'noise'}, 'encoder': {'type': 'patch', 'size': '5x5', 'patch': '2x2'}, 'condition': {'type': 'diffusion'}}", "patches that cover the input once"},
        {"{'head': {'type': 'noise'}, 'encoder': {'type': 'linear', 'width': 1}, 'condition': {'type': 'diffusion', 'time_features': 7}}", "want an even number"},
        {"{'head': {'type': 'noise'}, 'encoder': {'type': 'linear', 'width': 1}, 'condition': {'type': 'difusion'}}", "there is no condition"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        json_t *j = json_of(refused[i].config);
        kr_model *m;
        json_object_set_new(j, "model_type", json_string("krait"));
        assert_int_equal(kr_model_describe(&m, j, "test", KR_F32, NULL), KR_ERR_CONFIG);
        if (!strstr(kr_error(), refused[i].says)) fail_msg("said: %s", kr_error());
        json_decref(j);
    }
}

/* --- training --------------------------------------------------------------------------------------------- */

/* 40 pictures of 6 x 6, of two classes: light above or light on the left. */
static void write_pictures(const char *dir) {
    unsigned char x[16 + 40 * 36] = {0, 0, 8, 3, 0, 0, 0, 40, 0, 0, 0, 6, 0, 0, 0, 6}, y[8 + 40] = {0, 0, 8, 1, 0, 0, 0, 40};
    char path[200];
    for (int i = 0; i < 40; i++) {
        y[8 + i] = (unsigned char)(i % 2);
        for (int k = 0; k < 36; k++) x[16 + i * 36 + k] = (unsigned char)((i % 2 ? k % 6 : k / 6) < 3 ? 230 + i % 7 : 10 + i % 5);
    }
    snprintf(path, sizeof path, "%s/x-idx3-ubyte", dir);
    assert_int_equal(kr_file_write(path, x, sizeof x), KR_OK);
    snprintf(path, sizeof path, "%s/y-idx1-ubyte", dir);
    assert_int_equal(kr_file_write(path, y, sizeof y), KR_OK);
}

static char *recipe_of(const char *dir, const char *out, int64_t steps, const char *condition) {
    static char text[1600];
    snprintf(text, sizeof text, "{\"model\": {\"d_model\": 16, \"n_layer\": 2, \"encoder\": {\"patch\": \"2x2\"}, \"condition\": {\"noise_steps\": 40, \"time_features\": 16%s},"
             " \"order\": {\"type\": \"scan\", \"path\": \"zigzag\"}, \"mixer\": {\"type\": \"mamba1\", \"d_state\": 4}},"
             " \"data\": {\"kind\": \"image\", \"task\": \"noise\", \"paths\": \"%s/x-idx3-ubyte\", \"labels\": \"%s/y-idx1-ubyte\", \"eval_fraction\": 0.2},"
             " \"train\": {\"out\": \"%s\", \"steps\": %lld, \"batch_size\": 8, \"lr\": 0.01, \"warmup_steps\": 5, \"eval_every\": 3, \"eval_batches\": 9, \"log_every\": 1,"
             " \"checkpoint_every\": 0, \"schedule\": \"constant\", \"overwrite\": true}}", condition, dir, dir, out, (long long)steps);
    return text;
}

static void same_model(const char *a, const char *b) {
    void *x, *y;
    size_t n, k;
    char path[300];
    snprintf(path, sizeof path, "%s/model.safetensors", a);
    assert_int_equal(kr_file_read(&x, &n, path), KR_OK);
    snprintf(path, sizeof path, "%s/model.safetensors", b);
    assert_int_equal(kr_file_read(&y, &k, path), KR_OK);
    assert_int_equal(n, k);
    assert_memory_equal(x, y, n);
    kr_mem_free(x), kr_mem_free(y);
}

static void test_resume(void **state) {
    char dir[80], whole[100], parts[100];
    watch w = {0}, stopped = {.stop_at = 4}, rest = {0};
    (void)state;
    snprintf(dir, sizeof dir, "%s", new_folder());
    snprintf(whole, sizeof whole, "%s/whole", dir), snprintf(parts, sizeof parts, "%s/parts", dir);
    write_pictures(dir);
    if (watch_run(recipe_of(dir, whole, 9, ""), false, &w) != KR_OK) fail_msg("%s", kr_error());
    assert_int_equal(watch_run(recipe_of(dir, parts, 9, ""), false, &stopped), KR_ERR_STOPPED);
    if (watch_run(recipe_of(dir, parts, 9, ""), true, &rest) != KR_OK) fail_msg("%s", kr_error());
    for (int i = 5; i <= 9; i++) assert_true(w.loss[i] == rest.loss[i]);
    same_model(whole, parts);
    assert_int_equal(kr_dir_remove(dir), KR_OK);
}

/* Is the first class lighter above, the second on the left? */
static bool as_asked(const kr_samples *s, int64_t i) {
    int sum[2] = {0};
    for (int k = 0; k < 36; k++) {
        int v = s->pixels[i * 36 + k];
        sum[0] += k / 6 < 3 ? v : -v, sum[1] += k % 6 < 3 ? v : -v;
    }
    return s->of_class[i] ? sum[1] > sum[0] : sum[0] > sum[1];
}

static void test_pictures(void **state) {
    char dir[80], out[100], path[300];
    watch w = {0};
    kr_model *m;
    kr_samples *s, *fewer;
    (void)state;
    snprintf(dir, sizeof dir, "%s", new_folder());
    snprintf(out, sizeof out, "%s/out", dir);
    write_pictures(dir);
    if (watch_run(recipe_of(dir, out, 300, ""), false, &w) != KR_OK || kr_model_open(&m, out, NULL) != KR_OK) fail_msg("%s", kr_error());
    kr_sample_options o = {.n = 20, .steps = 20, .seed = 3, .guidance = 1};
    if (kr_sample(&s, m, &o) != KR_OK) fail_msg("%s", kr_error());
    assert_true(s->n == 20 && s->H == 6 && s->W == 6 && s->channels == 1 && s->n_classes == 2);
    int right = 0;
    for (int64_t i = 0; i < 20; i++) right += as_asked(s, i), assert_int_equal(s->of_class[i], i % 2);
    if (right < 18) fail_msg("%d of 20 pictures are of the class asked for", right);
    o.n = 3;
    assert_int_equal(kr_sample(&fewer, m, &o), KR_OK);
    for (int i = 0; i < 108; i++) assert_in_range(fewer->pixels[i] + 1, s->pixels[i], s->pixels[i] + 2); /* products of other sizes: at most a rounding */
    kr_samples_free(fewer);
    o.class_name = "1", o.eta = 1, o.steps = 0, o.guidance = 2;
    assert_int_equal(kr_sample(&fewer, m, &o), KR_OK);
    for (int i = 0; i < 3; i++) assert_true(fewer->of_class[i] == 1 && as_asked(fewer, i));
    kr_samples_free(fewer);
    o.class_name = "cat";
    assert_int_equal(kr_sample(&fewer, m, &o), KR_ERR_ARG);
    assert_non_null(strstr(kr_error(), "there are 0, 1"));
    o.class_name = "none";
    assert_int_equal(kr_sample(&fewer, m, &o), KR_OK);
    assert_int_equal(fewer->of_class[0], -1);
    snprintf(path, sizeof path, "%s/grid.png", dir);
    kr_status st = kr_samples_grid(s, 0, 2, path);
    assert_true(st == KR_OK || st == KR_ERR_MISSING); /* a build without libpng */
    snprintf(path, sizeof path, "%s/many", dir);
    if (st == KR_OK) assert_int_equal(kr_samples_folder(s, path), KR_OK);
    snprintf(path, sizeof path, "%s/many/1/00019.png", dir);
    if (st == KR_OK) assert_true(kr_file_exists(path));
    kr_samples_free(fewer), kr_samples_free(s);
    kr_model_free(m);
    kr_eval_source_result r, again;
    assert_int_equal(kr_model_open(&m, out, NULL), KR_OK);
    if (kr_eval_source(m, recipe_of(dir, out, 1, ""), 0, false, &r) != KR_OK) fail_msg("%s", kr_error());
    assert_int_equal(kr_eval_source(m, recipe_of(dir, out, 1, ""), 0, false, &again), KR_OK);
    assert_true(strcmp(r.metric_name, "mse") == 0 && r.metric > 0 && r.metric < 0.6 && r.metric == again.metric && r.n_rows == 8);
    kr_model_free(m);
    assert_int_equal(kr_dir_remove(dir), KR_OK);
}

static void test_wrong_recipes(void **state) {
    char dir[80], out[100];
    watch w = {0};
    (void)state;
    snprintf(dir, sizeof dir, "%s", new_folder());
    snprintf(out, sizeof out, "%s/out", dir);
    write_pictures(dir);
    assert_int_equal(watch_run(recipe_of(dir, out, 1, ", \"classes\": 5"), false, &w), KR_ERR_CONFIG);
    if (!strstr(kr_error(), "condition.classes is 5")) fail_msg("said: %s", kr_error());
    if (watch_run(recipe_of(dir, out, 1, ", \"classes\": 0"), false, &w) != KR_OK) fail_msg("%s", kr_error());
    assert_int_equal(kr_dir_remove(dir), KR_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schedule), cmocka_unit_test(test_noise),  cmocka_unit_test(test_rows_differ),   cmocka_unit_test(test_way_back),
        cmocka_unit_test(test_gradient), cmocka_unit_test(test_bits),   cmocka_unit_test(test_starts_silent), cmocka_unit_test(test_config),
        cmocka_unit_test(test_golden),   cmocka_unit_test(test_resume), cmocka_unit_test(test_pictures),      cmocka_unit_test(test_wrong_recipes),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
