/* check_memory.c - a step and a token allocate nothing; when memory runs out anywhere on
 * the way there, a status with a sentence comes back and nothing is lost. */
#include "base/mem_test.h"
#include "data/source.h"
#include "krait/train.h"
#include "model_case.h"
#include "train/adamw.h"

#define TINY "'model_type': 'krait', 'd_model': 8, 'n_layer': 1, 'vocab_size': 256, "
static const char *const mixers[] = {
    "{" TINY "'mixer': {'type': 'mamba1', 'd_state': 3}}",
    "{" TINY "'mixer': {'type': 'mamba2', 'd_state': 4, 'headdim': 4, 'learnable_init_states': true}}",
    "{" TINY "'mixer': {'type': 's4d', 'd_state': 4}}",
};
enum { N_MIXERS = sizeof mixers / sizeof *mixers };

/* --- nothing per step ----------------------------------------------------------------- */

static void test_training_steps(void **state) {
    (void)state;
    for (int i = 0; i < N_MIXERS; i++)
        for (int recompute = 0; recompute < 2; recompute++) {
            kr_model *m = model_of(mixers[i], 2);
            kr_graph *g = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_TRAIN, .S = 2, .L = 40, .dropout = 0.1, .checkpoint = recompute, .n_threads = 2});
            fill_inputs(m, g, 2, 40, 1);
            kr_graph_run(g, KR_RUN_ALL);
            int64_t before = kr_mem_get_stats().n_allocs;
            for (int step = 1; step <= 10; step++) {
                kr_adamw a = {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .scale = 1, .step = step, .n_threads = 2};
                kr_params_zero_grad(m->params);
                kr_graph_run(g, KR_RUN_ALL);
                assert_true(isfinite(kr_grad_norm(m->params, 2)));
                kr_adamw_step(m->params, &a);
            }
            assert_int_equal(kr_mem_get_stats().n_allocs, before);
            kr_graph_free(g);
            kr_model_release(m);
        }
}

static void save(const char *config, const char *dir) {
    kr_model *m = model_of(config, 2);
    if (kr_model_save(m, dir, KR_F32) != KR_OK) fail_msg("%s", kr_error());
    kr_model_release(m);
}

static void test_tokens(void **state) {
    static const kr_session_options how = {.temperature = 1, .top_k = 50, .top_p = 0.9f, .min_p = 0.01f, .repetition_penalty = 1.1f, .n_threads = 2};
    (void)state;
    for (int i = 0; i < N_MIXERS; i++) {
        const char *dir = new_folder();
        kr_model *m;
        kr_session *s = NULL;
        int32_t tok[700];
        for (int k = 0; k < 700; k++) tok[k] = k % 256;
        save(mixers[i], dir);
        if (kr_model_open(&m, dir, NULL) != KR_OK || kr_session_new(&s, m, &how) != KR_OK) fail_msg("%s", kr_error());
        assert_int_equal(kr_session_feed(s, tok, 700), KR_OK); /* makes the graphs of these lengths */
        int64_t before = kr_mem_get_stats().n_allocs;
        assert_int_equal(kr_session_feed(s, tok, 700), KR_OK);
        for (int k = 0; k < 100; k++) {
            int32_t t = kr_session_sample(s);
            assert_in_range(t, 0, 255);
            assert_int_equal(kr_session_feed(s, &t, 1), KR_OK);
        }
        kr_session_reset(s);
        assert_int_equal(kr_mem_get_stats().n_allocs, before);
        kr_session_free(s);
        kr_model_free(m);
        kr_dir_remove(dir);
    }
}

/* --- the n-th allocation fails, and all after it ------------------------------------------ */

static kr_status open_and_sample(void *user) {
    kr_model *m;
    kr_session *s;
    KR_TRY(kr_model_open(&m, user, NULL));
    kr_status st = kr_session_new(&s, m, &(kr_session_options){.n_threads = 1});
    if (st == KR_OK) {
        st = kr_session_feed(s, (const int32_t[]){1, 2, 3}, 3);
        kr_session_free(s);
    }
    kr_model_free(m);
    return st;
}

static void test_open(void **state) {
    (void)state;
    for (int i = 0; i < N_MIXERS; i++) {
        const char *dir = new_folder();
        save(mixers[i], dir);
        assert_true(until_it_works(open_and_sample, (void *)dir) > 50);
        kr_dir_remove(dir);
    }
}

static kr_status open_hugging_face(void *user) {
    kr_model *m;
    kr_config c;
    json_t *out;
    KR_TRY(kr_model_describe(&m, user, "config.json", KR_F32, NULL));
    kr_status st = kr_config_write(&m->config, &out);
    if (st == KR_OK) {
        st = kr_config_read(&c, out, "config.json");
        json_decref(out);
        if (st == KR_OK) kr_config_clear(&c);
    }
    kr_model_release(m);
    return st;
}

static void test_configs(void **state) {
    static const char *const all[] = {
        "{'model_type': 'mamba', 'hidden_size': 8, 'num_hidden_layers': 1, 'vocab_size': 9, 'state_size': 3}",
        "{'model_type': 'mamba2', 'hidden_size': 8, 'num_hidden_layers': 1, 'vocab_size': 9, 'head_dim': 4, 'num_heads': 4, 'n_groups': 1, 'time_step_limit': [0.1, 0.5]}",
        "{'d_model': 8, 'n_layer': 1, 'vocab_size': 9, 'ssm_cfg': {'layer': 'Mamba2', 'headdim': 4, 'A_init_range': [1, 3]}}"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        json_t *j = json_of(all[i]);
        assert_true(until_it_works(open_hugging_face, j) > 20);
        json_decref(j);
    }
}

