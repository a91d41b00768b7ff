/* png.c - the one door to libpng's writer. */
#include "base/png.h"

#include "base/file.h"
#include "base/mem.h"

#ifdef KR_WITH_PNG
#include <png.h>

kr_status kr_png_save(const char *path, int64_t w, int64_t h, int channels, const uint8_t *pixels) {
    if (w < 1 || h < 1 || w > 1 << 16 || h > 1 << 16) KR_FAIL(KR_ERR_ARG, "%s: a picture of %lld x %lld pixels, want 1 to 65536 each way", path, (long long)w, (long long)h);
    png_image image = {.version = PNG_IMAGE_VERSION, .width = (png_uint_32)w, .height = (png_uint_32)h, .format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB};
    png_alloc_size_t n = PNG_IMAGE_PNG_SIZE_MAX(image);
    void *bytes = kr_mem_new(n);
    if (!bytes) return KR_ERR_NOMEM;
    kr_status st = KR_OK;
    if (!png_image_write_to_memory(&image, bytes, &n, 0, pixels, 0, NULL)) st = kr_fail(KR_ERR_IO, "%s: PNG: %s", path, image.message);
    if (st == KR_OK) st = kr_file_write(path, bytes, n);
    kr_mem_free(bytes);
    return st;
}
#else
kr_status kr_png_save(const char *path, int64_t w, int64_t h, int channels, const uint8_t *pixels) {
    (void)w, (void)h, (void)channels, (void)pixels;
    KR_FAIL(KR_ERR_MISSING, "%s: this build writes no PNG; install libpng-dev and build again", path);
}
#endif
