#!/usr/bin/env python3
"""chat_oracle.py - what jinja2 makes of chat templates, set up as transformers sets it up.

    chat_oracle.py write        writes tests/data/chat.json: cases with what they give
    chat_oracle.py check        is that file still what this jinja2 gives?  77: there is no jinja2
    chat_oracle.py try KRAIT FOLDER...   renders every *.jinja there with `KRAIT --render TEMPLATE INPUT`, too
    chat_oracle.py random KRAIT N [SEED]   the same of N expressions made up of filters, formats and values

The templates here are our own; they use what models' templates use, one thing each, then all together.
"""
import datetime
import glob
import json
import os
import random
import subprocess
import sys
import tempfile

try:
    import jinja2
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment
except ImportError:
    print("chat_oracle: no jinja2 here")
    sys.exit(77)

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "chat.json")


class Generation(Extension):
    """{% generation %} marks what a model wrote; the text is what is in it."""
    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    return env


def render(template, variables):
    """The text, or None where it refuses."""
    given = dict(tools=None, documents=None, add_generation_prompt=False)
    given.update(variables)
    try:
        return environment().from_string(template).render(**given)
    except Exception:  # whatever stops it: an undefined name, a wrong type, raise_exception
        return None


USER = {"role": "user", "content": "Hello, wörld!\n"}
TALK = [{"role": "system", "content": " Be brief. "}, {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "<think>hm</think> Hello"}, {"role": "user", "content": "Say 'x' \"y\" {{z}}"}]
TOOL = {"type": "function", "function": {"name": "get_weather", "description": "Weather <now> & \"then\" – ü", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "enum": ["A", "B"]}, "days": {"type": ["integer", "null"]}}, "required": ["city"]}}}
CALLS = [{"role": "user", "content": "Weather?"},
         {"role": "assistant", "content": None, "tool_calls": [
             {"id": "call00001", "function": {"name": "get_weather", "arguments": {"city": "Ü", "n": 3, "f": 1.5, "none": None, "yes": True, "l": [1, "2"]}}}]},
         {"role": "tool", "tool_call_id": "call00001", "content": "{\"t\": 3}"}, {"role": "assistant", "content": "3 degrees"}]
VALUES = {"messages": TALK, "n": 7, "x": 2.5, "s": "  a,b;;c äöü ", "l": [3, 1, 2, 2], "d": {"b": 1, "a": "two", "c": None}, "e": "", "t": True, "wide": "\u3000 你好\u00a0x\n\u2003", "lines": "a\x0bb\x0cc\x1cd\x85e\u2028f\rg\r\n\nh\n", "deep": [{"a": {"b": [1, {"c": "!"}]}}]}

CHATML = """{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
TURNS = """{{ bos_token }}{% if messages[0].role == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] | trim %}
{% else %}{% set loop_messages = messages %}{% set system_message = none %}{% endif %}
{% for message in loop_messages %}
{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('roles must alternate') }}
{% endif %}
{% if loop.first and system_message is not none %}
{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message.content %}
{% else %}
{% set content = message.content %}
{% endif %}
{% if message.role == 'user' %}
{{ '[INST] ' + content.strip() + ' [/INST]' }}
{%- elif message.role == 'assistant' %}
{% generation %}{{ ' ' ~ content.split('</think>')[-1] | trim ~ eos_token }}{% endgeneration %}
{% endif %}
{% endfor %}"""
TOOLS = """{%- macro type_of(p) -%}
    {%- if p.type is string -%}{{ p.type }}{%- elif p.type is iterable -%}{{ p.type | join(' | ') }}{%- else -%}any{%- endif -%}
    {%- if p.enum is defined %} of {{ p.enum | map('upper') | join('/') }}{% endif -%}
{%- endmacro -%}
{%- macro show(tool, pad='') -%}
    {%- set f = tool.function if tool.function is defined else tool -%}
    {{ pad }}- {{ f.name }}: {{ f.description | default('no words', true) }}
    {%- for name, p in f.parameters.properties.items() %}

