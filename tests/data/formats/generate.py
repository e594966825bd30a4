#!/usr/bin/env python3
"""Writes the data beside this file: numbers by mlx and by the gguf package, and tiny GGUF files.

    python -m venv venv && venv/bin/pip install "mlx[cpu]" gguf numpy && venv/bin/python generate.py

The files are committed; this is how they came about and needs running only to change them.
"""

import pathlib

import gguf
import mlx.core as mx
import numpy as np

HERE = pathlib.Path(__file__).parent
CORPUS = HERE.parent.parent / "fuzz" / "formats" / "corpus"
RANDOM = np.random.default_rng(20)


def mlx_affine():
    """affine.bin: per case five int32 (bits, group size, scale type, rows, columns), then the bytes of codes,
    scales, biases, and what mlx makes of them: codes as u8 and values as f32."""
    types = [mx.float16, mx.bfloat16, mx.float32]
    with open(HERE / "affine.bin", "wb") as out:
        for index, (bits, group) in enumerate([(b, g) for b in (2, 3, 4, 5, 6, 8) for g in (32, 64, 128)]):
            which = index % 3
            values = mx.array(RANDOM.normal(size=(2, 256)).astype(np.float32)).astype(types[which])
            codes, scales, biases = mx.quantize(values, group_size=group, bits=bits)
            ones = mx.ones(scales.shape, mx.float32)
            integers = mx.dequantize(codes, ones, mx.zeros(scales.shape, mx.float32), group_size=group, bits=bits)
            wide = mx.dequantize(
                codes, scales.astype(mx.float32), biases.astype(mx.float32), group_size=group, bits=bits
            )
            out.write(np.array([bits, group, which, 2, 256], np.int32).tobytes())
            out.write(np.array(codes).tobytes())
            for side in (scales, biases):
                raw = side.view(mx.uint32 if which == 2 else mx.uint16)
                out.write(np.array(raw).tobytes())
            out.write(np.array(integers).astype(np.uint8).tobytes())
            out.write(np.array(wide).astype(np.float32).tobytes())


BLOCKS = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]


def gguf_blocks():
    """blocks.bin: per type three int32 (position in BLOCKS, rows, columns), the file's bytes, values as f32."""
    with open(HERE / "blocks.bin", "wb") as out:
        for index, name in enumerate(BLOCKS):
            kind = gguf.GGMLQuantizationType[name]
            values = RANDOM.normal(size=(3, 64)).astype(np.float32)
            raw = gguf.quants.quantize(values, kind)
            out.write(np.array([index, 3, 64], np.int32).tobytes())
            out.write(raw.tobytes())
            out.write(gguf.quants.dequantize(raw, kind).astype(np.float32).tobytes())


