/* noise.c - see noise.h. */
#include "train/noise.h"

#include "base/cpu.h"

void kr_noise_rows(const kr_diffusion *d, const kr_graph *g, const kr_batch *b, uint64_t seed, kr_split split, int64_t batch) {
    if (!d) return;
    bool train = split == KR_SPLIT_TRAIN;
    float *time = kr_graph_data(g, "time");
    int64_t n = b->L * kr_node_dim(kr_graph_find(g, "x"), -1);
#pragma omp parallel for num_threads(kr_cpu_threads()) schedule(static)
    for (int64_t i = 0; i < b->S; i++)
        kr_diffusion_noise(d, train ? seed : 0, train, batch * b->S + i, n, b->x + i * n, b->y + i * n, time + i * d->n_features, b->classes ? b->classes + i : NULL);
}
