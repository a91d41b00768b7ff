/* graphs.c - see graphs.h.  Every number is checked before it is an index. */
#include "data/graphs.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/decode.h"
#include "data/source.h"
#include "data/zip.h"

void kr_graphs_free(kr_graphs *g) {
    kr_mem_free(g->node_at), kr_mem_free(g->edge_at), kr_mem_free(g->edge), kr_mem_free(g->node_label), kr_mem_free(g->edge_label);
    kr_mem_free(g->attr), kr_mem_free(g->answer), kr_mem_free(g->node_class), kr_mem_free(g->node_part);
    kr_file_list_free(&g->classes);
    *g = (kr_graphs){0};
}

/* --- numbers in lines ------------------------------------------------------------------------------- */

typedef struct numbers { double *x; int64_t rows, columns; } numbers;

static const char *skip(const char *p) {
    while (*p == ' ' || *p == '\t' || *p == ',' || *p == '\r') p++;
    return p;
}

static int64_t count_words(const char *p) {
    int64_t n = 0;
    for (p = skip(p); *p && *p != '\n'; p = skip(p), n++)
        while (*p && *p != '\n' && p == skip(p)) p++;
    return n;
}

/* As many numbers in each line as in the first; `text` ends with a zero byte. */
static kr_status read_numbers(numbers *out, const char *text, const char *what, const char *member) {
    int64_t lines = 0, line = 0;
    for (const char *p = text; *p; p++) lines += *p == '\n';
    *out = (numbers){.columns = count_words(text)};
    if (!out->columns) KR_FAIL(KR_ERR_FORMAT, "%s: %s: no number in its first line", what, member);
    int64_t most;
    if (__builtin_mul_overflow(lines + 1, out->columns, &most) || most > (int64_t)strlen(text) + lines + 2)
        KR_FAIL(KR_ERR_FORMAT, "%s: %s: lines have other numbers of numbers than the first", what, member);
    if (!(out->x = kr_mem_array((size_t)most + 1, sizeof *out->x))) return KR_ERR_NOMEM;
    for (const char *p = text; *p; line++) {
        const char *stop = strchr(p, '\n');
        int64_t k = 0, n = count_words(p);
        if (n && n != out->columns) KR_FAIL(KR_ERR_FORMAT, "%s: %s: line %lld has %lld numbers, want %lld as in the first line", what, member, (long long)line + 1, (long long)n, (long long)out->columns);
        for (const char *at = skip(p); k < n; k++) {
            char *end;
            double *x = &out->x[out->rows * out->columns + k];
            *x = strtod(at, &end);
            if (end == at || !isfinite(*x) || end != at + strcspn(at, " \t,\r\n")) KR_FAIL(KR_ERR_FORMAT, "%s: %s: line %lld: no number", what, member, (long long)line + 1);
            at = skip(end);
        }
        out->rows += n > 0;
        if (!stop) break;
        p = stop + 1;
    }
    return KR_OK;
}

/* Whole numbers from `from` on, as int32 from 0. */
static kr_status whole(int32_t **out, const numbers *a, double from, const char *what, const char *member) {
    if (!(*out = kr_mem_array((size_t)(a->rows * a->columns) + 1, sizeof **out))) return KR_ERR_NOMEM;
    for (int64_t i = 0; i < a->rows * a->columns; i++) {
        double x = a->x[i] - from;
        if (x < 0 || x >= INT32_MAX || x != floor(x)) KR_FAIL(KR_ERR_FORMAT, "%s: %s: number %lld is %g, want a whole one from %g on", what, member, (long long)i + 1, a->x[i], from);
        (*out)[i] = (int32_t)x;
    }
    return KR_OK;
}

/* --- TU archives ------------------------------------------------------------------------------------- */

