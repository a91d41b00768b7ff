/* chart.c - a line chart as SVG text.
 *
 * All points of a series are first gathered into the pixel columns of the plot (columns.h),
 * so that a million steps cost as much text as a thousand.
 *
 * Numbers are written digit by digit, because printf would follow the locale. */
#include "train/chart.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "train/columns.h"

enum { MAX_TICKS = 64, MARK_PX = 9 };
#define INK "#6e7781"

static const char *const colours[] = {"#3b82f6", "#f97316", "#10b981", "#a855f7", "#ec4899", "#0ea5b7"};
enum { N_COLOURS = sizeof colours / sizeof *colours };

/* One axis: values lo..hi go to pixels from..to. */
typedef struct axis {
    double lo, hi, from, to;
    bool log;
    double tick[MAX_TICKS];
    bool named[MAX_TICKS]; /* has a label; the others are only faint lines */
    int n_ticks, decimals;
} axis;

typedef struct plot {
    const kr_chart *c;
    kr_str *out;
    axis x, y;
    double width, height;
    kr_columns *columns; /* per series */
} plot;

/* --- numbers and text ---------------------------------------------------------------- */

static void put_fixed(kr_str *s, double v, int decimals) {
    double scale = pow(10, decimals);
    long long n = llround(v * scale), whole, rest;
    if (n < 0) kr_str_append_char(s, '-'), n = -n;
    whole = n / (long long)scale, rest = n % (long long)scale;
    kr_str_appendf(s, "%lld", whole);
    if (decimals) kr_str_appendf(s, ".%0*lld", decimals, rest);
}

/* A pixel, to a tenth; what is far outside is as good as outside. */
static void put_px(kr_str *s, double v) {
    v = fmin(fmax(v, -1e5), 1e5);
    put_fixed(s, v, fabs(v - round(v)) < 0.05 ? 0 : 1);
}

static void put_attr(kr_str *s, const char *name, double v) {
    kr_str_appendf(s, " %s=\"", name);
    put_px(s, v);
    kr_str_append_char(s, '"');
}

static void put_text(kr_str *s, const char *text) {
    for (; *text; text++) {
        unsigned char b = (unsigned char)*text;
        if (b == '<') kr_str_append(s, "&lt;");
        else if (b == '>') kr_str_append(s, "&gt;");
        else if (b == '&') kr_str_append(s, "&amp;");
        else if (b >= 32 || b == '\t') kr_str_append_char(s, (char)b);
    }
}

static bool is_whole(double v) { return fabs(v - round(v)) < 1e-6; }

/* 15000 -> 15k, 2000000 -> 2M, 0.25 -> 0.25, 1e-9 -> 1e-9. */
static void put_number(kr_str *s, double v, int decimals) {
    double a = fabs(v), unit = a >= 1e9 ? 1e9 : a >= 1e6 ? 1e6 : a >= 1e4 ? 1e3 : 1;
    if (a >= 1e15 || (a > 0 && a < 1e-4)) {
        int e = (int)floor(log10(a) + 1e-9);
        double m = v / pow(10, e);
        put_fixed(s, m, is_whole(m) ? 0 : 1);
        kr_str_appendf(s, "e%d", e);
        return;
    }
    v /= unit;
    if (unit > 1)
        for (decimals = 0; decimals < 3 && !is_whole(v * pow(10, decimals));) decimals++;
    put_fixed(s, v, decimals);
    kr_str_append(s, unit == 1e9 ? "G" : unit == 1e6 ? "M" : unit == 1e3 ? "k" : "");
}

static void put_label(plot *p, double x, double y, const char *anchor, double v, int decimals) {
    kr_str_append(p->out, "<text");
    put_attr(p->out, "x", x), put_attr(p->out, "y", y);
    kr_str_appendf(p->out, " text-anchor=\"%s\">", anchor);
    put_number(p->out, v, decimals);
    kr_str_append(p->out, "</text>\n");
}

static void put_line(plot *p, double x1, double y1, double x2, double y2, double opacity) {
    kr_str_append(p->out, "<path d=\"M");
    put_px(p->out, x1), kr_str_append_char(p->out, ' '), put_px(p->out, y1), kr_str_append_char(p->out, 'L');
    put_px(p->out, x2), kr_str_append_char(p->out, ' '), put_px(p->out, y2);
    kr_str_append(p->out, "\" stroke=\"" INK "\" stroke-opacity=\"");
    put_fixed(p->out, opacity, 2);
    kr_str_append(p->out, "\"/>\n");
}

