/* check_inspect.c - the matrices of scans give what the scans gave, and states are what sessions carry.
 *
 *   matrices   every mixer's: y to 1e-5
 *   parts      a head's matrix is the one the definition gives, entry by entry; groups are means
 *   states     the norm at the end is that of the state a stateful run leaves
 *   pictures   are there, whole, and of the size they say */
#include "krait/inspect.h"
#include "model_case.h"

#define TOKENS "'model_type': 'krait', 'd_model': 12, 'n_layer': 2, 'vocab_size': 11, "

static const char *const configs[] = {
    "{" TOKENS "'mixer': {'type': 'mamba1', 'd_state': 3, 'dt_min': 0.1, 'dt_max': 1}}",
    "{" TOKENS "'mixer': {'type': 'mamba2', 'd_state': 5, 'headdim': 6, 'ngroups': 2, 'dt_min': 0.1, 'dt_max': 1}}",
    "{" TOKENS "'mixer': {'type': 'mamba2', 'd_state': 5, 'headdim': 6, 'D_has_hdim': true, 'dt_limit_min': 0.3, 'dt_limit_max': 0.9}}",
    "{" TOKENS "'mixer': {'type': 'mamba3', 'd_state': 6, 'headdim': 6}}",
    "{" TOKENS "'mixer': {'type': 's4d', 'd_state': 4, 'dt_min': 0.1, 'dt_max': 0.5}}",
    "{" TOKENS "'mixer': {'type': 's4d', 'd_state': 4, 'init': 'real', 'disc': 'bilinear'}}",
    "{" TOKENS "'mixer': {'type': 'attention', 'n_head': 4, 'n_kv_head': 2, 'window': 5}}",
    "{" TOKENS "'layers': ['mamba1', 'attention+mamba2'], 'mixers': {'mamba1': {'d_state': 2}, 'attention': {'n_head': 2}, 'mamba2': {'headdim': 8, 'd_state': 4}}}",
    "{" TOKENS "'memory': {'type': 'dense'}, 'mixer': {'type': 'mamba1', 'd_state': 3}}",
    "{" TOKENS "'mixer': {'type': 'ss2d', 'path': 'bidirectional', 'conv': 'line', 'd_conv': 4, 'd_state': 3}}"};
enum { N_CONFIGS = sizeof configs / sizeof *configs, L = 19 };
static const char input[] = "3 1 4 1 5 9 2 6 5 3 5 8 9 7 9 3 2 3 8";
static char dir[64];

static void clear(void) {
    if (*dir) assert_int_equal(kr_dir_remove(dir), KR_OK);
}

/* The model saved, and opened again for a look. */
static kr_inspect *opened(const char *config) {
    kr_model *m = model_of(config, 5);
    kr_inspect *x;
    clear();
    snprintf(dir, sizeof dir, "/tmp/krait_inspect_%d", (int)getpid());
    assert_int_equal(kr_model_save(m, dir, KR_F32), KR_OK);
    kr_model_release(m);
    if (kr_inspect_open(&x, dir, input, (int64_t)strlen(input), 64) != KR_OK) fail_msg("%s: %s", config, kr_error());
    assert_int_equal(kr_inspect_steps(x), L);
    return x;
}

static void matrices(void **state) {
    (void)state;
    for (int i = 0; i < N_CONFIGS; i++) {
        kr_inspect *x = opened(configs[i]);
        kr_inspect_scan s;
        int n = 0;
        for (; kr_inspect_get(x, n, &s); n++) {
            double error = 1;
            assert_int_equal(kr_inspect_check(x, n, &error), KR_OK);
            if (!(error <= 1e-5)) fail_msg("%s: scan %d (%s): y is off by %g", configs[i], n, s.op, error);
        }
        assert_true(n >= 2);
        kr_inspect_free(x);
    }
}

/* S4D is a convolution, attention sums to one, and no step looks ahead. */
static void parts(void **state) {
    (void)state;
    double a[L * L], b[L * L], mean[L * L];
    kr_inspect *x = opened(configs[4]);
    assert_int_equal(kr_inspect_alpha(x, 1, 3, 4, a), KR_OK);
    assert_int_equal(kr_inspect_alpha(x, 1, 4, 5, b), KR_OK);
    assert_int_equal(kr_inspect_alpha(x, 1, 3, 5, mean), KR_OK);
    for (int i = 0; i < L; i++)
        for (int j = 0; j < L; j++) {
            assert_true(fabs(mean[i * L + j] - (a[i * L + j] + b[i * L + j]) / 2) < 1e-12);
            if (j > i) assert_true(a[i * L + j] == 0);
            else assert_true(fabs(a[i * L + j] - a[(i - j) * L]) < 1e-12);
        }
    assert_int_equal(kr_inspect_alpha(x, 1, 3, 99, a), KR_ERR_ARG);
    assert_int_equal(kr_inspect_alpha(x, 9, 0, 1, a), KR_ERR_ARG);
    kr_inspect_free(x);
    x = opened(configs[6]);
    assert_int_equal(kr_inspect_alpha(x, 0, 1, 2, a), KR_OK);
    for (int i = 0; i < L; i++) {
        double sum = 0;
        for (int j = 0; j < L; j++) sum += a[i * L + j], assert_true(a[i * L + j] >= 0 && (j <= i || a[i * L + j] == 0) && (j > i - 5 || a[i * L + j] == 0));
        assert_true(fabs(sum - 1) < 1e-12);
    }
    kr_inspect_states v;
    assert_int_equal(kr_inspect_get_states(x, 0, 0, 1, &v), KR_ERR_ARG);
    kr_inspect_free(x);
}

