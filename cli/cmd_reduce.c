/* cmd_reduce.c - krait reduce: an S4D model with smaller states, to be trained on. */
#include <getopt.h>
#include <string.h>

#include "cli.h"
#include "krait/reduce.h"

static const char help[] =
    "usage: krait reduce MODEL OUT --d_state N\n\n"
    "Writes a trained S4D model with states of N numbers to the new folder OUT: the modes of each channel by balanced\n"
    "truncation, all else as it was.  Train it on with `krait train RECIPE --train.from=OUT`.\n\n"
    "  --d_state N   numbers of a channel's state, even, below the model's (8)\n"
    "  --json        one line of JSON a layer\n\n"
    "Of each layer: the Hankel singular values (median over its channels), what is cut off of their sum, and the\n"
    "largest error at any frequency over the channel's largest gain, beside the bound that theory gives for it.\n";

static void print_json(void *user, const kr_reduce_row *r) {
    (void)user;
    printf("{\"layer\": \"%s\", \"channels\": %lld, \"modes\": %lld, \"left\": %lld, \"hankel\": [", r->layer, (long long)r->n_channels, (long long)r->n_modes,
           (long long)r->n_left);
    for (int64_t i = 0; i < r->n_modes && i < 64; i++) printf("%s%.4g", i ? ", " : "", r->hankel[i]);
    printf("], \"tail\": %.4g, \"error\": %.4g, \"bound\": %.4g, \"worst_error\": %.4g, \"worst_share\": %.4g}\n", r->tail, r->error, r->bound, r->worst_error,
           r->worst_share);
}

static void print(void *user, const kr_reduce_row *r) {
    (void)user;
    printf("%s: %lld channels, %lld of %lld modes left\n  Hankel values over the largest:", r->layer, (long long)r->n_channels, (long long)r->n_left, (long long)r->n_modes);
    for (int64_t i = 0; i < r->n_modes && i < 64; i += i < 7 || i + 1 == r->n_left ? 1 : 8) printf(" %lld: %.2g", (long long)i + 1, r->hankel[i]);
    printf("\n  cut off of their sum %.1f %%; error over largest gain: median %.3g (bound %.3g), worst %.3g; at most %.2f of a bound\n", 100 * r->tail, r->error, r->bound,
           r->worst_error, r->worst_share);
}

int cmd_reduce(int argc, char **argv) {
    static const struct option options[] = {{"d_state", 1, NULL, 'n'}, {"json", 0, NULL, 'j'}, {"help", 0, NULL, 'h'}, {0}};
    double n = 8;
    bool json = false;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) switch (c) {
        case 'n':
            if (!number("reduce", "d_state", optarg, 2, 1e6, &n)) return EXIT_USAGE;
            break;
        case 'j': json = true; break;
        case 'h': return fputs(help, stdout), 0;
        default: return misuse("reduce", "see the options");
        }
    if (argc - optind != 2) return misuse("reduce", "want MODEL and OUT");
    if (kr_reduce(argv[optind], argv[optind + 1], (int64_t)n, json ? print_json : print, NULL) != KR_OK) return fail();
    if (!json) printf("%s\n", argv[optind + 1]);
    return 0;
}
