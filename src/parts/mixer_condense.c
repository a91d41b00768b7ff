/* mixer_condense.c - a stream with one step for each piece of the old one: HiSS's way up, whose pieces were walked by
 * themselves before (`"path": "window:apart"`).
 *
 *   last, mean         of the piece's steps
 *   join               all of them side by side through a product (MiM's sentences of words)
 *
 * Of a line; a picture has `down`.  What is left over at the end is a shorter piece. */
#include "parts/route.h"

enum { LAST, MEAN, JOIN };
typedef struct condense { int64_t window, width; int by; } condense;
static const kr_key keys[] = {
    KR_KEY_INT(condense, window, 10, 1, 1 << 16, "steps of a piece"),
    KR_KEY_CHOICE(condense, by, "last|mean|join", "what becomes of a piece"),
    KR_KEY_INT(condense, width, 0, 0, 1 << 24, "width of the new stream, by a product; 0: the old one's"),
    KR_KEY_END};

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const condense *o = opt;
    int64_t k = o->window, M = b->d_model, n = (b->L + k - 1) / k;
    if (b->stateful || b->seq_idx) return kr_graph_fail(b->g, KR_ERR_CONFIG, "condense needs whole rows");
    if (b->H) return kr_graph_fail(b->g, KR_ERR_CONFIG, "condense makes pieces of a line, but the steps are pictures; they have down");
    int32_t *piece = kr_mem_array((size_t)b->L, sizeof *piece);
    if (!piece) return kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    for (int64_t l = 0; l < b->L; l++) piece[l] = (int32_t)(l / k);
    x = o->by == LAST ? kr_pieces_last(b, x, piece, n) : o->by == MEAN ? kr_pieces_mean(b, x, piece, n, k) : kr_pieces_joined(b, x, piece, n, k);
    kr_mem_free(piece);
    b->L = n, b->d_model = o->width ? o->width : M;
    return o->width || o->by == JOIN ? kr_linear(b, x, "proj", b->d_model, true) : x;
}

const kr_part kr_part_mixer_condense = {.kind = "mixer", .name = "condense", .about = "one step for each piece of so many: its last, its mean, or all through a product",
                                        .bytes = sizeof(condense), .keys = keys, .stream = true, .own_order = true, .build = build};
