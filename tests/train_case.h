/* train_case.h - what tests of training share: a run that is watched, and a text to train on. */
#ifndef TESTS_TRAIN_CASE_H
#define TESTS_TRAIN_CASE_H
#include "krait/train.h"
#include "model_case.h"

typedef struct watch {
    kr_train *t;
    int64_t stop_at;       /* 0: never */
    double loss[64];       /* by step */
    char said[400];        /* the last message */
} watch;

static void watch_progress(void *user, const kr_train_progress *p) {
    watch *w = user;
    if (p->step < 64) w->loss[p->step] = p->loss;
    if (w->stop_at && p->step == w->stop_at) kr_train_stop(w->t);
}

static void watch_message(void *user, const char *sentence) { snprintf(((watch *)user)->said, 400, "%s", sentence); }

/* One kr_train from start or resume to stop or end. */
static kr_status watch_run(const char *recipe, bool resume, watch *w) {
    kr_train_hooks hooks = {.user = w, .progress = watch_progress, .message = watch_message};
    KR_TRY(kr_train_new(&w->t, recipe, resume, &hooks));
    kr_status st = kr_train_run(w->t);
    kr_train_free(w->t);
    return st;
}

/* 6000 letters drawn at random, made when first asked for. */
static const char *text_file(void) {
    static char path[128];
    if (*path) return path;
    kr_rng r = {1, 2, 0};
    char text[6000];
    snprintf(path, sizeof path, "%s/text.txt", new_folder());
    for (size_t i = 0; i < sizeof text; i++) text[i] = "etaoin shrdlu, cmfwyp. "[kr_rng_below(&r, 23)];
    if (kr_file_write(path, text, sizeof text) != KR_OK) fail_msg("%s", kr_error());
    return path;
}
#endif
