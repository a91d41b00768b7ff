/* chart.h - a line chart as SVG text: loss curves and the like.
 *
 * The picture has no background and colours that read on light and on dark pages. */
#ifndef KR_TRAIN_CHART_H
#define KR_TRAIN_CHART_H
#include <stdint.h>

#include "base/str.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum kr_series_look {
    KR_LOOK_LINE,
    KR_LOOK_NOISY, /* a noisy curve: faint as it is, with a smooth line through it */
    KR_LOOK_MARKS  /* a line with its points marked */
} kr_series_look;

/* n points with x rising.  Points that are not finite, beyond 1e100, or not above 0 on a
 * log axis are left out. */
typedef struct kr_series {
    const char *name;
    kr_series_look look;
    const double *x, *y;
    int64_t n;
} kr_series;

typedef struct kr_chart {
    const char *title, *note;     /* NULL: none; the note is a smaller line under the title */
    const char *x_name, *y_name;
    bool log_x, log_y;
    int width, height;            /* 0: 800 x 450 */
    const kr_series *series;
    int n_series;                 /* up to 6 have colours of their own */
} kr_chart;

/* Adds the chart to `out`.  Size is bounded by the width, however many points there are. */
kr_status kr_chart_svg(kr_str *out, const kr_chart *c);
/* The same as a file that is there whole or not at all. */
kr_status kr_chart_write(const char *path, const kr_chart *c);

#ifdef __cplusplus
}
#endif
#endif
