#!/usr/bin/env python3
"""Makes the references of `gguf/`: what transformers computes with the weights in files that llama.cpp quantized.

    python3 make_gguf.py <folder of tiny models> <export_gguf binary> <output folder>
        needs: torch transformers gguf safetensors numpy llama-cpp-python

The models are tiny and random; each folder NAME-tiny has the Hugging Face directory and NAME-tiny-q4_0.gguf, which
llama.cpp made of it (convert_hf_to_gguf.py, then llama-quantize). The file is copied; its tensors are expanded by gguf's
own Python code, named and ordered as the checkpoint, and run by transformers: NAME-q4_0.safetensors holds input_ids
[1,20], logits [1,20,vocab], and llama_cpp: those of llama.cpp itself, where it loads the file; it rounds what it multiplies
with to 8 bits. Blocks of 256 weights need wider rows: wide-KIND.gguf is a Qwen3 of width 256 that `export_gguf` wrote in f32
and llama.cpp quantized, its odd matrices in blocks of 32. Recorded with gguf 0.19, transformers 5.24 and llama-cpp-python 0.3.36.
"""
import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import llama_cpp
import torch
from gguf import GGUFReader, dequantize
from llama_cpp import Llama
from safetensors.torch import save_file

FILES = [("llama", "q4_0"), ("llama", "q8_0"), ("mistral", "q4_0"), ("qwen2", "q4_0"), ("qwen3", "q4_0"),
         ("phi3", "q4_0"), ("gemma3", "q4_0")]
NAMES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_qkv": "self_attn.qkv_proj", "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm",
         "attn_k_norm": "self_attn.k_norm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
         "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
GEMMA = {**NAMES, "ffn_norm": "pre_feedforward_layernorm", "post_attention_norm": "post_attention_layernorm",
         "post_ffw_norm": "post_feedforward_layernorm"}
PHI = {**NAMES, "ffn_up": "mlp.gate_up_proj"}


def name_of(family, name):
    fixed = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
             "output.weight": "lm_head.weight"}
    if name in fixed:
        return fixed[name]
    match = re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", name)
    if not match:
        return None
    table = {"gemma3": GEMMA, "phi3": PHI}.get(family, NAMES)
    return f"model.layers.{match[1]}.{table[match[2]]}.{match[3]}"


def halves(weight, heads):
    """Rows of neighbouring pairs to rows of halves, head by head."""
    rows = weight.shape[0]
    return weight.reshape(heads, rows // heads // 2, 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def expanded(path, family, config):
    """The tensors of a file by their names in a checkpoint, and how many there are of each type."""
    kinds, state = {}, {}
    for tensor in GGUFReader(path).tensors:
        name = name_of(family, tensor.name)
        kinds[tensor.tensor_type.name] = kinds.get(tensor.tensor_type.name, 0) + 1
        if name is None:
            continue
        value = torch.tensor(dequantize(tensor.data, tensor.tensor_type)).float()
        if family in ("llama", "mistral") and ("q_proj" in name or "k_proj" in name):
            count = config["num_attention_heads" if "q_proj" in name else "num_key_value_heads"]
            value = halves(value, count)
        state[name] = value - 1 if family == "gemma3" and name.endswith("norm.weight") else value
    return state, kinds


def record(path, family, config, base):
    from transformers import AutoConfig, AutoModelForCausalLM
    state, kinds = expanded(path, family, config)
    config["vocab_size"] = state["model.embed_tokens.weight"].shape[0]
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config), attn_implementation="eager").float()
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [m for m in missing if m != "lm_head.weight"]
    assert not missing and not unexpected, (missing, unexpected)
    ids = torch.tensor([[(i * 37 + 11) % 400 for i in range(20)]])
    with torch.no_grad():
        logits = model(ids, use_cache=False).logits
    tensors = {"input_ids": ids, "logits": logits.contiguous()}
    try:
        llama = Llama(path, n_ctx=256, logits_all=True, verbose=False, type_k=0, type_v=0)
        llama.eval(ids[0].tolist())
        tensors["llama_cpp"] = torch.tensor(llama.scores[:20]).float().reshape(logits.shape).clone()
    except ValueError:
        pass
    if path != f"{base}.gguf":
        shutil.copy(path, f"{base}.gguf")
    save_file(tensors, f"{base}.safetensors")
    print(os.path.basename(base), kinds, float(logits.std()), os.path.getsize(f"{base}.gguf"))


def wide(binary, out):
    """llama.cpp's numbers of Q4_K_M, Q5_K_M and IQ4_NL."""
    from transformers import AutoConfig, AutoModelForCausalLM
    config = dict(model_type="qwen3", architectures=["Qwen3ForCausalLM"], hidden_size=256, intermediate_size=32,
                  num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, head_dim=16, vocab_size=440,
                  max_position_embeddings=256, rms_norm_eps=1e-6, rope_theta=10000.0, tie_word_embeddings=True,
                  attention_bias=False, bos_token_id=0, eos_token_id=0)
    with tempfile.TemporaryDirectory() as folder:
        json.dump(config, open(f"{folder}/config.json", "w"))
        torch.manual_seed(5000)
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder)).float()
        with torch.no_grad():
            for weight in model.parameters():
                weight += 0.05 * torch.randn(weight.shape)
        model.save_pretrained(folder)
        json.dump(config, open(f"{folder}/config.json", "w"))
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(f"{os.path.dirname(os.path.abspath(__file__))}/qwen3/{name}", folder)
        subprocess.run([binary, folder, f"{folder}/wide.gguf", "f32"], check=True, capture_output=True)
        for kind, number in [("q4_k_m", 15), ("q5_k_m", 17), ("iq4_nl", 25)]:
            settings = llama_cpp.llama_model_quantize_default_params()
            settings.ftype = number
            path = f"{out}/wide-{kind}.gguf"
            code = llama_cpp.llama_model_quantize(f"{folder}/wide.gguf".encode(), path.encode(), ctypes.byref(settings))
            assert code == 0, kind
            record(path, "qwen3", dict(config), path[:-len(".gguf")])


def main(models, binary, out):
    os.makedirs(out, exist_ok=True)
    wide(binary, out)
    for family, kind in FILES:
        folder = f"{models}/{family}-tiny"
        config = json.load(open(f"{folder}/config.json"))
        # llama.cpp's files of Mistral have no window; it takes Gemma's scale to be that of the head, and every sixth
        # layer to see everything.
        if family == "mistral":
            config["sliding_window"] = None
        if family == "gemma3":
            config["query_pre_attn_scalar"] = config["head_dim"]
            config["layer_types"] = ["sliding_attention"] * config["num_hidden_layers"]
            config.pop("sliding_window_pattern", None)
        record(f"{folder}/{family}-tiny-{kind}.gguf", family, config, f"{out}/{family}-{kind}")


if __name__ == "__main__":
    main(*sys.argv[1:4])
