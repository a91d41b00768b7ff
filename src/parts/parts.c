/* parts.c - the list of parts, and the steps that mixers share. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "ops/binary/binary.h"
#include "ops/binary_row/binary_row.h"
#include "ops/conv1d/conv1d.h"
#include "ops/layernorm/layernorm.h"
#include "ops/ops.h"
#include "ops/rmsnorm/rmsnorm.h"
#include "ops/unary/unary.h"
#include "parts/part.h"

const kr_part *const kr_parts[] = {
#define PART(kind, name) &kr_part_##kind##_##name,
#include "parts/parts.def"
#undef PART
    NULL};

const kr_part *kr_part_find(const char *kind, const char *name) {
    for (int i = 0; kr_parts[i]; i++)
        if (strcmp(kr_parts[i]->kind, kind) == 0 && strcmp(kr_parts[i]->name, name) == 0) return kr_parts[i];
    return NULL;
}

kr_status kr_part_read(const char *kind, const char *def, const json_t *object, const char *where, kr_arena *arena,
                       const kr_part **part, void **opt) {
    static const char *const also_any[] = {"type", NULL}, *const also_mixer[] = {"type", "in_scale", "out_scale", "ways", "order", NULL}; /* whoever builds it reads them */
    const char *const *also = strcmp(kind, "mixer") == 0 ? also_mixer : also_any;
    const json_t *type = json_object_get(object, "type");
    const char *name = json_is_string(type) ? json_string_value(type) : def;
    const kr_part *p = kr_part_find(kind, name);
    if (!p || (type && !json_is_string(type))) {
        char known[256] = "";
        for (int i = 0; kr_parts[i]; i++)
            if (strcmp(kr_parts[i]->kind, kind) == 0) {
                if (*known) strncat(known, ", ", sizeof known - strlen(known) - 1);
                strncat(known, kr_parts[i]->name, sizeof known - strlen(known) - 1);
            }
        KR_FAIL(KR_ERR_CONFIG, "%s.type: there is no %s \"%s\"; there are %s", where, kind, p ? "?" : name, known);
    }
    void *o = kr_arena_new(arena, p->bytes + 1);
    if (!o) return KR_ERR_NOMEM;
    if (p->keys) KR_TRY(kr_keys_read_with(p->keys, object, where, also, o));
    *part = p;
    *opt = o;
    return KR_OK;
}

static kr_node *linear(kr_build *b, kr_node *x, const char *name, int64_t n_out, bool bias, double shrink) {
    int64_t n_in = kr_node_dim(x, -1);
    double r = n_in > 0 ? shrink / sqrt((double)n_in) : 0;
    kr_scope_push(b->g, name);
    kr_node *W = kr_weight(b->g, "weight", KR_MATRIX, 2, KR_DIMS(n_out, n_in), (kr_init){KR_INIT_UNIFORM, -r, r, 0, NULL});
    kr_node *c = bias ? kr_weight(b->g, "bias", KR_NO_DECAY, 1, &n_out, (kr_init){0}) : NULL;
    kr_node *s = b->input_scales ? kr_input_scale(b, "input_scale") : NULL;
    kr_scope_pop(b->g);
    return KR_APPLY(b->g, linear, NULL, x, W, c, s);
}

kr_node *kr_input_scale(kr_build *b, const char *name) {
    return kr_weight(b->g, name, KR_NO_DECAY, 1, KR_DIMS(1), (kr_init){KR_INIT_CONST, 1, 0, 0, NULL});
}

kr_node *kr_round8(kr_build *b, kr_node *x) { return KR_APPLY(b->g, round8, NULL, x, kr_input_scale(b, "x_scale")); }

kr_node *kr_linear(kr_build *b, kr_node *x, const char *name, int64_t n_out, bool bias) {
    return linear(b, x, name, n_out, bias, 1);
}

kr_node *kr_linear_out(kr_build *b, kr_node *x, const char *name, int64_t n_out, bool bias) {
    return linear(b, x, name, n_out, bias, 1 / sqrt((double)b->n_residual));
}

kr_node *kr_act(kr_build *b, kr_node *x, int kind) {
    unary_attr a = {.kind = kind, .alpha = 1};
    return KR_APPLY(b->g, unary, &a, x);
}

kr_node *kr_scale(kr_build *b, kr_node *x, double factor) {
    unary_attr a = {.kind = KR_UNARY_SCALE, .alpha = factor};
    return factor == 1 ? x : KR_APPLY(b->g, unary, &a, x);
}

kr_node *kr_add(kr_build *b, kr_node *x, kr_node *y) {
    binary_attr a = {.kind = KR_BINARY_ADD};
    return KR_APPLY(b->g, binary, &a, x, y);
}

/* back[idx[j]] = j, -1 for what idx has not; false if it has something twice. */
static bool inverse_of(const int32_t *idx, int64_t n, int32_t *back, int64_t L) {
    for (int64_t l = 0; l < L; l++) back[l] = -1;
    for (int64_t j = 0; j < n; j++) {
        if (idx[j] < 0 || idx[j] >= L) continue;
        if (back[idx[j]] >= 0) return false;
        back[idx[j]] = (int32_t)j;
    }
    return true;
}

kr_node *kr_steps_at(kr_build *b, kr_node *x, const int32_t *idx, int64_t n) {
    int64_t L = kr_node_dim(x, 1);
    kr_node *list = kr_const_i32(b->g, idx, n), *inverse = NULL;
    int32_t *back = b->training && L > 0 ? kr_mem_array((size_t)L, sizeof *back) : NULL;
    if (b->training && L > 0 && !back) return kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    if (back && inverse_of(idx, n, back, L)) /* the list itself, if it goes there and back alike */
        inverse = n == L && memcmp(idx, back, (size_t)n * sizeof *idx) == 0 ? list : kr_const_i32(b->g, back, L);
    kr_mem_free(back);
    return KR_APPLY(b->g, gather, NULL, x, list, inverse);
}

