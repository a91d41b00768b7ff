/* cmd_info.c - krait info: what a model is and takes. */
#include <getopt.h>
#include <string.h>

#include "cli.h"

static const char help[] =
    "usage: krait info MODEL                     (a folder, a GGUF file, or a config.json)\n\n"
    "  --memory        bytes to train and to run, by kind; nothing of it is taken\n"
    "  --batch N       rows of a training batch (8); sequences to run at once (1)\n"
    "  --length N      steps of a row (1024)\n"
    "  --context N     the same; and so far back attention sees while running (as the config says, or 2048)\n"
    "  --recompute     as train.recompute: keep only the inputs of layers\n"
    "  --tensors       every parameter with its shape (needs the weights)\n";

static void line(const char *name, int64_t bytes, const char *what) {
    char b[32];
    printf("  %-26s %12s   %s\n", name, human_bytes(bytes, b), what);
}

static void print_stored(const kr_model_info *i) {
    char b[32];
    if (!*i->format) return;
    printf("  weights      %s, %lld tensors, %s:", i->format, (long long)i->n_tensors, human_bytes(i->stored_bytes, b));
    for (int k = 0; k < 8 && i->stored[k].dtype; k++) printf("%s %s %s", k ? "," : "", i->stored[k].dtype, human_bytes(i->stored[k].n_bytes, b));
    printf("\n");
}

static void print_memory(const kr_model_info *i, int64_t n) {
    printf("\nto train with batches of %lld x %lld tokens\n", (long long)i->S, (long long)i->L);
    line("parameters", i->weights_bytes, "the weights");
    line("gradients", i->gradients_bytes, "of the weights, float32");
    line("optimiser", i->optimizer_bytes, "AdamW's two moments, float32");
    line("activations", i->train_activations_bytes, "every tensor of the forward pass, if none shared memory");
    line("activation gradients", i->train_gradients_bytes, "likewise of the backward pass");
    line("saved", i->train_saved_bytes, "what scans keep for backward: states at chunk boundaries");
    line("scratch", i->train_scratch_bytes, "the largest need of one op");
    line("block", i->train_block_bytes, "what the last four take together, sharing memory over time");
    line("inputs", i->train_inputs_bytes, "tokens and targets");
    line("in all", i->weights_bytes + i->gradients_bytes + i->optimizer_bytes + i->train_block_bytes + i->train_inputs_bytes,
         "parameters + gradients + optimiser + block + inputs");
    if (!i->causal) return;
    char b[32], state[80], all[80] = "at a context of 1 or of 1000000 tokens";
    int64_t weights = i->stored_bytes ? i->stored_bytes : i->weights_bytes;
    printf("\nto run %lld sequence%s, token by token, after any number of tokens\n", (long long)n, n > 1 ? "s at once" : "");
    line("weights", weights, i->stored_bytes ? "as they are stored, mapped (on a CPU)" : "in float32");
    snprintf(state, sizeof state, "all that is kept of what was read: %s a sequence", human_bytes(i->state_bytes, b));
    line("state", n * i->state_bytes, state);
    line("activations", n * i->infer_block_bytes, "of one token, scratch and all");
    if (i->context) snprintf(all, sizeof all, "at any context; attention sees %lld tokens back (--context)", (long long)i->context);
    line("in all", weights + n * (i->state_bytes + i->infer_block_bytes), all);
}

static int print_tensors(const char *path) {
    kr_model *m;
    const char *name;
    int n_dims;
    int64_t dim[6];
    bool decays;
    if (kr_model_open(&m, path, &(kr_model_options){.mapped = true}) != KR_OK) return fail();
    printf("\n");
    for (int64_t i = 0; kr_model_param(m, i, &name, &n_dims, dim, &decays); i++) {
        printf("  %-56s [", name);
        for (int d = 0; d < n_dims; d++) printf("%s%lld", d ? ", " : "", (long long)dim[d]);
        printf("]%s\n", decays ? "" : "  no weight decay");
    }
    kr_model_free(m);
    return 0;
}

int cmd_info(int argc, char **argv) {
    static const struct option options[] = {{"memory", 0, NULL, 'm'}, {"batch", 1, NULL, 'b'}, {"length", 1, NULL, 'l'}, {"context", 1, NULL, 'c'}, {"recompute", 0, NULL, 'r'},
                                            {"tensors", 0, NULL, 't'}, {"help", 0, NULL, 'h'}, {0}};
    double S = 8, L = 1024;
    int64_t n_run = 1, context = 0;
    bool memory = false, tensors = false, recompute = false;
    for (int c; (c = getopt_long(argc, argv, "mh", options, NULL)) != -1;) switch (c) {
        case 'h': return fputs(help, stdout), 0;
        case 'm': memory = true; break;
        case 't': tensors = true; break;
        case 'r': recompute = true; break;
        case 'b':
            if (!number("info", "batch", optarg, 1, 1e9, &S)) return EXIT_USAGE;
            n_run = (int64_t)S;
            break;
        case 'c': if (!number("info", "context", optarg, 1, 1e12, &L)) return EXIT_USAGE; context = (int64_t)L; break;
        case 'l': if (!number("info", "length", optarg, 1, 1e12, &L)) return EXIT_USAGE; break;
        default: return misuse("info", "wrong option");
        }
    if (argc - optind != 1) return misuse("info", "want one model");
    kr_model_info i;
    char b[32];
    if (kr_model_describe_file(&i, argv[optind], (int64_t)S, (int64_t)L, context, recompute) != KR_OK) return fail();
    printf("%s\n  config       %s\n  parts        encoder %s, order %s, mixer %s, head %s\n", argv[optind], i.dialect, i.encoder, i.order, i.mixer, i.head);
    printf("  size         %s parameters: %lld layers of d_model %lld, vocabulary %lld\n", human_count((double)i.n_params, b), (long long)i.n_layer,
           (long long)i.d_model, (long long)i.vocab_size);
    print_stored(&i);
    if (memory) print_memory(&i, n_run);
    return tensors ? print_tensors(argv[optind]) : 0;
}
