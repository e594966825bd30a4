"""Tiny random checkpoints in Hugging Face and MLX form: what each one varies, and how it is written."""

import json
import shutil
import zlib
from dataclasses import dataclass, field

import numpy as np

from . import bpe, gguf_folder

VOCABULARY = 288
ARCHITECTURES = gguf_folder.ARCHITECTURES | {"mistral": "MistralForCausalLM"}
COMBINED = {"llava": "LlavaForConditionalGeneration", "mistral3": "Mistral3ForConditionalGeneration"}
ENCODER = {
    "vision_tower.patch_conv.weight": (32, 3, 4, 4),
    "vision_tower.transformer.layers.0.attention.q_proj.weight": (32, 32),
    "vision_tower.transformer.layers.0.attention_norm.weight": (32,),
    "multi_modal_projector.linear_1.weight": (64, 32),
    "multi_modal_projector.linear_1.bias": (64,),
}
DTYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}

SHORT = "Once upon"
LONG = "The river had been rising since the early morning and by noon"
LONGER = "She counted the hens twice, sat down on the top step of the ladder and waited for it to stop"


@dataclass
class Recipe:
    family: str
    name: str
    config: dict = field(default_factory=dict)  # overrides of base_config; None removes a field
    dtype: str = "bf16"
    bits: int = 0  # 0: not quantized
    group_size: int = 64
    per_layer: dict = field(default_factory=dict)  # module -> {"bits", "group_size"} or False
    shards: int = 1
    file_type: str = ""  # a GGUF file of this type instead of a folder
    other_types: dict = field(default_factory=dict)  # GGUF: part of a tensor's name -> its type
    pre: str = bpe.GPT2
    with_bos: bool = False
    rope_factors: list = None  # GGUF: rope_freqs.weight
    generation_config: dict = None
    prompts: tuple = (SHORT, LONG)
    also_transformers: bool = False  # a second fixture where the two libraries differ
    combined: str = ""  # the model_type of a checkpoint with encoders, whose text_config this is
    text_prefix: str = "language_model."  # what the text model's names begin with there
    notes: tuple = ()


def base_config(family, hidden=64, intermediate=96, layers=2, heads=2, kv_heads=1):
    config = {
        "architectures": [ARCHITECTURES[family]],
        "model_type": family,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": 32,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "use_cache": True,
    }
    if family in ("llama", "qwen3"):
        config["attention_bias"] = False
    if family == "qwen2":
        del config["head_dim"]
    return config


def wide(**more):
    """The shape whose rows hold a group of 128: 4 heads of 32, 2 key and value heads, one layer."""
    shape = {
        "hidden_size": 128, "intermediate_size": 128, "num_hidden_layers": 1,
        "num_attention_heads": 4, "num_key_value_heads": 2,
    }
    return shape | more


def make_config(recipe):
    config = base_config(recipe.family) | recipe.config
    config["torch_dtype"] = DTYPES[recipe.dtype]
    config = {k: v for k, v in config.items() if v is not None}
    if not recipe.combined:
        return config
    return {
        "architectures": [COMBINED[recipe.combined]],
        "model_type": recipe.combined,
        "text_config": config,
        "vision_config": {"model_type": "pixtral", "hidden_size": 32, "patch_size": 4},
        "image_token_index": 10,
    }


def _scale(name, config):
    """Standard deviation that keeps activations near 1, logits near 2 and attention awake."""
    if name.endswith("bias"):
        return 0.3
    if "embed_tokens" in name:
        return 2 / config["hidden_size"] ** 0.5 if config["tie_word_embeddings"] else 0.6
    if "lm_head" in name:
        return 2 / config["hidden_size"] ** 0.5
    return None


def random_weights(config, seed):
    """Float32 arrays by name, for the parameters mlx-lm's model of this config has."""
    from mlx.utils import tree_flatten
    from mlx_lm.utils import _get_classes

    model_class, args_class = _get_classes(config)
    model = model_class(args_class.from_dict(config))
    generator = np.random.Generator(np.random.PCG64(seed))
    config = config.get("text_config", config)
    weights = {}
    for name, p in sorted(tree_flatten(model.parameters())):
        noise = generator.standard_normal(p.shape).astype(np.float32)
        if p.ndim == 1 and name.endswith("weight"):
            weights[name] = 1 + 0.2 * noise
            continue
        gain = 2.0 if "o_proj" in name else 1.5
        weights[name] = noise * np.float32(_scale(name, config) or gain / p.shape[-1] ** 0.5)
    return weights


