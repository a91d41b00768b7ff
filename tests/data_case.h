/* data_case.h - a folder of its own, files in it, recipes with ' for ": what tests of data share. */
#ifndef DATA_CASE_H
#define DATA_CASE_H
#include "krait/predict.h"
#include "train_case.h"

#include <math.h>

#include "base/str.h"
#include "data/source.h"
#include "model/model.h"

static char folder[64];

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "%s", new_folder());
    return chdir(folder);
}

static void write_bytes(const char *name, const void *p, size_t n) {
    if (kr_file_write(name, p, n) != KR_OK) fail_msg("%s", kr_error());
}

/* Trains and gives the last held-out metric. */
static double last_metric;
static void keep_metric(void *user, const kr_train_eval *e) { (void)user, last_metric = e->metric; }
static void train(const char *recipe) {
    kr_train *t;
    kr_train_hooks hooks = {.eval = keep_metric};
    char text[4000];
    size_t n = strlen(recipe);
    assert_true(n < sizeof text);
    for (size_t i = 0; i <= n; i++) text[i] = recipe[i] == '\'' ? '"' : recipe[i];
    if (kr_train_new(&t, text, false, &hooks) != KR_OK || kr_train_run(t) != KR_OK) fail_msg("%s", kr_error());
    kr_train_free(t);
}
static void refuse(const char *recipe, const char *says) {
    kr_train *t;
    char text[4000];
    size_t n = strlen(recipe);
    for (size_t i = 0; i <= n; i++) text[i] = recipe[i] == '\'' ? '"' : recipe[i];
    if (kr_train_new(&t, text, false, NULL) == KR_OK) fail_msg("%s: not refused", recipe);
    if (!strstr(kr_error(), says)) fail_msg("%s", kr_error());
}

#define TRAIN "'train': {'out': 'm', 'overwrite': true, 'batch_size': 16, 'steps': 60, 'lr': 0.01, 'warmup_steps': 5, 'eval_every': 0, 'eval_batches': 100, 'log_every': 1000}"
#endif
