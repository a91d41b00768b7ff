/* generate.c - a model continues a text: the whole of a program that uses Krait.
 *
 *     cc generate.c $(pkg-config --cflags --libs krait) -o generate
 *     ./generate model "It is a truth" 200 */
#include <krait.h>
#include <stdio.h>
#include <stdlib.h>

static void check(kr_status st) {
    if (st == KR_OK) return;
    fprintf(stderr, "generate: %s\n", kr_error());
    exit(1);
}

int main(int argc, char **argv) {
    if (argc < 3) return fprintf(stderr, "usage: generate MODEL PROMPT [TOKENS]\n"), 2;
    long n_new = argc > 3 ? strtol(argv[3], NULL, 10) : 200;
    int32_t prompt[4096];
    kr_model *model;
    kr_session *session;

    check(kr_model_open(&model, argv[1], NULL)); /* config.json and model.safetensors */
    check(kr_session_new(&session, model, &(kr_session_options){.temperature = 0.8f, .top_p = 0.95f, .seed = 1}));

    int64_t n = kr_encode(model, argv[2], -1, prompt, 4096); /* how many tokens the text has */
    if (n < 0) check((kr_status)n);
    if (n < 1 || n > 4096) return fprintf(stderr, "generate: the prompt has %lld tokens, want 1 to 4096\n", (long long)n), 2;
    check(kr_session_feed(session, prompt, n));

    fputs(argv[2], stdout);
    for (long i = 0; i < n_new; i++) {
        int32_t token = kr_session_sample(session);
        if (token == KR_END) break;
        int64_t bytes;
        const char *text = kr_token_text(model, token, &bytes);
        if (text) fwrite(text, 1, (size_t)bytes, stdout);
        check(kr_session_feed(session, &token, 1));
    }
    putchar('\n');

    kr_session_free(session);
    kr_model_free(model);
    return 0;
}
