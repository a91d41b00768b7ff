/* path_draw.c - a scan order as a picture: a panel for each path, its line going from blue
 * to orange.  Steps to a neighbour are thick, jumps thin.  Volumes are shown as their
 * planes, set off to the lower right. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"
#include "krait/order.h"

enum { PANEL = 260, GAP = 28, HEAD = 44, ACROSS = 4, BANDS = 24, NUMBERED = 64 };

typedef struct panel {
    const kr_order *o;
    double x0, y0, cell, shift; /* of the first cell; of one cell; of one plane */
} panel;

static void place(const panel *p, int32_t cell, double *x, double *y) {
    const kr_order *o = p->o;
    int64_t W = o->size[o->n_axes - 1], H = o->n_axes > 1 ? o->size[o->n_axes - 2] : 1;
    int64_t w = cell % W, h = cell / W % H, d = cell / W / H;
    *x = p->x0 + ((double)w + .5) * p->cell + (double)d * p->shift;
    *y = p->y0 + ((double)h + .5) * p->cell + (double)d * p->shift;
}

/* Tenths of a pixel, digit by digit: printf would follow the locale. */
static void put(kr_str *s, double v) {
    long tenths = lround(v * 10);
    kr_str_appendf(s, "%s%ld.%ld", tenths < 0 ? "-" : "", labs(tenths) / 10, labs(tenths) % 10);
}
static void put_place(kr_str *s, const char *before, double x, double y) {
    kr_str_append(s, before);
    put(s, x), kr_str_append_char(s, ' '), put(s, y);
}

static void put_colour(kr_str *s, double t) {
    static const double from[3] = {59, 130, 246}, by[3] = {168, 85, 247}, to[3] = {249, 115, 22};
    kr_str_append(s, "#");
    for (int i = 0; i < 3; i++) {
        double v = t < .5 ? from[i] + (by[i] - from[i]) * 2 * t : by[i] + (to[i] - by[i]) * (2 * t - 1);
        kr_str_appendf(s, "%02x", (unsigned)lround(v));
    }
}

/* The links [first, last) of a path as one SVG path: steps, or jumps. */
static void put_links(kr_str *s, const panel *p, const struct kr_order_path *path, int64_t first, int64_t last, bool steps) {
    bool open = false, drawn = false;
    size_t began = s->n;
    kr_str_append(s, "<path d=\"");
    for (int64_t i = first; i < last; i++) {
        double x, y;
        if (kr_order_is_step(p->o, path->cell[i], path->cell[i + 1]) != steps || (path->piece && path->piece[i] != path->piece[i + 1])) {
            open = false;
            continue;
        }
        place(p, path->cell[i], &x, &y);
        if (!open) put_place(s, "M", x, y);
        place(p, path->cell[i + 1], &x, &y);
        put_place(s, "L", x, y);
        open = drawn = true;
    }
    if (!drawn) {
        kr_str_cut(s, began);
        return;
    }
    kr_str_append(s, "\" stroke=\"");
    put_colour(s, (double)(first + last) / 2 / (double)(path->n > 1 ? path->n - 1 : 1));
    kr_str_append(s, "\" stroke-width=\"");
    put(s, fmax(.6, steps ? fmin(3, p->cell * .22) : fmin(1, p->cell * .06)));
    kr_str_append(s, steps ? "\"/>\n" : "\" stroke-opacity=\".6\"/>\n");
}

