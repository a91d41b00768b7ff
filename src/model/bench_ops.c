/* bench_ops.c - each op beside the machine's roof and beside its scalar reference. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/bench_call.h"
#include "ops/ops.h"

/* Sizes are those of a training step: 8 rows of 1024 tokens, d_model 256.  `small` is what
 * the scalar reference can do in a moment.  Inputs with a minus are left out; a plus says of one that it is there. */
typedef struct entry {
    const char *op, *sizes, *small;
} entry;
static const entry table[] = {
    {"linear", "*8192 K256 N1288 -b -s", "*256 K256 N1288 -b -s"},
    {"linear", "*8192 K512 N256 -b -s", "*256 K512 N256 -b -s"},
    {"linear", "*8192 K512 N48 -b -s", "*256 K512 N48 -b -s"}, /* Mamba-1's x_proj */
    {"linear", "*8192 K16 N512 -b -s", "*256 K16 N512 -b -s"}, /* and dt_proj */
    {"ssd", "S8 L1024 H8 P64 G1 N128 -Dhp -h0 -seq_idx -h", "S1 L256 H2 P64 G1 N128 -Dhp -h0 -seq_idx -h"},
    {"selective_scan", "S8 L1024 D512 G1 N16 -h0 -seq_idx -order -h", "S1 L512 D64 G1 N16 -h0 -seq_idx -order -h"},
    {"selective_scan", "S8 L1024 D512 G1 N16 +order -h0 -seq_idx -h", "S1 L512 D64 G1 N16 -h0 -seq_idx -h"},
    {"lti_scan", "S8 L1024 D256 N32 -Bre -Bim -h0re -h0im -seq_idx -hre -him",
     "S1 L512 D32 N32 -Bre -Bim -h0re -h0im -seq_idx -hre -him"},
    {"attention", "S8 L1024 H4 G4 P64 -cache0 -n0 -seq_idx -cache -n", "S1 L256 H1 G1 P64 -cache0 -n0 -seq_idx -cache -n"},
    {"rope", "S8 L1024 H8 P64 -n0 -seq_idx", "S1 L256 H8 P64 -n0 -seq_idx"},
    {"glu", "*8192 D688", "*1024 D688"},
    {"conv1d", "S8 L1024 D768 K4 -x0 -seq_idx -x1", "S1 L1024 D256 K4 -x0 -seq_idx -x1"},
    {"add_rmsnorm", "*8192 D256", "*1024 D256"},
    {"gated_rmsnorm", "*8192 D512", "*1024 D512"},
    {"cross_entropy", "*8192 K256 V256 -nll -lse", "*128 K256 V256 -nll -lse"},
    {"cross_entropy", "*1024 K256 V50280 -nll -lse", "*8 K256 V50280 -nll -lse"},
    {"embedding", "S8 L1024 V256 D256", "S1 L1024 V256 D256"},
    {"unary", "*8192 D512", "*1024 D512"},
    {"gather", "S8 L1024 J1024 D512 -back", "S1 L1024 J1024 D512 -back"},
    {"gather", "S8 L1024 J1024 D512 +back", "S1 L1024 J1024 D512"},
};
enum { N_TABLE = sizeof table / sizeof *table };

