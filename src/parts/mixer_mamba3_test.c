/* mixer_mamba3_test.c - the part, made of a scan, a rotation and a look ahead, against the
 * recurrence as Mamba-3 states it, token by token in double; and DenseSSM, a layer that reads another's states. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "parts/part.h"

enum { M = 12, E = 24, P = 6, H = E / P, N = 8, MOST_L = 150, MOST_R = 4 };
typedef struct config { int G, J; bool halves, norm; int rank; } config; /* rank 0: no factors */

static double silu(double x) { return x / (1 + exp(-x)); }
static const char *scope = ""; /* of the layer at hand */
static const float *param(kr_params *ps, const char *name) {
    size_t n = strlen(scope);
    for (kr_param *p = ps->first; p; p = p->next)
        if (strncmp(p->name, scope, n) == 0 && strcmp(p->name + n, name) == 0) return p->data;
    fail_msg("no parameter %s", name);
    return NULL;
}

/* RMSNorm of one group, a bias for the head, and the turn. */
static void key_of(const config *c, const double *raw, const float *norm, const float *bias, const double *phi, double *k) {
    double sum = 0;
    for (int n = 0; n < N; n++) sum += raw[n] * raw[n];
    for (int n = 0; n < N; n++) k[n] = raw[n] / sqrt(sum / N + 1e-5) * norm[n] + bias[n];
    for (int j = 0; j < c->J; j++) {
        int a = c->halves ? j : 2 * j, b = c->halves ? j + N / 2 : 2 * j + 1;
        double x = k[a], y = k[b];
        k[a] = x * cos(phi[j]) - y * sin(phi[j]);
        k[b] = x * sin(phi[j]) + y * cos(phi[j]);
    }
}

/* A layer's state, turned back by its angles: what it is in itself. */
typedef double plain[H][P][N];
static void turn_back(const config *c, double S[H][P][N], double phi[H][N], plain to) {
    for (int h = 0; h < H; h++)
        for (int i = 0; i < P; i++) {
            memcpy(to[h][i], S[h][i], sizeof to[h][i]);
            for (int j = 0; j < c->J; j++) {
                int a = c->halves ? j : 2 * j, b = c->halves ? j + N / 2 : 2 * j + 1;
                to[h][i][a] = cos(phi[h][j]) * S[h][i][a] + sin(phi[h][j]) * S[h][i][b];
                to[h][i][b] = cos(phi[h][j]) * S[h][i][b] - sin(phi[h][j]) * S[h][i][a];
            }
        }
}

/* W_2 silu(W_1 u) + b_2 */
static void gate_of(kr_params *ps, const float *u, double *gate) {
    double r[(M + 7) / 8] = {0};
    for (int k = 0; k < (M + 7) / 8; k++)
        for (int m = 0; m < M; m++) r[k] += (double)param(ps, "dense.1.0.weight")[k * M + m] * u[m];
    for (int e = 0; e < E; e++) {
        gate[e] = param(ps, "dense.1.1.bias")[e];
        for (int k = 0; k < (M + 7) / 8; k++) gate[e] += param(ps, "dense.1.1.weight")[e * ((M + 7) / 8) + k] * silu(r[k]);
    }
}

