/* fuzz_graphs.c - archives of any bytes as graphs: refused with a sentence, or every index is of its graph. */
#include "fuzz.h"

#include <string.h>

#include "base/mem.h"
#include "data/graphs.h"

/* Members of the same archive: name, text, name, text, ... */
static const char *const seeds[][12] = {
    {"R/R_A.txt", "1, 2\n2, 1\n3,4\n", "R/R_graph_indicator.txt", "1\n1\n2\n2\n", "R/R_graph_labels.txt", "1\n-1\n", "R/R_node_labels.txt", "0\n1\n0\n5\n", "R/R_edge_labels.txt", "0\n1\n0\n"},
    {"_A.txt", "1 1", "_graph_indicator.txt", "1", "_node_attributes.txt", "0.5, 1e3, -2\n"},
};
const long fuzz_inputs = 250000;
const char *const fuzz_words[] = {"PK\3\4", "_A.txt", "_graph_indicator.txt", "_graph_labels.txt", "1, 2\n", "\n", ",", "1e9", "-1", "nan", "2147483648", NULL};

size_t fuzz_seed(int i, uint8_t *to, size_t room) {
    size_t at = 0;
    if (i >= (int)(sizeof seeds / sizeof *seeds)) return 0;
    for (int k = 0; k + 1 < 12 && seeds[i][k]; k += 2) {
        size_t name = strlen(seeds[i][k]), n = strlen(seeds[i][k + 1]);
        FUZZ_MUST(at + 30 + name + n <= room);
        memset(to + at, 0, 30);
        memcpy(to + at, "PK\3\4", 4);
        to[at + 18] = to[at + 22] = (uint8_t)n, to[at + 26] = (uint8_t)name;
        memcpy(to + at + 30, seeds[i][k], name);
        memcpy(to + at + 30 + name, seeds[i][k + 1], n);
        at += 30 + name + n;
    }
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    int64_t live = kr_mem_get_stats().n_live;
    kr_graphs g;
    kr_status st = kr_graphs_read_tu(&g, data, n, "a.zip");
    if (st == KR_OK) {
        FUZZ_MUST(g.n_graphs >= 1 && g.node_at[0] == 0 && g.node_at[g.n_graphs] == g.n_nodes && g.edge_at[g.n_graphs] == g.n_edges);
        for (int64_t k = 0; k < g.n_graphs; k++) {
            int64_t nodes = g.node_at[k + 1] - g.node_at[k];
            FUZZ_MUST(nodes >= 1 && g.edge_at[k] <= g.edge_at[k + 1]);
            for (int64_t e = g.edge_at[k]; e < g.edge_at[k + 1]; e++)
                for (int side = 0; side < 2; side++) FUZZ_MUST(g.edge[e][side] >= 0 && g.edge[e][side] < nodes);
        }
        kr_graphs_free(&g);
    } else {
        FUZZ_MUST(strncmp(kr_error(), "a.zip", 5) == 0 || st == KR_ERR_NOMEM);
    }
    FUZZ_MUST(kr_mem_get_stats().n_live == live);
    return 0;
}
