#!/usr/bin/env python3
"""Makes snippets.json: small templates, each about one thing that Jinja on Python does, and what transformers renders.

    python3 make_snippets.py          needs: transformers (recorded with 5.24, jinja2 3.1.6)

A golden is `text`, or null where Python fails.
"""
import json
import os

import jinja

CONTEXT = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Straße <b>&'\"</b> naïve 日本 😀", "extra": None},
        {"role": "assistant", "content": "", "reasoning_content": "hm", "tool_calls": [
            {"id": "a1", "type": "function", "function": {"name": "f", "arguments": {"z": 1, "a": [1, 2.5, None, True], "m": {"k": "é"}}}}]},
        {"role": "tool", "content": "42", "name": "f"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image"}]},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {
        "type": "object", "properties": {"b": {"type": "string"}, "items": {"type": "array", "items": {"type": "integer"}}},
        "required": ["b"]}}}],
    "n": None, "t": True, "f": False, "i": 7, "neg": -7, "fl": 1.0, "big": 1e16, "small": 0.00001, "third": 0.1,
    "s": "  Hello, World \n", "empty": "", "l": [3, 1, 2], "words": ["b", "A", "c", "b"], "d": {"z": 1, "a": 2, "m": [1, "x"]},
    "multi": "one\ntwo\n\nthree\n", "nested": {"k": {"deep": [1, {"x": "it's"}]}}, "quote": "it's \"q\" \\ \n\t\x7f\x01 é",
    "bos_token": "<s>", "eos_token": "</s>",
}

