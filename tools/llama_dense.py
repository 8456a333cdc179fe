#!/usr/bin/env python3
"""What llama.cpp's quantizer makes of a model, as dense Hugging Face directories that any loader can measure.

    python tools/llama_dense.py MODEL OUT [--types Q4_0 Q4_K_M Q8_0]

MODEL is a Hugging Face directory of a Llama or a Qwen3. For each type OUT/TYPE holds the dequantized weights in f32 with
the configuration and the tokenizer of MODEL, and OUT/TYPE/bits.txt the bits per weight of the GGUF file's tensors.
Needs numpy, safetensors, gguf and llama-cpp-python from PyPI.
"""

import argparse
import ctypes
import json
import pathlib
import shutil

import gguf
import numpy as np
from safetensors.numpy import load_file, save_file

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def gguf_name(name):
    name = name.removesuffix(".weight")
    if name in NAMES:
        return NAMES[name] + ".weight"
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{NAMES[rest]}.weight"


def turn(weight, heads, back=False):
    """llama.cpp rotates neighbouring pairs in a Llama, Hugging Face halves: rows of queries and keys change places."""
    shape = (heads, weight.shape[0] // heads // 2, 2) if back else (heads, 2, weight.shape[0] // heads // 2)
    return weight.reshape(*shape, -1).swapaxes(1, 2).reshape(weight.shape)


def heads_of(name, config):
    if config["model_type"] != "llama":
        return None
    key = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
    return next((config[key[k]] for k in key if k in name), None)


def write_gguf(path, tensors, config):
    w = gguf.GGUFWriter(str(path), config["model_type"])
    w.add_block_count(config["num_hidden_layers"])
    w.add_context_length(config["max_position_embeddings"])
    w.add_embedding_length(config["hidden_size"])
    w.add_feed_forward_length(config["intermediate_size"])
    w.add_head_count(config["num_attention_heads"])
    w.add_head_count_kv(config["num_key_value_heads"])
    width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    w.add_key_length(width)
    w.add_value_length(width)
    w.add_rope_dimension_count(width)
    w.add_rope_freq_base(config["rope_theta"])
    w.add_layer_norm_rms_eps(config["rms_norm_eps"])
    w.add_vocab_size(config["vocab_size"])
    w.add_tokenizer_model("no_vocab")
    w.add_file_type(gguf.LlamaFileType.ALL_F32)
    for name, weight in tensors.items():
        heads = heads_of(name, config)
        w.add_tensor(gguf_name(name), np.ascontiguousarray(turn(weight, heads) if heads else weight))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def quantize(source, target, kind):
    import llama_cpp as l

    quiet = l.llama_log_callback(lambda level, text, data: None)
    l.llama_log_set(quiet, ctypes.c_void_p())
    p = l.llama_model_quantize_default_params()
    p.ftype = getattr(l, f"LLAMA_FTYPE_MOSTLY_{kind}")
    p.nthread = 2
    if l.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(p)):
        raise SystemExit(f"llama.cpp does not quantize to {kind}")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model", type=pathlib.Path)
    p.add_argument("out", type=pathlib.Path)
    p.add_argument("--types", nargs="+", default=["Q8_0", "Q5_K_M", "Q4_K_M", "Q4_K_S", "Q4_0", "IQ4_NL"])
    a = p.parse_args()
    config = json.loads((a.model / "config.json").read_text())
    tensors = {k: v.astype(np.float32) for k, v in load_file(a.model / "model.safetensors").items()}
    if config["tie_word_embeddings"]:
        tensors.pop("lm_head.weight", None)
    a.out.mkdir(parents=True, exist_ok=True)
    write_gguf(a.out / "f32.gguf", tensors, config)
    for kind in a.types:
        folder, file = a.out / kind, a.out / f"{kind}.gguf"
        quantize(a.out / "f32.gguf", file, kind)
        found = {t.name: t for t in gguf.GGUFReader(file).tensors}
        dense = {}
        for name, weight in tensors.items():
            t = found[gguf_name(name)]
            values = gguf.quants.dequantize(t.data, t.tensor_type).reshape(weight.shape).astype(np.float32)
            heads = heads_of(name, config)
            dense[name] = np.ascontiguousarray(turn(values, heads, back=True) if heads else values)
        folder.mkdir(exist_ok=True)
        save_file(dense, folder / "model.safetensors")
        for name in ["config.json", "tokenizer.json", "tokenizer_config.json"]:
            shutil.copyfile(a.model / name, folder / name)
        bits = 8 * sum(t.n_bytes for t in found.values()) / sum(w.size for w in tensors.values())
        (folder / "bits.txt").write_text(f"{bits:.3f}\n")
        kinds = {}
        for t in found.values():
            kinds[t.tensor_type.name] = kinds.get(t.tensor_type.name, 0) + 1
        print(f"{kind}: {bits:.3f} bits per weight, tensors {kinds}")


if __name__ == "__main__":
    main()
