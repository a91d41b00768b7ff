/* fuzz_task.c - a file of zero-shot questions of any bytes: refused with a sentence that names the task, or questions
 * whose every choice has a context, an answer of its own and a length, which a model can score.
 *
 * The first line says which task; what follows is the file. */
#include "fuzz_case.h"

#include <math.h>
#include <string.h>

#include "infer/task.h"
#include "krait/eval.h"
#include "model/model.h"

enum { SHORT = 400 }; /* bytes of a file that is worth a model's time */
static const char *const seeds[] = {
    "lambada\n{\"text\": \"He said the word\"}\n{\"text\": \"one two\"}",
    "piqa\n{\"goal\": \"Cut\", \"sol1\": \"x\", \"sol2\": \"a k\\u00e9\", \"label\": 1}\n",
    "piqa\n{\"query\": \"Question: Cut\\n\", \"choices\": [\"x\", \"y\"], \"gold\": 0}",
    "arc\n{\"question\": \"Why\", \"choices\": {\"text\": [\"a\", \"b\", \"c\"], \"label\": [\"1\", \"2\", \"3\"]}, \"answerKey\": \"3\"}",
    "arc\n{\"question\": {\"stem\": \"Why\", \"choices\": [{\"text\": \"a\", \"label\": \"A\"}, {\"text\": \"b\", \"label\": \"B\"}]}, \"answerKey\": \"A\"}",
    "winogrande\n{\"sentence\": \"Ann met Bo and _ left .\", \"option1\": \"Ann\", \"option2\": \"Bo\", \"answer\": \"2\"}",
    "winogrande\n{\"context_options\": [\"so Ann\", \"so Bo\"], \"continuation\": \"left\", \"gold\": 0}",
    "hellaswag\n{\"activity_label\": \"Ski\", \"ctx_a\": \"A man [header] stands.\", \"ctx_b\": \"he Then\", \"endings\": [\"a\", \"b [step]  c\"], \"label\": \"1\"}",
    "hellaswag\nSki: A man stands. he\n3\na\nb\nc\nd [title] e\n\nb. c\n0\na\nb\nc\nd",
};
const long fuzz_inputs = 5000;
const char *const fuzz_words[] = {"lambada\n", "hellaswag\n", "piqa\n", "arc\n", "winogrande\n", "\"query\": ", "\"choices\": ", "\"gold\": ", "\"label\": ", "\"answerKey\": ", "\"text\": ", "\"endings\": [",
                                  "[]", "{}", "[", "]", "{", "}", "\"\"", "\" \"", "null", " [title]", "  ", "_", "\n", "\n{", ". ", "\xc3", "-1", NULL};

size_t fuzz_seed(int i, uint8_t *to, size_t room) { return i < (int)(sizeof seeds / sizeof *seeds) ? fuzz_text(seeds[i], to, room) : 0; }

static void look_at(const kr_question *q) {
    FUZZ_MUST(q->n >= 1 && q->n <= KR_MAX_CHOICES && q->right >= 0 && q->right < q->n);
    for (int i = 0; i < q->n; i++) {
        FUZZ_MUST(q->context[i] && q->answer[i] && q->answer[i][0] == ' ');
        FUZZ_MUST(q->n_characters[i] >= 1 && q->n_characters[i] <= (int64_t)strlen(q->answer[i]));
        FUZZ_MUST(!q->one_context || q->context[i] == q->context[0]);
    }
}

static void score(const kr_model *m, const char *name, const char *text, size_t n) {
    kr_task_result r;
    kr_status st = kr_eval_task(m, name, text, (int64_t)n, &(kr_task_options){.limit = 2, .n_threads = 1}, &r);
    FUZZ_MUST(st == KR_OK || (st == KR_ERR_FORMAT && *kr_error()));
    if (st != KR_OK) return;
    FUZZ_MUST(r.n >= 1 && r.n <= 2 && r.acc >= 0 && r.acc <= 1 && r.acc_norm >= 0 && r.acc_norm <= 1);
    FUZZ_MUST(isfinite(r.acc_stderr) && isfinite(r.acc_norm_stderr) && r.perplexity >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static kr_model *m;
    char name[16] = "";
    const uint8_t *end = n ? memchr(data, '\n', n < sizeof name ? n : sizeof name) : NULL;
    kr_task task;
    kr_questions q = {0};
    if (!end) return 0;
    memcpy(name, data, (size_t)(end - data));
    if (kr_task_find(&task, name) != KR_OK) return 0;
    if (!m) m = fuzz_bytes_model();
    const char *text = (const char *)end + 1;
    size_t left = n - (size_t)(end - data) - 1;
    int64_t live = kr_mem_get_stats().n_live;
    kr_status st = kr_questions_read(&q, task, text, left);
    FUZZ_MUST(st == KR_OK || (st == KR_ERR_FORMAT && strncmp(kr_error(), name, strlen(name)) == 0));
    FUZZ_MUST(st != KR_OK || q.n > 0);
    for (size_t i = 0; st == KR_OK && i < q.n; i++) look_at(&q.q[i]);
    kr_questions_free(&q);
    if (st == KR_OK && left <= SHORT) score(m, name, text, left);
    FUZZ_MUST(kr_mem_get_stats().n_live == live);
    return 0;
}
