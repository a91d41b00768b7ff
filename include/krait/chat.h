/* chat.h - conversations to text and back: the chat templates of models.
 *
 *     kr_chat *c; char *text;
 *     kr_chat_open(&c, "model", NULL);             the template that the model brings
 *     kr_chat_message say[] = {{"system", "Be brief."}, {"user", "What is a krait?"}};
 *     kr_chat_render(c, say, 2, true, &text);      "<|im_start|>system\nBe brief.<|im_end|>\n..."
 *     ... kr_chat_encode, write until an end of the text or one of kr_chat_stop ...
 *
 * A template is a program in Jinja that came with somebody's model: it is run in bounds of
 * steps, depth, memory and output, and nothing but its inputs (and the date, if it asks for
 * it) can be read by it.  What is rendered is what `transformers` renders, to the byte. */
#ifndef KRAIT_CHAT_H
#define KRAIT_CHAT_H
#include "krait.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kr_chat kr_chat; /* never changes once open: threads may share it */

typedef struct kr_chat_message {
    const char *role;    /* "system", "user", "assistant", or what else the template knows */
    const char *content;
} kr_chat_message;

/* model: a folder (chat_template.jinja, or tokenizer_config.json's chat_template and special tokens)
 * or a GGUF file (tokenizer.chat_template); NULL: none.
 * use: NULL is the model's own template; else the name of one built in ("chatml", "zephyr", "tulu",
 * "llama3", "plain") or a file that holds one, with the model's special tokens.
 * KR_ERR_MISSING: the model brings no template, or no such name; KR_ERR_FORMAT: the sentence names
 * the line and what Krait does not know there; KR_ERR_IO, KR_ERR_NOMEM. */
KR_API kr_status kr_chat_open(kr_chat **out, const char *model, const char *use);
/* From the text of a template. */
KR_API kr_status kr_chat_parse(kr_chat **out, const char *text, int64_t n_bytes);
KR_API void kr_chat_free(kr_chat *c);
/* The name of the i-th built-in; NULL past the last. */
KR_API const char *kr_chat_builtin(int i);
/* "chatml", ..., or where it was read: "model/tokenizer_config.json". */
KR_API const char *kr_chat_name(const kr_chat *c);
/* The text of the template. */
KR_API const char *kr_chat_source(const kr_chat *c);
/* The i-th text that ends an answer in this form ("<|im_end|>"), most are special tokens; NULL past
 * the last.  Stop there as well as at the model's own end of text. */
KR_API const char *kr_chat_stop(const kr_chat *c, int i);

/* The conversation as text; with add_generation_prompt the head of the answer to be written is
 * added.  Ends with a zero byte; free with kr_chat_text_free.
 * KR_ERR_ARG: the template refuses these messages (raise_exception), or they fit not what it wants:
 * a user's mistake; KR_ERR_NUMERIC: it ran out of its bounds. */
KR_API kr_status kr_chat_render(const kr_chat *c, const kr_chat_message *message, int64_t n, bool add_generation_prompt, char **text);
/* The same from JSON, with all that templates may use: {"messages": [...], "tools": [...],
 * "add_generation_prompt": true, ...}; each key is a variable of the template. */
KR_API kr_status kr_chat_render_json(const kr_chat *c, const char *json, int64_t n_bytes, char **text);
KR_API void kr_chat_text_free(char *text);
/* As kr_encode, but a start token that the template has written already is not put before it again. */
KR_API int64_t kr_chat_encode(const kr_chat *c, const kr_model *m, const char *text, int64_t n_bytes, int32_t *tok, int64_t cap);

#ifdef __cplusplus
}
#endif
#endif
