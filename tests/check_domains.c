/* check_domains.c - kinds of data with a shape of their own, from files to answers: items that users
 * took, molecules, graphs, points, clips. */
#include "base/png.h"
#include "data_case.h"
#include "data/smiles.h"

typedef struct answers { int n, right; char name[100]; } answers;

static kr_source *open_source(const char *text, int64_t S, const json_t *fitted, bool predict) {
    json_t *j;
    kr_source *s;
    char data[1000];
    snprintf(data, sizeof data, "%s", text);
    for (char *p = data; *p; p++) *p = *p == '\'' ? '"' : *p;
    if (kr_json_parse(&j, data, strlen(data), "data") != KR_OK || kr_source_open(&s, &(kr_source_options){.data = j, .S = S, .seed = 1, .fitted = fitted, .predict = predict}) != KR_OK)
        fail_msg("%s", kr_error());
    json_decref(j);
    return s;
}

/* --- items ---------------------------------------------------------------------------------------- */

enum { L = 4 };
typedef struct rows { int32_t ids[8 * L], targets[8 * L], seq_idx[8 * L], len[8]; } rows;

static kr_batch batch_of(rows *r, int64_t S) {
    return (kr_batch){.S = S, .L = L, .ids = r->ids, .targets = r->targets, .seq_idx = r->seq_idx, .len = r->len};
}

/* Who is held out sees all before, and nothing that is held out is learnt. */
static void items_rows(void **state) {
    static const char lists[] = "u1 a b c d e f g\r\nu2  b a\n\nu3 c b a\n", pairs[] = "u1 a\nu1 b\nu3 c\nu1 c\nu2 b\nu1 d\nu2 a\nu1 e\nu3 b\nu1 f\nu1 g\nu3 a\n";
    static const char table[] = "who,what\nu1,a b\nu1,c\nu2,b\nu1,d e f g\nu2,a\nu3,c b a\n";
    static const char *const data[] = {"{'kind': 'items', 'paths': 'lists.txt', 'length': 4}", "{'kind': 'items', 'paths': 'pairs.txt', 'length': 4}",
                                       "{'kind': 'items', 'paths': 'table.csv', 'length': 4, 'user': 'who', 'items': 'what'}"};
    (void)state;
    write_bytes("lists.txt", lists, sizeof lists - 1), write_bytes("pairs.txt", pairs, sizeof pairs - 1), write_bytes("table.csv", table, sizeof table - 1);
    for (int k = 0; k < 3; k++) {
        rows r;
        kr_source *s = open_source(data[k], 2, NULL, false);
        const kr_source_info *i = kr_source_get_info(s);
        kr_batch b = batch_of(&r, 2);
        int a = -1, n_pairs = 0;
        assert_int_equal(i->vocab_size, 7);
        assert_true(i->n_eval == 2 && i->n_test == 2 && i->n_targets == L && kr_source_held_targets(i) == 1);
        for (int v = 0; v < 7; v++)
            if (strcmp(kr_source_label(s, v), "a") == 0) a = v;
        assert_int_equal(a, 0);
        /* to train on: u1 a b c d e, u2 b a; c alone of u3 tells nothing */
        assert_int_equal(kr_source_batch(s, KR_SPLIT_TRAIN, 0, &b), KR_OK);
        for (int l = 0; l < 2 * L; l++) {
            if (r.targets[l] < 0) continue;
            n_pairs++;
            bool first = l % L == 0 || r.seq_idx[l] != r.seq_idx[l - 1];
            if (!first) assert_int_equal(r.ids[l], r.targets[l - 1]);
            assert_string_not_equal(kr_source_label(s, r.targets[l]), "f");
            assert_string_not_equal(kr_source_label(s, r.targets[l]), "g");
        }
        assert_int_equal(n_pairs, 5);
        /* EVAL: u1 b c d e -> f, u3 c -> b; TEST: u1 c d e f -> g, u3 c b -> a */
        for (int split = KR_SPLIT_EVAL; split <= KR_SPLIT_TEST; split++) {
            assert_int_equal(kr_source_batch(s, (kr_split)split, 0, &b), KR_OK);
            assert_int_equal(b.n_rows, 2);
            int u1 = r.len[0] == L ? 0 : 1;
            assert_int_equal(r.len[!u1], split == KR_SPLIT_EVAL ? 1 : 2);
            assert_string_equal(kr_source_label(s, r.targets[u1]), split == KR_SPLIT_EVAL ? "f" : "g");
            assert_string_equal(kr_source_label(s, r.targets[!u1]), split == KR_SPLIT_EVAL ? "b" : "a");
            assert_string_equal(kr_source_label(s, r.ids[u1 * L]), split == KR_SPLIT_EVAL ? "b" : "c");
            assert_string_equal(kr_source_label(s, r.ids[u1 * L + 3]), split == KR_SPLIT_EVAL ? "e" : "f");
        }
        /* to predict: all of the past, what is not known left out */
        static const char some[] = "v a b zzz c\n";
        write_bytes("new.txt", some, sizeof some - 1);
        kr_source *p = open_source("{'kind': 'items', 'paths': 'new.txt', 'length': 4}", 1, kr_source_learnt(s), true);
        b = batch_of(&r, 1);
        assert_int_equal(kr_source_batch(p, KR_SPLIT_EVAL, 0, &b), KR_OK);
        assert_int_equal(r.len[0], 3);
        assert_string_equal(kr_source_label(p, r.ids[2]), "c");
        kr_source_close(p), kr_source_close(s);
    }
    write_bytes("none.txt", "x q r s\n", 8);
    refuse("{'data': {'kind': 'items', 'paths': 'none.csv'}}", "none.csv");
    refuse("{'data': {'kind': 'items', 'paths': 'table.csv'}}", "there is no column \"user\"");
}

