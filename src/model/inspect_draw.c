/* inspect_draw.c - the pictures of krait inspect attention and states. */
#include "model/inspect.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/picture.h"

enum { LEFT = 96, TOP = 64, GAP = 16, LABEL = 18, MOST_COLUMNS = 8 };
enum { INK = 0x24292f, GREY = 0x6e7781, BLUE = 0x0a52a5 };

/* What is drawn: scans (rows) and, of each, heads (columns) one by one or in groups. */
typedef struct plan { int scan[512]; int n, columns; int64_t head, groups; } plan;

static int64_t group_start(const kr_inspect_scan *s, int64_t n, int64_t k) { return s->n_heads * k / n; }
static int64_t columns_of(const plan *p, const kr_inspect_scan *s) {
    int64_t most = p->groups > 0 ? p->groups : MOST_COLUMNS;
    return p->head >= 0 ? 1 : s->n_heads < most ? s->n_heads : most;
}
/* Heads [from, to) of column k. */
static void heads_of(const plan *p, const kr_inspect_scan *s, int64_t k, int64_t *from, int64_t *to) {
    int64_t n = columns_of(p, s);
    *from = p->head >= 0 ? p->head : group_start(s, n, k);
    *to = p->head >= 0 ? p->head + 1 : group_start(s, n, k + 1);
}

static kr_status make_plan(const kr_inspect *x, const kr_inspect_draw *how, bool states, plan *p) {
    kr_inspect_scan s;
    *p = (plan){.head = how->head, .groups = how->groups};
    for (int i = 0; kr_inspect_get(x, i, &s) && p->n < 512; i++) {
        if ((how->layer >= 0 && s.layer != how->layer) || (states && s.d_state == 0)) continue;
        if (how->head >= s.n_heads) KR_FAIL(KR_ERR_ARG, "layer %lld has no head %lld; it has %lld", (long long)s.layer, (long long)how->head, (long long)s.n_heads);
        p->scan[p->n++] = i;
        int64_t c = columns_of(p, &s);
        if (c > p->columns) p->columns = (int)c;
    }
    if (p->n == 0) KR_FAIL(KR_ERR_ARG, "there is %s in layer %lld", states ? "no state" : "nothing to draw", (long long)how->layer);
    return KR_OK;
}

static void put_heads(kr_picture *pic, double x, double y, const kr_inspect_scan *s, int64_t from, int64_t to) {
    const char *what = s->headdim > 1 ? "head" : "channel";
    if (to == from + 1) kr_picture_text(pic, x, y, 10, -1, GREY, "%s %lld", what, (long long)from);
    else kr_picture_text(pic, x, y, 10, -1, GREY, "%ss %lld-%lld", what, (long long)from, (long long)to - 1);
}
static void put_layer(kr_picture *pic, double y, const kr_inspect_scan *s) {
    static const struct { const char *op, *name; } names[] = {{"ssd", "SSD"}, {"selective_scan", "S6"}, {"lti_scan", "S4D"}, {"attention", "attention"}};
    kr_picture_text(pic, 14, y, 12, -1, INK, "layer %lld", (long long)s->layer);
    for (int i = 0; i < 4; i++)
        if (strcmp(names[i].op, s->op) == 0) kr_picture_text(pic, 14, y + 15, 10, -1, GREY, "%s", names[i].name);
}

/* --- attention ------------------------------------------------------------------------------- */

/* A quarter of the way to the largest shows as half: the root, with its sign. */
typedef struct heat { const double *alpha; int64_t L; double most; } heat;
static double alpha_level(void *user, int64_t row, int64_t column) {
    const heat *h = user;
    double v = h->alpha[row * h->L + column] / h->most;
    return v < 0 ? -sqrt(-v) : sqrt(v);
}

static kr_status put_alpha(kr_picture *pic, const kr_inspect *x, int scan, int64_t from, int64_t to, double left, double top, double side, double *alpha) {
    heat h = {alpha, x->L, 1e-300};
    KR_TRY(kr_inspect_alpha(x, scan, from, to, alpha));
    for (int64_t e = 0; e < x->L * x->L; e++) h.most = fmax(h.most, fabs(alpha[e]));
    kr_picture_heat(pic, left, top, side, side, x->L, x->L, alpha_level, &h);
    kr_picture_text(pic, left + side - 4, top + 12, 9, 1, GREY, "max %.2g", h.most); /* where no step looks: ahead */
    return KR_OK;
}

