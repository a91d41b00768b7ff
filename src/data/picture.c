/* picture.c - taking pictures out of arrays, in another size or other channels if asked for. */
#include "data/picture.h"

#include <math.h>
#include <string.h>

kr_status kr_pictures_of(kr_pictures *p, const kr_array *a, const char *what) {
    const int64_t *d = a->dim;
    bool one = a->n_dims == 2 || (a->n_dims == 3 && d[2] <= 4);
    if (one) *p = (kr_pictures){1, d[0], d[1], a->n_dims == 3 ? d[2] : 1};
    else if (a->n_dims == 3) *p = (kr_pictures){d[0], d[1], d[2], 1};
    else if (a->n_dims == 4 && d[3] <= 4) *p = (kr_pictures){d[0], d[1], d[2], d[3]};
    else KR_FAIL(KR_ERR_FORMAT, "%s: an array of %d axes is no picture; want [H, W], [H, W, C], [n, H, W] or [n, H, W, C] with C up to 4", what, a->n_dims);
    if (p->n < 1) KR_FAIL(KR_ERR_FORMAT, "%s: no picture in it", what);
    if (p->H < 1 || p->W < 1 || p->C < 1) KR_FAIL(KR_ERR_FORMAT, "%s: pictures of %lld x %lld with %lld channels", what, (long long)p->H, (long long)p->W, (long long)p->C);
    return KR_OK;
}

/* A channel of the wanted kind from those there are; grey by the luma of ITU-R BT.601. */
static double pixel(const kr_array *a, const kr_pictures *p, int64_t at, int64_t channels, int64_t c) {
    at *= p->C;
    if (channels == 1 && p->C >= 3) return .299 * kr_array_at(a, at) + .587 * kr_array_at(a, at + 1) + .114 * kr_array_at(a, at + 2);
    return kr_array_at(a, at + (c < p->C && (p->C >= 3 || channels == p->C) ? c : 0));
}

/* The mean of the area that falls on the new pixel; pixels at the rim count by their share. */
static double area(const kr_array *a, const kr_pictures *p, int64_t base, double h0, double h1, double w0, double w1, int64_t channels, int64_t c) {
    double sum = 0, all = 0;
    for (int64_t h = (int64_t)h0; h < p->H && (double)h < h1; h++)
        for (int64_t w = (int64_t)w0; w < p->W && (double)w < w1; w++) {
            double share = (fmin(h1, (double)h + 1) - fmax(h0, (double)h)) * (fmin(w1, (double)w + 1) - fmax(w0, (double)w));
            sum += share * pixel(a, p, base + h * p->W + w, channels, c), all += share;
        }
    return all > 0 ? sum / all : 0;
}

void kr_picture_get(void *to, const kr_array *a, const kr_pictures *p, int64_t i, int64_t H, int64_t W, int64_t channels) {
    int64_t base = i * p->H * p->W, at = 0;
    bool same = H == p->H && W == p->W;
    size_t all = (size_t)(H * W * channels);
    if (same && channels == p->C) {
        if (a->u8) memcpy(to, a->u8 + base * channels, all);
        else memcpy(to, a->f32 + base * channels, all * sizeof(float));
        return;
    }
    double y = (double)p->H / (double)H, x = (double)p->W / (double)W;
    for (int64_t h = 0; h < H; h++)
        for (int64_t w = 0; w < W; w++)
            for (int64_t c = 0; c < channels; c++, at++) {
                double v = same ? pixel(a, p, base + h * W + w, channels, c)
                                : area(a, p, base, (double)h * y, (double)(h + 1) * y, (double)w * x, (double)(w + 1) * x, channels, c);
                if (a->u8) ((uint8_t *)to)[at] = (uint8_t)(v + 0.5);
                else ((float *)to)[at] = (float)v;
            }
}