/* Everyone takes the things of a round table in turn, from anywhere. */
enum { THINGS = 12 };
static kr_status is_next(void *user, const kr_answer *a) {
    answers *all = user;
    assert_int_equal(a->kind, KR_ANSWER_RANKED);
    assert_int_equal(a->n, THINGS);
    assert_string_equal(a->name, all->n ? "ask.txt:2" : "ask.txt:1");
    all->right += strcmp(a->label[a->best], all->n ? "t2" : "t9") == 0;
    all->n++;
    return KR_OK;
}
static void items(void **state) {
    kr_model *m;
    kr_eval_source_result r;
    kr_str s = {0};
    answers all = {0};
    const char *const files[] = {"ask.txt"};
    (void)state;
    for (int u = 0; u < 60; u++) {
        kr_str_appendf(&s, "user%d", u);
        for (int k = 0; k < 3 + u % 9; k++) kr_str_appendf(&s, " t%d", (u * 5 + k) % THINGS);
        kr_str_append(&s, "\n");
    }
    write_bytes("took.txt", s.text, s.n);
    kr_str_free(&s);
    write_bytes("ask.txt", "me t6 t7 t8\nyou t0 t1\n", 22);
#define ITEMS "'data': {'kind': 'items', 'paths': 'took.txt', 'length': 10}"
#define ONE "'d_model': 16, 'n_layer': 1, 'mixer': {'type': 'mamba1', 'd_state': 4}"
    train("{'model': {" ONE ", 'tie_embeddings': true}, " ITEMS ", 'train': {'out': 'm', 'overwrite': true, 'batch_size': 16, 'steps': 150, 'lr': 0.02, 'warmup_steps': 5,"
          " 'eval_every': 0, 'eval_batches': 100, 'log_every': 1000, 'embedding_dropout': 0.1, 'dropout': 0.1}}");
    assert_true(last_metric > 0.9);
    if (kr_model_open(&m, "m", NULL) != KR_OK) fail_msg("%s", kr_error());
    if (kr_predict(m, files, 1, is_next, &all) != KR_OK) fail_msg("%s", kr_error());
    assert_true(all.n == 2 && all.right == 2);
    if (kr_eval_source(m, "{\"data\": {\"kind\": \"items\", \"paths\": \"took.txt\", \"length\": 10}}", 0, true, &r) != KR_OK) fail_msg("%s", kr_error());
    assert_true(r.n_rows == 60 && r.n_scored == 60 && r.metric > 0.9);
    assert_string_equal(r.metric_name, "ndcg@10");
    if (kr_eval_source(m, "{\"data\": {\"kind\": \"items\", \"paths\": \"took.txt\", \"length\": 10, \"at\": \"3,20\"}}", 0, true, &r) != KR_OK) fail_msg("%s", kr_error());
    assert_string_equal(r.metric_name, "ndcg@3");
    assert_true(r.metric > 0.9);
    kr_model_free(m);
    refuse("{'model': {" ONE "}, 'data': {'kind': 'items', 'paths': 'took.txt', 'at': '10,0'}}", "data.at is \"10,0\"");
    refuse("{'model': {" ONE ", 'order': {'type': 'bidirectional'}}, " ITEMS "}", "sees later steps, and these are what the data \"items\" ask for");
}

/* --- molecules ------------------------------------------------------------------------------------ */

/* As many signs as `want` has words, and the same ids where words are the same. */
static void signs(void **state) {
    static const char *const cases[][2] = {
        {"CCO", "C C O"}, {"ClCBr", "Cl C Br"}, {"CSc1ccccc1", "C S c 1 c c c c c 1"}, {"[Sc+3]", "[ Sc + 3 ]"}, {"c1c[se]cn1", "c 1 c [ se ] c n 1"},
        {"[nH]1cc1", "[ n H ] 1 c c 1"}, {"C[C@@H](N)C(=O)O", "C [ C @@ H ] ( N ) C ( = O ) O"}, {"[C@H]", "[ C @ H ]"}, {"F/C=C\\F", "F / C = C \\ F"},
        {"C%12CC%12", "C %12 C C %12"}, {"C%1", "C ? 1"}, {"[13CH4]", "[ 1 3 C H 4 ]"}, {"COCNCCo", "C O C N C C o"}, {"[Co]", "[ Co ]"}, {"C1:C:C:1 \t", "C 1 : C : C : 1"},
        {"[Na+].[Cl-]", "[ Na + ] . [ Cl - ]"}, {"Xe", "? ?"}, {"", ""}};
    enum { OTHER = 2, FROM = 3, MOST = 40 };
    struct { char word[4]; unsigned char id; } known[100];
    int n_known = 0;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char id[MOST];
        int64_t n = kr_smiles_read(cases[i][0], FROM, OTHER, id), k = 0;
        assert_int_equal(kr_smiles_read(cases[i][0], FROM, OTHER, NULL), n);
        for (const char *p = cases[i][1]; *p; k++) {
            char word[4];
            int used = 0;
            assert_int_equal(sscanf(p, "%3s%n", word, &used), 1);
            p += used + (p[used] == ' ');
            assert_true(k < n);
            if (strcmp(word, "?") == 0) {
                assert_int_equal(id[k], OTHER);
                continue;
            }
            assert_true(id[k] >= FROM && id[k] < FROM + KR_SMILES_SIGNS);
            int w = 0;
            while (w < n_known && strcmp(known[w].word, word) != 0 && known[w].id != id[k]) w++;
            if (w == n_known) memcpy(known[w].word, word, sizeof word), known[n_known++].id = id[k];
            if (strcmp(known[w].word, word) != 0 || known[w].id != id[k]) fail_msg("%s: %s and %s", cases[i][0], word, known[w].word);
        }
        if (k != n) fail_msg("%s has %d signs, want %d", cases[i][0], (int)n, (int)k);
    }
}

