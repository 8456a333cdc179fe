"""Blocks of ggml and what gguf-py makes of them: `NAME.blocks` (bytes) and `NAME.f32` (their weights).

    pip install gguf && python slm-kernels/tests/goldens/make.py

`weights.f32` ([3, 512]) are quantized where gguf-py can quantize; other types get random blocks with small scales.
"""

from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants

HERE = Path(__file__).parent
ROWS, COLS = 3, 512
rng = np.random.default_rng(4)

weights = (rng.standard_normal((ROWS, COLS)) * rng.choice([0.01, 0.05, 1.0], (ROWS, COLS))).astype(np.float32)
weights[0, 32:64] = 0.0  # a block without a scale
weights[1, :32] = np.abs(weights[1, :32])
weights[2, 64:96] = 0.25
weights.tofile(HERE / "weights.f32")

# Places of the `f16` numbers in blocks that are drawn at random.
HALVES = {"Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0]}

for name in ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL"]:
    kind = GGMLQuantizationType[name]
    size, length = GGML_QUANT_SIZES[kind]
    if name in HALVES:
        blocks = rng.integers(0, 256, (ROWS * COLS // size, length), dtype=np.uint8)
        for at in HALVES[name]:
            halves = rng.standard_normal((len(blocks), 1)).astype(np.float16)
            blocks[:, at : at + 2] = halves.view(np.uint8)
        blocks = blocks.reshape(ROWS, -1)
    else:
        blocks = quants.quantize(weights, kind)
    blocks.tofile(HERE / f"{name.lower()}.blocks")
    quants.dequantize(blocks, kind).astype(np.float32).tofile(HERE / f"{name.lower()}.f32")