/* --- axes ---------------------------------------------------------------------------- */

static double place(const axis *a, double v) {
    double u = a->log ? log(v / a->lo) / log(a->hi / a->lo) : (v - a->lo) / (a->hi - a->lo);
    return a->from + u * (a->to - a->from);
}

static void add_tick(axis *a, double v, bool named) {
    if (a->n_ticks == MAX_TICKS || v < a->lo * (1 - 1e-9 * (a->lo > 0)) || v > a->hi * (1 + 1e-9 * (a->hi > 0))) return;
    a->named[a->n_ticks] = named, a->tick[a->n_ticks++] = v;
}

/* About `want` round numbers. */
static void linear_ticks(axis *a, int want, bool whole) {
    double raw = (a->hi - a->lo) / want, ten = pow(10, floor(log10(raw))), r = raw / ten;
    double step = ten * (r < 1.4 ? 1 : r < 3 ? 2 : r < 7 ? 5 : 10);
    if (whole && step < 1) step = 1;
    for (a->decimals = 0; a->decimals < 9 && step * pow(10, a->decimals) < 0.999;) a->decimals++;
    for (double k = ceil(a->lo / step - 1e-6); k * step <= a->hi + 1e-6 * step && a->n_ticks < MAX_TICKS; k++)
        add_tick(a, k * step, true);
}

/* Powers of ten; 2 and 5 times too on a short axis.  Faint lines between. */
static void log_ticks(axis *a) {
    double decades = log10(a->hi / a->lo);
    int first = (int)floor(log10(a->lo) + 1e-9), last = (int)ceil(log10(a->hi) - 1e-9), skip = 1 + (int)(decades / 9);
    for (int e = first; e <= last; e += skip)
        for (int m = 1; m < 10; m++) {
            bool named = m == 1 || (decades < 2.2 && (m == 2 || m == 5)) || (decades < 0.9 && m % 2 == 0);
            if (m == 1 || (skip == 1 && decades < 6)) add_tick(a, m * pow(10, e), named);
        }
}

static void put_axes(plot *p) {
    kr_str *s = p->out;
    axis *x = &p->x, *y = &p->y;
    kr_str_append(s, "<g fill=\"" INK "\" font-size=\"12\">\n");
    for (int i = 0; i < y->n_ticks; i++) {
        double at = place(y, y->tick[i]);
        put_line(p, x->from, at, x->to, at, y->named[i] ? 0.22 : 0.1);
        int d = y->log && y->tick[i] < 1 ? (int)ceil(-log10(y->tick[i]) - 1e-9) : y->decimals;
        if (y->named[i]) put_label(p, x->from - 9, at + 4, "end", y->tick[i], d);
    }
    for (int i = 0; i < x->n_ticks; i++) {
        double at = place(x, x->tick[i]);
        if (x->log) put_line(p, at, y->from, at, y->to, x->named[i] ? 0.16 : 0.08);
        if (!x->named[i]) continue;
        put_line(p, at, y->from, at, y->from + 5, 0.7);
        int d = x->log && x->tick[i] < 1 ? (int)ceil(-log10(x->tick[i]) - 1e-9) : x->decimals;
        put_label(p, at, y->from + 20, "middle", x->tick[i], d);
    }
    put_line(p, x->from, y->from, x->to, y->from, 0.7);
    if (p->c->x_name) {
        kr_str_append(s, "<text");
        put_attr(s, "x", (x->from + x->to) / 2), put_attr(s, "y", p->height - 12);
        kr_str_append(s, " text-anchor=\"middle\">");
        put_text(s, p->c->x_name);
        kr_str_append(s, "</text>\n");
    }
    if (p->c->y_name) {
        kr_str_append(s, "<text transform=\"translate(18 ");
        put_px(s, (y->from + y->to) / 2);
        kr_str_append(s, ") rotate(-90)\" text-anchor=\"middle\">");
        put_text(s, p->c->y_name);
        kr_str_append(s, "</text>\n");
    }
    kr_str_append(s, "</g>\n");
}

/* --- series -------------------------------------------------------------------------- */

/* Beyond 1e100 is no value to draw, and its square would not be a number. */
static bool shown(const kr_chart *c, const kr_series *s, int64_t i) {
    double x = s->x[i], y = s->y[i];
    return fabs(x) < 1e100 && fabs(y) < 1e100 && !(c->log_x && x <= 0) && !(c->log_y && y <= 0);
}

static double up(const kr_chart *c, double y) { return c->log_y ? log(y) : y; }