/* On a device: 8 rows of 2048 tokens of mamba2-130m and mamba1-130m, and heads as in mamba2-2.7b. */
static const struct { const char *op, *sizes; } device_table[] = {
    {"linear", "*16384 K768 N3352 -b -s"},
    {"linear", "*16384 K1536 N768 -b -s"},
    {"linear", "*16384 K1536 N80 -b -s"},
    {"linear", "*16384 K48 N1536 -b -s"},
    {"ssd", "S8 L2048 H24 P64 G1 N128 -Dhp -h0 -seq_idx -h"},
    {"ssd", "S2 L4096 H80 P64 G1 N128 -Dhp -h0 -seq_idx -h"},
    {"ssd", "S16 L2048 H80 P64 G1 N128 -Dhp -h0 -seq_idx -h"},
    {"ssd", "S1 L65536 H80 P64 G1 N128 -Dhp -h0 -seq_idx -h"},
    {"selective_scan", "S8 L2048 D1536 G1 N16 -h0 -seq_idx -order -h"},
    {"selective_scan", "S8 L2048 D1536 G1 N16 +order -h0 -seq_idx -h"},
    {"lti_scan", "S8 L2048 D1536 N16 -Bre -Bim -h0re -h0im -seq_idx -hre -him"},
    {"attention", "S8 L2048 H12 G12 P64 -cache0 -n0 -seq_idx -cache -n"},
    {"rope", "S8 L2048 H12 P64 -n0 -seq_idx"},
    {"glu", "*16384 D2048"},
    {"conv1d", "S8 L2048 D1792 K4 -x0 -seq_idx -x1"},
    {"add_rmsnorm", "*16384 D768"},
    {"gated_rmsnorm", "*16384 D1536"},
    {"cross_entropy", "*16384 K768 V50288 -nll -lse"},
    {"embedding", "S8 L2048 V50288 D768"},
    {"unary", "*16384 D1536"},
    {"gather", "S8 L2048 J2048 D1536 -back"},
    {"gather", "S8 L2048 J2048 D1536 +back"},
};
enum { N_DEVICE_TABLE = sizeof device_table / sizeof *device_table };

static bool wanted(const char *op, const char *const *names, int n) {
    bool any = n == 0;
    for (int i = 0; i < n; i++) any = any || strcmp(op, names[i]) == 0;
    return any;
}

static kr_status check_names(const char *const *names, int n) {
    for (int i = 0; i < n; i++) {
        bool known = false;
        for (int k = 0; k < N_TABLE; k++) known = known || strcmp(names[i], table[k].op) == 0;
        if (known) continue;
        char all[256] = "";
        for (int k = 0; k < N_TABLE; k++)
            if (k == 0 || strcmp(table[k].op, table[k - 1].op) != 0)
                snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", k ? ", " : "", table[k].op);
        KR_FAIL(KR_ERR_ARG, "there is no bench of \"%s\"; there are %s", names[i], all);
    }
    return KR_OK;
}

/* Forward and backward times of one implementation on one thread. */
static kr_status time_small(const entry *e, kr_impl impl, const kr_bench_options *opt, double best[2]) {
    kr_bench_call b;
    kr_status st = kr_bench_call_open(&b, e->op, e->small, impl, 1);
    for (int back = 0; st == KR_OK && back < 2; back++) best[back] = kr_bench_call_time(&b, back, opt).best_s;
    kr_bench_call_close(&b);
    return st;
}

static void print_sizes(const char *words, char *to) { /* without what is left out */
    size_t n = strcspn(words, "-");
    while (n > 0 && words[n - 1] == ' ') n--;
    memcpy(to, words, n);
    to[n] = 0;
}

static void row_of(const char *op, const kr_bench_machine *m, kr_bench_call *b, bool back, const kr_bench_options *opt, const char *sizes,
                   double speedup, void (*row)(void *user, const kr_bench_op *r), void *user) {
    kr_bench_op r = {.op = op,
                     .sizes = sizes,
                     .backward = back,
                     .time = kr_bench_call_time(b, back, opt),
                     .bytes = kr_bench_call_bytes(b, back),
                     .flops = b->op->flops ? b->op->flops(&b->call) * (back ? 2 : 1) : 0,
                     .speedup = speedup};
    double most = m->fma_flops > m->gemm_flops ? m->fma_flops : m->gemm_flops; /* on a busy machine either */
    double by_flops = r.flops / most, by_bytes = r.bytes / m->stream_bytes;
    r.roof = (by_flops > by_bytes ? by_flops : by_bytes) / r.time.best_s;
    row(user, &r);
}

static kr_status bench_on_device(const char *op, const char *words, const kr_bench_machine *m, kr_device *d, const kr_bench_options *opt,
                                 void (*row)(void *user, const kr_bench_op *r), void *user) {
    char sizes[96];
    kr_bench_call b = {0};
    kr_dtype real;
    KR_TRY(kr_bench_dtype(opt, &real));
    print_sizes(words, sizes);
    if (!kr_op_cuda(kr_op_find(op))) return KR_OK; /* none yet */
    kr_status st = kr_bench_call_open_on(&b, op, words, d, real);
    int n = kr_op_cuda(b.op)->bwd ? 2 : 1;
    for (int back = 0; st == KR_OK && back < n; back++) row_of(op, m, &b, back, opt, sizes, 0, row, user);
    kr_bench_call_close(&b);
    return st;
}

