/* decode_jpeg.c - JPEG pictures as [H, W, C] bytes; the one door to libjpeg-turbo. */
#include "base/mem.h"
#include "data/decode.h"

static bool is_jpeg(const uint8_t *p, size_t n) { return n >= 3 && p[0] == 0xff && p[1] == 0xd8 && p[2] == 0xff; }

#ifdef KR_WITH_JPEG
#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>

/* The library reports through callbacks that may not return. */
typedef struct failure { struct jpeg_error_mgr base; jmp_buf back; char text[JMSG_LENGTH_MAX]; } failure;

static void give_up(j_common_ptr c) {
    failure *f = (failure *)c->err;
    c->err->format_message(c, f->text);
    longjmp(f->back, 1);
}
/* Called all the while: a progressive file of many scans takes time without end, most of it before a row is there. */
enum { SCANS = 64 };
static void watch(j_common_ptr c) {
    failure *f = (failure *)c->err;
    if (((j_decompress_ptr)c)->input_scan_number <= SCANS) return;
    snprintf(f->text, sizeof f->text, "more than %d scans", SCANS);
    longjmp(f->back, 1);
}
static void be_silent(j_common_ptr c) { (void)c; }

static kr_status decode(kr_array *out, const uint8_t *p, size_t n, const char *what) {
    enum { MOST = 1 << 28 };
    struct jpeg_decompress_struct d;
    struct jpeg_progress_mgr progress = {.progress_monitor = watch};
    failure f;
    volatile kr_status st = KR_OK;
    d.err = jpeg_std_error(&f.base);
    f.base.error_exit = give_up, f.base.output_message = be_silent;
    jpeg_create_decompress(&d);
    if (setjmp(f.back)) {
        jpeg_destroy_decompress(&d);
        KR_FAIL(KR_ERR_FORMAT, "%s: JPEG: %s", what, f.text);
    }
    d.progress = &progress;
    jpeg_mem_src(&d, p, n);
    jpeg_read_header(&d, TRUE);
    if ((uint64_t)d.image_width * d.image_height > MOST)
        st = kr_fail(KR_ERR_FORMAT, "%s: JPEG of %u x %u pixels, want at most %d in all", what, d.image_width, d.image_height, MOST);
    bool grey = d.num_components == 1;
    d.out_color_space = grey ? JCS_GRAYSCALE : JCS_RGB;
    if (st == KR_OK) st = kr_array_new(out, true, 3, (const int64_t[]){d.image_height, d.image_width, grey ? 1 : 3}, what);
    if (st == KR_OK) {
        jpeg_start_decompress(&d);
        while (d.output_scanline < d.output_height && !f.base.num_warnings) { /* a few bytes may promise many rows */
            JSAMPROW row = out->u8 + (size_t)d.output_scanline * d.output_width * (grey ? 1 : 3);
            jpeg_read_scanlines(&d, &row, 1);
        }
        if (f.base.num_warnings) st = kr_fail(KR_ERR_FORMAT, "%s: JPEG: damaged or cut off", what);
    }
    jpeg_destroy_decompress(&d);
    return st;
}
#else
static kr_status decode(kr_array *out, const uint8_t *p, size_t n, const char *what) {
    (void)out, (void)p, (void)n;
    KR_FAIL(KR_ERR_MISSING, "%s: this build reads no JPEG; install libjpeg62-turbo-dev and build again", what);
}
#endif

const kr_decoder kr_decoder_jpeg = {.name = "jpeg", .about = "pictures", .endings = ".jpg .jpeg", .is = is_jpeg, .array = decode};