/* states: where those of each step go; seen: those of a shallower layer; either may be NULL. */
static void recurrence(const config *c, kr_params *ps, int L, const float *u, double *out, plain *states, const plain *seen) {
    int R = c->rank ? c->rank : 1, W = R * c->G * N, rows = 2 * E + 2 * W + 3 * H + c->J;
    const float *in = param(ps, "in_proj.weight"), *to = param(ps, "out_proj.weight"), *dt_bias = param(ps, "dt_bias"), *D = param(ps, "D");
    const float *mx = c->rank ? param(ps, "mimo_x") : NULL, *mz = c->rank ? param(ps, "mimo_z") : NULL, *mo = c->rank ? param(ps, "mimo_o") : NULL;
    static double S[H][P][N], phi[H][N], k_old[H][MOST_R][N], v_old[H][MOST_R][P];
    memset(S, 0, sizeof S), memset(phi, 0, sizeof phi), memset(k_old, 0, sizeof k_old), memset(v_old, 0, sizeof v_old);
    for (int t = 0; t < L; t++, u += M, out += M) {
        double p[512], y[E] = {0}, gate[E];
        if (seen) gate_of(ps, u, gate);
        for (int i = 0; i < rows; i++) {
            p[i] = 0;
            for (int m = 0; m < M; m++) p[i] += (double)in[i * M + m] * u[m];
        }
        const double *z = p, *x = p + E, *B = p + 2 * E, *C = B + W, *dd_dt = C + W, *dd_A = dd_dt + H, *trap = dd_A + H, *angle = trap + H;
        for (int h = 0; h < H; h++) {
            int g = h / (H / c->G);
            double f = dd_A[h] >= 0 ? 1 + dd_A[h] : 1 / (1 - dd_A[h]), A = -fmax(f, 1e-4), dt = log1p(exp(dd_dt[h] + dt_bias[h]));
            double lam = 1 / (1 + exp(-trap[h])), alpha = exp(A * dt), beta = (1 - lam) * dt * alpha, gamma = lam * dt, k[MOST_R][N], q[MOST_R][N], flat[MOST_R][N], v[MOST_R][P];
            static const double none[N] = {0};
            for (int j = 0; j < c->J; j++) phi[h][j] += acos(-1) * tanh(angle[j]) * dt;
            for (int r = 0; r < R; r++) {
                key_of(c, B + (r * c->G + g) * N, param(ps, "B_norm.weight"), param(ps, "B_bias") + (h * R + r) * N, phi[h], k[r]);
                key_of(c, C + (r * c->G + g) * N, param(ps, "C_norm.weight"), param(ps, "C_bias") + (h * R + r) * N, phi[h], q[r]);
                key_of(c, C + (r * c->G + g) * N, param(ps, "C_norm.weight"), param(ps, "C_bias") + (h * R + r) * N, none, flat[r]);
                for (int i = 0; i < P; i++) v[r][i] = x[h * P + i] * (mx ? mx[(h * R + r) * P + i] : 1);
            }
            for (int i = 0; i < P; i++)
                for (int n = 0; n < N; n++) {
                    S[h][i][n] *= alpha;
                    for (int r = 0; r < R; r++) S[h][i][n] += beta * v_old[h][r][i] * k_old[h][r][n] + gamma * v[r][i] * k[r][n];
                }
            for (int r = 0; r < R; r++) {
                double yr[P], square = 0;
                for (int i = 0; i < P; i++) {
                    yr[i] = D[h] * v[r][i];
                    for (int n = 0; n < N; n++) yr[i] += S[h][i][n] * q[r][n];
                    for (int n = 0; n < N && seen; n++) yr[i] += gate[h * P + i] * seen[t][h][i][n] * flat[r][n];
                    square += yr[i] * yr[i];
                }
                for (int i = 0; i < P; i++) {
                    int at = (h * R + r) * P + i;
                    if (c->norm) yr[i] *= param(ps, "norm.weight")[h * P + i] / sqrt(square / P + 1e-5);
                    y[h * P + i] += (mo ? mo[at] : 1) * yr[i] * silu(z[h * P + i] * (mz ? mz[at] : 1));
                }
                memcpy(k_old[h][r], k[r], sizeof k[r]);
                memcpy(v_old[h][r], v[r], sizeof v[r]);
            }
        }
        if (states) turn_back(c, S, phi, states[t]);
        for (int m = 0; m < M; m++) {
            out[m] = 0;
            for (int i = 0; i < E; i++) out[m] += (double)to[m * E + i] * y[i];
        }
    }
}

static void draw(kr_params *ps, float *u, int n) {
    kr_params_init(ps, 7);
    kr_rng r = {3, 5, 0};
    for (kr_param *p = ps->first; p; p = p->next)
        for (int64_t i = 0; i < kr_param_count(p); i++) ((float *)p->data)[i] += (float)(.3 * kr_rng_normal(&r));
    for (int i = 0; i < n; i++) u[i] = (float)(2 * kr_rng_normal(&r));
}

