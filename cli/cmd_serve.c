/* cmd_serve.c - krait serve: a model behind HTTP. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "cli.h"
#include "krait/serve.h"

static const char help[] =
    "usage: krait serve MODEL [options]\n\n"
    "Answers OpenAI's requests over HTTP until Ctrl-C or SIGTERM; then finishes what runs.\n\n"
    "      --host ADDRESS    where to listen (127.0.0.1: this machine alone)\n"
    "      --port N          0: any that is free, printed (8080)\n"
    "      --unix PATH       a socket in the file system instead, for its owner alone\n"
    "      --slots N         sequences at once (8)\n"
    "      --name NAME       of the model in answers (the last part of its path)\n"
    "      --device WHERE    cpu, cuda, or cuda:N for that GPU (cpu)\n"
    "      --dtype TYPE      how matrices are held (as the file has them)\n";

static kr_server *running;
static void stop(void) { kr_server_stop(running); }

/* "models/small/" is called small. */
static const char *name_of(char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') path[--n] = 0;
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

int cmd_serve(int argc, char **argv) {
    enum { HOST = 1000, PORT, UNIX, SLOTS, NAME, DEVICE, DTYPE };
    static const struct option options[] = {{"host", 1, NULL, HOST}, {"port", 1, NULL, PORT}, {"unix", 1, NULL, UNIX}, {"slots", 1, NULL, SLOTS}, {"name", 1, NULL, NAME},
                                            {"device", 1, NULL, DEVICE}, {"dtype", 1, NULL, DTYPE}, {"help", 0, NULL, 'h'}, {0}};
    kr_server_options o = {.port = 8080};
    kr_model_options where = {0};
    double x = 0, drain_s = 30;
#define NUMBER(name, min, max) if (!number("serve", name, optarg, min, max, &x)) return EXIT_USAGE
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) switch (c) {
        case 'h': return fputs(help, stdout), 0;
        case HOST: o.host = optarg; break;
        case PORT: NUMBER("port", 0, 65535); o.port = (int)x; break;
        case UNIX: o.unix_path = optarg; break;
        case SLOTS: NUMBER("slots", 1, 256); o.engine.n_slots = (int64_t)x; break;
        case NAME: o.name = optarg; break;
        case DEVICE: where.device = optarg; break;
        case DTYPE: where.dtype = optarg; break;
        default: return misuse("serve", "wrong option");
        }
#undef NUMBER
    if (argc - optind != 1) return misuse("serve", "want one model");
    kr_model *m;
    if (kr_model_open(&m, argv[optind], &where) != KR_OK) return fail();
    if (!o.name) o.name = name_of(argv[optind]);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) files.rlim_cur = files.rlim_max, setrlimit(RLIMIT_NOFILE, &files);
    kr_status st = kr_server_new(&running, m, &o);
    if (st == KR_OK) {
        watch_interrupts(stop);
        if (o.unix_path) printf("krait: %s listens at %s\n", o.name, o.unix_path);
        else printf("krait: %s listens at http://%s:%d\n", o.name, o.host ? o.host : "127.0.0.1", kr_server_port(running));
        fflush(stdout);
        st = kr_server_run(running, drain_s);
    }
    int code = st == KR_OK ? 0 : fail();
    kr_server_free(running);
    kr_model_free(m);
    return code;
}
