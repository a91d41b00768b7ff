/* fit.c - see fit.h. */
#include "train/fit.h"

#include "parts/condition.h"

static int64_t elements(const kr_graph *g, const char *name) {
    const kr_node *n = kr_graph_find(g, name);
    int64_t all = n != NULL;
    for (int i = 0; n && i < kr_node_dims(n); i++) all *= kr_node_dim(n, i);
    return all;
}

static kr_status input_fits(const kr_model *m, const kr_graph *g, const kr_source_info *i, int64_t S, int64_t L) {
    const kr_config *c = &m->config;
    long long in = i->vocab_size ? L : L * i->x_width, in_model = elements(g, i->vocab_size ? "ids" : "x") / S;
    if (in != in_model)
        KR_FAIL(KR_ERR_CONFIG, "model.encoder \"%s\" reads %lld numbers a row, but the data \"%s\" give %lld; leave its sizes out, and they are set to fit", c->encoder->name, in_model, i->kind, in);
    if (kr_graph_find(g, "positions") && !i->positions)
        KR_FAIL(KR_ERR_CONFIG, "model.encoder.positions wants data that say where their steps stand, and \"%s\" do not", i->kind);
    long long edges = elements(g, "edge_from") / S, known = elements(g, "e") / S;
    if (edges != i->n_edges || elements(g, "edge_to") / S != i->n_edges || known != i->n_edges * i->edge_width)
        KR_FAIL(KR_ERR_CONFIG, "model.encoder \"%s\" reads %lld edges a row and %lld numbers of them, but the data \"%s\" have %lld and %lld; leave its sizes out, and they are set to fit",
                c->encoder->name, edges, known, i->kind, (long long)i->n_edges, (long long)(i->n_edges * i->edge_width));
    if (i->vocab_size > c->vocab_size)
        KR_FAIL(KR_ERR_CONFIG, "model.vocab_size is %lld, but the data \"%s\" has %lld ids", (long long)c->vocab_size, i->kind, (long long)i->vocab_size);
    return KR_OK;
}

/* `want` answers a row, held out `want_said`; `asked` are the graph's right answers, `said` are its own; a graph may have one of them, or both. */
static kr_status answers_fit(const kr_model *m, const kr_graph *g, const kr_source_info *i, int64_t S, int64_t want, int64_t want_said, const char *asked, const char *said, int64_t V) {
    long long n_asked = elements(g, asked) / S, n_said = elements(g, said) / S / V, none = !n_asked && !n_said, n = n_asked && n_asked != want ? n_asked : n_said;
    if (none || (n_asked && n_asked != want) || (n_said && n_said != want_said))
        KR_FAIL(KR_ERR_CONFIG, "model.head \"%s\" wants %lld %s a row, but the data \"%s\" give %lld %s; choose the head that fits them, or leave it out", m->config.head->name, n,
                i->n_targets ? "classes or ids" : "numbers", i->kind, (long long)want, i->n_targets ? i->n_classes ? "classes" : "ids" : "numbers");
    return KR_OK;
}

kr_status kr_fit(const kr_model *m, const kr_graph *g, const kr_source_info *i, int64_t S, int64_t L) {
    const kr_node *logits = kr_graph_find(g, "logits");
    int64_t V = kr_node_dim(logits, -1), wanted = i->n_classes ? i->n_classes : i->vocab_size;
    KR_TRY(input_fits(m, g, i, S, L));
    if (kr_graph_find(g, "class") && ((const kr_condition *)m->config.condition_opt)->classes != i->n_row_classes)
        KR_FAIL(KR_ERR_CONFIG, "model.condition.classes is %lld, but the data \"%s\" have %lld; leave it out, or set it to 0", (long long)((const kr_condition *)m->config.condition_opt)->classes,
                i->kind, (long long)i->n_row_classes);
    if (!i->n_targets) return answers_fit(m, g, i, S, i->y_width, i->y_width, "y", "prediction", 1);
    int64_t want = i->n_targets == i->L ? L : i->n_targets;
    KR_TRY(answers_fit(m, g, i, S, want, i->n_held_targets ? i->n_held_targets : want, "targets", "logits", V ? V : 1));
    if (logits && (i->n_classes ? V != wanted : V < wanted))
        KR_FAIL(KR_ERR_CONFIG, "model.head \"%s\" scores %lld %s, but the data \"%s\" have %lld", m->config.head->name, (long long)V, i->n_classes ? "classes" : "ids", i->kind, (long long)wanted);
    return KR_OK;
}
