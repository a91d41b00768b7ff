/* chat_line.c - reading lines: with libedit edited, remembered and completed, without it as they come. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef KR_WITH_EDIT
#include <histedit.h>
#include <wchar.h>
#endif

#include "chat.h"

static chat *talk;
static char history_file[4096];

/* Ctrl-C may come at any moment and on any thread: a byte in this pipe wakes the one that waits for a letter. */
static int wake[2] = {-1, -1};

void line_wake(void) {
    int was = errno;
    if (wake[1] >= 0 && write(wake[1], "", 1) < 0) errno = 0; /* full: it wakes already */
    errno = was;
}

/* There is something to read; false: Ctrl-C. */
static bool wait_for_letter(void) {
    struct pollfd on[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = wake[0], .events = POLLIN}};
    char bytes[16];
    while (!interrupted) {
        if (poll(on, 2, -1) < 0 && errno != EINTR) return true;
        if (on[1].revents)
            while (read(wake[0], bytes, sizeof bytes) > 0) continue;
        else if (on[0].revents) return true;
    }
    return false;
}

static char *plain_line(const char *prompt, bool *cut) {
    char *line = NULL;
    size_t room = 0;
    if (talk->tty) {
        fputs(prompt, stdout), fflush(stdout);
        if (!wait_for_letter()) return printf("\n"), *cut = true, copied("", 0);
    }
    ssize_t n = getline(&line, &room, stdin);
    if (n < 0) return free(line), NULL;
    while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) line[--n] = 0;
    return line;
}

#ifdef KR_WITH_EDIT
#define CALLS(_) _(el_init) _(el_end) _(el_set) _(el_gets) _(el_reset) _(el_line) _(el_insertstr) _(history_init) _(history_end) _(history)
#define FIELD(f) __typeof__(f) *f;
#define NAME(f) #f "\0"
static struct { CALLS(FIELD) } edit; /* opened by who has a terminal */

static EditLine *editor;
static History *past;
static const char *shown_prompt;

static char *prompt_now(EditLine *e) {
    (void)e;
    return (char *)(uintptr_t)shown_prompt;
}

/* As libedit's own, but Ctrl-C ends the line. */
static int get_letter(EditLine *e, wchar_t *to) {
    char bytes[8];
    mbstate_t state = {0};
    (void)e;
    for (size_t n = 0; n < sizeof bytes;) {
        if (!wait_for_letter()) return -1;
        ssize_t got = read(STDIN_FILENO, bytes + n, 1);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return got < 0 ? -1 : 0;
        memset(&state, 0, sizeof state);
        size_t used = mbrtowc(to, bytes, ++n, &state);
        if (used == (size_t)-1) return *to = L'?', 1;
        if (used != (size_t)-2) return 1;
    }
    return *to = L'?', 1;
}

/* The i-th word that may stand there: commands, then what follows them. */
static const char *candidate(const char *line, size_t before, int i) {
    if (before == 0) return command_name(i);
    if (strncmp(line, "/set ", 5) == 0) return setting_name(i);
    if (strncmp(line, "/fork ", 6) == 0) return i < talk->n_forks ? talk->fork[i].name : NULL;
    return NULL;
}

static unsigned char complete(EditLine *e, int ch) {
    const LineInfo *l = edit.el_line(e);
    size_t n = (size_t)(l->cursor - l->buffer), from = n, common = 0;
    const char *first = NULL, *word;
    int found = 0;
    (void)ch;
    while (from > 0 && l->buffer[from - 1] != ' ') from--;
    if (n == 0 || *l->buffer != '/') return CC_ERROR;
    for (int i = 0; (word = candidate(l->buffer, from, i)); i++) {
        if (strncmp(word, l->buffer + from, n - from) != 0) continue;
        if (found++ == 0) first = word, common = strlen(word);
        while (strncmp(first, word, common) != 0) common--;
    }
    if (found == 0) return CC_ERROR;
    char more[80];
    snprintf(more, sizeof more, "%.*s%s", (int)(common - (n - from)), first + (n - from), found == 1 ? " " : "");
    if (*more) return edit.el_insertstr(e, more) == 0 ? CC_REFRESH : CC_ERROR;
    printf("\n");
    for (int i = 0; (word = candidate(l->buffer, from, i)); i++)
        if (strncmp(word, l->buffer + from, n - from) == 0) printf("%s  ", word);
    printf("\n");
    return CC_REDISPLAY;
}

