/* source_image.c - pictures with a class each, or a class for each of their pixels.
 *
 * A row is a picture, pixel by pixel in raster order: x[S, H W, C].  Each channel has mean 0 and
 * deviation 1 over the pictures to train on.  Answers come from `labels`: a list of numbers (one
 * a picture) or pictures of numbers (one a pixel), else from the names of folders or files.
 *
 * With task "noise" a picture is what a diffusion model learns to draw: numbers from -1 to 1; its class, if
 * there are any, is no answer but something that the model may be told. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "data/picture.h"
#include "data/set.h"
#include "krait/order.h"

enum { AS_IS, GREY, COLOUR };
enum { NO_FLIP, SIDES, ALL };
enum { CLASS, NOISE };

typedef struct image_keys {
    const char *kind, *size, *tile, *crop;
    kr_set_keys set;
    const json_t *labels, *eval_labels, *test_labels;
    int label, channels, flip, task;
    int64_t shift;
} image_keys;

typedef struct image {
    image_keys k;
    kr_set set, mask;              /* mask: of the same examples, if a pixel has a class */
    kr_set label_files[KR_N_SPLIT];
    size_t next_labels[KR_N_SPLIT];
    int64_t H, W, C;               /* of a picture */
    int64_t h, w;                  /* of a row: less than the picture if it is cropped */
    bool dense;
    unsigned char class_of[256];   /* of a mask's value */
    float shift[4], scale[4];      /* x = (value + shift) scale */
} image;

/* --- reading --------------------------------------------------------------------------------- */

/* The labels of a file: [n] of its n pictures (*dense false), or pictures of its pictures' size. */
static kr_status read_labels(image *m, const char *path, kr_split part, const kr_pictures *p, kr_array *labels, bool *dense) {
    kr_set *files = &m->label_files[part];
    size_t k = m->next_labels[part]++;
    if (k >= files->files.n) KR_FAIL(KR_ERR_CONFIG, "%s: there are more files of pictures than of labels (%zu)", path, files->files.n);
    const char *from = files->files.name[k];
    KR_TRY(kr_decode_labels(labels, from));
    *dense = labels->n == p->n * p->H * p->W && (p->H > 1 || p->W > 1);
    if (*dense && !labels->u8) KR_FAIL(KR_ERR_FORMAT, "%s: classes of pixels want bytes", from);
    if (!*dense && labels->n != p->n)
        KR_FAIL(KR_ERR_FORMAT, "%s: %lld labels, and %s has %lld pictures of %lld x %lld; want one a picture or one a pixel", from, (long long)labels->n, path,
                (long long)p->n, (long long)p->H, (long long)p->W);
    return KR_OK;
}

static kr_status want_size(image *m, const char *path, const kr_pictures *p, const kr_array *a) {
    int64_t size[KR_ORDER_AXES] = {0};
    if (!m->H) { /* the first */
        m->H = p->H, m->W = p->W, m->C = m->k.channels == GREY ? 1 : m->k.channels == COLOUR ? 3 : p->C;
        if (*m->k.size) {
            if (kr_order_size(m->k.size, size) != 2) KR_FAIL(KR_ERR_CONFIG, "data.size is \"%s\", want HxW", m->k.size);
            m->H = size[0], m->W = size[1];
        }
        m->set.each = a->u8 ? 1 : 4;
    }
    if ((m->set.each == 1) != !!a->u8) KR_FAIL(KR_ERR_FORMAT, "%s: its pixels are %s, unlike those before; give files of one kind", path, a->u8 ? "bytes" : "numbers");
    if (!*m->k.size && !*m->k.tile && (p->H != m->H || p->W != m->W))
        KR_FAIL(KR_ERR_FORMAT, "%s: %lld x %lld pixels, and the first picture has %lld x %lld; set data.size to bring all to one size", path, (long long)p->H, (long long)p->W,
                (long long)m->H, (long long)m->W);
    if (m->k.channels == AS_IS && p->C != m->C && !(p->C >= 3 && m->C >= 3))
        KR_FAIL(KR_ERR_FORMAT, "%s: %lld channels, and the first picture has %lld; set data.channels to grey or colour", path, (long long)p->C, (long long)m->C);
    return KR_OK;
}

