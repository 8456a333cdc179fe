#!/usr/bin/env python3
"""Records what llama.cpp's samplers leave of random logits, as samplers.json beside this script.

    python3 make_samplers.py MODEL.gguf         needs: llama-cpp-python numpy

The model serves its vocabulary alone (the DRY sampler asks for one); any will do. Recorded with llama-cpp-python 0.3.36.
Each case: the settings, the tokens seen before, the logits by name, and the tokens that are left with their logits.
"""
import ctypes
import json
import os
import sys

import llama_cpp as ll
import numpy as np

VOCAB = 60


def logits():
    rng = np.random.default_rng(7)
    flat = rng.normal(0, 1, VOCAB)
    steep = rng.normal(0, 4, VOCAB)
    wide = rng.normal(0, 2, VOCAB)
    return {name: [round(float(x), 4) for x in v] for name, v in dict(flat=flat, steep=steep, wide=wide).items()}


def apply(sampler, values, seen):
    data = (ll.llama_token_data * VOCAB)(*[ll.llama_token_data(i, v, 0.0) for i, v in enumerate(values)])
    array = ll.llama_token_data_array(data, VOCAB, -1, False)
    for token in seen:
        ll.llama_sampler_accept(sampler, token)
    ll.llama_sampler_apply(sampler, ctypes.byref(array))
    kept = [(array.data[i].id, float(array.data[i].logit)) for i in range(array.size)]
    left = sorted((token, round(logit, 5)) for token, logit in kept if logit > -1e30)
    ll.llama_sampler_free(sampler)
    return left


def main(path):
    ll.llama_backend_init()
    parameters = ll.llama_model_default_params()
    parameters.vocab_only = True
    model = ll.llama_model_load_from_file(path.encode(), parameters)
    vocab = ll.llama_model_get_vocab(model)
    repeated = [1, 2, 3, 4, 9, 1, 2, 3, 5, 7, 2, 3, 8, 1, 2, 3]

    def dry(multiplier, base, allowed, window):
        return ll.llama_sampler_init_dry(vocab, multiplier, base, allowed, window, None, 0)

    cases = [
        (dict(top_k=5), lambda: ll.llama_sampler_init_top_k(5), []),
        (dict(top_p=0.6), lambda: ll.llama_sampler_init_top_p(0.6, 1), []),
        (dict(top_p=0.95), lambda: ll.llama_sampler_init_top_p(0.95, 1), []),
        (dict(min_p=0.2), lambda: ll.llama_sampler_init_min_p(0.2, 1), []),
        (dict(typical_p=0.3), lambda: ll.llama_sampler_init_typical(0.3, 1), []),
        (dict(typical_p=0.9), lambda: ll.llama_sampler_init_typical(0.9, 1), []),
        (dict(top_n_sigma=1.0), lambda: ll.llama_sampler_init_top_n_sigma(1.0), []),
        (dict(xtc=dict(probability=1.0, threshold=0.05)), lambda: ll.llama_sampler_init_xtc(1.0, 0.05, 1, 3), []),
        (dict(xtc=dict(probability=1.0, threshold=0.3)), lambda: ll.llama_sampler_init_xtc(1.0, 0.3, 1, 3), []),
        (dict(mirostat=dict(tau=2.5, eta=0.1)), lambda: ll.llama_sampler_init_mirostat_v2(3, 2.5, 0.1), []),
        (dict(repetition_penalty=1.3, presence_penalty=0.2, frequency_penalty=0.1, penalty_window=12),
         lambda: ll.llama_sampler_init_penalties(VOCAB, 12, 1.3, 0.1, 0.2), repeated),
        (dict(dry=dict(multiplier=0.8, base=1.75, allowed_length=2, window=0, sequence_breakers=[])),
         lambda: dry(0.8, 1.75, 2, 64), repeated),
        (dict(dry=dict(multiplier=1.1, base=1.5, allowed_length=1, window=9, sequence_breakers=[])),
         lambda: dry(1.1, 1.5, 1, 9), repeated),
    ]
    vectors = logits()
    recorded = []
    for settings, make, seen in cases:
        for name, values in vectors.items():
            recorded.append(dict(settings=settings, seen=seen, logits=name, left=apply(make(), values, seen)))
    folder = os.path.dirname(os.path.abspath(__file__))
    with open(f"{folder}/samplers.json", "w") as out:
        json.dump(dict(logits=vectors, cases=recorded), out, separators=(",", ":"))
    print(len(recorded), "cases")


if __name__ == "__main__":
    main(sys.argv[1])