static void open_editor(void) {
    HistEvent ev;
    if (!open_functions(&edit, sizeof edit, KR_LIB_EDIT, CALLS(NAME))) return;
    editor = edit.el_init("krait", stdin, stdout, stderr);
    if (!editor) return;
    past = edit.history_init();
    edit.el_set(editor, EL_PROMPT, prompt_now);
    edit.el_set(editor, EL_EDITOR, "emacs");
    edit.el_set(editor, EL_SIGNAL, 0);
    edit.el_set(editor, EL_GETCFN, get_letter);
    edit.el_set(editor, EL_ADDFN, "complete", "complete a command", complete);
    edit.el_set(editor, EL_BIND, "^I", "complete", NULL);
    edit.el_set(editor, EL_BIND, "\033[3~", "ed-delete-next-char", NULL);
    edit.el_set(editor, EL_BIND, "^R", "em-inc-search-prev", NULL);
    if (!past) return;
    edit.history(past, &ev, H_SETSIZE, 1000);
    edit.history(past, &ev, H_SETUNIQUE, 1);
    edit.el_set(editor, EL_HIST, edit.history, past);
    if (*history_file) edit.history(past, &ev, H_LOAD, history_file);
}

static char *edited_line(const char *prompt, bool *cut) {
    HistEvent ev;
    int n = 0;
    shown_prompt = prompt;
    edit.el_set(editor, EL_PREP_TERM, 1); /* before the prompt: what is typed at once is edited too */
    const char *line = edit.el_gets(editor, &n);
    if (!line || n <= 0) {
        if (n < 0 && interrupted) return edit.el_reset(editor), printf("\n"), *cut = true, copied("", 0);
        return NULL;
    }
    while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) n--;
    char *copy = copied(line, (size_t)n);
    if (n && past) edit.history(past, &ev, H_ENTER, copy);
    return copy;
}
#endif

/* ~/.local/state/krait/chat_history, its owner's alone. */
static void find_history(void) {
    const char *own = getenv("KRAIT_HISTORY"), *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char folder[4000];
    if (own) { snprintf(history_file, sizeof history_file, "%s", own); return; }
    if (!(state && *state) && !(home && *home)) return;
    if (state && *state) snprintf(folder, sizeof folder, "%s", state);
    else snprintf(folder, sizeof folder, "%s/.local/state", home);
    for (char *p = folder + 1; (p = strchr(p, '/')); p++) *p = 0, mkdir(folder, 0700), *p = '/';
    mkdir(folder, 0700);
    if (snprintf(history_file, sizeof history_file, "%s/krait", folder) < (int)sizeof history_file) mkdir(history_file, 0700);
    snprintf(history_file, sizeof history_file, "%s/krait/chat_history", folder);
}

void line_open(chat *c, bool keep) {
    talk = c;
    if (c->tty && pipe(wake) == 0)
        for (int i = 0; i < 2; i++) fcntl(wake[i], F_SETFL, O_NONBLOCK), fcntl(wake[i], F_SETFD, FD_CLOEXEC);
    if (keep && c->tty) find_history();
#ifdef KR_WITH_EDIT
    if (c->tty) open_editor();
#endif
}

char *line_read(const char *prompt, bool *cut) {
    *cut = false;
#ifdef KR_WITH_EDIT
    if (editor) return edited_line(prompt, cut);
#endif
    return plain_line(prompt, cut);
}

void line_close(void) {
#ifdef KR_WITH_EDIT
    HistEvent ev;
    if (past && *history_file) {
        edit.history(past, &ev, H_SAVE, history_file);
        chmod(history_file, 0600);
    }
    if (past) edit.history_end(past);
    if (editor) edit.el_end(editor);
#endif
}
