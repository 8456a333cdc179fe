#!/usr/bin/env python3
"""Values, scales and rounded numbers of an optimizer's moments as bitsandbytes has them, for `slm-lora/src/train/moments.rs`.

    python slm-lora/tests/goldens/make_moments.py

Needs torch, bitsandbytes and safetensors.
"""

from pathlib import Path

import torch
from bitsandbytes import functional
from safetensors.torch import save_file

SIZE, BLOCK = 700, 256

torch.manual_seed(0)
tensors = {}
for name, signed in [("first", True), ("second", False)]:
    table = functional.create_dynamic_map(signed=signed).float()
    # Over six orders of magnitude, as moments are.
    values = torch.randn(SIZE) * 10 ** (-6 * torch.rand(SIZE))
    values = values if signed else values.square()
    codes, state = functional.quantize_blockwise(values, code=table, blocksize=BLOCK)
    back = functional.dequantize_blockwise(codes, state)
    tensors |= {f"{name}.table": table, f"{name}.values": values, f"{name}.absmax": state.absmax.float(),
                f"{name}.back": back}
save_file({k: v.contiguous() for k, v in tensors.items()}, Path(__file__).parent / "moments.safetensors")