static void gather(plot *p, const kr_series *s, kr_columns *k) {
    for (int64_t i = 0; i < s->n; i++)
        if (shown(p->c, s, i)) kr_columns_add(k, place(&p->x, s->x[i]) - p->x.from, up(p->c, s->y[i]));
    kr_columns_finish(k);
}

static bool is_finite_range(const axis *a) { return a->lo <= a->hi; }

static void include(axis *a, double v) {
    if (v < a->lo) a->lo = v;
    if (v > a->hi) a->hi = v;
}

/* A range of no width, or of no points, becomes one that can be drawn. */
static void open_up(axis *a) {
    if (!is_finite_range(a)) a->lo = a->log ? 1 : 0, a->hi = a->log ? 10 : 1;
    if (a->lo == a->hi && a->log) a->lo /= 2, a->hi *= 2;
    double pad = fabs(a->hi) * 0.05 + 1e-12;
    if (!a->log && a->hi - a->lo < 1e-9 * fabs(a->hi)) a->lo -= pad, a->hi += pad;
    if (a->lo == a->hi) a->lo -= 0.5, a->hi += 0.5;
}

static void fit_x(plot *p) {
    axis *a = &p->x;
    bool whole = true;
    a->lo = INFINITY, a->hi = -INFINITY;
    for (int k = 0; k < p->c->n_series; k++)
        for (int64_t i = 0; i < p->c->series[k].n; i++) {
            if (!shown(p->c, &p->c->series[k], i)) continue;
            include(a, p->c->series[k].x[i]);
            whole = whole && p->c->series[k].x[i] == floor(p->c->series[k].x[i]);
        }
    open_up(a);
    if (!a->log && a->lo > 0 && a->lo < 0.1 * a->hi) a->lo = 0;
    if (a->log) log_ticks(a);
    else linear_ticks(a, (int)(p->width / 110), whole);
}

/* The curves as drawn must fit, with their usual noise; what is beyond (a spike) may stand
 * out a little and is cut off. */
static void fit_y(plot *p) {
    axis *a = &p->y, far = {.lo = INFINITY, .hi = -INFINITY};
    double noise = 0;
    a->lo = INFINITY, a->hi = -INFINITY;
    for (int i = 0; i < p->c->n_series; i++) {
        const kr_columns *k = &p->columns[i];
        for (int j = 0; j < k->n; j++) {
            if (k->count[j] == 0) continue;
            include(a, k->smooth[j]);
            include(&far, k->min[j]), include(&far, k->max[j]);
        }
        if (k->noisy) noise = fmax(noise, k->noise);
    }
    if (is_finite_range(a)) {
        double room = fmax(0.12 * (a->hi - a->lo), 3 * noise), pad;
        a->lo = fmin(a->lo, fmax(far.lo, a->lo - room)), a->hi = fmax(a->hi, fmin(far.hi, a->hi + room));
        pad = 0.03 * (a->hi - a->lo);
        a->lo -= far.lo == 0 && !a->log ? 0 : pad, a->hi += pad; /* a curve that reaches 0 stands on it */
        if (a->log) a->lo = exp(a->lo), a->hi = exp(a->hi);
    }
    open_up(a);
    if (a->log) log_ticks(a);
    else linear_ticks(a, (int)(p->height / 70), false);
}

static void put_point(plot *p, bool first, double x, double y) {
    kr_str_append_char(p->out, first ? 'M' : 'L');
    put_px(p->out, x + p->x.from);
    kr_str_append_char(p->out, ' ');
    put_px(p->out, place(&p->y, p->c->log_y ? exp(y) : y));
}

