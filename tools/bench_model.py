#!/usr/bin/env python3
"""Measures slm against llama.cpp on the same random weights, in turns, and writes `docs/benchmarks/model.json` and
the tables of `docs/benchmarks.md`.

    python tools/bench_checkpoint.py OUT --tokenizer QWEN3_DIR --float f16 bf16 f32 --gguf f16 bf16 f32
    python tools/bench_checkpoint.py TINY --tokenizer QWEN3_DIR --shape tiny
    python tools/bench_model.py OUT --tiny TINY [--rounds 3] [--floats f16 bf16 f32] [--transformers] [--candle BINARY]

BINARY is what `cargo build --release` makes of tools/bench_candle. All run with two threads, each run in a process of its own. A disagreement of the engines about the logits ends it.
"""

import argparse
import sys
from pathlib import Path

from bench_common import ROOT, build, in_turns, machine, markdown, median, publish, quiet, ratio

# Largest difference of a logit between engines: their caches and activations are rounded differently. Logits of
# these weights have a deviation of 0.6.
TOLERANCE = {"f32": 0.01, "f16": 0.05, "bf16": 0.05}
MIB = 1 << 20


def contenders(a, bench):
    engines = ROOT / "tools" / "bench_engines.py"
    speed = lambda f, *more: [bench, "speed", a.checkpoints / f, *more]
    llama = lambda f, *more: [sys.executable, engines, "llama", a.checkpoints / f"{f}.gguf", *more]
    size = [f"prompt={a.prompt}", f"generate={a.generate}"]
    for f in a.floats:
        yield f"slm {f}", speed(f, *size, "cache=f16")
        yield f"llama.cpp {f}", llama(f, *size, "cache=f16")
        if a.candle:
            yield f"candle {f}", [a.candle, a.checkpoints / f, f, a.prompt, a.generate]
        if a.transformers:
            yield f"transformers {f}", [sys.executable, engines, "transformers", a.checkpoints / f, *size]
    f = a.floats[0]
    for cache in ["f32", "int8"]:
        yield f"slm {f}, cache {cache}", speed(f, *size, f"cache={cache}")
    long = [f"prompt={a.long}", "generate=16", "cache=f16"]
    yield f"slm {f}, long", speed(f, *long)
    yield f"llama.cpp {f}, long", llama(f, *long)
    for task in ["lookup", "batch", "prefix"]:
        yield task, [bench, task, a.checkpoints / f, "cache=f16"]
    yield "mask", [bench, "mask", a.tiny / "f16"]
    yield "copy", [bench, "copy", ROOT / "assets" / "base"]


def agree(rows, floats):
    """Stops where the engines compute something else from the same weights."""
    for f in floats:
        ours = next(r for r in rows if r["contender"] == f"slm {f}")["check"]
        theirs = next(r for r in rows if r["contender"] == f"llama.cpp {f}")["check"]
        worst = max(abs(x - y) for x, y in zip(ours["logits"], theirs["logits"], strict=True))
        if ours["ids"] != theirs["ids"] or worst > TOLERANCE[f]:
            raise SystemExit(f"{f}: ids {ours['ids']} and {theirs['ids']}, logits differ by up to {worst}")
        print(f"{f}: the same 8 tokens, logits differ by up to {worst:.4f}")


def line(rows, name, other=None):
    m = lambda field: median(rows, name, field)
    cells = [name, f"{m('prefill_tok_s'):.0f}", f"{m('decode_tok_s'):.1f}", f"{m('load_s'):.2f}"]
    cells += [f"{m('first_token_s'):.2f}", f"{m('peak_bytes') / MIB:.0f}"]
    if other is None:
        return cells + ["", "", ""]
    fields = ["prefill_tok_s", "decode_tok_s", "peak_bytes"]
    return cells + [ratio(rows, name, other, field) for field in fields]


def tables(rows, a):
    names = list(dict.fromkeys(r["contender"] for r in rows))
    engines = [n for n in names if any(r["contender"] == n and "prefill_s" in r for r in rows)]
    partner = lambda n: n.replace("slm", "llama.cpp", 1) if n.startswith("slm") else None
    body = [line(rows, n, partner(n) if partner(n) in names else None) for n in engines]
    header = ["run", "prompt tok/s", "decode tok/s", "load s", "first token s", "peak MiB"]
    header += ["prompt ratio", "decode ratio", "peak ratio"]
    out = [markdown(header, body), "", memory(rows, engines), "", tasks(rows, a)]
    return "\n".join(out)


def memory(rows, engines):
    body = []
    for n in (n for n in engines if n.startswith("slm")):
        m = lambda field: median(rows, n, field)
        held = m("weight_bytes") + m("cache_bytes")
        body.append([
            n, f"{m('weight_bytes') / MIB:.0f}", f"{m('cache_bytes') / m('cache_tokens') / 1024:.0f}",
            f"{m('peak_bytes') / held:.2f}", f"{m('weight_bytes') * m('decode_tok_s') / 1e9:.1f}",
        ])
    header = ["run", "weights MiB", "cache KiB/token", "peak / (weights + cache)", "weights read in decoding, GB/s"]
    return markdown(header, body)


def tasks(rows, a):
    f = a.floats[0]
    last = lambda name: next(r for r in reversed(rows) if r["contender"] == name)
    m = lambda name, field: median(rows, name, field)
    decode_ms = 1e3 / m(f"slm {f}", "decode_tok_s")
    per = lambda name, prompt: 1e3 * m(name, "prefill_s") / prompt
    long, short = per(f"slm {f}, long", a.long), per(f"slm {f}", a.prompt)
    theirs, their_short = per(f"llama.cpp {f}, long", a.long), per(f"llama.cpp {f}", a.prompt)
    batch = ", ".join(f"{r['at_once']} at once: {r['tok_s']:.1f} tok/s" for r in last("batch")["rows"])
    share = m("mask", "mask_ms") / (m("mask", "mask_ms") + decode_ms)
    body = [
        [f"a token of a prompt of {a.long} against one of {a.prompt}",
         f"{long / short:.2f} times (llama.cpp {theirs / their_short:.2f})"],
        ["guesses from the text, all of them true", f"{m('lookup', 'ratio'):.2f} times as fast"],
        ["guesses from the text, embedded base model writing on from repeated text",
         f"{m('copy', 'ratio'):.2f} times as fast"],
        ["several requests", batch],
        [f"first token, {last('prefix')['known']} of {last('prefix')['known'] + last('prefix')['new']} tokens known",
         f"{m('prefix', 'hit_s') * 1e3:.0f} ms; {m('prefix', 'cold_s') * 1e3:.0f} ms when new"],
        ["mask of a JSON schema, 151 936 tokens",
         f"{m('mask', 'mask_ms'):.2f} ms a token, {share:.1%} of a token of {f}; vocabulary made once in "
         f"{m('mask', 'vocabulary_s'):.2f} s"],
    ]
    return markdown(["task", "seen"], body)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", type=Path)
    parser.add_argument("--tiny", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--floats", nargs="+", default=["f16", "bf16", "f32"])
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=128)
    parser.add_argument("--long", type=int, default=4096)
    parser.add_argument("--transformers", action="store_true")
    parser.add_argument("--candle", type=Path)
    a = parser.parse_args()
    bench = build("model")
    quiet()
    rows = in_turns(dict(contenders(a, bench)), a.rounds)
    agree(rows, a.floats)
    packages = ["llama_cpp_python"] + (["transformers", "torch"] if a.transformers else [])
    publish("model", {"machine": machine(packages), "rounds": a.rounds, "rows": rows}, tables(rows, a))


if __name__ == "__main__":
    main()