static void put_scale(kr_picture *pic, double right, double y) {
    for (int i = -20; i <= 20; i++) {
        double v = i / 20., root = v < 0 ? -sqrt(-v) : sqrt(v);
        kr_picture_box(pic, right - 200 + (i + 20) * 4, y - 9, 4, 10, kr_picture_level(root));
    }
    kr_picture_text(pic, right - 204, y, 10, 1, GREY, "-max");
    kr_picture_text(pic, right, y, 10, 1, GREY, "max");
}

/* Tokens along the left side and the top of a large single map. */
static void put_tokens(kr_picture *pic, const kr_inspect *x, double left, double top, double side) {
    double cell = side / (double)x->L;
    for (int64_t i = 0; i < x->L && cell >= 9; i++) {
        char t[12];
        snprintf(t, sizeof t, "%.9s", kr_inspect_token(x, i));
        for (char *c = t; *c; c++)
            if ((unsigned char)*c < 32) *c = '.';
        kr_picture_text(pic, left - 6, top + ((double)i + .5) * cell + 3.5, 9, 1, INK, "%s", *t == ' ' && !t[1] ? "_" : t);
        if (strlen(t) * 6 <= cell + 3) kr_picture_text(pic, left + ((double)i + .5) * cell, top + side + 13, 9, 0, INK, "%s", *t == ' ' ? "_" : t);
    }
}

kr_status kr_inspect_draw_attention(const kr_inspect *x, const kr_inspect_draw *how, const char *path) {
    plan p;
    kr_picture *pic;
    kr_inspect_scan s;
    KR_TRY(make_plan(x, how, false, &p));
    bool one = p.n == 1 && p.columns == 1;
    double side = one ? 640 : p.columns <= 2 ? 300 : p.columns <= 4 ? 200 : 132, width = LEFT + p.columns * (side + GAP) + 8, row = side + LABEL + 14;
    if (width < 760) width = 760; /* the lines above */
    double *alpha = kr_mem_array((size_t)(x->L * x->L), sizeof *alpha);
    if (!alpha) return KR_ERR_NOMEM;
    kr_status st = kr_picture_new(&pic, width, TOP + p.n * row + (one ? 22 : 8));
    if (st == KR_OK) {
        kr_picture_text(pic, 14, 24, 15, -1, INK, "Hidden attention: %s", how->title ? how->title : "");
        kr_picture_text(pic, 14, 44, 10, -1, GREY, "row i: what step i hears of step j, %lld steps, the first on top", (long long)x->L);
        put_scale(pic, width - 14, 44);
        for (int r = 0; r < p.n && st == KR_OK; r++) {
            double y = TOP + r * row + LABEL;
            kr_inspect_get(x, p.scan[r], &s);
            put_layer(pic, y + 10, &s);
            for (int64_t k = 0; k < columns_of(&p, &s) && st == KR_OK; k++) {
                int64_t from, to;
                heads_of(&p, &s, k, &from, &to);
                put_heads(pic, LEFT + (double)k * (side + GAP), y - 5, &s, from, to);
                st = put_alpha(pic, x, p.scan[r], from, to, LEFT + (double)k * (side + GAP), y, side, alpha);
            }
            if (one) put_tokens(pic, x, LEFT, y, side);
        }
        if (st == KR_OK) st = kr_picture_save(pic, path);
        kr_picture_free(pic);
    }
    kr_mem_free(alpha);
    return st;
}

/* --- states ---------------------------------------------------------------------------------- */

/* A line of bars over time, up to `most`. */
static void put_bars(kr_picture *pic, double x, double y, double w, double h, const kr_inspect_states *s, const double *v, double most, kr_colour colour) {
    double each = w / (double)s->n_times;
    kr_picture_box(pic, x, y + h, w, 1, 0x8c959f);
    for (int64_t k = 0; k < s->n_times && most > 0; k++) {
        double tall = h * v[k] / most;
        kr_picture_box(pic, x + (double)k * each, y + h - tall, each * .86, tall, colour);
    }
}