static void put_series(plot *p, int index) {
    const kr_series *s = &p->c->series[index];
    const kr_columns *k = &p->columns[index];
    const char *colour = colours[index % N_COLOURS];
    bool first = true;
    double mark = -MARK_PX;
    if (s->look == KR_LOOK_NOISY) {
        kr_str_appendf(p->out, "<path stroke=\"%s\" stroke-opacity=\"0.3\" d=\"", colour);
        for (int j = 0; j < k->n; j++) {
            if (k->count[j] == 0) continue;
            put_point(p, first, k->x_sum[j] / k->count[j], k->min[j]), first = false;
            if (k->max[j] > k->min[j]) put_point(p, first, k->x_sum[j] / k->count[j], k->max[j]);
        }
        kr_str_append(p->out, "\"/>\n");
    }
    kr_str_appendf(p->out, "<path stroke=\"%s\" stroke-width=\"2.2\" d=\"", colour);
    first = true;
    for (int j = 0; j < k->n; j++)
        if (k->count[j] > 0) put_point(p, first, k->x_sum[j] / k->count[j], k->smooth[j]), first = false;
    kr_str_append(p->out, "\"/>\n");
    for (int j = 0; s->look == KR_LOOK_MARKS && j < k->n; j++) {
        if (k->count[j] == 0 || k->x_sum[j] / k->count[j] < mark + MARK_PX) continue; /* marks must not touch */
        mark = k->x_sum[j] / k->count[j];
        kr_str_appendf(p->out, "<circle fill=\"%s\" stroke=\"none\" r=\"3.6\"", colour);
        put_attr(p->out, "cx", mark + p->x.from);
        put_attr(p->out, "cy", place(&p->y, p->c->log_y ? exp(k->smooth[j]) : k->smooth[j]));
        kr_str_append(p->out, "/>\n");
    }
}

/* The last value of every curve, at its end; kept apart where curves end together. */
static void put_last_values(plot *p) {
    enum { MAX = 16, APART = 15 };
    double at[MAX], value[MAX];
    int who[MAX], n = 0;
    for (int i = 0; i < p->c->n_series && n < MAX; i++) {
        const kr_columns *k = &p->columns[i];
        int j = k->n - 1;
        while (j >= 0 && k->count[j] == 0) j--;
        if (j < 0) continue;
        double v = p->c->log_y ? exp(k->smooth[j]) : k->smooth[j], y = place(&p->y, v);
        int to = n++;
        for (; to > 0 && at[to - 1] > y; to--) at[to] = at[to - 1], value[to] = value[to - 1], who[to] = who[to - 1];
        at[to] = y, value[to] = v, who[to] = i;
    }
    for (int i = 0; i < n; i++) /* downwards, then back up from the axis */
        if (i && at[i] < at[i - 1] + APART) at[i] = at[i - 1] + APART;
    for (int i = n - 1; i >= 0; i--) {
        double most = i == n - 1 ? p->y.from : at[i + 1] - APART;
        if (at[i] > most) at[i] = most;
    }
    for (int i = 0; i < n; i++) {
        double a = fabs(value[i]);
        kr_str_appendf(p->out, "<g fill=\"%s\" font-size=\"12\" font-weight=\"600\">", colours[who[i] % N_COLOURS]);
        put_label(p, p->x.to + 8, at[i] + 4, "start", value[i], a >= 100 ? 1 : a >= 10 ? 2 : 3);
        kr_str_append(p->out, "</g>\n");
    }
}

/* --- the whole ----------------------------------------------------------------------- */

/* Widths are guessed: the reader's font is not known here. */
static double text_width(const char *text, double letter) {
    double w = 0;
    for (; text && *text; text++) w += (*text & 0xC0) != 0x80 ? letter : 0;
    return w;
}

enum { LEGEND_GAP = 46 };
static double legend_width(const kr_chart *c) {
    double w = 0;
    for (int i = 0; i < c->n_series; i++) w += text_width(c->series[i].name, 6.9) + LEGEND_GAP;
    return w;
}

/* The line of the head that has room for the legend: beside the title, beside the note,
 * or below both. */
static double legend_line(const kr_chart *c, double room) {
    room -= legend_width(c);
    if (text_width(c->title, 10) < room) return 30;
    return !c->note || text_width(c->note, 7) < room ? 50 : 70;
}

/* Names beside a short stroke, from the right end of the head. */
static void put_legend(plot *p, double y) {
    double x = p->x.to;
    kr_str_append(p->out, "<g font-size=\"12.5\" fill=\"" INK "\">\n");
    for (int i = p->c->n_series - 1; i >= 0; i--) {
        const char *name = p->c->series[i].name ? p->c->series[i].name : "";
        x -= text_width(name, 6.9);
        kr_str_append(p->out, "<text");
        put_attr(p->out, "x", x), put_attr(p->out, "y", y);
        kr_str_append(p->out, ">");
        put_text(p->out, name);
        kr_str_appendf(p->out, "</text>\n<path stroke=\"%s\" stroke-width=\"3\" d=\"M", colours[i % N_COLOURS]);
        put_px(p->out, x - 26), kr_str_append_char(p->out, ' '), put_px(p->out, y - 4.5);
        kr_str_append(p->out, "h18\"/>\n");
        if (p->c->series[i].look == KR_LOOK_MARKS) {
            kr_str_appendf(p->out, "<circle fill=\"%s\" r=\"3.6\"", colours[i % N_COLOURS]);
            put_attr(p->out, "cx", x - 17), put_attr(p->out, "cy", y - 4.5);
            kr_str_append(p->out, "/>\n");
        }
        x -= LEGEND_GAP;
    }
    kr_str_append(p->out, "</g>\n");
}

