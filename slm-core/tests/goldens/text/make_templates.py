#!/usr/bin/env python3
"""Makes templates.json: what transformers renders from chat templates for the contexts of contexts.json.

    python3 make_templates.py DATA                      needs: transformers (recorded with 5.24, jinja2 3.1.6)
    python3 make_templates.py DATA TEMPLATE CONTEXT     prints one text

DATA is the development data, with `chat-templates` and `tokenizers/qwen3`. Of a public template only the length in bytes
and the SHA-256 of each text are recorded, as neither is ours; null where rendering fails, "lenient" where Python alone
refuses. The templates in `templates` are
ours, and their texts are recorded whole, with the spans of `{% generation %}` blocks in characters.
"""
import glob
import hashlib
import json
import os
import sys

import jinja

HERE = os.path.dirname(os.path.abspath(__file__))


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def public(data):
    paths = sorted(glob.glob(f"{data}/chat-templates/*.jinja")) + [f"{data}/tokenizers/qwen3/chat_template.jinja"]
    return {os.path.relpath(p, data): read(p) for p in paths}


def contexts(data):
    ours = {c["name"]: c for c in json.loads(read(f"{HERE}/contexts.json"))}
    theirs = {os.path.relpath(p, data): json.loads(read(p)) for p in
              sorted(glob.glob(f"{data}/chat-templates/contexts/*.json"))}
    return ours, theirs


# Python refuses these; Jinja elsewhere, as in llama.cpp, goes on with an empty list or with the list's JSON.
LENIENT = ["TypeError: 'NoneType' object is not iterable", "TypeError: Object of type generator is not JSON serializable"]


def digest(text, failure):
    if text is None:
        return "lenient" if failure in LENIENT else None
    return f"{len(text.encode())}:{hashlib.sha256(text.encode()).hexdigest()}"


def main(data, *one):
    ours, theirs = contexts(data)
    own = {os.path.basename(p): read(p) for p in sorted(glob.glob(f"{HERE}/templates/*.jinja"))}
    if one:
        text, failure = jinja.attempt({**public(data), **own}[one[0]], {**ours, **theirs}[one[1]])
        print(text if text is not None else failure, end="")
        return
    result = {"public": {}, "own": {}}
    for name, source in public(data).items():
        result["public"][name] = {c: digest(*jinja.attempt(source, context)) for c, context in {**ours, **theirs}.items()}
    for name, source in own.items():
        cases = {c: jinja.attempt(source, context) for c, context in ours.items()}
        result["own"][name] = {c: None if text is None else {"text": text, "spans": extra} for c, (text, extra) in cases.items()}
    with open(f"{HERE}/templates.json", "w", encoding="utf-8") as file:
        file.write(json.dumps(result, ensure_ascii=False, indent=1) + "\n")
    for kind, templates in result.items():
        texts = [t for cases in templates.values() for t in cases.values()]
        print(kind, len(templates), "templates,", len(texts), "texts,", sum(t in (None, "lenient") for t in texts), "of them failures")


if __name__ == "__main__":
    main(*sys.argv[1:])
