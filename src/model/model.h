/* model.h - a model: its config, its parameters, and the graphs that compute it. */
#ifndef KR_MODEL_MODEL_H
#define KR_MODEL_MODEL_H
#include "krait/tokenizer.h"
#include "model/config.h"

typedef struct kr_model {
    kr_config config;
    kr_params *params;
    json_t *preprocessor;     /* how its data were made ready, for more of them; NULL: texts, or not known */
    kr_tokenizer *tokenizer;  /* of the folder; NULL: none, or one that Krait does not read */
    char no_tokenizer[256];   /* why, in the latter case */
    char *chat_template;      /* how conversations become text; NULL: it brings none */
} kr_model;

/* Describes a model: every parameter has a name and a shape, none has memory yet.  device:
 * "cuda", "cuda:1", ...; NULL or "cpu": the CPU. */
kr_status kr_model_describe(kr_model **out, const json_t *config, const char *where, kr_dtype matrix_dtype, const char *device);
void kr_model_release(kr_model *m);

typedef enum kr_model_mode {
    KR_MODEL_TRAIN,   /* inputs, targets -> "loss", and gradients */
    KR_MODEL_LOSS,    /* inputs, targets -> "loss", "nll" */
    KR_MODEL_ALL,     /* inputs -> "logits" of every step */
    KR_MODEL_LAST,    /* inputs -> "logits" of the last step; the weights are those of its first run */
    KR_MODEL_HIDDEN,  /* inputs -> "hidden" [S, L, M]: what the head would read, of every step */
} kr_model_mode;

typedef struct kr_model_graph_options {
    kr_model_mode mode;
    int64_t S, L;
    bool stateful;      /* starts from its states and leaves them there */
    bool packed;        /* takes "seq_idx" */
    bool no_balance;    /* the loss is the head's alone, without those of routers */
    bool checkpoint;    /* recompute each layer in backward */
    bool remake;        /* make cheap values again in backward: always on a device, where memory is dear */
    int64_t remake_scans; /* and so many scans, those of the last layers */
    double dropout;     /* of each mixer's output while training; takes "dropout_key.0", ... */
                        /* an order that shuffles takes "shuffle_key.0", ... likewise */
    double embedding_dropout; /* of the encoder's output while training; takes "dropout_key.N", N the number of mixers */
    kr_dtype state_dtype; /* how an SSM's states are stored on a GPU: KR_F32, KR_BF16, KR_F16; not in training */
    bool plain;         /* every op as the parts build it; see kr_graph_options */
    int n_threads;      /* 0: kr_cpu_threads() */
    kr_impl impl;       /* KR_REF: kr_cpu_best(); on a device there is one */
    const kr_op *const *watch; /* ops to look at afterwards, NULL ends; see kr_graph_watch */
    bool waves;         /* kr_graph_run_waves will be called */
    kr_graph *states_of; /* share the states of this graph; may be NULL */
} kr_model_graph_options;

/* Builds and plans; the caller allocates (kr_params_alloc first, then kr_graph_alloc) and
 * frees.  Inputs by name: "ids" or "x", "targets" or "y", "seq_idx". */
kr_status kr_model_graph(kr_model *m, const kr_model_graph_options *opt, kr_graph **out);

/* Steps of a row: those that the encoder or the order says (of a picture: its cells), else L. */
int64_t kr_model_steps(const kr_model *m, int64_t L);

/* The type of a name: NULL or "float32"; "bfloat16" and "float16" if the model is on a GPU. */
kr_status kr_state_dtype(kr_dtype *out, const char *name, const kr_model *m);

/* As `matrix_dtype` of kr_model_load: as the file has them where that can be computed with (inference:
 * in blocks, on a CPU in 16 bits too), else float32. */
#define KR_AS_STORED ((kr_dtype)KR_N_DTYPE)
/* What a matrix becomes in a model stored as `dtype`.  Of the types of blocks each takes the next
 * that divides its rows, at last float16; of 4 bits tables and heads are Q6_K (or Q8_0), as every
 * token passes through them. */
kr_dtype kr_matrix_dtype(const kr_param *p, kr_dtype dtype);
/* Before params are allocated, and without training: a matrix is to be held so, where its device can. */
void kr_model_choose_dtype(const kr_model *m, kr_param *p, kr_dtype dtype);

/* Reads config.json, the weights and tokenizer.json (if there is one) of a folder, or a GGUF file; params
 * are allocated, or lie in the file's map where it has them in their type (CPU, no training).  A
 * tokenizer that Krait does not read is no failure: see no_tokenizer. */
kr_status kr_model_load(kr_model **out, const char *dir, bool training, kr_dtype matrix_dtype, const char *device);
/* The same to run it: on a CPU matrices are read and woven, so that products of few rows need not turn them around;
 * or only those in blocks, which gain the most. */
kr_status kr_model_load_woven(kr_model **out, const char *dir, kr_weaving weave, kr_dtype matrix_dtype, const char *device);
/* context.c: kr_model_context for all graphs to come. */
void kr_model_set_context(kr_model *m, int64_t n);
bool kr_model_is_gguf(const char *path);
/* A GGUF file's chat template and the texts of its start and end; NULL: it has none. */
typedef struct kr_gguf_chat { const char *text, *bos, *eos; } kr_gguf_chat;
kr_status kr_gguf_get_chat(kr_gguf_chat *out, kr_arena *arena, const char *path);
/* chat_template.c: of a folder or a GGUF file (NULL: none), into a folder, and as tokenizer_config.json has it. */
kr_status kr_model_read_chat(char **text, const char *path);
kr_status kr_model_write_chat(const kr_model *m, const char *folder);
const char *kr_chat_template_of(const json_t *v);
/* The config of a folder or of a GGUF file (new reference), and what to call it in messages. */
kr_status kr_model_read_config(json_t **config, char where[4096], const char *path);
/* Fills the parameters from model.safetensors (or its shards) in a folder. */
kr_status kr_model_read_weights(kr_model *m, const char *dir);
/* Writes config.json, model.safetensors, the tokenizer and preprocessor_config.json, each atomically; matrices as
 * kr_matrix_dtype says. */
kr_status kr_model_save(const kr_model *m, const char *dir, kr_dtype dtype);

/* Does a text model read bytes?  (256 ids and no tokenizer file) */
bool kr_model_is_bytes(const kr_model *m);
/* A model by its config and a sample of its weights: 32 digits. */
enum { KR_MODEL_SIGN = 32 };
void kr_model_sign(char to[KR_MODEL_SIGN + 1], const kr_model *m);
#endif
