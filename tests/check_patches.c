/* check_patches.c - clouds of points as patches (data.patches, encoder "pointnet").
 *
 *   rows       a row against the plainest search: which centres, along which curve, whose neighbours
 *   order      points of a file in another order, and of a patch in another order, change nothing
 *   formula    the encoder's steps by plain loops
 *   gradient   against central differences; the same bits by any number of threads
 *   learns     trained, scored, asked about new files
 *   refusals   what cannot be, in words */
#include "data_case.h"
#include "gradient_case.h"
#include "krait/order.h"

static kr_source *open_source(const char *data, int64_t S) {
    kr_source *s;
    json_t *j = json_of(data);
    if (kr_source_open(&s, &(kr_source_options){.data = j, .S = S, .seed = 1}) != KR_OK) fail_msg("%s", kr_error());
    json_decref(j);
    return s;
}

/* --- data ----------------------------------------------------------------------------------------- */

enum { N = 40, PATCHES = 7, NEAR = 5, WIDTH = 8 }; /* two curves: x, y, z twice and two marks */
static float cloud[N][3];

static void write_cloud(const char *path, bool backwards) {
    kr_str s = {0};
    for (int i = 0; i < N; i++) {
        const float *p = cloud[backwards ? N - 1 - i : i];
        kr_str_appendf(&s, "%.9g %.9g %.9g\n", (double)p[0], (double)p[1], (double)p[2]);
    }
    write_bytes(path, s.text, s.n);
    kr_str_free(&s);
}

/* All of its points are seen (as many are drawn as there are), so the row is known. */
static void draw_cloud(uint64_t seed) {
    kr_rng r = {seed, 1, 0};
    double middle[3] = {0}, far = 0;
    for (int i = 0; i < 3 * N; i++) cloud[i / 3][i % 3] = (float)kr_rng_normal(&r), middle[i % 3] += cloud[i / 3][i % 3] / N;
    write_cloud("a_1.xyz", false), write_cloud("b_1.xyz", true);
    for (int i = 0; i < N; i++) {
        double d = 0;
        for (int k = 0; k < 3; k++) cloud[i][k] -= (float)middle[k], d += (double)cloud[i][k] * cloud[i][k];
        far = fmax(far, d);
    }
    for (int i = 0; i < 3 * N; i++) cloud[i / 3][i % 3] = (float)(cloud[i / 3][i % 3] / sqrt(far));
}

static double between(int i, int k) {
    double d = 0;
    for (int c = 0; c < 3; c++) d += pow((double)cloud[i][c] - cloud[k][c], 2);
    return d;
}

static int farthest(const int *centre, int n) {
    int best = -1;
    double far = -1;
    for (int i = 0; i < N; i++) {
        double d = n ? INFINITY : 0;
        for (int k = 0; k < n; k++) d = fmin(d, between(i, centre[k]));
        for (int c = 0; c < 3 && !n; c++) d += (double)cloud[i][c] * cloud[i][c];
        if (d > far) far = d, best = i;
    }
    return best;
}

/* The j-th nearest point. */
static int nearest(int centre, int j) {
    for (int i = 0; i < N; i++) {
        int before = 0;
        for (int k = 0; k < N; k++) before += between(k, centre) < between(i, centre);
        if (before == j) return i;
    }
    fail_msg("no point is number %d", j);
    return -1;
}

static void check_row(const float *x, int target) {
    static const char *const curves[] = {"hilbert", "hilbert-trans"};
    int centre[PATCHES];
    int32_t rank[N];
    for (int i = 0; i < PATCHES; i++) centre[i] = farthest(centre, i);
    for (int c = 0; c < 2; c++) {
        assert_int_equal(kr_order_points(curves[c], 0, N, &cloud[0][0], rank), KR_OK);
        for (int i = 0; i < N; i++) { /* along the curve */
            bool taken = false;
            for (int g = 0; g < PATCHES; g++) taken = taken || centre[g] == rank[i];
            for (int j = 0; j < NEAR && taken; j++, x += WIDTH) {
                const float *point = cloud[nearest(rank[i], j)], *middle = cloud[rank[i]];
                for (int k = 0; k < 3; k++)
                    if (fabsf(x[k] - (point[k] - middle[k])) > 1e-5f || fabsf(x[3 + k] - middle[k]) > 1e-5f)
                        fail_msg("cloud %d, curve %d, point %d: %g of axis %d, want %g", target, c, j, (double)x[k], k, (double)(point[k] - middle[k]));
                assert_true(x[6] == !c && x[7] == c);
            }
        }
    }
}

static void rows(void **state) {
    static float x[2][2 * PATCHES * NEAR * WIDTH];
    int32_t targets[2];
    (void)state;
    for (uint64_t seed = 1; seed < 20; seed++) {
        draw_cloud(seed);
        kr_source *s = open_source("{'kind': 'points', 'paths': ['a_1.xyz', 'b_1.xyz'], 'label': 'name', 'points': 40, 'patches': 7, 'patch_points': 5, 'curves': ['hilbert', 'hilbert-trans'], 'eval_fraction': 0}", 2);
        const kr_source_info *i = kr_source_get_info(s);
        assert_true(i->L == 2 * PATCHES * NEAR && i->x_width == WIDTH);
        kr_batch b = {.S = 2, .L = i->L, .x = x[0], .targets = targets};
        assert_int_equal(kr_source_batch(s, KR_SPLIT_TRAIN, 0, &b), KR_OK);
        for (int k = 0; k < 2; k++) check_row(x[k], targets[k]); /* b is a, its points backwards */
        kr_source_close(s);
    }
}

