/* noise.h - rows of a source as examples for a diffusion model. */
#ifndef KR_TRAIN_NOISE_H
#define KR_TRAIN_NOISE_H
#include "data/source.h"
#include "model/diffusion.h"

/* b, that batch number `batch` of a split has just filled, as g's inputs: x gets noise, y is that noise, "time"
 * says how much.  A function of the seed and the numbers of rows alone; but for training the seed does not
 * matter.  d NULL: nothing. */
void kr_noise_rows(const kr_diffusion *d, const kr_graph *g, const kr_batch *b, uint64_t seed, kr_split split, int64_t batch);
#endif