def _mlx_model(config, weights, dtype):
    import mlx.core as mx
    from mlx_lm.utils import _get_classes

    mx.set_default_device(mx.cpu)
    model_class, args_class = _get_classes(config)
    model = model_class(args_class.from_dict(config))
    cast = getattr(mx, DTYPES[dtype])
    model.load_weights([(k, mx.array(v).astype(cast)) for k, v in weights.items()])
    return model


def _quantize(model, config, recipe):
    """mlx-lm's own quantization; layers that stay as they are get `false`, as it reads them."""
    import contextlib
    import io

    from mlx_lm.utils import quantize_model

    def predicate(path, module):
        return recipe.per_layer.get(path, True)

    with contextlib.redirect_stdout(io.StringIO()):
        model, config = quantize_model(
            model, config, recipe.group_size, recipe.bits,
            quant_predicate=predicate if recipe.per_layer else None,
        )
    for path, params in recipe.per_layer.items():
        if params is False:
            config["quantization"][path] = False
    return model, config


def _text_name(name, prefix):
    """The name in a combined checkpoint of what mlx-lm calls language_model.<…>."""
    name = name.removeprefix("language_model.")
    if prefix == "model.language_model.":
        return prefix + name.removeprefix("model.") if name.startswith("model.") else name
    return prefix + name