{{ pad ~ '    ' }}{{ name }} ({{ type_of(p) }}{% if name in f.parameters.required %}, wanted{% endif %})
    {%- endfor -%}
{%- endmacro -%}
{%- set ns = namespace(last=-1, seen=[]) -%}
{%- for m in messages if m.role == 'user' %}{% set ns.last = loop.index %}{% endfor -%}
{%- if tools %}
# Tools ({{ tools | length }})
{%   for tool in tools %}
{{ show(tool, pad='  ') }}
{{ tool | tojson }}
{{ tool.function.parameters | tojson(indent=2) }}
{%   endfor %}
{%- endif %}
{% for message in messages %}
    {%- if message.tool_calls %}
        {%- for call in message.tool_calls %}
            {%- set args = call.function.arguments %}
            {{- '[' ~ call.id[-3:] ~ '] ' ~ call.function.name ~ '(' }}
            {%- for k, v in args | items %}{{ k }}={{ v | tojson if v is not string else v }}{{ ', ' if not loop.last }}{% endfor -%}
            {{- ')\\n' }}
        {%- endfor %}
    {%- elif message.role == 'tool' %}
        {{- '<tool>' ~ message.content ~ '</tool>\\n' }}
    {%- else %}
        {{- message.role | upper ~ ': ' ~ (message.content or '') ~ '\\n' }}
    {%- endif %}
{% endfor %}
{{- 'ASSISTANT:' if add_generation_prompt and messages[-1].role != 'assistant' }} {{ ns.last }}
"""

SNIPPETS = r"""
{{ n }} {{ -n }} {{ n + 1 }} {{ n - 10 }} {{ n * 2 }} {{ n / 2 }} {{ n // 2 }} {{ -n // 2 }} {{ n % 3 }} {{ -n % 3 }} {{ n ** 2 }} {{ 2 ** -1 }} {{ -2 ** 2 }}
{{ x }} {{ x * 2 }} {{ 1e16 }} {{ 1e-5 }} {{ 0.1 + 0.2 }} {{ 1.0 }} {{ 123456789.5 }} {{ 7 % 2.5 }} {{ 1_000 }} {{ 3.0 // 2 }} {{ true + 1 }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ '1' == 1 }} {{ true == 1 }} {{ 'a' < 'b' }} {{ l == [3, 1, 2, 2] }} {{ d == {'a': 'two', 'b': 1, 'c': none} }} {{ none == undefined_thing }}
{{ 1 if t }} {{ 1 if not t }} {{ 1 if e else 2 if n else 3 }} {{ not e and n or 4 }} {{ e or 'x' }} {{ n and s and 1 }} {{ not not n }} {{ not n == 7 }}
{{ 'a' in 'abc' }} {{ 'a' not in 'abc' }} {{ 2 in l }} {{ 'b' in d }} {{ 'x' in nothing_there }} {{ '' in '' }} {{ 1 in [1.0] }} {{ not 1 in l }}
{{ 'a' ~ 1 ~ none ~ true ~ 2.0 ~ [1, 'x', none] ~ {'k': 'it\'s'} ~ nothing_there }} {{ 'a' + 'b' * 3 ~ 'c' }} {{ 'ab' 'cd' "e\n\t\x41\u00e4\101\q" }}
{{ [1, [2, 'a"b\'c'], {'x': [true, none]}] }} {{ ["it's", 'say "x"', 'tab\t', 'ü'] }} {{ () }} {{ {} }} {{ [] }}
{{ s | trim }}|{{ s | trim | length }}|{{ s | length }}|{{ s | upper }}|{{ 'hello wORLD x2y' | title }}|{{ 'hELLO' | capitalize }}|{{ '--a-' | trim('-') }}
{{ s.split(',') }} {{ s.split() }} {{ 'a,b,c'.split(',', 1) }} {{ ' a b  c '.split(none, 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'a\nb\r\nc'.splitlines() }} {{ 'a=b=c'.partition('=') }} {{ 'a=b=c'.rpartition('=') }} {{ 'abc'.partition('x') }}
{{ s.strip() }}|{{ s.lstrip() }}|{{ s.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'abc'.startswith('ab') }}|{{ 'abc'.endswith('bc') }}|{{ 'abc'.removeprefix('a') }}|{{ 'abc'.removesuffix('c') }}
{{ 'aXbXc'.replace('X', '--') }} {{ 'aaa'.replace('a', 'b', 2) }} {{ 'ab'.replace('', '-') }} {{ 'äbä'.find('b') }} {{ 'abab'.rfind('b') }} {{ 'abab'.count('ab') }} {{ '7'.isdigit() }} {{ 'AbC'.lower() }} {{ ', '.join(['a', 'b']) }} {{ '{} and {}'.format(1, 'b') }}
{{ s[2] }}{{ s[-2] }} {{ s[2:5] }} {{ s[:-3] }} {{ 'äöü'[1] }} {{ 'äöü'[::-1] }} {{ 'abcdef'[1:5:2] }} {{ 'abcdef'[-2:] }} {{ 'abc'[5:] }} {{ 'abc'[9] is defined }}
{{ l[0] }} {{ l[-1] }} {{ l[1:] }} {{ l[::-1] }} {{ l[:2] }} {{ l[10:] }} {{ l[9] is defined }} {{ l + [9] }} {{ l * 2 }} {{ [[1, 2], [3]][0][1] }} {{ l[-3:-1] }} {{ l[3:0:-1] }}
{{ d.a }} {{ d['b'] }} {{ d.c }} {{ d.zz }} {{ d.get('a') }} {{ d.get('zz') }} {{ d.get('zz', 5) }} {{ d.keys() | list }} {{ d.values() | list }} {{ d.items() | list | length }} {{ deep[0].a.b[1].c }} {{ deep.0.a.b.0 }}
{{ l | sort }} {{ l | sort(reverse=true) }} {{ l | unique | list }} {{ l | sum }} {{ l | min }} {{ l | max }} {{ l | first }} {{ l | last }} {{ l | reverse | list }} {{ ['b', 'A', 'c'] | sort }} {{ d | dictsort }} {{ 'cab' | list }} {{ 'abc' | reverse }}
{{ messages | map(attribute='role') | list }} {{ messages | map(attribute='role') | unique | join(', ') }} {{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ messages | rejectattr('role', 'eq', 'user') | map(attribute='content') | first }} {{ l | select('odd') | list }} {{ l | reject('ge', 2) | list }} {{ l | map('string') | join('+') }} {{ none | map('x') | list }}
{{ d | tojson }} {{ [1, 2.50, true, none, 'ü"\\\n\u0001/<>&'] | tojson }} {{ {'b': [1, {}], 'a': []} | tojson(indent=2) }} {{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }} {{ [1, 'ä'] | tojson(separators=(',', ':'), ensure_ascii=true) }} {{ 'x' | tojson }}
{{ nothing_there }}|{{ nothing_there | default('d') }}|{{ e | default('d') }}|{{ e | default('d', true) }}|{{ none | default('d') }}|{{ nothing_there | length }}|{{ nothing_there is defined }}|{{ nothing_there | d }}
{{ n is defined }} {{ none is none }} {{ s is string }} {{ d is mapping }} {{ l is sequence }} {{ l is iterable }} {{ n is number }} {{ n is integer }} {{ x is float }} {{ t is boolean }} {{ t is true }} {{ t is false }} {{ n is odd }} {{ n is even }} {{ n is divisibleby 7 }} {{ n is divisibleby(2) }} {{ 1 is sameas true }} {{ n is not none }} {{ n is eq 7 }} {{ 'a' is in 'abc' }} {{ range is callable }} {{ 'a' is lower }}
{{ not n is none and s is string }} {{ (n is defined and n) or 2 }} {{ n is defined and n > 3 }} {{ -n | abs }} {{ '3' | int + 1 }} {{ '3.7' | float }} {{ 'x' | int(9) }} {{ 3.7 | int }} {{ 2.567 | round(2) }} {{ 2.5 | round }} {{ '<a&"\'>' | e }} {{ 'a\nb' | indent(2) }} {{ 'a\n\nb' | indent(2, true) }}
{% for i in range(3) %}{{ i }}{{ loop.index }}{{ loop.revindex }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %} {{ range(5, 1, -2) | list }} {{ range(2, 4) | list }}
{% for i in [] %}x{% else %}empty{% endfor %} {% for i in nothing_there %}x{% else %}nothing{% endfor %} {% for k in d %}{{ k }}{% endfor %} {% for k, v in d.items() %}{{ k }}={{ v }} {% endfor %} {% for c in 'äb' %}{{ c }}.{% endfor %}
{% for i in range(9) if i % 2 %}{% if i == 7 %}{% break %}{% endif %}{% if i == 3 %}{% continue %}{% endif %}{{ i }}/{{ loop.length }} {% endfor %} {% for i in l %}{{ loop.cycle('a', 'b') }}{{ loop.changed(i) }} {% endfor %}
{% set y = 1 %}{% for i in l %}{% set y = y + i %}{{ y }} {% endfor %}{{ y }} {% set ns = namespace(y=1) %}{% for i in l %}{% set ns.y = ns.y + i %}{% endfor %}{{ ns.y }} {% if true %}{% set y = 5 %}{% endif %}{{ y }} {% set a, b = 1, 2 %}{{ a + b }} {% set (p, q) = [3, 4] %}{{ p ~ q }}
{% set block %}in {{ n }} block{% endset %}[{{ block }}] {% set block | upper | replace('N', 'M') %}in{% endset %}[{{ block }}] {% filter upper %}f {{ 'x' }}{% endfilter %} {% raw %}{{ raw }} {% endraw %}|{# comment #}|{#- strip -#} |
{% macro m(a, b='B', c=none) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 2) }} {{ m(c=3, a=0) }} {{ m() }} {{ m(*[1, 2]) }} {{ m(**{'a': 5, 'b': 6}) }} {% macro fact(k) %}{{ 1 if k < 2 else k * (fact(k - 1) | int) }}{% endmacro %}{{ fact(5) }} {% macro w() %}<{{ caller() }}>{% endmacro %}{% call w() %}body{% endcall %}
{% for i in [[1, [2, 3]], [4, []]] recursive %}{{ i[0] if i is sequence else i }}({{ loop(i[1]) if i is sequence and i[1] }}){{ loop.depth }}{% endfor %}
{% if n == 1 %}one{% elif n == 7 %}seven{% else %}other{% endif %} {% if n > 5 and not e %}{% if l %}in{% endif %}{% endif %} {% if nothing_there %}x{% else %}y{% endif %}
{{ messages[0]['content'] | trim }} {{ (messages | last).content[:3] }} {{ messages[-1]['role'] == 'user' }} {{ messages | length }} {{ messages[1:] | length }} {{ messages[0].zz is defined }} {{ 'content' in messages[0] }} {{ messages[-2:][0].role }} {{ dict(a=1, b=2) }} {{ dict({'x': 1}, y=2).y }}
{{ 'a' if 0 else 'b' ~ 'c' }} {{ ('a' if 1 else 'b') ~ 'c' }} {{ {'a': 1}['a'] }} {{ {'a': {'b': 2}}.a.b }} {{ [1, 2,] }} {{ (1, 2) | length }} {{ 'x'.upper().lower() }} {{ "{{ no }}" }} {{ '%}' }} {{ -x | abs }} {{ n | string | length }}
{{ wide.strip() }}|{{ wide | trim }}|{{ wide.lstrip() }}|{{ wide.rstrip() }}|{{ wide.split() }}|{{ wide.isspace() }}|{{ '\u3000\u00a0'.isspace() }}|{{ lines.splitlines() }}|{{ lines.splitlines(true) }}|{{ lines | indent(1) }}|{{ 'a\r\nb' | indent }}|{{ lines | title }}
{{ 'a b c'.rsplit(none, 1) }} {{ ' a b  c '.rsplit(maxsplit=1) }} {{ ' ä b\u3000ö '.rsplit(none, 5) }} {{ 'a b'.rsplit() }} {{ ''.rsplit(none, 1) }} {{ 'a-b-c'.rsplit('-', 0) }} {{ 'a-b-c'.rsplit('-', -1) }}
{{ 42 | round }} {{ true | round }} {{ 42.55 | round(1) }} {{ 1.115 | round(2) }} {{ 2.675 | round(2) }} {{ 0.5 | round }} {{ 1e300 | round(15) }} {{ 1.25 | round(1, 'ceil') }} {{ 42 | round(method='floor') }}
{{ ['a', 'B'] | min }} {{ ['a', 'B'] | max }} {{ ['a', 'B'] | min(case_sensitive=true) }} {{ (messages | max(attribute='role')).content }} {{ [] | max }} {{ ['a', 'A', 'b'] | unique(true) | list }} {{ ['a', 'A', 'b'] | unique | list }}
{{ [[1, 2], [0, 4]] | sort(attribute='0') }} {{ [[1, 2], [0, 4]] | map(attribute='1') | list }} {{ [{'a': [5]}] | map(attribute='a.0') | list }} {{ [[2, 1], [1, 3], [1, 2]] | sort }} {{ d.items() | sort }} {{ [1, 2] < [1, 3] }} {{ (1,) < (1, 0) }}
{{ [1, 2] | sum(start=10) }} {{ [[1], [2]] | sum(start=[]) }} {{ [{'x': 1}] | sum('x', 5) }} {{ [1.5] | sum(start=1) }} {{ '9007199254740993' | int }} {{ ' 42 ' | int }} {{ '0x1f' | int(base=16) }} {{ 'ff' | int(0, 16) }} {{ '12x' | int(7) }} {{ '1e3' | int }}
{{ (1, 2, 3)[1:] }} {{ (1, 2) | list }} {{ (1, 2) + (3,) }} {{ (1,) * 2 }} {{ [1] == (1,) }} {{ ' ' | int(5) }} {{ {(1, 2): 3}[(1, 2)] }} {{ dict([('a', 1), ['b', 2]], c=3) }}
{{ messages | selectattr('role', '==', 'user') | list | length }} {{ [1, 2, 3] | select('>', 1) | list }} {{ [1, 2, 3] | reject('<=', 1) | list }} {{ [1, 2, 3] | select('!=', 2) | list }}
{% for x in [] %}{% else %}{% set z = 1 %}{% endfor %}[{{ z }}] {% for i in range(3) %}{% set a %}x{% if i == 1 %}{% break %}{% endif %}y{% endset %}[{{ a }}{{ i }}]{% endfor %} {% for i in range(3) %}{% filter upper %}x{% if i == 1 %}{% continue %}{% endif %}y{% endfilter %}[{{ i }}]{% endfor %}
{% for i, (a, (b, c)) in [(1, (2, (3, 4)))] %}{{ i ~ a ~ b ~ c }}{% endfor %} {% set (a, b), c = [1, 2], 3 %}{{ a ~ b ~ c }} {% for (a,) in [[7]] %}{{ a }}{% endfor %} {% for (a) in [7] %}{{ a }}{% endfor %}
{{ 'abcabc'.startswith('b', 1) }} {{ 'abc'.endswith('b', 0, 2) }} {{ 'äbcäbc'.find('ä', 1) }} {{ 'äbcäbc'.rfind('ä', 0, 3) }} {{ 'abcabc'.index('a', 2) }} {{ 'aaaa'.count('a', 1, -1) }} {{ 'abc'.find('a', 1) }} {{ 'abc'.startswith('c', -1) }} {{ 'abc'.startswith('a', none, 2) }}
{{ d | tojson(indent='\t') }} {{ [1, [2]] | tojson(indent='--') }} {{ [1] | tojson(indent=0) }} {{ [[], {}] | tojson(indent=1) }} {{ [1] | tojson(indent=none) }}
{{ 'é'.islower() }} {{ 'É'.isupper() }} {{ 'aé1'.islower() }} {{ 'aÉ'.islower() }} {{ 'éa'.isalpha() }} {{ '„x'.isalpha() }} {{ 'ό'.upper() }} {{ 'ΎΏ'.lower() }} {{ [[1, [2]]].0.1.0 }} {{+ 'plus' }} {{+1}}
{{ '%s %r %5d|%-5d|%05d|%+d|% d' % (s, 'a', n, n, n, n, n) }} {{ '%.2f %8.3e %g %G %#x %X %o %c%c %%' % (x, x, 1e-7, 1e20, 255, -255, 8, 65, 'ü') }} {{ '%(b)s and %(a)5s' % d }} {{ '%s' % l }} {{ '%*d|%-*d|%.*f' % (5, n, 5, n, 2, x) }} {{ '%.2s|%6.1s|' % ('äöü', 'xyz') }} {{ '%d %i' % (2.9, -1e20) }}
{{ '%s-%s' | format(1, 'b') }} {{ '%(x)s, %(y)03d' | format(x='X', y=7) }} {{ '100%%' | format }} {{ '%s' | format(none) }} {{ 5 | format }} {{ '%s' % nothing_there }} {{ 'a' % [] }} {{ '%05.1f|%+.0f|%x' % (-2.25, 0.5, true) }} {{ '%010.3d|%-8o|%#o' % (-7, 8, 8) }}
{{ range(7) | batch(3) | list }} {{ range(7) | batch(3, 'x') | list }} {{ [] | batch(2) | list }} {{ l | batch(linecount=9, fill_with=0) | list }} {{ [1, 2] | batch(0) | list }} {{ range(7) | slice(3) | list }} {{ range(7) | slice(3, 'x') | list }} {{ [1] | slice(3) | list }} {{ 'abcde' | slice(2) | list }} {{ l | slice(-1) | list }}
{% for g in messages | groupby('role') %}{{ g.grouper }}: {{ g.list | map(attribute='content') | join('/') }};{% endfor %} {% for role, all in messages | groupby('role') %}{{ role }}{{ all | length }} {% endfor %} {{ [{'a': 2}, {'a': 1, 'b': 5}, {'a': 2, 'b': 3}] | groupby('a') }} {{ [{'a': 2}, {}] | groupby('a', default=0) | map('first') | list }} {{ [{'k': 'B'}, {'k': 'b'}, {'k': 'A'}] | groupby('k') | map(attribute='grouper') | list }} {{ [{'k': 'B'}, {'k': 'b'}, {'k': 'A'}] | groupby('k', case_sensitive=true) | map(attribute=0) | list }} {{ ([{'a': {'b': 1}}] | groupby('a.b'))[0].list[0].a }}
{{ 'one two three four' | truncate(9) }} {{ 'one two three four' | truncate(9, true) }} {{ 'one two three four' | truncate(11, false, '…', 0) }} {{ 'short' | truncate(3, leeway=5) }} {{ 'wörter über wörter' | truncate(8, true, '', 0) }} {{ 'nospaceshereatall' | truncate(5) }} {{ l | truncate(5) }}
{{ 'a b/c?d=é&f' | urlencode }} {{ {'q': 'a b', 'ü': 1} | urlencode }} {{ [('a', 'x/y'), ('b', none)] | urlencode }} {{ 3.5 | urlencode }} {{ nothing_there | urlencode }} {{ '~_-.' | urlencode }} {{ 'ab cd, ef_g 12 ü!' | wordcount }} {{ '' | wordcount }} {{ '<b>' | forceescape }}
[{{ 'ab' | center(7) }}] [{{ 'abc' | center(6) }}] [{{ 'ü'.center(4, '*') }}] {{ '7'.zfill(3) }} {{ '-7'.zfill(4) }} [{{ 'a'.ljust(3) }}] [{{ 'a'.rjust(3, '.') }}] {{ 'long'.ljust(2) }} {{ 'long'.center(-9223372036854775807 - 1) }} {{ '-7'.zfill(-9223372036854775807 - 1) }} {{ ''.zfill(2) }} {{ [{}] | map(attribute='a', default=none) | list | length }} {{ [{}] | map(attribute='a.b', default='d') | list }}
"""
FAILING = ["{{ nothing_there.a }}", "{{ nothing_there.a.b }}", "{{ n.a.b }}", "{{ 1 / 0 }}", "{{ 'a' + 1 }}", "{{ raise_exception('no') }}", "{{ n() }}", "{{ 'a' < 1 }}",
           "{% for i in n %}{% endfor %}", "{{ l.append(1) }}", "{{ d.update({}) }}", "{{ nothing_there + 1 }}", "{{ 'x' in 3 }}", "{{ 'abc'.nonsense() }}", "{% for a, b in l %}{% endfor %}",
           "{{ nothing_there[1:] }}", "{{ nothing_there[0] }}", "{% for i, (a, b) in [(1, 2)] %}{% endfor %}", "{{ [[1], 2] | sort }}", "{{ [1] | sum(start=[]) }}",
           "{{ '%d' % 'a' }}", "{{ '%s %s' % (1,) }}", "{{ '%s' % (1, 2) }}", "{{ 'x' % 1 }}", "{{ '%(a)s' % 1 }}", "{{ '%(zz)s' % d }}", "{{ '%5%' % () }}", "{{ '%q' % 1 }}", "{{ '%' % 1 }}", "{{ '%x' % 2.5 }}",
           "{{ '%c' % 'ab' }}", "{{ '%s' | format(1, a=2) }}", "{{ '%f' % 'a' }}", "{{ '%(a' % d }}", "{{ 'abcdefghi' | truncate(2) }}", "{{ 5 | truncate }}", "{{ [1] | slice(0) | list }}", "{{ [1] | urlencode }}",
           "{{ [{}, {'a': 1}] | groupby('a') }}", "{{ 5 % 'a' }}", "{{ 'a'.center(5, 'xy') }}", "{{ [1] | batch('a', 'b') | list }}"]
BROKEN = ["{% if %}", "{% if 1 %}", "{{ }}", "{{ 1 + }}", "{% for x %}{% endfor %}", "{% endif %}", "{{ 'abc }}", "{{ 1", "{% set %}", "{{ a | nofilter }}", "{{ a is notest }}", "{# open", "{% raw %}x", "{{ [1 }}",
          "{% break %}", "{% wat %}", "{{ a..b }}", "{% macro %}{% endmacro %}", "{{ {1} }}", "{{ $ }}", "a {% raw +%}b{% endraw %}", "{% for () in l %}{% endfor %}"]
SPACES = ["a\n  {% if true %}\nb\n  {% endif %}\nc\n", "a\n  {%+ if true %}\nb\n  {% endif +%}\nc\n\n", "  {%- if true -%}  x  {%- endif -%}  \n y", "a {{- ' b ' -}} c", "{{ 1 }}\n{{ 2 }}\n", "a\r\nb\rc",
          "x\n  {# note #}\ny", "x  {#- note -#}  y", " {% set a = 1 %} {{ a }}", "\n\n", "", "{% for i in [1, 2] %}\n  {{ i }}\n{% endfor %}\n\n", "{%- raw -%}  {{ x }} \n {%- endraw -%} z", "a {% raw %} b {% endraw %} c",
          "{% if 1 %}a{% endif %}\n{% if 1 %}b{% endif %}\n", "\t{% if 1 %}\t{% endif %}\t|", "a{# x #}\nb", "{{ 'a'\n  }}{# multi\nline #}\n!",
          "a\n{% raw %}\n  b\n  {% endraw %}\nc", "a\n  {% raw -%}\n  b\n  {%- endraw %}\nc", "a\n  {%+ raw %}\n b\n {%+ endraw +%}\n c", "{#-#}  b {#+ x #} c", "x\u3000{%- if 1 %}\u3000y{% endif -%}\u3000 z",
          "\u3000{% if 1 %}\n\u00a0{% set a = 1 %}b{% endif %}", "{%\u3000if 1\u00a0%}x{% endif %}"]


def cases():
    for talk in ([USER], TALK):
        for prompt in (False, True):
            yield CHATML, {"messages": talk, "add_generation_prompt": prompt}
            yield TURNS, {"messages": talk, "add_generation_prompt": prompt, "bos_token": "<s>", "eos_token": "</s>"}
    yield TURNS, {"messages": [USER, USER], "bos_token": "<s>", "eos_token": "</s>"}
    for tools in (None, [TOOL, TOOL]):
        yield TOOLS, {"messages": CALLS, "tools": tools, "add_generation_prompt": True}
        yield TOOLS, {"messages": CALLS[:1], "tools": tools, "add_generation_prompt": True}
    for line in SNIPPETS.strip().split("\n"):
        yield line, VALUES
    for text in SPACES + FAILING + BROKEN:
        yield text, VALUES


def table():
    # values that every snippet sees stand once
    out = []
    for template, variables in cases():
        out.append({"template": template, "input": "values" if variables is VALUES else variables, "want": render(template, variables)})
    return json.dumps({"values": VALUES, "cases": out}, ensure_ascii=False, indent=0) + "\n"


def try_folders(krait, folders):
    same = refused = other = 0
    inputs = [{"messages": m, "add_generation_prompt": p, "tools": t, "bos_token": "<s>", "eos_token": "</s>"}
              for m in ([USER], TALK, CALLS) for p in (False, True) for t in (None, [TOOL])]
    for path in sorted(p for f in folders for p in glob.glob(os.path.join(f, "*.jinja"))):
        template = open(path, newline="").read()
        for given in inputs:
            want = render(template, given)
            p = subprocess.run([krait, "chat", "--render", path, "--input", "-"], input=json.dumps(given).encode(), capture_output=True)
            if want is None and p.returncode:
                refused += 1
            elif want is not None and p.returncode == 0 and p.stdout.decode() == want:
                same += 1
            else:
                other += 1
                print(path, "differs:", p.stderr.decode()[:200] or "another text")
    print(f"{same} the same, {refused} refused by both, {other} differ")
    return other


def made_up(r):
    """A value of Jinja's, and a call of something that takes many arguments."""
    texts = ["''", "'a b  c'", "'wörld – 你好 x'", "s", "'a%b/c?d=é&f'", "'-42'", "'+7 '", "lines", "wide", "'one two three four five six'"]
    numbers = ["0", "1", "-1", "3", "7", "255", "-255", "2.5", "-0.0", "1e-7", "123456.789", "1e20", "true", "n", "x"]
    lists = ["l", "[]", "[1, 2, 3, 4, 5, 6, 7]", "(1, 'a')", "'abcde'", "['b', 'A', 'a', 'B']", "d.items()", "range(10)", "nothing_there"]
    rows = ["messages", "[{'a': 2, 'b': 'x'}, {'a': 1, 'b': 'X'}, {'a': 2}]", "[[1, 'q'], [0, 'Q'], [1, 'z']]", "[{'k': {'m': 1}}, {'k': {}}, {'k': {'m': 0}}]"]
    any_value = lambda: r.choice(texts + numbers + lists[:-3] + ["none", "nothing_there", "d", "deep"]) # views and ranges write themselves as what they are
    flags = lambda: "".join(c for c in "-+ #0" if r.random() < .25)
    spec = lambda: "%" + flags() + r.choice(["", "", "3", "8", "12"]) + r.choice(["", "", ".0", ".2", ".7", "."]) + r.choice("sssdiuxXoeEfFgGcr%")
    maybe = lambda *more: ", ".join(["", *[m for m in more if r.random() < .5]])
    kind = r.randrange(12)
    if kind == 0:
        return f"'{spec()}' % ({any_value()},)"
    if kind == 1:
        f = spec()
        return f"'a {f[0]}({r.choice('ab')}){f[1:]} {spec()} z' % {{'a': {any_value()}, 'b': {any_value()}}}"
    if kind == 2:
        return f"'{spec()}|{spec()}' | format({any_value()}{maybe(any_value())})"
    if kind == 3:
        return f"'{spec()} %*d' % ({any_value()}, {r.choice(['5', '-5', 'n'])}, {r.choice(numbers)})"
    if kind == 4:
        return f"({r.choice(lists)} | batch({r.choice(['0', '1', '2', '3', '9', '-1'])}{maybe(any_value())})) | list"
    if kind == 5:
        return f"({r.choice(lists)} | slice({r.choice(['0', '1', '2', '3', '9', '-1'])}{maybe(any_value())})) | list"
    if kind == 6:
        by = r.choice(["'role'", "'a'", "'b'", "0", "'1'", "'k.m'", "attribute='a'"])
        tail = maybe(f"default={r.choice(numbers + texts)}", "case_sensitive=true")
        return f"{r.choice(rows)} | groupby({by}{tail}) " + r.choice(["", "| map(attribute='grouper') | list", "| map('last') | list", "| length"])
    if kind == 7:
        return f"{any_value()} | truncate({r.choice(['3', '5', '9', '20'])}{maybe('killwords=true', 'end=' + r.choice(texts), 'leeway=' + r.choice(['0', '2', 'none']))})"
    if kind == 8:
        return f"{r.choice([any_value(), any_value(), '{%s: %s}' % (r.choice(texts), any_value()), '[(%s, %s)]' % (any_value(), any_value())])} | urlencode"
    if kind == 9:
        return f"[{r.choice(texts)}.{r.choice(['center', 'ljust', 'rjust', 'zfill'])}({r.choice(['0', '3', '8', '21'])})]"
    if kind == 10:
        return f"'<' ~ ({any_value()} | {r.choice(['center', 'center(7)', 'center(20)', 'wordcount', 'forceescape'])}) ~ '>'"
    return f"{r.choice(rows)} | map(attribute={r.choice(['0', chr(39) + 'a' + chr(39), chr(39) + 'k.m' + chr(39)])}{maybe('default=' + any_value())}) | list"


def try_random(krait, n, seed):
    r, same, refused, other = random.Random(seed), 0, 0, 0
    for _ in range(n):
        line = "{{ " + made_up(r) + " }}"
        want = render(line, VALUES)
        with tempfile.NamedTemporaryFile("w", suffix=".jinja") as f:
            f.write(line)
            f.flush()
            p = subprocess.run([krait, "chat", "--render", f.name, "--input", "-"], input=json.dumps(VALUES).encode(), capture_output=True)
        if want is None and p.returncode:
            refused += 1
        elif want is not None and p.returncode == 0 and p.stdout.decode() == want:
            same += 1
        else:
            other += 1
            print(line, "gives", repr(p.stdout.decode()) if p.returncode == 0 else p.stderr.decode().strip(), "want", repr(want))
    print(f"{same} the same, {refused} refused by both, {other} differ")
    return other


if __name__ == "__main__":
    what = sys.argv[1] if len(sys.argv) > 1 else ""
    if what == "write":
        open(TABLE, "w").write(table())
    elif what == "check":
        if open(TABLE).read() != table():
            sys.exit("chat_oracle: tests/data/chat.json is not what this jinja2 gives")
    elif what == "try" and len(sys.argv) > 3:
        sys.exit(1 if try_folders(sys.argv[2], sys.argv[3:]) else 0)
    elif what == "random" and len(sys.argv) > 3:
        sys.exit(1 if try_random(sys.argv[2], int(sys.argv[3]), int((sys.argv[4:] or ["1"])[0])) else 0)
    else:
        sys.exit(__doc__)
