/* picture.c - a list of boxes and texts, and two ways to put it on paper.
 *
 * The PNG is our own: a palette would not do for text, so pixels are RGB, each row minus the one above it
 * (what repeats becomes zeros), deflated with runs as the only matches.  Pictures of boxes come out at a few
 * per cent of their size. */
#include "base/picture.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/png.h"
#include "base/str.h"

enum { LEVELS = 24, SCALE = 2 }; /* colours on each side of white; pixels of a PNG to a unit */

typedef struct mark {
    double x, y, w, h; /* a box; of a text: where it begins, its size, 0 */
    kr_colour colour;
    char *text;        /* NULL: a box */
    int align;
} mark;

struct kr_picture {
    double width, height;
    mark *marks;
    int64_t n, room;
    bool failed;
};

kr_status kr_picture_new(kr_picture **out, double width, double height) {
    if (!(width >= 1 && height >= 1 && width <= 20000 && height <= 20000)) KR_FAIL(KR_ERR_ARG, "a picture of %g x %g, want 1 to 20000 each way", width, height);
    kr_picture *p = kr_mem_new(sizeof *p);
    if (!p) return KR_ERR_NOMEM;
    p->width = width, p->height = height;
    *out = p;
    return KR_OK;
}

void kr_picture_free(kr_picture *p) {
    if (!p) return;
    for (int64_t i = 0; i < p->n; i++) kr_mem_free(p->marks[i].text);
    kr_mem_free(p->marks);
    kr_mem_free(p);
}

static mark *new_mark(kr_picture *p) {
    if (p->n == p->room && !p->failed) {
        int64_t room = p->room ? 2 * p->room : 1024;
        mark *more = kr_mem_resize(p->marks, (size_t)room * sizeof *more);
        if (more) p->marks = more, p->room = room;
        else p->failed = true;
    }
    return p->failed ? NULL : &p->marks[p->n++];
}

void kr_picture_box(kr_picture *p, double x, double y, double w, double h, kr_colour colour) {
    mark *m = w > 0 && h > 0 ? new_mark(p) : NULL;
    if (m) *m = (mark){x, y, w, h, colour, NULL, 0};
}

void kr_picture_text(kr_picture *p, double x, double y, double size, int align, kr_colour colour, const char *fmt, ...) {
    kr_str s = {0};
    va_list ap;
    va_start(ap, fmt);
    kr_str_vappendf(&s, fmt, ap);
    va_end(ap);
    char *text = kr_str_take(&s);
    mark *m = text ? new_mark(p) : NULL;
    if (!text) p->failed = true;
    if (m) *m = (mark){x, y, size, 0, colour, text, align};
    else kr_mem_free(text);
}

/* --- heat maps ------------------------------------------------------------------------------- */

static int step_of(double level) {
    double v = isfinite(level) ? level : 0;
    return (int)lround((v < -1 ? -1 : v > 1 ? 1 : v) * LEVELS);
}

static kr_colour colour_of(int step) {
    static const double ends[2][3] = {{9, 81, 165}, {189, 68, 1}}; /* blue, orange */
    static const double mid[2][3] = {{107, 174, 214}, {253, 158, 86}};
    double t = fabs((double)step) / LEVELS, rgb[3];
    for (int c = 0; c < 3; c++) {
        const double *end = ends[step > 0], *half = mid[step > 0];
        rgb[c] = t < .5 ? 255 + (half[c] - 255) * 2 * t : half[c] + (end[c] - half[c]) * (2 * t - 1);
    }
    return (kr_colour)lround(rgb[0]) << 16 | (kr_colour)lround(rgb[1]) << 8 | (kr_colour)lround(rgb[2]);
}
kr_colour kr_picture_level(double level) { return colour_of(step_of(level)); }

/* Boxes of one colour after the other, runs of a row as one. */
void kr_picture_heat(kr_picture *p, double x, double y, double w, double h, int64_t rows, int64_t columns,
                     double (*level)(void *user, int64_t row, int64_t column), void *user) {
    double cw = w / (double)columns, ch = h / (double)rows;
    signed char *step = kr_mem_array((size_t)(rows * columns), 1);
    bool used[2 * LEVELS + 1] = {0};
    kr_picture_box(p, x - 1, y - 1, w + 2, h + 2, 0x8c959f);
    kr_picture_box(p, x, y, w, h, 0xffffff);
    if (!step) {
        p->failed = true;
        return;
    }
    for (int64_t i = 0; i < rows * columns; i++) used[(step[i] = (signed char)step_of(level(user, i / columns, i % columns))) + LEVELS] = true;
    for (int s = -LEVELS; s <= LEVELS; s++)
        for (int64_t r = 0; r < rows && s != 0 && used[s + LEVELS]; r++)
            for (int64_t c = 0, n; c < columns; c += n) {
                for (n = 1; c + n < columns && step[r * columns + c + n] == step[r * columns + c]; n++) {}
                if (step[r * columns + c] == s) kr_picture_box(p, x + (double)c * cw, y + (double)r * ch, (double)n * cw, ch, colour_of(s));
            }
    kr_mem_free(step);
}

