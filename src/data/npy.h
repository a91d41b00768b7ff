/* npy.h - NPY, for NPZ, which is an archive of them. */
#ifndef KR_DATA_NPY_H
#define KR_DATA_NPY_H
#include "data/decode.h"

kr_status kr_npy_decode(kr_array *out, const uint8_t *p, size_t n, const char *what);
#endif
