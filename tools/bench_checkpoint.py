#!/usr/bin/env python3
"""Writes a checkpoint of a given shape with random weights, for benchmarks: the same numbers as a Hugging Face
directory per float type and as GGUF files.

    python tools/bench_checkpoint.py OUT --tokenizer QWEN3_DIR [--shape qwen3-0.6b] [--float f16 bf16 f32] [--gguf f16]

OUT/f16, OUT/bf16, OUT/f32 hold config.json, model.safetensors, tokenizer.json and tokenizer_config.json;
OUT/f16.gguf what llama.cpp reads. --tokenizer names a folder with Qwen3's vocab.json, merges.txt and
added_tokens.json. Needs numpy, torch, safetensors, tokenizers and gguf from PyPI.

The weights are drawn as `CausalLm::init` of slm-core draws them, from a fixed seed: normal with deviation 0.02, and
narrower for the projections that write to the residual stream. They are rounded to bf16 first, so that f32 and bf16
hold the same numbers; f16 holds them too but for those below its smallest step.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

SHAPES = {
    "qwen3-0.6b": dict(hidden=1024, inner=3072, layers=28, heads=16, kv=8, head=128, vocab=151936, context=40960),
    "m30": dict(hidden=384, inner=2048, layers=8, heads=6, kv=6, head=64, vocab=8192, context=2048),
    "tiny": dict(hidden=128, inner=256, layers=2, heads=4, kv=2, head=32, vocab=151936, context=8192),
}
FLOATS = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
NAMES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}
THETA, EPSILON = 1e6, 1e-6
EOS = 151645
# Qwen's split of a text into words, as its tokenizer.json states it.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def shapes_of(s):
    """Name and shape of each tensor, in the order in which they are drawn."""
    q, kv = s["heads"] * s["head"], s["kv"] * s["head"]
    yield "model.embed_tokens.weight", (s["vocab"], s["hidden"])
    for i in range(s["layers"]):
        p = f"model.layers.{i}."
        yield p + "input_layernorm.weight", (s["hidden"],)
        yield p + "self_attn.q_proj.weight", (q, s["hidden"])
        yield p + "self_attn.k_proj.weight", (kv, s["hidden"])
        yield p + "self_attn.v_proj.weight", (kv, s["hidden"])
        yield p + "self_attn.o_proj.weight", (s["hidden"], q)
        yield p + "self_attn.q_norm.weight", (s["head"],)
        yield p + "self_attn.k_norm.weight", (s["head"],)
        yield p + "post_attention_layernorm.weight", (s["hidden"],)
        yield p + "mlp.gate_proj.weight", (s["inner"], s["hidden"])
        yield p + "mlp.up_proj.weight", (s["inner"], s["hidden"])
        yield p + "mlp.down_proj.weight", (s["hidden"], s["inner"])
    yield "model.norm.weight", (s["hidden"],)


def draw(s):
    """All tensors in bf16."""
    generator = torch.Generator().manual_seed(7)
    narrow = 0.02 / (2 * s["layers"]) ** 0.5
    tensors = {}
    for name, shape in shapes_of(s):
        if len(shape) == 1:
            tensors[name] = torch.ones(shape, dtype=torch.bfloat16)
        else:
            deviation = narrow if "o_proj" in name or "down_proj" in name else 0.02
            tensors[name] = torch.empty(shape).normal_(0, deviation, generator=generator).to(torch.bfloat16)
    return tensors


def config(s, name):
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": s["vocab"],
        "hidden_size": s["hidden"],
        "intermediate_size": s["inner"],
        "num_hidden_layers": s["layers"],
        "num_attention_heads": s["heads"],
        "num_key_value_heads": s["kv"],
        "head_dim": s["head"],
        "max_position_embeddings": s["context"],
        "rms_norm_eps": EPSILON,
        "rope_theta": THETA,
        "hidden_act": "silu",
        "attention_bias": False,
        "tie_word_embeddings": True,
        "eos_token_id": EOS,
        "torch_dtype": NAMES[name],
    }


def tokenizer(folder):
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    made = Tokenizer(models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    made.decoder = decoders.ByteLevel()
    added = json.loads((folder / "added_tokens.json").read_text())
    for token, index in sorted(added.items(), key=lambda item: item[1]):
        # Qwen3 counts the marks of thoughts and tools as text.
        special = not any(word in token for word in ("think", "tool", "fim", "repo", "file"))
        made.add_tokens([AddedToken(token, special=special, normalized=False)])
        assert made.token_to_id(token) == index, token
    return made


def write(path, content):
    temporary = path.with_name(path.name + ".tmp")
    if isinstance(content, str):
        temporary.write_text(content, encoding="utf-8")
    else:
        content(temporary)
    os.replace(temporary, path)


def directory(out, tensors, s, name, made):
    out.mkdir(parents=True, exist_ok=True)
    cast = {n: t.to(FLOATS[name]).contiguous() for n, t in tensors.items()}
    write(out / "model.safetensors", lambda p: save_file(cast, str(p), metadata={"format": "pt"}))
    write(out / "config.json", json.dumps(config(s, name), indent=2) + "\n")
    write(out / "tokenizer.json", made.to_str())
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "add_bos_token": False}
    write(out / "tokenizer_config.json", json.dumps(about, indent=2) + "\n")


def gguf_file(path, tensors, s, name, folder):
    import gguf

    arch = gguf.MODEL_ARCH.QWEN3
    temporary = path.with_name(path.name + ".tmp")
    w = gguf.GGUFWriter(str(temporary), gguf.MODEL_ARCH_NAMES[arch])
    w.add_name("random")
    w.add_context_length(s["context"])
    w.add_embedding_length(s["hidden"])
    w.add_block_count(s["layers"])
    w.add_feed_forward_length(s["inner"])
    w.add_head_count(s["heads"])
    w.add_head_count_kv(s["kv"])
    w.add_key_length(s["head"])
    w.add_value_length(s["head"])
    w.add_rope_freq_base(THETA)
    w.add_layer_norm_rms_eps(EPSILON)
    kinds = {"f16": gguf.LlamaFileType.MOSTLY_F16, "f32": gguf.LlamaFileType.ALL_F32, "bf16": gguf.LlamaFileType.MOSTLY_BF16}
    w.add_file_type(kinds[name])
    words = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    added = json.loads((folder / "added_tokens.json").read_text())
    tokens = {index: (word, gguf.TokenType.NORMAL) for word, index in words.items()}
    tokens.update({index: (word, gguf.TokenType.CONTROL) for word, index in added.items()})
    unused = lambda i: (f"[PAD{i}]", gguf.TokenType.UNUSED)
    listed = [tokens.get(i) or unused(i) for i in range(s["vocab"])]
    merges = [m for m in (folder / "merges.txt").read_text(encoding="utf-8").splitlines() if m and not m.startswith("#version")]
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("qwen2")
    w.add_token_list([word for word, _ in listed])
    w.add_token_types([kind for _, kind in listed])
    w.add_token_merges(merges)
    w.add_eos_token_id(EOS)
    w.add_add_bos_token(False)
    names = gguf.get_tensor_name_map(arch, s["layers"])
    for n, t in tensors.items():
        stem, end = n.rsplit(".", 1)
        key = f"{names.get_name(stem)}.{end}"
        # llama.cpp keeps norms in f32.
        if t.dim() == 1 or name == "f32":
            w.add_tensor(key, t.float().numpy())
        elif name == "f16":
            w.add_tensor(key, t.to(torch.float16).numpy())
        else:
            raw = t.view(torch.uint16).numpy().view(np.uint8)
            w.add_tensor(key, raw, raw_dtype=gguf.GGMLQuantizationType.BF16)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    os.replace(temporary, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--shape", choices=SHAPES, default="qwen3-0.6b")
    parser.add_argument("--float", nargs="*", choices=FLOATS, default=["f16"])
    parser.add_argument("--gguf", nargs="*", choices=FLOATS, default=["f16"])
    a = parser.parse_args()
    s = SHAPES[a.shape]
    tensors, made = draw(s), tokenizer(a.tokenizer)
    a.out.mkdir(parents=True, exist_ok=True)
    for name in a.float:
        directory(a.out / name, tensors, s, name, made)
    for name in a.gguf:
        gguf_file(a.out / f"{name}.gguf", tensors, s, name, a.tokenizer)
    count = sum(t.numel() for t in tensors.values())
    print(json.dumps({"shape": a.shape, "parameters": count, "float": a.float, "gguf": a.gguf}))


if __name__ == "__main__":
    main()