/* --- the encoder ------------------------------------------------------------------------------------- */

static const char config[] = "{'model_type': 'krait', 'd_model': 6, 'n_layer': 1, 'norm_eps': 1e-3, 'encoder': {'type': 'pointnet', 'n_patch': 3, 'n_point': 4, 'n_curve': 2, 'width': 5},"
    " 'mixer': {'type': 'mamba1', 'dt_min': 0.1, 'dt_max': 1, 'd_state': 3}, 'head': {'type': 'regress', 'width': 2, 'pool': 'mean'}}";
enum { S = 2, L = 24, M = 6, W = 5, K = 4 };

static void fill(kr_graph *g, uint64_t seed) {
    kr_rng r = {seed, 3, 0};
    float *x = kr_graph_data(g, "x"), *y = kr_graph_data(g, "y");
    for (int i = 0; i < S * L; i++) {
        for (int k = 0; k < 3; k++) x[8 * i + k] = (float)kr_rng_normal(&r), x[8 * i + 3 + k] = i % K ? x[8 * (i - 1) + 3 + k] : (float)kr_rng_normal(&r);
        x[8 * i + 6] = i % L < L / 2, x[8 * i + 7] = i % L >= L / 2;
    }
    for (int i = 0; i < S * 2 && y; i++) y[i] = (float)kr_rng_normal(&r);
}

static void product(const kr_model *m, const char *name, const double *x, int n, double *y, int n_out) {
    char full[80];
    snprintf(full, sizeof full, "backbone.encoder.%s.weight", name);
    const float *w = ((kr_param *)kr_params_find(m->params, full))->data;
    snprintf(full, sizeof full, "backbone.encoder.%s.bias", name);
    const kr_param *b = kr_params_find(m->params, full);
    for (int o = 0; o < n_out; o++) {
        y[o] = b ? ((float *)b->data)[o] : 0;
        for (int i = 0; i < n; i++) y[o] += w[o * n + i] * x[i];
    }
}
/* W2 relu(norm(W1 x)) */
static void twice(const kr_model *m, const char *const name[3], const double *x, int n, double *y, int n_out) {
    double h[16], mean = 0, square = 0;
    char full[80];
    product(m, name[0], x, n, h, n_out);
    for (int i = 0; i < n_out; i++) mean += h[i] / n_out;
    for (int i = 0; i < n_out; i++) square += (h[i] - mean) * (h[i] - mean) / n_out;
    snprintf(full, sizeof full, "backbone.encoder.%s.weight", name[1]);
    const float *w = ((kr_param *)kr_params_find(m->params, full))->data;
    snprintf(full, sizeof full, "backbone.encoder.%s.bias", name[1]);
    const float *b = ((kr_param *)kr_params_find(m->params, full))->data;
    for (int i = 0; i < n_out; i++) h[i] = fmax(0, (h[i] - mean) / sqrt(square + 1e-5) * w[i] + b[i]);
    product(m, name[2], h, n_out, y, n_out);
}

static void formula(void **state) {
    static const char *const one[] = {"fc1", "norm1", "fc2"}, *const two[] = {"fc3", "norm2", "fc4"};
    (void)state;
    kr_model *m = model_of(config, 4);
    kr_param *q = kr_params_find(m->params, "backbone.layers.0.mixer.out_proj.weight"); /* nothing is added behind the encoder */
    memset(q->data, 0, (size_t)kr_param_count(q) * sizeof(float));
    kr_graph *g = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_HIDDEN, .S = S, .L = L});
    const float *norm = ((kr_param *)kr_params_find(m->params, "backbone.norm_f.weight"))->data;
    fill(g, 5);
    kr_graph_run(g, KR_RUN_FORWARD);
    const float *x = kr_graph_data(g, "x"), *said = kr_graph_data(g, "hidden");
    for (int p = 0; p < S * L / K; p++, x += 8 * K) {
        double point[K][2 * W], most[W], step[M], place[W], about[M], scale[M], shift[M], mark[2] = {x[6], x[7]}, in[3], out[M], square = 0;
        for (int j = 0; j < K; j++) {
            for (int k = 0; k < 3; k++) in[k] = x[8 * j + k];
            twice(m, one, in, 3, point[j], W);
            for (int k = 0; k < W; k++) most[k] = j ? fmax(most[k], point[j][k]) : point[j][k];
        }
        for (int j = 0; j < K; j++) {
            memcpy(point[j] + W, most, sizeof most);
            twice(m, two, point[j], 2 * W, out, M);
            for (int k = 0; k < M; k++) step[k] = j ? fmax(step[k], out[k]) : out[k];
        }
        for (int k = 0; k < 3; k++) in[k] = x[3 + k];
        product(m, "place1", in, 3, place, W);
        for (int k = 0; k < W; k++) place[k] *= 0.5 * (1 + erf(place[k] / sqrt(2)));
        product(m, "place2", place, W, about, M), product(m, "scale", mark, 2, scale, M), product(m, "shift", mark, 2, shift, M);
        for (int k = 0; k < M; k++) step[k] = (step[k] + about[k]) * scale[k] + shift[k], square += step[k] * step[k] / M;
        for (int k = 0; k < M; k++) {
            double want = step[k] / sqrt(square + 1e-3) * norm[k];
            if (fabs(said[p * M + k] - want) > 2e-5) fail_msg("patch %d, channel %d: %g, want %g", p, k, (double)said[p * M + k], want);
        }
    }
    kr_graph_free(g);
    kr_model_release(m);
}