/* --- SVG ------------------------------------------------------------------------------------- */

static void put(kr_str *s, double v) {
    char text[40];
    int n = snprintf(text, sizeof text, "%.2f", v);
    while (n > 0 && text[n - 1] == '0') text[--n] = 0;
    if (n > 0 && text[n - 1] == '.') text[--n] = 0;
    kr_str_append(s, strcmp(text, "-0") == 0 ? "0" : text);
}

/* Bytes of the character that begins here; 0: of none (a text may have been cut within one, and XML
 * takes whole ones only). */
static int character(const unsigned char *c) {
    int n = *c < 0x80 ? 1 : *c >= 0xc2 && *c < 0xe0 ? 2 : *c >= 0xe0 && *c < 0xf0 ? 3 : *c >= 0xf0 && *c < 0xf5 ? 4 : 0;
    for (int i = 1; i < n; i++)
        if ((c[i] & 0xc0) != 0x80) return 0;
    bool wrong = (*c == 0xe0 && c[1] < 0xa0) || (*c == 0xed && c[1] >= 0xa0) || (*c == 0xf0 && c[1] < 0x90) || (*c == 0xf4 && c[1] >= 0x90) ||
                 (*c == 0xef && c[1] == 0xbf && c[2] >= 0xbe); /* longer than need be, halves of pairs, beyond the last, none in XML */
    return wrong ? 0 : n;
}

static void put_escaped(kr_str *s, const char *text) {
    for (int n; *text; text += n ? n : 1) {
        n = character((const unsigned char *)text);
        if (*text == '<') kr_str_append(s, "&lt;");
        else if (*text == '&') kr_str_append(s, "&amp;");
        else if ((unsigned char)*text >= 32) kr_str_append_n(s, n ? text : "\xef\xbf\xbd", n ? (size_t)n : 3);
    }
}

static void put_text(kr_str *s, const mark *m) {
    static const char *const anchors[] = {"start", "middle", "end"};
    kr_str_append(s, "<text x=\"");
    put(s, m->x), kr_str_append(s, "\" y=\""), put(s, m->y), kr_str_append(s, "\" font-size=\""), put(s, m->w);
    kr_str_appendf(s, "\" text-anchor=\"%s\" fill=\"#%06x\">", anchors[m->align + 1], (unsigned)m->colour);
    put_escaped(s, m->text);
    kr_str_append(s, "</text>\n");
}

/* One path for neighbours in the list that share a colour. */
static int64_t put_boxes(kr_str *s, const kr_picture *p, int64_t i) {
    kr_colour colour = p->marks[i].colour;
    kr_str_appendf(s, "<path fill=\"#%06x\" d=\"", (unsigned)colour);
    for (; i < p->n && !p->marks[i].text && p->marks[i].colour == colour; i++) {
        const mark *m = &p->marks[i];
        kr_str_append(s, "M"), put(s, m->x), kr_str_append_char(s, ' '), put(s, m->y);
        kr_str_append(s, "h"), put(s, m->w), kr_str_append(s, "v"), put(s, m->h), kr_str_append(s, "h"), put(s, -m->w), kr_str_append(s, "z");
    }
    kr_str_append(s, "\"/>\n");
    return i;
}

static kr_status save_svg(const kr_picture *p, const char *path) {
    kr_str s = {0};
    kr_str_appendf(&s, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%ld\" height=\"%ld\" viewBox=\"0 0 %ld %ld\" font-family=\"sans-serif\" "
                   "shape-rendering=\"crispEdges\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
                   lround(p->width), lround(p->height), lround(p->width), lround(p->height));
    for (int64_t i = 0; i < p->n;) {
        if (p->marks[i].text) put_text(&s, &p->marks[i++]);
        else i = put_boxes(&s, p, i);
    }
    kr_str_append(&s, "</svg>\n");
    kr_status st = kr_str_status(&s);
    if (st == KR_OK) st = kr_file_write(path, s.text, s.n);
    kr_str_free(&s);
    return st;
}