/* Cuts a window of h x w at (top, left) out of a picture. */
static void cut(unsigned char *to, const unsigned char *from, size_t pixel, int64_t W, int64_t top, int64_t left, int64_t h, int64_t w) {
    for (int64_t i = 0; i < h; i++) memcpy(to + (size_t)(i * w) * pixel, from + (size_t)((top + i) * W + left) * pixel, (size_t)w * pixel);
}

/* One picture, whole or in tiles; mask may be NULL. */
static kr_status add_picture(image *m, const unsigned char *pixels, const unsigned char *mask, int64_t H, int64_t W, kr_split part, int64_t row, int32_t label) {
    int64_t size[KR_ORDER_AXES] = {H, W};
    if (*m->k.tile && kr_order_size(m->k.tile, size) != 2) KR_FAIL(KR_ERR_CONFIG, "data.tile is \"%s\", want HxW", m->k.tile);
    int64_t h = size[0], w = size[1], n = 0;
    if (h > H || w > W) KR_FAIL(KR_ERR_CONFIG, "data.tile is \"%s\", and a picture has %lld x %lld pixels", m->k.tile, (long long)H, (long long)W);
    size_t pixel = (size_t)(m->C * m->set.each);
    for (int64_t top = 0; top + h <= H; top += h)
        for (int64_t left = 0; left + w <= W; left += w, n++) {
            unsigned char *to = kr_set_add(&m->set, (size_t)(h * w * m->C), part, *m->k.tile ? row * (H / h) * (W / w) + n : row, label, NULL);
            unsigned char *of = mask ? kr_set_add(&m->mask, (size_t)(h * w), part, row, -1, NULL) : NULL;
            if (!to || (mask && !of)) return KR_ERR_NOMEM;
            m->set.joins[m->set.n - 1] = n > 0;
            cut(to, pixels, pixel, W, top, left, h, w);
            if (mask) cut(of, mask, 1, W, top, left, h, w);
        }
    m->H = h, m->W = w;
    return KR_OK;
}

static kr_status label_name(image *m, double value, int32_t *label) {
    char name[32];
    snprintf(name, sizeof name, "%.9g", value);
    *label = kr_set_class(&m->set, name);
    return *label == -2 ? KR_ERR_NOMEM : KR_OK;
}

static kr_status add_all(image *m, const char *path, kr_split part, const kr_array *a, const kr_pictures *p, const kr_array *labels, bool dense) {
    int64_t H = *m->k.size ? m->H : p->H, W = *m->k.size ? m->W : p->W;
    size_t pixels = (size_t)(H * W);
    if (*m->k.size && *m->k.tile) KR_FAIL(KR_ERR_CONFIG, "data.size and data.tile: want one of them");
    unsigned char *to = kr_mem_new(pixels * (size_t)(m->C * m->set.each) + pixels);
    if (!to) return KR_ERR_NOMEM;
    unsigned char *mask = to + pixels * (size_t)(m->C * m->set.each);
    int32_t label = labels || p->n != 1 ? -1 : kr_set_class_of_path(&m->set, path, m->k.label);
    kr_pictures of = {p->n, p->H, p->W, 1};
    kr_status st = label == -2 ? KR_ERR_NOMEM : KR_OK;
    for (int64_t i = 0; i < p->n && st == KR_OK; i++) {
        if (labels && !dense) st = label_name(m, kr_array_at(labels, i), &label);
        kr_picture_get(to, a, p, i, H, W, m->C);
        if (st == KR_OK && dense && (H != p->H || W != p->W)) st = kr_fail(KR_ERR_CONFIG, "data.size: pictures with a class for each pixel keep their size; use data.tile");
        if (st == KR_OK && dense) kr_picture_get(mask, labels, &of, i, H, W, 1);
        if (st == KR_OK) st = add_picture(m, to, dense ? mask : NULL, H, W, part, p->n == 1 ? -1 : i, label);
    }
    kr_mem_free(to);
    return st;
}