enum { EDGES, INDICATOR, GRAPH_LABELS, NODE_LABELS, EDGE_LABELS, ATTRIBUTES, N_MEMBERS };
static const char *const members[N_MEMBERS] = {"_A.txt", "_graph_indicator.txt", "_graph_labels.txt", "_node_labels.txt", "_edge_labels.txt", "_node_attributes.txt"};

static kr_status read_members(numbers *a, const uint8_t *p, size_t n, const char *what) {
    kr_zip z = {.p = p, .n = n, .what = what};
    kr_zip_member m;
    bool more;
    for (;;) {
        KR_TRY(kr_zip_next(&z, &m, &more));
        if (!more) break;
        for (int i = 0; i < N_MEMBERS; i++) {
            uint8_t *text;
            size_t n_text;
            if (!kr_zip_name_ends(&m, members[i]) || a[i].x) continue;
            KR_TRY(kr_zip_unpack(&m, &text, &n_text, what));
            kr_status st = read_numbers(&a[i], (const char *)text, what, members[i] + 1);
            kr_mem_free(text);
            KR_TRY(st);
        }
    }
    if (!a[EDGES].rows || !a[INDICATOR].rows) KR_FAIL(KR_ERR_FORMAT, "%s: no graphs of TU in it: want *_A.txt and *_graph_indicator.txt", what);
    return KR_OK;
}

static kr_status want_rows(const numbers *a, int i, int64_t rows, int64_t columns, const char *of, const char *what) {
    if (!a[i].x || (a[i].rows == rows && (!columns || a[i].columns == columns))) return KR_OK;
    KR_FAIL(KR_ERR_FORMAT, "%s: %s has %lld lines of %lld numbers, want one for each of the %lld %s", what, members[i] + 1, (long long)a[i].rows, (long long)a[i].columns, (long long)rows, of);
}

/* Nodes of a graph stand together, graphs in order. */
static kr_status split_nodes(kr_graphs *g, const int32_t *graph, const char *what) {
    for (int64_t i = 0; i < g->n_nodes; i++) {
        int32_t last = i ? graph[i - 1] : 0;
        if (graph[i] < last || graph[i] > last + 1 || (i == 0 && graph[0] != 0)) KR_FAIL(KR_ERR_FORMAT, "%s: graph_indicator.txt: line %lld: graphs want to be 1, 2, 3, ... in order", what, (long long)i + 1);
    }
    g->n_graphs = graph[g->n_nodes - 1] + 1;
    if (!(g->node_at = kr_mem_new((size_t)(g->n_graphs + 1) * sizeof *g->node_at)) || !(g->edge_at = kr_mem_new((size_t)(g->n_graphs + 2) * sizeof *g->edge_at))) return KR_ERR_NOMEM;
    for (int64_t i = 0; i < g->n_nodes; i++) g->node_at[graph[i] + 1] = i + 1;
    return KR_OK;
}

/* Edges by graph, each graph's in their order. */
static kr_status split_edges(kr_graphs *g, const int32_t *graph, const int32_t *node, const int32_t *label, const char *what) {
    g->edge = kr_mem_array((size_t)g->n_edges + 1, sizeof *g->edge);
    if (!g->edge || (label && !(g->edge_label = kr_mem_array((size_t)g->n_edges + 1, sizeof *g->edge_label)))) return KR_ERR_NOMEM;
    for (int64_t e = 0; e < g->n_edges; e++) {
        if (node[2 * e] >= g->n_nodes || node[2 * e + 1] >= g->n_nodes || graph[node[2 * e]] != graph[node[2 * e + 1]])
            KR_FAIL(KR_ERR_FORMAT, "%s: edge %lld joins nodes %d and %d, which are not of one graph", what, (long long)e + 1, node[2 * e] + 1, node[2 * e + 1] + 1);
        g->edge_at[graph[node[2 * e]] + 2]++;
    }
    for (int64_t k = 0; k < g->n_graphs; k++) g->edge_at[k + 1] += g->edge_at[k];
    for (int64_t e = 0; e < g->n_edges; e++) {
        int32_t k = graph[node[2 * e]];
        int64_t at = g->edge_at[k + 1]++, from = g->node_at[k];
        g->edge[at][0] = (int32_t)(node[2 * e] - from), g->edge[at][1] = (int32_t)(node[2 * e + 1] - from);
        if (label) g->edge_label[at] = label[e];
    }
    return KR_OK;
}

