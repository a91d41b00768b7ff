/* decode_png.c - PNG pictures as [H, W, C] bytes; the one door to libpng's reader.
 *
 * C is 1 (grey) or 3.  Alpha is dropped, palettes become colours, 16 bits become 8. */
#include <string.h>

#include "base/mem.h"
#include "data/decode.h"

static bool is_png(const uint8_t *p, size_t n) { return n >= 8 && memcmp(p, "\x89PNG\r\n\x1a\n", 8) == 0; }

#ifdef KR_WITH_PNG
#include <png.h>

static kr_status decode(kr_array *out, const uint8_t *p, size_t n, const char *what) {
    enum { MOST = 1 << 28 }; /* pixels: a file of a few bytes may promise any number */
    png_image image = {.version = PNG_IMAGE_VERSION};
    if (!png_image_begin_read_from_memory(&image, p, n)) KR_FAIL(KR_ERR_FORMAT, "%s: PNG: %s", what, image.message);
    kr_status st = KR_OK;
    bool grey = !(image.format & PNG_FORMAT_FLAG_COLOR);
    if ((uint64_t)image.width * image.height > MOST)
        st = kr_fail(KR_ERR_FORMAT, "%s: PNG of %u x %u pixels, want at most %d in all", what, image.width, image.height, MOST);
    image.format = grey ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
    if (st == KR_OK) st = kr_array_new(out, true, 3, (const int64_t[]){image.height, image.width, grey ? 1 : 3}, what);
    png_color black = {0, 0, 0};
    if (st == KR_OK && !png_image_finish_read(&image, &black, out->u8, 0, NULL)) st = kr_fail(KR_ERR_FORMAT, "%s: PNG: %s", what, image.message);
    png_image_free(&image);
    return st;
}
#else
static kr_status decode(kr_array *out, const uint8_t *p, size_t n, const char *what) {
    (void)out, (void)p, (void)n;
    KR_FAIL(KR_ERR_MISSING, "%s: this build reads no PNG; install libpng-dev and build again", what);
}
#endif

const kr_decoder kr_decoder_png = {.name = "png", .about = "pictures", .endings = ".png", .is = is_png, .array = decode};