K_FACTORS = {"Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}


def k_bytes(kind, rows, columns, random, factors=None):
    """Valid super-blocks of random bytes: the package cannot make K types, only read them. factors: f16 values that d
    and dmin take in turn, else random ones."""
    size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]][1]
    raw = random.integers(0, 256, (rows, columns // 256, size), dtype=np.uint8)
    for at in K_FACTORS[kind]:
        values = random.normal(scale=0.01, size=(rows, columns // 256))
        if factors is not None:
            values = np.resize(factors, values.shape)
        raw[:, :, at : at + 2] = values.astype(np.float16)[..., None].view(np.uint8)
    return raw.reshape(rows, -1)


def k_blocks():
    """k_blocks.bin: per case three int32 (position in K_FACTORS, rows, columns), the file's bytes, values as f32. Each
    type as random bytes; with d that is 0, subnormal, negative and the largest; with all bits set and none."""
    random = np.random.default_rng(21)
    edges = np.array([0, 6e-8, -5.9e-5, 65504, -1], np.float16)
    with open(HERE / "k_blocks.bin", "wb") as out:
        for index, name in enumerate(K_FACTORS):
            kind = gguf.GGMLQuantizationType[name]
            for case in range(4):
                raw = k_bytes(name, 3, 512, random, edges if case else None)
                if case > 1:
                    parts = raw.reshape(6, -1)
                    kept = [parts[:, at : at + 2].copy() for at in K_FACTORS[name]]
                    parts[:] = 255 if case == 2 else 0
                    for at, values in zip(K_FACTORS[name], kept):
                        parts[:, at : at + 2] = values
                out.write(np.array([index, 3, 512], np.int32).tobytes())
                out.write(raw.tobytes())
                out.write(gguf.quants.dequantize(raw, kind).astype(np.float32).tobytes())


def k_seeds():
    """Fuzzing seeds, one a K type."""
    random = np.random.default_rng(22)
    for name in K_FACTORS:
        writer = gguf.GGUFWriter(CORPUS / "fuzz_gguf" / name.lower(), "llama")
        writer.add_block_count(1)
        writer.add_context_length(8)
        writer.add_embedding_length(256)
        writer.add_feed_forward_length(32)
        writer.add_head_count(2)
        kind = gguf.GGMLQuantizationType[name]
        for tensor in ("token_embd.weight", "blk.0.attn_q.weight"):
            writer.add_tensor(tensor, k_bytes(name, 2, 256, random), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def byte_alphabet():
    """The 256 characters that stand for bytes in byte-level BPE."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(len(rest))]


def tiny_gguf(path, arch, pre, kind, first, specials, **keys):
    """A model of one layer. specials: (text, token type); in front of the alphabet if first, else behind it."""
    writer = gguf.GGUFWriter(path, arch)
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(16)
    alphabet = [(c, 1) for c in byte_alphabet()] + [("\u0120t", 1), ("he", 1), ("\u0120the", 1)]
    tokens = specials + alphabet if first else alphabet + specials
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([t for t, _ in tokens])
    writer.add_token_types([k for _, k in tokens])
    writer.add_token_merges(["\u0120 t", "h e", "\u0120t he"])
    names = [t for t, _ in tokens]
    writer.add_bos_token_id(names.index(specials[0][0]))
    writer.add_eos_token_id(names.index(specials[1][0]))
    for key, value in keys.items():
        getattr(writer, "add_" + key)(value)
    kind = gguf.GGMLQuantizationType[kind]

    def matrix(name, rows, columns):
        values = RANDOM.normal(size=(rows, columns)).astype(np.float32)
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)

    def vector(name, size):
        writer.add_tensor(name, RANDOM.normal(size=size).astype(np.float32))

    matrix("token_embd.weight", len(tokens), 64)
    vector("output_norm.weight", 64)
    vector("blk.0.attn_norm.weight", 64)
    vector("blk.0.ffn_norm.weight", 64)
    matrix("blk.0.attn_q.weight", 64, 64)
    matrix("blk.0.attn_k.weight", 32, 64)
    matrix("blk.0.attn_v.weight", 32, 64)
    matrix("blk.0.attn_output.weight", 64, 64)
    matrix("blk.0.ffn_gate.weight", 96, 64)
    matrix("blk.0.ffn_up.weight", 96, 64)
    matrix("blk.0.ffn_down.weight", 64, 96)
    if arch == "llama":
        vector("blk.0.attn_q.bias", 64)
        vector("blk.0.attn_k.bias", 32)
    if arch == "qwen3":
        vector("blk.0.attn_q_norm.weight", 16)
        vector("blk.0.attn_k_norm.weight", 16)
    if pre == "llama-bpe":
        vector("rope_freqs.weight", 8)
        matrix("output.weight", len(tokens), 64)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tiny_files():
    control, user, unused = 3, 4, 5
    tiny_gguf(HERE / "smollm.gguf", "llama", "smollm", "Q4_1", True,
              [("<|im_start|>", control), ("<|im_end|>", control)], add_bos_token=False,
              chat_template="{{ messages }}")
    tiny_gguf(HERE / "llama-bpe.gguf", "llama", "llama-bpe", "Q8_0", False,
              [("<|begin_of_text|>", control), ("<|end_of_text|>", control), ("<|eot_id|>", control)],
              eot_token_id=261, chat_template=[{"name": "default", "template": "A"}, {"name": "tool_use", "template": "B"}])
    tiny_gguf(HERE / "qwen2.gguf", "qwen3", "qwen2", "Q5_0", False,
              [("<|endoftext|>", control), ("<|im_end|>", control), ("<think>", user), ("[PAD262]", unused)],
              add_bos_token=False)
    tiny_gguf(HERE / "gpt-2.gguf", "qwen2", "gpt-2", "Q5_1", False,
              [("<|endoftext|>", control), ("<|end|>", control)])


def tiny_safetensors(config, tensors):
    """A fuzzing seed: config, a 0, the file. tensors: name -> (dtype, shape, bytes)."""
    import json

    header, data = {"__metadata__": {"format": "mlx"}}, b""
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    return json.dumps(config).encode() + b"\0" + len(text).to_bytes(8, "little") + text + data


def corpora():
    folder = CORPUS / "fuzz_safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    for bits in (2, 3, 4, 5, 6, 8):
        words = 32 * bits // 32
        seed = tiny_safetensors(
            {"quantization": {"group_size": 32, "bits": bits, "a": {"group_size": 16, "bits": bits}}},
            {
                "b.weight": ("U32", [2, words], bytes(8 * words)),
                "b.scales": ("F16", [2, 1], bytes(4)),
                "b.biases": ("F16", [2, 1], bytes(4)),
                "a.weight": ("U32", [1, words], bytes(4 * words)),
                "a.scales": ("F32", [1, 2], bytes(8)),
                "a.biases": ("F32", [1, 2], bytes(8)),
                "norm": ("BF16", [3], bytes(6)),
                "x": ("F64", [], bytes(8)),
                "e.weight": ("F16", [2, 2, 1], bytes(8)),
            },
        )
        (folder / f"affine-{bits}").write_bytes(seed)
    folder = CORPUS / "fuzz_gguf"
    folder.mkdir(parents=True, exist_ok=True)
    for index, kind in enumerate(BLOCKS + ["F32", "F16", "BF16"]):
        writer = gguf.GGUFWriter(folder / kind.lower(), ["llama", "qwen2", "qwen3"][index % 3])
        writer.add_block_count(1)
        writer.add_context_length(8)
        writer.add_embedding_length(32)
        writer.add_feed_forward_length(32)
        writer.add_head_count(2)
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(2.0)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(["smollm", "llama-bpe", "qwen2", "gpt-2"][index % 4])
        writer.add_token_list(["a", "b", "ab", "<s>", "<t>", "[PAD]"])
        writer.add_token_types([1, 1, 1, 3, 4, 5])
        writer.add_token_merges(["a b"])
        writer.add_bos_token_id(3)
        writer.add_eos_token_id(4)
        writer.add_chat_template("{{ messages }}")
        quantization = gguf.GGMLQuantizationType[kind]
        values = RANDOM.normal(size=(4, 32)).astype(np.float32)
        for name in ("token_embd.weight", "blk.0.attn_q.weight"):
            writer.add_tensor(name, gguf.quants.quantize(values, quantization), raw_dtype=quantization)
        writer.add_tensor("blk.0.attn_q.bias", values[0])
        if index % 2:
            writer.add_tensor("rope_freqs.weight", values[0][:8])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def sentence_piece_seed():
    """A fuzzing seed with a vocabulary of scores; draws no random numbers."""
    writer = gguf.GGUFWriter(CORPUS / "fuzz_gguf" / "sentence-piece", "llama")
    writer.add_block_count(1)
    writer.add_context_length(8)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(32)
    writer.add_head_count(2)
    tokens = ["<unk>", "<s>", "</s>", "<0x41>", "a", "b", "\u2581", "ab", "\u2581a", "<m>", "[PAD]", "\u2581ab"]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0, 0.0, 0.0, 0.0, -4.0, -5.0, -6.0, -1.0, -2.0, 0.0, -1000.0, -3.0])
    writer.add_token_types([2, 3, 3, 6, 1, 1, 1, 1, 1, 4, 5, 1])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_space_prefix(True)
    writer.add_remove_extra_whitespaces(True)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def parts():
    """A golden file as gguf's writer splits it: the first of three parts has metadata alone. No random numbers."""
    golden = HERE.parent.parent / "golden" / "gguf" / "qwen3-Q8_0.gguf"
    reader = gguf.GGUFReader(golden)
    folder = HERE / "parts"
    folder.mkdir(exist_ok=True)
    writer = gguf.GGUFWriter(folder / "qwen3.gguf", "qwen3", split_max_tensors=8, small_first_shard=True)
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":
            sub_type = field.types[1] if len(field.types) > 1 else None
            writer.add_key_value(field.name, field.contents(), field.types[0], sub_type)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    mlx_affine()
    gguf_blocks()
    tiny_files()
    corpora()
    sentence_piece_seed()
    parts()
    k_blocks()
    k_seeds()
