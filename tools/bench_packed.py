#!/usr/bin/env python3
"""Measures slm against llama.cpp on the same quantized GGUF files, in turns, and writes `docs/benchmarks/packed.json`
and the table of `docs/benchmarks.md`.

    python tools/bench_checkpoint.py OUT --tokenizer QWEN3_DIR --float f16 --gguf f16
    python tools/bench_packed.py OUT [--rounds 3] [--types q4_0 q8_0 q4_k_m]

llama.cpp makes the files of OUT/f16.gguf; both engines map them and run with two threads, each run in a process of its
own. Needs llama-cpp-python, numpy and gguf from PyPI.
"""

import argparse
import ctypes
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
from bench_common import ROOT, build, in_turns, machine, markdown, median, publish, quiet, ratio

MIB = 1 << 20
# Both engines round activations to 8 bits, in blocks of another size for K-quants; logits of these weights have a
# deviation of 0.6.
TOLERANCE = 0.15


def quantize(source, target, kind):
    """Has llama.cpp write `target`, as its own program would."""
    import llama_cpp as l

    if target.exists():
        return
    kinds = {"q4_0": l.LLAMA_FTYPE_MOSTLY_Q4_0, "q8_0": l.LLAMA_FTYPE_MOSTLY_Q8_0, "q4_k_m": l.LLAMA_FTYPE_MOSTLY_Q4_K_M}
    p = l.llama_model_quantize_default_params()
    p.ftype, p.nthread = kinds[kind], 2
    temporary = target.with_name(target.name + ".tmp")
    if l.llama_model_quantize(str(source).encode(), str(temporary).encode(), ctypes.byref(p)):
        raise SystemExit(f"llama.cpp cannot write {target}")
    os.replace(temporary, target)


def bandwidth(threads=2, size=512 * MIB):
    """Bytes a second that so many threads read, the best of several passes."""
    parts = [np.ones(size // 8) for _ in range(threads)]
    best = 0.0
    for _ in range(6):
        workers = [threading.Thread(target=np.dot, args=(part, part)) for part in parts]
        start = time.perf_counter()
        [w.start() for w in workers]
        [w.join() for w in workers]
        best = max(best, threads * size / (time.perf_counter() - start))
    return best


def contenders(a, bench):
    engines = ROOT / "tools" / "bench_engines.py"
    size = [f"prompt={a.prompt}", f"generate={a.generate}", "cache=f16"]
    for t in a.types:
        file = a.checkpoints / f"{t}.gguf"
        yield f"slm {t}", [bench, "speed", file, *size]
        yield f"llama.cpp {t}", [sys.executable, engines, "llama", file, *size]


def agree(rows, types):
    """Stops where the engines compute something else from the same weights."""
    for t in types:
        ours = next(r for r in rows if r["contender"] == f"slm {t}")["check"]
        theirs = next(r for r in rows if r["contender"] == f"llama.cpp {t}")["check"]
        worst = max(abs(x - y) for x, y in zip(ours["logits"], theirs["logits"], strict=True))
        if ours["ids"] != theirs["ids"] or worst > TOLERANCE:
            raise SystemExit(f"{t}: ids {ours['ids']} and {theirs['ids']}, logits differ by up to {worst}")
        print(f"{t}: the same 8 tokens, logits differ by up to {worst:.4f}")


def table(rows, a, limit):
    body = []
    for t in a.types:
        weights = median(rows, f"llama.cpp {t}", "weight_bytes")
        for name in [f"slm {t}", f"llama.cpp {t}"]:
            m = lambda field: median(rows, name, field)
            read = weights * m("decode_tok_s")
            cells = [name, f"{m('prefill_tok_s'):.0f}", f"{m('decode_tok_s'):.1f}", f"{m('first_token_s'):.2f}"]
            cells += [f"{m('peak_bytes') / MIB:.0f}", f"{read / limit:.0%}"]
            other = f"llama.cpp {t}"
            fields = ["prefill_tok_s", "decode_tok_s", "peak_bytes"]
            cells += [ratio(rows, name, other, f) for f in fields] if name != other else ["", "", ""]
            body.append(cells)
    header = ["run", "prompt tok/s", "decode tok/s", "first token s", "peak MiB", "of the memory limit in decoding"]
    header += ["prompt ratio", "decode ratio", "peak ratio"]
    return markdown(header, body) + f"\n\nMemory limit: {limit / 1e9:.1f} GB/s, read by two threads."


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--types", nargs="+", default=["q4_0", "q8_0", "q4_k_m"])
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=128)
    a = parser.parse_args()
    for t in a.types:
        quantize(a.checkpoints / "f16.gguf", a.checkpoints / f"{t}.gguf", t)
    bench = build("model")
    quiet()
    limit = bandwidth()
    rows = in_turns(dict(contenders(a, bench)), a.rounds)
    agree(rows, a.types)
    about = {"machine": machine(["llama_cpp_python"]), "rounds": a.rounds, "read_bytes_s": limit, "rows": rows}
    publish("packed", about, table(rows, a, limit))


if __name__ == "__main__":
    main()