static void put_grid(kr_str *s, const panel *p) {
    const kr_order *o = p->o;
    int64_t W = o->size[o->n_axes - 1], H = o->n_axes > 1 ? o->size[o->n_axes - 2] : 1, D = o->n_cells / W / H;
    for (int64_t d = 0; d < D; d++) {
        double x = p->x0 + (double)d * p->shift, y = p->y0 + (double)d * p->shift;
        kr_str_append(s, "<path d=\"");
        int64_t rows = p->cell < 3 ? H : 1, columns = p->cell < 3 ? W : 1; /* too fine: only the frame */
        for (int64_t h = 0; h <= H; h += rows)
            put_place(s, "M", x, y + (double)h * p->cell), put_place(s, "L", x + (double)W * p->cell, y + (double)h * p->cell);
        for (int64_t w = 0; w <= W; w += columns)
            put_place(s, "M", x + (double)w * p->cell, y), put_place(s, "L", x + (double)w * p->cell, y + (double)H * p->cell);
        kr_str_append(s, "\" stroke=\"#6e7781\" stroke-opacity=\".25\" stroke-width=\".7\"/>\n");
    }
}

static void put_panel(kr_str *s, const panel *p, int k) {
    const struct kr_order_path *path = &p->o->path[k];
    put_grid(s, p);
    int64_t links = path->n - 1, bands = links < BANDS ? links : BANDS;
    for (int steps = 0; steps < 2; steps++)
        for (int64_t b = 0; b < bands; b++) put_links(s, p, path, links * b / bands, links * (b + 1) / bands, steps);
    for (int end = 0; end < 2 && path->n > 0; end++) {
        double x, y;
        place(p, path->cell[end ? path->n - 1 : 0], &x, &y);
        kr_str_append(s, "<circle cx=\"");
        put(s, x), kr_str_append(s, "\" cy=\""), put(s, y), kr_str_append(s, "\" r=\"");
        put(s, fmax(1.5, fmin(5, p->cell * .22))), kr_str_append(s, "\" fill=\"");
        put_colour(s, end), kr_str_append(s, "\"/>\n");
    }
    for (int64_t i = 0; p->o->n_cells <= NUMBERED && i < path->n; i++) {
        double x, y;
        place(p, path->cell[i], &x, &y);
        kr_str_append(s, "<text x=\"");
        put(s, x - p->cell * .42), kr_str_append(s, "\" y=\""), put(s, y - p->cell * .22);
        kr_str_appendf(s, "\" font-size=\"8\">%lld</text>\n", (long long)i);
    }
}

static void open_picture(kr_str *s, const char *title, double width, double height) {
    kr_str_appendf(s, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%ld\" height=\"%ld\" viewBox=\"0 0 %ld %ld\" fill=\"none\" "
                   "stroke-linecap=\"round\" stroke-linejoin=\"round\" font-family=\"sans-serif\">\n",
                   lround(width), lround(height), lround(width), lround(height));
    kr_str_append(s, "<style>text{fill:#6e7781}</style>\n");
    kr_str_appendf(s, "<text x=\"%d\" y=\"26\" font-size=\"15\">", GAP);
    for (const char *c = title; *c; c++)
        if (*c == '<') kr_str_append(s, "&lt;");
        else if (*c == '&') kr_str_append(s, "&amp;");
        else if ((unsigned char)*c >= 32) kr_str_append_char(s, *c);
    kr_str_append(s, "</text>\n");
}
static kr_status close_picture(kr_str *s, const char *path) {
    kr_str_append(s, "</svg>\n");
    kr_status st = kr_str_status(s);
    if (st == KR_OK) st = kr_file_write(path, s->text, s->n);
    kr_str_free(s);
    return st;
}

kr_status kr_order_draw(const kr_order *o, const char *title, const char *path) {
    kr_str s = {0};
    int64_t W = o->size[o->n_axes - 1], H = o->n_axes > 1 ? o->size[o->n_axes - 2] : 1, D = o->n_cells / W / H;
    int across = o->n_paths < ACROSS ? o->n_paths : ACROSS, down = (o->n_paths + across - 1) / across;
    /* planes of a volume overlap by half */
    double wide = (double)W + .5 * (double)(D - 1), high = (double)H + .5 * (double)(D - 1), cell = PANEL / fmax(wide, high);
    double panel_h = high * cell + GAP;
    if (cell > 48) cell = 48, panel_h = high * cell + GAP;
    double width = across * (PANEL + GAP) + GAP, height = HEAD + down * panel_h + 8;
    open_picture(&s, title, width, height);
    for (int k = 0; k < o->n_paths; k++) {
        panel p = {o, GAP + k % across * (PANEL + GAP), HEAD + k / across * panel_h, cell, .5 * cell};
        put_panel(&s, &p, k);
    }
    return close_picture(&s, path);
}

