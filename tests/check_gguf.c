/* check_gguf.c - models of Hugging Face, written as GGUF and read again, still compute what transformers does; from
 * GGUF back to a folder too; weights are mapped, not copied; nothing is left of a conversion that fails.
 *
 * Looks in KRAIT_SHARED/fixtures/hf; exits with 77, which ctest calls skipped, when the models are not there. */
#include <math.h>

#include "krait/verify.h"
#include "model/gguf.h"
#include "model_case.h"

static const char *const names[] = {"mamba", "mamba_odd", "falcon_mamba", "mamba2", "mamba2_groups"};
enum { N_NAMES = sizeof names / sizeof *names };

static const char *join(const char *dir, const char *name) {
    static char path[2][1024];
    static int i;
    i = !i;
    snprintf(path[i], sizeof path[i], "%s/%s", dir, name);
    return path[i];
}

static void nothing(void *user, const kr_verify_row *r) {
    if (!r->passed) snprintf(user, 300, "%s is off by %g", r->what, r->error);
}

static void must_verify(const char *path) {
    char first[300] = "";
    int failed;
    if (kr_verify(path, NULL, nothing, first, &failed) != KR_OK) fail_msg("%s: %s", path, kr_error());
    if (failed) fail_msg("%s: %s", path, first);
}

static void there_and_back(void **state) {
    (void)state;
    for (int i = 0; i < N_NAMES; i++) {
        const char *dir = new_folder();
        char gguf[1024], back[1024];
        snprintf(gguf, sizeof gguf, "%s/model.gguf", dir);
        snprintf(back, sizeof back, "%s/back", dir);
        if (kr_model_convert(hf_folder(names[i]), gguf, "float32") != KR_OK) fail_msg("%s: %s", names[i], kr_error());
        if (kr_model_convert(gguf, back, "float32") != KR_OK) fail_msg("%s: %s", names[i], kr_error());
        for (int k = 0; k < 2; k++) {
            copy_file(hf_folder(names[i]), k ? back : dir, "expected.safetensors");
            copy_file(hf_folder(names[i]), k ? back : dir, "expected_grads.safetensors");
        }
        must_verify(gguf);
        must_verify(back);
        assert_int_equal(kr_model_convert(gguf, gguf, "float32"), KR_ERR_CONFIG); /* there already */
        kr_dir_remove(dir);
    }
}

/* What llama.cpp would make of them. */
static void obstacles(void **state) {
    (void)state;
    static const char *const why[N_NAMES] = {NULL, "twice d_model", "epsilon", NULL, "biases"};
    for (int i = 0; i < N_NAMES; i++) {
        kr_model *m;
        assert_int_equal(kr_model_load(&m, hf_folder(names[i]), false, KR_F32, NULL), KR_OK);
        const char *got = kr_gguf_obstacle(m);
        if (!why[i] != !got || (got && !strstr(got, why[i]))) fail_msg("%s: %s", names[i], got ? got : "nothing");
        kr_model_release(m);
    }
}

static void precisions(void **state) {
    (void)state;
    static const struct { const char *dtype; double error; } cases[] = {{"bfloat16", 0.003}, {"float16", 0.0004}, {"q8_0", 0.008}, {"q4_0", 0.12}};
    static const char in_proj[] = "backbone.layers.0.mixer.in_proj.weight", a_log[] = "backbone.layers.0.mixer.A_log";
    const char *dir = new_folder();
    kr_st *want, *got;
    static float x[1 << 16], y[1 << 16];
    assert_int_equal(kr_st_open(&want, hf_folder("mamba")), KR_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = join(dir, "model.gguf");
        double num = 0, den = 0;
        if (kr_model_convert(hf_folder("mamba"), path, cases[i].dtype) != KR_OK) fail_msg("%s: %s", cases[i].dtype, kr_error());
        assert_int_equal(kr_st_open(&got, path), KR_OK);
        const kr_st_tensor *t = kr_st_find(want, in_proj), *a = kr_st_find(want, a_log);
        assert_int_equal(kr_st_read_f32(want, in_proj, t->n_dims, t->dim, x), KR_OK);
        assert_int_equal(kr_st_read_f32(got, in_proj, t->n_dims, t->dim, y), KR_OK);
        for (int64_t k = 0; k < t->count; k++) num += (x[k] - y[k]) * (x[k] - y[k]), den += x[k] * x[k];
        if (sqrt(num / den) > cases[i].error || num == 0) fail_msg("%s: in_proj is off by %g", cases[i].dtype, sqrt(num / den));
        assert_int_equal(kr_st_read_f32(want, a_log, a->n_dims, a->dim, x), KR_OK);
        assert_int_equal(kr_st_read_f32(got, a_log, a->n_dims, a->dim, y), KR_OK);
        for (int64_t k = 0; k < a->count; k++) assert_float_equal(x[k], y[k], 1e-6);
        kr_st_close(got);
        kr_file_remove(path);
    }
    kr_st_close(want);
    kr_dir_remove(dir);
}

static void mapped(void **state) {
    (void)state;
    kr_model *m, *copied;
    int64_t live = kr_mem_get_stats().n_live;
    assert_int_equal(kr_model_open(&m, hf_folder("mamba2"), &(kr_model_options){.mapped = true}), KR_OK);
    for (const kr_param *p = m->params->first; p; p = p->next)
        if (!p->lent) fail_msg("%s was copied", p->name);
    assert_int_equal(kr_model_load(&copied, hf_folder("mamba2"), true, KR_F32, NULL), KR_OK);
    for (const kr_param *p = m->params->first, *q = copied->params->first; p; p = p->next, q = q->next)
        assert_memory_equal(p->data, q->data, (size_t)kr_param_count(p) * sizeof(float));
    kr_model_release(copied);
    kr_model_free(m);
    assert_int_equal(kr_mem_get_stats().n_live, live);
}

static void nothing_is_left(void **state) {
    (void)state;
    const char *dir = new_folder();
    char gguf[1024], out[1024];
    kr_file_list list = {0};
    snprintf(gguf, sizeof gguf, "%s/model.gguf", dir);
    snprintf(out, sizeof out, "%s/model", dir);
    kr_status st = KR_ERR_NOMEM;
    for (int64_t at = 1; st != KR_OK; at += at / 16 + 1) {
        int64_t live = kr_mem_get_stats().n_live;
        kr_mem_fail_at(at);
        st = kr_model_convert(hf_folder("mamba"), gguf, "q8_0");
        kr_mem_fail_at(0);
        assert_true(st == KR_OK || st == KR_ERR_NOMEM);
        assert_int_equal(kr_mem_get_stats().n_live, live);
        assert_int_equal(kr_dir_list(&list, dir, KR_LIST_FILES | KR_LIST_HIDDEN), KR_OK);
        if (st != KR_OK) assert_int_equal(list.n, 0);
        kr_file_list_free(&list);
        list = (kr_file_list){0};
    }
    kr_dir_remove(dir);
}

int main(void) {
    if (!kr_dir_exists(hf_folder(names[0]))) {
        printf("skipped: there is no %s (KRAIT_SHARED says where to look)\n", hf_folder(names[0]));
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(there_and_back), cmocka_unit_test(obstacles), cmocka_unit_test(precisions),
                                       cmocka_unit_test(mapped), cmocka_unit_test(nothing_is_left)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
