/* task.h - questions with answers to choose from; for this folder only. */
#ifndef KR_INFER_TASK_H
#define KR_INFER_TASK_H
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

enum { KR_MAX_CHOICES = 8 };

typedef enum kr_task { KR_TASK_LAMBADA, KR_TASK_HELLASWAG, KR_TASK_PIQA, KR_TASK_ARC, KR_TASK_WINOGRANDE, KR_N_TASK } kr_task;

/* Choice i is `answer[i]` behind `context[i]`; the contexts may be one. */
typedef struct kr_question {
    const char *context[KR_MAX_CHOICES], *answer[KR_MAX_CHOICES];
    int64_t n_characters[KR_MAX_CHOICES]; /* of the answer without the space before it */
    int n, right;
    bool one_context;
} kr_question;

typedef struct kr_questions { kr_arena arena; kr_question *q; size_t n, room; } kr_questions;

kr_status kr_task_find(kr_task *task, const char *name);
kr_status kr_questions_read(kr_questions *q, kr_task task, const char *text, size_t n_bytes);
void kr_questions_free(kr_questions *q);
#endif
