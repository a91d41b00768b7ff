/* check_blas.c - linear by our own products against linear by OpenBLAS, at the sizes of a
 * small model.  Without KRAIT_BLAS there is nothing to check. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "ops/ops.h"

#ifdef KR_WITH_BLAS
enum { ROWS = 500, N = 258, K = 310 };
typedef struct sums { float y[ROWS * N], dx[ROWS * K], dw[N * K], db[N]; } sums;
static float x[ROWS * K], w[N * K], b[N], dy[ROWS * N];
static sums ours, theirs;

static void run(sums *s) {
    kr_call c = {.n_threads = 2, .training = true};
    c.in[0] = (kr_tensor){x, KR_F32, 2, {ROWS, K}, 0};
    c.in[1] = (kr_tensor){w, KR_F32, 2, {N, K}, 0};
    c.in[2] = (kr_tensor){b, KR_F32, 1, {N}, 0};
    assert_int_equal(kr_op_bind(&kr_op_linear, &c), KR_OK);
    c.out[0].data = s->y;
    c.dout[0] = c.out[0], c.dout[0].data = dy;
    float *const din[] = {s->dx, s->dw, s->db};
    for (int i = 0; i < 3; i++) c.din[i] = c.in[i], c.din[i].data = din[i];
    size_t bytes = c.fwd_scratch > c.bwd_scratch ? c.fwd_scratch : c.bwd_scratch;
    assert_int_equal(posix_memalign(&c.scratch, 64, bytes), 0);
    kr_op_forward(&kr_op_linear, &c, kr_cpu_best());
    kr_op_backward(&kr_op_linear, &c, kr_cpu_best());
    free(c.scratch);
}

static void draw(float *p, size_t count, kr_rng *r) {
    for (size_t i = 0; i < count; i++) p[i] = (float)(int32_t)(uint32_t)kr_rng_u64(r) / 2147483648.f;
}
#endif

static void blas_agrees(void **state) {
    (void)state;
#ifdef KR_WITH_BLAS
    kr_rng r = {.seed = 1};
    draw(x, ROWS * K, &r), draw(w, N * K, &r), draw(b, N, &r), draw(dy, ROWS * N, &r);
    unsetenv("KRAIT_GEMM");
    run(&ours);
    setenv("KRAIT_GEMM", "blas", 1);
    run(&theirs);
    const float *p = ours.y, *q = theirs.y;
    int64_t same = 0, count = sizeof ours / sizeof(float);
    for (int64_t i = 0; i < count; i++) {
        if (!(fabsf(p[i] - q[i]) <= 1e-4f)) fail_msg("number %lld: ours %g, OpenBLAS %g", (long long)i, p[i], q[i]);
        same += p[i] == q[i];
    }
    assert_true(same < count); /* or the switch does nothing */
#else
    skip();
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(blas_agrees)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
