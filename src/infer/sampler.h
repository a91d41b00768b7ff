/* sampler.h - the inside of a sampler: its choices and what it remembers of the text. */
#ifndef KR_INFER_SAMPLER_H
#define KR_INFER_SAMPLER_H
#include "base/error.h"
#include "base/rng.h"
#include "krait/infer.h"

typedef struct kr_choice { float p; int32_t id; } kr_choice;

/* What it remembers, as one block: a snapshot copies it whole. */
enum { KR_DRY_RANGE = 4096 };      /* tokens that DRY can look back */
typedef struct kr_sampler_memory {
    kr_rng rng;
    int64_t n_read, n_written;     /* tokens seen in all; of those, written */
    float mu;                      /* mirostat's bound on surprise, in bits; 0: none yet */
    int32_t recent[KR_DRY_RANGE];  /* token i lies at i % KR_DRY_RANGE */
    int32_t count[];               /* [V]: times written, + SEEN where read or written */
} kr_sampler_memory;
#define KR_SEEN ((int32_t)1 << 30)

/* pick_vec.c, for the CPU that runs: the largest of each KR_PICK_STEP scores, where NaN is less than all; and
 * scores x made exp((x - max) slope), 0 where under `least`, their sum, the tops as above, and how many are above 0. */
enum { KR_PICK_STEP = 64 };
typedef struct kr_pick_simd {
    void (*tops)(const float *x, int64_t n, float *top);
    double (*weigh)(float *x, int64_t n, float max, float slope, float least, float *top, int64_t *count);
} kr_pick_simd;
#define KR_PICK_DECLARE(isa)                                        \
    void kr_pick_tops_##isa(const float *x, int64_t n, float *top); \
    double kr_pick_weigh_##isa(float *x, int64_t n, float max, float slope, float least, float *top, int64_t *count);
KR_PICK_DECLARE(baseline) KR_PICK_DECLARE(avx2) KR_PICK_DECLARE(avx512) KR_PICK_DECLARE(neon)

typedef struct kr_sampler {
    kr_pick_simd simd;
    kr_sampler_options opt;
    int64_t V;
    int32_t eos;
    kr_sampler_memory *memory;
    float *score;                  /* [V] */
    float *top;                    /* [V / KR_PICK_STEP, rounded up] */
    kr_choice *choice;             /* [V] */
    int32_t *stretch;              /* [KR_DRY_RANGE]: DRY's work */
    kr_logit_bias *bias;           /* its own copies */
    int32_t *breaker;
} kr_sampler;

size_t kr_sampler_memory_bytes(int64_t V);
kr_status kr_sampler_init(kr_sampler *s, int64_t V, int32_t eos);
void kr_sampler_clear(kr_sampler *s);
/* KR_ERR_ARG: a choice makes no sense. */
kr_status kr_sampler_check(const kr_sampler_options *opt, int64_t V);
/* New choices, and a memory of nothing.  KR_ERR_ARG as above. */
kr_status kr_sampler_start(kr_sampler *s, const kr_sampler_options *opt);
void kr_sampler_forget(kr_sampler *s);
/* A token of the text; written: drawn by this sampler. */
void kr_sampler_see(kr_sampler *s, int32_t tok, bool written);
/* allowed: a bit for each token (64 a word), NULL: all.  -1: none is allowed. */
int32_t kr_sampler_draw(kr_sampler *s, const float *logits, const uint64_t *allowed);
/* pick.c: one of the scores, of which the largest is max. */
int32_t kr_sampler_pick(kr_sampler *s, double max);
#endif
