#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets beside itself: small inputs that are accepted, from which a fuzzer goes on."""

import json
import struct
from pathlib import Path

HERE = Path(__file__).parent
BASE = dict(
    vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=128, rms_norm_eps=1e-6, rope_theta=10000.0, hidden_act="silu",
)
FAMILIES = ["llama", "mistral", "qwen2", "qwen3", "phi3", "gemma2", "gemma3_text", "smollm3", "olmo2", "granite"]


def put(target, name, content):
    content = content if isinstance(content, bytes) else content.encode()
    (HERE / target / name).write_bytes(content)


def config():
    for family in FAMILIES:
        act = {"hidden_activation": "gelu_pytorch_tanh"} if family.startswith("gemma") else {}
        put("config", family, json.dumps({"model_type": family, **BASE, **act}))
    scalings = {
        "linear": {"rope_type": "linear", "factor": 2.0},
        "dynamic": {"rope_type": "dynamic", "factor": 2.0},
        "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
        "llama3": {
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    }
    for name, scaling in scalings.items():
        put("config", name, json.dumps({"model_type": "llama", **BASE, "rope_scaling": scaling}))
    long = {"type": "longrope", "short_factor": [1.0, 1.0], "long_factor": [2.0, 3.0]}
    put("config", "longrope", json.dumps(
        {"model_type": "phi3", **BASE, "rope_scaling": long, "original_max_position_embeddings": 64}))
    put("config", "bert", json.dumps(dict(
        model_type="bert", vocab_size=64, hidden_size=16, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=32, max_position_embeddings=64, hidden_act="gelu", type_vocab_size=2)))


def safetensors():
    for dtype, size in [("F32", 4), ("F16", 2), ("BF16", 2), ("I8", 1)]:
        header = {"a": {"dtype": dtype, "shape": [2, 3], "data_offsets": [0, 6 * size]},
                  "b": {"dtype": dtype, "shape": [1], "data_offsets": [6 * size, 7 * size]}}
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        put("safetensors", dtype, struct.pack("<Q", len(text)) + text + bytes(range(7 * size)))
    put("safetensors", "empty", struct.pack("<Q", 2) + b"{}")


def gguf():
    """Header, a few keys, a vocabulary and two tensors, in each of two architectures."""
    def text(value):
        return struct.pack("<Q", len(value.encode())) + value.encode()

    def pair(key, kind, content):
        return text(key) + struct.pack("<I", kind) + content

    def texts(values):
        return struct.pack("<IQ", 8, len(values)) + b"".join(text(v) for v in values)

    for name in ["llama", "gemma3"]:
        sizes = dict(block_count=1, context_length=64, embedding_length=32, feed_forward_length=32)
        sizes.update({"attention.head_count": 2, "attention.head_count_kv": 1, "attention.sliding_window": 8})
        pairs = [pair("general.architecture", 8, text(name)), pair("tokenizer.ggml.model", 8, text("gpt2")),
                 pair("tokenizer.ggml.tokens", 9, texts(["a", "b", "ab", "<s>"])),
                 pair("tokenizer.ggml.token_type", 9, struct.pack("<IQ4i", 5, 4, 1, 1, 1, 3)),
                 pair("tokenizer.ggml.merges", 9, texts(["a b"])), pair("tokenizer.ggml.bos_token_id", 4, struct.pack("<I", 3)),
                 pair("tokenizer.chat_template", 8, text("{{ bos_token }}")), pair("general.alignment", 4, struct.pack("<I", 32)),
                 pair(f"{name}.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", 1e-6))]
        pairs += [pair(f"{name}.{key}", 4, struct.pack("<I", value)) for key, value in sizes.items()]
        tensors = [("token_embd.weight", (32, 4), 2, 72), ("output_norm.weight", (32,), 0, 128)]
        head, body = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)) + b"".join(pairs), b""
        for tensor, shape, kind, size in tensors:
            head += text(tensor) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, len(body))
            body += bytes(i % 60 for i in range(size)) + b"\0" * (-size % 32)
        put("gguf", name, head + b"\0" * (-len(head) % 32) + body)


def template():
    turns = "{% for message in messages %}{{ message.role }}: {{ message.content | trim }}\n{% endfor %}"
    put("template", "loop", turns)
    put("template", "checks", "{% if messages[0].role != 'user' %}{{ raise_exception('no') }}{% endif %}" + turns)
    put("template", "macro", "{% macro m(x) %}<{{ x }}>{% endmacro %}{% set ns = namespace(n=0) %}"
        "{% for message in messages %}{% set ns.n = ns.n + 1 %}{{ m(message.content.split(' ')[0]) }}{% endfor %}{{ ns.n }}")
    put("template", "open", turns + "{% if add_generation_prompt %}assistant: {% endif %}{{ eos_token }}")


