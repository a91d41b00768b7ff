/* order_nested.c - inside each piece of the steps, then from piece to piece (HiSS: Bhirangi et al. 2024; MiM-ISTD's
 * visual words and sentences: Chen et al. 2024).
 *
 *   w = inner mixer over each piece by itself                    window^axes cells, the last ones may be smaller
 *   s = what stands for a piece: its last step, their mean, or all side by side through a product
 *   y = w + outer mixer over all s, told to every step of its piece
 *
 * HiSS takes the last step, MiM a product of all.  A stack that goes on with the pieces alone: `condense` behind it. */
#include "parts/grid.h"
#include "parts/route.h"

enum { LAST, MEAN, JOIN };
typedef struct nested { int64_t window; int by; bool share; } nested;
static const kr_key keys[] = {
    KR_KEY_INT(nested, window, 2, 1, 1024, "side of a piece: steps of a line, cells each way of a picture"),
    KR_KEY_CHOICE(nested, by, "last|mean|join", "what stands for a piece; join: all of it through a product"),
    KR_KEY_BOOL(nested, share, false, "both levels use the same parameters"),
    KR_KEY_END};

/* One step for each piece of w, which lies in the order of the walk. */
static kr_node *stand_for(kr_build *b, const nested *o, const kr_order *order, kr_node *w) {
    const struct kr_order_path *p = &order->path[0];
    int64_t most = 1, D = kr_node_dim(w, -1);
    for (int i = 0; i < order->n_axes; i++) /* a line may be longer another time, a picture is as the encoder says */
        most *= order->n_axes > 1 && order->size[i] < o->window ? order->size[i] : o->window;
    if (o->by == LAST) return kr_pieces_last(b, w, p->piece, p->n_pieces);
    if (o->by == MEAN) return kr_pieces_mean(b, w, p->piece, p->n_pieces, most);
    return kr_linear(b, kr_pieces_joined(b, w, p->piece, p->n_pieces, most), "join", D, true);
}

static kr_node *levels(kr_build *b, const nested *o, const kr_order *order, int32_t *idx, kr_node *x) {
    const struct kr_order_path *p = &order->path[0];
    kr_node *w = kr_mix_walks(b, o->share ? "mixer" : "mixer.0", p, 1, kr_steps_at(b, x, p->cell, p->n));
    struct kr_order_path outer = {.n = p->n_pieces, .n_pieces = 1};
    kr_node *s = kr_mix_walks(b, o->share ? "mixer" : "mixer.1", &outer, 1, stand_for(b, o, order, w));
    kr_order_inverse(order, 0, idx);
    w = kr_steps_at(b, w, idx, p->n);
    for (int64_t i = 0; i < p->n; i++) idx[p->cell[i]] = p->piece[i];
    return kr_add(b, w, kr_steps_at(b, s, idx, p->n));
}

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const nested *o = opt;
    int64_t size[KR_ORDER_AXES];
    kr_order *order;
    kr_order_options options = {.window = o->window};
    if (b->stateful || b->seq_idx) return kr_graph_fail(b->g, KR_ERR_CONFIG, "order nested sees all of a row at once: it takes no packed documents and goes not step by step");
    kr_status st = kr_order_new(&order, "window:apart", kr_grid_axes(b, size), size, &options);
    if (st != KR_OK) return kr_graph_fail(b->g, st, "order: %s", kr_error());
    int32_t *idx = kr_mem_array((size_t)order->n_cells, sizeof *idx);
    x = idx ? levels(b, o, order, idx, x) : kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    kr_mem_free(idx);
    kr_order_free(order);
    return x;
}

const kr_part kr_part_order_nested = {.kind = "order", .name = "nested", .about = "inside each piece of the steps, then from piece to piece (HiSS, Mamba-in-Mamba)",
                                      .bytes = sizeof(nested), .keys = keys, .build = build};
