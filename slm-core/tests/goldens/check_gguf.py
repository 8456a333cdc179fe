#!/usr/bin/env python3
"""Shows the GGUF files of slm to llama.cpp, and compares what both compute with transformers.

    cargo build --release -p slm-core --example export_gguf
    python3 check_gguf.py <export_gguf binary> <work folder> [<folder of real tokenizers>]
        needs: torch transformers llama-cpp-python safetensors numpy

For every family among the goldens beside this script: the directory is exported in f32 and f16, llama.cpp loads the
file, and its logits and greedy ids are compared with those of transformers on the directory; its tokenizer with ours.
What llama.cpp cannot do is left out: windows of Mistral and Qwen2 (compared up to them), dynamic scaling (up to the
original length), other patterns of SmolLM3 than every fourth layer (the golden is compared with that pattern).

The files of `gguf/`, which llama.cpp quantized, are read and written again: llama.cpp must compute the very same with both.
With a folder of real tokenizers (GPT-2, Llama 2 and 3, Qwen3, with llama.cpp's own test vectors), each goes into the file of
a small random model, and llama.cpp must cut the vectors' texts as recorded.
"""
import glob
import gzip
import json
import os
import shutil
import subprocess
import sys
import unicodedata

import numpy as np
import torch

os.environ["HF_HUB_OFFLINE"] = "1"
HERE = os.path.dirname(os.path.abspath(__file__))
FAMILIES = ["llama", "mistral", "qwen3", "phi3", "qwen2", "gemma2", "gemma3", "phi4", "smollm3", "olmo2", "granite",
            "linear", "dynamic", "yarn"]
LIMIT = {"mistral": 8, "qwen2": 8, "dynamic": 16}
TEXT = "the patient's dose in 2024: 37 tokens \u00e9\u4f60 of the clause"


def prepare(family, work):
    # llama.cpp expects special tokens of models that are called Phi-3, and the name of a directory becomes the model's.
    folder = f"{work}/tiny-{FAMILIES.index(family)}"
    shutil.copytree(f"{HERE}/{family}", folder, dirs_exist_ok=True)
    if family == "smollm3":
        config = json.load(open(f"{folder}/config.json"))
        config.update(no_rope_layers=[1, 1, 1, 0], no_rope_layer_interval=4)
        json.dump(config, open(f"{folder}/config.json", "w"))
    return folder


def reference(folder, ids, prompt):
    from transformers import AutoModelForCausalLM
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
    with torch.no_grad():
        logits = model(torch.tensor([ids]), use_cache=False).logits[0].numpy()
        greedy = list(ids[:prompt])
        while len(greedy) < len(ids):
            greedy.append(int(model(torch.tensor([greedy]), use_cache=False).logits[0, -1].argmax()))
    return logits, greedy


def llama_cpp(path, ids, prompt):
    from llama_cpp import Llama
    llama = Llama(path, n_ctx=256, n_batch=64, n_threads=2, logits_all=True, verbose=False,
                  type_k=0, type_v=0)
    llama.eval(ids)
    logits = np.array(llama.scores[:len(ids)])
    greedy = list(ids[:prompt])
    while len(greedy) < len(ids):
        llama.reset()
        llama.eval(greedy)
        greedy.append(int(llama.scores[len(greedy) - 1].argmax()))
    tokens = llama.tokenize(TEXT.encode(), add_bos=False, special=True)
    return logits, greedy, tokens


def written_again(binary, work):
    """Files of llama.cpp, through ours: the same logits, to the bit."""
    failures = 0
    for path in sorted(glob.glob(f"{HERE}/gguf/*.gguf")):
        again = f"{work}/again.gguf"
        ids = [(i * 37 + 11) % 400 for i in range(30)]
        try:
            want = llama_cpp(path, ids, 30)[0]
        except ValueError:
            # Called Phi-3 without its tokens; a vocabulary longer than the embedding.
            print(f"{os.path.basename(path):24} llama.cpp does not load its own file")
            continue
        done = subprocess.run([binary, path, again], capture_output=True, text=True)
        same = done.returncode == 0 and (want == llama_cpp(again, ids, 30)[0]).all()
        failures += not same
        print(f"{os.path.basename(path):24} written again: {'the same' if same else 'FAILED ' + done.stderr}")
    return failures


