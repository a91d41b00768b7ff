/* part.h - a part: one piece of a model, named by a JSON config.
 *
 * A part is one file and one record: its JSON keys with defaults and help, and a function
 * that adds ops to a graph.  The config names an encoder, an order, a mixer and a head;
 * model/ puts them together.  A new data kind is a new part, not a new program.
 *
 *   encoder   inputs            -> x [S, L, M]
 *   condition inputs            -> what every layer is told beside x
 *   order     x, a mixer        -> x: in what order the mixer sees the steps
 *   mixer     x [S, L, M]       -> x [S, L, M]
 *   memory    a mixer's scan    -> what is read out of its states
 *   head      x                 -> outputs, and a loss
 *
 * Builders need no error checks; see graph.h. */
#ifndef KR_PARTS_PART_H
#define KR_PARTS_PART_H
#include "base/keys.h"
#include "graph/graph.h"

typedef struct kr_part kr_part;

enum { KR_MAX_PATHS = 16 }; /* of an order: mixers it builds for one layer */

/* A router, whose load-balance loss times `weight` training adds to the loss. */
typedef struct kr_balance { kr_node *logits, *idx; double weight; } kr_balance;

/* What a part on the way down leaves for one on the way up (a U-Net's skip), with its pictures. */
enum { KR_MAX_SKIPS = 8 };
typedef struct kr_skip { kr_node *x; int64_t L, H, W; } kr_skip;
/* The recurrence of a mixer: an op with states, and what goes in.  What reads them out is `C`; y = D x
 * is added by the op itself.  Where that is not all, `read` gives what the C of `by` reads out of the states of
 * `from`, [S, L, ranks E], with D x if they are the same. */
typedef struct kr_build kr_build;
typedef struct kr_scan kr_scan;
struct kr_scan {
    const kr_op *op;
    const void *attr;         /* copied when the op is applied */
    kr_node *in[KR_MAX_IN], *out[KR_MAX_OUT];
    kr_node *u;               /* the mixer's input [S, L, M] */
    int64_t E;                /* numbers of a step of what is read out */
    int64_t ranks;            /* times so many outputs of the same states; 0: one */
    kr_node *(*read)(kr_build *b, const kr_scan *from, const kr_scan *by); /* NULL: op, with the C of `by` */
    const void *flow;         /* the mixer's own, for `read`; kept as long as the graph is built */
    int64_t residual;         /* whose it is: as kr_build's, and the how-manieth of it in an order of several paths */
    int path;
    union { double align; char bytes[64]; } own_attr; /* attr's copy, for later layers */
};

/* A grid of cells cut into patches: sides of the grid, of a patch, from patch to patch, and patches along each axis. */
typedef struct kr_cut { int n_axes; int64_t size[3], patch[3], stride[3], n[3]; } kr_cut;

/* What a part knows of the model it is built into. */
struct kr_build {
    kr_graph *g;
    int64_t S, L, d_model, vocab_size; /* an encoder may change S and L, a part of `stream` L, H, W and d_model */
    int64_t batch;            /* rows of the input: S, unless an encoder makes several sequences of a row */
    enum { KR_STEPS_MOMENTS, KR_STEPS_VARIABLES, KR_STEPS_PIECES } steps_are; /* of a series: what a step is; a piece is of one variable */
    kr_cut cut;               /* how an encoder cut its input into steps; n_axes 0: a step is a cell */
    int64_t H, W;             /* the steps are pictures of H rows and W columns (L = H W, or frames of a clip); 0: a line */
    kr_skip skip[KR_MAX_SKIPS];
    int n_skip;
    kr_node *complement;      /* int32 [V]: the sequences are strands of S / 2 rows (strands.h), a letter's complement; NULL: they are not */
    kr_node *len;             /* int32 [rows]: steps of each, where the encoder asks; NULL: heads ask */
    kr_node *token;           /* int32: where the learnt tokens stand that were put between the steps; NULL: there are none */
    kr_node *edge_from, *edge_to; /* int32 [S, J]: the steps are nodes of a graph that these edges join; NULL: of none */
    kr_node *edge;            /* [S, J, M] a vector of each edge, which layers change */
    int64_t n_ties;           /* mixers so far that walk drawn orders of nodes */
    int64_t layer, residual;  /* which layer, and which branch of all layers, from 0 */
    int64_t n_residual;       /* branches of all layers together */
    double norm_eps;
    kr_node *embedding;       /* what the encoder made */
    kr_node *condition;       /* [batch, any width] what norms are told (condition.h); NULL: nothing */
    bool gated;               /* ... as shift, scale and gate, not as a shift alone */
    kr_node *gate;            /* [S, L, M] factor of what the layer at hand gives; NULL: none */
    int64_t n_shared;         /* uses of shared blocks so far */
    kr_balance *balance;      /* of the routers so far; room for n_residual */
    int n_balance;
    kr_node *seq_idx;         /* int32 [S, L]: packed documents; NULL: one each row */
    bool training;            /* the graph is one to learn with */
    bool stateful;            /* states go in and out: decoding, or windows that carry */
    bool all_logits;          /* the head gives scores of every step, not only of the last */
    bool tied;                /* the head shares the token table */
    bool input_scales;        /* products have a parameter that is the scale of their input's eight bits */
    const kr_part *mixer;     /* for an order */
    const void *mixer_opt;
    const kr_part *memory;    /* for a mixer; NULL: plain */
    const void *memory_opt;
    kr_scan *scan;            /* for a memory rule: the scan at hand, behind those of shallower layers */
    int n_scan;               /* of those; room for KR_MAX_PATHS * n_residual */
};

