/* task_test.c - files of zero-shot tasks become the contexts and answers that lm-evaluation-harness asks for, and the
 * scores of a small model's answers are those of reading them token by token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "infer/task.h"
#include "krait/eval.h"
#include "krait/infer.h"
#include "model/model.h"
#include "text/tokenizer.h"

static void worded(void **state) {
    (void)state;
    static const struct { kr_task task; const char *text, *context, *last_context, *last_answer; int n, right, characters; } cases[] = {
        {KR_TASK_LAMBADA, "{\"text\": \"He said the word\"}", "He said the", "He said the", " word", 1, 0, 1},
        {KR_TASK_PIQA, "\n{\"goal\": \"Cut\", \"sol1\": \"x\", \"sol2\": \"a k\\u00e9\", \"label\": 1}\n", "Question: Cut\nAnswer:", "Question: Cut\nAnswer:", " a k\u00e9", 2, 1, 4},
        {KR_TASK_PIQA, "{\"query\": \"Question: Cut\\n\", \"choices\": [\"x\", \"y\"], \"gold\": 0}", "Question: Cut\nAnswer:", "Question: Cut\nAnswer:", " y", 2, 0, 1},
        {KR_TASK_ARC, "{\"question\": \"Why\", \"choices\": {\"text\": [\"a\", \"b\", \"c\"], \"label\": [\"1\", \"2\", \"3\"]}, \"answerKey\": \"3\"}", "Question: Why\nAnswer:",
         "Question: Why\nAnswer:", " c", 3, 2, 1},
        {KR_TASK_ARC, "{\"question\": {\"stem\": \"Why\", \"choices\": [{\"text\": \"a\", \"label\": \"A\"}, {\"text\": \"b\", \"label\": \"B\"}]}, \"answerKey\": \"A\"}",
         "Question: Why\nAnswer:", "Question: Why\nAnswer:", " b", 2, 0, 1},
        {KR_TASK_WINOGRANDE, "{\"sentence\": \"Ann met Bo and _ left .\", \"option1\": \"Ann\", \"option2\": \"Bo\", \"answer\": \"2\"}", "Ann met Bo and Ann", "Ann met Bo and Bo",
         " left .", 2, 1, 6},
        {KR_TASK_WINOGRANDE, "{\"context_options\": [\"so Ann\", \"so Bo\"], \"continuation\": \"left\", \"gold\": 0}", "so Ann", "so Bo", " left", 2, 0, 4},
        {KR_TASK_HELLASWAG, "{\"activity_label\": \"Ski\", \"ctx_a\": \"A man [header] stands.\", \"ctx_b\": \"he Then\", \"endings\": [\"a\", \"b [step]  c\"], \"label\": \"1\"}",
         "Ski: A man stands. He then", "Ski: A man stands. He then", " b  c", 2, 1, 4},
        {KR_TASK_HELLASWAG, "Ski: A man stands. he\n3\na\nb\nc\nd [title] e\n", "Ski: A man stands. He", "Ski: A man stands. He", " d. e", 4, 3, 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kr_questions q = {0};
        if (kr_questions_read(&q, cases[i].task, cases[i].text, strlen(cases[i].text)) != KR_OK) fail_msg("%zu: %s", i, kr_error());
        assert_int_equal(q.n, 1);
        assert_int_equal(q.q->n, cases[i].n);
        assert_int_equal(q.q->right, cases[i].right);
        assert_string_equal(q.q->context[0], cases[i].context);
        assert_string_equal(q.q->context[cases[i].n - 1], cases[i].last_context);
        assert_string_equal(q.q->answer[cases[i].n - 1], cases[i].last_answer);
        assert_int_equal(q.q->n_characters[cases[i].n - 1], cases[i].characters);
        kr_questions_free(&q);
    }
}

static void refused(void **state) {
    (void)state;
    static const struct { kr_task task; const char *text, *want; } cases[] = {
        {KR_TASK_LAMBADA, "", "no questions"},
        {KR_TASK_LAMBADA, "{\"text\": \"one\"}", "several words"},
        {KR_TASK_LAMBADA, "{\"text\": \"a b\"}\n[1]", "line 2"},
        {KR_TASK_PIQA, "{\"goal\": \"a\", \"sol1\": \"b\", \"sol2\": \"c\"}", "no \"label\""},
        {KR_TASK_PIQA, "{\"goal\": \"a\", \"sol1\": \"b\", \"sol2\": \"c\", \"label\": 2}", "none of those given"},
        {KR_TASK_PIQA, "{\"goal\": \"a\", \"sol1\": \"b\", \"sol2\": \"c\", \"label\": 4294967296}", "none of those given"},
        {KR_TASK_ARC, "{\"query\": \"a\", \"choices\": [1], \"gold\": 0}", "no text"},
        {KR_TASK_WINOGRANDE, "{\"sentence\": \"no gap\", \"answer\": \"1\"}", "option1"},
        {KR_TASK_HELLASWAG, "a\n0\nb\n", "fewer than six"},
        {KR_TASK_HELLASWAG, "a\nx\nb\nc\nd\ne\n", "none of those given"},
    };
    kr_task task;
    assert_int_equal(kr_task_find(&task, "mmlu"), KR_ERR_ARG);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kr_questions q = {0};
        assert_int_equal(kr_questions_read(&q, cases[i].task, cases[i].text, strlen(cases[i].text)), KR_ERR_FORMAT);
        if (!strstr(kr_error(), cases[i].want)) fail_msg("says: %s\nwant: %s", kr_error(), cases[i].want);
        kr_questions_free(&q);
    }
}

/* The last word of lambada, token by token through a session; a model of bytes, so every byte is one. */
static void scores(void **state) {
    (void)state;
    static const char text[] = "{\"text\": \"the krait sleeps by daylight and more and more\"}", context[] = "the krait sleeps by daylight and more and", answer[] = " more";
    json_t *j = json_pack("{s:s, s:i, s:i, s:i, s:{s:s, s:i}}", "model_type", "krait", "d_model", 16, "n_layer", 2, "vocab_size", 256, "mixer", "type", "mamba1", "d_state", 4);
    kr_model *m;
    kr_session *s;
    kr_task_result r;
    if (kr_model_describe(&m, j, "test", KR_F32, NULL) != KR_OK) fail_msg("%s", kr_error());
    json_decref(j);
    assert_int_equal(kr_params_alloc(m->params, false), KR_OK);
    kr_params_init(m->params, 3);
    assert_int_equal(kr_eval_task(m, "lambada", text, -1, NULL, &r), KR_OK);
    assert_int_equal(kr_session_new(&s, m, NULL), KR_OK);
    double logprob = 0;
    for (const char *p = context; *p; p++) assert_int_equal(kr_session_feed(s, &(int32_t){(unsigned char)*p}, 1), KR_OK);
    for (const char *p = answer; *p; p++) {
        logprob += kr_logprob_of(kr_session_logits(s), 256, (unsigned char)*p);
        assert_int_equal(kr_session_feed(s, &(int32_t){(unsigned char)*p}, 1), KR_OK);
    }
    assert_int_equal(r.n, 1);
    if (fabs(log(r.perplexity) + logprob) > 1e-4) fail_msg("%g, want %g", log(r.perplexity), -logprob);
    kr_session_free(s);
    kr_model_release(m);
}

