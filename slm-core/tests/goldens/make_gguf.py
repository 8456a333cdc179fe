#!/usr/bin/env python3
"""Makes the references of `gguf/`: what transformers computes with the weights in files that llama.cpp quantized.

    python3 make_gguf.py <folder of tiny models> <output folder>      needs: torch transformers gguf safetensors numpy
                                                                      llama-cpp-python

The models are tiny and random; each folder NAME-tiny has the Hugging Face directory and NAME-tiny-q4_0.gguf, which
llama.cpp made of it (convert_hf_to_gguf.py, then llama-quantize). The file is copied; its tensors are expanded by gguf's
own Python code, named and ordered as the checkpoint, and run by transformers: NAME-q4_0.safetensors holds input_ids
[1,20], logits [1,20,vocab], and llama_cpp: those of llama.cpp itself, where it loads the file; it rounds what it multiplies
with to 8 bits. Recorded with gguf 0.19, transformers 5.24 and llama-cpp-python 0.3.36.
"""
import json
import os
import re
import shutil
import sys

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


def main(models, out):
    from transformers import AutoConfig, AutoModelForCausalLM
    os.makedirs(out, exist_ok=True)
    for family, kind in FILES:
        folder = f"{models}/{family}-tiny"
        path = f"{folder}/{family}-tiny-{kind}.gguf"
        config = json.load(open(f"{folder}/config.json"))
        # llama.cpp's files of Mistral have no window; it takes Gemma's scale to be that of the head, and every sixth
        # layer to see everything.
        if family == "mistral":
            config["sliding_window"] = None
        if family == "gemma3":
            config["query_pre_attn_scalar"] = config["head_dim"]
            config["layer_types"] = ["sliding_attention"] * config["num_hidden_layers"]
            config.pop("sliding_window_pattern", None)
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
        config["vocab_size"] = state["model.embed_tokens.weight"].shape[0]
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config), attn_implementation="eager").float()
        missing, unexpected = model.load_state_dict(state, strict=False)
        missing = [m for m in missing if m != "lm_head.weight"]
        assert not missing and not unexpected, (missing, unexpected)
        ids = torch.tensor([[(i * 37 + 11) % 400 for i in range(20)]])
        with torch.no_grad():
            logits = model(ids, use_cache=False).logits
        shutil.copy(path, f"{out}/{family}-{kind}.gguf")
        record = {"input_ids": ids, "logits": logits.contiguous()}
        try:
            llama = Llama(path, n_ctx=256, logits_all=True, verbose=False, type_k=0, type_v=0)
            llama.eval(ids[0].tolist())
            record["llama_cpp"] = torch.tensor(llama.scores[:20]).float().reshape(logits.shape).clone()
        except ValueError:
            pass
        save_file(record, f"{out}/{family}-{kind}.safetensors")
        print(family, kind, kinds, float(logits.std()))


if __name__ == "__main__":
    main(*sys.argv[1:3])
