/* gguf_test.c - a GGUF file made by hand is read to the last number and token, and files that must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../tests/gguf_case.h"
#include "base/file.h"

static char path[] = "/tmp/krait-gguf-XXXXXX";

static void save(kr_str *s) {
    assert_int_equal(kr_str_status(s), KR_OK);
    assert_int_equal(kr_file_write(path, s->text, s->n), KR_OK);
    kr_str_free(s);
}

static void whole_model(void **state) {
    (void)state;
    kr_str s = {0};
    kr_model *m;
    int32_t tok[16];
    put_model(&s, KR_F32);
    save(&s);
    if (kr_model_load(&m, path, false, KR_F32, NULL) != KR_OK) fail_msg("%s", kr_error());
    assert_int_equal(m->config.d_model, CASE_M);
    assert_int_equal(m->config.vocab_size, CASE_V);
    assert_int_equal(m->config.eos_token_id, 258);
    assert_true(m->config.tie_embeddings && m->config.norm_eps == 1e-5);
    const kr_param *a = kr_params_find(m->params, "backbone.layers.0.mixer.A_log"), *w = kr_params_find(m->params, "backbone.layers.0.mixer.in_proj.weight");
    assert_true(a && w && w->lent);
    assert_float_equal(((float *)a->data)[0], -0.6931472, 1e-6); /* log of 0.5 */
    assert_float_equal(((float *)w->data)[17], -0.5, 0);
    assert_int_equal(kr_tokenizer_encode(m->tokenizer, "that<|end|>    \xff", -1, tok, 16), 3 + 1 + 1 + 3);
    const int32_t want[] = {256, 'a', 't', 258, 259, 0xEF, 0xBF, 0xBD};
    for (int i = 0; i < 8; i++) assert_int_equal(tok[i], want[i]);
    assert_true(kr_tokenizer_is_special(m->tokenizer, 258) && !kr_tokenizer_is_special(m->tokenizer, 259));
    assert_null(kr_tokenizer_text(m->tokenizer, 257, NULL));
    kr_model_release(m);
}

static void container(kr_str *s, int which) {
    const uint64_t two[2] = {32, 2}, none[2] = {0, 2}, huge[3] = {1ull << 40, 1ull << 40, 1ull << 40}, odd[2] = {33, 2}, five[5] = {1, 1, 1, 1, 1};
    switch (which) {
    case 0: kr_str_append(s, "GGUF"); break;
    case 1: put_header(s, 1, 0, 0); break;
    case 2: put_header(s, 3, UINT64_MAX, 0); break;
    case 3: put_header(s, 3, 0, UINT64_MAX / 2); put_pair_int(s, "a", 1); break;
    case 4: put_header(s, 3, 0, 1); put_int(s, UINT64_MAX, 8); kr_str_append(s, "abcdefghij"); break;
    case 5: put_header(s, 3, 0, 1); put_key(s, "a", (kr_gguf_kind)13); put_int(s, 0, 8); break;
    case 6: put_header(s, 3, 0, 1); put_key(s, "a", KR_GGUF_ARRAY); put_int(s, KR_GGUF_U64, 4); put_int(s, 1ull << 61, 8); break;
    case 7: put_header(s, 3, 0, 1); put_key(s, "a", KR_GGUF_ARRAY); put_int(s, KR_GGUF_ARRAY, 4); put_int(s, 1, 8); break;
    case 8: put_header(s, 3, 0, 2); put_pair_int(s, "a", 1); put_pair_int(s, "a", 2); break;
    case 9: put_header(s, 3, 0, 1); put_pair_int(s, "general.alignment", 24); break;
    case 10: put_header(s, 3, 0, 1); put_pair_int(s, "a\nb", 1); break;
    case 11: put_header(s, 3, 1, 0); put_info(s, "a", 2, none, 0, 0); put_int(s, 0, 8); break;
    case 12: put_header(s, 3, 1, 0); put_info(s, "a", 3, huge, 0, 0); break;
    case 13: put_header(s, 3, 1, 0); put_info(s, "a", 2, odd, 8, 0); break;
    case 14: put_header(s, 3, 1, 0); put_info(s, "a", 5, five, 0, 0); break;
    case 15: put_header(s, 3, 1, 0); put_info(s, "a", 2, two, 13, 0); break;
    case 16: put_header(s, 3, 1, 0); put_info(s, "a", 2, two, 0, 4); break;
    case 17: put_header(s, 3, 1, 0); put_info(s, "a", 2, two, 0, 0); kr_str_append(s, "too few"); break;
    case 18: put_header(s, 3, 1, 0); put_info(s, "a", 2, two, 0, UINT64_MAX - 31); break;
    case 19:
        put_header(s, 3, 2, 0);
        put_info(s, "a", 2, two, 0, 0);
        put_info(s, "b", 2, two, 0, 32);
        for (int i = 0; i < 512; i++) kr_str_append_char(s, 0);
        break;
    case 20:
        put_header(s, 3, 2, 0);
        put_info(s, "a", 2, two, 0, 0);
        put_info(s, "a", 2, two, 0, 256);
        for (int i = 0; i < 600; i++) kr_str_append_char(s, 0);
        break;
    case 21: put_header(s, 3, 0, 1); put_pair_text(s, "general.architecture", "llama"); break;
    case 22: put_header(s, 3, 0, 1); put_pair_int(s, "general.architecture", 1); break;
    case 23: put_header(s, 3 << 24, 0, 0); break;
    }
}

static void refused(void **state) {
    (void)state;
    static const char *const says[] = {"its version", "version 1", "tensors do not fit", "keys do not fit", "the file ends before", "type is 13", "elements, but", "array of arrays",
                                       "is there twice", "alignment", "control character", "shape is 0", "more elements", "no whole blocks", "5 sizes", "type 13",
                                       "want a multiple", "lie beyond", "lie beyond", "over each other", "is there twice", "architecture is llama", "architecture is missing", "the high byte"};
    for (int i = 0; i < (int)(sizeof says / sizeof *says); i++) {
        kr_str s = {0};
        kr_st *st = NULL;
        int64_t live = kr_mem_get_stats().n_live;
        container(&s, i);
        save(&s);
        assert_int_equal(kr_st_open(&st, path), KR_ERR_FORMAT);
        if (!strstr(kr_error(), says[i])) fail_msg("%d says: %s\nwant: %s", i, kr_error(), says[i]);
        assert_int_equal(kr_mem_get_stats().n_live, live);
    }
}

/* Every way to cut a good file short fails, whoever reads it. */
static void cut_short(void **state) {
    (void)state;
    kr_str s = {0};
    put_model(&s, KR_Q8_0);
    for (size_t n = 4; n < s.n; n += n < 256 ? 1 : n / 16) {
        kr_st *st = NULL;
        assert_int_equal(kr_file_write(path, s.text, n), KR_OK);
        assert_int_equal(kr_st_open(&st, path), KR_ERR_FORMAT);
    }
    kr_str_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(whole_model), cmocka_unit_test(refused), cmocka_unit_test(cut_short)};
    int fd = mkstemp(path), bad;
    if (fd < 0) return 1;
    bad = cmocka_run_group_tests(tests, NULL, NULL);
    close(fd);
    unlink(path);
    return bad;
}