def tokenizer():
    shared = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [
        {"id": 0, "content": "</s>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}],
        "normalizer": None, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None}
    vocab = {"</s>": 0, "e": 1, "x": 2, "i": 3, "t": 4, "ex": 5, "it": 6, "exit": 7}
    bpe = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
           "end_of_word_suffix": None, "fuse_unk": False, "vocab": vocab, "merges": [["e", "x"], ["i", "t"], ["ex", "it"]]}
    put("tokenizer", "bpe", json.dumps({**shared, "model": bpe}))
    put("tokenizer", "bytes", json.dumps({**shared, "model": bpe, "decoder": {"type": "ByteLevel"}, "pre_tokenizer": {
        "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}}))
    put("tokenizer", "words", json.dumps({**shared, "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "x"}}))
    put("tokenizer", "pieces", json.dumps({**shared, "model": {
        "type": "WordPiece", "vocab": vocab, "unk_token": "x", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}}))
    put("tokenizer", "unigram", json.dumps({**shared, "model": {
        "type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["e", -1.0], ["exit", -2.0]], "byte_fallback": False}}))


def sampler():
    put("sampler", "greedy", json.dumps({"temperature": 0.0, "repetition_penalty": 1.1, "penalty_window": 4}))
    put("sampler", "chain", json.dumps({
        "temperature": 0.7, "top_k": 5, "top_p": 0.9, "min_p": 0.05, "typical_p": 0.9, "top_n_sigma": 1.5,
        "xtc": {"probability": 0.5, "threshold": 0.1}, "presence_penalty": 0.1, "frequency_penalty": 0.1,
        "dry": {"multiplier": 0.8}, "logit_bias": {"3": 1.5, "40": -2.0}, "seed": 7,
        "order": ["top_k", "penalties", "dry", "temperature", "top_n_sigma", "typical", "top_p", "min_p", "xtc"]}))
    put("sampler", "mirostat", json.dumps({"temperature": 1.0, "mirostat": {"tau": 3.0, "eta": 0.2}}))


def rows():
    pair = '{"instruction": "Add.", "input": "1 and 2", "output": "3", "source": "s", "group": 7, "license": "MIT"}'
    chat = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": null, "tool_calls": ' \
        '[{"function": {"name": "f", "arguments": "{}"}}]}, {"role": "tool", "content": "r"}], "tools": [{"name": "f"}]}'
    prefer = '{"prompt": "q", "chosen": "\\n\\nHuman: q\\n\\nAssistant: good", "rejected": "bad"}'
    share = '{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "kto_tag": true}'
    put("rows", "lines", "\0" + "\n".join([pair, chat, prefer, share, '{"text": "t"}', "bad"]))
    put("rows", "list", "\1[" + ",\n".join([pair, share, "7"]) + "]")
    put("rows", "commas", '\2question,answer,label\n"a ""b""\nc",d,true\nshort\n')
    put("rows", "tabs", "\3prompt\tcompletion\na\tb\n")


def texts():
    put("texts", "mojibake", "CafÃ© donâ€™t Ã¢â‚¬â„¢")
    put("texts", "markup", "<p>a &amp; b</p><ul><li>c</li></ul><script>x</script>```\n<p>\n```")
    put("texts", "private", "ann@example.org +49 30 5550 1234 4111 1111 1111 1111 DE89 3704 0044 0532 0130 00 12345678Z 2001:db8::1")
    put("texts", "page", "Home\n\nThe number of the rivers that have... One.\n\n- a\n- b\n# c {d}")


def documents():
    def pdf(stream, font="/Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding"):
        objects = [
            "<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
            f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream", f"<< {font} >>"]
        file, table = "%PDF-1.4\n", "0000000000 65535 f \n"
        for number, content in enumerate(objects, 1):
            table += f"{len(file):010} 00000 n \n"
            file += f"{number} 0 obj\n{content}\nendobj\n"
        return file + f"xref\n0 6\n{table}trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n{len(file)}\n%%EOF\n"

    text = "BT /F1 24 Tf 72 700 Td (Hello page) Tj 0 -30 Td [(a) -250 (b)] TJ ET"
    put("documents", "page", "\0" + pdf(text))
    put("documents", "font", "\0" + pdf(text, "/Type /Font /Subtype /Type0 /BaseFont /F /Encoding /Identity-H /DescendantFonts "
        "[<< /Type /Font /Subtype /CIDFontType2 /BaseFont /F /CIDSystemInfo << /Registry (A) /Ordering (I) /Supplement 0 >> /DW 1000 >>]"))
    body = '<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>A &amp; b</w:t></w:r></w:p>' \
        "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>c</w:t><w:tab/></w:r></w:p></w:tc></w:tr></w:tbl>"
    put("documents", "office", "\2<w:document><w:body>" + body + "</w:body></w:document>")
    put("documents", "html", "\3<html><body><nav>x</nav><h1>T</h1><p>a <b>b</b></p><table><tr><td>c</td></tr></table></body></html>")
    put("documents", "markdown", "\4# T\n\na\n")


if __name__ == "__main__":
    for make in (config, safetensors, gguf, template, tokenizer, sampler, rows, texts, documents):
        (HERE / make.__name__).mkdir(exist_ok=True)
        make()
