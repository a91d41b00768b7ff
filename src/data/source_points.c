/* source_points.c - points in space with a class for each cloud: OFF, XYZ, arrays [points, 3 or more], or
 * voxels (an array of three axes of a side each above 3, or several of them), whose full cells are points.
 *
 * A row is `points` of a cloud, drawn anew each time while training and once for those held out, in the
 * order of a curve (PointMamba, Liang et al. 2024: Hilbert's, and the same with x and y swapped), one
 * behind the other if there are several, so L is points times curves.  A step is x, y, z, around the
 * cloud's middle with its farthest point at 1, and which curve it is on as one of so many.
 *
 * With `patches` a row is that many of them instead, for the encoder `pointnet`: of the points drawn, those that are
 * far from each other (farthest point sampling), in the order of each curve, and of each the `patch_points` nearest points:
 * x, y, z less the centre's, the centre's, and the curve's mark.
 *
 * A cloud's class is the folder's name or what its file's name begins with, up to the first _ - or . */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "data/patches.h"
#include "data/set.h"
#include "krait/order.h"

enum { MOST_CURVES = 4, LEAST_SIDE = 4 };

typedef struct points_keys {
    const char *kind;
    kr_set_keys set;
    int64_t points, patches, patch_points;
    const json_t *curves;
    double jitter, turn;
    int label;
} points_keys;

typedef struct points {
    points_keys k;
    kr_set set;                /* floats: for each curve x, y, z of all points in its order; with patches x, y, z in the
                                  first curve's order, and for each other one where a point comes by (int32) */
    const char *curve[MOST_CURVES];
    int64_t n_curves;
    float *xyz, *room;         /* with patches, [points, 3] and [points]: a row at hand ... */
    int32_t *at, *centre, *near, *come; /* ... [points] which points, [patches] which are centres, [patch_points], [patches] when they come by */
    pthread_mutex_t lock;      /* of these */
} points;

/* Numbers of a point in the set. */
static int64_t numbers_of(const points *q) { return q->k.patches ? 3 + q->n_curves - 1 : 3 * q->n_curves; }

/* --- reading ---------------------------------------------------------------------------------------- */

/* Into the ball of radius 1 around the middle. */
static void centre(float *x, int64_t n) {
    double middle[3] = {0}, far = 0;
    for (int64_t i = 0; i < 3 * n; i++) middle[i % 3] += x[i] / (double)n;
    for (int64_t i = 0; i < n; i++) {
        double r = 0;
        for (int k = 0; k < 3; k++) x[3 * i + k] -= (float)middle[k], r += (double)x[3 * i + k] * x[3 * i + k];
        far = fmax(far, r);
    }
    for (int64_t i = 0; i < 3 * n && far > 0; i++) x[i] = (float)(x[i] / sqrt(far));
}

static kr_status add_cloud(points *q, float *x, int64_t n, kr_split part, int64_t row, int32_t class, const char *path) {
    if (!n) KR_FAIL(KR_ERR_FORMAT, "%s: cloud %lld has no point", path, (long long)(row < 0 ? 0 : row));
    int32_t *rank = kr_mem_array((size_t)(2 * n), sizeof *rank), *first = rank + n; /* first: when the first curve comes by */
    float *to = rank ? kr_set_add(&q->set, (size_t)(n * numbers_of(q)), part, row, class, NULL) : NULL;
    kr_status st = to ? KR_OK : KR_ERR_NOMEM;
    centre(x, n);
    for (int64_t c = 0; c < q->n_curves && st == KR_OK; c++) {
        st = kr_order_points(q->curve[c], 0, n, x, rank);
        for (int32_t i = 0; i < n && st == KR_OK; i++) {
            if (!c) first[rank[i]] = i;
            if (c && q->k.patches) memcpy(to + (2 + c) * n + first[rank[i]], &i, sizeof i);
            else memcpy(to + 3 * (c * n + i), x + 3 * rank[i], 3 * sizeof *x);
        }
    }
    kr_mem_free(rank);
    return st;
}

/* Full cells of a grid. */
static int64_t cells_of(const kr_array *a, int64_t at, const int64_t side[3], float *x) {
    int64_t n = 0;
    for (int64_t i = 0; i < side[0] * side[1] * side[2]; i++) {
        if (!(kr_array_at(a, at + i) > 0)) continue;
        x[3 * n] = (float)(i / (side[1] * side[2])), x[3 * n + 1] = (float)(i / side[2] % side[1]), x[3 * n + 2] = (float)(i % side[2]);
        n++;
    }
    return n;
}

