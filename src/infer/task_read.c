/* task_read.c - files of zero-shot tasks as contexts and answers, worded as lm-evaluation-harness words them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "infer/task.h"

static const char *const names[KR_N_TASK] = {"lambada", "hellaswag", "piqa", "arc", "winogrande"};

typedef struct reader { kr_questions *to; kr_task task; int64_t line; } reader;

#define REFUSE(r, ...) return refuse(r, __VA_ARGS__)

static kr_status refuse(const reader *r, const char *what) {
    KR_FAIL(KR_ERR_FORMAT, "%s: line %lld: %s", names[r->task], (long long)r->line, what);
}

kr_status kr_task_find(kr_task *task, const char *name) {
    for (int i = 0; i < KR_N_TASK; i++)
        if (strcmp(name, names[i]) == 0) return *task = (kr_task)i, KR_OK;
    KR_FAIL(KR_ERR_ARG, "there is no task \"%s\", want lambada, hellaswag, piqa, arc or winogrande", name);
}

/* --- texts ---------------------------------------------------------------------------------- */

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static char *keep(reader *r, const char *text, size_t n) {
    char *copy = kr_arena_new(&r->to->arena, n + 1);
    if (copy && n) memcpy(copy, text, n);
    return copy;
}

static char *joined(reader *r, const char *a, const char *b, const char *c) {
    size_t n = strlen(a) + strlen(b) + strlen(c);
    char *s = kr_arena_new(&r->to->arena, n + 1);
    if (s) snprintf(s, n + 1, "%s%s%s", a, b, c);
    return s;
}

static char *stripped(reader *r, const char *text) {
    size_t n = strlen(text);
    while (n && is_space(*text)) text++, n--;
    while (n && is_space(text[n - 1])) n--;
    return keep(r, text, n);
}

static void replace(char *s, const char *what, const char *with) { /* no longer than it was */
    size_t n = strlen(what), m = strlen(with);
    char *to = s;
    for (const char *p = s; *p;) {
        if (strncmp(p, what, n) == 0) memcpy(to, with, m), to += m, p += n;
        else *to++ = *p++;
    }
    *to = 0;
}

/* HellaSwag's texts hold marks of the pages they come from. */
static char *without_marks(reader *r, const char *text) {
    char *s = stripped(r, text);
    if (!s) return NULL;
    replace(s, " [title]", ". ");
    char *to = s;
    for (const char *p = s; *p;) {
        const char *end = *p == '[' ? p + strcspn(p, "]\n") : NULL;
        if (end && *end == ']') p = end + 1;
        else *to++ = *p++;
    }
    *to = 0;
    replace(s, "  ", " ");
    return s;
}

static int64_t characters(const char *s) {
    int64_t n = 0;
    for (; *s; s++) n += (*s & 0xC0) != 0x80;
    return n;
}

/* --- questions --------------------------------------------------------------------------------- */

static kr_status add(reader *r, const kr_question *q) {
    kr_questions *to = r->to;
    if (q->right < 0 || q->right >= q->n) REFUSE(r, "the right answer is none of those given");
    if (to->n == to->room) {
        size_t room = to->room ? 2 * to->room : 256;
        kr_question *more = kr_mem_resize(to->q, room * sizeof *more);
        if (!more) return KR_ERR_NOMEM;
        to->q = more, to->room = room;
    }
    to->q[to->n++] = *q;
    return KR_OK;
}

/* An answer stands behind a space, which is none of its characters. */
static kr_status add_answer(reader *r, kr_question *q, const char *context, const char *answer) {
    if (q->n == KR_MAX_CHOICES) REFUSE(r, "there are more than 8 answers");
    if (!context || !(q->answer[q->n] = joined(r, " ", answer, ""))) return KR_ERR_NOMEM;
    q->context[q->n] = context;
    q->n_characters[q->n] = characters(answer) ? characters(answer) : 1;
    q->n++;
    return KR_OK;
}

static const char *text_at(const json_t *j, const char *key) { return json_string_value(json_object_get(j, key)); }

static int number_at(const json_t *j, const char *key) { /* also as text; -1: none, or none that counts answers */
    const json_t *v = json_object_get(j, key);
    const char *text = json_is_string(v) ? json_string_value(v) : "";
    long long n = json_is_integer(v) ? json_integer_value(v) : *text >= '0' && *text <= '9' ? strtoll(text, NULL, 10) : -1;
    return n < 0 || n > INT16_MAX ? -1 : (int)n;
}

