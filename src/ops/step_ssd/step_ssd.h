/* step_ssd.h - the slots and options of step_ssd, in the order of its signature. */
#ifndef KR_OPS_STEP_SSD_H
#define KR_OPS_STEP_SSD_H
#include "ops/op.h"

enum { STEP_SSD_X, STEP_SSD_DT, STEP_SSD_A, STEP_SSD_B, STEP_SSD_C, STEP_SSD_D, STEP_SSD_DT_BIAS, STEP_SSD_H0, STEP_SSD_Z, STEP_SSD_W };
enum { STEP_SSD_Y, STEP_SSD_H, STEP_SSD_Q };
typedef struct step_ssd_attr {
    int64_t dt_softplus;
    double dt_min, dt_max;
} step_ssd_attr;
#endif
