#!/usr/bin/env python3
"""Measures fine-tuning with slm against PEFT on the same random weights, in turns, and writes
`docs/benchmarks/training.json` and the tables of `docs/benchmarks.md`.

    python tools/bench_checkpoint.py M30 --tokenizer QWEN3_DIR --shape m30 --float f32 --gguf
    python tools/bench_checkpoint.py BIG --tokenizer QWEN3_DIR --float f32 f16 --gguf
    cargo run --release -p slm-quant --example quantize -- BIG/f16 BIG/nf4 nf4-g64
    python tools/bench_training.py --small M30/f32 --big BIG/f32 --packed BIG/nf4 --pairs medquad/qa.jsonl.gz [--rounds 3]

Steps: random tokens, 256 in a row, 4 rows, rank 16 on all linear layers. Epoch: `--examples` question and answer pairs in
random order, 4 at a time, at their true lengths and with the loss on the answers alone, on the small shape (token ids
are folded into its vocabulary). f32, two threads, each run in a process of its own.
"""

import argparse
import gzip
import json
import random
import sys
import tempfile
from pathlib import Path

from bench_common import ROOT, build, in_turns, machine, markdown, median, publish, quiet, ratio

MIB = 1 << 20
QUESTION, ANSWER = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n", "{}<|im_end|>\n"


def texts(a, out):
    """The pairs as token ids of the small shape, with the answers marked."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(a.small / "tokenizer.json"))
    vocabulary = json.loads((a.small / "config.json").read_text())["vocab_size"]
    opened = gzip.open if a.pairs.suffix == ".gz" else open
    with opened(a.pairs, "rt", encoding="utf-8") as lines:
        rows = [row for row in map(json.loads, lines) if row.get("answer")]
    random.Random(0).shuffle(rows)
    with open(out, "w", encoding="utf-8") as file:
        for row in rows[: a.examples]:
            fold = lambda text: [i % vocabulary for i in tokenizer.encode(text).ids]
            question, answer = fold(QUESTION.format(row["question"])), fold(ANSWER.format(row["answer"]))
            learned = [False] * len(question) + [True] * len(answer)
            file.write(json.dumps({"ids": question + answer, "learned": learned}) + "\n")


def contenders(a, bench, data):
    ours = lambda task, model, *more: [bench, task, model, *more]
    theirs = lambda task, model, *more: [sys.executable, ROOT / "tools" / "bench_peft.py", task, model, *more]
    steps = f"steps={a.steps}"
    yield "small, slm", ours("step", a.small, steps)
    yield "small, PEFT", theirs("step", a.small, steps)
    yield "epoch, slm", ours("epoch", a.small, f"data={data}", "batching=packed")
    yield "epoch, slm, padded", ours("epoch", a.small, f"data={data}")
    yield "epoch, PEFT", theirs("epoch", a.small, f"data={data}")
    if a.big:
        yield "0.6B, slm", ours("step", a.big, "steps=2")
        yield "0.6B, slm, blocks again", ours("step", a.big, "steps=2", "checkpointing=blocks")
        yield "0.6B, PEFT", theirs("step", a.big, "steps=2")
    if a.packed:
        yield "0.6B in NF4, slm, blocks again", ours("step", a.packed, "steps=1", "checkpointing=blocks")


def table(rows):
    names = list(dict.fromkeys(r["contender"] for r in rows))
    body = []
    for name in names:
        other = name.split(",")[0] + ", PEFT"
        cells = [name, f"{median(rows, name, 'tokens_per_s'):.0f}", f"{median(rows, name, 'peak_bytes') / MIB:.0f}"]
        timed = any("epoch_s" in r for r in rows if r["contender"] == name)
        cells.append(f"{median(rows, name, 'epoch_s'):.0f}" if timed else "")
        if name != other and other in names:
            cells += [ratio(rows, name, other, "tokens_per_s"), ratio(rows, name, other, "peak_bytes")]
            cells.append(ratio(rows, name, other, "epoch_s") if timed else "")
        else:
            cells += ["", "", ""]
        body.append(cells)
    header = ["run", "tokens/s", "peak MiB", "epoch s", "tokens/s ratio", "peak ratio", "epoch ratio"]
    return markdown(header, body)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=Path, required=True)
    parser.add_argument("--big", type=Path)
    parser.add_argument("--packed", type=Path)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--examples", type=int, default=400)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    a = parser.parse_args()
    bench = build("training", "slm-lora")
    quiet()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "texts.jsonl"
        texts(a, data)
        rows = in_turns(dict(contenders(a, bench, data)), a.rounds)
    about = {k: str(getattr(a, k)) for k in ["examples", "steps"]}
    result = {"machine": machine(["torch", "transformers", "peft"]), "rounds": a.rounds, **about, "rows": rows}
    publish("training", result, table(rows))


if __name__ == "__main__":
    main()
