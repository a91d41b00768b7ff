/* check_data.c - files of every kind, from training to an answer: a few samples are written, a
 * small model learns them, is scored, opened again, and says the same of the files. */
#include "krait/predict.h"
#include "train_case.h"

#include <math.h>

#include "data/source.h"

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

typedef struct answers { int n, right; char name[100]; double value; } answers;

/* --- pictures ----------------------------------------------------------------------------- */

/* n pictures of 6 x 8 with a bright row (class 0) or column (class 1) at a place of their own. */
enum { H = 6, W = 8 };
static void write_pictures(int n) {
    unsigned char images[16 + 60 * H * W] = {0, 0, 8, 3, 0, 0, 0, (unsigned char)n, 0, 0, 0, H, 0, 0, 0, W}, labels[8 + 60] = {0, 0, 8, 1, 0, 0, 0, (unsigned char)n};
    unsigned char masks[16 + 60 * H * W];
    for (int i = 0; i < n; i++) {
        labels[8 + i] = (unsigned char)(i % 2 ? 7 : 3);
        for (int k = 0; k < H * W; k++) images[16 + i * H * W + k] = (unsigned char)(i % 2 ? (k % W == i / 2 % W ? 250 : 20) : (k / W == i / 2 % H ? 250 : 20));
    }
    write_bytes("images.idx", images, (size_t)(16 + n * H * W));
    write_bytes("labels.idx", labels, (size_t)(8 + n));
    memcpy(masks, images, sizeof masks);
    for (size_t k = 16; k < sizeof masks; k++) masks[k] = images[k] > 100 ? 255 : 0;
    write_bytes("masks.idx", masks, (size_t)(16 + n * H * W));
}

static kr_status count_class(void *user, const kr_answer *a) {
    answers *all = user;
    const char *want = all->n % 2 ? "7" : "3";
    assert_int_equal(a->kind, KR_ANSWER_CLASS);
    assert_int_equal(a->n, 2);
    assert_true(fabs(a->values[0] + a->values[1] - 1) < 1e-5);
    if (all->n == 0) snprintf(all->name, sizeof all->name, "%s", a->name);
    all->right += strcmp(a->label[a->best], want) == 0;
    all->n++;
    return KR_OK;
}

#define TRAIN "'train': {'out': 'm', 'overwrite': true, 'batch_size': 16, 'steps': 60, 'lr': 0.01, 'warmup_steps': 5, 'eval_every': 0, 'eval_batches': 100, 'log_every': 1000}"
static void pictures(void **state) {
    (void)state;
    kr_model *m;
    kr_eval_source_result r;
    answers all = {0};
    const char *const files[] = {"images.idx"};
    write_pictures(60);
    train("{'model': {'d_model': 16, 'n_layer': 1, 'encoder': {'patch': '2x2'}, 'order': {'type': 'scan', 'path': 'cross', 'share': true}, 'mixer': {'type': 'mamba1', 'd_state': 4}},"
          " 'data': {'kind': 'image', 'paths': 'images.idx', 'labels': 'labels.idx', 'test_fraction': 0.2, 'shift': 0}, " TRAIN "}");
    assert_true(last_metric > 0.9);
    if (kr_model_open(&m, "m", NULL) != KR_OK) fail_msg("%s", kr_error());
    if (kr_predict(m, files, 1, count_class, &all) != KR_OK) fail_msg("%s", kr_error());
    assert_int_equal(all.n, 60);
    assert_true(all.right >= 56);
    assert_string_equal(all.name, "images.idx:0");
    if (kr_eval_source(m, "{\"data\": {\"kind\": \"image\", \"paths\": \"images.idx\", \"labels\": \"labels.idx\", \"test_fraction\": 0.2}}", 0, true, &r) != KR_OK) fail_msg("%s", kr_error());
    assert_int_equal(r.n_rows, 12);
    assert_true(fabs(r.metric - last_metric) < 1e-9); /* the run's own last score was of the same */
    assert_int_equal(r.n_more, 3);
    kr_model_free(m);
}

static kr_status count_cells(void *user, const kr_answer *a) {
    answers *all = user;
    assert_int_equal(a->kind, KR_ANSWER_CELLS);
    assert_true(a->H == H && a->W == W && a->n == H * W);
    for (int k = 0; k < H * W; k++) {
        int i = all->n, bright = i % 2 ? k % W == i / 2 % W : k / W == i / 2 % H;
        all->right += a->cells[k] == bright;
    }
    all->n++;
    return KR_OK;
}
static void pixels(void **state) {
    (void)state;
    kr_model *m;
    answers all = {0};
    const char *const files[] = {"images.idx"};
    write_pictures(60);
    train("{'model': {'d_model': 16, 'n_layer': 1, 'encoder': {'patch': '2x2'}, 'mixer': {'type': 'mamba1', 'd_state': 4}},"
          " 'data': {'kind': 'image', 'paths': 'images.idx', 'labels': 'masks.idx', 'flip': 'all'}, " TRAIN "}");
    assert_true(last_metric > 0.95);
    if (kr_model_open(&m, "m", NULL) != KR_OK) fail_msg("%s", kr_error());
    if (kr_predict(m, files, 1, count_cells, &all) != KR_OK) fail_msg("%s", kr_error());
    assert_true(all.right > 60 * H * W * 95 / 100);
    kr_model_free(m);
}

static void pictures_refused(void **state) {
    (void)state;
    write_pictures(60);
#define SMALL "'d_model': 8, 'n_layer': 1, 'mixer': {'type': 'mamba1'}"
#define IMAGE(keys) "{'model': {" SMALL "}, 'data': {'kind': 'image', " keys "}, 'train': {'out': 'none'}}"
    refuse(IMAGE("'paths': 'images.idx', 'labels': ['labels.idx'], 'eval_paths': 'images.idx', 'eval_labels': 'masks.idx'"), "do not go together");
    refuse(IMAGE("'paths': ['images.idx', 'images.idx'], 'labels': 'labels.idx'"), "more files of pictures than of labels");
    refuse(IMAGE("'paths': 'images.idx'"), "the pictures have 0 classes, want at least 2: give data.labels");
    refuse(IMAGE("'paths': 'none*.png'"), "data.paths: none*.png: no file fits this pattern");
    refuse(IMAGE("'paths': 'none.png'"), "none.png");
    refuse(IMAGE("'labels': 'labels.idx'"), "data.paths names no file");
    refuse(IMAGE("'paths': 'labels.idx', 'labels': 'labels.idx'"), "is no picture");
    refuse("{'model': {" SMALL ", 'head': {'type': 'regress'}}, 'data': {'kind': 'image', 'paths': 'images.idx', 'labels': 'labels.idx'}, 'train': {'out': 'none'}}",
           "choose the head that fits");
    refuse("{'model': {" SMALL ", 'encoder': {'patch': '9x9'}}, 'data': {'kind': 'image', 'paths': 'images.idx', 'labels': 'labels.idx'}, 'train': {'out': 'none'}}",
           "encoder.patch is larger than encoder.size");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(pictures), cmocka_unit_test(pixels), cmocka_unit_test(pictures_refused)};
    return cmocka_run_group_tests(tests, make_folder, NULL);
}