static kr_status read_file(void *user, kr_set *set, const char *path, kr_split part) {
    image *m = user;
    kr_array a = {0}, labels = {0};
    kr_pictures p;
    bool dense = false, given = m->label_files[part].files.n > 0;
    kr_status st = kr_decode_array(&a, path);
    if (st == KR_OK) st = kr_pictures_of(&p, &a, path);
    if (st == KR_OK) st = want_size(m, path, &p, &a);
    if (st == KR_OK && given) st = read_labels(m, path, part, &p, &labels, &dense);
    if (st == KR_OK && set->n && dense != m->dense) st = kr_fail(KR_ERR_FORMAT, "%s: classes of pixels and classes of pictures do not go together", path);
    m->dense = dense;
    if (st == KR_OK) st = add_all(m, path, part, &a, &p, given ? &labels : NULL, dense);
    kr_array_free(&a);
    kr_array_free(&labels);
    return st;
}

static kr_status note_file(void *user, kr_set *set, const char *path, kr_split part) { return (void)user, (void)set, (void)path, (void)part, KR_OK; }

static kr_status list_labels(image *m) {
    const json_t *const lists[KR_N_SPLIT] = {m->k.labels, m->k.eval_labels, m->k.test_labels};
    static const char *const keys[KR_N_SPLIT] = {"labels", "eval_labels", "test_labels"};
    for (int i = 0; i < KR_N_SPLIT; i++)
        if (lists[i]) KR_TRY(kr_set_each_file(&m->label_files[i], lists[i], keys[i], (kr_split)i, note_file, NULL));
    return KR_OK;
}

/* --- what is learnt from the pictures to train on ---------------------------------------------- */

static double value(const image *m, int64_t i, int64_t at) {
    const void *p = kr_set_data(&m->set, i);
    return m->set.each == 1 ? ((const uint8_t *)p)[at] : (double)((const float *)p)[at];
}

/* The middle of all values and half of what they span: bytes span 0 to 255, numbers what they do. */
static void measure_range(const image *m, double *middle, double *half) {
    double low = m->set.each == 1 ? 0 : INFINITY, high = m->set.each == 1 ? 255 : -INFINITY;
    for (int64_t i = 0; m->set.each != 1 && i < m->set.n_in[KR_SPLIT_TRAIN]; i++)
        for (int64_t at = 0; at < m->H * m->W * m->C; at++) {
            double v = value(m, m->set.index[KR_SPLIT_TRAIN][i], at);
            low = fmin(low, v), high = fmax(high, v);
        }
    for (int64_t c = 0; c < m->C; c++) middle[c] = (low + high) / 2, half[c] = (high - low) / 2;
}

static kr_status measure(kr_source *s, image *m) {
    double mean[4] = {0}, std[4] = {0}, size[3] = {(double)m->H, (double)m->W, (double)m->C};
    double n = (double)(m->set.n_in[KR_SPLIT_TRAIN] * m->H * m->W);
    if (s->fitted) {
        KR_TRY(kr_fitted_reals(s, "mean", mean, m->C));
        KR_TRY(kr_fitted_reals(s, "std", std, m->C));
    } else {
        if (m->k.task == NOISE) measure_range(m, mean, std);
        for (int64_t i = 0; m->k.task != NOISE && i < m->set.n_in[KR_SPLIT_TRAIN]; i++) {
            double sum[4] = {0}, square[4] = {0};
            for (int64_t at = 0; at < m->H * m->W; at++)
                for (int64_t c = 0; c < m->C; c++) {
                    double v = value(m, m->set.index[KR_SPLIT_TRAIN][i], at * m->C + c);
                    sum[c] += v, square[c] += v * v;
                }
            for (int64_t c = 0; c < m->C; c++) mean[c] += sum[c] / n, std[c] += square[c] / n;
        }
        for (int64_t c = 0; m->k.task != NOISE && c < m->C; c++) std[c] = sqrt(fmax(std[c] - mean[c] * mean[c], 0));
        KR_TRY(kr_learnt_reals(s, "mean", mean, m->C));
        KR_TRY(kr_learnt_reals(s, "std", std, m->C));
        KR_TRY(kr_learnt_reals(s, "size", size, 3));
    }
    for (int64_t c = 0; c < m->C; c++) m->shift[c] = (float)-mean[c], m->scale[c] = std[c] > 1e-9 ? (float)(1 / std[c]) : 1;
    return KR_OK;
}

