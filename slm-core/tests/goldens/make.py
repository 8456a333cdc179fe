#!/usr/bin/env python3
"""Makes the goldens beside this script: tiny models with random weights and what transformers and PEFT compute.

    python3 make.py <output folder>          needs: torch transformers peft safetensors tokenizers

Weights are random and no norm is exactly one, so that every weight matters. Recorded with transformers 5.23, peft 0.21
and torch 2.15 (float32, eager attention, one thread). Per family:

    config.json, tokenizer.json, model.safetensors    a Hugging Face directory
    reference.safetensors     input_ids [2,40]; logits [2,40,512]; logits_12: the first 12 tokens alone; hidden.N;
                              loss (labels are the inputs); greedy_12_16: 16 greedy tokens after 12
    ../../../slm-lora/tests/goldens/FAMILY-KIND       a PEFT adapter, its logits, five AdamW losses, merged logits
"""
import json
import os
import sys

import torch
from safetensors.torch import save_file

os.environ["HF_HUB_OFFLINE"] = "1"
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def config(kind, architecture, **more):
    common = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=512,
                  intermediate_size=128, hidden_act="silu", initializer_range=0.02, attention_dropout=0.0,
                  torch_dtype="float32", use_cache=True, bos_token_id=0, eos_token_id=0)
    return {**common, "model_type": kind, "architectures": [architecture], **more}


LLAMA3 = dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32,
              rope_type="llama3")
LONGROPE = dict(type="longrope", short_factor=[1.0, 1.01, 1.03, 1.08, 1.1, 1.3, 1.5, 1.9],
                long_factor=[1.05, 1.2, 1.6, 2.5, 3.9, 5.1, 6.6, 7.9])
# The seed of a family is its number.
FAMILIES = {
    "qwen3": (0, config("qwen3", "Qwen3ForCausalLM", head_dim=32, attention_bias=False, max_position_embeddings=256,
                        max_window_layers=2, rms_norm_eps=1e-6, rope_scaling=None, rope_theta=1000000,
                        sliding_window=None, use_sliding_window=False, tie_word_embeddings=True)),
    "llama": (2, config("llama", "LlamaForCausalLM", head_dim=16, attention_bias=False, mlp_bias=False,
                        max_position_embeddings=1024, rms_norm_eps=1e-5, rope_scaling=LLAMA3, rope_theta=500000.0,
                        tie_word_embeddings=True, pretraining_tp=1)),
    "mistral": (3, config("mistral", "MistralForCausalLM", head_dim=16, max_position_embeddings=256,
                          rms_norm_eps=1e-5, rope_theta=10000.0, sliding_window=8, tie_word_embeddings=False)),
    "phi3": (4, config("phi3", "Phi3ForCausalLM", attention_bias=False, embd_pdrop=0.0, resid_pdrop=0.0,
                       max_position_embeddings=128, pad_token_id=0, original_max_position_embeddings=16,
                       rms_norm_eps=1e-5, rope_theta=10000.0, sliding_window=262144, tie_word_embeddings=False,
                       rope_scaling=LONGROPE)),
}


def tokenizer(folder):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    words = ("small language model domain question answer document retrieve token layer weight quantize adapter rank "
             "train loss number revenue patient clause court contract dose table figure report year the of and to in is "
             "that for with as on by at from").split()
    seed = torch.Generator().manual_seed(5)
    text = [" ".join(words[int(i)] for i in torch.randint(0, len(words), (12,), generator=seed)) for _ in range(400)]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(text, trainers.BpeTrainer(
        vocab_size=512, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    bpe.save(f"{folder}/tokenizer.json")
    names = dict(tokenizer_class="PreTrainedTokenizerFast", bos_token="<|endoftext|>", eos_token="<|endoftext|>")
    json.dump(names, open(f"{folder}/tokenizer_config.json", "w"))
    return bpe.get_vocab_size()


def load(folder):
    from transformers import AutoModelForCausalLM
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)


def contiguous(tensors):
    return {name: value.contiguous().clone() for name, value in tensors.items()}


def family(out, name, number, settings):
    from transformers import AutoConfig, AutoModelForCausalLM
    folder = f"{out}/{name}"
    os.makedirs(folder, exist_ok=True)
    json.dump(settings, open(f"{folder}/config.json", "w"), indent=1)
    vocabulary = tokenizer(folder)
    torch.manual_seed(1000 + number)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), attn_implementation="eager")
    noise = torch.Generator().manual_seed(2000 + number)
    with torch.no_grad():
        for path, weight in sorted(model.named_parameters()):
            z = torch.randn(weight.shape, generator=noise)
            scale = 1.4 / weight.shape[-1] ** 0.5
            weight.copy_(1.0 + 0.2 * z if "norm" in path else z if "embed" in path else z * scale)
    weights = contiguous(model.state_dict())
    if settings["tie_word_embeddings"]:
        weights.pop("lm_head.weight", None)
    save_file(weights, f"{folder}/model.safetensors", metadata={"format": "pt"})

    model = load(folder).eval()
    ids = torch.randint(1, vocabulary, (2, 40), generator=torch.Generator().manual_seed(77))
    with torch.no_grad():
        whole = model(ids, output_hidden_states=True, labels=ids)
        greedy = model.generate(ids[:1, :12], max_new_tokens=16, do_sample=False, eos_token_id=None, pad_token_id=0)
        reference = {"input_ids": ids, "logits": whole.logits, "loss": whole.loss.reshape(1),
                     "logits_12": model(ids[:, :12]).logits, "greedy_12_16": greedy[:, 12:]}
    reference |= {f"hidden.{i}": h for i, h in enumerate(whole.hidden_states)}
    save_file(contiguous(reference), f"{folder}/reference.safetensors")
    return folder, ids


def adapter(base, out, ids, number, **kind):
    from peft import LoraConfig, get_peft_model
    settings = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, lora_dropout=0.0, target_modules=LINEAR, **kind)
    model = get_peft_model(load(base), settings)
    noise = torch.Generator().manual_seed(3000 + number)
    with torch.no_grad():
        for path, weight in sorted(model.named_parameters()):
            if "lora_" in path:
                weight.copy_(0.1 * torch.randn(weight.shape, generator=noise))
    model.eval()
    model.save_pretrained(f"{out}/start")
    with torch.no_grad():
        reference = {"input_ids": ids, "logits_start": model(ids).logits}
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    losses = []
    for _ in range(5):
        loss = model(ids, labels=ids).loss
        losses.append(loss.detach())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    reference["losses"] = torch.stack(losses)
    with torch.no_grad():
        reference["logits_after5"] = model(ids).logits
        reference["logits_merged"] = model.merge_and_unload()(ids).logits
    save_file(contiguous(reference), f"{out}/reference.safetensors")


def main(out):
    torch.set_num_threads(1)
    for name, (number, settings) in FAMILIES.items():
        base, ids = family(out, name, number, settings)
        if name in ("llama", "qwen3"):
            adapter(base, f"{out}/{name}-lora", ids, number)
        if name == "llama":
            adapter(base, f"{out}/{name}-rslora", ids, number, use_rslora=True)
        print(name)


if __name__ == "__main__":
    main(sys.argv[1])