static kr_status add_array(points *q, const kr_array *a, const char *path, kr_split part, int32_t class) {
    int64_t side[3] = {0}, each, n, wide = a->n_dims ? a->dim[a->n_dims - 1] : 0;
    bool cells = a->n_dims >= 3;
    for (int i = 0; i < 3 && cells; i++) side[i] = a->dim[a->n_dims - 3 + i], cells = side[i] >= LEAST_SIDE;
    if (!cells && (a->n_dims < 2 || a->n_dims > 3 || wide < 3)) KR_FAIL(KR_ERR_FORMAT, "%s: neither points [n, 3], nor clouds of them [clouds, n, 3], nor voxels", path);
    each = cells ? side[0] * side[1] * side[2] : a->dim[a->n_dims - 2] * wide;
    n = each ? a->n / each : 0;
    if (!n) KR_FAIL(KR_ERR_FORMAT, "%s: no point in it", path);
    float *x = kr_mem_array((size_t)(3 * each) + 1, sizeof *x);
    kr_status st = x ? KR_OK : KR_ERR_NOMEM;
    for (int64_t k = 0; k < n && st == KR_OK; k++) {
        int64_t m = cells ? cells_of(a, k * each, side, x) : each / wide;
        for (int64_t i = 0; i < 3 * m && !cells; i++) x[i] = (float)kr_array_at(a, k * each + i / 3 * wide + i % 3);
        if (cells && n > 1 && !m) continue; /* an empty grid among others */
        st = add_cloud(q, x, m, part, n > 1 ? k : -1, class, path);
    }
    kr_mem_free(x);
    return st;
}

typedef struct reading { const kr_source *s; points *q; } reading;
static kr_status read_file(void *user, kr_set *set, const char *path, kr_split part) {
    const reading *r = user;
    kr_array a;
    int32_t class = r->s->predict ? -1 : kr_set_class_of_path(set, path, r->q->k.label);
    if (class == -2) return KR_ERR_NOMEM;
    if (class < 0 && !r->s->predict)
        KR_FAIL(KR_ERR_CONFIG, "%s: the %s (data.label) is no class, or none of those trained on", path, r->q->k.label == KR_SET_BY_FOLDER ? "folder" : "beginning of its name");
    KR_TRY(kr_decode_array(&a, path));
    kr_status st = add_array(r->q, &a, path, part, class);
    kr_array_free(&a);
    return st;
}

/* --- rows ------------------------------------------------------------------------------------------------ */

/* A turn around the axis that stands up in most files, the last. */
static void turn(float x[3], double angle) {
    double c = cos(angle), s = sin(angle), a = x[0], b = x[1];
    x[0] = (float)(c * a - s * b), x[1] = (float)(s * a + c * b);
}

/* One patch: its points less the centre, the centre, the curve's mark. */
static void fill_patch(const points *q, int32_t centre, int64_t curve, float *x) {
    int64_t W = 6 + (q->n_curves > 1 ? q->n_curves : 0);
    const float *middle = q->xyz + 3 * centre;
    kr_points_near(q->k.points, q->xyz, centre, q->k.patch_points, q->near, q->room);
    for (int64_t i = 0; i < q->k.patch_points; i++, x += W) {
        for (int k = 0; k < 3; k++) x[k] = q->xyz[3 * q->near[i] + k] - middle[k], x[3 + k] = middle[k];
        for (int64_t c = 0; c < q->n_curves && q->n_curves > 1; c++) x[6 + c] = c == curve;
    }
}

/* The patches of the points drawn, along each curve: few, so they are put in order by insertion. */
static void fill_patches(const points *q, const float *from, int64_t n, float *x) {
    int64_t G = q->k.patches, each = q->k.patch_points * (6 + (q->n_curves > 1 ? q->n_curves : 0));
    kr_points_far(q->k.points, q->xyz, G, q->centre, q->room);
    for (int64_t c = 0; c < q->n_curves; c++) {
        for (int64_t i = 0; i < G; i++) {
            int32_t centre = q->centre[i], come = q->at[centre];
            int64_t to = i;
            if (c) memcpy(&come, from + (2 + c) * n + q->at[centre], sizeof come);
            for (; to > 0 && (come < q->come[to - 1] || (come == q->come[to - 1] && centre < q->centre[to - 1])); to--)
                q->come[to] = q->come[to - 1], q->centre[to] = q->centre[to - 1];
            q->come[to] = come, q->centre[to] = centre;
        }
        for (int64_t i = 0; i < G; i++, x += each) fill_patch(q, q->centre[i], c, x);
    }
}