TOKENIZERS = {"qwen3": ("qwen2", 151936), "llama3": ("llama-bpe", 128256), "gpt2": ("gpt-2", 50257),
              "llama2-spm": ("llama-spm", 32000)}


def tokenizers(binary, work, data):
    """Real tokenizers in files of ours: llama.cpp cuts texts as they do."""
    from llama_cpp import Llama
    from transformers import AutoConfig, AutoModelForCausalLM
    golden = [json.loads(line) for line in gzip.open(f"{data}/golden-ids/ids.jsonl.gz", "rt")]
    failures = 0
    for name, (vectors, size) in TOKENIZERS.items():
        folder = f"{work}/tokenizer-{name}"
        shutil.copytree(f"{data}/{name}", folder, dirs_exist_ok=True)
        if name == "gpt2":
            json.dump({"tokenizer_class": "GPT2Tokenizer"}, open(f"{folder}/tokenizer_config.json", "w"))
        config = dict(model_type="llama", architectures=["LlamaForCausalLM"], hidden_size=32, intermediate_size=32,
                      num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, vocab_size=size,
                      max_position_embeddings=128, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2)
        json.dump(config, open(f"{folder}/config.json", "w"))
        AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder)).half().save_pretrained(folder)
        json.dump(config, open(f"{folder}/config.json", "w"))
        path = f"{work}/{name}.gguf"
        subprocess.run([binary, folder, path], check=True, capture_output=True)
        llama = Llama(path, vocab_only=True, verbose=False)
        base = f"{data}/llamacpp-vectors/ggml-vocab-{vectors}.gguf"
        texts = open(f"{base}.inp", newline="").read().split("\n__ggml_vocab_test__\n")
        cases = list(zip(texts, ([int(i) for i in line.split()] for line in open(f"{base}.out"))))
        # llama.cpp does not bring texts into normal form C, as Qwen's tokenizer does.
        normal = [row for row in golden if unicodedata.normalize("NFC", row["text"]) == row["text"]]
        cases += [(row["text"], row[name]) for row in normal if name in row]
        wrong = [text for text, ids in cases if llama.tokenize(text.encode(), add_bos=False, special=False) != ids]
        failures += bool(wrong)
        print(f"{name:12} {len(cases)} texts, {len(wrong)} cut otherwise {wrong[:1]}")
    return failures


def main():
    binary, work = sys.argv[1:3]
    os.makedirs(work, exist_ok=True)
    from tokenizers import Tokenizer
    failures = 0
    print(f"{'family':10} {'type':5} {'max |logit difference|':>24} {'KL':>10} {'greedy':>8} {'tokens':>8}")
    for family in FAMILIES:
        folder = prepare(family, work)
        count = LIMIT.get(family, 40)
        prompt = 20 if count == 40 else count // 2
        ids = [(i * 37 + 11) % 400 for i in range(count)]
        want, want_greedy = reference(folder, ids, prompt)
        want_tokens = Tokenizer.from_file(f"{folder}/tokenizer.json").encode(TEXT, add_special_tokens=False).ids
        # llama.cpp looks Gemma's activation up in a table of f16, and rounds what f16 weights are multiplied with.
        exact = 5e-3 if family.startswith("gemma") else 1e-4
        for kind in ["f32", "f16"]:
            path = f"{work}/{family}-{kind}.gguf"
            done = subprocess.run([binary, folder, path, kind], capture_output=True, text=True)
            if done.returncode:
                print(f"{family:10} {kind:5} export failed: {done.stderr.strip()}")
                failures += 1
                continue
            got, greedy, tokens = llama_cpp(path, ids, prompt)
            difference = np.abs(got - want).max()
            p = torch.log_softmax(torch.tensor(want), -1)
            q = torch.log_softmax(torch.tensor(got), -1)
            kl = float((p.exp() * (p - q)).sum(-1).mean())
            close = difference < exact if kind == "f32" else kl < 1e-4
            good = close and greedy == want_greedy and tokens == want_tokens
            failures += not good
            print(f"{family:10} {kind:5} {difference:24.2e} {kl:10.1e} {str(greedy == want_greedy):>8} "
                  f"{str(tokens == want_tokens):>8} {'' if good else 'FAILED'}")
    failures += written_again(binary, work)
    if len(sys.argv) > 3:
        failures += tokenizers(binary, work, sys.argv[3])
    print(f"{failures} failures")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
