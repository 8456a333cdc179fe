#!/usr/bin/env python3
"""Multiplies with checkpoints of `CausalLm::save_gptq` by AutoGPTQ's own layer, and compares with GGUF's own code.

    PYTHONPATH=<auto_gptq 0.7 wheel, unpacked> python3 check_gptq.py <directory of save_gptq> <GGUF file of the same model>
        needs: torch transformers safetensors gguf numpy

Both hold the same codes, so the weights must be equal to the bit: those that the layer multiplies an identity with, and
those that gguf-py expands. For families whose rows have the same order in both files (Qwen, Phi-3, Gemma, OLMo).
"""
import importlib.util
import json
import os
import sys

import numpy as np
import torch
from gguf import GGUFReader, dequantize
from safetensors.torch import load_file

NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.qkv_proj": "attn_qkv", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate",
         "mlp.up_proj": "ffn_up", "mlp.gate_up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def main(folder, path):
    source = next(f"{p}/auto_gptq/nn_modules/qlinear/qlinear_cuda_old.py" for p in sys.path
                  if os.path.exists(f"{p}/auto_gptq/nn_modules/qlinear/qlinear_cuda_old.py"))
    spec = importlib.util.spec_from_file_location("qlinear_cuda_old", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    settings = json.load(open(f"{folder}/config.json"))["quantization_config"]
    state = load_file(f"{folder}/model.safetensors")
    tensors = {t.name: t for t in GGUFReader(path).tensors}
    bases = sorted(name[:-len(".qweight")] for name in state if name.endswith(".qweight"))
    assert bases, "no layer is quantized"
    for base in bases:
        columns = state[f"{base}.g_idx"].numel()
        layer = module.QuantLinear(settings["bits"], settings["group_size"], columns, state[f"{base}.scales"].shape[1],
                                   False, weight_dtype=torch.float32)
        layer.load_state_dict({part: state[f"{base}.{part}"] for part in ("qweight", "qzeros", "scales", "g_idx")})
        with torch.no_grad():
            got = layer.float()(torch.eye(columns)).T.numpy()
        _, _, index, name = base.split(".", 3)
        tensor = tensors[f"blk.{index}.{NAMES[name]}.weight"]
        want = dequantize(tensor.data, tensor.tensor_type)
        assert got.shape == want.shape and np.array_equal(got, want), (base, np.abs(got - want).max())
    print(f"{len(bases)} layers of {settings['bits']} bits in groups of {settings['group_size']}: equal to the bit")


if __name__ == "__main__":
    main(*sys.argv[1:3])
