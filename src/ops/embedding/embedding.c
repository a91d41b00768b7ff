/* embedding.c - a row of a table for every id.
 *
 *   y[s, l] = W[ids[s, l]]        zeros, and no gradient, for an id outside [0, V): -1 is "nothing" */
#include "ops/embedding/embedding.h"

KR_REF_DECLARE(embedding_fwd);
KR_REF_DECLARE(embedding_bwd);
KR_VEC_DECLARE(embedding_fwd);
KR_VEC_DECLARE(embedding_bwd);

const kr_op kr_op_embedding = {
    .name = "embedding",
    .sig = "ids:SL@i W:VD@w -> y:SLD",
    .about = "a row of W for every id; zeros for an id outside [0, V)",
    .fwd = {[KR_REF] = embedding_fwd_ref_f32, KR_VEC_IMPLS(embedding_fwd)},
    .bwd = {[KR_REF] = embedding_bwd_ref_f32, KR_VEC_IMPLS(embedding_bwd)},
    .fwd_f64 = embedding_fwd_ref_f64,
    .bwd_f64 = embedding_bwd_ref_f64,
    .bwd_in = 1 << EMBEDDING_IDS,
    .no_grad = 1 << EMBEDDING_IDS,
};
