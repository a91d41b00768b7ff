/* check_reduce.c - krait reduce: the small model computes what its bound allows, and trains on from there. */
#include "krait/reduce.h"
#include "model_case.h"

static char big[64], small[64];

static void look(void *user, const kr_reduce_row *r) {
    int *n = user;
    (*n)++;
    assert_int_equal(r->n_modes, 8);
    assert_int_equal(r->n_channels, 24);
    assert_true(r->worst_share <= 1.001 && r->error <= r->bound && r->tail >= 0 && r->tail < 1);
    assert_true(r->hankel[0] == 1);
    for (int i = 1; i < 8; i++) assert_true(r->hankel[i] <= r->hankel[i - 1]);
}

static double logits_apart(const char *a, const char *b) {
    enum { L = 40, V = 11 };
    float *out[2];
    kr_model *m[2];
    kr_graph *g[2];
    for (int k = 0; k < 2; k++) {
        assert_int_equal(kr_model_load(&m[k], k ? b : a, false, KR_F32, NULL), KR_OK);
        g[k] = graph_of(m[k], (kr_model_graph_options){.mode = KR_MODEL_ALL, .S = 1, .L = L});
        for (int i = 0; i < L; i++) ((int32_t *)kr_graph_data(g[k], "ids"))[i] = i * i % V;
        kr_graph_run(g[k], KR_RUN_FORWARD);
        out[k] = kr_graph_data(g[k], "logits");
    }
    double num = 0, den = 0;
    for (int i = 0; i < L * V; i++) num += pow((double)out[0][i] - out[1][i], 2), den += pow((double)out[0][i], 2);
    for (int k = 0; k < 2; k++) kr_graph_free(g[k]), kr_model_release(m[k]);
    return sqrt(num / den);
}

static void reduces(void **state) {
    static const char *const discs[] = {"zoh", "bilinear", "mamba", "euler"};
    (void)state;
    for (int d = 0; d < 4; d++) {
        char config[300];
        double apart[2];
        snprintf(config, sizeof config, "{'model_type': 'krait', 'd_model': 12, 'n_layer': 2, 'vocab_size': 11, 'mixer': {'type': 's4d', 'd_state': 16, 'disc': '%s',"
                 " 'dt_min': 0.01, 'dt_max': 0.02}}", discs[d]);
        kr_model *m = model_of(config, 3);
        for (kr_param *p = m->params->first; p && strcmp(discs[d], "euler") == 0; p = p->next) /* Euler's poles must be inside the circle */
            for (int64_t i = 0; i < kr_param_count(p) && strstr(p->name, "A_imag"); i++) ((float *)p->data)[i] *= .1f;
        snprintf(big, sizeof big, "/tmp/krait_reduce_big_%d", (int)getpid());
        assert_int_equal(kr_model_save(m, big, KR_F32), KR_OK);
        kr_model_release(m);
        for (int k = 0; k < 2; k++) { /* more modes, nearer */
            int n = 0;
            snprintf(small, sizeof small, "/tmp/krait_reduce_small_%d", (int)getpid());
            if (kr_reduce(big, small, k ? 14 : 2, look, &n) != KR_OK) fail_msg("%s: %s", discs[d], kr_error());
            assert_int_equal(n, 2);
            apart[k] = logits_apart(big, small);
            assert_int_equal(kr_reduce(big, small, 4, NULL, NULL), KR_ERR_CONFIG); /* is there already */
            assert_int_equal(kr_dir_remove(small), KR_OK);
        }
        assert_true(apart[1] < apart[0] && apart[1] < .2);
        assert_int_equal(kr_reduce(big, small, 16, NULL, NULL), KR_ERR_CONFIG);
        assert_int_equal(kr_reduce(big, small, 3, NULL, NULL), KR_ERR_CONFIG);
        assert_int_equal(kr_dir_remove(big), KR_OK);
    }
}

static void refuses_others(void **state) {
    (void)state;
    kr_model *m = model_of("{'model_type': 'krait', 'd_model': 12, 'n_layer': 1, 'vocab_size': 11, 'mixer': {'type': 'mamba1', 'd_state': 4}}", 3);
    assert_int_equal(kr_model_save(m, big, KR_F32), KR_OK);
    kr_model_release(m);
    assert_int_equal(kr_reduce(big, small, 2, NULL, NULL), KR_ERR_CONFIG);
    assert_int_equal(kr_dir_remove(big), KR_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(reduces), cmocka_unit_test(refuses_others)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