static kr_status keep_names(void *user, const kr_answer *a) {
    answers *all = user;
    assert_int_equal(a->kind, KR_ANSWER_NUMBERS);
    assert_int_equal(a->n, 2);
    assert_string_equal(a->label[1], all->right ? "halogen" : "carbons");
    all->n++;
    return KR_OK;
}
/* Chains: how many carbons, whether there is a chlorine; half of the answers are not known. */
static void molecules(void **state) {
    kr_model *m;
    kr_eval_source_result r;
    kr_str s = {0};
    kr_rng g = {11, 3, 0};
    const char *const files[] = {"new.smi"};
    (void)state;
    kr_str_append(&s, "smiles,atoms,carbons,ring,halogen\n");
    for (int i = 0; i < 160; i++) {
        int n = 1 + (int)kr_rng_below(&g, 8), ring = (int)kr_rng_below(&g, 2), cl = (int)kr_rng_below(&g, 2);
        kr_str_append(&s, ring ? "C1CC1" : "");
        for (int k = 0; k < n; k++) kr_str_append(&s, "C");
        kr_str_appendf(&s, "%s,%d,", cl ? "Cl" : "Br", n + 3 * ring + 1);
        kr_str_appendf(&s, kr_rng_below(&g, 2) ? "%d," : ",", 100 * (n + 3 * ring));
        kr_str_appendf(&s, kr_rng_below(&g, 2) ? "%d," : ",", ring);
        kr_str_appendf(&s, kr_rng_below(&g, 2) ? "%d\n" : "\n", cl);
    }
    write_bytes("mol.csv", s.text, s.n);
    kr_str_free(&s);
    write_bytes("new.smi", "CCCl chloroethane\nC1CC1CBr\n", 27);
#define MOL(keys) "'data': {'kind': 'sequence', 'alphabet': 'smiles', 'paths': 'mol.csv', 'sequence': 'smiles', 'eval_fraction': 0.2, " keys "}"
#define LEARN "'train': {'out': 'm', 'overwrite': true, 'batch_size': 16, 'steps': 150, 'lr': 0.01, 'warmup_steps': 5, 'eval_every': 0, 'eval_batches': 100, 'log_every': 1000}"
#define TWO "'model': {'d_model': 16, 'n_layer': 1, 'order': {'type': 'bidirectional'}, 'mixer': {'type': 'mamba1', 'd_state': 4}, 'head': {'pool': 'mean'}}"
    train("{" TWO ", " MOL("'task': 'regress', 'label': ['atoms', 'carbons']") ", " LEARN "}");
    if (last_metric > 5000) fail_msg("a mean square error of %g", last_metric); /* of a variance of some 40000, carbons count 100 each */
    answers all = {0};
    if (kr_model_open(&m, "m", NULL) != KR_OK) fail_msg("%s", kr_error());
    if (kr_predict(m, files, 1, keep_names, &all) != KR_OK) fail_msg("%s", kr_error());
    assert_int_equal(all.n, 2);
    kr_model_free(m);
    train("{" TWO ", " MOL("'task': 'class', 'label': ['ring', 'halogen']") ", " LEARN "}");
    assert_true(last_metric > 0.95); /* the mean of two AUROC */
    if (kr_model_open(&m, "m", NULL) != KR_OK) fail_msg("%s", kr_error());
    all = (answers){.right = 1};
    if (kr_predict(m, files, 1, keep_names, &all) != KR_OK) fail_msg("%s", kr_error());
    if (kr_eval_source(m, "{\"data\": {\"kind\": \"sequence\", \"alphabet\": \"smiles\", \"paths\": \"mol.csv\", \"sequence\": \"smiles\", \"label\": [\"ring\", \"halogen\"], \"eval_fraction\": 0.2}}", 0, false, &r) != KR_OK)
        fail_msg("%s", kr_error());
    assert_true(fabs(r.metric - last_metric) < 1e-9);
    assert_true(r.n_rows == 32 && r.n_scored < 50 && r.n_scored > 15); /* about half of 64 answers */
    kr_model_free(m);
    refuse("{" TWO ", " MOL("'label': ['ring', 'atoms']") "}", "atoms is \"");
    refuse("{" TWO ", " MOL("'task': 'regress', 'label': 'carbons'") "}", "carbons is \"\", want a number");
}

/* --- graphs --------------------------------------------------------------------------------------- */

static void add_member(kr_str *zip, const char *name, const kr_str *text) {
    const size_t n = text->n, len = strlen(name);
    const char head[30] = {'P', 'K', 3, 4, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, (char)n, (char)(n >> 8), (char)(n >> 16), 0, (char)n, (char)(n >> 8), (char)(n >> 16), 0, (char)len, 0, 0, 0};
    kr_str_append_n(zip, head, sizeof head);
    kr_str_append(zip, name);
    kr_str_append_n(zip, text->text, n);
}

/* Rings (class 1) and paths (class -1) of 4 to 8 nodes, with labels that say nothing. */
static void write_rings(const char *path, int n_graphs, bool labels, const char *spoil) {
    kr_str edges = {0}, graph = {0}, class = {0}, node = {0}, edge = {0}, zip = {0};
    kr_rng r = {5, 9, 0};
    for (int g = 0, first = 1; g < n_graphs; g++) {
        int n = 4 + (int)kr_rng_below(&r, 5), ring = g % 2;
        kr_str_appendf(&class, "%d\n", ring ? 1 : -1);
        for (int i = 0; i < n; i++) {
            kr_str_appendf(&graph, "%d\n", g + 1);
            kr_str_appendf(&node, "%d\n", (int)kr_rng_below(&r, 3));
            if (i == n - 1 && !ring) break;
            int a = first + i, b = first + (i + 1) % n;
            kr_str_appendf(&edges, "%d, %d\n%d, %d\n", a, b, b, a);
            kr_str_append(&edge, "0\n1\n");
        }
        first += n;
    }
    kr_str_append(&edges, spoil);
    add_member(&zip, "R/R_A.txt", &edges), add_member(&zip, "R/R_graph_indicator.txt", &graph);
    if (labels) add_member(&zip, "R/R_graph_labels.txt", &class);
    add_member(&zip, "R/R_node_labels.txt", &node), add_member(&zip, "R/R_edge_labels.txt", &edge);
    write_bytes(path, zip.text, zip.n);
    kr_str_free(&edges), kr_str_free(&graph), kr_str_free(&class), kr_str_free(&node), kr_str_free(&edge), kr_str_free(&zip);
}

static kr_status is_ring(void *user, const kr_answer *a) {
    answers *all = user;
    assert_int_equal(a->kind, KR_ANSWER_CLASS);
    all->right += strcmp(a->label[a->best], all->n % 2 ? "1" : "-1") == 0;
    all->n++;
    return KR_OK;
}

