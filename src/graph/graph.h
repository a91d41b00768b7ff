/* graph.h - a static graph of ops: build, grad, plan, alloc, run.
 *
 *     kr_graph_new(&g, params, &opt);
 *     kr_node *x = kr_input(g, "x", KR_F32, 3, KR_DIMS(S, L, M));
 *     kr_node *y = ...ops and parts...;
 *     kr_graph_keep(g, y, "y");
 *     kr_graph_grad(g, loss);               training only
 *     kr_graph_plan(g);                     every byte is known here, none is taken
 *     kr_graph_alloc(g);                    ... and taken here (kr_params_alloc before)
 *     memcpy(kr_graph_data(g, "x"), ...); kr_graph_run(g, KR_RUN_ALL);
 *
 * On a device.  A graph runs where its parameters are (kr_params_new).  There kr_graph_run only
 * queues the work, and what kr_graph_data and kr_node_tensor give is a mirror in the host's
 * memory: inputs go from it to the device at each run, kept tensors come back into it, and
 * kr_graph_data waits for that.  The second run of a kind is recorded and repeated from then
 * on, so a run is one launch.  Over parameters whose matrices are bfloat16, activations are
 * bfloat16 too, but for what a signature marks @f; casts are put in where the two meet, and
 * kept tensors are float32.  Kept tensors of more than 1 MB come back when they are asked for.
 *
 * A builder needs no error checks: the graph keeps its first failure, ignores what
 * follows (nodes are then NULL, and every call takes NULL), and kr_graph_plan returns it.
 *
 * Running allocates nothing.  Backward is deterministic: the order of all sums is fixed
 * when the graph is built. */
#ifndef KR_GRAPH_GRAPH_H
#define KR_GRAPH_GRAPH_H
#include "graph/params.h"
#include "ops/op.h"

typedef struct kr_graph kr_graph;
typedef struct kr_node kr_node; /* one tensor of the graph; the graph owns it */

typedef struct kr_graph_options {
    kr_impl impl;      /* best implementation to run */
    int n_threads;
    bool training;     /* kr_graph_grad will be called */
    bool checkpoint;   /* keep only the inputs of blocks; recompute blocks in backward */
    bool remake;       /* make cheap values again in backward instead of keeping them; not with checkpoint */
    int64_t remake_scans; /* with remake: so many scans, from the last on, are made again as well */
    bool plain;        /* every op as it was built: no runs of ops are replaced by one (fuse.c) */
    kr_dtype state_dtype; /* of kr_state_low, on a GPU: KR_F32, KR_BF16 or KR_F16; not with training */
    bool waves;        /* kr_graph_run_waves will be called */
    bool frozen;       /* parameters do not change: what is computed from them alone is computed once */
} kr_graph_options;

kr_status kr_graph_new(kr_graph **out, kr_params *params, const kr_graph_options *opt);
void kr_graph_free(kr_graph *g);
const kr_graph_options *kr_graph_get_options(const kr_graph *g);

/* Fails the graph (if it has not failed yet).  Returns NULL, for use in a return. */
kr_node *kr_graph_fail(kr_graph *g, kr_status st, const char *fmt, ...) KR_PRINTF(3, 4);

/* --- leaves ------------------------------------------------------------------ */
#define KR_DIMS(...) ((const int64_t[]){__VA_ARGS__})
/* Filled by the caller before a run. */
kr_node *kr_input(kr_graph *g, const char *name, kr_dtype dtype, int n_dims, const int64_t *dim);
/* Copied at once; never changes. */
kr_node *kr_const_i32(kr_graph *g, const int32_t *x, int64_t n);
/* Zeroed memory that lasts as long as the graph, for whoever builds it; NULL: there is none, and the graph has failed. */
void *kr_graph_room(kr_graph *g, size_t bytes);
/* A vector of floats, each value as often as its piece is wide. */
typedef struct kr_piece { int64_t width; float value; } kr_piece;
kr_node *kr_const_pieces(kr_graph *g, const kr_piece *piece, int n);
/* A parameter; its name is put behind the open scopes. */
enum { KR_MATRIX = 1, KR_NO_DECAY = 2, KR_CONV = 4 }; /* as the fields of kr_param */
kr_node *kr_weight(kr_graph *g, const char *name, int flags, int n_dims, const int64_t *dim, kr_init init);
/* A tensor that lives from run to run, zero at first; `next` becomes its value after a
 * forward run.  kr_state may be called before `next` is known. */
kr_node *kr_state(kr_graph *g, const char *name, int n_dims, const int64_t *dim);
kr_node *kr_state_i32(kr_graph *g, const char *name, int n_dims, const int64_t *dim); /* a count */
/* The same of a state that may be stored in half (state_dtype). */
kr_node *kr_state_low(kr_graph *g, const char *name, int n_dims, const int64_t *dim);
void kr_state_set_next(kr_graph *g, kr_node *state, kr_node *next);
/* What a reset puts into the state: a parameter of the shape of one sequence, or zero. */
void kr_state_set_start(kr_graph *g, kr_node *state, kr_node *param);

/* Names: "a", then "b", gives "a.b.weight".  Each push is popped. */
void kr_scope_push(kr_graph *g, const char *name);
void kr_scope_pop(kr_graph *g);
/* Until the end, parameters are called as if all scopes open at the beginning were `name`, so that
 * whoever asks under the same name gets the same ones.  States keep their own names.  Not nested. */
void kr_share_begin(kr_graph *g, const char *name);
void kr_share_end(kr_graph *g);

/* --- ops and views -------------------------------------------------------------- */
/* in has an entry for each input of the op (NULL: absent); out gets one for each output
 * and may be NULL.  Returns output 0.  attr NULL: the defaults. */