/* Values of masks as classes, in their order. */
static kr_status mask_classes(image *m) {
    bool seen[256] = {0};
    char name[8];
    for (size_t i = 0; i < m->mask.n_bytes; i++) seen[m->mask.data[i]] = true;
    for (int v = 0; v < 256; v++) {
        if (!seen[v]) continue;
        snprintf(name, sizeof name, "%d", v);
        int32_t class = kr_set_class(&m->set, name);
        if (class == -2) return KR_ERR_NOMEM;
        if (class < 0) KR_FAIL(KR_ERR_CONFIG, "data: a mask has the value %d, which none to train on had", v);
        m->class_of[v] = (unsigned char)class;
    }
    return KR_OK;
}

static kr_status classes(kr_source *s, image *m) {
    if (s->predict) m->dense = json_is_true(json_object_get(s->fitted, "dense"));
    else if (m->dense && m->k.task == NOISE) KR_FAIL(KR_ERR_CONFIG, "data.task is \"noise\": pictures may have a class each, not one for each pixel");
    else if (m->dense) KR_TRY(mask_classes(m));
    if (!s->fitted) {
        KR_TRY(kr_set_sort_classes(&m->set));
        KR_TRY(kr_learnt_classes(s, &m->set));
        KR_TRY(kr_learnt(s, "dense", json_boolean(m->dense)));
    }
    if (m->k.task == NOISE) return s->info.n_row_classes = m->set.classes.n < 2 ? 0 : (int64_t)m->set.classes.n, KR_OK;
    s->info.n_classes = (int64_t)m->set.classes.n;
    if (s->info.n_classes < 2)
        KR_FAIL(KR_ERR_CONFIG, "data: the pictures have %lld class%s, want at least 2: give data.labels, or a folder for each class", (long long)s->info.n_classes,
                s->info.n_classes == 1 ? "" : "es");
    for (int64_t i = 0; i < m->set.n && !s->predict && !m->dense; i++)
        if (m->set.label[i] < 0) { /* or one that is not among those trained on */
            char name[300];
            kr_set_name(&m->set, i, name, sizeof name);
            KR_FAIL(KR_ERR_CONFIG, "%s has no class: give data.labels, or a folder for each class", name);
        }
    return KR_OK;
}

/* --- rows ------------------------------------------------------------------------------------------ */

/* Bits of a symmetry: 1 upside down, 2 left for right, 4 rows for columns; the corner of what is seen. */
typedef struct view { int mirror; int64_t down, right, top, left; } view;

static view draw_view(const kr_source *s, const image *m, kr_split split, int64_t row) {
    bool cropped = m->h < m->H || m->w < m->W;
    view v = {.top = (m->H - m->h) / 2, .left = (m->W - m->w) / 2};
    if (split != KR_SPLIT_TRAIN || (m->k.flip == NO_FLIP && !m->k.shift && !cropped)) return v;
    kr_rng r = kr_source_row_rng(s, split, row);
    if (m->k.flip == SIDES) v.mirror = (int)kr_rng_below(&r, 2) * 2;
    if (m->k.flip == ALL) v.mirror = (int)kr_rng_below(&r, m->h == m->w ? 8 : 4);
    if (m->k.shift) v.down = kr_rng_below(&r, 2 * m->k.shift + 1) - m->k.shift, v.right = kr_rng_below(&r, 2 * m->k.shift + 1) - m->k.shift;
    if (cropped) v.top = kr_rng_below(&r, m->H - m->h + 1), v.left = kr_rng_below(&r, m->W - m->w + 1);
    return v;
}

static int64_t within(int64_t i, int64_t n) { return i < 0 ? 0 : i >= n ? n - 1 : i; }

/* The pixel that is seen at (h, w); -1: outside. */
static int64_t seen_at(const image *m, const view *v, int64_t h, int64_t w) {
    h += v->down, w += v->right;
    if (m->k.task == NOISE) h = within(h, m->h), w = within(w, m->w); /* nobody is to learn to draw an edge */
    if (h < 0 || w < 0 || h >= m->h || w >= m->w) return -1;
    if (v->mirror & 1) h = m->h - 1 - h;
    if (v->mirror & 2) w = m->w - 1 - w;
    int64_t down = v->mirror & 4 ? w : h, right = v->mirror & 4 ? h : w;
    return (v->top + down) * m->W + v->left + right;
}

