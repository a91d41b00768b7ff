/* reduce.h - a trained model with smaller states, to be trained on. */
#ifndef KRAIT_REDUCE_H
#define KRAIT_REDUCE_H
#include <stdbool.h>
#include <stdint.h>

#include "krait/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What became of one layer: over its channels. */
typedef struct kr_reduce_row {
    const char *layer;         /* its name, "backbone.layers.0.mixer" */
    int64_t n_channels, n_modes, n_left;
    double hankel[64];         /* median of each Hankel value over the largest, falling; 0 behind n_modes */
    double tail;               /* median of what is cut off: sum of the values behind n_left over the sum of all */
    double error, bound;       /* the largest error over all frequencies, over the channel's largest gain: median, and of its bound */
    double worst_error, worst_share; /* the worst channel's, and the largest share of a bound that an error took: 1 at most */
} kr_reduce_row;

/* Writes the S4D model `from` with states of d_state numbers (a pair is two) to the new folder `to`: each channel by
 * balanced truncation, in double, then diagonal again; all else stays.  row() is called for each layer.
 * KR_ERR_CONFIG: no S4D in conjugate pairs, `to` is there already, or d_state is odd or not below the model's. */
KR_API kr_status kr_reduce(const char *from, const char *to, int64_t d_state, void (*row)(void *user, const kr_reduce_row *r), void *user);

#ifdef __cplusplus
}
#endif
#endif
