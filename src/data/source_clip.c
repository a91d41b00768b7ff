/* source_clip.c - clips with a class each, an array a file, its first axis time: skeletons [frames, joints,
 * 2 or 3] or [frames, numbers], videos [frames, rows, columns] or [frames, rows, columns, channels]; or points,
 * `joints` of them a frame (XYZ).  Pictures are frames: those of a folder, by name (2 before 10), are one clip, and
 * the folder's name is the clip's.
 *
 * A row is `frames` of a clip, evenly from its stretches; while training each anywhere in its own, so that
 * clips come faster here and slower there.  Each coordinate or channel has mean 0 over its clip, all together
 * deviation 1.  A step is a frame of a skeleton, or a cell of a video (encoder "patch" with three axes). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "data/picture.h"
#include "data/set.h"
#include "krait/order.h"

enum { LEAST_SIDE = 8 };

typedef struct clip_keys {
    const char *kind, *size;
    kr_set_keys set;
    int64_t frames, joints;
    double jitter;
    int label;
} clip_keys;

/* A picture, and how many letters of its path are the folder's. */
typedef struct frame { const char *path; size_t folder; kr_split part; } frame;

typedef struct clips {
    clip_keys k;
    kr_set set;                /* floats [frames, H, W, C]; of a skeleton H is 1, W its numbers */
    int64_t H, W, C;           /* 0: not known yet */
    frame *frame;              /* the pictures, while opening */
    size_t n_frames, room;
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

/* The class of a clip that is called so; -1 while predicting. */
static kr_status class_of(const kr_source *s, clips *q, const char *path, int32_t *class) {
    *class = s->predict ? -1 : kr_set_class_of_path(&q->set, path, q->k.label);
    if (*class == -2) return KR_ERR_NOMEM;
    if (*class < 0 && !s->predict)
        KR_FAIL(KR_ERR_CONFIG, "%s: the %s (data.label) is no class, or none of those trained on", path, q->k.label == KR_SET_BY_FOLDER ? "folder" : "beginning of its name");
    return KR_OK;
}

static bool is_picture(const char *path) {
    const char *dot = strrchr(path, '.');
    return dot && (!strcasecmp(dot, ".png") || !strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg"));
}

/* Its clip is made when all frames are known. */
static kr_status keep_frame(clips *q, kr_split part) {
    const char *path = q->set.files.name[q->set.files.n - 1], *slash = strrchr(path, '/');
    if (!slash || slash == path) KR_FAIL(KR_ERR_CONFIG, "%s: a picture is a frame of the clip that is its folder: want CLIP/%s", path, slash ? slash + 1 : path);
    if (q->n_frames == q->room) {
        frame *p = kr_mem_resize(q->frame, (2 * q->room + 64) * sizeof *p);
        if (!p) return KR_ERR_NOMEM;
        q->frame = p, q->room = 2 * q->room + 64;
    }
    q->frame[q->n_frames++] = (frame){path, (size_t)(slash - path), part};
    return KR_OK;
}

typedef struct reading { const kr_source *s; clips *q; } reading;
static kr_status read_file(void *user, kr_set *set, const char *path, kr_split part) {
    const reading *r = user;
    kr_array a;
    int32_t class;
    (void)set;
    if (is_picture(path)) return keep_frame(r->q, part);
    KR_TRY(class_of(r->s, r->q, path, &class));
    KR_TRY(kr_decode_array(&a, path));
    kr_status st = add_clip(r->q, &a, path, part, class);
    kr_array_free(&a);
    return st;
}

/* --- folders of frames ---------------------------------------------------------------------------------- */

/* By letters, and runs of digits by their value. */
static int by_name(const char *a, const char *a_end, const char *b, const char *b_end) {
    static const char digits[] = "0123456789";
    while (a < a_end && b < b_end) {
        const char *x = a, *y = b; /* past the digits */
        while (x < a_end && strchr(digits, *x)) x++;
        while (y < b_end && strchr(digits, *y)) y++;
        if (x == a || y == b) {
            if (*a != *b) return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
            a++, b++;
            continue;
        }
        while (a < x && *a == '0') a++;
        while (b < y && *b == '0') b++;
        if (x - a != y - b) return x - a < y - b ? -1 : 1;
        int c = memcmp(a, b, (size_t)(x - a));
        if (c) return c;
        a = x, b = y;
    }
    return (a < a_end) - (b < b_end);
}

static int by_clip(const void *a, const void *b) {
    const frame *x = a, *y = b;
    int c = (int)x->part - (int)y->part;
    if (!c) c = by_name(x->path, x->path + x->folder, y->path, y->path + y->folder);
    if (!c) c = x->folder != y->folder ? (x->folder < y->folder ? -1 : 1) : memcmp(x->path, y->path, x->folder); /* 1 and 01 */
    if (!c) c = by_name(x->path + x->folder, strchr(x->path, 0), y->path + y->folder, strchr(y->path, 0));
    return c ? c : strcmp(x->path, y->path);
}

static kr_status frame_size(clips *q, const char *path, const kr_pictures *p) {
    int64_t size[KR_ORDER_AXES];
    if (*q->k.size && (kr_order_size(q->k.size, size) != 2 || size[0] < LEAST_SIDE || size[1] < LEAST_SIDE))
        KR_FAIL(KR_ERR_CONFIG, "data.size is \"%s\", want HxW, at least %dx%d", q->k.size, LEAST_SIDE, LEAST_SIDE);
    if (p->n != 1) KR_FAIL(KR_ERR_FORMAT, "%s: %lld pictures in a file, want one, a frame", path, (long long)p->n);
    int64_t H = *q->k.size ? size[0] : p->H, W = *q->k.size ? size[1] : p->W;
    if (!q->W) q->H = H, q->W = W, q->C = p->C >= 3 ? 3 : 1;
    if (H < LEAST_SIDE || W < LEAST_SIDE) KR_FAIL(KR_ERR_FORMAT, "%s: a frame of %lld x %lld pixels, want at least %d x %d", path, (long long)H, (long long)W, LEAST_SIDE, LEAST_SIDE);
    if (H != q->H || W != q->W)
        KR_FAIL(KR_ERR_FORMAT, "%s: %lld x %lld pixels, want %lld x %lld as in the others; set data.size to bring all to one size", path, (long long)H, (long long)W, (long long)q->H, (long long)q->W);
    if (q->C != 1 && q->C != 3) KR_FAIL(KR_ERR_FORMAT, "%s: a picture, but the other clips have %lld channels", path, (long long)q->C);
    return KR_OK;
}

static kr_status read_frame(clips *q, const char *path, float *to) {
    kr_array a = {0};
    kr_pictures p;
    KR_TRY(kr_decode_array(&a, path));
    kr_status st = kr_pictures_of(&p, &a, path);
    if (st == KR_OK) st = frame_size(q, path, &p);
    int64_t n = q->H * q->W * q->C;
    unsigned char *bytes = st == KR_OK && a.u8 ? kr_mem_new((size_t)n) : NULL;
    if (st == KR_OK && a.u8 && !bytes) st = KR_ERR_NOMEM;
    if (st == KR_OK) kr_picture_get(bytes ? (void *)bytes : (void *)to, &a, &p, 0, q->H, q->W, q->C);
    for (int64_t i = 0; bytes && i < n; i++) to[i] = bytes[i];
    kr_mem_free(bytes);
    kr_array_free(&a);
    return st;
}

/* The n frames of one folder. */
static kr_status add_folder(const kr_source *s, clips *q, const frame *f, size_t n) {
    char folder[4096];
    int32_t class;
    kr_array a = {0};
    kr_pictures p;
    snprintf(folder, sizeof folder, "%.*s", (int)f->folder, f->path);
    KR_TRY(kr_decode_array(&a, f->path)); /* what size they have */
    kr_status st = kr_pictures_of(&p, &a, f->path);
    if (st == KR_OK) st = frame_size(q, f->path, &p);
    kr_array_free(&a);
    KR_TRY(st);
    KR_TRY(class_of(s, q, folder, &class));
    KR_TRY(kr_set_begin(&q->set, folder));
    int64_t each = q->H * q->W * q->C;
    float *to = kr_set_add(&q->set, n * (size_t)each, f->part, -1, class, NULL);
    if (!to) return KR_ERR_NOMEM;
    for (size_t i = 0; i < n; i++) KR_TRY(read_frame(q, f[i].path, to + (int64_t)i * each));
    normalise(to, (int64_t)n * each, q->C);
    return KR_OK;
}

static kr_status add_folders(const kr_source *s, clips *q) {
    if (q->n_frames) qsort(q->frame, q->n_frames, sizeof *q->frame, by_clip);
    for (size_t i = 0, n; i < q->n_frames; i += n) {
        const frame *f = q->frame + i;
        for (n = 1; i + n < q->n_frames && f[n].part == f->part && f[n].folder == f->folder && memcmp(f[n].path, f->path, f->folder) == 0;) n++;
        KR_TRY(add_folder(s, q, f, n));
    }
    return KR_OK;
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
    KR_TRY(add_folders(s, q));
    KR_TRY(kr_set_sort_classes(&q->set));
    KR_TRY(kr_set_split(s, &q->set, &q->k.set));
    const double learnt[3] = {(double)q->H, (double)q->W, (double)q->C};
    if (!s->fitted) KR_TRY(kr_learnt_reals(s, "frame", learnt, 3));
    if (!s->fitted) KR_TRY(kr_learnt_classes(s, &q->set));
    return describe(s, q);
}

static void clip_close(kr_source *s) {
    clips *q = s->own;
    if (!q) return;
    kr_set_free(&q->set);
    kr_mem_free(q->frame);
    kr_mem_free(q);
}

static const kr_key clip_keys_table[] = {
    KR_KEY_TEXT(clip_keys, kind, "clip", "where rows come from"),
    KR_SET_KEYS(clip_keys),
    KR_KEY_INT(clip_keys, frames, 32, 1, 1e6, "frames of a clip that are seen"),
    KR_KEY_INT(clip_keys, joints, 0, 0, 1e6, "of files of points: how many make a frame"),
    KR_KEY_TEXT(clip_keys, size, "", "HxW that frames which are pictures are brought to; none: as they are, all of one size"),
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