/* --- PNG ------------------------------------------------------------------------------------- */

typedef struct raster { int64_t w, h; uint8_t *rgb; } raster;

static void fill(const raster *r, double x, double y, double w, double h, kr_colour colour) {
    int64_t x0 = lround(x * SCALE), y0 = lround(y * SCALE), x1 = lround((x + w) * SCALE), y1 = lround((y + h) * SCALE);
    if (x1 == x0) x1++;
    if (y1 == y0) y1++;
    for (int64_t j = y0 < 0 ? 0 : y0; j < y1 && j < r->h; j++)
        for (int64_t i = x0 < 0 ? 0 : x0; i < x1 && i < r->w; i++) {
            uint8_t *to = r->rgb + 3 * (j * r->w + i);
            to[0] = (uint8_t)(colour >> 16), to[1] = (uint8_t)(colour >> 8), to[2] = (uint8_t)colour;
        }
}

/* Letters of 5 x 7 dots, the usual ones: columns from the left, the lowest bit on top; the eighth bit hangs below. */
static const uint8_t letters[95][5] = {
    {0, 0, 0, 0, 0}, {0, 0, 0x5f, 0, 0}, {0, 7, 0, 7, 0}, {0x14, 0x7f, 0x14, 0x7f, 0x14}, {0x24, 0x2a, 0x7f, 0x2a, 0x12}, {0x23, 0x13, 8, 0x64, 0x62},
    {0x36, 0x49, 0x56, 0x20, 0x50}, {0, 8, 7, 3, 0}, {0, 0x1c, 0x22, 0x41, 0}, {0, 0x41, 0x22, 0x1c, 0}, {0x2a, 0x1c, 0x7f, 0x1c, 0x2a},
    {8, 8, 0x3e, 8, 8}, {0, 0x80, 0x70, 0x30, 0}, {8, 8, 8, 8, 8}, {0, 0, 0x60, 0x60, 0}, {0x20, 0x10, 8, 4, 2}, {0x3e, 0x51, 0x49, 0x45, 0x3e},
    {0, 0x42, 0x7f, 0x40, 0}, {0x72, 0x49, 0x49, 0x49, 0x46}, {0x21, 0x41, 0x49, 0x4d, 0x33}, {0x18, 0x14, 0x12, 0x7f, 0x10}, {0x27, 0x45, 0x45, 0x45, 0x39},
    {0x3c, 0x4a, 0x49, 0x49, 0x31}, {0x41, 0x21, 0x11, 9, 7}, {0x36, 0x49, 0x49, 0x49, 0x36}, {0x46, 0x49, 0x49, 0x29, 0x1e}, {0, 0, 0x14, 0, 0},
    {0, 0x40, 0x34, 0, 0}, {0, 8, 0x14, 0x22, 0x41}, {0x14, 0x14, 0x14, 0x14, 0x14}, {0, 0x41, 0x22, 0x14, 8}, {2, 1, 0x59, 9, 6},
    {0x3e, 0x41, 0x5d, 0x59, 0x4e}, {0x7c, 0x12, 0x11, 0x12, 0x7c}, {0x7f, 0x49, 0x49, 0x49, 0x36}, {0x3e, 0x41, 0x41, 0x41, 0x22},
    {0x7f, 0x41, 0x41, 0x41, 0x3e}, {0x7f, 0x49, 0x49, 0x49, 0x41}, {0x7f, 9, 9, 9, 1}, {0x3e, 0x41, 0x41, 0x51, 0x73}, {0x7f, 8, 8, 8, 0x7f},
    {0, 0x41, 0x7f, 0x41, 0}, {0x20, 0x40, 0x41, 0x3f, 1}, {0x7f, 8, 0x14, 0x22, 0x41}, {0x7f, 0x40, 0x40, 0x40, 0x40}, {0x7f, 2, 0x1c, 2, 0x7f},
    {0x7f, 4, 8, 0x10, 0x7f}, {0x3e, 0x41, 0x41, 0x41, 0x3e}, {0x7f, 9, 9, 9, 6}, {0x3e, 0x41, 0x51, 0x21, 0x5e}, {0x7f, 9, 0x19, 0x29, 0x46},
    {0x26, 0x49, 0x49, 0x49, 0x32}, {3, 1, 0x7f, 1, 3}, {0x3f, 0x40, 0x40, 0x40, 0x3f}, {0x1f, 0x20, 0x40, 0x20, 0x1f}, {0x3f, 0x40, 0x38, 0x40, 0x3f},
    {0x63, 0x14, 8, 0x14, 0x63}, {3, 4, 0x78, 4, 3}, {0x61, 0x59, 0x49, 0x4d, 0x43}, {0, 0x7f, 0x41, 0x41, 0x41}, {2, 4, 8, 0x10, 0x20},
    {0, 0x41, 0x41, 0x41, 0x7f}, {4, 2, 1, 2, 4}, {0x40, 0x40, 0x40, 0x40, 0x40}, {0, 3, 7, 8, 0}, {0x20, 0x54, 0x54, 0x78, 0x40},
    {0x7f, 0x28, 0x44, 0x44, 0x38}, {0x38, 0x44, 0x44, 0x44, 0x28}, {0x38, 0x44, 0x44, 0x28, 0x7f}, {0x38, 0x54, 0x54, 0x54, 0x18}, {0, 8, 0x7e, 9, 2},
    {0x18, 0xa4, 0xa4, 0x9c, 0x78}, {0x7f, 8, 4, 4, 0x78}, {0, 0x44, 0x7d, 0x40, 0}, {0x20, 0x40, 0x40, 0x3d, 0}, {0x7f, 0x10, 0x28, 0x44, 0},
    {0, 0x41, 0x7f, 0x40, 0}, {0x7c, 4, 0x78, 4, 0x78}, {0x7c, 8, 4, 4, 0x78}, {0x38, 0x44, 0x44, 0x44, 0x38}, {0xfc, 0x18, 0x24, 0x24, 0x18},
    {0x18, 0x24, 0x24, 0x18, 0xfc}, {0x7c, 8, 4, 4, 8}, {0x48, 0x54, 0x54, 0x54, 0x24}, {4, 4, 0x3f, 0x44, 0x24}, {0x3c, 0x40, 0x40, 0x20, 0x7c},
    {0x1c, 0x20, 0x40, 0x20, 0x1c}, {0x3c, 0x40, 0x30, 0x40, 0x3c}, {0x44, 0x28, 0x10, 0x28, 0x44}, {0x4c, 0x90, 0x90, 0x90, 0x7c},
    {0x44, 0x64, 0x54, 0x4c, 0x44}, {0, 8, 0x36, 0x41, 0}, {0, 0, 0x77, 0, 0}, {0, 0x41, 0x36, 8, 0}, {2, 1, 2, 4, 2}};

