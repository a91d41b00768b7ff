/* lti_scan.h - the slots, options and discretisation of lti_scan. */
#ifndef KR_OPS_LTI_SCAN_H
#define KR_OPS_LTI_SCAN_H
#include "ops/op.h"

enum {
    LTI_U, LTI_LOG_DT, LTI_ARE, LTI_AIM, LTI_BRE, LTI_BIM, LTI_CRE, LTI_CIM, LTI_D, LTI_H0RE, LTI_H0IM,
    LTI_SEQ_IDX
};
enum { LTI_Y, LTI_HRE, LTI_HIM };
enum { LTI_ZOH, LTI_EULER, LTI_BILINEAR, LTI_MAMBA };
enum { LTI_LANES = 16, LTI_CHUNK = 64 }; /* channels of a tile; steps between the states that forward saves */

typedef struct lti_scan_attr { int64_t disc; } lti_scan_attr;

/* Plain pairs: complex.h is optional in C11 and foreign to C++. */
typedef struct lti_complex { double re, im; } lti_complex;
static inline lti_complex lti_mul(lti_complex a, lti_complex b) {
    return (lti_complex){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

/* One mode in discrete time: h[t] = a h[t-1] + gain B u[t]. */
typedef struct lti_mode { lti_complex a, gain; } lti_mode;
lti_mode lti_discretise(int64_t disc, double log_dt, lti_complex A);
/* The gradients of log_dt and A from those of a and gain (each d/d re + i d/d im). */
void lti_discretise_bwd(int64_t disc, double log_dt, lti_complex A, lti_complex da, lti_complex dgain, double *dlog_dt,
                        lti_complex *dA);

/* Floats of scratch for the fast form: of a thread, and of one tile's sums. */
int64_t lti_fwd_floats(int64_t N), lti_bwd_floats(int64_t N), lti_part_floats(int64_t N);

/* y of a bound call by FFT convolution with the kernel, instead of the recurrence: no h0, no
 * seq_idx, and no final state.  O(L log L) for each channel, whatever N is. */
kr_status kr_lti_conv(const kr_call *c);
#endif
