/* chat.h - what the files of krait chat share.
 *
 * A conversation is a list of messages.  Over a local model each message of the user's also holds
 * the state before it, of constant size: undo, retry and fork go back there instead of reading again. */
#ifndef KRAIT_CLI_CHAT_H
#define KRAIT_CLI_CHAT_H
#include "cli.h"
#include "krait/chat.h"
#include "krait/engine.h"

enum { MAX_FORKS = 32, MAX_STATES = 64 };

typedef struct message {
    char role[16];
    char *content;
    kr_snapshot *before;  /* NULL: it would have to be read again */
    size_t fed_before;    /* so much of the conversation's `fed` was read then */
} message;

typedef struct conversation {
    char name[64];
    message *m;
    int n, room;
    char *fed;            /* what was read and written so far, as text; the state `now` stands behind it */
    kr_snapshot *now;
} conversation;

typedef struct chat {
    conversation fork[MAX_FORKS];
    int n_forks, at;
    bool tty, quiet;
    kr_sampler_options how;
    int64_t max_tok, n_asked;
    /* of the last answer, and of all */
    int64_t n_read, n_written, all_read, all_written;
    double read_s, write_s;
    /* a local model */
    kr_model *model;
    kr_engine *engine;
    kr_chat *form;
    int32_t stop_tok[8];
    const char *stop[8];
    int n_stop_tok, n_stop;
    /* a server */
    const char *url, *key;
    char *server_model;
} chat;

conversation *current(chat *c);
double seconds(void);
/* A copy that is never NULL: ends the program where there is no memory. */
char *copied(const char *text, size_t n);

/* chat_local.c: 0, or EXIT_FAILED and it was said why.  The answer is printed as it comes and
 * returned (NULL: failed); *stopped: by Ctrl-C. */
int local_open(chat *c, const char *path, const kr_model_options *where, const char *form, int n_threads);
void local_close(chat *c);
char *local_answer(chat *c, bool *stopped);
int local_save(chat *c, const char *path);    /* the state beside a saved conversation */
void local_load(chat *c, const char *path);   /* if it is there and fits */
/* chat_server.c */
int server_open(chat *c);
void server_close(chat *c);
char *server_answer(chat *c, bool *stopped);
/* chat_line.c: a line without its newline, to be freed; NULL at the end of input.  *cut: Ctrl-C. */
void line_open(chat *c, bool history);
char *line_read(const char *prompt, bool *cut);
void line_close(void);
void line_wake(void);                          /* of a signal's handler: who waits for a letter looks up */
/* cmd_chat.c: for completion: the i-th command, the i-th setting; NULL past the last. */
const char *command_name(int i);
const char *setting_name(int i);

#endif
