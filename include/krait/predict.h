/* predict.h - what a trained model says of files: pictures, sound, tables, ...
 *
 * The model's folder knows how its data were made ready (preprocessor_config.json), so any
 * file of the kind it was trained on will do. */
#ifndef KRAIT_PREDICT_H
#define KRAIT_PREDICT_H
#include "krait.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum kr_answer_kind {
    KR_ANSWER_CLASS,   /* values: the probability of each class */
    KR_ANSWER_CELLS,   /* cells: the class of each cell of the input, H x W of them */
    KR_ANSWER_RANKED,  /* values: the probability of each thing that may come next */
    KR_ANSWER_NUMBERS  /* values: numbers in the units of the data */
} kr_answer_kind;

typedef struct kr_answer {
    kr_answer_kind kind;
    const char *name;          /* the file, and the row in it: "digits.idx:12" */
    int64_t n;                 /* values, or cells */
    const float *values;
    const int32_t *cells;
    int64_t best;              /* of classes, things: the most probable */
    int64_t n_classes, H, W;   /* of cells; H: 1 if they are a line */
    const char *const *label;  /* [n], or [n_classes] of cells: names; NULL: none have */
} kr_answer;

/* Called for each example, in the order of the files; what it returns but KR_OK ends the work. */
typedef kr_status kr_answer_fn(void *user, const kr_answer *a);

/* KR_ERR_CONFIG: a model of texts, or one whose folder does not say how to read files. */
KR_API kr_status kr_predict(const kr_model *m, const char *const *files, int n_files, kr_answer_fn *f, void *user);

/* H x W bytes as a grey PNG.  KR_ERR_MISSING: this build has no libpng. */
KR_API kr_status kr_png_write(const char *path, int64_t H, int64_t W, const uint8_t *grey);

#ifdef __cplusplus
}
#endif
#endif
