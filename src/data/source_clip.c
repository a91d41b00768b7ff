/* source_clip.c - clips with a class each, an array a file, its first axis time: skeletons [frames, joints,
 * 2 or 3] or [frames, numbers], videos [frames, rows, columns] or [frames, rows, columns, channels]; or points,
 * `joints` of them a frame (XYZ).
 *
 * A row is `frames` of a clip, evenly from its stretches; while training each anywhere in its own, so that
 * clips come faster here and slower there.  Each coordinate or channel has mean 0 over its clip, all together
 * deviation 1.  A step is a frame of a skeleton, or a cell of a video (encoder "patch" with three axes). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "data/set.h"

enum { LEAST_SIDE = 8 };

typedef struct clip_keys {
    const char *kind;
    kr_set_keys set;
    int64_t frames, joints;
    double jitter;
    int label;
} clip_keys;

typedef struct clips {
    clip_keys k;
    kr_set set;                /* floats [frames, H, W, C]; of a skeleton H is 1, W its numbers */
    int64_t H, W, C;           /* 0: not known yet */
} clips;

/* --- reading ---------------------------------------------------------------------------------------- */

static void normalise(float *x, int64_t n, int64_t C) {
    double square = 0;
    for (int64_t c = 0; c < C; c++) {
        double sum = 0;
        for (int64_t i = c; i < n; i += C) sum += x[i];
        for (int64_t i = c; i < n; i += C) x[i] -= (float)(sum * (double)C / (double)n), square += (double)x[i] * x[i];
    }
    double scale = square > 0 ? sqrt((double)n / square) : 0;
    for (int64_t i = 0; i < n; i++) x[i] = (float)(x[i] * scale);
}

/* What a frame is; *coordinates: numbers of one thing side by side, each with a mean of its own. */
static kr_status frame_of(const clips *q, const kr_array *a, const char *path, int64_t size[4], int64_t *coordinates) {
    bool video = !q->k.joints && (a->n_dims == 3 || a->n_dims == 4) && a->dim[1] >= LEAST_SIDE && a->dim[2] >= LEAST_SIDE;
    int64_t rows = q->k.joints ? q->k.joints : 1;
    if (a->n_dims < 2 || a->n_dims > 4 || (a->n_dims == 4 && !video)) KR_FAIL(KR_ERR_FORMAT, "%s: no clip: want [frames, joints, 2 or 3], [frames, numbers], or [frames, rows, columns] with or without channels", path);
    if (q->k.joints && (a->n_dims != 2 || a->dim[0] % rows)) KR_FAIL(KR_ERR_FORMAT, "%s: want %lld points a frame (data.joints), and there are %lld", path, (long long)rows, (long long)a->dim[0]);
    *coordinates = a->n_dims == 2 && !q->k.joints ? 1 : video && a->n_dims == 3 ? 1 : a->dim[a->n_dims - 1];
    size[0] = a->dim[0] / rows;
    size[1] = video ? a->dim[1] : 1, size[2] = video ? a->dim[2] : 1, size[3] = video && a->n_dims == 4 ? a->dim[3] : 1;
    if (!video && size[0]) size[2] = a->n / size[0];
    if (!a->n) KR_FAIL(KR_ERR_FORMAT, "%s: a clip of no frames", path);
    return KR_OK;
}

static kr_status add_clip(clips *q, const kr_array *a, const char *path, kr_split part, int32_t class) {
    int64_t size[4] = {0}, C = 1;
    KR_TRY(frame_of(q, a, path, size, &C));
    if (!q->W) q->H = size[1], q->W = size[2], q->C = size[3];
    if (q->H != size[1] || q->W != size[2] || q->C != size[3])
        KR_FAIL(KR_ERR_FORMAT, "%s: frames of %lld x %lld x %lld numbers, want %lld x %lld x %lld as in the others", path, (long long)size[1], (long long)size[2], (long long)size[3], (long long)q->H,
                (long long)q->W, (long long)q->C);
    float *to = kr_set_add(&q->set, (size_t)a->n, part, -1, class, NULL);
    if (!to) return KR_ERR_NOMEM;
    for (int64_t i = 0; i < a->n; i++) to[i] = (float)kr_array_at(a, i);
    normalise(to, a->n, C);
    return KR_OK;
}

typedef struct reading { const kr_source *s; clips *q; } reading;
static kr_status read_file(void *user, kr_set *set, const char *path, kr_split part) {
    const reading *r = user;
    kr_array a;
    int32_t class = r->s->predict ? -1 : kr_set_class_of_path(set, path, r->q->k.label);
    if (class == -2) return KR_ERR_NOMEM;
    if (class < 0 && !r->s->predict)
        KR_FAIL(KR_ERR_CONFIG, "%s: the %s (data.label) is no class, or none of those trained on", path, r->q->k.label == KR_SET_BY_FOLDER ? "folder" : "beginning of its name");
    KR_TRY(kr_decode_array(&a, path));
    kr_status st = add_clip(r->q, &a, path, part, class);
    kr_array_free(&a);
    return st;
}

/* --- rows ------------------------------------------------------------------------------------------------ */

static void fill(const kr_source *s, const clips *q, kr_split split, int64_t row, int64_t example, float *x) {
    int64_t each = q->H * q->W * q->C, n = kr_set_length(&q->set, example) / each, T = q->k.frames;
    const float *from = kr_set_data(&q->set, example);
    kr_rng r = kr_source_row_rng(s, split, row);
    bool train = split == KR_SPLIT_TRAIN;
    for (int64_t t = 0; t < T; t++) {
        int64_t at = (int64_t)(((double)t + (train ? kr_rng_uniform(&r) : 0.5)) / (double)T * (double)n);
        memcpy(x + t * each, from + (at < n ? at : n - 1) * each, (size_t)each * sizeof *x);
    }
    for (int64_t i = 0; i < T * each && train && q->k.jitter > 0; i++) x[i] += (float)(q->k.jitter * kr_rng_normal(&r));
}

