#!/usr/bin/env python3
"""Writes llama_errors.json: the mean squared error of llama.cpp's quantizers on the weights of `tests/llama.rs`.

    python slm-quant/tests/goldens/make_llama_errors.py

Needs numpy, gguf and llama-cpp-python from PyPI.
"""

import ctypes
import json
import pathlib

import gguf
import llama_cpp
import numpy as np

ROWS, COLS = 16, 512


def weights():
    """The same as `weights` in tests/llama.rs."""
    mask = np.uint64(0xFFFFFFFF)
    x = np.arange(6 * ROWS * COLS, dtype=np.uint64)
    x = (x * np.uint64(2654435761)) & mask
    x ^= x >> np.uint64(15)
    x = (x * np.uint64(2246822519)) & mask
    x ^= x >> np.uint64(13)
    uniform = (x >> np.uint64(8)).astype(np.float64) / (1 << 24) - 0.5
    normal = uniform.reshape(-1, 6).sum(1) * 0.05
    normal[::97] *= 5
    return normal.astype(np.float32).reshape(ROWS, COLS)


def main():
    folder = pathlib.Path(llama_cpp.__file__).parent / "lib"
    library = ctypes.CDLL(str(next(folder.glob("libggml-base.so*"))))
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    w, errors = weights(), {}
    for kind in ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL"]:
        kind = getattr(gguf.GGMLQuantizationType, kind)
        block, size = gguf.GGML_QUANT_SIZES[kind]
        out = np.zeros((ROWS, COLS // block * size), dtype=np.uint8)
        library.ggml_quantize_chunk(
            ctypes.c_int(kind.value), w.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_int64(0), ctypes.c_int64(ROWS), ctypes.c_int64(COLS), None,
        )
        dense = gguf.quants.dequantize(out, kind)
        errors[kind.name] = float(np.mean((dense.astype(np.float64) - w) ** 2))
    target = pathlib.Path(__file__).parent / "llama_errors.json"
    target.write_text(json.dumps({"first": [float(x) for x in w[0, :4]], "mse": errors}, indent=1) + "\n")


if __name__ == "__main__":
    main()