static kr_status fill_tu(kr_graphs *g, numbers *a, const char *what) {
    int32_t *graph = NULL, *node = NULL, *label = NULL;
    g->n_nodes = a[INDICATOR].rows, g->n_edges = a[EDGES].rows, g->n_attr = a[ATTRIBUTES].x ? a[ATTRIBUTES].columns : 0;
    kr_status st = want_rows(a, EDGES, g->n_edges, 2, "edges", what);
    if (st == KR_OK) st = want_rows(a, INDICATOR, g->n_nodes, 1, "nodes", what);
    if (st == KR_OK) st = want_rows(a, NODE_LABELS, g->n_nodes, 1, "nodes", what);
    if (st == KR_OK) st = want_rows(a, EDGE_LABELS, g->n_edges, 1, "edges", what);
    if (st == KR_OK) st = want_rows(a, ATTRIBUTES, g->n_nodes, 0, "nodes", what);
    if (st == KR_OK) st = whole(&graph, &a[INDICATOR], 1, what, "graph_indicator.txt");
    if (st == KR_OK) st = whole(&node, &a[EDGES], 1, what, "A.txt");
    if (st == KR_OK && a[NODE_LABELS].x) st = whole(&g->node_label, &a[NODE_LABELS], 0, what, "node_labels.txt");
    if (st == KR_OK && a[EDGE_LABELS].x) st = whole(&label, &a[EDGE_LABELS], 0, what, "edge_labels.txt");
    if (st == KR_OK) st = split_nodes(g, graph, what);
    if (st == KR_OK) st = split_edges(g, graph, node, label, what);
    if (st == KR_OK) st = want_rows(a, GRAPH_LABELS, g->n_graphs, 1, "graphs", what);
    kr_mem_free(graph), kr_mem_free(node), kr_mem_free(label);
    KR_TRY(st);
    g->answer = a[GRAPH_LABELS].x, a[GRAPH_LABELS].x = NULL;
    if (!(g->attr = kr_mem_array((size_t)(g->n_nodes * g->n_attr) + 1, sizeof *g->attr))) return KR_ERR_NOMEM;
    for (int64_t i = 0; i < g->n_nodes * g->n_attr; i++) g->attr[i] = (float)a[ATTRIBUTES].x[i];
    return KR_OK;
}

kr_status kr_graphs_read_tu(kr_graphs *g, const uint8_t *p, size_t n, const char *what) {
    numbers a[N_MEMBERS] = {{0}};
    *g = (kr_graphs){0};
    kr_status st = read_members(a, p, n, what);
    if (st == KR_OK) st = fill_tu(g, a, what);
    for (int i = 0; i < N_MEMBERS; i++) kr_mem_free(a[i].x);
    if (st != KR_OK) kr_graphs_free(g);
    return st;
}

/* --- tables of one graph ------------------------------------------------------------------------------- */

enum { ID, CLASS, PART, FEATURES, MOST_FEATURES = 1 << 20 };

static unsigned char part_of(const char *name) {
    return strcmp(name, "train") == 0 ? KR_SPLIT_TRAIN : strcmp(name, "val") == 0 || strcmp(name, "eval") == 0 ? KR_SPLIT_EVAL : strcmp(name, "test") == 0 ? KR_SPLIT_TEST : 255;
}