/* The edges of a row join the nodes that they join in the file: ends of a path have one, others two. */
static void graph_rows(const char *data) {
    enum { W = 3 + 1 + 2 };
    kr_source *s = open_source(data, 1, NULL, false);
    const kr_source_info *i = kr_source_get_info(s);
    assert_int_equal(i->x_width, W);
    assert_true(i->L == 8 && i->n_edges == 16 && i->edge_width == 2 && i->n_eval == 6);
    float *x = malloc((size_t)(i->L * W) * sizeof *x), *e = malloc((size_t)(i->n_edges * 2) * sizeof *e);
    int32_t from[16], to[16], target, len;
    kr_batch b = {.S = 1, .L = i->L, .x = x, .targets = &target, .len = &len, .edge_from = from, .edge_to = to, .e = e};
    for (int step = 0; step < 20; step++) {
        int degree[8] = {0}, n_edges = 0;
        assert_int_equal(kr_source_batch(s, KR_SPLIT_TRAIN, step, &b), KR_OK);
        for (int j = 0; j < 16; j++) {
            assert_true((from[j] < 0) == (to[j] < 0) && from[j] < len && to[j] < len);
            if (from[j] >= 0) degree[from[j]]++, n_edges++;
        }
        assert_int_equal(n_edges, 2 * (len - (strcmp(kr_source_label(s, target), "-1") == 0)));
        for (int l = 0; l < 8; l++) {
            assert_true(fabs(x[l * W + 3] - log1p(degree[l])) < 1e-6);
            assert_true(x[l * W + 4] == 0 && x[l * W] + x[l * W + 1] + x[l * W + 2] == (l < len));
            if (l && l < len) assert_true(degree[l] >= degree[l - 1]); /* hubs last */
            if (l < len && degree[l] == 2 && n_edges == 2 * len && len > 4) assert_true(fabs(x[l * W + 5] - .5) < 1e-6); /* in a ring half of the walks of two steps come back */
        }
    }
    free(x), free(e);
    kr_source_close(s);
}

/* The same graphs as without, their edges between other steps; a batch asked again is the same; what is held out stays. */
static void ties_are_drawn_anew(void) {
    enum { S = 54, J = 16 };
    kr_source *s = open_source("{'kind': 'graph', 'paths': 'rings.zip', 'walk_steps': 2, 'redraw': true}", S, NULL, false), *plain = open_source("{'kind': 'graph', 'paths': 'rings.zip', 'walk_steps': 2}", S, NULL, false);
    const kr_source_info *i = kr_source_get_info(s);
    float *x = malloc((size_t)(S * i->L * i->x_width) * sizeof *x);
    int32_t from[3][S * J], to[S * J], target[S];
    kr_batch b = {.S = S, .L = i->L, .x = x, .targets = target, .edge_to = to};
    for (int k = 0; k < 3; k++) {
        b.edge_from = from[k];
        assert_int_equal(kr_source_batch(k == 2 ? plain : s, KR_SPLIT_TRAIN, 0, &b), KR_OK);
    }
    assert_memory_equal(from[0], from[1], sizeof from[0]);
    assert_memory_not_equal(from[0], from[2], sizeof from[0]);
    for (int k = 0; k < 2; k++) {
        b.edge_from = from[k];
        assert_int_equal(kr_source_batch(k ? plain : s, KR_SPLIT_EVAL, 0, &b), KR_OK);
    }
    assert_memory_equal(from[0], from[1], sizeof from[0]);
    free(x);
    kr_source_close(s), kr_source_close(plain);
}

/* Draw 0 of what is held out is as ever, the others are the same graphs otherwise; a draw asked again is the same. */
static void draws_differ(void) {
    enum { S = 6, J = 16 };
    kr_source *s = open_source("{'kind': 'graph', 'paths': 'rings.zip', 'walk_steps': 2, 'draws': 4}", S, NULL, false), *plain = open_source("{'kind': 'graph', 'paths': 'rings.zip', 'walk_steps': 2}", S, NULL, false);
    const kr_source_info *i = kr_source_get_info(s);
    float *x = malloc((size_t)(S * i->L * i->x_width) * sizeof *x);
    int32_t from[6][S * J], to[S * J], target[6][S], place[S];
    kr_batch b = {.S = S, .L = i->L, .x = x, .edge_to = to, .place = place};
    assert_true(i->n_draws == 4 && kr_source_get_info(plain)->n_draws <= 1);
    for (int k = 0; k < 6; k++) {
        b.edge_from = from[k], b.targets = target[k], b.draw = k < 4 ? k : k == 4 ? 3 : 0;
        assert_int_equal(kr_source_batch(k == 5 ? plain : s, KR_SPLIT_EVAL, 0, &b), KR_OK);
        assert_memory_equal(target[k], target[0], sizeof target[0]);
        for (int r = 0; r < S; r++) assert_int_equal(place[r], 0);
        for (int j = 0; j < k && k < 4; j++) assert_memory_not_equal(from[k], from[j], sizeof from[0]);
    }
    assert_memory_equal(from[4], from[3], sizeof from[0]);
    assert_memory_equal(from[5], from[0], sizeof from[0]);
    b.draw = 4;
    assert_int_equal(kr_source_batch(s, KR_SPLIT_EVAL, 0, &b), KR_ERR_ARG);
    free(x);
    kr_source_close(s), kr_source_close(plain);
}

/* A graph that asks for orders of nodes for two layers, `draws` each. */
static kr_graph *with_ties(kr_params **params, int64_t n, int draws) {
    kr_graph *g;
    assert_int_equal(kr_params_new(params, KR_F32, NULL), KR_OK);
    assert_int_equal(kr_graph_new(&g, *params, &(kr_graph_options){.n_threads = 1}), KR_OK);
    kr_input(g, "tie.0", KR_I32, 2, KR_DIMS(n, draws * 8)), kr_input(g, "tie.1", KR_I32, 2, KR_DIMS(n, draws * 8));
    if (kr_graph_plan(g) != KR_OK || kr_graph_alloc(g) != KR_OK) fail_msg("%s", kr_error());
    return g;
}

