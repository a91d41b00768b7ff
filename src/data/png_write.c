/* png_write.c - grey pictures out; the one door to libpng's writer. */
#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "krait/predict.h"

#ifdef KR_WITH_PNG
#include <png.h>

kr_status kr_png_write(const char *path, int64_t H, int64_t W, const uint8_t *grey) {
    png_image image = {.version = PNG_IMAGE_VERSION, .width = (png_uint_32)W, .height = (png_uint_32)H, .format = PNG_FORMAT_GRAY};
    if (H < 1 || W < 1 || H > 1 << 16 || W > 1 << 16) KR_FAIL(KR_ERR_ARG, "%s: a picture of %lld x %lld pixels", path, (long long)H, (long long)W);
    png_alloc_size_t n = PNG_IMAGE_PNG_SIZE_MAX(image);
    void *bytes = kr_mem_new(n);
    if (!bytes) return KR_ERR_NOMEM;
    kr_status st = KR_OK;
    if (!png_image_write_to_memory(&image, bytes, &n, 0, grey, 0, NULL)) st = kr_fail(KR_ERR_IO, "%s: PNG: %s", path, image.message);
    if (st == KR_OK) st = kr_file_write(path, bytes, n);
    kr_mem_free(bytes);
    return st;
}
#else
kr_status kr_png_write(const char *path, int64_t H, int64_t W, const uint8_t *grey) {
    (void)H, (void)W, (void)grey;
    KR_FAIL(KR_ERR_MISSING, "%s: this build writes no PNG; install libpng-dev and build again", path);
}
#endif