static void clip_batch(const kr_source *s, kr_split split, int64_t step, kr_batch *b) {
    const clips *q = s->own;
    int64_t each = s->info.L * s->info.x_width;
    b->n_rows = 0;
    for (int64_t i = 0; i < b->S; i++) {
        int64_t example = kr_set_at(s, &q->set, split, step, i);
        b->targets[i] = example >= 0 ? q->set.label[example] : -1;
        if (example >= 0) fill(s, q, split, step * b->S + i, example, b->x + i * each), b->n_rows++;
        else memset(b->x + i * each, 0, (size_t)each * sizeof *b->x);
    }
}

/* --- open and close ----------------------------------------------------------------------------------------- */

static kr_status describe(kr_source *s, const clips *q) {
    kr_source_info *i = &s->info;
    char size[80];
    bool video = q->H > 1;
    int64_t L;
    if (__builtin_mul_overflow(q->k.frames, video ? q->H * q->W : 1, &L) || L > 1 << 28) KR_FAIL(KR_ERR_CONFIG, "data: %lld frames of %lld x %lld are too many", (long long)q->k.frames, (long long)q->H, (long long)q->W);
    if (i->L && i->L != L) KR_FAIL(KR_ERR_CONFIG, "train.seq_len is %lld; set data.frames instead", (long long)i->L);
    i->L = L, i->x_width = video ? q->C : q->W, i->n_targets = 1, i->n_classes = (int64_t)q->set.classes.n, i->more_metrics = i->n_classes == 2 ? "f1 mcc auroc" : "f1 mcc";
    if (i->n_classes < 2) KR_FAIL(KR_ERR_CONFIG, "data: the clips have %lld class%s, want at least 2: folders or names of files tell them (data.label)", (long long)i->n_classes, i->n_classes == 1 ? "" : "es");
    snprintf(size, sizeof size, "%lldx%lldx%lld", (long long)q->k.frames, (long long)q->H, (long long)q->W);
    if (video) s->encoder = json_pack("{s:s, s:s, s:I}", "type", "patch", "size", size, "channels", (json_int_t)q->C);
    s->head = json_pack("{s:s, s:I}", "type", "class", "n_classes", (json_int_t)i->n_classes);
    if (!s->head || (video && !s->encoder)) KR_FAIL(KR_ERR_NOMEM, "data: out of memory");
    snprintf(i->about, sizeof i->about, "%lld clips to train on, %lld held out, %lld to test; %lld frames of %s%lld numbers; %lld classes", (long long)i->n_train, (long long)i->n_eval,
             (long long)i->n_test, (long long)q->k.frames, video ? "pictures, " : "", (long long)(q->H * q->W * q->C), (long long)i->n_classes);
    return KR_OK;
}

static kr_status clip_open(kr_source *s, const json_t *data) {
    clips *q = s->own = kr_mem_new(sizeof *q);
    double size[3];
    if (!q) return KR_ERR_NOMEM;
    s->set = &q->set;
    q->set.each = sizeof(float);
    KR_TRY(kr_keys_read(s->kind->keys, data, "data", &q->k));
    if (s->fitted) {
        KR_TRY(kr_fitted_classes(s, &q->set));
        KR_TRY(kr_fitted_reals(s, "frame", size, 3));
        for (int i = 0; i < 3; i++)
            if (!(size[i] >= 1 && size[i] <= 1 << 20)) KR_FAIL(KR_ERR_FORMAT, "preprocessor_config.json: frame: %g", size[i]);
        q->H = (int64_t)size[0], q->W = (int64_t)size[1], q->C = (int64_t)size[2];
    }
    reading r = {s, q};
    KR_TRY(kr_set_load(s, &q->set, &q->k.set, read_file, &r));
    KR_TRY(kr_set_sort_classes(&q->set));
    KR_TRY(kr_set_split(s, &q->set, &q->k.set));
    const double learnt[3] = {(double)q->H, (double)q->W, (double)q->C};
    if (!s->fitted) KR_TRY(kr_learnt_reals(s, "frame", learnt, 3));
    if (!s->fitted) KR_TRY(kr_learnt_classes(s, &q->set));
    return describe(s, q);
}

static void clip_close(kr_source *s) {
    clips *q = s->own;
    if (q) kr_set_free(&q->set);
    kr_mem_free(q);
}

static const kr_key clip_keys_table[] = {
    KR_KEY_TEXT(clip_keys, kind, "clip", "where rows come from"),
    KR_SET_KEYS(clip_keys),
    KR_KEY_INT(clip_keys, frames, 32, 1, 1e6, "frames of a clip that are seen"),
    KR_KEY_INT(clip_keys, joints, 0, 0, 1e6, "of files of points: how many make a frame"),
    KR_KEY_REAL(clip_keys, jitter, 0, 0, 10, "training: deviation of what is added to numbers, of a deviation of 1"),
    KR_KEY_CHOICE(clip_keys, label, "folder|name", "what tells a clip's class: its folder, or its file's name up to the first _ - or ."),
    KR_KEY_END,
};

const kr_source_kind kr_source_clip = {
    .name = "clip",
    .about = "skeletons in motion, or videos, with a class each",
    .keys = clip_keys_table,
    .open = clip_open,
    .batch = clip_batch,
    .who = kr_set_who,
    .label = kr_set_label,
    .close = clip_close,
};