kr_node *kr_positions(kr_build *b, kr_node *x, const char *name) {
    int64_t S = kr_node_dim(x, 0), L = kr_node_dim(x, 1), D = kr_node_dim(x, 2), n = L * D;
    kr_node *p = kr_weight(b->g, name, KR_NO_DECAY, 2, KR_DIMS(L, D), (kr_init){KR_INIT_NORMAL, 0.02, 0, 0, NULL});
    binary_row_attr a = {.kind = KR_BINARY_ROW_ADD};
    kr_node *sum = KR_APPLY(b->g, binary_row, &a, kr_reshape(b->g, x, 2, KR_DIMS(S, n)), kr_reshape(b->g, p, 1, &n));
    return kr_reshape(b->g, sum, 3, KR_DIMS(S, L, D));
}

kr_node *kr_split_last(kr_build *b, kr_node *x, int64_t outer, int64_t inner) {
    return kr_reshape(b->g, x, 4, KR_DIMS(b->S, b->L, outer, inner));
}

static kr_node *conv1d(kr_build *b, kr_node *x, int64_t d_conv, bool bias, double init_range, bool silu) {
    conv1d_attr a = {.silu = silu};
    int64_t D = kr_node_dim(x, -1);
    double r = init_range > 0 ? init_range : 1 / sqrt((double)d_conv);
    kr_init u = {KR_INIT_UNIFORM, -r, r, 0, NULL}, ub = {KR_INIT_UNIFORM, -1 / sqrt((double)d_conv), 1 / sqrt((double)d_conv), 0, NULL};
    kr_scope_push(b->g, "conv1d");
    kr_node *w = kr_weight(b->g, "weight", KR_CONV, 2, KR_DIMS(D, d_conv), u);
    kr_node *c = bias ? kr_weight(b->g, "bias", KR_NO_DECAY, 1, &D, ub) : NULL;
    kr_scope_pop(b->g);
    kr_node *x0 = b->stateful ? kr_state(b->g, "conv_state", 3, KR_DIMS(b->S, d_conv - 1, D)) : NULL, *out[KR_MAX_OUT];
    kr_node *y = kr_apply(b->g, &kr_op_conv1d, &a, (kr_node *const[KR_MAX_IN]){x, w, c, x0, b->seq_idx}, out);
    if (y && x0) kr_state_set_next(b->g, x0, out[CONV1D_X1]);
    return y;
}

kr_node *kr_conv1d(kr_build *b, kr_node *x, int64_t d_conv, bool bias, double init_range) {
    return conv1d(b, x, d_conv, bias, init_range, true);
}
kr_node *kr_conv1d_plain(kr_build *b, kr_node *x, int64_t d_conv, bool bias) { return conv1d(b, x, d_conv, bias, 0, false); }

kr_node *kr_rmsnorm(kr_build *b, kr_node *x, const char *name, double eps) {
    int64_t D = kr_node_dim(x, -1);
    rmsnorm_attr a = {.eps = eps};
    kr_scope_push(b->g, name);
    kr_node *w = kr_weight(b->g, "weight", KR_NO_DECAY, 1, &D, (kr_init){KR_INIT_CONST, 1, 0, 0, NULL});
    kr_scope_pop(b->g);
    return KR_APPLY(b->g, rmsnorm, &a, x, w);
}

kr_node *kr_layernorm(kr_build *b, kr_node *x, const char *name, double eps) {
    int64_t D = kr_node_dim(x, -1);
    layernorm_attr a = {.eps = eps};
    kr_scope_push(b->g, name);
    kr_node *w = kr_weight(b->g, "weight", KR_NO_DECAY, 1, &D, (kr_init){KR_INIT_CONST, 1, 0, 0, NULL});
    kr_node *c = kr_weight(b->g, "bias", KR_NO_DECAY, 1, &D, (kr_init){0});
    kr_scope_pop(b->g);
    return KR_APPLY(b->g, layernorm, &a, x, w, c);
}

bool kr_has_memory(const kr_build *b) { return b->memory && b->memory != &kr_part_memory_plain; }

kr_node *kr_read_out(kr_build *b, const kr_scan *s, kr_node **out) {
    if (!kr_has_memory(b)) return kr_apply(b->g, s->op, s->attr, s->in, out);
    KR_ASSERT(b->n_scan < KR_MAX_PATHS * b->n_residual && s->op->attr_bytes <= sizeof s->own_attr);
    kr_scan *mine = &b->scan[b->n_scan];
    *mine = *s;
    if (s->attr) memcpy(&mine->own_attr, s->attr, s->op->attr_bytes);
    else kr_attr_defaults(s->op, &mine->own_attr);
    mine->attr = &mine->own_attr;
    mine->residual = b->residual;
    if (b->n_scan && mine[-1].residual == b->residual) mine->path = mine[-1].path + 1;
    kr_node *y = b->memory->build(b, b->memory_opt, s->u);
    memcpy(out, mine->out, sizeof mine->out);
    b->n_scan++;
    return y;
}

kr_node *kr_decay(kr_build *b, int n_dims, const int64_t *dim, kr_init init) {
    return kr_act(b, kr_weight(b->g, "A_log", KR_NO_DECAY, n_dims, dim, init), KR_UNARY_NEG_EXP);
}