/* --- things that lie on no grid ---------------------------------------------------------- */

typedef struct frame { double low[2], scale, height; } frame;
static frame fit(const kr_order_loose *o, double side) {
    double high[2] = {-INFINITY, -INFINITY};
    frame f = {{INFINITY, INFINITY}, 1, 0};
    for (int64_t i = 0; i < 2 * o->n; i++) f.low[i % 2] = fmin(f.low[i % 2], o->xy[i]), high[i % 2] = fmax(high[i % 2], o->xy[i]);
    double across = fmax(high[0] - f.low[0], high[1] - f.low[1]);
    f.scale = across > 0 ? side / across : 1;
    f.height = (high[1] - f.low[1]) * f.scale;
    return f;
}
static void put_point(kr_str *s, const kr_order_loose *o, const frame *f, const char *before, int64_t i) {
    put_place(s, before, GAP + (o->xy[2 * i] - f->low[0]) * f->scale, HEAD + (o->xy[2 * i + 1] - f->low[1]) * f->scale);
}
static void put_line(kr_str *s, const kr_order_loose *o, const frame *f, int64_t a, int64_t b, double t, double wide) {
    put_point(s, o, f, "<path d=\"M", a);
    put_point(s, o, f, "L", b);
    kr_str_append(s, "\" stroke=\"");
    if (t < 0) kr_str_append(s, "#6e7781");
    else put_colour(s, t);
    kr_str_append(s, "\" stroke-width=\"");
    put(s, wide);
    kr_str_append(s, t < 0 ? "\" stroke-opacity=\".5\"/>\n" : "\"/>\n");
}

kr_status kr_order_draw_loose(const kr_order_loose *o, const char *title, const char *path) {
    enum { SIDE = 400 };
    kr_str s = {0};
    frame f = fit(o, SIDE);
    double last = o->n > 1 ? (double)(o->n - 1) : 1, dot = fmin(6, fmax(1.5, 60 / sqrt((double)o->n + 1)));
    open_picture(&s, title, SIDE + 2 * GAP, f.height + HEAD + GAP);
    for (int64_t i = 0; i < o->n_links; i++) put_line(&s, o, &f, o->link[2 * i], o->link[2 * i + 1], -1, 1);
    for (int64_t i = 1; o->line && i < o->n; i++) put_line(&s, o, &f, o->rank[i - 1], o->rank[i], (double)i / last, 1.5);
    for (int64_t i = 0; i < o->n; i++) {
        int64_t p = o->rank[i];
        kr_str_append(&s, "<circle cx=\"");
        put(&s, GAP + (o->xy[2 * p] - f.low[0]) * f.scale), kr_str_append(&s, "\" cy=\"");
        put(&s, HEAD + (o->xy[2 * p + 1] - f.low[1]) * f.scale), kr_str_append(&s, "\" r=\"");
        put(&s, dot), kr_str_append(&s, "\" fill=\"");
        put_colour(&s, (double)i / last), kr_str_append(&s, "\"/>\n");
        if (o->n > NUMBERED) continue;
        kr_str_append(&s, "<text x=\""), put(&s, GAP + (o->xy[2 * p] - f.low[0]) * f.scale + dot);
        kr_str_append(&s, "\" y=\""), put(&s, HEAD + (o->xy[2 * p + 1] - f.low[1]) * f.scale - dot);
        kr_str_appendf(&s, "\" font-size=\"9\">%lld</text>\n", (long long)i);
    }
    return close_picture(&s, path);
}
