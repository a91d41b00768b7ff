/* device.c - a graph on a device: its memory there, its mirror here, its runs recorded.
 *
 *     there   [scale of the loss | inputs, constants | states] [block]
 *     here    [scale of the loss | inputs, constants | states] [kept tensors]
 *
 * A run sends the first two parts, does the steps, and brings the kept tensors back, all
 * queued; large ones (scores of a whole batch) only when they are asked for.  The first run
 * warms up what is made at first use, the second is recorded. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "graph/node.h"

enum { LARGE = 1 << 20 }; /* bytes of a kept tensor that waits to be asked for */

static bool is_kept(const kr_node *n) { return n->keep && n->root == n && kr_node_in_block(n); }
static bool is_large(const kr_node *n) { return kr_node_bytes(n) > LARGE; }

static void bring(const kr_graph *g, const kr_node *n) {
    kr_tensor t = kr_node_shape(n);
    kr_cuda()->download(g->device, n->host, n->data, (size_t)kr_count(&t) * kr_dtype_bytes(n->dtype));
}

kr_status kr_on_device_alloc(kr_graph *g) {
    const kr_cuda_api *api = kr_cuda();
    size_t fixed = KR_SCALE_BYTES + g->fixed_bytes, kept = 0;
    void *memory, *mirror;
    if (!(g->on = kr_mem_new(sizeof *g->on))) return KR_ERR_NOMEM;
    for (kr_node *n = g->nodes; n; n = n->all_next) kept += is_kept(n) ? kr_node_bytes(n) : 0;
    KR_TRY(api->alloc(g->device, &memory, fixed + g->memory.block));
    g->on->memory = memory;
    KR_TRY(api->alloc_host(g->device, &mirror, fixed + kept));
    g->on->mirror = mirror;
    g->on->in_bytes = KR_SCALE_BYTES + g->memory.inputs;
    g->fixed = memory;
    g->block_data = g->fixed + fixed;
    char *at = g->on->mirror + fixed;
    for (kr_node *n = g->nodes; n; n = n->all_next) {
        if (!is_kept(n)) continue;
        n->host = at;
        at += kr_node_bytes(n);
    }
    return KR_OK;
}

void kr_on_device_free(kr_graph *g) {
    const kr_cuda_api *api = kr_cuda();
    if (!g->on) return;
    kr_graph_wait(g);
    for (int i = 0; i < 2; i++)
        if (g->on->recorded[i]) api->capture_free(g->device, g->on->recorded[i]);
    if (g->on->memory) api->free(g->device, g->on->memory);
    if (g->on->mirror) api->free_host(g->device, g->on->mirror);
    kr_mem_free(g->on);
}

typedef void steps_fn(kr_graph *g, kr_run what);

static void queue(kr_graph *g, kr_run what, steps_fn *steps) {
    const kr_cuda_api *api = kr_cuda();
    api->upload(g->device, g->fixed, g->on->mirror, g->on->in_bytes);
    steps(g, what);
    for (kr_node *n = g->nodes; n; n = n->all_next)
        if (is_kept(n) && !is_large(n)) bring(g, n);
}

/* False: it cannot be recorded, and is queued step by step for good. */
static bool record(kr_graph *g, kr_run what, steps_fn *steps) {
    kr_on_device *on = g->on;
    if (kr_cuda()->capture_begin(g->device) != KR_OK) return false;
    queue(g, what, steps);
    return kr_cuda()->capture_end(g->device, &on->recorded[what]) == KR_OK;
}

void kr_on_device_run(kr_graph *g, kr_run what, steps_fn *steps) {
    kr_on_device *on = g->on;
    kr_graph_wait(g); /* the mirror must not change under a copy */
    memcpy(on->mirror, &g->loss_scale, sizeof g->loss_scale);
    bool again = on->n_runs[what]++ > 0 && !g->profiling;
    if (again && !on->recorded[what] && !on->refused) on->refused = !record(g, what, steps);
    if (again && on->recorded[what]) kr_cuda()->replay(g->device, on->recorded[what]);
    else queue(g, what, steps);
    on->pending = true;
    for (kr_node *n = g->nodes; n; n = n->all_next) n->stale = is_kept(n) && is_large(n);
}

void kr_on_device_fetch(const kr_graph *g, kr_node *n) {
    if (!n->stale || kr_graph_wait(g) != KR_OK) return;
    bring(g, n);
    g->on->pending = true;
    kr_graph_wait(g);
    n->stale = false;
}

kr_status kr_graph_wait(const kr_graph *g) {
    kr_on_device *on = g->on;
    if (!on) return KR_OK;
    if (on->pending) {
        kr_status st = kr_cuda()->sync(g->device);
        on->pending = false;
        if (st != KR_OK && on->status == KR_OK) {
            on->status = st;
            snprintf(on->error, sizeof on->error, "%s", kr_error());
        }
    }
    if (on->status != KR_OK) KR_FAIL(on->status, "%s", on->error);
    return KR_OK;
}

/* --- states ---------------------------------------------------------------------- */

static kr_status move_states(kr_graph *g, bool fetch) {
    if (g->states_of) return move_states(g->states_of, fetch);
    if (!g->on) return KR_OK;
    char *there = g->fixed + g->on->in_bytes, *here = g->on->mirror + g->on->in_bytes;
    if (fetch) kr_cuda()->download(g->device, here, there, g->memory.state);
    else kr_cuda()->upload(g->device, there, here, g->memory.state);
    return kr_cuda()->sync(g->device);
}

kr_status kr_graph_fetch_states(kr_graph *g) { return move_states(g, true); }
kr_status kr_graph_push_states(kr_graph *g) { return move_states(g, false); }

/* --- looking at numbers ------------------------------------------------------------- */

kr_status kr_on_device_finite(kr_graph *g, const void *data, kr_dtype dtype, int64_t n, bool *finite) {
    enum { PIECE = 1 << 16 };
    size_t elem = kr_dtype_bytes(dtype);
    *finite = true;
    if (dtype != KR_F32 && dtype != KR_BF16) return KR_OK;
    float *x = kr_mem_array(PIECE, 2 * sizeof *x);
    void *raw = x + PIECE;
    if (!x) return KR_ERR_NOMEM;
    kr_status st = KR_OK;
    for (int64_t at = 0; at < n && *finite && st == KR_OK; at += PIECE) {
        int64_t m = n - at < PIECE ? n - at : PIECE;
        kr_cuda()->download(g->device, raw, (const char *)data + (size_t)at * elem, (size_t)m * elem);
        st = kr_cuda()->sync(g->device);
        kr_convert(x, KR_F32, raw, dtype, m);
        for (int64_t i = 0; i < m; i++) *finite = *finite && isfinite(x[i]);
    }
    kr_mem_free(x);
    return st;
}
