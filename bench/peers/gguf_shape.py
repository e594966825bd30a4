"""Write a GGUF file of a model's shape with random weights, for timing.

Blocks are random bytes with small scales put where the format keeps them: the time of a product does not depend on
the values, as long as they are ordinary numbers.
"""

import numpy
from gguf import GGMLQuantizationType as Type
from gguf import GGUFWriter

# Block format: elements, bytes, offsets of its float16 scales. Source: ggml-common.h.
BLOCKS = {
    Type.Q8_0: (32, 34, [0]),
    Type.Q6_K: (256, 210, [208]),
    Type.Q5_K: (256, 176, [0, 2]),
    Type.Q4_K: (256, 144, [0, 2]),
    Type.Q4_0: (32, 18, [0]),
    Type.Q4_1: (32, 20, [0, 2]),
    Type.Q5_1: (32, 24, [0, 2]),
    Type.Q3_K: (256, 110, [108]),
    Type.Q2_K: (256, 84, [80, 82]),
}


def random_blocks(rng, rows, columns, kind):
    """A matrix [rows, columns] as the bytes of its blocks; one row's blocks serve a run of rows."""
    elements, size, scales = BLOCKS[kind]
    count = columns // elements
    some = min(rows, 64)
    data = rng.integers(0, 256, (some, count, size), dtype=numpy.uint8)
    scale = numpy.frombuffer(numpy.float16(0.001).tobytes(), numpy.uint8)
    for at in scales:
        data[:, :, at:at + 2] = scale
    data = data.reshape(some, count * size)
    return numpy.tile(data, (-(-rows // some), 1))[:rows]


def random_bf16(rng, rows, columns):
    some = min(rows, 64)
    values = rng.standard_normal((some, columns), numpy.float32) * 0.02
    data = (values.view(numpy.uint32) >> 16).astype(numpy.uint16)
    return numpy.tile(data, (-(-rows // some), 1))[:rows].view(numpy.uint8)


def write(path, shape, kind):
    """shape: a config.json as a dict. kind: a gguf quantization type, the same for every matrix."""
    rng = numpy.random.default_rng(1)
    hidden, heads = shape["hidden_size"], shape["num_attention_heads"]
    kv_heads, vocab = shape["num_key_value_heads"], shape["vocab_size"]
    head_dim = shape.get("head_dim") or hidden // heads
    arch = shape["model_type"]
    writer = GGUFWriter(path, arch)
    writer.add_block_count(shape["num_hidden_layers"])
    writer.add_context_length(shape["max_position_embeddings"])
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(shape["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(shape["rope_theta"])
    writer.add_layer_norm_rms_eps(shape["rms_norm_eps"])
    writer.add_vocab_size(vocab)
    writer.add_tokenizer_model("no_vocab")

    def matrix(name, rows, columns):
        if kind == Type.BF16:
            writer.add_tensor(name, random_bf16(rng, rows, columns), raw_dtype=Type.BF16)
        else:
            writer.add_tensor(name, random_blocks(rng, rows, columns, kind), raw_dtype=kind)

    def ones(name, size):
        writer.add_tensor(name, numpy.ones(size, numpy.float32))

    matrix("token_embd.weight", vocab, hidden)
    if not shape["tie_word_embeddings"]:
        matrix("output.weight", vocab, hidden)
    ones("output_norm.weight", hidden)
    for i in range(shape["num_hidden_layers"]):
        layer = f"blk.{i}."
        ones(layer + "attn_norm.weight", hidden)
        ones(layer + "ffn_norm.weight", hidden)
        matrix(layer + "attn_q.weight", heads * head_dim, hidden)
        matrix(layer + "attn_k.weight", kv_heads * head_dim, hidden)
        matrix(layer + "attn_v.weight", kv_heads * head_dim, hidden)
        matrix(layer + "attn_output.weight", hidden, heads * head_dim)
        if arch == "qwen3":
            ones(layer + "attn_q_norm.weight", head_dim)
            ones(layer + "attn_k_norm.weight", head_dim)
        matrix(layer + "ffn_gate.weight", shape["intermediate_size"], hidden)
        matrix(layer + "ffn_up.weight", shape["intermediate_size"], hidden)
        matrix(layer + "ffn_down.weight", hidden, shape["intermediate_size"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
