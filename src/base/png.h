/* png.h - pictures as PNG files, written without a library. */
#ifndef KR_BASE_PNG_H
#define KR_BASE_PNG_H
#include <stdint.h>

#include "base/error.h"

/* rgb[h][w][3]; the file is there whole or not at all. */
kr_status kr_png_save(const char *path, int64_t w, int64_t h, const uint8_t *rgb);
#endif
