/* check_lstm.c - lstm against torch.nn.LSTM: two sequences of three steps, one layer, H = 2.
 *
 * The numbers are PyTorch's in float64: manual_seed(3), LSTM(3, 2), normal inputs and states; x is what
 * goes into the gates, inputs times weight_ih_l0 with both biases.  The loss is sum(y [1, 2, ... 12] / 10) +
 * sum(c [.3, -.7, .2, .5]). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "ops/lstm/lstm.h"
#include "ops/ops.h"

static const float x[] = {-0.66917564f, -1.1880018f, 0.37661802f, 0.02124442f, -0.8343785f, 0.23391088f,
    -0.069099187f, 1.3033937f, -0.45187588f, -0.34679461f, -0.37493068f, -0.19902491f, 0.58557188f, -0.88812318f,
    -0.063414944f, -0.72068341f, 0.49775111f, -0.5525985f, -0.076516889f, 0.28687206f, 1.2411525f, 0.21785776f,
    0.45641859f, 0.0070561067f, 0.44460215f, -1.4545488f, 0.44804571f, 0.79763654f, 0.38186635f, 1.2782481f,
    0.90156856f, 1.8626398f, 0.15171707f, -0.4979494f, 0.29226044f, -0.18220933f, 0.23851847f, 0.28985976f,
    -0.27422532f, 0.33371409f, -0.20008091f, -1.1208514f, 0.204152f, 0.30543857f, -0.0064353241f, 0.36028473f,
    0.36066446f, 1.0528429f};
static const float W[] = {-0.083186578f, -0.58741795f, -0.095441196f, 0.098637715f, 0.092114614f, 0.30224754f,
    0.47890428f, -0.64802949f, -0.70110722f, -0.56881495f, -0.52070616f, 0.50973843f, -0.44474178f, -0.059560096f,
    -0.021729551f, 0.58212102f};
static const float h0[] = {-1.2311726f, -0.01804579f, -0.53182735f, -0.54762495f};
static const float c0[] = {-1.0666859f, 1.5187793f, -0.019928946f, -1.0871673f};
static const float y[] = {-0.32615735f, 0.49244631f, -0.048969385f, 0.022828049f, 0.27620412f, 0.062389557f,
    0.37302508f, -0.44982113f, 0.16092816f, -0.19465682f, 0.1284673f, -0.14580214f};
static const float cell[] = {0.48176494f, 0.12409066f, 0.22741383f, -0.20584174f};
static const float dW[] = {-0.045299747f, -0.025851457f, -0.099154966f, -0.07440522f, 0.12392829f, -0.077010951f,
    0.067687385f, 0.25340408f, 0.0018498951f, -0.22275076f, 0.20719417f, -0.32550915f, 0.022238228f, -0.037644781f,
    -0.019374227f, 0.093853241f};
static const float dh0[] = {-0.052001843f, -0.049576662f, -0.26614634f, 0.091720611f};
static const float dc0[] = {0.10801124f, -0.0008393657f, 0.21862357f, 0.89737671f};
static const float dx[] = {0.0017319328f, -0.00030602336f, -0.05022362f, -0.0008103757f, 0.0696762f,
    -0.00030022609f, -0.0045691999f, 0.0096877936f, 0.043277179f, 0.014990438f, -0.058004504f, -0.022901652f,
    0.10046888f, -0.049166018f, -0.006483818f, 0.0030023517f, 0.10973323f, -0.023272782f, -0.01306602f,
    -0.0057193346f, 0.093005401f, -0.13808985f, 0.05289297f, 0.018516521f, 0.065765574f, 0.16547263f,
    -0.0019252405f, -0.28243467f, 0.10276621f, 0.063967673f, 0.012700091f, -0.071821583f, 0.031020874f,
    -0.039139582f, 0.074510305f, -0.19140503f, 0.31739074f, 0.45169909f, 0.037982549f, -0.096041402f,
    -0.0017046888f, 0.042383953f, 0.085241818f, -0.12345601f, 0.38039076f, 0.30790871f, 0.06011352f, -0.049287397f};

enum { S = 2, L = 3, H = 2, D = 4 * H };
static float dy[S * L * H], dc[] = {.3f, -.7f, .2f, .5f};

static void close_to(const float *got, const float *want, size_t n) {
    for (size_t i = 0; i < n; i++) assert_true(fabsf(got[i] - want[i]) <= 2e-6f);
}

static void with(kr_impl impl) {
    float got_y[S * L * H], got_c[S * H], got_dx[S * L * D] = {0}, got_dW[D * H] = {0}, got_dh0[S * H] = {0}, got_dc0[S * H] = {0};
    kr_call c = {.n_threads = 1, .training = true, .impl = impl};
    c.in[LSTM_X] = (kr_tensor){.n_dims = 3, .dim = {S, L, D}, .data = (void *)x};
    c.in[LSTM_W] = (kr_tensor){.n_dims = 2, .dim = {D, H}, .data = (void *)W};
    c.in[LSTM_H0] = (kr_tensor){.n_dims = 2, .dim = {S, H}, .data = (void *)h0};
    c.in[LSTM_C0] = (kr_tensor){.n_dims = 2, .dim = {S, H}, .data = (void *)c0};
    assert_int_equal(kr_op_bind(&kr_op_lstm, &c), KR_OK);
    memcpy(c.din, c.in, sizeof c.din);
    c.din[LSTM_X].data = got_dx, c.din[LSTM_W].data = got_dW, c.din[LSTM_H0].data = got_dh0, c.din[LSTM_C0].data = got_dc0;
    memcpy(c.dout, c.out, sizeof c.dout);
    for (int i = 0; i < S * L * H; i++) dy[i] = (float)(i + 1) / 10;
    c.out[LSTM_Y].data = got_y, c.out[LSTM_C].data = got_c, c.dout[LSTM_Y].data = dy, c.dout[LSTM_C].data = dc;
    c.scratch = kr_mem_new(c.fwd_scratch > c.bwd_scratch ? c.fwd_scratch : c.bwd_scratch);
    c.saved = kr_mem_new(c.saved_bytes);
    assert_true(c.scratch && c.saved);
    kr_op_forward(&kr_op_lstm, &c, impl);
    close_to(got_y, y, S * L * H);
    close_to(got_c, cell, S * H);
    kr_op_backward(&kr_op_lstm, &c, impl);
    close_to(got_dx, dx, S * L * D);
    close_to(got_dW, dW, D * H);
    close_to(got_dh0, dh0, S * H);
    close_to(got_dc0, dc0, S * H);
    kr_mem_free(c.scratch);
    kr_mem_free(c.saved);
}

static void as_torch(void **state) {
    (void)state;
    with(KR_REF);
    with(kr_cpu_best());
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_torch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
