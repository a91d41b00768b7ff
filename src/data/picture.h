/* picture.h - arrays as pictures: stacks of them, sizes, channels. */
#ifndef KR_DATA_PICTURE_H
#define KR_DATA_PICTURE_H
#include "data/decode.h"

/* n pictures of H x W with C channels, the last axis fastest; the elements stay the array's. */
typedef struct kr_pictures { int64_t n, H, W, C; } kr_pictures;

/* [H, W], [H, W, 1..4], [n, H, W] or [n, H, W, C].  KR_ERR_FORMAT: none of these. */
kr_status kr_pictures_of(kr_pictures *p, const kr_array *a, const char *what);
/* Picture i in H x W and `channels` (1: grey, 3: colour), bytes or floats as the array has them. */
void kr_picture_get(void *to, const kr_array *a, const kr_pictures *p, int64_t i, int64_t H, int64_t W, int64_t channels);
#endif