/* Every order has each step once, padding where it was, and hubs last; the first to score with is that of the row, all others are drawn. */
static void layers_draw_ties(void) {
    enum { S = 6, J = 16, K = 3, W = 6 };
    kr_source *s = open_source("{'kind': 'graph', 'paths': 'rings.zip', 'walk_steps': 2}", S, NULL, false);
    float x[S * 8 * W];
    int32_t from[S * J], to[S * J], target[S], len[S], was[2][S * K * 8];
    assert_true(kr_source_get_info(s)->L == 8 && kr_source_get_info(s)->x_width == W);
    for (int train = 0; train < 2; train++) {
        int draws = train ? 1 : K, moved = 0;
        kr_params *params;
        kr_graph *g = with_ties(&params, S, draws);
        kr_batch b = {.S = S, .L = 8, .x = x, .targets = target, .len = len, .edge_from = from, .edge_to = to, .ties = g};
        for (int again = 0; again < 2; again++) {
            assert_int_equal(kr_source_batch(s, train ? KR_SPLIT_TRAIN : KR_SPLIT_EVAL, 0, &b), KR_OK);
            for (int i = 0; i < 2; i++) {
                const int32_t *tie = kr_graph_data(g, i ? "tie.1" : "tie.0");
                if (again) assert_memory_equal(tie, was[i], (size_t)(S * draws * 8) * sizeof *tie);
                memcpy(was[i], tie, (size_t)(S * draws * 8) * sizeof *tie);
            }
        }
        for (int i = 0; i < 2 * S * draws; i++) {
            const int32_t *tie = was[i / (S * draws)] + i % (S * draws) * 8;
            const float *row = x + i % (S * draws) / draws * 8 * W;
            int seen = 0, n = len[i % (S * draws) / draws], stays = 1;
            for (int l = 0; l < 8; l++) {
                seen |= 1 << tie[l], stays &= tie[l] == l;
                assert_true(l < n || tie[l] == l);
                if (l && l < n) assert_true(row[tie[l] * W + 3] >= row[tie[l - 1] * W + 3]);
            }
            assert_int_equal(seen, 255);
            if (!train && i % draws == 0) assert_true(stays);
            moved += !stays;
        }
        assert_true(moved > (train ? S : 2 * S)); /* a ring of eight stands as it did once in 8! times */
        assert_memory_not_equal(was[0], was[1], (size_t)(S * draws * 8) * sizeof *was[0]);
        kr_graph_free(g);
        kr_params_free(params);
    }
    kr_source_close(s);
}

/* A score is that of the mean over the draws, so its loss is another. */
static void draws_are_scored(void) {
    kr_eval_source_result one, all;
    kr_model *m;
    if (kr_model_open(&m, "m", NULL) != KR_OK) fail_msg("%s", kr_error());
    assert_int_equal(kr_eval_source(m, "{\"data\": {\"kind\": \"graph\", \"paths\": \"rings.zip\", \"eval_fraction\": 0.2}}", 0, false, &one), KR_OK);
    if (kr_eval_source(m, "{\"data\": {\"kind\": \"graph\", \"paths\": \"rings.zip\", \"eval_fraction\": 0.2, \"draws\": 5}}", 0, false, &all) != KR_OK) fail_msg("%s", kr_error());
    assert_true(all.n_scored == one.n_scored && all.metric >= 0.9);
    if (!(all.loss != one.loss && all.loss < 2 * one.loss + 0.1)) fail_msg("a loss of %g, of the mean of five draws %g", one.loss, all.loss);
    kr_model_free(m);
}

static void graphs(void **state) {
    kr_model *m;
    answers all = {0};
    const char *const files[] = {"new.zip"};
    (void)state;
    write_rings("rings.zip", 60, true, "");
    write_rings("new.zip", 40, false, "");
    graph_rows("{'kind': 'graph', 'paths': 'rings.zip', 'walk_steps': 2}");
    graph_rows("{'kind': 'graph', 'paths': 'rings.zip', 'walk_steps': 2, 'redraw': true}");
    ties_are_drawn_anew();
    draws_differ();
    layers_draw_ties();
#define GCN "'model': {'d_model': 16, 'n_layer': 2, 'layers': ['gatedgcn&mixer+mlp'], 'mixer': {'type': 'mamba1', 'd_state': 4}}"
    train("{" GCN ", 'data': {'kind': 'graph', 'paths': 'rings.zip', 'eval_fraction': 0.2}, " LEARN "}");
    if (last_metric < 0.9) fail_msg("%g of the rings and paths are told apart", last_metric);
    if (kr_model_open(&m, "m", NULL) != KR_OK) fail_msg("%s", kr_error());
    if (kr_predict(m, files, 1, is_ring, &all) != KR_OK) fail_msg("%s", kr_error());
    assert_true(all.n == 40 && all.right > 36);
    kr_model_free(m);
    draws_are_scored();
    train("{" GCN ", 'data': {'kind': 'graph', 'paths': 'rings.zip', 'eval_fraction': 0.2, 'redraw': true, 'draws': 5}, " LEARN "}"); /* and so for answers */
    assert_true(last_metric >= 0.9);
    all = (answers){0};
    if (kr_model_open(&m, "m", NULL) != KR_OK || kr_predict(m, files, 1, is_ring, &all) != KR_OK) fail_msg("%s", kr_error());
    assert_true(all.n == 40 && all.right > 36);
    kr_model_free(m);
    train("{'model': {'d_model': 16, 'n_layer': 2, 'layers': ['gatedgcn&mixer+mlp'], 'mixer': {'type': 'mamba1', 'd_state': 4}, 'order': {'type': 'ties'}},"
          " 'data': {'kind': 'graph', 'paths': 'rings.zip', 'eval_fraction': 0.2}, " LEARN "}"); /* in each layer */
    assert_true(last_metric >= 0.9);
    all = (answers){0};
    if (kr_model_open(&m, "m", NULL) != KR_OK || kr_predict(m, files, 1, is_ring, &all) != KR_OK) fail_msg("%s", kr_error());
    assert_true(all.n == 40 && all.right > 36);
    kr_model_free(m);
    write_rings("bad.zip", 10, true, "1, 40\n");
#define GRAPH(name) "{" GCN ", 'data': {'kind': 'graph', 'paths': '" name "'}}"
    refuse(GRAPH("bad.zip"), "bad.zip: edge_labels.txt has");
    write_bytes("cut.zip", "PK\3\4", 4);
    refuse(GRAPH("cut.zip"), "cut.zip: no graphs of TU in it");
    refuse(GRAPH("new.zip"), "its class is not known");
    refuse("{" GCN ", 'data': {'kind': 'graph', 'paths': 'rings.zip', 'order': 'given', 'draws': 5}}", "nodes as they stand are not drawn");
    refuse("{'model': {'d_model': 8, 'n_layer': 1, 'mixer': {'type': 'mamba1'}, 'encoder': {'edges': 5}}, 'data': {'kind': 'graph', 'paths': 'rings.zip'}}", "reads 5 edges a row");
}

