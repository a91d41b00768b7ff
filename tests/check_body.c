/* check_body.c - a request's body takes memory by its bytes, whatever is in it; a server whose model is on a device. */
#include "serve_case.h"

static const char *text_in(const json_t *j, size_t i) { return json_string_value(json_object_get(json_array_get(json_object_get(j, "choices"), i), "text")); }

/* A list of tokens takes a small multiple of its bytes, however short its numbers are; and is what it was. */
static void test_token_lists(void **state) {
    bench b = start((kr_server_options){.max_prompt = 3000000});
    kr_str s = {0};
    (void)state;
    begin(&b);
    kr_str_append(&s, "{\"prompt\": [");
    for (int i = 0; i < 4000000; i++) kr_str_append(&s, i ? ",7" : "7");
    kr_str_append(&s, "]}");
    int64_t n = (int64_t)s.n, before = kr_mem_get_stats().peak_bytes, live = kr_mem_get_stats().live_bytes;
    answer a = once(&b, "POST", "/v1/completions", "", s.text);
    int64_t peak = kr_mem_get_stats().peak_bytes;
    assert_non_null(strstr(a.body, "4000000 tokens"));
    refused_by(a, 400, "invalid_value", "prompt");
    if (peak > before && peak - live > 8 * n) fail_msg("a body of %lld bytes took %lld", (long long)n, (long long)(peak - live));
    kr_str_free(&s);
    static const char *const same[] = {"{'prompt': [[97, 98, 99, 97, 98, 99, 97, 98, 99, 97, 98, 99, 97, 98, 99, 97, 98],[ 99,97\n,98 , 99,97,98,99,97,98,99,97,98,99,97,98,99,97 ]], 'seed': 1, 'max_tokens': 5, 'temperature': 0}",
                                       "{'prompt': ['abcabcabcabcabcab', 'cabcabcabcabcabca'], 'seed': 1, 'max_tokens': 5, 'temperature': 0}"};
    answer one = post(&b, "/v1/completions", same[0]), two = post(&b, "/v1/completions", same[1]);
    json_t *j = json_in(&one), *k = json_in(&two);
    for (size_t i = 0; i < 2; i++) assert_string_equal(text_in(j, i), text_in(k, i));
    json_decref(j);
    json_decref(k);
    forget(&one);
    forget(&two);
    a = post(&b, "/detokenize", "{'tokens': [97, 98, 99, 97, 98, 99, 97, 98, 99, 97, 98, 99, 97, 98, 99, 97, 98]}");
    assert_non_null(strstr(a.body, "\"abcabcabcabcabcab\""));
    forget(&a);
    static const char *const bad[] = {"1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 256", "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 99999999999",
                                      "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, -1", "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 'a'", "null, 0", "null, 7"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char body[200];
        snprintf(body, sizeof body, "{'prompt': [%s]}", bad[i]);
        refused_by(post(&b, "/v1/completions", body), 400, "invalid_value", "prompt");
    }
    refused_by(post(&b, "/v1/completions", "{'prompt': [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 016]}"), 400, "invalid_json", NULL);
    refused_by(post(&b, "/v1/completions", "{'prompt': [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16"), 400, "invalid_json", NULL);
    end(&b);
}

/* Embeddings are made on a CPU alone; all else goes on a device as well. */
static void test_device(void **state) {
    const char *dir = new_folder();
    kr_model *m = model_of(tiny, 5);
    kr_server *s;
    (void)state;
    assert_int_equal(kr_model_save(m, dir, KR_F32), KR_OK);
    kr_model_free(m);
    int64_t live = kr_mem_get_stats().n_live;
    kr_status st = kr_model_open(&m, dir, &(kr_model_options){.device = "cuda"});
    assert_int_equal(kr_dir_remove(dir), KR_OK);
    if (st == KR_ERR_MISSING) skip(); /* KRAIT_CUDA_LIB names none, as ctest has it, and there is no GPU */
    if (st != KR_OK) fail_msg("%s", kr_error());
    assert_int_equal(kr_server_new(&s, m, &(kr_server_options){.engine = {.n_threads = 1}}), KR_OK);
    bench b = {.m = m, .s = s, .drain_s = 20, .live = live};
    begin(&b);
    answer a = post(&b, "/v1/completions", "{'prompt': 'the krait', 'max_tokens': 5, 'temperature': 0}");
    assert_int_equal(a.status, 200);
    forget(&a);
    refused_by(post(&b, "/v1/embeddings", "{'input': 'a'}"), 501, "no_embeddings", NULL);
    end(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_token_lists), cmocka_unit_test(test_device)};
#ifndef KR_WITH_SERVER
    puts("check_body: skipped, this build has no server (libmicrohttpd)");
    return 77;
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