/* The ssm_state that a session would carry on from. */
static void states(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        kr_inspect *x = opened(configs[i]);
        kr_inspect_scan s;
        kr_inspect_states v;
        kr_model *m;
        kr_graph *g;
        assert_int_equal(kr_model_load(&m, dir, false, KR_F32, NULL), KR_OK);
        assert_int_equal(kr_model_graph(m, &(kr_model_graph_options){.mode = KR_MODEL_LAST, .S = 1, .L = L, .stateful = true, .n_threads = 1}, &g), KR_OK);
        assert_int_equal(kr_graph_alloc(g), KR_OK);
        for (int k = 0; k < L; k++) ((int32_t *)kr_graph_data(g, "ids"))[k] = input[2 * k] - '0';
        kr_graph_run(g, KR_RUN_FORWARD);
        assert_true(kr_inspect_get(x, 1, &s));
        assert_int_equal(kr_inspect_get_states(x, 1, 0, s.n_heads, &v), KR_OK);
        kr_tensor t = kr_node_tensor(kr_graph_find(g, "backbone.layers.1.mixer.ssm_state"));
        double sum = 0;
        for (int64_t k = 0; k < kr_count(&t); k++) sum += (double)((float *)t.data)[k] * ((float *)t.data)[k];
        assert_int_equal(v.n_times, L);
        assert_int_equal(v.time[v.n_times - 1], L - 1);
        assert_true(fabs(v.norm[v.n_times - 1] - sqrt(sum)) <= 1e-5 * sqrt(sum));
        for (int64_t k = 0; k < v.n_times; k++) assert_true(v.rank[k] >= 1 - 1e-9 && v.rank[k] <= v.most_rank + 1e-9);
        assert_true(v.half_life[0] > 0 && v.half_life[0] <= v.half_life[1] && v.half_life[1] <= v.half_life[2]);
        kr_graph_free(g);
        kr_model_release(m);
        kr_inspect_free(x);
    }
}

static void pictures(void **state) {
    (void)state;
    kr_inspect *x = opened(configs[7]);
    kr_inspect_draw how = {.layer = -1, .head = -1, .title = "a & <b>"}, one = {.layer = 0, .head = 2};
    char path[128];
    unsigned char *data;
    void *p;
    size_t n;
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/a.%s", dir, i % 2 ? "png" : "svg");
        kr_status st = (i < 2 ? kr_inspect_draw_attention : kr_inspect_draw_states)(x, i == 1 ? &one : &how, path);
        if (i % 2 && st == KR_ERR_MISSING) continue; /* built without libpng */
        assert_int_equal(st, KR_OK);
        assert_int_equal(kr_file_read(&p, &n, path), KR_OK);
        data = p;
        if (i % 2 == 0) {
            assert_memory_equal(data, "<svg", 4);
            assert_non_null(strstr((char *)data, "a &amp; &lt;b>"));
        } else {
            assert_memory_equal(data, "\x89PNG\r\n\x1a\n", 8);
            assert_memory_equal(data + n - 8, "IEND", 4);
        }
        kr_mem_free(p);
    }
    assert_int_equal(kr_inspect_draw_attention(x, &how, "/tmp/a.gif"), KR_ERR_ARG);
    one.head = 1000;
    assert_int_equal(kr_inspect_draw_attention(x, &one, path), KR_ERR_ARG);
    kr_inspect_free(x);
}

static void refusals(void **state) {
    (void)state;
    kr_inspect *x = opened(configs[0]), *none;
    assert_int_equal(kr_inspect_open(&none, dir, "3 11", 4, 64), KR_ERR_ARG);
    assert_int_equal(kr_inspect_open(&none, dir, "", 0, 64), KR_ERR_ARG);
    assert_int_equal(kr_inspect_open(&none, dir, "1 2", 3, 0), KR_ERR_ARG);
    kr_inspect_free(x);
    clear();
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(matrices), cmocka_unit_test(parts), cmocka_unit_test(states), cmocka_unit_test(pictures), cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
