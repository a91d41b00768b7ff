/* selective_scan.h - the slots, options and geometry of selective_scan. */
#ifndef KR_OPS_SELECTIVE_SCAN_H
#define KR_OPS_SELECTIVE_SCAN_H
#include "ops/op.h"

enum { SCAN_U, SCAN_DT, SCAN_A, SCAN_B, SCAN_C, SCAN_D, SCAN_Z, SCAN_DT_BIAS, SCAN_H0, SCAN_SEQ_IDX };
enum { SCAN_Y, SCAN_H };

/* How the recurrence is evaluated.  All agree to rounding; FAST is the implementation's own. */
enum { SCAN_FAST, SCAN_SEQUENTIAL, SCAN_BLELLOCH, SCAN_CHUNKED };
enum { SCAN_CHUNK = 64 }; /* steps between the states that forward saves for backward */

typedef struct selective_scan_attr { int64_t dt_softplus, form; } selective_scan_attr;
#endif
