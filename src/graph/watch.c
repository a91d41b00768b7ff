/* watch.c - looking at what ops were given and made, after a run. */
#include "graph/node.h"

void kr_graph_watch(kr_graph *g, const kr_op *op) {
    KR_ASSERT(!g->planned && !g->device);
    for (int k = 0; k < g->n_steps; k++) {
        kr_step *s = &g->steps[k];
        if (s->op != op || s->backward) continue;
        for (int i = 0; i < KR_MAX_IN; i++)
            if (s->in[i]) s->in[i]->root->keep = true;
        if (s->out[0]) s->out[0]->keep = true;
    }
}

const kr_call *kr_graph_watched(const kr_graph *g, const kr_op *const *ops, int i, int *block, const kr_op **op) {
    for (int k = 0; k < g->n_forward; k++)
        for (int o = 0; ops[o]; o++)
            if (g->steps[k].op == ops[o] && !g->steps[k].dead && i-- == 0) {
                *block = g->steps[k].block;
                *op = ops[o];
                return &g->steps[k].call;
            }
    return NULL;
}
