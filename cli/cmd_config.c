/* cmd_config.c - krait config: the keys, their defaults and what they mean. */
#include <string.h>

#include "cli.h"
#include "krait/train.h"

static const char help[] =
    "usage: krait config [WORD ...]\n\n"
    "Lists every key of recipes and models with its default; with words, only the keys and\n"
    "sections that contain one of them.\n\n"
    "  krait config train.lr       one key\n"
    "  krait config mamba2         the keys of one part\n"
    "  krait config data           the keys of all data sources\n\n"
    "A key goes into a recipe ({\"train\": {\"lr\": 0.001}}) or on the command line of\n"
    "krait train (--train.lr=0.001, or --lr=0.001 where only one section has such a key).\n"
    "A part is chosen by its type: --mixer.type=mamba1, --order.type=bidirectional, --data.kind=mqar.\n";

static bool wanted(const kr_recipe_key_info *k, int argc, char **argv) {
    char full[160];
    snprintf(full, sizeof full, "%s.%s", k->section, k->name);
    for (int i = 1; i < argc; i++)
        if (strstr(full, argv[i])) return true;
    return argc <= 1;
}

int cmd_config(int argc, char **argv) {
    kr_recipe_key_info k;
    char section[80] = "";
    int n = 0;
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) return fputs(help, stdout), 0;
    for (int i = 0; kr_recipe_key(i, &k); i++) {
        if (!wanted(&k, argc, argv)) continue;
        n++;
        if (strcmp(section, k.section) != 0) {
            printf("%s[%s]\n", *section ? "\n" : "", k.section);
            snprintf(section, sizeof section, "%s", k.section);
        }
        printf("  %-22s %s\n  %-22s   %s; default %s\n", k.name, k.help, "", k.type, k.def);
    }
    if (n) return 0;
    fprintf(stderr, "krait config: no key contains \"%s\"; `krait config` lists all\n", argv[1]);
    return EXIT_USAGE;
}
