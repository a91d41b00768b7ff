/* embedding.h - the slots of embedding, in the order of its signature. */
#ifndef KR_OPS_EMBEDDING_H
#define KR_OPS_EMBEDDING_H
#include "ops/op.h"

enum { EMBEDDING_IDS, EMBEDDING_W };
enum { EMBEDDING_Y };
#endif