/* A node and its answer stand at step l of a draw, and at step place[l] of the first. */
static void nodes_are_drawn(void) {
    enum { N = 60 };
    kr_source *s = open_source("{'kind': 'graph', 'paths': 'g.nodes.tsv', 'draws': 3}", 1, NULL, false);
    const kr_source_info *i = kr_source_get_info(s);
    int64_t W = i->x_width;
    float *x[2] = {malloc((size_t)(N * W) * sizeof(float)), malloc((size_t)(N * W) * sizeof(float))};
    int32_t target[2][N], place[N], moved = 0;
    assert_int_equal(i->L, N);
    for (int k = 0; k < 3; k++) {
        kr_batch b = {.S = 1, .L = N, .draw = k, .x = x[k > 0], .targets = target[k > 0], .place = place};
        assert_int_equal(kr_source_batch(s, KR_SPLIT_TEST, 0, &b), KR_OK);
        for (int l = 0; l < N; l++) {
            moved += place[l] != l;
            assert_true(k > 0 || place[l] == l);
            assert_int_equal(target[k > 0][l], target[0][place[l]]);
            assert_memory_equal(x[k > 0] + l * W, x[0] + place[l] * W, (size_t)W * sizeof(float));
        }
    }
    assert_true(moved > N);
    free(x[0]), free(x[1]);
    kr_source_close(s);
}

/* Nodes whose features tell nothing, but their neighbours' do: answers stand in the file's order. */
static kr_status keep_cells(void *user, const kr_answer *a) {
    answers *all = user;
    assert_int_equal(a->kind, KR_ANSWER_CELLS);
    assert_int_equal(a->n, 60);
    for (int i = 0; i < 60; i++) all->right += strcmp(a->label[a->cells[i]], i % 2 ? "odd" : "even") == 0;
    all->n++;
    return KR_OK;
}
static void nodes(void **state) {
    kr_model *m;
    kr_str s = {0}, e = {0};
    kr_rng r = {1, 2, 0};
    answers all = {0};
    const char *const files[] = {"g.nodes.tsv"};
    (void)state;
    kr_str_append(&s, "id\tclass\tpart\tfeatures\n"), kr_str_append(&e, "from\tto\n");
    for (int i = 0; i < 60; i++) {
        kr_str_appendf(&s, "n%d\t%s\t%s\t%d %d\n", i, i % 2 ? "odd" : "even", i < 30 ? "train" : i < 40 ? "val" : i < 50 ? "test" : "none", (int)kr_rng_below(&r, 4), 4 + i % 2);
        for (int k = 0; k < 2; k++) kr_str_appendf(&e, "n%d\tn%d\n", i, (int)kr_rng_below(&r, 30) * 2 + i % 2);
    }
    write_bytes("g.nodes.tsv", s.text, s.n), write_bytes("g.edges.tsv", e.text, e.n);
    kr_str_free(&s), kr_str_free(&e);
    nodes_are_drawn();
    train("{" GCN ", 'data': {'kind': 'graph', 'paths': 'g.nodes.tsv', 'draws': 3}, 'train': {'out': 'm', 'overwrite': true, 'batch_size': 1, 'steps': 60, 'lr': 0.01, 'warmup_steps': 5,"
          " 'eval_every': 0, 'eval_batches': 100, 'log_every': 1000}}");
    assert_true(last_metric > 0.9);
    if (kr_model_open(&m, "m", NULL) != KR_OK) fail_msg("%s", kr_error());
    if (kr_predict(m, files, 1, keep_cells, &all) != KR_OK) fail_msg("%s", kr_error());
    assert_true(all.n == 1 && all.right > 55);
    kr_model_free(m);
    write_bytes("g.edges.tsv", "from\tto\nn1\tnone\n", 16);
    refuse(GRAPH("g.nodes.tsv"), "\"none\" is no node");
    static const char twice[] = "id\tclass\tpart\tfeatures\na\tx\ttrain\t1\nb\ty\ttrain\t2\na\ty\ttest\t3\n";
    write_bytes("h.nodes.tsv", twice, sizeof twice - 1);
    write_bytes("h.edges.tsv", "from\tto\na\tb\n", 12);
    refuse(GRAPH("h.nodes.tsv"), "h.nodes.tsv: lines 2 and 4: two nodes are called \"a\"");
}

/* --- points --------------------------------------------------------------------------------------- */

/* Rings and rods of 40 points with some noise, the file's order drawn. */
static void write_cloud(const char *path, bool ring, int seed) {
    kr_str s = {0};
    kr_rng r = {(uint64_t)seed, 8, 0};
    kr_str_append(&s, "x y z\n# drawn\n");
    for (int i = 0; i < 40; i++) {
        double t = 6.2831853 * kr_rng_uniform(&r), d = .03 * kr_rng_normal(&r);
        kr_str_appendf(&s, "%.4f %.4f %.4f 7\n", ring ? cos(t) + d : d, ring ? sin(t) : t, ring ? d : d + 100);
    }
    write_bytes(path, s.text, s.n);
    kr_str_free(&s);
}

static kr_status is_cloud(void *user, const kr_answer *a) {
    answers *all = user;
    all->right += strncmp(strrchr(a->name, 47) + 1, a->label[a->best], 3) == 0;
    all->n++;
    return KR_OK;
}

