/* config.h - what a model is: its sizes and its parts, read from config.json.
 *
 * Three dialects are read: Krait's own (model_type "krait": the parts by name), Hugging
 * Face's (mamba, falcon_mamba, mamba2) and state-spaces' (ssm_cfg).  The last two are
 * translated into the first by one table each, and back by the same table, so a model
 * that Hugging Face can describe is saved as Hugging Face describes it. */
#ifndef KR_MODEL_CONFIG_H
#define KR_MODEL_CONFIG_H
#include "parts/part.h"

/* A layer: x + part(norm(x)) for each of its parts; parts beside each other share the norm. */
enum { KR_MAX_RESIDUALS = 6 };
typedef struct kr_residual {
    const kr_part *part;
    const void *opt;
    const kr_part *order;        /* in which it sees the steps: its own, or the config's */
    const void *order_opt;
    double in_scale, out_scale;  /* factors of its input and output */
    int64_t ways;                /* groups of channels that it works on one by one, with the same parameters; 1: all at once */
    bool beside;                 /* the part before it */
} kr_residual;
typedef struct kr_layer { kr_residual part[KR_MAX_RESIDUALS]; int n; } kr_layer;

typedef struct kr_config {
    kr_arena arena;
    json_t *json;                /* in Krait's own dialect */
    const char *dialect;         /* "krait", "mamba", "falcon_mamba", "mamba2", "state-spaces" */
    int64_t d_model, n_layer, vocab_size, eos_token_id, bos_token_id;
    double norm_eps;
    bool tie_embeddings;
    const kr_part *encoder, *condition, *order, *mixer, *memory, *head;
    void *encoder_opt, *condition_opt, *order_opt, *mixer_opt, *memory_opt, *head_opt;
    kr_layer *pattern;           /* of the layers, repeated */
    int64_t n_pattern, n_residual; /* entries; parts of all layers together */
    bool as_they_come;           /* every mixer sees the steps so: no order changes that */
    bool causal;                 /* neither the order nor a layer sees a later step */
} kr_config;

static inline const kr_layer *kr_config_layer(const kr_config *c, int64_t i) { return &c->pattern[i % c->n_pattern]; }

/* The top-level keys, for help. */
extern const kr_key kr_config_keys[];

/* Reads any dialect.  `where` names the text in errors.  The caller clears on success. */
kr_status kr_config_read(kr_config *c, const json_t *json, const char *where);
kr_status kr_config_load(kr_config *c, const char *path);
void kr_config_clear(kr_config *c);
/* The JSON to save: Hugging Face's dialect where it can say the same, else our own.  New
 * reference. */
kr_status kr_config_write(const kr_config *c, json_t **out);

/* layers.c, for config.c: the pattern from c->json once the mixer is read, and back. */
kr_status kr_layers_read(kr_config *c);
kr_status kr_layers_write(const kr_config *c, json_t *own);
/* What any mixer may have, ways, scales and an order of its own, into its object, unless they are as ever. */
kr_status kr_scales_write(const kr_config *c, const kr_residual *r, json_t *object);
/* {"type": ...} with all options. */
json_t *kr_part_write(const kr_part *part, const void *opt);
#endif