static void gradient(void **state) {
    (void)state;
    kr_model *m = model_of(config, 5);
    check_training("pointnet", m, S, L, fill);
    kr_model_release(m);
}

/* The points of a patch in another order are the same patch, bit for bit. */
static void order(void **state) {
    (void)state;
    kr_model *m = model_of(config, 7);
    kr_graph *g = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_HIDDEN, .S = S, .L = L});
    float *x = kr_graph_data(g, "x"), kept[S * L / K * M], t[3];
    fill(g, 9);
    kr_graph_run(g, KR_RUN_FORWARD);
    memcpy(kept, kr_graph_data(g, "hidden"), sizeof kept);
    for (int p = 0; p < S * L / K; p++) memcpy(t, x + 8 * K * p, sizeof t), memcpy(x + 8 * K * p, x + 8 * (K * p + 2), sizeof t), memcpy(x + 8 * (K * p + 2), t, sizeof t);
    kr_graph_run(g, KR_RUN_FORWARD);
    assert_memory_equal(kept, kr_graph_data(g, "hidden"), sizeof kept);
    kr_graph_free(g);
    kr_model_release(m);
}

/* --- together ------------------------------------------------------------------------------------------ */

static kr_status is_right(void *user, const kr_answer *a) {
    int *n = user;
    n[0]++, n[1] += strncmp(strrchr(a->name, '/') + 1, a->label[a->best], 3) == 0;
    return KR_OK;
}

#define DATA "'data': {'kind': 'points', 'paths': 'clouds', 'label': 'name', 'points': 30, 'patches': 6, 'patch_points': 8, 'curves': ['hilbert', 'z'], 'jitter': 0.01, 'turn': 30, 'eval_fraction': 0.2"
#define MODEL "'model': {'d_model': 16, 'n_layer': 1, 'mixer': {'type': 'mamba1', 'd_state': 4}"
static void learns(void **state) {
    kr_model *m;
    const char *const files[] = {"clouds"};
    int n[2] = {0};
    kr_rng r = {3, 3, 0};
    char path[60];
    (void)state;
    assert_int_equal(kr_dir_make("clouds"), KR_OK);
    for (int i = 0; i < 40; i++) { /* rings, and flat ones full of points */
        kr_str s = {0};
        for (int k = 0; k < 50; k++) {
            double a = 6.2831853 * kr_rng_uniform(&r), d = i % 2 ? 1 : sqrt(kr_rng_uniform(&r));
            kr_str_appendf(&s, "%g %g %g\n", d * cos(a), d * sin(a), 0.02 * kr_rng_normal(&r));
        }
        snprintf(path, sizeof path, "clouds/%s_%d.xyz", i % 2 ? "ring" : "disc", i);
        write_bytes(path, s.text, s.n);
        kr_str_free(&s);
    }
    train("{" MODEL "}, " DATA "}, " TRAIN "}");
    assert_true(last_metric > 0.9);
    if (kr_model_open(&m, "m", NULL) != KR_OK) fail_msg("%s", kr_error());
    if (kr_predict(m, files, 1, is_right, n) != KR_OK) fail_msg("%s", kr_error());
    assert_true(n[0] == 40 && n[1] >= 37);
    kr_model_free(m);
}

static void refusals(void **state) {
    (void)state;
    refuse("{" MODEL "}, 'data': {'kind': 'points', 'paths': 'clouds', 'label': 'name', 'points': 30, 'patches': 31}}", "31 patches of 32 points out of 30 (data.points)");
    refuse("{" MODEL "}, 'data': {'kind': 'points', 'paths': 'clouds', 'label': 'name', 'points': 30, 'patches': 3}}", "want at least as many points");
    refuse("{" MODEL ", 'encoder': {'n_point': 5}}, " DATA "}}", "encoder: 12 patches of 5 points, but a row has 96 points");
    refuse("{" MODEL ", 'encoder': {'type': 'linear', 'width': 3}}, " DATA "}}", "reads 288 numbers a row, but the data \"points\" give 768");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows),  cmocka_unit_test(formula), cmocka_unit_test(gradient),
                                       cmocka_unit_test(order), cmocka_unit_test(learns),  cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, make_folder, NULL);
}