static kr_status bench_entry(const entry *e, const kr_bench_machine *m, const kr_bench_options *opt,
                             void (*row)(void *user, const kr_bench_op *r), void *user) {
    double ref[2], small[2];
    char sizes[96];
    kr_bench_call b;
    kr_bench_options quick = *opt;
    if (quick.runs > 5) quick.runs = 5;
    KR_TRY(time_small(e, KR_REF, &quick, ref));
    KR_TRY(time_small(e, kr_cpu_best(), &quick, small));
    kr_status st = kr_bench_call_open(&b, e->op, e->sizes, kr_cpu_best(), opt->n_threads);
    print_sizes(e->sizes, sizes);
    for (int back = 0; st == KR_OK && back < 2; back++) row_of(e->op, m, &b, back, opt, sizes, ref[back] / small[back], row, user);
    kr_bench_call_close(&b);
    return st;
}

kr_status kr_bench_ops(const kr_bench_machine *m, const char *const *names, int n_names, const kr_bench_options *opt,
                       void (*row)(void *user, const kr_bench_op *r), void *user) {
    kr_bench_options o = kr_bench_defaults(opt);
    kr_device *d;
    KR_TRY(check_names(names, n_names));
    KR_TRY(kr_device_open(&d, o.device));
    kr_status st = KR_OK;
    for (int k = 0; k < (d ? N_DEVICE_TABLE : N_TABLE) && st == KR_OK; k++) {
        if (!wanted(d ? device_table[k].op : table[k].op, names, n_names)) continue;
        st = d ? bench_on_device(device_table[k].op, device_table[k].sizes, m, d, &o, row, user) : bench_entry(&table[k], m, &o, row, user);
    }
    kr_device_close(d);
    return st;
}

/* --- length: a scan costs the same a token, however long the text --------------------------- */

static kr_status bench_length(const char *op, const char *sizes, int64_t L, const kr_bench_options *opt,
                              void (*row)(void *user, const kr_bench_length *r), void *user) {
    char words[128], shown[96];
    kr_bench_call b;
    snprintf(words, sizeof words, "S1 L%lld %s", (long long)L, sizes);
    print_sizes(sizes, shown);
    kr_status st = kr_bench_call_open(&b, op, words, kr_cpu_best(), opt->n_threads);
    if (st == KR_OK) {
        const kr_call *c = &b.call;
        kr_bench_length r = {.op = op,
                             .sizes = shown,
                             .L = L,
                             .forward = kr_bench_call_time(&b, false, opt),
                             .backward = kr_bench_call_time(&b, true, opt)};
        for (int i = 0; i < KR_MAX_IN; i++)
            r.tensor_bytes += (c->in[i].data ? 4 * kr_count(&c->in[i]) : 0) +
                              (c->din[i].data ? 4 * kr_count(&c->din[i]) : 0);
        for (int i = 0; i < KR_MAX_OUT; i++)
            r.tensor_bytes += (c->out[i].data ? 4 * kr_count(&c->out[i]) : 0) +
                              (c->dout[i].data ? 4 * kr_count(&c->dout[i]) : 0);
        r.work_bytes = (int64_t)(c->saved_bytes + (c->fwd_scratch > c->bwd_scratch ? c->fwd_scratch : c->bwd_scratch));
        row(user, &r);
    }
    kr_bench_call_close(&b);
    return st;
}

kr_status kr_bench_lengths(int64_t longest, const kr_bench_options *opt,
                           void (*row)(void *user, const kr_bench_length *r), void *user) {
    kr_bench_options o = kr_bench_defaults(opt);
    if (longest < 1024)
        KR_FAIL(KR_ERR_ARG, "the longest sequence is %lld steps, want 1024 or more", (long long)longest);
    for (int64_t L = 1024; L <= longest; L *= 4)
        KR_TRY(bench_length("ssd", "H8 P64 G1 N128 -Dhp -h0 -seq_idx -h", L, &o, row, user));
    for (int64_t L = 1024; L <= longest; L *= 4)
        KR_TRY(bench_length("selective_scan", "D512 G1 N16 -h0 -seq_idx -order -h", L, &o, row, user));
    return KR_OK;
}
