/* bench_model.h - a model for timing: its shape from a file, its numbers drawn. */
#ifndef KR_MODEL_BENCH_MODEL_H
#define KR_MODEL_BENCH_MODEL_H
#include "base/timing.h"
#include "model/model.h"

/* From a config.json, a recipe.json (its "model"; the data is not opened) or a folder with
 * either; with memory, and with gradients and moments when training. */
kr_status kr_bench_model_open(kr_model **out, const char *path, bool training, const kr_bench_options *opt);
/* Fills the inputs of a graph with tokens below V, or numbers. */
void kr_bench_fill_inputs(kr_graph *g, int64_t vocab_size);
/* Seconds of each op in one run, over `runs` runs since profiling was turned on; slowest
 * first.  Returns how many rows. */
int kr_bench_profile(const kr_graph *g, int runs, kr_bench_part *part, int cap);
#endif
