/* recipe.h - the JSON of a run, for the files of this folder. */
#ifndef KR_TRAIN_RECIPE_H
#define KR_TRAIN_RECIPE_H
#include "base/json.h"
#include "data/source.h"

/* The model object with what the data decides filled in: vocab_size, encoder and head of
 * real-valued tasks.  New reference. */
kr_status kr_recipe_model(const json_t *recipe, const kr_source_info *info, json_t **model);
#endif