EXPRESSIONS = r"""
t
f
n
[t, f, n]
i
fl
big
small
third
1.5e300
-0.0
l
d
nested
quote
[quote]
(1,)
(1, 2)
()
[]
{}
messages[2].tool_calls
'a' ~ t ~ n ~ fl ~ i ~ l ~ d
'a' ~ undefined_name ~ 'b'
'a' + 'b'
'a' + 1
1 + undefined_name
[1] + [2]
(1,) + (2,)
'ab' * 3
3 * 'ab'
[0] * 3
7 // 2
-7 // 2
7 / 2
8 / 2
7 % 3
-7 % 3
2 ** 10
2 ** -1
7.5 // 2
1 / 0
1 == 1.0
1 == true
'1' == 1
none == undefined_name
true + 1
1 < 2 < 3
3 > 2 > 2
'a' < 'b'
1 < 'a'
not none
not ''
not []
'' or 'x'
'y' and 'x'
none or []
0 or none
'ell' in s
'x' in undefined_name
'z' in d
1 in l
1 not in l
'a' in messages[0]
messages[0].missing
messages[0].missing.more
messages[0]['missing']
messages[99]
messages[-1].role
messages[1].extra is defined
n.foo
undefined_name
undefined_name.foo
undefined_name[0]
s[2]
s[-1]
s[99]
s[2:7]
s[:-2]
s[::-1]
s[5:2:-1]
s[::2]
l[1:]
l[:-1]
l[::-1]
l[-2:]
messages[1:][0].role
'日本語'[1:]
'日本語'[::-1]
(1, 2, 3)[1:]
s.strip()
s.strip(' \n')
s.lstrip()
s.rstrip()
s.rstrip('\n')
s.upper()
s.lower()
s.title()
s.swapcase()
s.capitalize()
'hello world'.capitalize()
'a,b,c'.split(',')
'a,b,c'.split(',', 1)
'a,b,c'.rsplit(',', 1)
'  a  b '.split()
'  a  b c'.split(None, 1)
'a,b'.split(',')[-1]
''.split()
''.split(',')
'a,b,c'.partition(',')
'a,b,c'.rpartition(',')
'abc'.startswith('a')
'abc'.startswith(('x', 'a'))
'abc'.endswith('c')
'abc'.startswith('b', 1)
'abcabc'.find('c')
'abcabc'.rfind('c')
'abcabc'.find('zz')
'abcabc'.find('b', 2)
'abcabc'.index('b')
'abc'.index('z')
'abcabc'.count('b')
'a-b-c'.replace('-', '+')
'a-b-c'.replace('-', '+', 1)
'abc'.replace('', '-')
'abc'.removeprefix('a')
'abc'.removesuffix('c')
'abc'.removesuffix('x')
'x'.center(5, '*')
'x'.ljust(3) ~ '|'
'x'.rjust(3, '.')
'7'.zfill(3)
'-7'.zfill(4)
'a\tb'.expandtabs(4)
'ab'.isalpha()
'a1'.isalnum()
'12'.isdigit()
'½'.isdigit()
'½'.isnumeric()
'²'.isdigit()
'²'.isdecimal()
'12'.isdecimal()
'AB'.isupper()
'ab'.islower()
' \n'.isspace()
'Ab'.istitle()
'ab'.isascii()
'a_b'.isidentifier()
','.join(words)
','.join([1, 2])
'a\nb\r\nc'.splitlines()
'a\nb\n'.splitlines(true)
'{} {}'.format('a', 1)
'{0} {name} {1:>5}'.format('a', 'b', name='c')
'%s and %d' % ('x', 3)
'%s' % 'x'
'%.2f' % 3.14159
'%s' % n
'%r' % 'a'
'%05d|%-5s|%5s|%x|%%' % (42, 'ab', 'cd', 255)
'ß'.upper()
'ẞ'.lower()
'ß'.casefold()
'İ'.lower()|length
d.items()
d.keys()
d.values()
d.items()|list
d.keys()|list
d.values()|list
d.get('z')
d.get('q')
d.get('q', 5)
d.pop('z')
d.update({'x': 1})
d.copy()
l.append(1)
l.index(1)
l.index(9)
l.count(1)
l.copy()
l.sort()
l.reverse()
(1, 2, 1).count(1)
(1, 2, 1).index(2)
tools[0].function.parameters.properties.items
tools[0].function.parameters.properties.items()
tools[0].function.parameters.properties.items.type
tools[0].function.parameters.properties['items'].type
tools[0].function.parameters.properties.keys()|list
d|items|list
undefined_name|items|list
d|length
s|length
undefined_name|length
n|length
'日本'|length
s|trim
s|trim(' ')
'xxaxx'|trim('x')
s|upper
s|lower
'hello wORLD'|title
'hELLO'|capitalize
'it\'s o\'neil-x'|title
words|join
words|join(', ')
[1, none, true, 2.0]|join('-')
messages|join(',', attribute='role')
words|sort
words|sort(case_sensitive=true)
words|sort(reverse=true)
l|sort
d|dictsort
d|dictsort(by='value')
d|dictsort(reverse=true)
words|unique|list
words|unique(case_sensitive=true)|list
words|first
words|last
[]|first
[]|last
words|reverse|list
'abc'|reverse
l|sum
l|max
l|min
[]|max
messages|map(attribute='role')|list
messages|map(attribute='name', default='-')|list
words|map('upper')|list
words|map('replace', 'b', 'x')|join
messages|selectattr('role', 'equalto', 'user')|list|length
messages|selectattr('role', 'in', ['user', 'tool'])|map(attribute='role')|join(' ')
messages|selectattr('name', 'defined')|list|length
messages|selectattr('name')|list|length
messages|rejectattr('role', 'eq', 'user')|map(attribute='role')|join(' ')
l|select('odd')|list
l|reject('odd')|list
l|select('>', 1)|list
['a', '', none]|select|list
['a', 1]|select('string')|list
messages|groupby('role')|map(attribute=0)|list
words|batch(3)|list
words|batch(3, '-')|list
words|slice(3)|list
i|string
t|string
n|string
fl|string
l|string
'3'|int
'x'|int
'x'|int(5)
'3.7'|int
3.9|int
'0x1f'|int(0, 16)
'3.5'|float
'x'|float
-3|abs
3.14159|round(2)
2.5|round
3.5|round
2.5|round(0, 'floor')
7|round
'<b>'|e
'<b>'|escape
'<b>'|safe
('<b>'|safe) + '<i>'
'<i>' + ('<b>'|safe)
('<b>'|safe) ~ '<i>'
'<b>'|safe|replace('<', '[')
'a b'|replace(' ', '_')
'aaa'|replace('a', 'b', 2)
multi|indent
multi|indent(2)
multi|indent(2, true)
multi|indent(2, first=true, blank=true)
multi|indent('> ')
'a b c d'|wordwrap(3)
'a b c'|wordcount
'hello world foo'|truncate(9)
'hello world foo'|truncate(9, true)
'x'|center(5)
'%s-%s'|format('a', 'b')
'%(a)s'|format(a=1)
'<p>x</p>'|striptags
'a b&c/d'|urlencode
{'a': 'b c'}|urlencode
1024|filesizeformat
'http://a.b'|urlize
{'a': 1}|xmlattr
undefined_name|default('x')
''|default('x')
''|default('x', true)
n|default('x')
n|d('x', true)
words|list
'abc'|list
d|list
(1, 2)|list
'abc'|attr('upper')
d|attr('z')
d|tojson
d|tojson(indent=2)
nested|tojson(indent=4)
nested|tojson(2)
d|tojson(separators=(',', ':'))
d|tojson(sort_keys=true)
quote|tojson
quote|tojson(ensure_ascii=true)
'😀'|tojson(ensure_ascii=true)
[1, 1.0, 1e16, 1e-5, 0.1, true, none, 'x']|tojson
'</script>&\''|tojson
[]|tojson(indent=2)
{}|tojson(indent=2)
[[], {}, [1]]|tojson(indent=1)
{1: 2, none: 3, true: 4, 1.5: 5}|tojson
(1, 2)|tojson
undefined_name|tojson
messages[2].tool_calls|tojson
messages[1]|tojson
tools|tojson
d.items()|list|tojson
words|tojson(indent='\t')
words|pprint
i is defined
undefined_name is undefined
n is none
n is not none
none is none
t is true
t is boolean
1 is true
1 is boolean
t is number
t is integer
i is integer
fl is float
fl is integer
i is number
'a' is string
'a' is iterable
'a' is sequence
'a,b'.split(sep=',', maxsplit=1)
' a b  c '.rsplit(None, 1)
' a b  c '.split(None, 1)
'aXbX'.split('X')
5|int|string + 'x'
messages|map(attribute='role') is iterable
d.items() is iterable
dict(d, z=5)
d is mapping
d is iterable
d is sequence
l is sequence
l is iterable
n is iterable
5 is iterable
range(3) is iterable
range(3) is sequence
undefined_name is iterable
4 is even
4 is odd
4 is divisibleby 2
4 is divisibleby(3)
'a' is eq 'a'
'a' is in 'abc'
1 is in [1]
1 is sameas 1
'A' is upper
'a' is lower
raise_exception is callable
'x' is callable
1 is gt 0
1 is lessthan 2
'tojson' is filter
'none' is test
not i is defined
i is not defined
i is defined and i > 3
range(5)|list
range(2, 8, 3)|list
range(5, 0, -2)|list
range(3)
range(1000000)|list|length
dict(a=1, b=2)
dict([('a', 1)])
'a' 'b'
"it's"
'it\'s'
'\x41\u00e9\n\t\\'
'\d'
0x1f
0b11
0o17
1_000
1e3
.5
True
None
False
'yes' if t else 'no'
'yes' if f
('yes' if f) is defined
(1 if f else 2) + 1
1 if t else 2 if f else 3
{'a': 1, 'b': {'c': [1, 2]}}
{'b': 1, 'a': 2}
{1: 'x'}[1]
{'b': 1}.b
[1, 2, 3][1]
'abc' | upper ~ 'd'
1 + 2 * 3 - 4
-2 ** 2
(1 + 2) * 3
2 ** 3 ** 2
1 - 1 - 1
'a' if 'b' in 'abc' and not f or t else 'c'
i|string + 'x'
-i|abs
(-i)|abs
i.real
s.__class__
s.format_map({})
d.__class__
namespace
namespace(a=1).a
namespace(a=1)
strftime_now('%Y-%m-%d %d %B %b %A %a %H:%M:%S %I %p %j %y %m %% %-d %e')
strftime_now('%Q')
lipsum is defined
cycler('a', 'b').next()
joiner(', ')()
messages|length > 3 and messages[0].role == 'system'
messages[1].content.split('<')[0] | trim
messages[0]['content'] | length
messages[4].content | selectattr('type', 'equalto', 'text') | map(attribute='text') | join
messages[4]['content'][0]['text']
messages[4].content is string
messages[4].content is iterable and messages[4].content is not mapping
messages[1].get('extra') is none
(messages|first).role
(messages | map(attribute='role') | list)[-1]
loop is defined
self is defined
bos_token + 'x'
missing_token + 'x'
1 and 2
1 // 0
1 % 0
'abc'.upper().lower().title()
'x' ~ 1 + 2
'a' == 'a' == 'a'
[1, 2] == [1, 2]
(1, 2) == [1, 2]
{'a': 1} == {'a': 1.0}
[1, 2] < [1, 3]
d.z + d['a']
d.m[1]
words[1:]|join(',')
words[i - 7]
1.0 * 3
10 / 5
1e2|int
2.0 ** 3
0.1 + 0.2
1e-4
123456789.123
1e15 + 0.5
100000000000000000000 + 1
'a'.join('xyz')
('a', 'b')|join
'%s' % l
'%s' % (l,)
'%s %s' % ('a',)
'%d' % 'a'
"a\"b"
[true, none]|string
nested.k.deep[1].x
nested['k']['deep'][-1]['x'] | upper
[1,2,3,]
{'a': 1,}
(t and 'x') or 'y'
'line1\nline2'.split('\n')
'a  b'.split(' ')
'1 2 3'.split()|map('int')|sum
'abc' in ['abc']
none in [none]
d == {'m': [1, 'x'], 'a': 2, 'z': 1}
messages|map(attribute='content')|select('string')|list|length
[[1, 2], [3]]|map('first')|list
[[1, 2], [3]]|map('sum')|list
[[1, 2], [3]]|sum(start=[])
[{'a': 1}, {'a': 2}]|sum(attribute='a')
[{'a': {'b': 1}}]|map(attribute='a.b')|list
"\N{BULLET}"
'é'|urlencode
'a' > 1
'a'|int == 0
[3,1]|sort|first
'abc'.find('')
s.splitlines()|length
"<|im_start|>" + messages[0].role + "\n"
"%s"|format(none)
t|int
none|int
none|default('x')|upper
'a'.encode()
'x' is not string
1.5 is number
'foo' is matching 'f'
'a'|nofilter
nofunction()
""".strip("\n").split("\n")

