/* source_graph.c - graphs: many with a class each (TU archives), or one whose nodes have classes (tables of
 * nodes and edges; graphs.h has the files).
 *
 * A row is a graph: its nodes are steps, in an order by degree (Graph-Mamba: hubs last; of equals a drawn
 * one) or as they stand, with the edges between them.  What is known of a node: its label as one of
 * so many, its numbers (of graphs with mean 0 and deviation 1 over the nodes to train on), the log of its
 * degree, and the chances that walks of 1, 2, ... steps end where they began (Dwivedi et al. 2022).
 *
 * Of nodes all parts see the whole graph, and are told the classes of their own nodes alone.
 *
 * Nodes of one degree stand in an order drawn once; anew for each batch to train on with `redraw`, and for each but the
 * first of the `draws` that a score is the mean of.  A model whose order is "ties" gets further ones for each of its layers. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "data/graphs.h"
#include "data/set.h"
#include "data/zip.h"
#include "krait/order.h"

enum { BY_DEGREE, AS_GIVEN };
enum { SIZES = 6, MOST_LABELS = 4096, MOST_DRAWS = 1000 };

typedef struct graph_keys {
    const char *kind;
    kr_set_keys set;
    int64_t walk_steps, draws;
    int order;
    bool redraw;
} graph_keys;

typedef struct one_graph { /* pieces of `files` */
    const kr_graphs *of;
    int64_t number;
    int32_t *place;            /* [nodes] at which step a node stands */
    float *walks;              /* [nodes, walk_steps] */
    int32_t *class;            /* [nodes], of tables of nodes; else NULL */
} one_graph;

typedef struct graphs {
    graph_keys k;
    kr_set set;                /* an example is an int64, the number of its graph */
    kr_graphs **file;
    one_graph *graph;
    int64_t n_files, n_graphs, graphs_room;
    bool of_nodes;
    int64_t L, J, node_labels, edge_labels, n_attr;
    double *mean, *std;        /* [n_attr] */
    int32_t *room;             /* [4, L] of a graph whose nodes are placed anew */
    pthread_mutex_t lock;      /* of it */
} graphs;

static int64_t nodes_of(const one_graph *g) { return g->of->node_at[g->number + 1] - g->of->node_at[g->number]; }
static int64_t edges_of(const one_graph *g) { return g->of->edge_at[g->number + 1] - g->of->edge_at[g->number]; }

/* --- reading ---------------------------------------------------------------------------------------- */

static kr_status place_nodes(const graphs *q, one_graph *g) {
    int64_t n = nodes_of(g);
    int32_t *rank = kr_mem_array((size_t)n + 1, sizeof *rank);
    if (!rank || !(g->place = kr_mem_array((size_t)n + 1, sizeof *g->place))) return kr_mem_free(rank), KR_ERR_NOMEM;
    kr_status st = KR_OK;
    if (q->k.order == BY_DEGREE) st = kr_order_degree(n, edges_of(g), &g->of->edge[g->of->edge_at[g->number]][0], (uint64_t)g->number, rank);
    else
        for (int64_t i = 0; i < n; i++) rank[i] = (int32_t)i;
    for (int64_t i = 0; i < n && st == KR_OK; i++) g->place[rank[i]] = (int32_t)i;
    kr_mem_free(rank);
    return st;
}

/* Takes graph `number` of a file. */
static kr_status add_graph(graphs *q, const kr_graphs *of, int64_t number, const char *path) {
    if (q->n_graphs == q->graphs_room) {
        int64_t room = 2 * q->graphs_room + 64;
        one_graph *p = kr_mem_resize(q->graph, (size_t)room * sizeof *p);
        if (!p) return KR_ERR_NOMEM;
        q->graph = p, q->graphs_room = room;
    }
    one_graph *g = &q->graph[q->n_graphs++];
    *g = (one_graph){.of = of, .number = number};
    KR_TRY(place_nodes(q, g));
    if (!(g->walks = kr_mem_array((size_t)(nodes_of(g) * q->k.walk_steps) + 1, sizeof *g->walks))) return KR_ERR_NOMEM;
    return q->k.walk_steps ? kr_graphs_walks(of, number, q->k.walk_steps, g->walks, path) : KR_OK;
}