static void points(void **state) {
    kr_model *m;
    answers all = {0};
    char path[60];
    const char *const files[] = {"clouds"};
    unsigned char npy[10 + 67 + 2 * 4 * 4 * 4] = "\x93NUMPY\1\0\x43\0{'descr': '|u1', 'fortran_order': False, 'shape': (2, 4, 4, 4), } \n";
    (void)state;
    assert_int_equal(kr_dir_make("clouds"), KR_OK);
    for (int i = 0; i < 40; i++) {
        snprintf(path, sizeof path, "clouds/%s_%d.xyz", i % 2 ? "ring" : "rod", i);
        write_cloud(path, i % 2, i);
    }
    train("{'model': {" ONE "}, 'data': {'kind': 'points', 'paths': 'clouds', 'label': 'name', 'points': 16, 'curves': ['hilbert', 'hilbert-trans'], 'jitter': 0.01, 'turn': 30, 'eval_fraction': 0.2}, " TRAIN "}");
    assert_true(last_metric > 0.9);
    if (kr_model_open(&m, "m", NULL) != KR_OK) fail_msg("%s", kr_error());
    if (kr_predict(m, files, 1, is_cloud, &all) != KR_OK) fail_msg("%s", kr_error());
    assert_true(all.n == 40 && all.right >= 38);
    kr_model_free(m);
    /* voxels: a bar of four cells along the last axis, and one cell */
    assert_int_equal(strlen((char *)npy + 10), 67);
    for (int i = 0; i < 4; i++) npy[77 + 20 + i] = 1;
    npy[77 + 64 + 7] = 1;
    assert_true(kr_dir_make("voxels") == KR_OK && kr_dir_make("voxels/bars") == KR_OK && kr_dir_make("voxels/none") == KR_OK);
    write_bytes("voxels/bars/a.npy", npy, sizeof npy), write_bytes("voxels/none/a.npy", npy, sizeof npy);
    kr_source *s = open_source("{'kind': 'points', 'paths': 'voxels', 'points': 8, 'curves': 'xyz', 'eval_fraction': 0}", 4, NULL, false);
    float x[4 * 8 * 3];
    int32_t targets[4];
    kr_batch b = {.S = 4, .L = 8, .x = x, .targets = targets};
    assert_int_equal(kr_source_get_info(s)->n_train, 4);
    assert_int_equal(kr_source_batch(s, KR_SPLIT_TRAIN, 0, &b), KR_OK);
    for (int row = 0; row < 4; row++)
        for (int l = 0; l < 8; l++) {
            const float *p = x + (row * 8 + l) * 3;
            assert_true(p[0] == 0 && p[1] == 0); /* in its middle */
            float z[] = {-1, -1.f / 3, 1.f / 3, 1};
            if (x[row * 24 + 2] != 0) assert_true(fabsf(p[2] - z[l / 2]) < 1e-5f); /* the four cells, twice each */
        }
    kr_source_close(s);
    static const char far[] = "\x93NUMPY\1\0\x43\0{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }       \n\0\0\200\77\377\377\177\177\0\0\0\0";
    write_bytes("voxels/none/c.npy", far, sizeof far - 1);
    refuse("{'model': {" ONE "}, 'data': {'kind': 'points', 'paths': 'voxels'}}", "c.npy: number 1 is 3.40282e+38, want finite ones up to 1e+30");
    static const char none[] = "\x93NUMPY\1\0\x43\0{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3), }       \n";
    write_bytes("voxels/none/c.npy", none, sizeof none - 1);
    refuse("{'model': {" ONE "}, 'data': {'kind': 'points', 'paths': 'voxels'}}", "c.npy: no point in it");
    remove("voxels/none/c.npy");
    write_bytes("voxels/none/b.off", "OFF\n3 0 0\n0 0 0\n1 1 1\n", 22);
    refuse("{'model': {" ONE "}, 'data': {'kind': 'points', 'paths': 'voxels'}}", "b.off: 2 points, want 3");
    refuse("{'model': {" ONE "}, 'data': {'kind': 'points', 'paths': 'clouds', 'label': 'name', 'curves': 'circle'}}", "circle");
}

/* --- clips ---------------------------------------------------------------------------------------- */

/* An array of bytes, whatever its axes. */
static void write_npy(const char *path, const char *shape, const unsigned char *x, size_t n) {
    kr_str s = {0};
    char dict[100];
    int len = snprintf(dict, sizeof dict, "{'descr': '|u1', 'fortran_order': False, 'shape': (%s), }\n", shape);
    const char head[10] = {(char)0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (char)len, 0};
    kr_str_append_n(&s, head, 10), kr_str_append(&s, dict), kr_str_append_n(&s, x, n);
    write_bytes(path, s.text, s.n);
    kr_str_free(&s);
}

/* Things that go up or down: of two joints, and of a bright row in pictures of 8 x 8. */
static void write_motion(const char *path, bool up, int frames, int seed, bool video) {
    unsigned char x[24 * 64];
    char shape[40];
    kr_rng r = {(uint64_t)seed, 4, 0};
    for (int t = 0; t < frames; t++) {
        double place = (up ? t : frames - 1 - t) / (double)frames;
        for (int i = 0; i < (video ? 64 : 4); i++)
            x[t * (video ? 64 : 4) + i] = (unsigned char)(kr_rng_below(&r, 9) + (video ? (i / 8 == (int)(place * 8) ? 200 : 20) : i % 2 ? 100 * place : 60));
    }
    snprintf(shape, sizeof shape, video ? "%d, 8, 8" : "%d, 2, 2", frames);
    write_npy(path, shape, x, (size_t)(frames * (video ? 64 : 4)));
}

static void clips(void **state) {
    static const char *const models[] = {"{" ONE ", 'head': {'pool': 'last'}}", "{" ONE ", 'head': {'pool': 'last'}, 'encoder': {'patch': '1x8x8'}}"};
    (void)state;
    for (int video = 0; video < 2; video++) {
        kr_model *m;
        answers all = {0};
        char path[60], recipe[1000];
        const char *const files[] = {video ? "videos" : "skeletons"};
        assert_int_equal(kr_dir_make(files[0]), KR_OK);
        for (int i = 0; i < 40; i++) {
            snprintf(path, sizeof path, "%s/%s_%d.npy", files[0], i % 2 ? "upward" : "downward", i);
            write_motion(path, i % 2, 10 + i % 9, i, video);
        }
        snprintf(recipe, sizeof recipe, "{'model': %s, 'data': {'kind': 'clip', 'paths': '%s', 'label': 'name', 'frames': 8, 'jitter': 0.05, 'eval_fraction': 0.2}, " TRAIN "}", models[video], files[0]);
        train(recipe);
        assert_true(last_metric > 0.9);
        if (kr_model_open(&m, "m", NULL) != KR_OK) fail_msg("%s", kr_error());
        if (kr_predict(m, files, 1, is_cloud, &all) != KR_OK) fail_msg("%s", kr_error());
        assert_true(all.n == 40 && all.right >= 38);
        kr_model_free(m);
    }
    /* points, two of them a frame, are the same as frames of two joints, and frames come evenly */
    write_bytes("a_1.xyz", "0 0 0\n0 1 0\n2 0 0\n2 1 0\n4 0 0\n4 1 0\n6 0 0\n6 1 0\n", 48), write_bytes("b_1.xyz", "0 0 0\n0 1 0\n", 12);
    kr_source *s = open_source("{'kind': 'clip', 'paths': ['a_1.xyz', 'b_1.xyz'], 'eval_paths': 'a_1.xyz', 'label': 'name', 'frames': 2, 'joints': 2}", 1, NULL, false);
    float x[2 * 6];
    int32_t target;
    kr_batch b = {.S = 1, .L = 2, .x = x, .targets = &target};
    assert_int_equal(kr_source_get_info(s)->x_width, 6);
    assert_int_equal(kr_source_batch(s, KR_SPLIT_EVAL, 0, &b), KR_OK);
    assert_true(x[0] == x[3] && x[1] == -x[4] && x[2] == 0); /* frames 1 and 3 of 0 .. 3: x is 2 and 6 around 3, y 0 and 1 around .5 */
    assert_true(fabsf(x[6] + 3 * x[0]) < 1e-5f && fabsf(x[6] - 6 * x[4]) < 1e-5f && x[6] > 0);
    kr_source_close(s);
    refuse("{'model': {" ONE "}, 'data': {'kind': 'clip', 'paths': ['a_1.xyz', 'b_1.xyz'], 'label': 'name', 'joints': 3}}", "a_1.xyz: want 3 points a frame (data.joints), and there are 8");
    refuse("{'model': {" ONE "}, 'data': {'kind': 'clip', 'paths': ['videos', 'skeletons'], 'label': 'name'}}", "as in the others");
}

