#!/usr/bin/env python3
"""Measures slm's encoder against onnxruntime on the same weights and token ids, in turns, and writes
`docs/benchmarks/encoder.json` and the table of `docs/benchmarks.md`.

    python tools/bench_encoder.py MINILM_DIR [--rounds 3]

The model is exported with torch.onnx (opset 17, attention as written by transformers' "eager" path, the mean over the
tokens included) and run with onnxruntime's own optimisations, which fuse attention, layer norm and GELU, on two
intra-op threads. No text is padded on either side.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIZES = [(16, 1), (16, 32), (128, 1), (128, 32)]


def ids(batch, tokens):
    """The same as `segment` in slm-core/benches/encoder.rs."""
    return np.array([[((i + t) * 7919 + 13) % 29_000 + 1000 for t in range(tokens)] for i in range(batch)], dtype=np.int64)


def export(directory, path):
    import torch
    from transformers import BertModel

    class Pooled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = BertModel.from_pretrained(directory, attn_implementation="eager", add_pooling_layer=False).eval()

        def forward(self, input_ids, attention_mask):
            out = self.bert(input_ids=input_ids, attention_mask=attention_mask)
            return out.last_hidden_state.mean(1)

    axes = {name: {0: "batch", 1: "tokens"} for name in ("input_ids", "attention_mask")}
    example = torch.from_numpy(ids(2, 16))
    torch.onnx.export(
        Pooled(), (example, torch.ones_like(example)), str(path), input_names=list(axes), output_names=["pooled"],
        dynamic_axes=axes, opset_version=17, dynamo=False,
    )


def onnx(path, tokens, batch):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = {"input_ids": ids(batch, tokens)}
    inputs["attention_mask"] = np.ones_like(inputs["input_ids"])
    used = {i.name for i in session.get_inputs()}
    inputs = {k: v for k, v in inputs.items() if k in used}
    first = session.run(None, inputs)[0]
    times, begin = [], time.perf_counter()
    while len(times) < 5 or time.perf_counter() - begin < 2.0:
        start = time.perf_counter()
        session.run(None, inputs)
        times.append(time.perf_counter() - start)
    with open("/proc/self/status") as lines:
        peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    print(json.dumps({
        "engine": "onnxruntime", "tokens": tokens, "batch": batch, "texts_s": batch / sorted(times)[len(times) // 2],
        "peak_bytes": peak, "check": [float(x) for x in first[0, :16]],
    }))


def agree(rows, name, other):
    ours, theirs = (next(r for r in rows if r["contender"] == n)["check"] for n in (name, other))
    worst = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    if worst > 1e-4:
        raise SystemExit(f"{name} and {other} differ by {worst}")


def main():
    from bench_common import build, in_turns, machine, markdown, median, publish, quiet, ratio

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    a = parser.parse_args()
    bench = build("encoder")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "encoder.onnx"
        export(a.model, path)
        quiet()
        contenders, lines = {}, []
        for tokens, batch in SIZES:
            size = f"{tokens} tokens, batch {batch}"
            contenders[f"slm, {size}"] = [bench, "speed", a.model, f"tokens={tokens}", f"batch={batch}"]
            contenders[f"onnxruntime, {size}"] = [sys.executable, __file__, "--run", path, tokens, batch]
        rows = in_turns(contenders, a.rounds)
    for tokens, batch in SIZES:
        size = f"{tokens} tokens, batch {batch}"
        ours, theirs = f"slm, {size}", f"onnxruntime, {size}"
        agree(rows, ours, theirs)
        m = lambda name: f"{median(rows, name, 'texts_s'):.1f}"
        mib = lambda name: f"{median(rows, name, 'peak_bytes') / (1 << 20):.0f}"
        lines.append([size, m(ours), m(theirs), ratio(rows, ours, theirs, "texts_s"), mib(ours), mib(theirs)])
    header = ["texts", "slm texts/s", "onnxruntime texts/s", "ratio", "slm peak MiB", "onnxruntime peak MiB"]
    result = {"machine": machine(["onnxruntime", "torch", "transformers"]), "rounds": a.rounds, "rows": rows}
    publish("encoder", result, markdown(header, lines))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        onnx(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
