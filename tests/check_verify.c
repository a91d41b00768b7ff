/* check_verify.c - kr_verify says yes to what another implementation computed from a model,
 * and no once a single weight is another.
 *
 * Looks in KRAIT_SHARED/fixtures/hf; exits with 77, which ctest calls skipped, when the
 * models are not there. */
#include "krait/verify.h"

#include "krait.h"
#include "model/safetensors.h"
#include "model_case.h"

static const char *const names[] = {"mamba", "mamba_odd", "falcon_mamba", "mamba2", "mamba2_groups", "bamba", "nemotron_h", "falcon_h1",
                                    "jamba", "granitemoehybrid", "zamba2"};
enum { N_NAMES = sizeof names / sizeof *names, N_GRADS = 5 }; /* hybrids have no gradients to compare with */

typedef struct tally { int rows, logits, gradients, failed; char first[300]; } tally;

static void count(void *user, const kr_verify_row *r) {
    tally *t = user;
    t->rows++;
    t->logits += strcmp(r->what, "logits") == 0;
    t->gradients += strncmp(r->what, "gradient of ", 12) == 0;
    if (!r->passed && t->failed++ == 0) snprintf(t->first, sizeof t->first, "%s is off by %g", r->what, r->error);
}

static void test_models(void **state) {
    (void)state;
    for (int i = 0; i < N_NAMES; i++) {
        tally t = {0};
        int failed;
        int64_t live = kr_mem_get_stats().n_live;
        if (kr_verify(hf_folder(names[i]), getenv("KRAIT_DEVICE"), count, &t, &failed) != KR_OK) fail_msg("%s: %s", names[i], kr_error());
        if (failed || t.failed) fail_msg("%s: %s", names[i], t.first);
        assert_int_equal(t.logits, 1);
        assert_true((t.gradients > 10) == (i < N_GRADS) && t.rows == t.gradients + 3); /* logits, loss, continuation */
        assert_int_equal(kr_mem_get_stats().n_live, live);
    }
}

/* What transformers 5.23 computed, whose Mamba-2 normalises group by group. */
static void test_groups(void **state) {
    (void)state;
    tally t = {0};
    int failed;
    if (kr_verify(KRAIT_SOURCE_DIR "/tests/data/mamba2_groups", getenv("KRAIT_DEVICE"), count, &t, &failed) != KR_OK) fail_msg("%s", kr_error());
    if (failed) fail_msg("%s", t.first);
    assert_true(t.logits == 1 && t.gradients > 10);
}

/* Nemotron 3: experts with relu2 in a narrower stream beside a shared one (scripts/nemotron-golden.py). */
static void test_experts(void **state) {
    (void)state;
    tally t = {0};
    int failed;
    if (kr_verify(KRAIT_SOURCE_DIR "/tests/data/nemotron_experts", getenv("KRAIT_DEVICE"), count, &t, &failed) != KR_OK) fail_msg("%s", kr_error());
    if (failed) fail_msg("%s", t.first);
    assert_true(t.logits == 1);
}

/* The largest value of the last norm, moved by a tenth. */
static void change_one_weight(const char *dir) {
    char path[1024];
    kr_st *st;
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    if (kr_st_open(&st, path) != KR_OK) fail_msg("%s", kr_error());
    const kr_st_tensor *t = kr_st_find(st, "backbone.norm_f.weight");
    assert_true(t && t->dtype == KR_ST_F32);
    float x;
    void *data;
    size_t n, at = 0;
    memcpy(&x, t->data, sizeof x);
    if (kr_file_read(&data, &n, path) != KR_OK) fail_msg("%s", kr_error());
    while (memcmp((char *)data + at, t->data, t->n_bytes)) at++;
    kr_st_close(st);
    x *= 1.1f;
    memcpy((char *)data + at, &x, sizeof x);
    if (kr_file_write(path, data, n) != KR_OK) fail_msg("%s", kr_error());
    kr_mem_free(data);
}

static void test_corrupted(void **state) {
    static const char *const files[] = {"config.json", "model.safetensors", "expected.safetensors", "expected_grads.safetensors"};
    (void)state;
    for (int i = 0; i < N_GRADS; i++) {
        const char *dir = new_folder();
        tally t = {0};
        int failed;
        for (size_t k = 0; k < sizeof files / sizeof *files; k++) copy_file(hf_folder(names[i]), dir, files[k]);
        change_one_weight(dir);
        if (kr_verify(dir, getenv("KRAIT_DEVICE"), count, &t, &failed) != KR_OK) fail_msg("%s: %s", names[i], kr_error());
        assert_true(failed > 0 && failed == t.failed);
        assert_true(strncmp(t.first, "logits", 6) == 0);
        kr_dir_remove(dir);
    }
}

static void test_not_there(void **state) {
    (void)state;
    tally t = {0};
    int failed;
    const char *dir = new_folder();
    assert_int_equal(kr_verify("/nowhere/at/all", getenv("KRAIT_DEVICE"), count, &t, &failed), KR_ERR_IO);
    assert_non_null(strstr(kr_error(), "/nowhere/at/all"));
    copy_file(hf_folder(names[0]), dir, "config.json");
    copy_file(hf_folder(names[0]), dir, "model.safetensors");
    assert_true(kr_verify(dir, getenv("KRAIT_DEVICE"), count, &t, &failed) < 0);
    assert_non_null(strstr(kr_error(), "expected.safetensors"));
    kr_dir_remove(dir);
}

/* Every family runs woven, in each type of matrices, to the bits that it has as the file lies. */
static void weaves(void **state) {
    (void)state;
    static const char *const types[] = {NULL, "bfloat16", "q8_0", "q4_k"};
    int32_t tok[19];
    for (int i = 0; i < 19; i++) tok[i] = 5 + 7 * i % 40;
    for (int i = 0; i < N_NAMES; i++)
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            float *want = NULL;
            for (int woven = 0; woven < 2; woven++) {
                kr_model *m;
                kr_session *s;
                kr_model_options o = {.dtype = types[t], .mapped = !woven, .woven = woven};
                if (kr_model_open(&m, hf_folder(names[i]), &o) != KR_OK) fail_msg("%s: %s", names[i], kr_error());
                if (kr_session_new(&s, m, NULL) != KR_OK || kr_session_feed(s, tok, 18) != KR_OK || kr_session_feed(s, tok + 18, 1) != KR_OK)
                    fail_msg("%s: %s", names[i], kr_error());
                size_t bytes = (size_t)kr_model_vocab_size(m) * sizeof *want;
                if (!woven) want = memcpy(malloc(bytes), kr_session_logits(s), bytes);
                else if (memcmp(want, kr_session_logits(s), bytes) != 0) fail_msg("%s %s: woven it differs", names[i], types[t] ? types[t] : "as it is");
                kr_session_free(s);
                kr_model_free(m);
            }
            free(want);
        }
}

int main(void) {
    if (!kr_dir_exists(hf_folder(names[0]))) {
        printf("skipped: there is no %s (KRAIT_SHARED says where to look)\n", hf_folder(names[0]));
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_models), cmocka_unit_test(test_groups), cmocka_unit_test(test_experts), cmocka_unit_test(test_corrupted), cmocka_unit_test(test_not_there), cmocka_unit_test(weaves)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
