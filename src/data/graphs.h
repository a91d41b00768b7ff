/* graphs.h - graphs out of files: TU archives (Morris et al. 2020) of many, tables of nodes and edges of one.
 *
 *   NAME.zip         *_A.txt (edges "1, 2"), *_graph_indicator.txt, and if they are there *_graph_labels.txt,
 *                    *_node_labels.txt, *_edge_labels.txt, *_node_attributes.txt
 *   NAME.nodes.tsv   a line a node: id, class, part (train, val, test or another word), indices of features that it has
 *   NAME.edges.tsv   beside it, a line an edge: two ids
 *
 * Tables may begin with a line of names, and must if their ids are no numbers. */
#ifndef KR_DATA_GRAPHS_H
#define KR_DATA_GRAPHS_H
#include "base/file.h"

typedef struct kr_graphs {
    int64_t n_graphs, n_nodes, n_edges, n_attr;
    int64_t *node_at, *edge_at;      /* [n_graphs + 1] where those of a graph begin */
    int32_t (*edge)[2];              /* [n_edges] from, to: nodes of its graph, from 0; an edge both ways stands twice */
    int32_t *node_label, *edge_label; /* from 0; NULL: none */
    float *attr;                     /* [n_nodes, n_attr] */
    double *answer;                  /* of graphs; NULL: not known */
    char **node_class;               /* [n_nodes], of a table of nodes; else NULL */
    unsigned char *node_part;        /* [n_nodes] a kr_split, or 255 */
    kr_file_list classes;            /* owns the names */
} kr_graphs;

kr_status kr_graphs_read_tu(kr_graphs *g, const uint8_t *p, size_t n, const char *what);
kr_status kr_graphs_read_tables(kr_graphs *g, const char *nodes_path);
void kr_graphs_free(kr_graphs *g);
/* Chances to be back where one began after 1 .. K steps of a random walk, to [nodes, K]. */
kr_status kr_graphs_walks(const kr_graphs *g, int64_t graph, int64_t K, float *to, const char *what);
#endif
