/* inspect_loose.c - krait inspect order: walks that the things themselves decide.
 *
 *   points:CURVE   a cloud along a curve: drawn from a torus, or lines "x y z" of a file
 *   nodes:degree   a graph's nodes, hubs last: grown by preferential attachment, or lines "from to"
 *   tree           a picture's cells along the tree that joins what is alike in a few soft spots */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "krait/order.h"

/* SplitMix64, in [0, 1). */
static double uniform(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

/* Lines of `width` numbers, for the caller to free; NULL: said what is wrong. */
static float *read_lines(const char *path, int width, int64_t *n) {
    char line[400];
    int64_t room = 0;
    float *x = NULL;
    FILE *f = fopen(path, "r");
    *n = 0;
    if (!f) return misuse("inspect", "cannot read \"%s\"", path), NULL;
    for (bool ok = true; ok && fgets(line, sizeof line, f);) {
        float v[3];
        int got = sscanf(line, "%f %f %f", &v[0], &v[1], &v[2]);
        if (got <= 0) continue;
        if (*n == room) {
            float *more = realloc(x, (size_t)((room = 2 * room + 256) * width) * sizeof *x);
            if (!more) break;
            x = more;
        }
        ok = got >= width;
        if (!ok) misuse("inspect", "%s: \"%.*s\" is no line of %d numbers", path, (int)strcspn(line, "\n"), line, width);
        else memcpy(x + (*n)++ * width, v, (size_t)width * sizeof *x);
        if (!ok) *n = 0;
    }
    fclose(f);
    if (!*n) free(x), x = NULL;
    return x;
}

static int done(kr_status st, const loose_options *o, const kr_order_loose *walk, const char *title) {
    if (st != KR_OK) return fail();
    printf("%lld steps\n", (long long)walk->n);
    for (int64_t i = 0; o->print && i < walk->n; i++) printf("%s%d%s", i ? " " : "  ", walk->rank[i], i + 1 < walk->n ? "" : "\n");
    if (!o->out) return 0;
    if (kr_order_draw_loose(walk, title, o->out) != KR_OK) return fail();
    return printf("%s\n", o->out), 0;
}

static int points(const char *curve, const loose_options *o) {
    uint64_t r = o->seed + 1;
    int64_t n = o->n;
    float *xyz = o->from ? read_lines(o->from, 3, &n) : malloc((size_t)n * 3 * sizeof *xyz), *xy = malloc((size_t)n * 2 * sizeof *xy);
    int32_t *rank = malloc((size_t)n * sizeof *rank);
    if (o->from && !xyz) return free(xy), free(rank), EXIT_USAGE;
    char title[120];
    int rc = 1;
    for (int64_t i = 0; xyz && !o->from && i < n; i++) {
        double a = 2 * M_PI * uniform(&r), b = 2 * M_PI * uniform(&r);
        xyz[3 * i] = (float)((2 + .7 * cos(b)) * cos(a)), xyz[3 * i + 1] = (float)((2 + .7 * cos(b)) * sin(a)), xyz[3 * i + 2] = (float)(.7 * sin(b));
    }
    for (int64_t i = 0; xyz && xy && i < n; i++) { /* seen from a little above */
        const float *p = xyz + 3 * i;
        xy[2 * i] = .94f * p[0] - .34f * p[1], xy[2 * i + 1] = .6f * (.34f * p[0] + .94f * p[1]) - .8f * p[2];
    }
    snprintf(title, sizeof title, "%lld points: %s", (long long)n, curve);
    if (xyz && xy && rank) rc = done(kr_order_points(curve, 0, n, xyz, rank), o, &(kr_order_loose){.n = n, .xy = xy, .rank = rank, .line = true}, title);
    free(xyz), free(xy), free(rank);
    return rc;
}

/* Places where nodes push each other away and edges pull (Fruchterman & Reingold 1991). */
static void lay_out(int64_t n, int64_t n_edges, const int32_t *edge, uint64_t *r, float *xy, float *move) {
    float k = 1 / sqrtf((float)n);
    for (int64_t i = 0; i < 2 * n; i++) xy[i] = (float)uniform(r);
    for (int round = 0; round < 200; round++) {
        memset(move, 0, (size_t)n * 2 * sizeof *move);
        for (int64_t pair = 0; pair < n * n + n_edges; pair++) {
            bool pulls = pair >= n * n;
            int64_t a = pulls ? edge[2 * (pair - n * n)] : pair / n, b = pulls ? edge[2 * (pair - n * n) + 1] : pair % n;
            float dx = xy[2 * a] - xy[2 * b], dy = xy[2 * a + 1] - xy[2 * b + 1], d = fmaxf(sqrtf(dx * dx + dy * dy), 1e-4f);
            float f = a == b ? 0 : pulls ? -d / k : k * k / d / d;
            move[2 * a] += dx * f, move[2 * a + 1] += dy * f;
            if (pulls) move[2 * b] -= dx * f, move[2 * b + 1] -= dy * f;
        }
        float most = .1f * (1 - (float)round / 200);
        for (int64_t i = 0; i < n; i++) {
            float d = fmaxf(hypotf(move[2 * i], move[2 * i + 1]), 1e-9f), s = fminf(d, most) / d;
            xy[2 * i] += move[2 * i] * s, xy[2 * i + 1] += move[2 * i + 1] * s;
        }
    }
}

static int nodes(const char *how, const loose_options *o) {
    enum { MOST = 5000 };
    uint64_t r = o->seed + 1;
    int64_t n = o->n, n_edges = o->from ? 0 : n - 1 + n / 3;
    if (strcmp(how, "degree") != 0) return misuse("inspect", "nodes have no order \"%s\"; there is nodes:degree", how);
    float *lines = o->from ? read_lines(o->from, 2, &n_edges) : NULL;
    if (o->from && !lines) return EXIT_USAGE;
    for (int64_t i = 0; lines && i < 2 * n_edges; i++) {
        if (!(lines[i] >= 0 && lines[i] < MOST)) return misuse("inspect", "%s: node %g, want 0 to %d", o->from, lines[i], MOST - 1), free(lines), EXIT_USAGE;
        n = i == 0 || lines[i] >= (float)n ? (int64_t)lines[i] + 1 : n;
    }
    if (n < 2 || n > MOST || n_edges > 1 << 20) return free(lines), misuse("inspect", "%lld nodes and %lld edges, want 2 to %d and at most 2^20", (long long)n, (long long)n_edges, MOST);
    int32_t *edge = malloc((size_t)n_edges * 2 * sizeof *edge), *rank = malloc((size_t)n * sizeof *rank);
    float *xy = malloc((size_t)n * 2 * sizeof *xy), *move = malloc((size_t)n * 2 * sizeof *move);
    char title[120];
    int rc = 1;
    for (int64_t i = 0; edge && i < n_edges; i++) { /* a new node, or one of the old, to an end of an edge that is there: hubs grow */
        int64_t old = i < n - 1 ? i + 1 : (int64_t)(uniform(&r) * (double)n);
        edge[2 * i] = lines ? (int32_t)lines[2 * i] : (int32_t)old;
        edge[2 * i + 1] = lines ? (int32_t)lines[2 * i + 1] : i ? edge[(int64_t)(uniform(&r) * (double)(2 * i))] : 0;
    }
    snprintf(title, sizeof title, "%lld nodes: by degree, hubs last", (long long)n);
    if (edge && rank && xy && move) {
        kr_status st = kr_order_degree(n, n_edges, edge, o->seed, rank);
        if (st == KR_OK) lay_out(n, n_edges, edge, &r, xy, move);
        rc = done(st, o, &(kr_order_loose){.n = n, .n_links = n_edges, .xy = xy, .rank = rank, .link = edge}, title);
    }
    free(lines), free(edge), free(rank), free(xy), free(move);
    return rc;
}

static int tree(const loose_options *o) {
    enum { SPOTS = 5 };
    uint64_t r = o->seed + 1;
    int64_t H = o->H, W = o->W, n = H * W;
    float *x = malloc((size_t)n * SPOTS * sizeof *x), *xy = malloc((size_t)n * 2 * sizeof *xy), at[SPOTS][2];
    int32_t *rank = malloc((size_t)n * sizeof *rank), *parent = malloc((size_t)n * sizeof *parent), *link = malloc((size_t)n * 2 * sizeof *link);
    char title[120];
    int rc = 1;
    for (int s = 0; s < SPOTS; s++) at[s][0] = (float)(uniform(&r) * (double)W), at[s][1] = (float)(uniform(&r) * (double)H);
    for (int64_t i = 0; x && i < n * SPOTS; i++) { /* how near a cell is to each spot, and some noise */
        float dx = (float)(i / SPOTS % W) - at[i % SPOTS][0], dy = (float)(i / SPOTS / W) - at[i % SPOTS][1];
        x[i] = expf(-(dx * dx + dy * dy) / (float)(n) * 8) + .3f * (float)uniform(&r);
    }
    for (int64_t i = 0; xy && i < n; i++) xy[2 * i] = (float)(i % W), xy[2 * i + 1] = (float)(i / W);
    snprintf(title, sizeof title, "tree, %lld x %lld", (long long)H, (long long)W);
    if (x && xy && rank && parent && link) {
        kr_status st = kr_order_tree(H, W, SPOTS, x, rank, parent);
        for (int64_t k = 1; st == KR_OK && k < n; k++) link[2 * k - 2] = rank[parent[k]], link[2 * k - 1] = rank[k];
        rc = done(st, o, &(kr_order_loose){.n = n, .n_links = n - 1, .xy = xy, .rank = rank, .link = link}, title);
    }
    free(x), free(xy), free(rank), free(parent), free(link);
    return rc;
}

bool is_loose(const char *name) { return strncmp(name, "points:", 7) == 0 || strncmp(name, "nodes:", 6) == 0 || strcmp(name, "tree") == 0; }

int inspect_loose(const char *name, const loose_options *o) {
    enum { MOST = 1 << 20 };
    if (o->n < 1 || o->n > MOST) return misuse("inspect", "--size is %lld things, want 1 to %d", (long long)o->n, MOST);
    return *name == 'p' ? points(name + 7, o) : *name == 'n' ? nodes(name + 6, o) : tree(o);
}
