/* verify.h - does Krait compute what another implementation computed? */
#ifndef KRAIT_VERIFY_H
#define KRAIT_VERIFY_H
#include <stdbool.h>

#include "krait/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kr_verify_row {
    const char *what;        /* "logits", "loss", "gradient of NAME", "greedy continuation" */
    double error, tolerance;
    const char *measure;     /* "largest absolute", "relative RMS", "tokens that differ" */
    bool passed;
} kr_verify_row;

/* Opens a model folder (or a GGUF file) that also holds (or has beside it) expected.safetensors (input_ids, logits, loss,
 * greedy_prompt, greedy_continuation) and perhaps expected_grads.safetensors, computes
 * all of it and calls row() for each comparison.  The continuation is made by a prefill
 * and single steps.  *n_failed counts rows beyond tolerance.
 * Tolerances: logits 2e-4 absolute, gradients 1e-4 relative RMS, continuation equal.
 * device: "cpu" (or NULL), "cuda", "cuda:N". */
KR_API kr_status kr_verify(const char *dir, const char *device, void (*row)(void *user, const kr_verify_row *r), void *user, int *n_failed);

#ifdef __cplusplus
}
#endif
#endif