static kr_status name_nodes(graphs *q, one_graph *g) {
    int64_t n = nodes_of(g);
    if (!(g->class = kr_mem_array((size_t)n + 1, sizeof *g->class))) return KR_ERR_NOMEM;
    for (int64_t i = 0; i < n; i++)
        if ((g->class[i] = kr_set_class(&q->set, g->of->node_class[i])) == -2) return KR_ERR_NOMEM;
    return KR_OK;
}

/* The class of a graph, as its number says it. */
static kr_status add_example(const kr_source *s, graphs *q, const kr_graphs *of, int64_t k, const char *path, kr_split part) {
    char name[32];
    int32_t class = -1;
    int64_t number = q->n_graphs;
    KR_TRY(add_graph(q, of, k, path));
    if (of->node_class) KR_TRY(name_nodes(q, &q->graph[number]));
    if (of->answer && !s->predict) {
        snprintf(name, sizeof name, "%.15g", of->answer[k]);
        if ((class = kr_set_class(&q->set, name)) == -2) return KR_ERR_NOMEM;
    }
    if (class < 0 && !of->node_class && !s->predict) KR_FAIL(KR_ERR_CONFIG, "%s: graph %lld: its class is not known (graph_labels.txt), or none of those trained on", path, (long long)k + 1);
    int64_t *to = kr_set_add(&q->set, 1, part, of->node_class ? -1 : k + 1, class, NULL);
    if (!to) return KR_ERR_NOMEM;
    *to = number;
    return KR_OK;
}

static kr_status read_graphs(kr_graphs *g, const char *path) {
    void *bytes;
    size_t n;
    KR_TRY(kr_file_read(&bytes, &n, path));
    bool zip = kr_zip_is(bytes, n);
    kr_status st = zip ? kr_graphs_read_tu(g, bytes, n, path) : KR_OK;
    kr_mem_free(bytes);
    return zip ? st : kr_graphs_read_tables(g, path);
}

typedef struct reading { const kr_source *s; graphs *q; } reading;
static kr_status read_file(void *user, kr_set *set, const char *path, kr_split part) {
    const reading *r = user;
    graphs *q = r->q;
    kr_graphs **more = kr_mem_resize(q->file, (size_t)(q->n_files + 1) * sizeof *more), *g;
    if (!more) return KR_ERR_NOMEM;
    q->file = more;
    if (!(g = more[q->n_files] = kr_mem_new(sizeof *g))) return KR_ERR_NOMEM;
    q->n_files++;
    (void)set;
    KR_TRY(read_graphs(g, path));
    if (q->n_files > 1 && (q->file[0]->node_class != NULL) != (g->node_class != NULL)) KR_FAIL(KR_ERR_CONFIG, "%s: archives of graphs and tables of nodes do not go together", path);
    q->of_nodes = g->node_class != NULL;
    for (int64_t k = 0; k < g->n_graphs; k++) KR_TRY(add_example(r->s, q, g, k, path, part));
    return KR_OK;
}

/* --- what is learnt ----------------------------------------------------------------------------------- */

static int64_t one_more(const int32_t *label, int64_t n) {
    int64_t most = -1;
    for (int64_t i = 0; label && i < n; i++)
        if (label[i] > most) most = label[i];
    return most + 1;
}