/* The span from 10 to 90 % and the middle, over powers of ten from 1/10 to 10^6 steps. */
static void put_lives(kr_picture *pic, double x, double y, double w, double h, const kr_inspect_states *s) {
    double at[3];
    for (int k = 0; k < 3; k++) at[k] = fmin(1, fmax(0, (log10(s->half_life[k]) + 1) / 7)) * w;
    for (int d = 0; d <= 7; d++) kr_picture_box(pic, x + w * d / 7, y, .7, h, 0xd0d7de);
    kr_picture_box(pic, x + at[0], y + h * .3, fmax(2, at[2] - at[0]), h * .4, 0x6baed6);
    kr_picture_box(pic, x + at[1] - 1, y + h * .15, 3, h * .7, BLUE);
}

kr_status kr_inspect_draw_states(const kr_inspect *x, const kr_inspect_draw *how, const char *path) {
    enum { HEAD = 26, LINE = 34, W = 210 };
    plan p;
    kr_picture *pic;
    kr_inspect_scan s;
    KR_TRY(make_plan(x, how, true, &p));
    double height = TOP + 26;
    for (int r = 0; r < p.n; r++) kr_inspect_get(x, p.scan[r], &s), height += HEAD + LINE * (double)columns_of(&p, &s);
    KR_TRY(kr_picture_new(&pic, LEFT + 110 + 3 * (W + 40), height + 10));
    static const char *const titles[] = {"norm of the states over time", "effective rank over time", "half-life in steps"};
    const double at[] = {LEFT + 110, LEFT + 110 + W + 40, LEFT + 110 + 2 * (W + 40)};
    double y = TOP + 26;
    kr_status st = KR_OK;
    kr_picture_text(pic, 14, 24, 15, -1, INK, "States: %s", how->title ? how->title : "");
    kr_picture_text(pic, 14, 44, 10, -1, GREY, "%lld steps, the first on the left; half-lives of 10 to 90 %% of the numbers and steps, the bar is the middle", (long long)x->L);
    for (int k = 0; k < 3; k++) kr_picture_text(pic, at[k], TOP + 10, 11, -1, INK, "%s", titles[k]);
    for (int d = 0; d <= 7; d++) kr_picture_text(pic, at[2] + W * d / 7., TOP + 24, 8, 0, GREY, d == 0 ? ".1" : d == 1 ? "1" : d == 2 ? "10" : "10^%d", d - 1);
    for (int r = 0; r < p.n && st == KR_OK; r++) {
        kr_inspect_get(x, p.scan[r], &s);
        put_layer(pic, y + HEAD, &s);
        y += HEAD - 8;
        for (int64_t k = 0; k < columns_of(&p, &s) && st == KR_OK; k++, y += LINE) {
            int64_t from, to;
            kr_inspect_states v;
            heads_of(&p, &s, k, &from, &to);
            if ((st = kr_inspect_get_states(x, p.scan[r], from, to, &v)) != KR_OK) break;
            double most = 0, h = LINE - 10;
            for (int64_t t = 0; t < v.n_times; t++) most = fmax(most, v.norm[t]);
            put_heads(pic, LEFT + 10, y + h - 6, &s, from, to);
            put_bars(pic, at[0], y, W, h, &v, v.norm, most, 0x6baed6);
            kr_picture_text(pic, at[0] + W + 4, y + 9, 9, -1, GREY, "%.2g", most);
            put_bars(pic, at[1], y, W, h, &v, v.rank, v.most_rank, 0xfd9e56);
            kr_picture_text(pic, at[1] + W + 4, y + 9, 9, -1, GREY, "%.3g", v.most_rank);
            put_lives(pic, at[2], y, W, h, &v);
        }
        y += 8;
    }
    if (st == KR_OK) st = kr_picture_save(pic, path);
    kr_picture_free(pic);
    return st;
}
