/* rows.c - the states of single sequences: out of a graph, into it, from one to another.
 *
 * The first axis of every state counts sequences, so what one of them remembers is one stretch
 * of each state. */
#include <string.h>

#include "graph/node.h"

size_t kr_state_row_bytes(const kr_node *n) {
    kr_tensor t = kr_node_shape(n);
    return (size_t)(kr_count(&t) / n->dim[0]) * kr_dtype_bytes(n->dtype);
}

static bool is_state(const kr_node *n) { return n->kind == KR_NODE_STATE && n->root == n; }

static char *row_of(const kr_node *n, int64_t row) {
    KR_ASSERT(row >= 0 && row < n->dim[0]);
    return (char *)n->data + (size_t)row * kr_state_row_bytes(n);
}

size_t kr_graph_row_bytes(const kr_graph *g) {
    size_t bytes = 0;
    for (const kr_node *n = g->nodes; n; n = n->all_next)
        if (is_state(n)) bytes += kr_state_row_bytes(n);
    return bytes;
}

kr_status kr_graph_get_row(kr_graph *g, int64_t row, void *to) {
    char *at = to;
    KR_TRY(kr_graph_wait(g));
    for (const kr_node *n = g->nodes; n; n = n->all_next) {
        if (!is_state(n)) continue;
        size_t bytes = kr_state_row_bytes(n);
        if (g->device) kr_cuda()->download(g->device, at, row_of(n, row), bytes);
        else memcpy(at, row_of(n, row), bytes);
        at += bytes;
    }
    return g->device ? kr_cuda()->sync(g->device) : KR_OK;
}

kr_status kr_graph_put_row(kr_graph *g, int64_t row, const void *from) {
    const char *at = from;
    KR_TRY(kr_graph_wait(g));
    for (const kr_node *n = g->nodes; n; n = n->all_next) {
        if (!is_state(n)) continue;
        size_t bytes = kr_state_row_bytes(n);
        if (g->device) kr_cuda()->upload(g->device, row_of(n, row), at, bytes);
        else memcpy(row_of(n, row), at, bytes);
        at += bytes;
    }
    return g->device ? kr_cuda()->sync(g->device) : KR_OK;
}

kr_status kr_graph_copy_row(kr_graph *to, int64_t row, kr_graph *from, int64_t from_row) {
    const kr_node *n = to->nodes, *m = from->nodes;
    KR_TRY(kr_graph_wait(to));
    KR_TRY(kr_graph_wait(from));
    for (;; n = n->all_next, m = m->all_next) {
        while (n && !is_state(n)) n = n->all_next;
        while (m && !is_state(m)) m = m->all_next;
        if (!n || !m) break;
        size_t bytes = kr_state_row_bytes(n);
        KR_ASSERT(bytes == kr_state_row_bytes(m) && n->dtype == m->dtype);
        if (to->device) kr_cuda()->copy(to->device, row_of(n, row), row_of(m, from_row), bytes);
        else memmove(row_of(n, row), row_of(m, from_row), bytes);
    }
    KR_ASSERT(!n && !m);
    return to->device ? kr_cuda()->sync(to->device) : KR_OK;
}