STATEMENTS = [
    "{% for m in messages %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }} {% endfor %}",
    "{% for m in messages %}{{ loop.previtem.role if loop.previtem is defined else '-' }}>{{ loop.nextitem.role if not loop.last else '-' }} {% endfor %}",
    "{% for m in messages if m.role != 'user' %}{{ loop.index }}{{ m.role }}{% else %}none{% endfor %}",
    "{% for m in [] %}x{% else %}none{% endfor %}",
    "{% for x in undefined_name %}x{% else %}none{% endfor %}",
    "{% for x in n %}x{% endfor %}",
    "{% for x in 5 %}x{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in d|items %}{{ k }}={{ v }};{% endfor %}",
    "{% for k in d %}{{ k }}{% endfor %}",
    "{% for k, v in d|dictsort %}{{ k }}={{ v }};{% endfor %}",
    "{% for c in 'añ日' %}{{ c }}-{% endfor %}",
    "{% for a, b in [(1, 2), [3, 4]] %}{{ a + b }} {% endfor %}",
    "{% for a, b in [(1, 2, 3)] %}{{ a }}{% endfor %}",
    "{% for (a, (b, c)) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in range(3) %}{{ loop.cycle('a', 'b') }}{{ loop.changed(x // 2) }}{% endfor %}",
    "{% for x in l recursive %}{{ x }}{% if x == 3 %}{{ loop([9, 8]) }}{% endif %}{{ loop.depth }}{% endfor %}",
    "{% set x = 1 %}{% for y in l %}{% set x = y %}{% endfor %}{{ x }}",
    "{% set ns = namespace(x=1) %}{% for y in l %}{% set ns.x = ns.x + y %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace() %}{{ ns.x is defined }}{% set ns.x = [] %}{% set ns.x = ns.x + [1] %}{{ ns.x }}",
    "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a + ns.b }}{{ ns['a'] }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set (a, b) = [1, 2] %}{{ a }}{{ b }}",
    "{% set x %}  block {{ i }} {% endset %}[{{ x }}]{{ x|length }}",
    "{% set x | upper %}block{% endset %}{{ x }}",
    "{% set x = 1, 2 %}{{ x }}",
    "{% set d.x = 1 %}",
    "{% if i == 7 %}{% set y = 1 %}{% endif %}{{ y }}",
    "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}",
    "{% filter upper %}abc {{ i }}{% endfilter %}",
    "{% macro m(a, b=2, c='x') %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, c=3) }}{{ m() }}{{ m(1, 2, 3) }}",
    "{% macro m(a) %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x=4) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}",
    "{% macro m() %}  x {% endmacro %}{{ m()|trim }}{{ m()|length }}{{ m() is string }}{{ m() + 'y' }}",
    "{% macro m(x) %}{{ caller(x) }}{% endmacro %}{% call(y) m(3) %}<{{ y }}>{% endcall %}",
    "{% macro fact(n) %}{% if n < 2 %}1{% else %}{{ n * fact(n - 1)|int }}{% endif %}{% endmacro %}{{ fact(5) }}",
    "{% macro m() %}{{ i }}{{ later is defined }}{% endmacro %}{% set later = 1 %}{{ m() }}",
    "{% set ns = namespace(v=0) %}{% macro m() %}{% set ns.v = ns.v + 1 %}{% endmacro %}{{ m() }}{{ m() }}{{ ns.v }}",
    "{% macro m() %}a{% endmacro %}{{ m.name }}{{ m.arguments }}",
    "{# comment #}a{#- trimmed -#} b",
    "  {% if t %}\n  x\n  {% endif %}\n  y\n",
    "  {%- if t -%}\n  x\n  {%- endif %}\n  y\n\n",
    "  {%+ if t %}\n  x\n  {% endif +%}\n  y\n",
    "a\n\n{% if t %}\n\nb{% endif %}\n\nc",
    "a {{ i }} \n {{- i -}} \n b",
    "{{ '{{' }}{% raw %}{{ x }}{% endraw %}",
    "{% raw -%}\n  {{ x }}\n{%- endraw %}",
    "line\r\nnext\r\n{% if t %}\r\nx{% endif %}",
    "trailing newline\n",
    "two newlines\n\n",
    "{% if f %}a{% elif i > 5 %}b{% else %}c{% endif %}",
    "{% if undefined_name %}a{% else %}b{% endif %}",
    "{% if messages[0].missing is defined and messages[0].missing.x %}a{% else %}b{% endif %}",
    "{% do l.append(1) %}",
    "{{ raise_exception('no') }}",
    "{% if f %}{{ raise_exception('no') }}{% endif %}ok",
    "{% generation %}a{{ i }}{% endgeneration %}",
    "x{%- generation -%} a é {% endgeneration %}y{% generation %}b{% endgeneration %}\n",
    "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.reasoning_content }}{% endgeneration %}{% else %}日{{ m.role }}{% endif %}{% endfor %}",
    "{% set ns = namespace(a=1) %}{% generation %}{% set ns.a = 2 %}{% set b = 3 %}{{ b }}{% endgeneration %}{{ ns.a }}{{ b is defined }}",
    "{% for m in messages %}{% generation %}{{ loop.index }}{% endgeneration %}{% endfor %}",
    "{% for m in messages %}{%- generation %}{% if loop.last %}{{ m.role }}{% endif %}\n{% endgeneration -%}  {% endfor %}",
    "{% block x %}a{% endblock %}{{ self.x() }}",
    "{% include 'x' %}",
    "{% import 'x' as y %}",
    "{% extends 'x' %}",
    "{% for m in messages %}{{ m.thinking }}{% endfor %}",
    "{{ tools is defined }}{{ documents is defined }}{{ documents is none }}{{ add_generation_prompt }}",
    "{{ '%}' ~ '}}' ~ '{%' ~ '{{' }}{{ {'a': {'b': '}}'}}['a']['b'] }}",
    "{% if '%' in '50%' %}{{ 100 % 7 }}{{ i % 4 }}{% endif %}",
    "{{ '%s/%s' % (i, fl) ~ '!' }}{{ 'a%s' % i + 'b' }}{{ ('%d' % i) | length }}{{ '%(z)s-%(a)d' % d }}",
    "{{ '%s' % messages[0].role | upper }}{{ '%s' % s.strip()[1:3] }}{{ '%s' % (i if t else n) }}",
    "{{ '<'|safe + '<' + words[0] if t else '>' }}{{ ['<'|safe + '&', '<' + '&'] }}",
    "{% set x = '<'|safe + '<' %}{{ x }}{% if '<'|safe + '' == '<' %}eq{% endif %}",
    "{{ '<'|safe }}{{ '<' + '>' }}{{ ('<'|safe) ~ '<' }}{{ '<'|e + '<' }}{{ d.z|string + '<' }}",
    "{{ 'a|safe' + '<' }}{{ messages|map(attribute='role')|join('<')|safe + '<' }}",
    "{{- '<'|safe + (d | tojson) + '\\n'|safe -}}",
    "{# {{ '%s' % x }} #}{% raw %}{{ '%s' % x }}{% generation %}{% endraw %}",
    "{%- set a = '%s' % i -%}{{ a }}{%+ if t %}{{ 1 }}{% endif -%}  b",
    "{% for x in '%s %s' % (1, 2) %}{{ x }}{% endfor %}",
    "{{ dict(a=1)|items|list }}{{ {'x': 1, **d} if false else 1 }}",
    "{{ [1, *l] if false else 1 }}",
    "{{ 'a' if t else 'b' ~ '%s' % i }}",
    "{{ i",
    "{% if %}",
    "{% endif %}",
    "{% for x in l %}",
    "{% unknown %}",
    "{{ 1 +* 2 }}",
    "{{ 'unclosed }}",
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ 'odd' }}{% endif %}{% endfor %}",
    "{% set loop_messages = messages[1:] if messages[0]['role'] == 'system' else messages %}{{ loop_messages|length }}",
    "{% set content = bos_token + messages[0].content if t else '' %}{{ content }}",
    "{%- for t in tools %}{%- set t = t.function %}{{ t.name }}({% for p in t.parameters.properties %}{{ p }}{{ ', ' if not loop.last }}{% endfor %}){%- endfor %}",
    "{% for a in l %}{% for b in l %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}",
    "{% for a in l %}{% set outer = loop %}{% for b in l %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}",
    "{% for i in l %}{{ i }}{% endfor %}{{ i }}",
    "{% set i = i + 1 %}{{ i }}{% set i = i + 1 %}{{ i }}",
    "{% for x in l %}{{ x }}{% if not loop.last %},{% endif %}{% endfor %}",
    "{%- set x = 5 -%}\n\n  {{- x }}",
    "{% for x in messages|map(attribute='role')|unique %}{{ loop.index }}{{ x }}{{ loop.last }}{% endfor %}",
    "{% for k, g in messages|groupby('role') %}{{ k }}:{{ g|length }} {% endfor %}",
    "{% for r in words|batch(2) %}{{ r|join }};{% endfor %}",
    "{{ messages[-1]['content'] | map(attribute='type') | join(', ') }}",
    "{%- macro render(c) -%}{%- if c is string -%}{{ c }}{%- else -%}{%- for p in c -%}{%- if 'text' in p -%}{{ p.text }}{%- elif p.type == 'image' -%}<img>{%- endif -%}{%- endfor -%}{%- endif -%}{%- endmacro -%}{% for m in messages %}{{ render(m.content) }}|{% endfor %}",
    "{% set x = {'a': 1} %}{% set y = dict(x, b=2) %}{{ y }}",
    "{% set x = {'a': 1} %}{% set _ = x.update({'b': 2}) %}{{ x }}",
    "{% set parts = [] %}{% set parts = parts + ['a'] %}{{ parts }}",
    "{{- '  a' -}}   {{- 'b  ' }}  ",
    "{% if t -%}   a   {%- endif %}",
    "{{ x }}{% set x = 2 %}{{ x }}",
    "{% for x in [1,2,3] -%}\n{{ x }}\n{%- endfor %}",
    "# not a comment\n## nor this\n{{ i }}",
    "{{ messages | tojson(indent=2) }}",
    "{{ tools | tojson(indent=4) | indent(2) }}",
    "{{ quote | tojson | tojson }}",
    "{% set m = messages[0] %}{% set m = dict(m, content='x') %}{{ m.content }}{{ messages[0].content }}",
    "{{ '' if not messages else messages[0]['role'] }}",
    "{%for x in l%}{{x}}{%endfor%}",
    "{{ {'a': [1, 2, {'b': none}]} | string | length }}",
    "{% set reasoning, rest = 'a</think>b'.split('</think>') %}{{ reasoning }}/{{ rest }}",
    "{% set a, b = [1] %}",
    "{{ [messages[0], messages[3]] | map(attribute='content') | join(' / ') }}",
    "{% autoescape true %}{{ '<b>' }}{% endautoescape %}",
    "{% trans %}x{% endtrans %}",
    "{{ debug() }}",
    "{% set joined = joiner(', ') %}{% for x in l %}{{ joined() }}{{ x }}{% endfor %}",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.next() }}",
    "{{ (messages|selectattr('role', 'equalto', 'tool')|first).content }}",
    "{{ (messages|selectattr('role', 'equalto', 'nobody')|first) is defined }}",
    "{{ (messages|selectattr('role', 'equalto', 'nobody')|list)[0].content is defined }}",
    "a{% if t %}{% endif %}   \nb",
    "   {# c #}   \nx",
    "\t{% if t %}x{% endif %}",
    "x {% if t %}\n    y{% endif %}",
    "{%- if t %}\n{{- ' a' }}\n{%- endif %}\n",
    "{% set x = namespace(a=none) %}{{ x.a is none }}{{ x.b is defined }}",
    "{{ 'a' if undefined_name is defined else 'b' }}{{ undefined_name or 'c' }}",
    "{% set text = 'a' %}{% set text = text ~ 'b' %}{{ text }}",
    "{% for m in messages %}{% set is_last = loop.last %}{% if is_last %}{{ m.role }}{% endif %}{% endfor %}",
    "{% for m in messages[::-1] %}{% set index = (messages|length - 1) - loop.index0 %}{{ index }}{{ m.role }}{% endfor %}",
    "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}x{% endmacro %}{{ a() }}",
    "{% macro outer(x) %}{% macro inner(y) %}{{ x }}{{ y }}{% endmacro %}{{ inner(2) }}{% endmacro %}{{ outer(1) }}",
    "{% set x = 1 %}{% macro m() %}{% set x = 2 %}{{ x }}{% endmacro %}{{ m() }}{{ x }}",
    "{% for x in l %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}",
]


def main():
    cases = []
    for source in ["{{ " + e + " }}" for e in EXPRESSIONS] + STATEMENTS:
        text, extra = jinja.attempt(source, CONTEXT)
        if text and " at 0x" in text:
            continue  # An address.
        case = {"template": source, "text": text}
        if text is None:
            case["failure"] = extra[:100]
        elif extra:
            case["spans"] = extra
        cases.append(case)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "snippets.json")
    context = {**CONTEXT, "now": jinja.NOW}
    with open(path, "w", encoding="utf-8") as file:
        file.write("{\"context\": " + json.dumps(context, ensure_ascii=False) + ",\n\"cases\": [\n")
        file.write(",\n".join(json.dumps(c, ensure_ascii=False) for c in cases) + "\n]}\n")
    print(len(cases), "cases,", sum(c["text"] is None for c in cases), "of them failures")


if __name__ == "__main__":
    main()