static void fill(const image *m, int64_t example, const view *v, float *x, int32_t *targets) {
    const uint8_t *mask = m->dense && m->mask.n ? kr_set_data(&m->mask, example) : NULL;
    const void *p = kr_set_data(&m->set, example);
    for (int64_t h = 0, to = 0; h < m->h; h++)
        for (int64_t w = 0; w < m->w; w++, to++) {
            int64_t at = seen_at(m, v, h, w);
            for (int64_t c = 0; c < m->C; c++) {
                float value_at = at < 0 ? 0 : m->set.each == 1 ? ((const uint8_t *)p)[at * m->C + c] : ((const float *)p)[at * m->C + c];
                x[to * m->C + c] = at < 0 ? 0 : (value_at + m->shift[c]) * m->scale[c];
            }
            if (m->dense) targets[to] = at < 0 || !mask ? -1 : m->class_of[mask[at]];
        }
    if (!m->dense && m->k.task == CLASS) targets[0] = m->set.label[example];
}

static void image_batch(const kr_source *s, kr_split split, int64_t step, kr_batch *b) {
    enum { MANY = 1 << 16 };
    const image *m = s->own;
    int64_t each = m->h * m->w * m->C, n_targets = s->info.n_targets, rows = 0;
#pragma omp parallel for num_threads(kr_cpu_threads()) schedule(static) reduction(+ : rows) if (b->S * each > MANY)
    for (int64_t i = 0; i < b->S; i++) {
        int64_t example = kr_set_at(s, &m->set, split, step, i);
        if (b->classes) b->classes[i] = example < 0 || !s->info.n_row_classes ? -1 : m->set.label[example];
        if (example < 0) { /* padding */
            memset(b->x + i * each, 0, (size_t)each * sizeof *b->x);
            for (int64_t t = 0; t < n_targets; t++) b->targets[i * n_targets + t] = -1;
            continue;
        }
        view v = draw_view(s, m, split, step * b->S + i);
        fill(m, example, &v, b->x + i * each, b->targets + i * n_targets);
        rows++;
    }
    b->n_rows = rows;
}

/* --- open and close ----------------------------------------------------------------------------------- */

/* What a model of these pictures is to have. */
static kr_status suit_model(kr_source *s, const image *m, const char *size) {
    bool noise = m->k.task == NOISE;
    json_int_t C = m->C, K = noise ? s->info.n_row_classes : s->info.n_classes;
    s->encoder = json_pack("{s:s, s:s, s:I, s:I}", "type", "patch", "size", size, "channels", C, "width", C);
    s->head = noise ? json_pack("{s:s, s:I}", "type", "noise", "channels", C) : json_pack("{s:s, s:I}", "type", m->dense ? "dense" : "class", "n_classes", K);
    if (noise && !(s->condition = json_pack("{s:s, s:I}", "type", "diffusion", "classes", K))) KR_FAIL(KR_ERR_NOMEM, "data: out of memory");
    return s->encoder && s->head ? KR_OK : kr_fail(KR_ERR_NOMEM, "data: out of memory");
}

static kr_status describe(kr_source *s, const image *m) {
    kr_source_info *i = &s->info;
    char size[48], test[48] = "";
    bool noise = m->k.task == NOISE;
    int64_t K = noise ? i->n_row_classes : i->n_classes;
    snprintf(size, sizeof size, "%lldx%lld", (long long)m->h, (long long)m->w);
    KR_TRY(suit_model(s, m, size));
    if (i->L && i->L != m->h * m->w) KR_FAIL(KR_ERR_CONFIG, "train.seq_len is %lld, but a picture of %s has %lld pixels; leave it out", (long long)i->L, size, (long long)(m->h * m->w));
    i->L = m->h * m->w, i->x_width = m->C, i->n_targets = noise ? 0 : m->dense ? i->L : 1, i->H = m->h, i->W = m->w;
    i->metric = m->dense ? "dice" : "accuracy", i->more_metrics = m->dense ? "accuracy iou" : i->n_classes == 2 ? "f1 auroc mcc" : "f1 mcc";
    if (noise) i->metric = "mse", i->more_metrics = NULL, i->y_width = i->L * m->C;
    if (i->n_test) snprintf(test, sizeof test, ", %lld to test", (long long)i->n_test);
    snprintf(i->about, sizeof i->about, "%lld pictures of %s with %lld channel%s and %lld classes to train on, %lld held out%s", (long long)i->n_train, size, (long long)m->C,
             m->C == 1 ? "" : "s", (long long)K, (long long)i->n_eval, test);
    return KR_OK;
}

