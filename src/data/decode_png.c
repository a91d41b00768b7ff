/* decode_png.c - PNG pictures as [H, W, C] bytes; the one door to libpng's reader.
 *
 * C is 1 (grey) or 3.  Alpha is dropped, palettes become colours, 16 bits become 8.  Of labels every
 * number stays what it is in the file: indices of a palette, grey of 1, 2, 4 bits, of 16 up to 255. */
#include <string.h>

#include "base/mem.h"
#include "data/decode.h"

static bool is_png(const uint8_t *p, size_t n) { return n >= 8 && memcmp(p, "\x89PNG\r\n\x1a\n", 8) == 0; }

#ifdef KR_WITH_PNG
#include <png.h>
#include <setjmp.h>
#include <stdio.h>

typedef struct file {
    const uint8_t *p;
    size_t left;
    const char *what;
    bool labels;
    uint8_t *wide;            /* labels of 16 bits, as they stand in the file */
    kr_status st;
    char why[160];
} file;

static void failed(png_structp png, png_const_charp why) {
    file *f = png_get_error_ptr(png);
    snprintf(f->why, sizeof f->why, "%s", why);
    png_longjmp(png, 1);
}
static void pass_over(png_structp png, png_const_charp why) { (void)png, (void)why; }

static void give(png_structp png, png_bytep to, size_t n) {
    file *f = png_get_io_ptr(png);
    if (n > f->left) png_error(png, "it is cut off");
    memcpy(to, f->p, n);
    f->p += n, f->left -= n;
}

/* No gamma is asked for, so values come as they are stored, whatever a file says of its colours. */
static void choose(png_structp png, const file *f, int depth) {
    png_set_strip_alpha(png);
    if (f->labels) {
        png_set_packing(png);
        return;
    }
    png_set_palette_to_rgb(png);
    png_set_expand_gray_1_2_4_to_8(png);
    if (depth == 16) png_set_scale_16(png);
}

/* Numbers of 16 bits are labels if they fit into 8. */
static void narrow(file *f, kr_array *out) {
    for (int64_t i = 0; i < out->n && f->st == KR_OK; i++) {
        if (f->wide[2 * i]) f->st = kr_fail(KR_ERR_FORMAT, "%s: PNG: pixel %lld has the label %d, want at most 255", f->what, (long long)i, f->wide[2 * i] * 256 + f->wide[2 * i + 1]);
        out->u8[i] = f->wide[2 * i + 1];
    }
}

/* Leaves by a jump where libpng fails. */
static void read_all(png_structp png, png_infop info, file *f, kr_array *out) {
    enum { MOST = 1 << 28 }; /* pixels: a file of a few bytes may promise any number */
    png_set_read_fn(png, f, give);
    png_read_info(png, info);
    int64_t W = png_get_image_width(png, info), H = png_get_image_height(png, info);
    int depth = png_get_bit_depth(png, info);
    if (W > MOST / H) {
        f->st = kr_fail(KR_ERR_FORMAT, "%s: PNG of %lld x %lld pixels, want at most %d in all", f->what, (long long)W, (long long)H, MOST);
        return;
    }
    choose(png, f, depth);
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    int64_t C = png_get_channels(png, info), row = (int64_t)png_get_rowbytes(png, info);
    if ((f->st = kr_array_new(out, true, 3, (const int64_t[]){H, W, C}, f->what)) != KR_OK) return;
    bool wide = f->labels && depth == 16;
    if (wide && !(f->wide = kr_mem_array((size_t)H, (size_t)row))) {
        f->st = KR_ERR_NOMEM;
        return;
    }
    for (int k = 0; k < passes; k++)
        for (int64_t h = 0; h < H; h++) png_read_row(png, (wide ? f->wide : out->u8) + h * row, NULL);
    if (wide) narrow(f, out);
}

static kr_status decode_as(kr_array *out, const uint8_t *p, size_t n, const char *what, bool labels) {
    file f = {.p = p, .left = n, .what = what, .labels = labels};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &f, failed, pass_over);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info) {
        png_destroy_read_struct(&png, NULL, NULL);
        KR_FAIL(KR_ERR_NOMEM, "%s: PNG: out of memory", what);
    }
    if (setjmp(png_jmpbuf(png)) == 0) read_all(png, info, &f, out);
    else f.st = kr_fail(KR_ERR_FORMAT, "%s: PNG: %s", what, f.why);
    png_destroy_read_struct(&png, &info, NULL);
    kr_mem_free(f.wide);
    return f.st;
}

static kr_status decode(kr_array *out, const uint8_t *p, size_t n, const char *what) { return decode_as(out, p, n, what, false); }
static kr_status decode_labels(kr_array *out, const uint8_t *p, size_t n, const char *what) { return decode_as(out, p, n, what, true); }
#else
static kr_status decode(kr_array *out, const uint8_t *p, size_t n, const char *what) {
    (void)out, (void)p, (void)n;
    KR_FAIL(KR_ERR_MISSING, "%s: this build reads no PNG; install libpng-dev and build again", what);
}
#define decode_labels decode
#endif

const kr_decoder kr_decoder_png = {.name = "png", .about = "pictures", .endings = ".png", .is = is_png, .array = decode, .labels = decode_labels};