/* A tokenizer with a token that the model has no row for: no score of it, and no reading beyond the model's. */
static void foreign_tokens(void **state) {
    (void)state;
    json_t *j = json_pack("{s:s, s:i, s:i, s:i, s:{s:s, s:i}}", "model_type", "krait", "d_model", 16, "n_layer", 1, "vocab_size", 256, "mixer", "type", "mamba1", "d_state", 4);
    static const char *const lines[] = {"{\"text\": \"the krait <x>\"}", "{\"text\": \"<x> krait sleeps\"}", "{\"text\": \"the krait sleeps\"}"};
    kr_str s = {0};
    kr_model *m;
    kr_task_result r;
    kr_eval_result e;
    kr_str_append(&s, "{\"pre_tokenizer\": {\"type\": \"ByteLevel\"}, \"added_tokens\": [{\"id\": 1000000, \"content\": \"<x>\"}], \"model\": {\"merges\": [], \"vocab\": {");
    for (int b = 0; b < 256; b++) {
        kr_str letter = {0};
        kr_spell_bytes(&letter, &(unsigned char){(unsigned char)b}, 1);
        if (b) kr_str_append_char(&s, ',');
        kr_str_append_json(&s, kr_str_text(&letter));
        kr_str_appendf(&s, ":%d", b);
        kr_str_free(&letter);
    }
    kr_str_append(&s, "}}}");
    if (kr_model_describe(&m, j, "test", KR_F32, NULL) != KR_OK) fail_msg("%s", kr_error());
    json_decref(j);
    assert_int_equal(kr_params_alloc(m->params, false), KR_OK);
    kr_params_init(m->params, 3);
    if (kr_tokenizer_open_text(&m->tokenizer, kr_str_text(&s), s.n, "test") != KR_OK) fail_msg("%s", kr_error());
    for (int i = 0; i < 3; i++) {
        kr_status want = i < 2 ? KR_ERR_ARG : KR_OK;
        assert_int_equal(kr_eval_task(m, "lambada", lines[i], -1, NULL, &r), want);
        if (want != KR_OK) assert_non_null(strstr(kr_error(), "is 1000000, want 0 to 255"));
        assert_int_equal(kr_eval_text(m, lines[i], -1, 8, &e), want);
        if (want != KR_OK) assert_non_null(strstr(kr_error(), "is 1000000, want 0 to 255"));
    }
    kr_str_free(&s);
    kr_model_release(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(worded), cmocka_unit_test(refused), cmocka_unit_test(scores), cmocka_unit_test(foreign_tokens)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