static kr_status read_lambada(reader *r, const json_t *j) {
    const char *text = text_at(j, "text"), *space = text ? strrchr(text, ' ') : NULL;
    if (!space || space == text) REFUSE(r, "want {\"text\"} of several words");
    kr_question q = {.n = 1, .one_context = true, .n_characters = {1}};
    if (!(q.context[0] = keep(r, text, (size_t)(space - text))) || !(q.answer[0] = joined(r, space, "", ""))) return KR_ERR_NOMEM;
    return add(r, &q);
}

/* llm-foundry's: the question in its words, answers, and which is right. */
static kr_status read_query(reader *r, const json_t *j) {
    const json_t *choices = json_object_get(j, "choices"), *v;
    const char *query = text_at(j, "query");
    kr_question q = {.right = number_at(j, "gold"), .one_context = true};
    size_t i;
    if (!query || !json_is_array(choices)) REFUSE(r, "want {\"query\", \"choices\", \"gold\"}");
    char *bare = stripped(r, query), *context = bare ? joined(r, bare, "\nAnswer:", "") : NULL;
    json_array_foreach(choices, i, v) {
        if (!json_is_string(v)) REFUSE(r, "a choice is no text");
        KR_TRY(add_answer(r, &q, context, json_string_value(v)));
    }
    return add(r, &q);
}

static kr_status read_piqa(reader *r, const json_t *j) {
    const char *goal = text_at(j, "goal"), *a = text_at(j, "sol1"), *b = text_at(j, "sol2");
    if (json_object_get(j, "query")) return read_query(r, j);
    if (!goal || !a || !b) REFUSE(r, "want {\"goal\", \"sol1\", \"sol2\", \"label\"}");
    if (!json_object_get(j, "label")) REFUSE(r, "there is no \"label\"; the official files keep it in a second file, paste it in");
    kr_question q = {.right = number_at(j, "label"), .one_context = true};
    char *context = joined(r, "Question: ", goal, "\nAnswer:");
    KR_TRY(add_answer(r, &q, context, a));
    KR_TRY(add_answer(r, &q, context, b));
    return add(r, &q);
}

/* {"choices": {"text": [...], "label": [...]}} as on the hub, or {"question": {"stem", "choices": [{"text", "label"}]}}. */
static kr_status read_arc(reader *r, const json_t *j) {
    const json_t *question = json_object_get(j, "question"), *choices = json_object_get(json_is_object(question) ? question : j, "choices");
    const char *stem = json_is_object(question) ? text_at(question, "stem") : json_string_value(question), *key = text_at(j, "answerKey");
    if (json_object_get(j, "query")) return read_query(r, j);
    if (!stem || !key) REFUSE(r, "want {\"question\", \"choices\", \"answerKey\"}");
    kr_question q = {.right = -1, .one_context = true};
    char *context = joined(r, "Question: ", stem, "\nAnswer:");
    size_t n = json_is_object(choices) ? json_array_size(json_object_get(choices, "text")) : json_array_size(choices);
    for (size_t i = 0; i < n; i++) {
        const json_t *c = json_is_object(choices) ? NULL : json_array_get(choices, i);
        const char *text = c ? text_at(c, "text") : json_string_value(json_array_get(json_object_get(choices, "text"), i));
        const char *label = c ? text_at(c, "label") : json_string_value(json_array_get(json_object_get(choices, "label"), i));
        if (!text || !label) REFUSE(r, "a choice has no text or no label");
        if (strcmp(label, key) == 0) q.right = q.n;
        KR_TRY(add_answer(r, &q, context, text));
    }
    return add(r, &q);
}

/* The text up to the gap with either option, and what follows the gap as the answer. */
static kr_status read_winogrande(reader *r, const json_t *j) {
    const char *sentence = text_at(j, "sentence"), *gap = sentence ? strchr(sentence, '_') : NULL, *rest = text_at(j, "continuation");
    const json_t *contexts = json_object_get(j, "context_options");
    kr_question q = {.right = number_at(j, gap ? "answer" : "gold") - (gap ? 1 : 0)};
    for (int i = 0; i < 2; i++) {
        const char *option = text_at(j, i ? "option2" : "option1"), *context = json_string_value(json_array_get(contexts, (size_t)i));
        if (gap ? !option : !context || !rest) REFUSE(r, "want {\"sentence\" with a _, \"option1\", \"option2\", \"answer\"}");
        char *before = gap ? keep(r, sentence, (size_t)(gap - sentence)) : NULL, *answer = stripped(r, gap ? gap + 1 : rest);
        if ((gap && !before) || !answer) return KR_ERR_NOMEM;
        KR_TRY(add_answer(r, &q, gap ? joined(r, before, option, "") : keep(r, context, strlen(context)), answer));
    }
    return add(r, &q);
}