static void draw_text(const raster *r, const mark *m) {
    double dot = floor(fmax(1, m->w / 8 * SCALE)) / SCALE; /* whole pixels */
    double width = 6 * dot * (double)strlen(m->text), x = m->x - (m->align > 0 ? width : m->align == 0 ? width / 2 : 0), y = m->y - 7 * dot;
    for (const char *c = m->text; *c; c++, x += 6 * dot) {
        unsigned k = (unsigned char)*c - 32u;
        for (int i = 0; k < 95 && i < 5; i++)
            for (int j = 0; j < 8; j++)
                if (letters[k][i] >> j & 1) fill(r, x + i * dot, y + j * dot, dot, dot, m->colour);
    }
}

static kr_status save_png(const kr_picture *p, const char *path) {
    raster r = {lround(p->width) * SCALE, lround(p->height) * SCALE, NULL};
    if (!(r.rgb = kr_mem_array((size_t)(r.w * r.h), 3))) return KR_ERR_NOMEM;
    memset(r.rgb, 255, (size_t)(3 * r.w * r.h));
    for (int64_t i = 0; i < p->n; i++) {
        const mark *m = &p->marks[i];
        if (m->text) draw_text(&r, m);
        else fill(&r, m->x, m->y, m->w, m->h, m->colour);
    }
    kr_status st = kr_png_save(path, r.w, r.h, 3, r.rgb);
    kr_mem_free(r.rgb);
    return st;
}

kr_status kr_picture_save(const kr_picture *p, const char *path) {
    size_t n = strlen(path);
    const char *end = n > 4 ? path + n - 4 : "";
    if (p->failed) KR_FAIL(KR_ERR_NOMEM, "out of memory drawing %s", path);
    if (strcmp(end, ".svg") == 0) return save_svg(p, path);
    if (strcmp(end, ".png") == 0) return save_png(p, path);
    KR_FAIL(KR_ERR_ARG, "a picture is named .svg or .png, not %s", path);
}
