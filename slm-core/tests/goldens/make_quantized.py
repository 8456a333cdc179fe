#!/usr/bin/env python3
"""Makes `quantized/`: tiny checkpoints that the libraries' own code packed, and what transformers computes with them.

    PYTHONPATH=<auto_gptq 0.7 wheel, unpacked>:<autoawq 0.2.9 source>:<bitsandbytes> python3 make_quantized.py <output folder>
        needs: torch transformers safetensors

    gptq       Llama, 4 bits, groups of 32, asymmetric, with act-order (its groups are scattered); packed by AutoGPTQ
    gptq-8bit  Qwen3, 8 bits, groups of 64, symmetric; packed by AutoGPTQ
    awq        Phi-3 (fused projections), groups of 32; packed by AutoAWQ
    nf4        Qwen2 (with biases), double quantization; packed by bitsandbytes

Each is a Hugging Face directory with `reference.safetensors`: input_ids [1,16] and logits [1,16,256] of the model whose
weights are those that the library's own layer multiplies an identity with. Recorded with torch 2.15, transformers 5.24.
"""
import importlib.util
import json
import os
import sys
import types

import torch
from safetensors.torch import save_file

BASE = dict(hidden_size=64, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2, vocab_size=256,
            intermediate_size=128, hidden_act="silu", max_position_embeddings=64, rms_norm_eps=1e-6, rope_theta=10000.0,
            bos_token_id=0, eos_token_id=0, tie_word_embeddings=True, torch_dtype="float16", pad_token_id=0)
CONFIGS = {
    "gptq": (dict(model_type="llama", architectures=["LlamaForCausalLM"], attention_bias=False, mlp_bias=False,
                  head_dim=16),
             dict(quant_method="gptq", bits=4, group_size=32, desc_act=True, sym=False, checkpoint_format="gptq")),
    "gptq-8bit": (dict(model_type="qwen3", architectures=["Qwen3ForCausalLM"], attention_bias=False, head_dim=16),
                  dict(quant_method="gptq", bits=8, group_size=64, desc_act=False, sym=True)),
    "awq": (dict(model_type="phi3", architectures=["Phi3ForCausalLM"], attention_bias=False),
            dict(quant_method="awq", bits=4, group_size=32, zero_point=True, version="gemm")),
    "nf4": (dict(model_type="qwen2", architectures=["Qwen2ForCausalLM"]),
            dict(quant_method="bitsandbytes", load_in_4bit=True, bnb_4bit_quant_type="nf4",
                 bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype="float32")),
}


def groups(weight, bits, size, symmetric, g_idx):
    """Scale and zero point `[out, groups]` of each group of inputs."""
    scales, zeros = [], []
    for group in range(int(g_idx.max()) + 1):
        part = weight[:, g_idx == group]
        if symmetric:
            scale = (part.abs().amax(1) / (2 ** (bits - 1) - 1)).clamp(min=1e-5)
            zero = torch.full_like(scale, 2 ** (bits - 1))
        else:
            low, high = part.amin(1).clamp(max=0), part.amax(1).clamp(min=0)
            scale = ((high - low) / (2 ** bits - 1)).clamp(min=1e-5)
            zero = (-low / scale).round()
        scales.append(scale.half().float())
        zeros.append(zero)
    return torch.stack(scales, 1), torch.stack(zeros, 1)


