/* sample.h - pictures drawn by a diffusion model (docs/blocks.md).
 *
 *     kr_samples *s;
 *     if (kr_sample(&s, model, &(kr_sample_options){.n = 64, .steps = 50, .seed = 1, .guidance = 1}) < 0) die(kr_error());
 *     kr_samples_grid(s, 8, 1, "grid.png");
 *     kr_samples_free(s);
 *
 * Picture number i of a seed is the same however many are drawn with it. */
#ifndef KRAIT_SAMPLE_H
#define KRAIT_SAMPLE_H
#include "krait.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kr_sample_options {
    int64_t n;              /* pictures */
    int64_t steps;          /* from noise to a picture, at most as many as the model was trained with; 0: all */
    uint64_t seed;
    double eta;             /* 0: DDIM, which draws nothing on the way; 1: DDPM's ancestral sampling */
    const char *class_name; /* as in the data; NULL: every class in turn; "none": told none */
    double guidance;        /* 1: as the model says; above: more of what the class changes; 0: as if told none */
} kr_sample_options;

typedef struct kr_samples {
    int64_t n, H, W, channels;
    uint8_t *pixels;        /* [n, H, W, channels] */
    int32_t *of_class;      /* [n]; -1: told none */
    int64_t n_classes;
    char **class_names;     /* [n_classes] */
} kr_samples;

/* Steps that the model was trained with; 0: it is no diffusion model. */
KR_API int64_t kr_sample_steps(const kr_model *m);
/* KR_ERR_CONFIG: not a diffusion model, or one whose folder does not say what it draws; KR_ERR_ARG: no such class. */
KR_API kr_status kr_sample(kr_samples **out, const kr_model *m, const kr_sample_options *o);
KR_API void kr_samples_free(kr_samples *s); /* NULL is fine */
/* All in one PNG, `columns` in a row (0: as many as make it square), each pixel zoom x zoom. */
KR_API kr_status kr_samples_grid(const kr_samples *s, int64_t columns, int64_t zoom, const char *path);
/* FOLDER/CLASS/00000.png, ..., or FOLDER/00000.png where none was told. */
KR_API kr_status kr_samples_folder(const kr_samples *s, const char *folder);

#ifdef __cplusplus
}
#endif
#endif