struct kr_part {
    const char *kind, *name;  /* "mixer", "mamba2" */
    const char *about;        /* one line */
    size_t bytes;             /* of its options */
    const kr_key *keys;
    bool causal;              /* a step sees no later one, so it can be decoded step by step */
    bool before;              /* a mixer of the residual stream itself, added to the input of the part behind it */
    bool pointwise;           /* a mixer that mixes no steps: the order does not matter to it */
    bool own_order;           /* a mixer that orders the steps itself */
    bool stream;              /* a mixer that makes a new residual stream of the old one: other steps, another width */
    bool (*looks_ahead)(const void *opt); /* a causal mixer that is not with these options; NULL: always is */
    kr_node *(*build)(kr_build *b, const void *opt, kr_node *x);
    kr_node *(*loss)(kr_build *b, const void *opt, kr_node *x); /* heads */
    int64_t (*steps)(const void *opt); /* encoders, orders: the steps a row must have; 0 or NULL: any number */
};

#define PART(kind, name) extern const kr_part kr_part_##kind##_##name;
#include "parts/parts.def"
#undef PART

extern const kr_part *const kr_parts[]; /* NULL ends */
const kr_part *kr_part_find(const char *kind, const char *name);
/* Finds the part that object["type"] names and reads its other keys into *opt (from the
 * arena; texts stay the object's).  object NULL: the part `def` with its defaults. */
kr_status kr_part_read(const char *kind, const char *def, const json_t *object, const char *where, kr_arena *arena,
                       const kr_part **part, void **opt);

/* --- the small steps that mixers share -------------------------------------------- */
/* x W^T (+ b): a parameter NAME.weight [n_out, width of x], U(+-1/sqrt(width)), and
 * NAME.bias, zero. */
kr_node *kr_linear(kr_build *b, kr_node *x, const char *name, int64_t n_out, bool bias);
/* The same with weights shrunk by sqrt(n_residual), as the last product of a residual branch. */
kr_node *kr_linear_out(kr_build *b, kr_node *x, const char *name, int64_t n_out, bool bias);
/* Of int8_inputs: the parameter NAME [1]; and x in eight bits with the scale x_scale. */
kr_node *kr_input_scale(kr_build *b, const char *name);
kr_node *kr_round8(kr_build *b, kr_node *x);
kr_node *kr_act(kr_build *b, kr_node *x, int kind);
kr_node *kr_scale(kr_build *b, kr_node *x, double factor); /* x itself if it is 1 */
kr_node *kr_add(kr_build *b, kr_node *x, kr_node *y);
/* Steps of every sequence of x [S, L, D] by one list. */
kr_node *kr_steps_at(kr_build *b, kr_node *x, const int32_t *idx, int64_t n);
/* x with a learnt vector for each step, the parameter NAME [L, width of x]. */
kr_node *kr_positions(kr_build *b, kr_node *x, const char *name);
/* x itself, its elements under [S, L, ...]. */
kr_node *kr_split_last(kr_build *b, kr_node *x, int64_t outer, int64_t inner);
/* silu(conv1d(x)) with parameters conv1d.weight [D, K], conv1d.bias; carries its state. */
kr_node *kr_conv1d(kr_build *b, kr_node *x, int64_t d_conv, bool bias, double init_range);
kr_node *kr_conv1d_plain(kr_build *b, kr_node *x, int64_t d_conv, bool bias); /* without silu */
/* x over its root mean square in the last axis, times a parameter NAME.weight. */
kr_node *kr_rmsnorm(kr_build *b, kr_node *x, const char *name, double eps);
/* x less its mean, over its standard deviation, in the last axis; parameters NAME.weight and NAME.bias. */
kr_node *kr_layernorm(kr_build *b, kr_node *x, const char *name, double eps);
/* What a memory rule reads out of the scan's states, [S, L, ...]; sets s->out.  Without a rule: the op's output. */
kr_node *kr_read_out(kr_build *b, const kr_scan *s, kr_node **out);
/* Does the model have a rule that wants y before a gate inside the op? */
bool kr_has_memory(const kr_build *b);
/* -exp(A_log): the parameter A_log with this shape and initialisation. */
kr_node *kr_decay(kr_build *b, int n_dims, const int64_t *dim, kr_init init);
#endif
