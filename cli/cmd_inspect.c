/* cmd_inspect.c - krait inspect: scan orders; what a model does is in inspect_model.c. */
#include <getopt.h>
#include <string.h>

#include "cli.h"
#include "krait/order.h"

static const char help[] =
    "usage: krait inspect order                           lists the scan orders\n"
    "       krait inspect order NAME --size 16x16 [-o FILE.svg]\n"
    "       krait inspect attention MODEL TEXT [-o FILE.png|.svg]\n"
    "       krait inspect states MODEL TEXT [-o FILE.png|.svg]\n\n"
    "`krait inspect attention --help` teaches the last two.\n\n"
    "Says what an order does to a grid and draws its paths, blue where a path begins and\n"
    "orange where it ends.\n\n"
    "Behind a name go :back, :turned, :apart and :flipped; a list has commas (docs/scan-orders.md).\n\n"
    "  --size HxW      the grid: L, HxW or TxHxW (16x16); of points and nodes how many\n"
    "  --window N      side of a window, step of an atrous order, number of slices or levels\n"
    "  --symmetries    one path seen in the 8 mirrors of a picture\n"
    "  --from FILE     points, lines \"x y z\", or a graph, lines \"from to\" of nodes from 0; else they are made up\n"
    "  --seed N        of random orders, and of what is made up (0)\n"
    "  --layer N       of random orders (0)\n"
    "  --print         the cells of each path, in the order of the walk\n"
    "  -o FILE         the picture, SVG\n";

static int list(void) {
    kr_order_info info;
    for (int i = 0; kr_order_list(i, &info); i++) {
        char axes[8];
        snprintf(axes, sizeof axes, info.min_axes == info.max_axes ? "%d" : "%d-%d", info.min_axes, info.max_axes);
        printf("  %-15s %-4s %s\n", info.name, axes, info.about);
    }
    printf("  %-15s %-4s %s\n", "points:CURVE", "-", "a cloud of points along hilbert, hilbert-trans, z, or the axes xyz, xzy, ... (PointMamba, PCM)");
    printf("  %-15s %-4s %s\n", "nodes:degree", "-", "a graph's nodes by degree, hubs last (Graph-Mamba)");
    printf("  %-15s %-4s %s\n", "tree", "-", "a picture's cells along the tree that joins what is alike (GrootV)");
    printf("\nThe second column: axes of the grids it walks.  `krait inspect order NAME -o order.svg` draws one.\n");
    return 0;
}

static void describe(const kr_order *o, bool print) {
    static const char *const how[] = {"every path visits every cell", "the paths share the cells out"};
    printf("%lld cells, %d path%s%s: %s\n", (long long)o->n_cells, o->n_paths, o->n_paths == 1 ? "" : "s",
           o->per_layer ? ", one a layer in turn" : "", how[o->share_out]);
    for (int k = 0; k < o->n_paths; k++) {
        char apart[48] = "";
        if (o->path[k].piece) snprintf(apart, sizeof apart, ", in %lld pieces", (long long)o->path[k].n_pieces);
        printf("  path %-2d %lld steps, %lld of them jumps%s\n", k, (long long)(o->path[k].n - o->path[k].n_pieces), (long long)kr_order_jumps(o, k), apart);
        for (int64_t i = 0; print && i < o->path[k].n; i++) printf("%s%d%s", i ? " " : "    ", o->path[k].cell[i], i + 1 < o->path[k].n ? "" : "\n");
    }
}

int cmd_inspect(int argc, char **argv) {
    if (argc > 1 && (strcmp(argv[1], "attention") == 0 || strcmp(argv[1], "states") == 0)) return inspect_model(argc - 1, argv + 1);
    static const struct option options[] = {{"size", 1, NULL, 's'}, {"window", 1, NULL, 'w'}, {"symmetries", 0, NULL, 'y'}, {"seed", 1, NULL, 'r'},
                                            {"layer", 1, NULL, 'l'}, {"print", 0, NULL, 'p'}, {"from", 1, NULL, 'f'}, {"help", 0, NULL, 'h'}, {0}};
    kr_order_options opt = {0};
    int64_t size[KR_ORDER_AXES] = {16, 16};
    int n_axes = 2;
    bool print = false;
    const char *out = NULL, *from = NULL;
    bool sized = false;
    double x;
    for (int c; (c = getopt_long(argc, argv, "o:h", options, NULL)) != -1;) switch (c) {
        case 'f': from = optarg; break;
        case 's':
            sized = true;
            if (!(n_axes = kr_order_size(optarg, size))) return misuse("inspect", "--size is \"%s\", want L, HxW or TxHxW", optarg);
            break;
        case 'w':
            if (!number("inspect", "window", optarg, 1, 1e9, &x)) return EXIT_USAGE;
            opt.window = (int64_t)x;
            break;
        case 'y': opt.symmetries = true; break;
        case 'r':
            if (!number("inspect", "seed", optarg, 0, 9e15, &x)) return EXIT_USAGE;
            opt.seed = (uint64_t)x;
            break;
        case 'l':
            if (!number("inspect", "layer", optarg, 0, 1e6, &x)) return EXIT_USAGE;
            opt.layer = (int64_t)x;
            break;
        case 'p': print = true; break;
        case 'o': out = optarg; break;
        case 'h': return fputs(help, stdout), 0;
        default: return misuse("inspect", "see the options");
        }
    if (optind >= argc) return misuse("inspect", "what? `krait inspect order`");
    if (strcmp(argv[optind], "order") != 0) return misuse("inspect", "there is no \"%s\" to inspect; there are order, attention and states", argv[optind]);
    if (optind + 1 >= argc) return list();
    const char *name = argv[optind + 1];
    kr_order *o;
    if (optind + 2 < argc) return misuse("inspect", "one order at a time, not also \"%s\"", argv[optind + 2]);
    if (is_loose(name)) {
        int64_t n = sized ? size[0] : *name == 'p' ? 300 : 24;
        for (int i = 1; sized && i < n_axes; i++) n = n > (1 << 20) || size[i] > (1 << 20) ? (1 << 20) + 1 : n * size[i];
        if (*name == 't' && !sized) n = size[0] * size[1];
        if (*name == 't' && n_axes != 2) return misuse("inspect", "tree: --size wants HxW");
        return inspect_loose(name, &(loose_options){.n = n, .H = size[0], .W = size[1], .seed = opt.seed, .from = from, .out = out, .print = print});
    }
    if (from) return misuse("inspect", "--from is for points and nodes; %s walks a grid", name);
    if (kr_order_new(&o, name, n_axes, size, &opt) != KR_OK) return fail();
    describe(o, print);
    char title[160], grid[64];
    int n = snprintf(grid, sizeof grid, "%lld", (long long)size[0]);
    for (int i = 1; i < n_axes; i++) n += snprintf(grid + n, sizeof grid - (size_t)n, " x %lld", (long long)size[i]);
    snprintf(title, sizeof title, "%s, %s", name, grid);
    kr_status st = out ? kr_order_draw(o, title, out) : KR_OK;
    kr_order_free(o);
    if (st != KR_OK) return fail();
    if (out) printf("%s\n", out);
    return 0;
}
