/* picture.h - a picture of rectangles and lines of text, saved as SVG or PNG.
 *
 * Sizes are in the picture's own units, pixels of the SVG; a PNG has two pixels for each.  What is
 * drawn later lies on top.  The first failure sticks and kr_picture_save tells it. */
#ifndef KR_BASE_PICTURE_H
#define KR_BASE_PICTURE_H
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kr_picture kr_picture;
typedef uint32_t kr_colour; /* 0xrrggbb */

kr_status kr_picture_new(kr_picture **out, double width, double height);
void kr_picture_free(kr_picture *p);
void kr_picture_box(kr_picture *p, double x, double y, double w, double h, kr_colour colour);
/* y is the baseline; align: -1 begins at x, 0 centred, 1 ends there. */
void kr_picture_text(kr_picture *p, double x, double y, double size, int align, kr_colour colour, const char *fmt, ...) KR_PRINTF(7, 8);
/* rows x columns values in a frame; level(user, row, column) from -1 to 1 says the colour: blue to white to orange. */
void kr_picture_heat(kr_picture *p, double x, double y, double w, double h, int64_t rows, int64_t columns,
                     double (*level)(void *user, int64_t row, int64_t column), void *user);
kr_colour kr_picture_level(double level);
/* By the name's end: ".svg" or ".png".  KR_ERR_ARG: another. */
kr_status kr_picture_save(const kr_picture *p, const char *path);

#ifdef __cplusplus
}
#endif
#endif