typedef struct files { const char *dir, *text; } files;

static kr_status score_and_keep(void *user) {
    const files *f = user;
    char path[256];
    kr_model *m;
    kr_session *s;
    kr_eval_result r;
    kr_model_info info;
    snprintf(path, sizeof path, "%s/state", f->dir);
    KR_TRY(kr_model_describe_file(&info, f->dir, 2, 16, 0, true));
    KR_TRY(kr_model_open(&m, f->dir, &(kr_model_options){.dtype = "bfloat16"}));
    kr_status st = kr_eval_text(m, "some words to score", -1, 8, &r);
    if (st == KR_OK && (st = kr_session_new(&s, m, &(kr_session_options){.n_threads = 1, .prefill_tok = 2})) == KR_OK) {
        st = kr_session_feed(s, (const int32_t[]){1, 2, 3}, 3);
        if (st == KR_OK) st = kr_session_save(s, path);
        if (st == KR_OK) st = kr_session_load(s, path);
        kr_session_free(s);
    }
    kr_model_free(m);
    return st;
}

static void test_eval_and_state(void **state) {
    (void)state;
    files f = {.dir = new_folder()};
    save(mixers[0], f.dir);
    until_it_works(score_and_keep, &f);
    kr_dir_remove(f.dir);
}

static kr_status make_train(void *user) {
    const files *f = user;
    char paths[300], out[300], *recipe;
    kr_train *t;
    snprintf(paths, sizeof paths, "data.paths=%s", f->text);
    snprintf(out, sizeof out, "train.out=%s/model", f->dir);
    const char *const over[] = {paths, out, "mixer.type=mamba1", "d_model=8", "n_layer=1", "batch_size=2", "seq_len=16", "steps=3", "train.threads=1"};
    KR_TRY(kr_recipe_read(&recipe, NULL, over, sizeof over / sizeof *over));
    kr_status st = kr_train_new(&t, recipe, false, NULL);
    if (st == KR_OK) kr_train_free(t);
    kr_text_free(recipe);
    return st;
}

static void write_text(const char *path, size_t n) {
    kr_rng r = {1, 2, 0};
    char *text = kr_mem_new(n);
    for (size_t i = 0; i < n; i++) text[i] = "etaoin shrdlu\n"[kr_rng_below(&r, 14)];
    if (kr_file_write(path, text, n) != KR_OK) fail_msg("%s", kr_error());
    kr_mem_free(text);
}

static void test_train_new(void **state) {
    (void)state;
    char text[256];
    files f = {.dir = new_folder(), .text = text};
    snprintf(text, sizeof text, "%s/text.txt", f.dir);
    write_text(text, 5000);
    assert_true(until_it_works(make_train, &f) > 100);
    kr_dir_remove(f.dir);
}

static kr_status synthetic(void *user) {
    json_t *j = user;
    kr_source *s;
    KR_TRY(kr_source_open(&s, &(kr_source_options){.data = j, .S = 2, .L = 33, .seed = 1}));
    kr_source_close(s);
    return KR_OK;
}

static void test_sources(void **state) {
    static const char *const kinds[] = {"copying", "selective_copying", "induction_heads", "mqar", "associative_recall", "adding", "parity"};
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char text[64];
        snprintf(text, sizeof text, "{'kind': '%s'%s}", kinds[i], i < 2 ? ", 'n_tokens': 4" : "");
        json_t *j = json_of(text);
        until_it_works(synthetic, j);
        json_decref(j);
    }
}

/* A whole run: what fails after it began may cost a checkpoint, never the process. */
static void test_train_run(void **state) {
    (void)state;
    char text[256], recipe[1200];
    const char *dir = new_folder();
    snprintf(text, sizeof text, "%s/text.txt", dir);
    write_text(text, 5000);
    snprintf(recipe, sizeof recipe,
             "{\"model\": {\"model_type\": \"krait\", \"d_model\": 8, \"n_layer\": 1, \"vocab_size\": 256, \"mixer\": {\"type\": \"mamba1\", \"d_state\": 3}},"
             " \"data\": {\"paths\": \"%s\"}, \"train\": {\"out\": \"%s/model\", \"overwrite\": true, \"steps\": 3, \"batch_size\": 2, \"seq_len\": 16,"
             " \"checkpoint_every\": 1, \"eval_every\": 2, \"log_every\": 1, \"threads\": 1}}", text, dir);
    int64_t live = kr_mem_get_stats().n_live;
    bool done = false;
    for (int n = 1; n < 3000 && !done; n = n < 60 ? n + 1 : n + 7) {
        kr_train *t;
        if (kr_train_new(&t, recipe, false, NULL) != KR_OK) fail_msg("%s", kr_error());
        int64_t before = kr_mem_get_stats().n_allocs;
        kr_mem_fail_at(n);
        kr_status st = kr_train_run(t);
        kr_mem_fail_at(0);
        done = st == KR_OK && kr_mem_get_stats().n_allocs - before < n;
        if (st != KR_OK && (st != KR_ERR_NOMEM || !strstr(kr_error(), "memory"))) fail_msg("allocation %d fails: status %d: %s", n, st, kr_error());
        kr_train_free(t);
        assert_int_equal(kr_mem_get_stats().n_live, live);
    }
    assert_true(done);
    kr_dir_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_training_steps), cmocka_unit_test(test_tokens),    cmocka_unit_test(test_open),    cmocka_unit_test(test_configs),
        cmocka_unit_test(test_eval_and_state), cmocka_unit_test(test_train_new), cmocka_unit_test(test_sources), cmocka_unit_test(test_train_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
