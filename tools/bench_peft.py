#!/usr/bin/env python3
"""One run of PEFT on PyTorch's CPU, in a process of its own; prints one line of JSON like `slm-lora/benches/training.rs`.

    python tools/bench_peft.py step DIRECTORY sequence=256 batch=4 rank=16 steps=3
    python tools/bench_peft.py epoch DIRECTORY data=TEXTS.jsonl batch=4 rank=16

f32, rank on all linear layers but the head, AdamW without decay, PyTorch's scaled-dot-product attention; `checkpointing=blocks`
is PyTorch's gradient checkpointing. An epoch pads each batch of a shuffled order to its longest text, labels of the
prompt and the padding at -100, as transformers' collator for such data does.
"""

import json
import os
import random
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM


def memory(field):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def prepared(directory, about):
    torch.set_num_threads(int(os.environ.get("RAYON_NUM_THREADS", "2")))
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    rank = int(about.get("rank", 16))
    lora = LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=2 * rank, target_modules="all-linear")
    model = get_peft_model(model, lora)
    if about.get("checkpointing") == "blocks":
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    model.train()
    learned = [p for p in model.parameters() if p.requires_grad]
    return model, torch.optim.AdamW(learned, lr=2e-4, weight_decay=0.0), sum(p.numel() for p in learned)


def update(model, optimizer, **batch):
    loss = model(**batch).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return float(loss)


def step(directory, about):
    sequence, batch, steps = (int(about.get(k, d)) for k, d in [("sequence", 256), ("batch", 4), ("steps", 3)])
    model, optimizer, trainable = prepared(directory, about)
    losses, times = [], []
    for index in range(steps + 1):
        ids = torch.randint(0, model.config.vocab_size, (batch, sequence), generator=torch.Generator().manual_seed(index))
        begin = time.perf_counter()
        losses.append(update(model, optimizer, input_ids=ids, labels=ids))
        times.append(time.perf_counter() - begin)
    mean = sum(times[1:]) / steps
    return {
        "engine": "peft", "sequence": sequence, "batch": batch, "trainable": trainable,
        "tokens_per_s": sequence * batch / mean, "step_s": mean, "losses": losses,
        "peak_bytes": memory("VmHWM"), "own_bytes": memory("RssAnon"),
    }


def epoch(directory, about):
    batch, longest = int(about.get("batch", 4)), int(about.get("max_length", 1024))
    texts = [json.loads(line) for line in open(about["data"])]
    kept = [t for t in texts if len(t["ids"]) <= longest]
    model, optimizer, _ = prepared(directory, about)
    random.Random(0).shuffle(kept)
    losses, tokens, begin = [], 0, time.perf_counter()
    for at in range(0, len(kept), batch):
        chunk = kept[at : at + batch]
        width = max(len(t["ids"]) for t in chunk)
        ids = torch.zeros(len(chunk), width, dtype=torch.long)
        mask = torch.zeros(len(chunk), width, dtype=torch.long)
        labels = torch.full((len(chunk), width), -100)
        for row, text in enumerate(chunk):
            own = torch.tensor(text["ids"])
            ids[row, : len(own)], mask[row, : len(own)] = own, 1
            labels[row, : len(own)] = torch.where(torch.tensor(text["learned"]), own, -100)
        losses.append(update(model, optimizer, input_ids=ids, attention_mask=mask, labels=labels))
        tokens += int(mask.sum())
    seconds = time.perf_counter() - begin
    last = losses[-20:]
    return {
        "engine": "peft", "examples": len(texts), "too_long": len(texts) - len(kept), "tokens": tokens, "epoch_s": seconds,
        "tokens_per_s": tokens / seconds, "peak_bytes": memory("VmHWM"), "loss_of_the_last_20": sum(last) / len(last),
    }


if __name__ == "__main__":
    task, directory, *named = sys.argv[1:]
    print(json.dumps({"step": step, "epoch": epoch}[task](directory, dict(n.split("=", 1) for n in named))))