kr_node *kr_apply(kr_graph *g, const kr_op *op, const void *attr, kr_node *const *in, kr_node **out);
#define KR_APPLY(g, name, attr, ...) kr_apply(g, &kr_op_##name, attr, (kr_node *const[KR_MAX_IN]){__VA_ARGS__}, NULL)
/* Columns [start, start + width) of the last axis; no copy. */
kr_node *kr_columns(kr_graph *g, kr_node *x, int64_t start, int64_t width);
/* The same elements under other axes; a slice of columns keeps its leading axes. */
kr_node *kr_reshape(kr_graph *g, kr_node *x, int n_dims, const int64_t *dim);

int kr_node_dims(const kr_node *n);
int64_t kr_node_dim(const kr_node *n, int i); /* negative i counts from the end; 0 for a NULL node */

/* --- blocks: what checkpointing keeps the inputs of ------------------------------- */
void kr_block_begin(kr_graph *g);
void kr_block_end(kr_graph *g);

/* --- from graph to numbers --------------------------------------------------------- */
/* Keeps a tensor readable after a run, under a name. */
void kr_graph_keep(kr_graph *g, kr_node *n, const char *name);
/* Appends the reverse graph of a one-element loss.  Gradients of parameters are added
 * to param->grad; kr_params_zero_grad starts anew. */
void kr_graph_grad(kr_graph *g, kr_node *loss);
/* The factor of the loss in backward: 1 / number of accumulated batches. */
void kr_graph_set_loss_scale(kr_graph *g, float scale);

kr_status kr_graph_plan(kr_graph *g);
typedef struct kr_graph_memory { size_t inputs, activations, gradients, saved, state, scratch, block; } kr_graph_memory;
/* Bytes by kind, `scratch` those of the step that needs most; `block` is what activations,
 * gradients, saved values and scratch really take together, sharing memory over their lifetimes. */
kr_graph_memory kr_graph_get_memory(const kr_graph *g);
kr_status kr_graph_alloc(kr_graph *g);
/* Before alloc: the states are those of another graph of the same model, already allocated, so
 * that graphs of several lengths continue each other.  With a smaller S they are its first rows. */
void kr_graph_share_states(kr_graph *g, kr_graph *with);

typedef enum kr_run { KR_RUN_FORWARD, KR_RUN_ALL } kr_run;
void kr_graph_run(kr_graph *g, kr_run what);
/* waves.c, on a CPU, inference over single steps: pieces of rows one after the other, where row `at` + i of the
 * input is the next token of the sequence in row `row` + i of the states; so a sequence may have several
 * rows in a run, and every row has the bits of a run with one.  The states may have fewer rows than the graph.
 * `keep`: after the piece `after` the states of `row` as kr_graph_get_row gives them. */
typedef struct kr_wave { int64_t row, at, n; } kr_wave;
typedef struct kr_wave_keep { int after; int64_t row; void *to; } kr_wave_keep;
typedef struct kr_waves { const kr_wave *wave; int n; const kr_wave_keep *keep; int n_keep; } kr_waves;
void kr_graph_run_waves(kr_graph *g, const kr_waves *w);
/* On a CPU: until it runs again nobody looks at what it has but its states, so the memory for the rest is left to the system. */
void kr_graph_rest(kr_graph *g);
/* Until what was run is done; a failure of the device is told here.  At once on a CPU. */
kr_status kr_graph_wait(const kr_graph *g);
/* Forward again, looking at every output: the first tensor that is not finite is named in
 * the sentence of KR_ERR_NUMERIC. */
kr_status kr_graph_find_bad(kr_graph *g);

/* Before plan, on a CPU: keeps what every step of this op reads and makes. */
void kr_graph_watch(kr_graph *g, const kr_op *op);
/* After a run: the i-th step, in order, of one of these ops (NULL ends), which, and the block it is in; NULL past the last. */
const kr_call *kr_graph_watched(const kr_graph *g, const kr_op *const *ops, int i, int *block, const kr_op **op);

/* The memory of an input, a kept tensor or a state (waits, see above); NULL if there is none of that name. */
void *kr_graph_data(const kr_graph *g, const char *name);
kr_node *kr_graph_find(const kr_graph *g, const char *name);
kr_tensor kr_node_tensor(const kr_node *n);

/* States in order of creation: what a session saves, copies, forks and resets. */
int kr_graph_n_states(const kr_graph *g);
kr_node *kr_graph_get_state(const kr_graph *g, int i);
const char *kr_node_name(const kr_node *n);
/* All states into the memory that kr_node_tensor shows, and from there; for a CPU they are there. */
kr_status kr_graph_fetch_states(kr_graph *g);
kr_status kr_graph_push_states(kr_graph *g);
/* Zero (or the learnt start) for the sequences where which[s] is set; NULL: all. */
void kr_graph_reset_states(kr_graph *g, const bool *which);

/* rows.c: what one sequence remembers, all its states one behind the other, in host memory and
 * back, and from graph to graph of one model; the copies are exact.  A device is waited for. */
size_t kr_graph_row_bytes(const kr_graph *g);
kr_status kr_graph_get_row(kr_graph *g, int64_t row, void *to);
kr_status kr_graph_put_row(kr_graph *g, int64_t row, const void *from);
kr_status kr_graph_copy_row(kr_graph *to, int64_t row, kr_graph *from, int64_t from_row);

/* Seconds and calls of each op since the last clearing; filled while profiling is on. */
typedef struct kr_profile_row { const char *op; bool backward; double seconds, flops; int64_t calls; } kr_profile_row;
void kr_graph_set_profile(kr_graph *g, bool on);
int kr_graph_get_profile(const kr_graph *g, kr_profile_row *rows, int cap);
#endif
