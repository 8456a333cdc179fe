#!/usr/bin/env python3
"""Measures a decoder and a step of fine-tuning on a GPU, slm and transformers or PEFT in turns, each run in a process of its
own with random weights of the shape of CONFIG.

    cargo bench --features vulkan --bench device --no-run
    python tools/bench_device.py measure BENCH CONFIG RESULT.json [--rounds 2]
    python tools/bench_device.py publish RESULT.json

`measure` needs the binary of the bench, PyTorch with CUDA, transformers and PEFT; `publish` writes
`docs/benchmarks/device.json` and the table of `docs/benchmarks.md`, on any machine.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

PROMPT, GENERATE, ROUNDS = 512, 128, 2
SEQUENCE, BATCH, STEPS = 256, 4, 5


def fastest(run, count):
    """The shortest of `count` runs after one that warms up."""
    times = []
    for _ in range(1 + count):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return min(times[1:])


def random_model(config, dtype):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    about = json.loads(Path(config).read_text())
    shape = AutoConfig.for_model(about.pop("model_type"), **{k: v for k, v in about.items() if k != "torch_dtype"})
    with torch.device("cuda"):
        return AutoModelForCausalLM.from_config(shape, dtype=getattr(torch, dtype), attn_implementation="sdpa")


def decode(config, dtype):
    """Greedy, a token at a time through a cache; logits come to the host, as in slm's bench."""
    import torch
    from transformers import DynamicCache

    model = random_model(config, dtype).eval()
    words = model.config.vocab_size
    prompt = torch.tensor([[i * 7919 % words for i in range(PROMPT)]], device="cuda")
    state = {}

    @torch.no_grad()
    def read(ids, cache):
        return model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[0, -1].float().cpu()

    def prefill():
        state["cache"] = DynamicCache()
        state["logits"] = read(prompt, state["cache"])

    def answer():
        prefill()
        begin = time.perf_counter()
        logits = state["logits"]
        for _ in range(GENERATE):
            logits = read(torch.tensor([[int(logits.argmax())]], device="cuda"), state["cache"])
        state.setdefault("times", []).append(time.perf_counter() - begin)

    reading = fastest(prefill, ROUNDS)
    fastest(answer, ROUNDS)
    answering = min(state["times"][1:])
    return {"prefill_s": reading, "prefill_tok_s": PROMPT / reading, "decode_tok_s": GENERATE / answering,
            "peak_bytes": torch.cuda.max_memory_allocated()}


def train(config, dtype):
    import torch
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(
        random_model(config, dtype),
        LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules="all-linear"),
    ).train()
    learned = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=2e-4, weight_decay=0.0)
    losses, times = [], []
    for index in range(STEPS + 1):
        ids = torch.randint(0, model.config.vocab_size, (BATCH, SEQUENCE), device="cuda")
        begin = time.perf_counter()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss))
        times.append(time.perf_counter() - begin)
    mean = sum(times[1:]) / STEPS
    return {"step_s": mean, "tokens_per_s": SEQUENCE * BATCH / mean, "losses": losses,
            "peak_bytes": torch.cuda.max_memory_allocated()}


def contenders(bench, config):
    ours = lambda task, *more: [bench, task, config, *more]
    theirs = lambda task, dtype: [sys.executable, __file__, task, config, dtype]
    for weights in ["f16", "int4-g32", "int8-g64", "f32"]:
        sizes = [f"prompt={PROMPT}", f"generate={GENERATE}", f"rounds={ROUNDS}"]
        yield f"decode, slm {weights}", ours("decode", f"weights={weights}", *sizes)
    for dtype in ["float32", "float16", "bfloat16"]:
        yield f"decode, transformers {dtype}", theirs("decode", dtype)
    yield "train, slm f32", ours("train", f"steps={STEPS}", f"sequence={SEQUENCE}", f"batch={BATCH}")
    for dtype in ["float32", "bfloat16"]:
        yield f"train, PEFT {dtype}", theirs("train", dtype)


def copied_bytes_per_s():
    """What a large copy on the device moves, bytes read and bytes written."""
    import torch

    x = torch.empty(1 << 31, dtype=torch.uint8, device="cuda").random_()
    y = torch.empty_like(x)

    def copy():
        y.copy_(x)
        torch.cuda.synchronize()

    return 2 * x.numel() / fastest(copy, 5)


def measure(a):
    import torch
    import transformers

    rows, failed = [], []
    machine = {
        "device": torch.cuda.get_device_name(), "copy_bytes_per_s": copied_bytes_per_s(),
        "torch": torch.__version__, "transformers": transformers.__version__,
    }
    torch.cuda.empty_cache()
    everyone = [c for c in contenders(a.bench, a.config) if re.search(a.only, c[0])]
    for index in range(a.rounds):
        for name, command in everyone if index % 2 == 0 else everyone[::-1]:
            if name in failed:
                continue
            done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
            if done.returncode:
                failed.append(name)
                print(f"{name} failed:\n{done.stderr[-1500:]}", flush=True)
                continue
            rows.append({"round": index, "contender": name, **json.loads(done.stdout.splitlines()[-1])})
            print(json.dumps(rows[-1]), flush=True)
            Path(a.result).write_text(json.dumps({"machine": machine, "rounds": a.rounds, "failed": failed, "rows": rows}, indent=1))


def publish(a):
    from bench_common import PAGE, markdown, write

    result = json.loads(Path(a.result).read_text())
    rows, machine = result["rows"], result["machine"]
    names = list(dict.fromkeys(r["contender"] for r in rows))
    middle = lambda name, field: statistics.median(r[field] for r in rows if r["contender"] == name)
    lines = []
    for name in names:
        fields = ["prefill_tok_s", "decode_tok_s"] if name.startswith("decode") else ["tokens_per_s"]
        cells = [f"{middle(name, field):.0f}" for field in fields]
        lines.append([name, *cells, ""] if len(cells) == 2 else [name, "", "", *cells])
    table = markdown(["run", "prompt tok/s", "answer tok/s", "training tok/s"], lines)
    about = (
        f"{machine['device']}, a copy moves {machine['copy_bytes_per_s'] / 1e12:.1f} TB/s; torch {machine['torch']}, "
        f"transformers {machine['transformers']}. {result['rounds']} rounds in turns, medians."
    )
    write(PAGE.parent / "benchmarks" / "device.json", json.dumps(result, indent=1) + "\n")
    begin, end = "<!-- device: written by tools/bench_device.py -->", "<!-- device: end -->"
    before, rest = PAGE.read_text(encoding="utf-8").split(begin)
    write(PAGE, f"{before}{begin}\n{table}\n\n{about}\n{end}{rest.split(end)[1]}")
    print(table)


def main():
    if len(sys.argv) == 4 and sys.argv[1] in ("decode", "train"):
        task = {"decode": decode, "train": train}[sys.argv[1]]
        print(json.dumps({"engine": "torch", **task(*sys.argv[2:])}))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tasks = parser.add_subparsers(required=True)
    measured = tasks.add_parser("measure")
    measured.add_argument("bench")
    measured.add_argument("config")
    measured.add_argument("result")
    measured.add_argument("--rounds", type=int, default=2)
    measured.add_argument("--only", default="", help="a pattern of contenders")
    measured.set_defaults(run=measure)
    published = tasks.add_parser("publish")
    published.add_argument("result")
    published.set_defaults(run=publish)
    a = parser.parse_args()
    a.run(a)


if __name__ == "__main__":
    main()