/* Sizes are those of all graphs that are there: they say nothing of answers. */
static kr_status measure_sizes(graphs *q) {
    q->n_attr = q->file[0]->n_attr;
    for (int64_t i = 0; i < q->n_files; i++) {
        const kr_graphs *g = q->file[i];
        int64_t nodes = one_more(g->node_label, g->n_nodes), edges = one_more(g->edge_label, g->n_edges);
        if (nodes > q->node_labels) q->node_labels = nodes;
        if (edges > q->edge_labels) q->edge_labels = edges;
        if (!q->of_nodes && g->n_attr != q->n_attr) KR_FAIL(KR_ERR_CONFIG, "data: nodes of %lld and of %lld numbers", (long long)q->n_attr, (long long)g->n_attr);
        if (g->n_attr > q->n_attr) q->n_attr = g->n_attr;
    }
    for (int64_t i = 0; i < q->n_graphs; i++) {
        if (nodes_of(&q->graph[i]) > q->L) q->L = nodes_of(&q->graph[i]);
        if (edges_of(&q->graph[i]) > q->J) q->J = edges_of(&q->graph[i]);
    }
    if (!q->J) q->J = 1;
    if (q->node_labels > MOST_LABELS || q->edge_labels > MOST_LABELS) KR_FAIL(KR_ERR_CONFIG, "data: labels of nodes and edges go to %lld and %lld, want less than %d", (long long)q->node_labels, (long long)q->edge_labels, MOST_LABELS);
    return KR_OK;
}

static void measure_numbers(graphs *q) {
    double n = 0;
    for (int64_t e = 0; e < q->set.n_in[KR_SPLIT_TRAIN] && !q->of_nodes; e++) {
        const one_graph *g = &q->graph[*(const int64_t *)kr_set_data(&q->set, q->set.index[KR_SPLIT_TRAIN][e])];
        const float *x = g->of->attr + g->of->node_at[g->number] * q->n_attr;
        n += (double)nodes_of(g);
        for (int64_t i = 0; i < nodes_of(g) * q->n_attr; i++) q->mean[i % q->n_attr] += x[i], q->std[i % q->n_attr] += (double)x[i] * x[i];
    }
    for (int64_t i = 0; i < q->n_attr; i++) {
        if (n > 0) q->mean[i] /= n, q->std[i] = sqrt(fmax(q->std[i] / n - q->mean[i] * q->mean[i], 0));
        if (!(q->std[i] > 1e-12)) q->std[i] = 1;
    }
}

static kr_status take_sizes(graphs *q, const double *x) {
    for (int i = 0; i < SIZES; i++)
        if (!(x[i] >= 0 && x[i] <= INT32_MAX / 4)) KR_FAIL(KR_ERR_FORMAT, "preprocessor_config.json: graph_sizes: %g", x[i]);
    if (x[0] < 1 || x[1] < 1 || x[2] > MOST_LABELS || x[3] > MOST_LABELS || x[4] > 1 << 20) KR_FAIL(KR_ERR_FORMAT, "preprocessor_config.json: graph_sizes are none");
    q->L = (int64_t)x[0], q->J = (int64_t)x[1], q->node_labels = (int64_t)x[2], q->edge_labels = (int64_t)x[3], q->n_attr = (int64_t)x[4];
    if ((x[5] != 0) != q->of_nodes) KR_FAIL(KR_ERR_CONFIG, "data: the model answers about %s, and these files are of %s", x[5] != 0 ? "nodes" : "graphs", q->of_nodes ? "nodes" : "graphs");
    for (int64_t i = 0; i < q->n_graphs; i++) {
        const one_graph *g = &q->graph[i];
        if (nodes_of(g) > q->L || edges_of(g) > q->J || g->of->n_attr != q->n_attr)
            KR_FAIL(KR_ERR_CONFIG, "data: a graph of %lld nodes, %lld edges and %lld numbers a node; the model takes %lld, %lld and %lld", (long long)nodes_of(g), (long long)edges_of(g),
                    (long long)g->of->n_attr, (long long)q->L, (long long)q->J, (long long)q->n_attr);
    }
    return KR_OK;
}