/* Frame t of a clip as a picture: a bright row that goes down or up, colour or grey. */
static kr_status write_frame(const char *path, int side, int row, int channels) {
    unsigned char x[16 * 16 * 3];
    for (int i = 0; i < side * side * channels; i++) x[i] = i / (side * channels) * 8 / side == row ? 220 : 30;
    return kr_png_save(path, side, side, channels, x);
}

static kr_status is_clip(void *user, const kr_answer *a) {
    answers *all = user;
    snprintf(all->name, sizeof all->name, "%s", a->name);
    all->right += (strstr(a->name, "/u/") != NULL) == (strcmp(a->label[a->best], "u") == 0);
    all->n++;
    return KR_OK;
}

/* Folders of frames: 2.png comes before 10.png, each folder is a clip, the folder above (or its own name) the class. */
static void frames(void **state) {
    char path[80];
    const char *const files[] = {"film"};
    answers all = {0};
    kr_model *m;
    (void)state;
    for (int i = 0; i < 24; i++)
        for (int t = 1; t <= 11; t++) {
            snprintf(path, sizeof path, "film/%s/c%d", i % 2 ? "u" : "d", i);
            assert_int_equal(kr_dir_make(path), KR_OK);
            snprintf(path, sizeof path, "film/%s/c%d/t%d.png", i % 2 ? "u" : "d", i, t);
            kr_status st = write_frame(path, i % 3 ? 8 : 16, i % 2 ? (11 - t) * 8 / 11 : (t - 1) * 8 / 11, i % 5 == 3 ? 3 : 1);
            if (st == KR_ERR_MISSING) skip();
            assert_int_equal(st, KR_OK);
        }
    kr_source *s = open_source("{'kind': 'clip', 'paths': 'film', 'frames': 11, 'size': '8x8', 'eval_fraction': 0}", 1, NULL, false);
    const kr_source_info *info = kr_source_get_info(s);
    assert_true(info->n_train == 24 && info->L == 11 * 64 && info->x_width == 1 && info->n_classes == 2);
    kr_source_close(s);
    s = open_source("{'kind': 'clip', 'paths': 'film/d/c0', 'eval_paths': ['film/d', 'film/u/c1/*.png'], 'frames': 11, 'size': '8x8'}", 1, NULL, false);
    float x[11 * 64];
    int32_t target;
    for (int row = 0; row < 13; row++) {
        kr_batch b = {.S = 1, .L = 11 * 64, .x = x, .targets = &target};
        assert_int_equal(kr_source_batch(s, KR_SPLIT_EVAL, row, &b), KR_OK);
        for (int t = 0; t < 11; t++)
            for (int h = 0; h < 8; h++) assert_true((x[64 * t + 8 * h] > 0) == (h == (target ? (10 - t) : t) * 8 / 11));
        double sum = 0, square = 0;
        for (int i = 0; i < 11 * 64; i++) sum += x[i], square += x[i] * x[i];
        assert_true(fabs(sum) < 1e-2 && fabs(square / (11 * 64) - 1) < 1e-4);
        assert_true(kr_source_name(s, KR_SPLIT_EVAL, row, 0, path, sizeof path));
        assert_int_equal(strncmp(path, target ? "film/u/c1" : "film/d/c", target ? 10 : 8), 0); /* the folder, nothing behind it */
        assert_null(strstr(path, ".png"));
    }
    kr_source_close(s);
    train("{'model': {" ONE ", 'head': {'pool': 'last'}, 'encoder': {'patch': '1x8x8'}}, 'data': {'kind': 'clip', 'paths': 'film', 'frames': 8, 'size': '8x8', 'eval_fraction': 0.2}, " TRAIN "}");
    assert_true(last_metric > 0.7);
    if (kr_model_open(&m, "m", NULL) != KR_OK || kr_predict(m, files, 1, is_clip, &all) != KR_OK) fail_msg("%s", kr_error());
    assert_true(all.n == 24 && all.right >= 20);
    assert_string_equal(all.name, "film/u/c23");
    kr_model_free(m);
    s = open_source("{'kind': 'clip', 'paths': ['film/u/c1', 'film/d/c2'], 'label': 'name', 'frames': 2, 'eval_fraction': 0}", 1, NULL, false);
    assert_true(strcmp(kr_source_label(s, 0), "c1") == 0 && strcmp(kr_source_label(s, 1), "c2") == 0);
    kr_source_close(s);
    refuse("{'model': {" ONE "}, 'data': {'kind': 'clip', 'paths': 'film'}}", "as in the others; set data.size");
    refuse("{'model': {" ONE "}, 'data': {'kind': 'clip', 'paths': 'film', 'size': '4x4'}}", "data.size is \"4x4\", want HxW, at least 8x8");
    write_bytes("t1.png", "x", 1);
    refuse("{'model': {" ONE "}, 'data': {'kind': 'clip', 'paths': 't1.png'}}", "t1.png: a picture is a frame of the clip that is its folder: want CLIP/t1.png");
    write_bytes("film/d/c0/t3.png", "x", 1);
    refuse("{'model': {" ONE "}, 'data': {'kind': 'clip', 'paths': 'film', 'size': '8x8'}}", "film/d/c0/t3.png");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(items_rows), cmocka_unit_test(items), cmocka_unit_test(signs), cmocka_unit_test(molecules), cmocka_unit_test(graphs), cmocka_unit_test(nodes), cmocka_unit_test(points), cmocka_unit_test(clips), cmocka_unit_test(frames)};
    return cmocka_run_group_tests(tests, make_folder, NULL);
}
