"""GGUF files, read with the gguf package, as float32 Hugging Face folders, and the way back."""

import json

import gguf
import numpy as np
from safetensors.numpy import save_file

from . import bpe, k_blocks

CONTROL_TOKEN = 3
ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
# GGUF's names, and transformers' for the same tensors.
NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def interleave_rotary_rows(w, heads):
    """Rows of a head from (first halves, second halves) to pairs: llama.cpp's order for arch llama."""
    shape = w.shape
    return w.reshape(heads, 2, shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(shape)


def separate_rotary_rows(w, heads):
    """The inverse of interleave_rotary_rows."""
    shape = w.shape
    return w.reshape(heads, shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(shape)


def hugging_face_name(name):
    stem, _, suffix = name.rpartition(".")
    if stem.startswith("blk."):
        _, layer, part = stem.split(".", 2)
        return f"model.layers.{layer}.{LAYER_NAMES[part]}.{suffix}"
    return f"{NAMES[stem]}.{suffix}"


def gguf_name(name):
    stem, _, suffix = name.rpartition(".")
    if stem.startswith("model.layers."):
        layer, part = stem.removeprefix("model.layers.").split(".", 1)
        inverse = {hf: g for g, hf in LAYER_NAMES.items()}
        return f"blk.{layer}.{inverse[part]}.{suffix}"
    inverse = {hf: g for g, hf in NAMES.items()}
    return f"{inverse[stem]}.{suffix}"


def _config(field, weights, rope_factors):
    arch = field("general.architecture")
    heads = field(f"{arch}.attention.head_count")
    hidden = field(f"{arch}.embedding_length")
    context = field(f"{arch}.context_length")
    config = {
        "architectures": [ARCHITECTURES[arch]],
        "model_type": arch,
        "hidden_size": hidden,
        "intermediate_size": field(f"{arch}.feed_forward_length"),
        "num_hidden_layers": field(f"{arch}.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": field(f"{arch}.attention.head_count_kv") or heads,
        "head_dim": field(f"{arch}.attention.key_length")
        or field(f"{arch}.rope.dimension_count")
        or hidden // heads,
        "rms_norm_eps": field(f"{arch}.attention.layer_norm_rms_epsilon"),
        "rope_theta": field(f"{arch}.rope.freq_base") or 10000.0,
        "max_position_embeddings": context,
        "vocab_size": weights["model.embed_tokens.weight"].shape[0],
        "tie_word_embeddings": "lm_head.weight" not in weights,
        "hidden_act": "silu",
        "bos_token_id": field("tokenizer.ggml.bos_token_id"),
        "eos_token_id": field("tokenizer.ggml.eos_token_id"),
        "torch_dtype": "float32",
    }
    window = field(f"{arch}.attention.sliding_window")
    if window:  # a llama with a window is a Mistral
        config |= {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "sliding_window": window}
    scaling = field(f"{arch}.rope.scaling.type")
    if scaling not in (None, "none"):
        config["rope_scaling"] = {"rope_type": scaling, "type": scaling, "factor": field(f"{arch}.rope.scaling.factor")}
        original = field(f"{arch}.rope.scaling.original_context_length")
        if original:
            config["rope_scaling"]["original_max_position_embeddings"] = original
    if rope_factors is not None:
        # longrope with equal factors and no extension is nothing but a factor per frequency.
        factors = rope_factors.tolist()
        config["rope_scaling"] = {
            "type": "longrope",
            "rope_type": "longrope",
            "short_factor": factors,
            "long_factor": factors,
            "original_max_position_embeddings": context,
        }
    return config


def _write_tokenizer(folder, field):
    tokens, types = field("tokenizer.ggml.tokens"), field("tokenizer.ggml.token_type")
    specials = {t: i for i, t in enumerate(tokens) if types[i] == CONTROL_TOKEN}
    bos = field("tokenizer.ggml.bos_token_id")
    obj = bpe.tokenizer_json(
        tokens,
        field("tokenizer.ggml.merges"),
        specials,
        field("tokenizer.ggml.pre"),
        (tokens[bos], bos) if field("tokenizer.ggml.add_bos_token") else None,
    )
    (folder / "tokenizer.json").write_text(json.dumps(obj, ensure_ascii=False), encoding="utf-8")


def read(path, folder):
    """Writes the float32 folder of a GGUF file and returns the set of its tensors' types."""
    reader = gguf.GGUFReader(path)

    def field(key):
        return reader.fields[key].contents() if key in reader.fields else None

    weights, rope_factors, types = {}, None, set()
    arch = field("general.architecture")
    heads = field(f"{arch}.attention.head_count")
    rows = {"attn_q": heads, "attn_k": field(f"{arch}.attention.head_count_kv") or heads}
    for t in reader.tensors:
        values = gguf.dequantize(t.data, t.tensor_type).astype(np.float32)
        types.add(t.tensor_type.name)
        if t.name == "rope_freqs.weight":
            rope_factors = values
            continue
        part = t.name.split(".")[-2]
        if arch == "llama" and part in rows:
            values = separate_rotary_rows(values, rows[part])
        weights[hugging_face_name(t.name)] = np.ascontiguousarray(values)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = _config(field, weights, rope_factors)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    _write_tokenizer(folder, field)
    return types


def _write_rope_scaling(writer, scaling):
    if not scaling:
        return
    writer.add_rope_scaling_type(gguf.RopeScalingType(scaling["rope_type"]))
    writer.add_rope_scaling_factor(scaling["factor"])
    if "original_max_position_embeddings" in scaling:
        writer.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])


def _encode(values, file_type):
    """(bytes, type) of a tensor; one of one dimension stays float32."""
    name = file_type if values.ndim == 2 else "F32"
    values = np.ascontiguousarray(values)
    quant = gguf.GGMLQuantizationType[name]
    return k_blocks.quantize(values, name) if name in k_blocks.BITS else gguf.quantize(values, quant), quant


def write(path, config, weights, file_type, pre, with_bos=False, rope_factors=None, other_types=None):
    """Writes Hugging Face weights (float32 arrays by name) as a GGUF file with the tiny tokenizer. other_types: part of
    a name -> the type of such tensors."""
    arch, heads = config["model_type"], config["num_attention_heads"]
    arch = "llama" if arch == "mistral" else arch
    kv_heads = config["num_key_value_heads"]
    writer = gguf.GGUFWriter(path, arch)
    writer.add_name(f"Tiny {arch}")
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    if config.get("sliding_window"):
        writer.add_sliding_window(config["sliding_window"])
    _write_rope_scaling(writer, config.get("rope_scaling"))
    if arch == "llama":
        writer.add_vocab_size(config["vocab_size"])
        writer.add_rope_dimension_count(config["head_dim"])
    if arch == "qwen3":
        writer.add_key_length(config["head_dim"])
        writer.add_value_length(config["head_dim"])
    writer.add_file_type(getattr(gguf.LlamaFileType, f"MOSTLY_{file_type}", gguf.LlamaFileType.ALL_F32))
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)

    tokens = bpe.tiny_vocabulary()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([CONTROL_TOKEN if t in bpe.SPECIALS else 1 for t in tokens])
    writer.add_token_merges(bpe.MERGES)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(3)
    writer.add_add_bos_token(with_bos)
    writer.add_chat_template(bpe.CHAT_TEMPLATE)

    if rope_factors is not None:
        writer.add_tensor("rope_freqs.weight", np.asarray(rope_factors, np.float32))
    for name, values in weights.items():
        values = np.asarray(values, np.float32)
        if arch == "llama" and ".q_proj." in name:
            values = interleave_rotary_rows(values, heads)
        if arch == "llama" and ".k_proj." in name:
            values = interleave_rotary_rows(values, kv_heads)
        chosen = [other for part, other in (other_types or {}).items() if part in name]
        data, quant = _encode(values, chosen[0] if chosen else file_type)
        writer.add_tensor(gguf_name(name), data, raw_dtype=quant)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
