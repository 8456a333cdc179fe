"""Loads the adapters that `cargo run --release -p slm-lora --example kinds` wrote into PEFT itself, and compares logits.

python slm-lora/tests/goldens/check_peft.py <model directory> <directory>
"""

import json
import pathlib
import sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

IDS = torch.tensor([[5, 9, 200, 31, 7, 411], [1, 2, 3, 4, 5, 6]])
worst = 0.0
for folder in sorted(pathlib.Path(sys.argv[2]).iterdir()):
    base = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        plain = base(IDS).logits.clone()
        model = PeftModel.from_pretrained(base, folder).eval()
        logits = model(IDS).logits
        merged = model.merge_and_unload()(IDS).logits
    ours = torch.tensor(json.loads((folder / "logits.json").read_text())).reshape(logits.shape)
    far, moved = (ours - logits).abs().max().item(), (plain - logits).abs().max().item()
    print(f"{folder.name:16} max-abs difference {far:.2e}, merged by PEFT {(ours - merged).abs().max().item():.2e}, "
          f"the adapter moves {moved:.2f}")
    worst = max(worst, far)
    assert moved > 0.05, "the adapter changes nothing"
assert worst <= 1e-4, worst
print("all within", worst)
