/* node.h - the inside of a graph, for the files of this folder only. */
#ifndef KR_GRAPH_NODE_H
#define KR_GRAPH_NODE_H
#include "graph/graph.h"

typedef enum kr_node_kind { KR_NODE_ACT, KR_NODE_INPUT, KR_NODE_CONST, KR_NODE_PARAM, KR_NODE_STATE, KR_NODE_GRAD, KR_NODE_SAVED, KR_NODE_SCRATCH } kr_node_kind;

struct kr_node {
    kr_node_kind kind;
    const char *name;      /* inputs, states, parameters, kept tensors; else NULL */
    kr_dtype dtype;
    int n_dims;
    int64_t dim[KR_MAX_DIMS];
    /* A view shows part of its root: columns [offset, offset + width) of rows of `pitch`.
     * A node that is no view is its own root.  width: elements of a row; pitch 0: the
     * rows lie side by side and any reshape is a view. */
    kr_node *root;
    int64_t offset, width, pitch;
    bool needs_grad, keep;
    bool from_params;      /* a function of parameters alone: stays float32 */
    kr_node *grad;         /* roots only: an ACT root's gradient */
    kr_param *param;
    kr_node *next, *start; /* of a state */
    const void *init;      /* of a constant */
    int maker;             /* the step whose output it is; -1: none */
    kr_node *again;        /* the same value, made again for backward; see grad.c */
    /* plan (roots only): steps [first, last] need it; where it lies */
    int first, last, n_uses;
    size_t bytes, at;
    kr_node *alias;        /* shares this root's memory instead (state in place) */
    void *data, *host;     /* host: its mirror, on a device */
    bool by_rows;          /* waves.c: has rows for sequences; of a state: */
    int segment;           /* ... the end of the steps that carry it */
    size_t row_at;         /* ... its bytes before it in a row of kr_graph_get_row */
    bool stale;            /* the mirror of a large kept tensor, until it is asked for */
    kr_node *all_next;     /* every node, in order of creation */
};

typedef struct kr_step {
    const kr_op *op;
    const void *attr;
    kr_node *in[KR_MAX_IN], *out[KR_MAX_OUT];
    kr_node *din[KR_MAX_IN], *dout[KR_MAX_OUT]; /* backward: views on gradients, or NULL */
    bool backward, dead;
    bool once;                 /* frozen; see kr_graph_options */
    bool acc[KR_MAX_IN];
    kr_node *zero[KR_MAX_IN];  /* gradient roots to clear before this step */
    kr_node *saved;            /* what forward saves for backward; both steps point to it */
    kr_node *scratch;          /* plan: what it needs while it runs; NULL: nothing */
    int block;                 /* -1: in none */
    int again;                 /* the step that repeats this one for backward; 0: none */
    int waiting;               /* the product whose dW waits for this one's backward to make its x again; 0: none */
    kr_call call;
} kr_step;

enum { KR_MAX_SCOPES = 16 };
typedef struct kr_piece_call { int64_t n; kr_call call; } kr_piece_call; /* a step over n sequences */
typedef struct kr_profile { double seconds; int64_t calls; } kr_profile;

/* device.c: what a graph on a device has besides. */
typedef struct kr_on_device {
    char *memory;             /* one block there: fixed, block */
    char *mirror;             /* here: fixed as there, then kept tensors */
    size_t in_bytes;          /* of fixed that go there at each run */
    kr_capture *recorded[2];  /* of each kr_run */
    int n_runs[2];
    bool refused;             /* recording failed once */
    bool pending;
    kr_status status;
    char error[512];
} kr_on_device;

struct kr_graph {
    kr_graph_options opt;
    kr_device *device;        /* that of the parameters; NULL: the CPU */
    kr_on_device *on;         /* NULL on a CPU */
    kr_dtype real;            /* of activations */
    kr_params *params;
    kr_arena arena;
    kr_status status;
    char error[1024];
    char scope[256];
    size_t scope_len[KR_MAX_SCOPES];
    int n_scopes;
    const char *shared;       /* parameters' name for the first shared_at bytes of scope; NULL: the scope's own */
    size_t shared_at;
    kr_node *nodes, **nodes_end;
    kr_step *steps;
    int n_steps, cap_steps, n_forward; /* forward steps come first, then recomputed and backward ones */
    int block, n_blocks;
    kr_node *loss_grad;
    float loss_scale;
    bool planned;
    bool ran;                 /* once, so that what is frozen is there */
    kr_graph_memory memory;
    char *block_data, *fixed;
    size_t fixed_bytes;
    kr_graph *states_of;      /* whose states are used; NULL: its own */
    int *segment;             /* waves.c, by steps: the end of the segment it is in; 0: none */
    kr_piece_call **piece;    /* ... [2]: of one sequence, of several */
    const kr_waves *waves;    /* of this run; NULL: all rows are one piece */
    bool profiling;
    kr_profile *profile;      /* one per step */
};

kr_node *kr_node_new(kr_graph *g, kr_node_kind kind, const char *name, kr_dtype dtype, int n_dims, const int64_t *dim);
/* A view on `root` that looks like `like` looks on its own root. */
kr_node *kr_node_view_as(kr_graph *g, kr_node *root, const kr_node *like);
kr_step *kr_step_new(kr_graph *g); /* NULL: failed */
kr_status kr_steps_trim(kr_graph *g);  /* no more will follow: the room for them is given back */
kr_tensor kr_node_shape(const kr_node *n); /* a tensor without data */
size_t kr_node_bytes(const kr_node *n);    /* as it is laid out */
bool kr_node_in_block(const kr_node *n);
size_t kr_state_row_bytes(const kr_node *state); /* of one sequence */

/* fuse.c: fewer ops for a decoding step on a GPU.  Before all other planning. */
kr_status kr_graph_fuse(kr_graph *g);

/* waves.c: before memory is placed; a segment in pieces, returns its end. */
kr_status kr_waves_plan(kr_graph *g);
int kr_waves_run(kr_graph *g, int first);

/* device.c */
enum { KR_SCALE_BYTES = 256 };             /* before the inputs: the factor of the loss */
kr_status kr_on_device_alloc(kr_graph *g); /* sets fixed, block_data */
void kr_on_device_free(kr_graph *g);
/* A kept tensor that a run left there, into its mirror; after a wait. */
void kr_on_device_fetch(const kr_graph *g, kr_node *n);
void kr_on_device_run(kr_graph *g, kr_run what, void (*steps)(kr_graph *g, kr_run what));
/* Is every element finite?  Waits, and copies from the device. */
kr_status kr_on_device_finite(kr_graph *g, const void *data, kr_dtype dtype, int64_t n, bool *finite);
#endif