static kr_status measure(kr_source *s, graphs *q) {
    double x[SIZES];
    if (s->fitted) KR_TRY(kr_fitted_reals(s, "graph_sizes", x, SIZES));
    else KR_TRY(measure_sizes(q));
    if (s->fitted) KR_TRY(take_sizes(q, x));
    q->mean = kr_mem_new((size_t)(2 * q->n_attr + 1) * sizeof *q->mean);
    if (!q->mean) return KR_ERR_NOMEM;
    q->std = q->mean + q->n_attr;
    if (s->fitted) return kr_fitted_reals(s, "mean_std", q->mean, 2 * q->n_attr);
    measure_numbers(q);
    const double sizes[SIZES] = {(double)q->L, (double)q->J, (double)q->node_labels, (double)q->edge_labels, (double)q->n_attr, q->of_nodes};
    KR_TRY(kr_learnt_reals(s, "graph_sizes", sizes, SIZES));
    KR_TRY(kr_learnt_reals(s, "mean_std", q->mean, 2 * q->n_attr));
    return kr_learnt_classes(s, &q->set);
}

/* --- rows ------------------------------------------------------------------------------------------------ */

/* Where the nodes of g stand: as ever, or those of one degree in another drawn order. */
static const int32_t *places(const graphs *q, const one_graph *g, bool anew, kr_rng r) {
    int64_t n = nodes_of(g);
    int32_t *place = q->room, *rank = q->room + q->L, *degree = q->room + 2 * q->L;
    if (!anew) return g->place;
    memset(degree, 0, (size_t)n * sizeof *degree);
    for (int64_t e = g->of->edge_at[g->number]; e < g->of->edge_at[g->number + 1]; e++) degree[g->of->edge[e][0]]++, degree[g->of->edge[e][1]]++;
    for (int64_t i = 0; i < n; i++) rank[g->place[i]] = (int32_t)i;
    for (int64_t from = 0, end; from < n; from = end) {
        for (end = from + 1; end < n && degree[rank[end]] == degree[rank[from]];) end++;
        for (int64_t i = end - 1; i > from; i--) {
            int64_t j = from + kr_rng_below(&r, i - from + 1);
            int32_t swap = rank[i];
            rank[i] = rank[j], rank[j] = swap;
        }
    }
    for (int64_t l = 0; l < n; l++) place[rank[l]] = (int32_t)l;
    return place;
}

static void fill_node(const graphs *q, const one_graph *g, int64_t i, double degree, float *x) {
    const kr_graphs *of = g->of;
    int64_t node = of->node_at[g->number] + i;
    for (int64_t k = 0; k < q->node_labels; k++) x[k] = of->node_label && of->node_label[node] == k;
    x += q->node_labels;
    for (int64_t k = 0; k < q->n_attr; k++) x[k] = (float)((of->attr[node * q->n_attr + k] - q->mean[k]) / q->std[k]);
    x += q->n_attr;
    *x++ = (float)log1p(degree);
    memcpy(x, g->walks + i * q->k.walk_steps, (size_t)q->k.walk_steps * sizeof *x);
}

static void fill_edges(const graphs *q, const one_graph *g, const int32_t *place, kr_batch *b, int64_t row) {
    const kr_graphs *of = g->of;
    int64_t from = of->edge_at[g->number], n = edges_of(g);
    for (int64_t j = 0; j < q->J; j++) {
        if (b->edge_from) b->edge_from[row * q->J + j] = j < n ? place[of->edge[from + j][0]] : -1;
        if (b->edge_to) b->edge_to[row * q->J + j] = j < n ? place[of->edge[from + j][1]] : -1;
        for (int64_t k = 0; b->e && k < q->edge_labels; k++) b->e[(row * q->J + j) * q->edge_labels + k] = j < n && of->edge_label && of->edge_label[from + j] == k;
    }
}

/* The same in row number `at` of a split. */
static const int32_t *places_in_row(const kr_source *s, const graphs *q, const one_graph *g, kr_split split, int64_t at, int64_t draw) {
    if (split == KR_SPLIT_TRAIN) return places(q, g, q->k.redraw && q->k.order == BY_DEGREE, kr_source_row_rng(s, split, at));
    return places(q, g, draw > 0, kr_source_rng(s, split, "draws", at * MOST_DRAWS + draw));
}

/* Orders that a layer walks a row in whose nodes stand at `place`: those to train on all drawn, of those to score the first
 * as the nodes stand.  Padding stays where it is. */
