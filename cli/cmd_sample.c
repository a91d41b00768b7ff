/* cmd_sample.c - krait sample: pictures from a diffusion model. */
#include <getopt.h>
#include <string.h>

#include "cli.h"
#include "krait/sample.h"

static const char help[] =
    "usage: krait sample MODEL -o FILE.png|FOLDER [--n 64] [--steps 50] [--class NAME]\n\n"
    "MODEL is a diffusion model: one trained with data.task \"noise\" (recipes/diffusion).\n\n"
    "  -o FILE.png     all pictures in one, in rows; -o FOLDER: a file each, FOLDER/CLASS/00000.png\n"
    "  --n N           pictures (64)\n"
    "  --seed N        of the noise that they begin with (1); picture i is the same for any --n\n"
    "  --sampler S     ddim, few steps and no new noise on the way, or ddpm, ancestral sampling (ddim)\n"
    "  --steps N       from noise to a picture (ddim: 50, or what the model has; ddpm: all)\n"
    "  --class NAME    pictures of this class, as the data call it; none: told none (every class in turn)\n"
    "  --guidance S    how much of what the class changes: 1 as the model says, 2 twice that (1)\n"
    "  --columns N     pictures in a row of FILE.png (classes in turn: as many; else: a square)\n"
    "  --zoom N        pixels of FILE.png for one (1)\n"
    "  --device W      cpu, cuda, or cuda:N for that GPU (cpu)\n";

static bool is_png(const char *path) {
    size_t n = strlen(path);
    return n > 4 && strcmp(path + n - 4, ".png") == 0;
}

typedef struct wish { const char *out, *model; kr_sample_options o; double columns, zoom; bool few; } wish;

static int write_samples(const wish *w, const kr_samples *s) {
    int64_t columns = (int64_t)w->columns;
    if (!columns && s->n > 1 && s->of_class[0] != s->of_class[1]) columns = s->n_classes;
    kr_status st = is_png(w->out) ? kr_samples_grid(s, columns, (int64_t)w->zoom, w->out) : kr_samples_folder(s, w->out);
    if (st != KR_OK) return fail();
    fprintf(stderr, "%lld pictures of %lld x %lld are in %s\n", (long long)s->n, (long long)s->H, (long long)s->W, w->out);
    return 0;
}

static int sample(wish *w, const kr_model_options *where) {
    kr_model *m;
    kr_samples *s;
    if (kr_model_open(&m, w->model, where) != KR_OK) return fail();
    if (w->few) w->o.steps = kr_sample_steps(m) < 50 ? 0 : 50;
    int code = kr_sample(&s, m, &w->o) == KR_OK ? 0 : fail();
    if (!code) code = write_samples(w, s), kr_samples_free(s);
    kr_model_free(m);
    return code;
}

int cmd_sample(int argc, char **argv) {
    static const struct option options[] = {{"n", 1, NULL, 'n'}, {"seed", 1, NULL, 's'}, {"sampler", 1, NULL, 'm'}, {"steps", 1, NULL, 't'}, {"class", 1, NULL, 'c'},
                                            {"guidance", 1, NULL, 'g'}, {"columns", 1, NULL, 'k'}, {"zoom", 1, NULL, 'z'}, {"device", 1, NULL, 'D'}, {"help", 0, NULL, 'h'}, {0}};
    kr_model_options where = {0};
    wish w = {.o = {.guidance = 1}, .zoom = 1};
    double n = 64, seed = 1, steps = 0;
    bool ddpm = false, good = true;
    for (int c; good && (c = getopt_long(argc, argv, "o:h", options, NULL)) != -1;) switch (c) {
        case 'h': return fputs(help, stdout), 0;
        case 'o': w.out = optarg; break;
        case 'D': where.device = optarg; break;
        case 'c': w.o.class_name = optarg; break;
        case 'n': good = number("sample", "n", optarg, 1, 1e7, &n); break;
        case 's': good = number("sample", "seed", optarg, 0, 9e15, &seed); break;
        case 't': good = number("sample", "steps", optarg, 1, 1e6, &steps); break;
        case 'g': good = number("sample", "guidance", optarg, 0, 1e3, &w.o.guidance); break;
        case 'k': good = number("sample", "columns", optarg, 1, 1e5, &w.columns); break;
        case 'z': good = number("sample", "zoom", optarg, 1, 64, &w.zoom); break;
        case 'm':
            ddpm = strcmp(optarg, "ddpm") == 0;
            if (!ddpm && strcmp(optarg, "ddim") != 0) return misuse("sample", "--sampler is \"%s\", want ddim or ddpm", optarg);
            break;
        default: return misuse("sample", "wrong option");
        }
    if (!good) return EXIT_USAGE;
    if (argc - optind != 1) return misuse("sample", "want one model");
    if (!w.out) return misuse("sample", "want -o FILE.png or -o FOLDER");
    w.model = argv[optind], w.few = !ddpm && steps == 0;
    w.o.n = (int64_t)n, w.o.seed = (uint64_t)seed, w.o.steps = (int64_t)steps, w.o.eta = ddpm;
    return sample(&w, &where);
}