/* Calls for each feature's index; to NULL: only finds the largest. */
static kr_status read_features(const kr_table *t, int64_t row, int64_t *most, float *to, const char *what) {
    const char *p = kr_table_cell(t, row, FEATURES);
    float n = 0;
    for (const char *q = p; *q;) {
        char *end;
        long long i = strtoll(q, &end, 10);
        if (end == q || i < 0 || i >= MOST_FEATURES) KR_FAIL(KR_ERR_FORMAT, "%s: line %lld: a feature is \"%.20s\", want indices from 0 to %d", what, (long long)t->line[row], q, MOST_FEATURES - 1);
        if (i > *most) *most = i;
        n++;
        if (to) to[i] = 1;
        for (q = end; isspace((unsigned char)*q);) q++;
    }
    for (int64_t i = 0; to && n > 0 && i <= *most; i++) to[i] /= n; /* a row sums to 1, as GCN (Kipf & Welling 2017) has it */
    return KR_OK;
}

static kr_status fill_nodes(kr_graphs *g, const kr_table *t, const char *what) {
    int64_t most = -1;
    if (t->n_columns != 4) KR_FAIL(KR_ERR_FORMAT, "%s: %lld columns, want id, class, part and features", what, (long long)t->n_columns);
    for (int64_t i = 0; i < t->n_rows; i++) KR_TRY(read_features(t, i, &most, NULL, what));
    g->n_graphs = 1, g->n_nodes = t->n_rows, g->n_attr = most + 1;
    size_t n;
    if (__builtin_mul_overflow((size_t)g->n_nodes, (size_t)g->n_attr, &n) || n > (size_t)1 << 30) KR_FAIL(KR_ERR_FORMAT, "%s: %lld nodes of %lld features are too many", what, (long long)g->n_nodes, (long long)g->n_attr);
    g->attr = kr_mem_new((n + 1) * sizeof *g->attr), g->node_part = kr_mem_array((size_t)g->n_nodes + 1, 1);
    g->node_class = kr_mem_array((size_t)g->n_nodes + 1, sizeof *g->node_class);
    g->node_at = kr_mem_new(2 * sizeof *g->node_at), g->edge_at = kr_mem_new(2 * sizeof *g->edge_at);
    if (!g->attr || !g->node_part || !g->node_class || !g->node_at || !g->edge_at) return KR_ERR_NOMEM;
    g->node_at[1] = g->n_nodes;
    for (int64_t i = 0; i < g->n_nodes; i++) {
        int64_t top = most;
        KR_TRY(read_features(t, i, &top, g->attr + i * g->n_attr, what));
        g->node_part[i] = part_of(kr_table_cell(t, i, PART));
        if (!(g->node_class[i] = kr_arena_strdup(&g->classes.arena, kr_table_cell(t, i, CLASS)))) return KR_ERR_NOMEM;
    }
    return KR_OK;
}

typedef struct id_row { const char *id; int32_t row; } id_row;
static int by_id(const void *a, const void *b) { return strcmp(((const id_row *)a)->id, ((const id_row *)b)->id); }

