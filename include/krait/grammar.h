/* grammar.h - text that keeps to a grammar, or to a JSON schema.
 *
 * A grammar in GBNF, the notation of llama.cpp:
 *
 *     root  ::= "yes" | "no" | list
 *     list  ::= "[" [0-9]+ ("," " "? [0-9]+)* "]"      # comments; {2}, {2,}, {2,5} count
 *
 * Characters are Unicode's, [^...] and . are any others and any.  A rule may hold itself, but
 * not begin with itself.  While it writes, every token is drawn among those that the grammar
 * allows; the end of the text is one where the grammar is complete. */
#ifndef KRAIT_GRAMMAR_H
#define KRAIT_GRAMMAR_H
#include "krait.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A grammar for the tokens of one model, which must outlive it.  Threads may share it: what it
 * learns of a text serves the next. */
typedef struct kr_grammar kr_grammar;

/* n_bytes < 0: up to the zero byte.  KR_ERR_FORMAT names the line. */
KR_API kr_status kr_grammar_new(kr_grammar **out, const kr_model *m, const char *gbnf, int64_t n_bytes);
/* From a JSON schema (a text).  What a grammar cannot say (pattern, multipleOf, not, ...) is
 * refused by name, KR_ERR_CONFIG. */
KR_API kr_status kr_grammar_from_schema(kr_grammar **out, const kr_model *m, const char *schema, int64_t n_bytes);
KR_API kr_grammar *kr_grammar_share(kr_grammar *g); /* one more owner */
KR_API void kr_grammar_free(kr_grammar *g);         /* one less */

/* The schema as a grammar; kr_text_free it. */
KR_API kr_status kr_schema_to_gbnf(char **out, const char *schema, int64_t n_bytes);
KR_API void kr_text_free(char *text); /* as in krait/train.h */

/* From here on the session's own tokens (kr_session_sample, then fed) keep to the grammar; NULL: to none.
 * kr_session_sample gives KR_END where nothing but the end fits. */
KR_API kr_status kr_session_set_grammar(kr_session *s, kr_grammar *g);

#ifdef __cplusplus
}
#endif
#endif