static void fill_ties(const kr_source *s, const graphs *q, const one_graph *g, kr_split split, int64_t at, const int32_t *place, const kr_batch *b, int64_t row) {
    char name[40];
    int64_t n = nodes_of(g);
    int32_t *stands = q->room + 3 * q->L;
    memcpy(stands, place, (size_t)n * sizeof *stands);
    for (int64_t i = 0;; i++) {
        snprintf(name, sizeof name, "tie.%lld", (long long)i);
        const kr_node *node = kr_graph_find(b->ties, name);
        if (!node) return;
        int64_t draws = kr_node_dim(node, 1) / q->L;
        for (int64_t k = 0; k < draws; k++) {
            int32_t *tie = (int32_t *)kr_graph_data(b->ties, name) + (row * draws + k) * q->L;
            for (int64_t l = 0; l < q->L; l++) tie[l] = (int32_t)l;
            if (q->k.order != BY_DEGREE || (split != KR_SPLIT_TRAIN && k == 0)) continue;
            const int32_t *drawn = places(q, g, true, kr_source_rng(s, split, name, (at * MOST_DRAWS + b->draw) * MOST_DRAWS + k));
            for (int64_t v = 0; v < n; v++) tie[drawn[v]] = stands[v];
        }
    }
}

static void fill_answers(const kr_source *s, const graphs *q, const one_graph *g, kr_split split, const int32_t *place, kr_batch *b, int64_t row) {
    int32_t *targets = b->targets + row * q->L;
    for (int64_t l = 0; l < q->L; l++) targets[l] = -1;
    for (int64_t i = 0; i < nodes_of(g); i++) {
        if (!s->predict && g->of->node_part[g->of->node_at[g->number] + i] == split) targets[place[i]] = g->class[i];
        if (b->place) b->place[row * q->L + place[i]] = g->place[i];
    }
}

/* Of all steps of a row: a node's degree first, then what is known of it. */
static void fill(const kr_source *s, const graphs *q, kr_split split, int64_t step, int64_t example, kr_batch *b, int64_t row) {
    const one_graph *g = &q->graph[*(const int64_t *)kr_set_data(&q->set, example)];
    const kr_graphs *of = g->of;
    int64_t n = nodes_of(g), W = s->info.x_width;
    int64_t at = step * b->S + row;
    const int32_t *place = places_in_row(s, q, g, split, at, b->draw);
    float *x = b->x + row * q->L * W;
    memset(x, 0, (size_t)(q->L * W) * sizeof *x);
    float *degree = x + q->node_labels + q->n_attr;
    for (int64_t e = of->edge_at[g->number]; e < of->edge_at[g->number + 1]; e++) degree[place[of->edge[e][0]] * W]++;
    for (int64_t i = 0; i < n; i++) fill_node(q, g, i, degree[place[i] * W], x + place[i] * W);
    fill_edges(q, g, place, b, row);
    if (b->len) b->len[row] = (int32_t)n;
    if (!q->of_nodes) b->targets[row] = q->set.label[example];
    else fill_answers(s, q, g, split, place, b, row);
    if (b->ties) fill_ties(s, q, g, split, at, place, b, row);
}

/* Of nodes every graph is in all parts. */
static int64_t example_at(const kr_source *s, const graphs *q, kr_split split, int64_t step, int64_t row) {
    if (!q->of_nodes || s->predict) return kr_set_at(s, &q->set, split, step, row);
    int64_t S = s->info.S, number = split == KR_SPLIT_TRAIN ? step * S + row : step % ((q->set.n + S - 1) / S) * S + row;
    if (split == KR_SPLIT_TRAIN) return number % q->set.n;
    return number < q->set.n ? number : -1;
}

