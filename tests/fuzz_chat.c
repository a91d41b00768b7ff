/* fuzz_chat.c - chat templates: any template over any messages ends, in bounds, with text or a sentence.
 *
 * An input is a template, a byte 1, and the JSON that it is given. */
#include "fuzz.h"

#include <string.h>

#include "base/mem.h"
#include "krait/chat.h"
#include "text/unicode.h"

#define MESSAGES "\x01{\"messages\": [{\"role\": \"system\", \"content\": \"S \xc3\xa4\"}, {\"role\": \"user\", \"content\": \"a,b\"}], \"n\": 3, \"d\": {\"a\": [1, 2.5, null, true]}}"
static const char *const seeds[] = {
    "{%- for m in messages %}\n  {{- '<|' ~ m.role ~ '|>\\n' + m['content'] | trim }}{% if not loop.last %},{% endif %}\n{%- endfor %}\n" MESSAGES,
    "{% macro f(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{% set ns = namespace(x=[]) %}{% for i in range(n) if i %}{% set ns.x = ns.x + [f(i)] %}{% endfor %}{{ ns.x | join('-') }}" MESSAGES,
    "{{ d | tojson(indent=2) }}{{ messages[::-1] }}{{ messages[0].content[1:].split(',')[-1].upper() }}{{ 'ab'.replace('', '-') }}{{ -n ** 2 // 3 % 5 }}" MESSAGES,
    "{# note #}{% if n is odd and d.a[1] > 1 %}{% raw %}{{ }}{% endraw %}{% elif n in d.a %}x{% else %}{{ 1 if n else 2 }}{% endif %}{% set x %}b{% endset %}{{ x }}" MESSAGES,
    "{% for k, v in d.items() %}{{ k }}={{ v | map('string') | select('ne', '1') | list }}{% break %}{% endfor %}{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | first | default('none', true) }}" MESSAGES,
    "{% filter upper %}{{ 'x\xc3\xa4'[::-1].strip('\xc3\xa4') }}{% endfilter %}{% for i in [1, [2]] recursive %}{{ loop(i) if i is not number else i }}{% endfor %}{{ (1, 'b') }}{{ '{}'.format(n) }}" MESSAGES,
    "{{ '%-5.2f|%(a)s|%*d' % (n, 2, 3) }}{{ '%(a)05d %%' | format(a=n) }}{% for g in messages | groupby('role', default='x') %}{{ g.grouper }}{{ g.list | batch(2, n) | list }}{% endfor %}"
    "{{ messages | slice(3, 0) | list }}{{ messages[0].content | truncate(3, true, '') | urlencode }}{{ d | urlencode }}{{ 'a'.center(n) }}" MESSAGES,
};
const long fuzz_inputs = 25000;
const char *const fuzz_words[] = {"{{", "}}", "{%", "%}", "{%-", "-%}", "{#", "#}", "{% raw %}", "{% endraw %}", "{% for a in b %}", "{% endfor %}", "{% if a %}", "{% else %}", "{% endif %}", "{% set a = ",
                                  "{% macro a(b) %}", "{% endmacro %}", "messages", "loop.", "range(", "namespace(", "| tojson", "| join", "| sort", "| length", "| groupby(", "| batch(", " % ", "%5.2f", "%(a)s", ".split(", ".replace(", ".items()", "[::-1]", "[1:2]",
                                  " is defined", " in ", " not ", " ** ", " // ", " ~ ", " if ", " else ", "recursive", "'", "\"", "\\u", "\xc3\xa4", "\xff", "9999999999", "\x01", NULL};

size_t fuzz_seed(int i, uint8_t *to, size_t room) {
    return i < (int)(sizeof seeds / sizeof *seeds) ? fuzz_text(seeds[i], to, room) : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static const char fallback[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}";
    const char *all = (const char *)data, *json = n ? memchr(all, 1, n) : NULL;
    size_t n_template = json ? (size_t)(json - all) : n;
    int64_t live = kr_mem_get_stats().n_live;
    kr_chat *c;
    char *text;
    kr_status st = kr_chat_parse(&c, n ? all : "", (int64_t)n_template);
    FUZZ_MUST(st == KR_OK || (st == KR_ERR_FORMAT && strncmp(kr_error(), "chat template: ", 15) == 0));
    if (st == KR_OK) {
        st = json ? kr_chat_render_json(c, json + 1, (int64_t)(n - n_template - 1), &text) : KR_ERR_FORMAT;
        if (st == KR_ERR_FORMAT) st = kr_chat_render_json(c, fallback, -1, &text);
        FUZZ_MUST(st == KR_OK || ((st == KR_ERR_ARG || st == KR_ERR_NUMERIC) && *kr_error()));
        if (st == KR_OK) {
            FUZZ_MUST(kr_utf8_valid(text, strlen(text)) == strlen(text)); /* whole letters in, whole letters out */
            kr_chat_text_free(text);
        }
        kr_chat_free(c);
    }
    FUZZ_MUST(kr_mem_get_stats().n_live == live);
    return 0;
}