static kr_status fill_edges(kr_graphs *g, const kr_table *nodes, const char *nodes_path, const kr_table *t, const char *what) {
    id_row *ids = kr_mem_array((size_t)g->n_nodes + 1, sizeof *ids);
    kr_status st = ids && (g->edge = kr_mem_array(2 * (size_t)t->n_rows + 2, sizeof *g->edge)) ? KR_OK : KR_ERR_NOMEM;
    if (st == KR_OK && t->n_columns != 2) st = kr_fail(KR_ERR_FORMAT, "%s: %lld columns, want two ids", what, (long long)t->n_columns);
    for (int64_t i = 0; i < g->n_nodes && st == KR_OK; i++) ids[i] = (id_row){kr_table_cell(nodes, i, ID), (int32_t)i};
    if (st == KR_OK) qsort(ids, (size_t)g->n_nodes, sizeof *ids, by_id);
    for (int64_t i = 1; i < g->n_nodes && st == KR_OK; i++)
        if (by_id(&ids[i - 1], &ids[i]) == 0) {
            int64_t a = nodes->line[ids[i - 1].row], b = nodes->line[ids[i].row];
            st = kr_fail(KR_ERR_FORMAT, "%s: lines %lld and %lld: two nodes are called \"%.30s\"", nodes_path, (long long)(a < b ? a : b), (long long)(a < b ? b : a), ids[i].id);
        }
    for (int64_t e = 0; e < t->n_rows && st == KR_OK; e++) {
        id_row key[2] = {{kr_table_cell(t, e, 0), 0}, {kr_table_cell(t, e, 1), 0}};
        const id_row *a = bsearch(&key[0], ids, (size_t)g->n_nodes, sizeof *ids, by_id), *b = bsearch(&key[1], ids, (size_t)g->n_nodes, sizeof *ids, by_id);
        if (!a || !b) st = kr_fail(KR_ERR_FORMAT, "%s: line %lld: \"%.30s\" is no node", what, (long long)t->line[e], a ? key[1].id : key[0].id);
        for (int back = 0; back < 2 && st == KR_OK; back++, g->n_edges++) { /* both ways */
            g->edge[g->n_edges][back] = a->row;
            g->edge[g->n_edges][!back] = b->row;
        }
    }
    kr_mem_free(ids);
    if (st == KR_OK) g->edge_at[1] = g->n_edges;
    return st;
}

kr_status kr_graphs_read_tables(kr_graphs *g, const char *nodes_path) {
    const char *at = strstr(nodes_path, ".nodes.");
    char edges_path[4096];
    kr_table nodes = {0}, edges = {0};
    *g = (kr_graphs){0};
    if (!at || strlen(nodes_path) >= sizeof edges_path) KR_FAIL(KR_ERR_FORMAT, "%s: neither a .zip of TU nor a .nodes.tsv", nodes_path);
    snprintf(edges_path, sizeof edges_path, "%.*s.edges.%s", (int)(at - nodes_path), nodes_path, at + strlen(".nodes."));
    KR_TRY(kr_decode_table(&nodes, nodes_path));
    kr_status st = fill_nodes(g, &nodes, nodes_path);
    if (st == KR_OK) st = kr_decode_table(&edges, edges_path);
    if (st == KR_OK) st = fill_edges(g, &nodes, nodes_path, &edges, edges_path);
    kr_table_free(&nodes), kr_table_free(&edges);
    if (st != KR_OK) kr_graphs_free(g);
    return st;
}

/* --- positions ---------------------------------------------------------------------------------------- */

kr_status kr_graphs_walks(const kr_graphs *g, int64_t graph, int64_t K, float *to, const char *what) {
    int64_t n = g->node_at[graph + 1] - g->node_at[graph], from = g->edge_at[graph], edges = g->edge_at[graph + 1] - from;
    if ((double)n * (double)(edges + n) * (double)K > 2e10) KR_FAIL(KR_ERR_CONFIG, "%s: walks over a graph of %lld nodes and %lld edges take too long; set data.walk_steps=0", what, (long long)n, (long long)edges);
    double *p = kr_mem_new(3 * (size_t)n * sizeof *p), *q = p + n, *degree = p + 2 * n;
    if (!p) return KR_ERR_NOMEM;
    for (int64_t e = 0; e < edges; e++) degree[g->edge[from + e][0]]++;
    for (int64_t i = 0; i < n; i++) {
        memset(p, 0, (size_t)n * sizeof *p);
        p[i] = 1;
        for (int64_t k = 0; k < K; k++) {
            memset(q, 0, (size_t)n * sizeof *q);
            for (int64_t e = 0; e < edges; e++) q[g->edge[from + e][1]] += p[g->edge[from + e][0]] / degree[g->edge[from + e][0]];
            memcpy(p, q, (size_t)n * sizeof *p);
            to[i * K + k] = (float)p[i];
        }
    }
    kr_mem_free(p);
    return KR_OK;
}