static void graph_batch(const kr_source *s, kr_split split, int64_t step, kr_batch *b) {
    graphs *q = s->own;
    int64_t W = s->info.x_width, T = s->info.n_targets;
    b->n_rows = 0;
    for (int64_t i = 0; b->place && i < b->S * T; i++) b->place[i] = (int32_t)(i % T);
    pthread_mutex_lock(&q->lock);
    for (int64_t i = 0; i < b->S; i++) {
        int64_t example = example_at(s, q, split, step, i);
        if (example >= 0) {
            fill(s, q, split, step, example, b, i);
            b->n_rows++;
            continue;
        }
        memset(b->x + i * q->L * W, 0, (size_t)(q->L * W) * sizeof *b->x);
        for (int64_t j = 0; j < q->J; j++) {
            if (b->edge_from) b->edge_from[i * q->J + j] = -1;
            if (b->edge_to) b->edge_to[i * q->J + j] = -1;
        }
        if (b->e) memset(b->e + i * q->J * q->edge_labels, 0, (size_t)(q->J * q->edge_labels) * sizeof *b->e);
        for (int64_t t = 0; t < T; t++) b->targets[i * T + t] = -1;
        if (b->len) b->len[i] = 1;
    }
    pthread_mutex_unlock(&q->lock);
}

static bool graph_who(const kr_source *s, kr_split split, int64_t step, int64_t row, char *to, size_t size) {
    const graphs *q = s->own;
    int64_t i = example_at(s, q, split, step, row);
    if (i >= 0) kr_set_name(&q->set, i, to, size);
    return i >= 0;
}
/* Nodes as the file has them. */
static int64_t graph_cells(const kr_source *s, kr_split split, int64_t step, int64_t row, const int32_t *said, int32_t *cells) {
    const graphs *q = s->own;
    const one_graph *g = &q->graph[*(const int64_t *)kr_set_data(&q->set, example_at(s, q, split, step, row))];
    for (int64_t i = 0; i < nodes_of(g); i++) cells[i] = said[g->place[i]];
    return nodes_of(g);
}

/* --- open and close ----------------------------------------------------------------------------------------- */

static kr_status describe(kr_source *s, const graphs *q) {
    kr_source_info *i = &s->info;
    if (i->L && i->L != q->L) KR_FAIL(KR_ERR_CONFIG, "train.seq_len is %lld, but the largest graph has %lld nodes; leave it out", (long long)i->L, (long long)q->L);
    i->L = q->L, i->x_width = q->node_labels + q->n_attr + 1 + q->k.walk_steps, i->n_targets = q->of_nodes ? q->L : 1, i->n_classes = (int64_t)q->set.classes.n;
    if (i->n_classes < 2) KR_FAIL(KR_ERR_CONFIG, "data: the %s have %lld class%s, want at least 2", q->of_nodes ? "nodes" : "graphs", (long long)i->n_classes, i->n_classes == 1 ? "" : "es");
    i->more_metrics = i->n_classes == 2 && !q->of_nodes ? "f1 mcc auroc" : "f1 mcc";
    i->n_edges = q->J, i->edge_width = q->edge_labels, i->n_draws = q->k.draws;
    if (q->k.draws > 1 && q->k.order != BY_DEGREE) KR_FAIL(KR_ERR_CONFIG, "data.draws is %lld, but data.order is \"given\": nodes as they stand are not drawn", (long long)q->k.draws);
    s->encoder = json_pack("{s:s, s:I, s:I, s:I}", "type", "graph", "width", (json_int_t)i->x_width, "edges", (json_int_t)q->J, "edge_width", (json_int_t)q->edge_labels);
    if (q->of_nodes) s->head = json_pack("{s:s, s:I}", "type", "dense", "n_classes", (json_int_t)i->n_classes);
    else s->head = json_pack("{s:s, s:I, s:b}", "type", "class", "n_classes", (json_int_t)i->n_classes, "lengths", true);
    if (!s->encoder || !s->head) KR_FAIL(KR_ERR_NOMEM, "data: out of memory");
    if (q->of_nodes && !s->predict) {
        i->n_train = i->n_eval = i->n_test = q->set.n;
        i->train_batches = i->eval_batches = i->test_batches = (q->set.n + i->S - 1) / i->S;
    }
    snprintf(i->about, sizeof i->about, "%lld graph%s of up to %lld nodes and %lld edges, %lld numbers a node, %lld classes of %s; %lld to train on, %lld held out", (long long)q->n_graphs,
             q->n_graphs == 1 ? "" : "s", (long long)q->L, (long long)q->J, (long long)i->x_width, (long long)i->n_classes, q->of_nodes ? "nodes" : "graphs", (long long)i->n_train, (long long)i->n_eval);
    return KR_OK;
}