def _save_weights(folder, model, recipe):
    import mlx.core as mx
    from mlx.utils import tree_flatten

    weights = dict(sorted(tree_flatten(model.parameters())))
    metadata = {"format": "mlx" if recipe.bits else "pt"}
    if recipe.shards == 1 and not recipe.combined:
        mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata=metadata)
        return
    names = list(weights)
    parts = [{n: weights[n] for n in names[i :: recipe.shards]} for i in range(recipe.shards)]
    if recipe.combined:  # the encoder has a file of its own, of numbers that nothing may compute with
        parts = [{_text_name(n, recipe.text_prefix): w for n, w in part.items()} for part in parts]
        outer = recipe.text_prefix.removesuffix("language_model.")
        parts.append({outer + n: mx.full(shape, float("nan"), mx.float16) for n, shape in ENCODER.items()})
    weights, weight_map, shards = {n: w for part in parts for n, w in part.items()}, {}, len(parts)
    for i, part in enumerate(parts):
        file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        mx.save_safetensors(str(folder / file), part, metadata=metadata)
        weight_map |= {n: file for n in part}
    index = {
        "metadata": {"total_size": sum(w.nbytes for w in weights.values())},
        "weight_map": dict(sorted(weight_map.items())),
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def _write_folder(folder, recipe, seed):
    from mlx_lm.utils import save_config

    config = make_config(recipe)
    model = _mlx_model(config, random_weights(config, seed), recipe.dtype)
    if recipe.bits:
        model, config = _quantize(model, config, recipe)
    _save_weights(folder, model, recipe)
    save_config(config, folder / "config.json")
    bpe.write_tiny_tokenizer(folder, recipe.pre, recipe.with_bos)
    if recipe.generation_config:
        text = json.dumps(recipe.generation_config, indent=2) + "\n"
        (folder / "generation_config.json").write_text(text)


def write(golden, recipe, attempt):
    """Writes a recipe's checkpoint under `golden`; returns (checkpoint, folder of its fixture)."""
    seed = zlib.crc32(f"{recipe.family}/{recipe.name}/{attempt}".encode())
    folder = golden / recipe.family / recipe.name
    if not recipe.file_type:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        _write_folder(folder, recipe, seed)
        return folder, folder
    folder = golden / "gguf" / recipe.name
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    path, config = golden / "gguf" / f"{recipe.name}.gguf", make_config(recipe)
    gguf_folder.write(
        path, config, random_weights(config, seed), recipe.file_type, recipe.pre,
        recipe.with_bos, recipe.rope_factors, recipe.other_types,
    )
    return path, folder


def llama3_factors(theta, dims, factor, low, high, context):
    """What llama.cpp's converter stores as rope_freqs.weight for a llama3 rope."""
    wavelengths = 2 * np.pi * theta ** (np.arange(0, dims, 2) / dims)
    smooth = (context / wavelengths - low) / (high - low)
    between = 1 / ((1 - smooth) / factor + smooth)
    result = np.where(wavelengths > context / low, factor, between)
    return np.where(wavelengths < context / high, 1.0, result).astype(np.float32).tolist()


def _affine(family, bits, group_size, dtype, name=None, **more):
    name = name or f"affine-{bits}bit-g{group_size}-{dtype}"
    shape = {"num_hidden_layers": 1, "intermediate_size": 192}
    if group_size == 128:
        shape = wide(intermediate_size=256)
    return Recipe(family, name, shape | more.pop("config", {}), dtype, bits, group_size, **more)


def _plain_recipes():
    sampling = {"do_sample": True, "temperature": 0.7, "top_p": 0.9, "top_k": 40, "eos_token_id": [2, 0]}
    yield Recipe("llama", "f32", {"intermediate_size": 64}, "f32", generation_config=sampling)
    yield Recipe("llama", "f16", dtype="f16")
    yield Recipe("llama", "bf16", dtype="bf16", pre=bpe.LLAMA_BPE, with_bos=True)
    yield Recipe("llama", "sharded", shards=3, pre=bpe.SMOLLM)
    yield Recipe("llama", "untied", {"tie_word_embeddings": False, "num_hidden_layers": 1}, dtype="f16")
    yield Recipe("llama", "biases", {"attention_bias": True, "mlp_bias": True, "num_hidden_layers": 1})
    yield Recipe(
        "llama", "head-dim",
        {"head_dim": 24, "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 1},
    )
    yield Recipe(
        "llama", "mha", {"num_key_value_heads": None, "head_dim": None, "num_hidden_layers": 1}, dtype="f16"
    )
    yield Recipe(
        "llama", "odd-sizes", dtype="f32",
        config={
            "hidden_size": 72, "intermediate_size": 100, "num_attention_heads": 3, "head_dim": None,
            "num_key_value_heads": 3, "num_hidden_layers": 1,
        },
    )


def _affine_recipes():
    dtypes = ("f16", "bf16", "f32")
    for i, bits in enumerate((2, 3, 4, 5, 6, 8)):
        for j, group_size in enumerate((32, 64, 128)):
            yield _affine("llama", bits, group_size, dtypes[(i + j) % 3])
    g64 = {"group_size": 64, "mode": "affine"}
    yield Recipe(
        "llama", "affine-mixed", wide(num_hidden_layers=2, tie_word_embeddings=False), "bf16", 4, 64,
        per_layer={
            "model.embed_tokens": {"bits": 6, **g64},
            "lm_head": {"bits": 8, "group_size": 32, "mode": "affine"},
            "model.layers.0.self_attn.v_proj": {"bits": 8, **g64},
            "model.layers.0.mlp.down_proj": {"bits": 3, "group_size": 128, "mode": "affine"},
            "model.layers.1.self_attn.q_proj": False,
            "model.layers.1.mlp.down_proj": {"bits": 5, "group_size": 32, "mode": "affine"},
            "model.layers.1.mlp.gate_proj": False,
        },
    )
    yield _affine(
        "llama", 4, 64, "bf16", "affine-biases", config={"attention_bias": True, "mlp_bias": True}
    )


def _rope(name, scaling, context=512, **more):
    config = {
        "num_hidden_layers": 1, "intermediate_size": 64, "max_position_embeddings": context,
        "rope_scaling": scaling,
    }
    return Recipe("llama", f"rope-{name}", config, "f16", **more)


def _rope_recipes():
    yield _rope("linear", {"type": "linear", "factor": 2.5})
    yield _rope(
        "dynamic", {"rope_type": "dynamic", "factor": 3.0}, context=48, prompts=(SHORT, LONG, LONGER),
        notes=(
            "The second prompt passes max_position_embeddings while it is continued, the third in the "
            "prompt. The base follows the length so far, here for each token: keys keep the base they "
            "were written with.",
        ),
    )
    llama3 = {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    }
    yield _rope("llama3", llama3)
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
    yield _rope("yarn", yarn)
    yield _rope(
        "yarn-mscale",
        yarn | {"beta_fast": 16.0, "beta_slow": 2.0, "mscale": 0.8, "mscale_all_dim": 0.5},
    )
    generator = np.random.Generator(np.random.PCG64(7))
    short = [round(float(f), 3) for f in 1 + 0.3 * generator.random(16)]
    long = [round(float(f), 3) for f in 1 + 7 * np.sort(generator.random(16))]
    yield _rope(
        "longrope",
        {
            "rope_type": "longrope", "type": "longrope", "short_factor": short, "long_factor": long,
            "original_max_position_embeddings": 32,
        },
        also_transformers=True,
        notes=(
            "mlx-lm uses long_factor at every length; transformers uses short_factor while the "
            "sequence is no longer than original_max_position_embeddings (see transformers/).",
        ),
    )


def _family_recipes():
    yield Recipe("qwen2", "bf16", {"rope_theta": 1000000.0}, pre=bpe.QWEN2)
    yield Recipe("qwen2", "untied", {"tie_word_embeddings": False, "num_hidden_layers": 1}, "f16")
    yield _affine("qwen2", 4, 64, "bf16", pre=bpe.QWEN2, generation_config={"top_p": 0.8, "top_k": 20})
    yield _affine("qwen2", 8, 32, "f16")
    yield _affine("qwen2", 6, 64, "f16")
    yield Recipe("qwen3", "bf16", {"rope_theta": 1000000.0}, pre=bpe.QWEN2)
    yield Recipe(
        "qwen3", "untied", {
            "tie_word_embeddings": False, "head_dim": 48, "num_hidden_layers": 1, "rope_theta": None,
            "rope_parameters": {"rope_type": "default", "rope_theta": 50000.0},
        },
        notes=("config.json spells the rope as transformers 5 does: rope_parameters.",),
    )
    yield _affine("qwen3", 4, 64, "bf16", pre=bpe.QWEN2, generation_config={"temperature": 0.6, "top_k": 20})
    yield _affine("qwen3", 3, 32, "f16")
    yield _affine("qwen3", 5, 128, "bf16", config={"tie_word_embeddings": False})
    window = {"sliding_window": 24, "tie_word_embeddings": False}
    yield Recipe("mistral", "bf16", window | {"num_hidden_layers": 1})
    yield _affine("mistral", 4, 64, "bf16", config=window)


def _combined_recipes():
    small = {"num_hidden_layers": 1, "tie_word_embeddings": False}
    yield Recipe(
        "llama", "llava", small, combined="llava", text_prefix="model.language_model.", pre=bpe.LLAMA_BPE,
        with_bos=True,
    )
    yield _affine("mistral", 4, 64, "bf16", "mistral3-affine-4bit", config=small, combined="mistral3")


def _gguf_recipes():
    small = {"num_hidden_layers": 1, "intermediate_size": 64}
    yield Recipe("llama", "F32", small, "f32", file_type="F32", pre=bpe.GPT2)
    yield Recipe("llama", "F16", small, "f32", file_type="F16", pre=bpe.LLAMA_BPE, with_bos=True)
    yield Recipe("llama", "BF16", small, "f32", file_type="BF16", pre=bpe.SMOLLM)
    pres = (bpe.SMOLLM, bpe.LLAMA_BPE, bpe.QWEN2, bpe.GPT2, bpe.SMOLLM)
    for file_type, pre in zip(("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"), pres):
        config = small | {"intermediate_size": 96}
        yield Recipe("llama", file_type, config, "f32", file_type=file_type, pre=pre)
    yield Recipe(
        "llama", "llama3-rope", small | {"tie_word_embeddings": False}, "f32", file_type="Q8_0",
        pre=bpe.LLAMA_BPE, with_bos=True, rope_factors=llama3_factors(10000.0, 32, 8.0, 1.0, 4.0, 32),
    )
    whole = small | {"hidden_size": 256, "intermediate_size": 256, "num_attention_heads": 8, "num_key_value_heads": 2}
    for file_type, others in {
        "Q4_K": {"v_proj": "Q6_K", "down_proj": "Q6_K", "embed": "Q6_K"},
        "Q2_K": {"v_proj": "Q5_K", "o_proj": "Q3_K", "up_proj": "Q3_K", "embed": "Q4_K"},
        "Q5_K": {"embed": "Q4_K"},
    }.items():
        yield Recipe("llama", file_type, whole, "f32", file_type=file_type, other_types=others, pre=bpe.LLAMA_BPE)
    linear = {"rope_type": "linear", "factor": 2.5}
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
    for rope in (linear, yarn):
        name = f"{rope['rope_type']}-rope"
        yield Recipe("llama", name, small | {"rope_scaling": rope}, "f32", file_type="F16", pre=bpe.SMOLLM)
    window = {"sliding_window": 24, "tie_word_embeddings": False}
    yield Recipe("mistral", "mistral-Q8_0", small | window, "f32", file_type="Q8_0", pre=bpe.LLAMA_BPE, with_bos=True)
    yield Recipe("qwen2", "qwen2-Q4_1", small, "f32", file_type="Q4_1", pre=bpe.QWEN2)
    yield Recipe(
        "qwen3", "qwen3-Q8_0", small | {"head_dim": 64}, "f32", file_type="Q8_0", pre=bpe.QWEN2
    )


def recipes():
    yield from _plain_recipes()
    yield from _affine_recipes()
    yield from _rope_recipes()
    yield from _family_recipes()
    yield from _combined_recipes()
    yield from _gguf_recipes()