/* dense: two layers of the same input, of which the second reads the states of the first, too. */
static void compare(config c, int L, bool dense) {
    kr_params *ps;
    kr_graph *g;
    kr_arena arena = {0};
    const kr_part *part, *rule;
    void *opt, *rule_opt;
    json_t *j = json_pack("{s:s, s:i, s:i, s:i, s:i, s:f, s:b, s:b}", "type", "mamba3", "d_state", N, "headdim", P, "ngroups", c.G, "mimo_rank", c.rank, "rope_fraction",
                          2. * c.J / N, "rope_halves", c.halves, "is_outproj_norm", c.norm);
    kr_scan scans[2 * KR_MAX_PATHS];
    assert_int_equal(kr_part_read("mixer", "mamba3", j, "mixer", &arena, &part, &opt), KR_OK);
    assert_int_equal(kr_part_read("memory", dense ? "dense" : "plain", NULL, "memory", &arena, &rule, &rule_opt), KR_OK);
    assert_int_equal(kr_params_new(&ps, KR_F32, NULL), KR_OK);
    assert_int_equal(kr_graph_new(&g, ps, &(kr_graph_options){.impl = kr_cpu_best(), .n_threads = 1}), KR_OK);
    kr_build b = {.g = g, .S = 1, .L = L, .d_model = M, .n_residual = 2, .memory = rule, .memory_opt = rule_opt, .scan = scans};
    kr_node *in = kr_input(g, "u", KR_F32, 3, KR_DIMS(1, L, M));
    for (b.residual = 0; b.residual < (dense ? 2 : 1); b.residual++) {
        kr_scope_push(g, b.residual ? "b" : "a");
        kr_graph_keep(g, part->build(&b, opt, in), b.residual ? "second" : "first");
        kr_scope_pop(g);
    }
    if (kr_graph_plan(g) != KR_OK || kr_params_alloc(ps, false) != KR_OK || kr_graph_alloc(g) != KR_OK) fail_msg("%s", kr_error());
    float *u = kr_graph_data(g, "u");
    draw(ps, u, L * M);
    kr_graph_run(g, KR_RUN_FORWARD);
    static double want[MOST_L * M];
    static plain states[MOST_L];
    for (int layer = 0; layer < (dense ? 2 : 1); layer++) {
        const float *y = kr_graph_data(g, layer ? "second" : "first");
        double off = 0, size = 0;
        scope = layer ? "b." : "a.";
        recurrence(&c, ps, L, u, want, layer ? NULL : states, layer ? (const plain *)states : NULL);
        for (int i = 0; i < L * M; i++) off += (y[i] - want[i]) * (y[i] - want[i]), size += want[i] * want[i];
        if (!(sqrt(off / size) < 1e-5)) fail_msg("layer %s G %d, J %d, R %d, L %d: off by %g of its size", scope, c.G, c.J, c.rank, L, sqrt(off / size));
    }
    kr_graph_free(g);
    kr_params_free(ps);
    kr_arena_clear(&arena);
    json_decref(j);
}

static void check_all(bool dense) {
    for (int L = 1; L <= MOST_L; L = 3 * L + 1) {
        compare((config){1, 2, false, false, 0}, L, dense);
        compare((config){2, 4, false, true, 0}, L, dense);
        compare((config){4, 3, true, false, 0}, L, dense);
        compare((config){2, 4, true, true, 1}, L, dense);
        compare((config){1, 2, false, false, 2}, L, dense);
        compare((config){2, 3, true, false, 4}, L, dense);
    }
    compare((config){1, 4, true, true, 0}, MOST_L, dense);
    compare((config){4, 4, false, true, 3}, MOST_L, dense);
}

static void is_the_recurrence(void **state) {
    (void)state;
    check_all(false);
}
static void reads_shallower_states(void **state) {
    (void)state;
    check_all(true);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(is_the_recurrence), cmocka_unit_test(reads_shallower_states)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