static void put_head(plot *p) {
    kr_str *s = p->out;
    int w = (int)p->width, h = (int)p->height;
    kr_str_appendf(s, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
                   "role=\"img\" fill=\"none\" stroke-linejoin=\"round\" stroke-linecap=\"round\" "
                   "font-family=\"system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif\">\n",
                   w, h, w, h);
    if (p->c->title) {
        kr_str_append(s, "<title>"), put_text(s, p->c->title), kr_str_append(s, "</title>\n");
        kr_str_append(s, "<text font-size=\"17\" font-weight=\"600\" fill=\"" INK "\" y=\"30\"");
        put_attr(s, "x", p->x.from);
        kr_str_append(s, ">"), put_text(s, p->c->title), kr_str_append(s, "</text>\n");
    }
    if (p->c->note) {
        kr_str_append(s, "<text font-size=\"12.5\" fill=\"" INK "\" y=\"50\"");
        put_attr(s, "x", p->x.from);
        kr_str_append(s, ">"), put_text(s, p->c->note), kr_str_append(s, "</text>\n");
    }
}

static void put_chart(plot *p) {
    put_head(p);
    put_legend(p, legend_line(p->c, p->x.to - p->x.from));
    put_axes(p);
    kr_str_append(p->out, "<clipPath id=\"plot\"><rect");
    put_attr(p->out, "x", p->x.from - 5), put_attr(p->out, "y", p->y.to - 5);
    put_attr(p->out, "width", p->x.to - p->x.from + 10), put_attr(p->out, "height", p->y.from - p->y.to + 10);
    kr_str_append(p->out, "/></clipPath>\n<g clip-path=\"url(#plot)\">\n");
    bool any = false;
    for (int i = 0; i < p->c->n_series; i++) {
        put_series(p, i);
        for (int j = 0; j < p->columns[i].n; j++) any = any || p->columns[i].count[j] > 0;
    }
    kr_str_append(p->out, "</g>\n");
    put_last_values(p);
    if (!any) {
        kr_str_append(p->out, "<text text-anchor=\"middle\" font-size=\"14\" fill=\"" INK "\"");
        put_attr(p->out, "x", (p->x.from + p->x.to) / 2), put_attr(p->out, "y", (p->y.from + p->y.to) / 2);
        kr_str_append(p->out, ">no points yet</text>\n");
    }
    kr_str_append(p->out, "</svg>\n");
}

kr_status kr_chart_svg(kr_str *out, const kr_chart *c) {
    int width = c->width ? c->width : 800, height = c->height ? c->height : 450;
    if (width < 300 || height < 200 || width > 10000 || height > 10000)
        KR_FAIL(KR_ERR_ARG, "chart: %d x %d pixels, want 300 x 200 to 10000 x 10000", width, height);
    plot p = {.c = c, .out = out, .width = width, .height = height};
    p.x = (axis){.log = c->log_x, .from = 74, .to = width - 62};
    p.y = (axis){.log = c->log_y, .from = height - 56};
    p.y.to = fmax(c->note ? 50 : 30, legend_line(c, p.x.to - p.x.from)) + 22;
    kr_status st = KR_OK;
    p.columns = kr_mem_array((size_t)c->n_series + 1, sizeof *p.columns);
    if (!p.columns) return KR_ERR_NOMEM;
    for (int i = 0; i < c->n_series && st == KR_OK; i++)
        st = kr_columns_new(&p.columns[i], (int)(p.x.to - p.x.from) + 1, c->series[i].look == KR_LOOK_NOISY);
    if (st == KR_OK) {
        fit_x(&p);
        for (int i = 0; i < c->n_series; i++) gather(&p, &c->series[i], &p.columns[i]);
        fit_y(&p);
        put_chart(&p);
        st = kr_str_status(out);
    }
    for (int i = 0; i < c->n_series; i++) kr_columns_free(&p.columns[i]);
    kr_mem_free(p.columns);
    return st;
}

kr_status kr_chart_write(const char *path, const kr_chart *c) {
    kr_str s = {0};
    kr_status st = kr_chart_svg(&s, c);
    if (st == KR_OK) st = kr_file_write(path, s.text, s.n);
    kr_str_free(&s);
    return st;
}