static kr_status read_hellaswag(reader *r, const json_t *j) {
    const char *label = text_at(j, "activity_label"), *a = text_at(j, "ctx_a"), *b = text_at(j, "ctx_b");
    const json_t *endings = json_object_get(j, "endings"), *v;
    size_t i;
    if (!label || !a || !b || !json_is_array(endings)) REFUSE(r, "want {\"activity_label\", \"ctx_a\", \"ctx_b\", \"endings\", \"label\"}");
    kr_question q = {.right = number_at(j, "label"), .one_context = true};
    char *second = joined(r, " ", b, ""), *first = joined(r, label, ": ", a);
    if (!first || !second) return KR_ERR_NOMEM;
    for (char *p = second + 1; *p; p++) { /* as Python's capitalize */
        if (p == second + 1 && *p >= 'a' && *p <= 'z') *p -= 32;
        else if (p > second + 1 && *p >= 'A' && *p <= 'Z') *p += 32;
    }
    char *whole = joined(r, first, second, ""), *context = whole ? without_marks(r, whole) : NULL;
    json_array_foreach(endings, i, v) {
        char *ending = json_is_string(v) ? without_marks(r, json_string_value(v)) : NULL;
        if (!json_is_string(v)) REFUSE(r, "an ending is no text");
        if (!ending) return KR_ERR_NOMEM;
        KR_TRY(add_answer(r, &q, context, ending));
    }
    return add(r, &q);
}

/* Six lines a question.  The last sentence of a context, which the endings go on with, starts small here and large
 * in the harness. */
static kr_status read_hellaswag_lines(reader *r, const char *text, size_t n) {
    const char *end = text + n, *line[6];
    while (text < end) {
        for (int i = 0; i < 6; i++) {
            const char *stop = text < end ? memchr(text, '\n', (size_t)(end - text)) : NULL;
            if (text >= end) REFUSE(r, "the last question has fewer than six lines");
            if (!stop) stop = end;
            if (!(line[i] = keep(r, text, (size_t)(stop - text)))) return KR_ERR_NOMEM;
            text = stop + 1;
            r->line++;
        }
        char *context = without_marks(r, line[0]);
        if (!context) return KR_ERR_NOMEM;
        for (char *p = context + strlen(context); p > context + 2; p--) {
            if (p[-1] != ' ' || !strchr(".?!", p[-2])) continue;
            if (*p >= 'a' && *p <= 'z') *p -= 32;
            break;
        }
        kr_question q = {.right = *line[1] >= '0' && *line[1] <= '9' ? atoi(line[1]) : -1, .one_context = true};
        for (int i = 2; i < 6; i++) {
            char *ending = without_marks(r, line[i]);
            if (!ending) return KR_ERR_NOMEM;
            KR_TRY(add_answer(r, &q, context, ending));
        }
        KR_TRY(add(r, &q));
        while (text < end && *text == '\n') text++, r->line++;
    }
    return KR_OK;
}

/* --- files ---------------------------------------------------------------------------------------- */

static kr_status read_object(reader *r, const json_t *j) {
    if (!json_is_object(j)) REFUSE(r, "is no JSON object");
    switch (r->task) {
    case KR_TASK_LAMBADA: return read_lambada(r, j);
    case KR_TASK_HELLASWAG: return read_hellaswag(r, j);
    case KR_TASK_PIQA: return read_piqa(r, j);
    case KR_TASK_ARC: return read_arc(r, j);
    default: return read_winogrande(r, j);
    }
}

kr_status kr_questions_read(kr_questions *q, kr_task task, const char *text, size_t n) {
    reader r = {.to = q, .task = task};
    const char *end = text + n;
    while (text < end && is_space(*text)) text++;
    if (task == KR_TASK_HELLASWAG && text < end && *text != '{') return read_hellaswag_lines(&r, text, (size_t)(end - text));
    while (text < end) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        json_t *j;
        char where[64];
        if (!stop) stop = end;
        r.line++;
        const char *p = text;
        while (p < stop && is_space(*p)) p++;
        text = stop + 1;
        if (p == stop) continue;
        snprintf(where, sizeof where, "%s: line %lld", names[task], (long long)r.line);
        KR_TRY(kr_json_parse(&j, p, (size_t)(stop - p), where));
        kr_status st = read_object(&r, j);
        json_decref(j);
        KR_TRY(st);
    }
    if (q->n == 0) KR_FAIL(KR_ERR_FORMAT, "%s: there are no questions in the text", names[task]);
    return KR_OK;
}

void kr_questions_free(kr_questions *q) {
    kr_arena_clear(&q->arena);
    kr_mem_free(q->q);
}
