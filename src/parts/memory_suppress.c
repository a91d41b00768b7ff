/* memory_suppress.c - hidden-state suppression (DGMamba, Long et al. 2024): where a head forgets much in a step,
 * little of its state is read out.
 *
 *   y = w C h + D x      w = 1 if a = exp(dt A) is alpha or more, else a
 *
 * The states themselves go on as they were.  With one decay for each head (Mamba-2) w is one number for each head
 * and step, behind the scan; Mamba-1 has a decay for each number of a state, so there its scan does it. */
#include "ops/ops.h"
#include "parts/part.h"

#include "ops/selective_scan/selective_scan.h"
#include "ops/ssd/ssd.h"
#include "ops/suppress/suppress.h"
#include "ops/suppressed_scan/suppressed_scan.h"

typedef struct suppressed { double alpha; } suppressed;
static const kr_key keys[] = {
    KR_KEY_REAL(suppressed, alpha, 0.5, 0, 1, "what a state must keep of itself in a step to be read in full"),
    KR_KEY_END};

static kr_node *of_mamba1(kr_build *b, double alpha, kr_scan *s) {
    suppressed_scan_attr rule = {.alpha = alpha};
    kr_node *out[KR_MAX_OUT] = {NULL}, *in[KR_MAX_IN] = {
        [SUPPRESSED_U] = s->in[SCAN_U], [SUPPRESSED_DT] = s->in[SCAN_DT], [SUPPRESSED_A] = s->in[SCAN_A], [SUPPRESSED_B] = s->in[SCAN_B],
        [SUPPRESSED_C] = s->in[SCAN_C], [SUPPRESSED_D] = s->in[SCAN_D], [SUPPRESSED_DT_BIAS] = s->in[SCAN_DT_BIAS], [SUPPRESSED_H0] = s->in[SCAN_H0],
        [SUPPRESSED_SEQ_IDX] = s->in[SCAN_SEQ_IDX]};
    kr_node *y = kr_apply(b->g, &kr_op_suppressed_scan, &rule, in, out);
    s->out[SCAN_Y] = y;
    s->out[SCAN_H] = out[SUPPRESSED_H];
    return y;
}

static kr_node *build(kr_build *b, const void *opt, kr_node *u) {
    kr_scan *s = &b->scan[b->n_scan];
    const ssd_attr *a = s->attr;
    kr_node *in[KR_MAX_IN];
    (void)u;
    if (s->op == &kr_op_selective_scan) return of_mamba1(b, ((const suppressed *)opt)->alpha, s);
    if (s->read) return kr_graph_fail(b->g, KR_ERR_CONFIG, "memory \"suppress\" wants the mixer mamba1 or mamba2: with mamba3 a state holds what the step before it brings, too, so no single decay tells what is being forgotten");
    if (s->op != &kr_op_ssd || s->in[SSD_DHP])
        return kr_graph_fail(b->g, KR_ERR_CONFIG, "memory \"suppress\" wants the mixer mamba1, or mamba2 with one D a head, not %s", s->op == &kr_op_ssd ? "D_has_hdim" : s->op->name);
    for (int k = 0; k < KR_MAX_IN; k++) in[k] = s->in[k];
    in[SSD_D] = NULL;
    suppress_attr rule = {.alpha = ((const suppressed *)opt)->alpha, .dt_min = a->dt_min, .dt_max = a->dt_max};
    kr_node *y = kr_apply(b->g, s->op, a, in, s->out);
    return KR_APPLY(b->g, suppress, &rule, y, s->in[SSD_X], s->in[SSD_DT], s->in[SSD_A], s->in[SSD_D], s->in[SSD_DT_BIAS]);
}

const kr_part kr_part_memory_suppress = {.kind = "memory", .name = "suppress", .about = "states that are being forgotten are read out less (DGMamba)",
                                         .bytes = sizeof(suppressed), .keys = keys, .causal = true, .build = build};