def gptq(linear, settings, generator):
    path = next(f"{p}/auto_gptq/nn_modules/qlinear/qlinear_cuda_old.py" for p in sys.path
                if os.path.exists(f"{p}/auto_gptq/nn_modules/qlinear/qlinear_cuda_old.py"))
    spec = importlib.util.spec_from_file_location("qlinear_cuda_old", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    bits, size, columns = settings["bits"], settings["group_size"], linear.in_features
    g_idx = torch.arange(columns) // size
    if settings["desc_act"]:
        g_idx = g_idx[torch.randperm(columns, generator=generator)]
    scales, zeros = groups(linear.weight.data, bits, size, settings["sym"], g_idx)
    packed = module.QuantLinear(bits, size, columns, linear.out_features, linear.bias is not None,
                                weight_dtype=torch.float32)
    packed.pack(linear, scales.clone(), zeros.clone(), g_idx)
    with torch.no_grad():
        weight = packed.float()(torch.eye(columns)).T
    state = {k: v for k, v in packed.state_dict().items() if k in ("qweight", "qzeros", "scales", "g_idx", "bias")}
    state["scales"] = state["scales"].half()
    return weight, state


def awq(linear, settings, _):
    for name in ("awq", "awq.utils", "awq.modules", "awq.modules.linear"):
        if name not in sys.modules:
            package = types.ModuleType(name)
            package.__path__ = [f"{p}/{name.replace('.', '/')}" for p in sys.path]
            sys.modules[name] = package
    from awq.modules.linear.gemm import WQLinear_GEMM
    from awq.utils.packing_utils import dequantize_gemm
    size = settings["group_size"]
    scales, zeros = groups(linear.weight.data, 4, size, False, torch.arange(linear.in_features) // size)
    packed = WQLinear_GEMM.from_linear(linear, 4, size, False, scales.T.contiguous(), zeros.T.contiguous())
    weight = dequantize_gemm(packed.qweight, packed.qzeros, packed.scales, 4, size).float().T
    return weight, {k: v for k, v in packed.state_dict().items() if v is not None}


def nf4(linear, *_):
    from bitsandbytes import functional
    packed, state = functional.quantize_4bit(linear.weight.data.clone(), blocksize=64, compress_statistics=True,
                                             quant_type="nf4")
    weight = functional.dequantize_4bit(packed, state).float()
    tensors = {"weight": packed, **{f"weight.{k}": v for k, v in state.as_dict(packed=True).items()}}
    return weight, tensors


def main(out):
    from transformers import AutoConfig, AutoModelForCausalLM
    for number, (name, (own, settings)) in enumerate(CONFIGS.items()):
        folder = f"{out}/{name}"
        os.makedirs(folder, exist_ok=True)
        config = {**BASE, **own}
        json.dump(config, open(f"{folder}/config.json", "w"), indent=1)
        torch.manual_seed(3000 + number)
        generator = torch.Generator().manual_seed(4000 + number)
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), attn_implementation="eager").float()
        state = {}
        with torch.no_grad():
            for path, weight in model.named_parameters():
                weight += 0.1 * torch.randn(weight.shape, generator=generator)
                weight.copy_(weight.half().float())
            make = {"gptq": gptq, "gptq-8bit": gptq, "awq": awq, "nf4": nf4}[name]
            for path, module in model.named_modules():
                if isinstance(module, torch.nn.Linear) and ".layers." in path:
                    weight, tensors = make(module, settings, generator)
                    module.weight.copy_(weight)
                    state.update({f"{path}.{key}": value for key, value in tensors.items()})
        for path, weight in model.named_parameters():
            base = path.rsplit(".", 1)[0]
            packed = f"{base}.qweight" in state or f"{base}.weight.absmax" in state
            if not (packed and path.endswith(".weight")):
                state[path] = weight.detach().half()
        save_file({k: v.contiguous().clone() for k, v in state.items()}, f"{folder}/model.safetensors",
                  metadata={"format": "pt"})
        json.dump({**config, "quantization_config": settings}, open(f"{folder}/config.json", "w"), indent=1)
        ids = torch.tensor([[(i * 37 + 11) % 256 for i in range(16)]])
        with torch.no_grad():
            logits = model(ids, use_cache=False).logits
        save_file({"input_ids": ids, "logits": logits.contiguous()}, f"{folder}/reference.safetensors")
        print(name, os.path.getsize(f"{folder}/model.safetensors"), float(logits.std()))


if __name__ == "__main__":
    main(sys.argv[1])