static kr_status read_crop(kr_source *s, image *m) {
    int64_t size[KR_ORDER_AXES] = {m->H, m->W};
    if (*m->k.crop && kr_order_size(m->k.crop, size) != 2) KR_FAIL(KR_ERR_CONFIG, "data.crop is \"%s\", want HxW", m->k.crop);
    if (size[0] > m->H || size[1] > m->W) KR_FAIL(KR_ERR_CONFIG, "data.crop is \"%s\", and a picture has %lld x %lld pixels", m->k.crop, (long long)m->H, (long long)m->W);
    m->h = size[0], m->w = size[1];
    double grid[3] = {(double)m->h, (double)m->w, (double)m->C};
    return s->fitted || m->k.task != NOISE ? KR_OK : kr_learnt_reals(s, "grid", grid, 3);
}

static kr_status image_open(kr_source *s, const json_t *data) {
    image *m = s->own = kr_mem_new(sizeof *m);
    if (!m) return KR_ERR_NOMEM;
    s->set = &m->set;
    m->mask.each = 1;
    KR_TRY(kr_keys_read(s->kind->keys, data, "data", &m->k));
    double size[3];
    char text[48];
    if (!s->predict) KR_TRY(list_labels(m));
    if (s->fitted) {
        KR_TRY(kr_fitted_reals(s, "size", size, 3));
        KR_TRY(kr_fitted_classes(s, &m->set));
        m->k.channels = size[2] == 1 ? GREY : size[2] == 3 ? COLOUR : AS_IS;
        snprintf(text, sizeof text, "%.0fx%.0f", size[0], size[1]);
        if (!*m->k.tile) m->k.size = text; /* as those trained on */
    }
    KR_TRY(kr_set_load(s, &m->set, &m->k.set, read_file, m));
    KR_TRY(kr_set_split(s, &m->set, &m->k.set));
    KR_TRY(classes(s, m));
    KR_TRY(measure(s, m));
    KR_TRY(read_crop(s, m));
    m->k.size = m->k.tile = m->k.crop = NULL; /* the JSON object is the caller's */
    return describe(s, m);
}

static void image_close(kr_source *s) {
    image *m = s->own;
    if (!m) return;
    kr_set_free(&m->set);
    kr_set_free(&m->mask);
    for (int i = 0; i < KR_N_SPLIT; i++) kr_set_free(&m->label_files[i]);
    kr_mem_free(m);
}

static const kr_key image_keys_table[] = {
    KR_KEY_TEXT(image_keys, kind, "image", "where rows come from"),
    KR_SET_KEYS(image_keys),
    KR_KEY_LIST(image_keys, labels, "a file of labels for each file of `paths`: one a picture, or one a pixel"),
    KR_KEY_LIST(image_keys, eval_labels, "the same for eval_paths"),
    KR_KEY_LIST(image_keys, test_labels, "the same for test_paths"),
    KR_KEY_CHOICE(image_keys, label, "folder|name", "without labels the class is the folder's name, or the file's up to the first _ or -"),
    KR_KEY_TEXT(image_keys, size, "", "bring pictures to HxW; none: all have one size already"),
    KR_KEY_TEXT(image_keys, tile, "", "cut pictures into tiles of HxW"),
    KR_KEY_CHOICE(image_keys, task, "class|noise", "tell classes, or learn to draw such pictures by a diffusion model"),
    KR_KEY_CHOICE(image_keys, channels, "as_is|grey|colour", "channels of a pixel"),
    KR_KEY_TEXT(image_keys, crop, "", "see HxW pixels of a picture: training anywhere in it, else in its middle"),
    KR_KEY_CHOICE(image_keys, flip, "none|sides|all", "training: mirror at random, left for right or in all 8 (4) ways"),
    KR_KEY_INT(image_keys, shift, 0, 0, 1000, "training: move by up to so many pixels"),
    KR_KEY_END,
};

const kr_source_kind kr_source_image = {
    .name = "image",
    .about = "pictures with a class each, or one for each pixel",
    .keys = image_keys_table,
    .open = image_open,
    .batch = image_batch,
    .who = kr_set_who,
    .label = kr_set_label,
    .close = image_close,
};
