/* png.h - pictures as PNG files. */
#ifndef KR_BASE_PNG_H
#define KR_BASE_PNG_H
#include <stdint.h>

#include "base/error.h"

/* pixels[h][w][channels], 1 channel (grey) or 3; the file is there whole or not at all.
 * KR_ERR_MISSING: this build has no libpng. */
kr_status kr_png_save(const char *path, int64_t w, int64_t h, int channels, const uint8_t *pixels);
#endif