/* Which point of n: evenly along the curve, each at a drawn place in its stretch, so that none is left bare. */
static int64_t place(kr_rng *r, int64_t i, int64_t P, int64_t n) {
    int64_t at = (int64_t)(((double)i + kr_rng_uniform(r)) / (double)P * (double)n);
    return at < n ? at : n - 1;
}

static void move(const points *q, kr_rng *r, double angle, float x[3]) {
    if (q->k.turn > 0) turn(x, angle);
    for (int k = 0; k < 3 && q->k.jitter > 0; k++) x[k] += (float)(q->k.jitter * kr_rng_normal(r));
}

static void fill(const kr_source *s, const points *q, kr_split split, int64_t row, int64_t example, float *x) {
    const float *from = kr_set_data(&q->set, example);
    int64_t n = kr_set_length(&q->set, example) / numbers_of(q), P = q->k.points, W = s->info.x_width;
    kr_rng r = split == KR_SPLIT_TRAIN ? kr_source_row_rng(s, split, row) : kr_source_rng(s, split, "points of a cloud", example);
    bool train = split == KR_SPLIT_TRAIN;
    double angle = train ? q->k.turn * (2 * kr_rng_uniform(&r) - 1) * 3.14159265358979323846 / 180 : 0;
    for (int64_t i = 0; i < P * (q->k.patches ? 1 : q->n_curves); i++) {
        int64_t c = i / P, at = place(&r, i % P, P, n);
        float *to = q->k.patches ? q->xyz + 3 * i : x + i * W;
        memcpy(to, from + 3 * (c * n + at), 3 * sizeof *to);
        if (train) move(q, &r, angle, to);
        if (q->k.patches) q->at[i] = (int32_t)at;
        for (int64_t k = 0; k < q->n_curves && q->n_curves > 1 && !q->k.patches; k++) to[3 + k] = k == c;
    }
    if (q->k.patches) fill_patches(q, from, n, x);
}

static void points_batch(const kr_source *s, kr_split split, int64_t step, kr_batch *b) {
    const points *q = s->own;
    int64_t each = s->info.L * s->info.x_width;
    b->n_rows = 0;
    pthread_mutex_lock(&((points *)s->own)->lock);
    for (int64_t i = 0; i < b->S; i++) {
        int64_t example = kr_set_at(s, &q->set, split, step, i);
        b->targets[i] = example >= 0 ? q->set.label[example] : -1;
        if (example >= 0) fill(s, q, split, step * b->S + i, example, b->x + i * each), b->n_rows++;
        else memset(b->x + i * each, 0, (size_t)each * sizeof *b->x);
    }
    pthread_mutex_unlock(&((points *)s->own)->lock);
}

/* --- open and close ----------------------------------------------------------------------------------------- */

static kr_status choose_curves(points *q) {
    const json_t *c = q->k.curves;
    int32_t rank;
    size_t n = json_is_array(c) ? json_array_size(c) : 1;
    if (n < 1 || n > MOST_CURVES) KR_FAIL(KR_ERR_CONFIG, "data.curves has %zu names, want 1 to %d", n, MOST_CURVES);
    for (size_t i = 0; i < n; i++) {
        q->curve[i] = json_is_array(c) ? json_string_value(json_array_get(c, i)) : c ? json_string_value(c) : "hilbert";
        kr_status st = kr_order_points(q->curve[i], 0, 1, (const float[]){0, 0, 0}, &rank); /* does it know the name? */
        if (st != KR_OK) return kr_fail_in(st, "data.curves");
    }
    q->n_curves = (int64_t)n;
    return KR_OK;
}

/* What patches want. */
static kr_status make_room(points *q) {
    size_t P = (size_t)q->k.points, G = (size_t)q->k.patches, N = (size_t)q->k.patch_points;
    if (!G) return KR_OK;
    if (q->k.patches > q->k.points || q->k.patch_points > q->k.points)
        KR_FAIL(KR_ERR_CONFIG, "data: %lld patches of %lld points out of %lld (data.points): want at least as many points", (long long)q->k.patches, (long long)q->k.patch_points, (long long)q->k.points);
    q->xyz = kr_mem_array(4 * P, sizeof *q->xyz), q->room = q->xyz + 3 * P;
    q->at = kr_mem_array(P + 2 * G + N, sizeof *q->at), q->centre = q->at + P, q->come = q->centre + G, q->near = q->come + G;
    return q->xyz && q->at ? KR_OK : KR_ERR_NOMEM;
}

