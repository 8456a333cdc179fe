#!/usr/bin/env python3
"""One run of another engine, in a process of its own; prints one line of JSON like `slm-core/benches/model.rs`.

    python tools/bench_engines.py llama FILE.gguf prompt=512 generate=128 cache=f16
    python tools/bench_engines.py transformers DIRECTORY prompt=512 generate=128
"""

import ctypes
import json
import os
import sys
import time

import numpy as np

WORDS = 151_643
PART = 512


def prompt(count, limit=WORDS):
    """The same as `prompt` in slm-core/benches/support/mod.rs."""
    return [(i * 7919 + 13) % limit for i in range(count)]


def memory(field):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def row(engine, read, last, start, loaded, about):
    """Measures through `read(ids, fresh)`, which gives the logits after `ids`."""
    length, generate = about["prompt"], about["generate"]
    logits = read(prompt(16), True)
    first_token = time.perf_counter() - start
    sample, ids = [float(x) for x in logits[:: len(logits) // 64]], []
    for _ in range(8):
        ids.append(int(np.argmax(logits)))
        logits = read(ids[-1:], False)
    begin = time.perf_counter()
    logits = read(prompt(length), True)
    prefill = time.perf_counter() - begin
    begin = time.perf_counter()
    for _ in range(generate):
        logits = read([int(np.argmax(logits))], False)
    decode = time.perf_counter() - begin
    return {
        "engine": engine, **about, "load_s": loaded, "first_token_s": first_token,
        "prefill_s": prefill, "prefill_tok_s": length / prefill,
        "decode_s": decode, "decode_tok_s": generate / decode,
        "peak_bytes": memory("VmHWM"), "own_bytes": memory("RssAnon"), "file_bytes": memory("RssFile"),
        "check": {"ids": ids, "logits": sample}, **last(),
    }


def llama(path, about):
    import llama_cpp as l

    quiet = l.llama_log_callback(lambda level, text, data: None)
    l.llama_log_set(quiet, ctypes.c_void_p())
    l.llama_backend_init()
    start = time.perf_counter()
    model = l.llama_model_load_from_file(path.encode(), l.llama_model_default_params())
    if not model:
        raise SystemExit(f"cannot load {path}")
    p = l.llama_context_default_params()
    p.n_ctx = about["prompt"] + about["generate"] + 32
    p.n_batch = p.n_ubatch = PART
    p.n_threads = p.n_threads_batch = about["threads"]
    kinds = {"f32": l.GGML_TYPE_F32, "f16": l.GGML_TYPE_F16, "int8": l.GGML_TYPE_Q8_0}
    p.type_k = p.type_v = kinds[about["cache"]]
    context = l.llama_init_from_model(model, p)
    loaded = time.perf_counter() - start
    vocab = l.llama_vocab_n_tokens(l.llama_model_get_vocab(model))

    def read(ids, fresh):
        if fresh:
            l.llama_memory_clear(l.llama_get_memory(context), True)
        for at in range(0, len(ids), PART):
            part = ids[at : at + PART]
            array = (l.llama_token * len(part))(*part)
            if l.llama_decode(context, l.llama_batch_get_one(array, len(part))):
                raise SystemExit("llama_decode failed")
        return np.ctypeslib.as_array(l.llama_get_logits_ith(context, -1), (vocab,)).copy()

    last = lambda: {"weight_bytes": l.llama_model_size(model), "cache_bytes": None}
    return row("llama.cpp", read, last, start, loaded, about)


def transformers(path, about):
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(about["threads"])
    start = time.perf_counter()
    model = AutoModelForCausalLM.from_pretrained(path, dtype="auto").eval()
    loaded = time.perf_counter() - start
    state = {}

    @torch.inference_mode()
    def read(ids, fresh):
        past = None if fresh else state["past"]
        for at in range(0, len(ids), PART):
            out = model(torch.tensor([ids[at : at + PART]]), past_key_values=past, use_cache=True, logits_to_keep=1)
            past = out.past_key_values
        state["past"] = past
        return out.logits[0, -1].float().numpy()

    last = lambda: {"weight_bytes": sum(t.numel() * t.element_size() for t in model.parameters()), "cache_bytes": None}
    return row("transformers", read, last, start, loaded, about)


def main():
    engine, path, *named = sys.argv[1:]
    values = dict(pair.split("=", 1) for pair in named)
    about = {
        "prompt": int(values.get("prompt", 512)), "generate": int(values.get("generate", 128)),
        "cache": values.get("cache", "f16"), "threads": int(os.environ.get("OMP_NUM_THREADS", "2")),
    }
    print(json.dumps({"llama": llama, "transformers": transformers}[engine](path, about)))


if __name__ == "__main__":
    main()
