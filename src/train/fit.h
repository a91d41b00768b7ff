/* fit.h - does a model's graph take what a source gives, and tell what it asks? */
#ifndef KR_TRAIN_FIT_H
#define KR_TRAIN_FIT_H
#include "data/source.h"
#include "model/model.h"

/* KR_ERR_CONFIG unless every array that both fill or read is of one size.  `g` is of S rows of L steps; of a
 * model's folder and a source nothing else is sure. */
kr_status kr_fit(const kr_model *m, const kr_graph *g, const kr_source_info *i, int64_t S, int64_t L);
#endif
