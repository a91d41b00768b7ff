/* split.h - pre-tokenisers: where a text is cut before byte pairs are merged.
 *
 * The regular expressions that published tokenizers use are few, and each is a short
 * scanner here; any other is refused by name when a tokenizer is opened. */
#ifndef KR_TEXT_SPLIT_H
#define KR_TEXT_SPLIT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum kr_split_rule {
    KR_SPLIT_NONE,
    KR_SPLIT_GPT2,   /* GPT-2, GPT-NeoX: Hugging Face's ByteLevel */
    KR_SPLIT_LLAMA3, /* numbers in threes */
    KR_SPLIT_QWEN2,  /* numbers one by one */
    KR_SPLIT_FALCON, /* Falcon, Falcon-Mamba: punctuation apart, numbers in threes, no regular expression alone */
} kr_split_rule;

/* The rule of a regular expression; false if it is none of ours. */
bool kr_split_find(const char *regex, kr_split_rule *rule);
const char *kr_split_regex(kr_split_rule rule); /* NULL: none */
/* The length of the first piece of valid UTF-8, p < end; Falcon's may end within a character, and then the next one begins there. */
size_t kr_split_next(kr_split_rule rule, const unsigned char *p, const unsigned char *end);
#endif