static kr_status describe(kr_source *s, points *q) {
    kr_source_info *i = &s->info;
    char patches[80] = "";
    int64_t G = q->k.patches, marks = q->n_curves > 1 ? q->n_curves : 0, L = (G ? G : q->k.points) * q->n_curves;
    if (__builtin_mul_overflow(L, G ? q->k.patch_points : 1, &L) || L > 1 << 28) KR_FAIL(KR_ERR_CONFIG, "data: %lld patches of %lld points along %lld curves are too many", (long long)G, (long long)q->k.patch_points, (long long)q->n_curves);
    if (i->L && i->L != L) KR_FAIL(KR_ERR_CONFIG, "train.seq_len is %lld; set data.points instead", (long long)i->L);
    i->L = L, i->x_width = (G ? 6 : 3) + marks, i->n_targets = 1, i->n_classes = (int64_t)q->set.classes.n;
    i->more_metrics = i->n_classes == 2 ? "f1 mcc auroc" : "f1 mcc";
    if (i->n_classes < 2) KR_FAIL(KR_ERR_CONFIG, "data: the clouds have %lld class%s, want at least 2: folders or names of files tell them (data.label)", (long long)i->n_classes, i->n_classes == 1 ? "" : "es");
    s->head = json_pack("{s:s, s:I}", "type", "class", "n_classes", (json_int_t)i->n_classes);
    if (G) s->encoder = json_pack("{s:s, s:I, s:I, s:I}", "type", "pointnet", "n_patch", (json_int_t)G, "n_point", (json_int_t)q->k.patch_points, "n_curve", (json_int_t)q->n_curves);
    if (!s->head || (G && !s->encoder)) KR_FAIL(KR_ERR_NOMEM, "data: out of memory");
    if (G) snprintf(patches, sizeof patches, " in %lld patches of %lld", (long long)G, (long long)q->k.patch_points);
    snprintf(i->about, sizeof i->about, "%lld clouds to train on, %lld held out, %lld to test; %lld points%s along %lld curve%s; %lld classes", (long long)i->n_train, (long long)i->n_eval,
             (long long)i->n_test, (long long)q->k.points, patches, (long long)q->n_curves, q->n_curves == 1 ? "" : "s", (long long)i->n_classes);
    return KR_OK;
}

static kr_status points_open(kr_source *s, const json_t *data) {
    points *q = s->own = kr_mem_new(sizeof *q);
    if (!q) return KR_ERR_NOMEM;
    s->set = &q->set;
    q->set.each = sizeof(float);
    pthread_mutex_init(&q->lock, NULL);
    KR_TRY(kr_keys_read(s->kind->keys, data, "data", &q->k));
    KR_TRY(choose_curves(q));
    KR_TRY(make_room(q));
    if (s->fitted) KR_TRY(kr_fitted_classes(s, &q->set));
    reading r = {s, q};
    KR_TRY(kr_set_load(s, &q->set, &q->k.set, read_file, &r));
    KR_TRY(kr_set_sort_classes(&q->set));
    KR_TRY(kr_set_split(s, &q->set, &q->k.set));
    if (!s->fitted) KR_TRY(kr_learnt_classes(s, &q->set));
    return describe(s, q);
}

static void points_close(kr_source *s) {
    points *q = s->own;
    if (!q) return;
    kr_set_free(&q->set);
    kr_mem_free(q->xyz), kr_mem_free(q->at);
    pthread_mutex_destroy(&q->lock);
    kr_mem_free(q);
}

static const kr_key points_keys_table[] = {
    KR_KEY_TEXT(points_keys, kind, "points", "where rows come from"),
    KR_SET_KEYS(points_keys),
    KR_KEY_INT(points_keys, points, 256, 1, 1e6, "points of a cloud that are seen"),
    KR_KEY_INT(points_keys, patches, 0, 0, 1 << 24, "patches that these points become, each a step (encoder pointnet); 0: every point is a step"),
    KR_KEY_INT(points_keys, patch_points, 32, 1, 1 << 20, "patches: points of each, those nearest to its centre"),
    KR_KEY_LIST(points_keys, curves, "orders of the points (hilbert): hilbert, hilbert-trans, z, xyz, ...; several follow each other"),
    KR_KEY_REAL(points_keys, jitter, 0, 0, 1, "training: deviation of what is added to coordinates, of a radius of 1"),
    KR_KEY_REAL(points_keys, turn, 0, 0, 180, "training: degrees of a drawn turn around the last axis, at most"),
    KR_KEY_CHOICE(points_keys, label, "folder|name", "what tells a cloud's class: its folder, or its file's name up to the first _ - or ."),
    KR_KEY_END,
};

const kr_source_kind kr_source_points = {
    .name = "points",
    .about = "clouds of points in space, or voxels, with a class each",
    .keys = points_keys_table,
    .open = points_open,
    .batch = points_batch,
    .who = kr_set_who,
    .label = kr_set_label,
    .close = points_close,
};