/* Classes in order, and the nodes' with them. */
static kr_status sort_classes(graphs *q) {
    size_t n = q->set.classes.n;
    if (q->set.classes_fixed || n < 2 || !q->of_nodes) return kr_set_sort_classes(&q->set);
    char **name = kr_mem_array(n, sizeof *name);
    if (!name) return KR_ERR_NOMEM;
    memcpy(name, q->set.classes.name, n * sizeof *name);
    kr_status st = kr_set_sort_classes(&q->set);
    for (int64_t i = 0; i < q->n_graphs && st == KR_OK; i++)
        for (int64_t k = 0; k < nodes_of(&q->graph[i]); k++)
            if (q->graph[i].class[k] >= 0) q->graph[i].class[k] = kr_set_class(&q->set, name[q->graph[i].class[k]]);
    kr_mem_free(name);
    return st;
}

static kr_status graph_open(kr_source *s, const json_t *data) {
    graphs *q = s->own = kr_mem_new(sizeof *q);
    if (!q) return KR_ERR_NOMEM;
    s->set = &q->set;
    pthread_mutex_init(&q->lock, NULL);
    q->set.each = sizeof(int64_t);
    KR_TRY(kr_keys_read(s->kind->keys, data, "data", &q->k));
    if (s->fitted) KR_TRY(kr_fitted_classes(s, &q->set));
    reading r = {s, q};
    KR_TRY(kr_set_load(s, &q->set, &q->k.set, read_file, &r));
    KR_TRY(sort_classes(q));
    if (q->of_nodes) q->k.set.eval_fraction = q->k.set.test_fraction = 0;
    KR_TRY(kr_set_split(s, &q->set, &q->k.set));
    KR_TRY(measure(s, q));
    if (!(q->room = kr_mem_array((size_t)(4 * q->L), sizeof *q->room))) return KR_ERR_NOMEM;
    return describe(s, q);
}

static void graph_close(kr_source *s) {
    graphs *q = s->own;
    if (q) {
        for (int64_t i = 0; i < q->n_graphs; i++) kr_mem_free(q->graph[i].place), kr_mem_free(q->graph[i].walks), kr_mem_free(q->graph[i].class);
        for (int64_t i = 0; i < q->n_files; i++) kr_graphs_free(q->file[i]), kr_mem_free(q->file[i]);
        kr_mem_free(q->graph), kr_mem_free(q->file), kr_mem_free(q->mean), kr_mem_free(q->room);
        pthread_mutex_destroy(&q->lock);
        kr_set_free(&q->set);
    }
    kr_mem_free(q);
}

static const kr_key graph_keys_table[] = {
    KR_KEY_TEXT(graph_keys, kind, "graph", "where rows come from"),
    KR_SET_KEYS(graph_keys),
    KR_KEY_INT(graph_keys, walk_steps, 8, 0, 64, "a node's chances to be back after 1, 2, ... steps of a random walk; 0: none"),
    KR_KEY_CHOICE(graph_keys, order, "degree|given", "nodes by how many edges they have, hubs last, or as they stand"),
    KR_KEY_BOOL(graph_keys, redraw, false, "training: nodes of one degree stand in another drawn order each time, as in Graph-Mamba"),
    KR_KEY_INT(graph_keys, draws, 1, 1, MOST_DRAWS, "scoring and predicting: the mean over so many drawn orders of nodes of one degree; Graph-Mamba has 5"),
    KR_KEY_END,
};

const kr_source_kind kr_source_graph = {
    .name = "graph",
    .about = "graphs with a class each (TU archives), or one with classes of nodes (tables)",
    .keys = graph_keys_table,
    .open = graph_open,
    .batch = graph_batch,
    .who = graph_who,
    .label = kr_set_label,
    .cells = graph_cells,
    .close = graph_close,
};
