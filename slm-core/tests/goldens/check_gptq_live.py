#!/usr/bin/env python3
"""Loads checkpoints of `CausalLm::save_gptq` with transformers and GPTQModel, and compares with the weights that they came from.

    python3 check_gptq_live.py <directory of save_gptq> <directory of the original> [text file]
        needs: torch transformers gptqmodel optimum numpy

Prints the divergence between both models' next-token distributions over some text, and what each writes greedily.
"""
import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402


def main(packed, original, text=None):
    tokenizer = AutoTokenizer.from_pretrained(original)
    text = open(text).read()[:20_000] if text else "Once upon a time there was a little girl. " * 20
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids[:, :2048]
    ids = ids[:, : ids.shape[1] // 256 * 256].reshape(-1, 256)
    load = lambda folder: AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, device_map="cpu").eval()  # noqa: E731
    reference, model = load(original), load(packed)
    kinds = sorted({type(m).__name__ for m in model.modules() if hasattr(m, "qweight")})
    assert kinds, "no layer is quantized"
    with torch.no_grad():
        want, got = (m(ids).logits.float().log_softmax(-1) for m in (reference, model))
        kl = (want.exp() * (want - got)).sum(-1)
        same = (want.argmax(-1) == got.argmax(-1)).float().mean()
        print(f"{', '.join(kinds)}: {ids.numel()} positions, mean KL {kl.mean():.4f}, same top token {same:.3f}")
        for m in (reference, model):
            out = m.generate(ids[:1, :16], max_new_tokens=16, do_sample=False, pad_token_id=0)
            print(repr(tokenizer.decode(out[0, 16:])))


if __name__ == "__main__":
    main(*sys.argv[1:])
