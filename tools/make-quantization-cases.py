"""Make what mlx and mlx-lm quantize a small checkpoint to: tests/data/quantize.

  .venv-tools/bin/python tools/make-quantization-cases.py

checkpoint/            random weights of a Llama in float32, whose rows groups of 128 divide; the first rows of
                       k_proj are what rounding can stumble over
expected.safetensors   mx.quantize of its rows, "DTYPE.BITS.GROUP.MODULE.{weight,scales,biases}": these
                       rows, and two of every other matrix
recipes.json           the bits that mlx-lm's mixed recipes give to each module of models of several depths

Nothing of it comes from ffai.
"""

import json
from pathlib import Path
from types import SimpleNamespace

import mlx.core as mx
import numpy as np
from mlx_lm.convert import QUANT_RECIPES, mixed_quant_predicate_builder

FOLDER = Path(__file__).resolve().parent.parent / "tests/data/quantize"
BITS = (2, 3, 4, 5, 6, 8)
GROUPS = (32, 64, 128)
DTYPES = {"bf16": mx.bfloat16, "fp16": mx.float16, "f32": mx.float32}
LAYERS = (1, 2, 3, 7, 8, 9, 16, 22, 28, 30, 32, 36)
ODD_ROWS = 12
OTHER_ROWS = 2
MODULES = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
           "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 128, "intermediate_size": 128,
    "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 32, "vocab_size": 32,
    "max_position_embeddings": 512, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "hidden_act": "silu",
    "tie_word_embeddings": True, "bos_token_id": 0, "eos_token_id": 2, "torch_dtype": "float32",
}


def odd_rows(rng):
    """Zeros, ties, groups of one sign, of one value, far from zero, tiny, and with one large entry."""
    rows = rng.standard_normal((ODD_ROWS, 128)).astype(np.float32)
    rows[0] = 0
    rows[1] = 0.7
    rows[2] = -np.abs(rows[2])
    rows[3] = np.abs(rows[3]) + 1
    rows[4] = 1000 + rows[4] * 1e-3
    rows[5] *= 1e-8
    rows[6] *= 1e-6
    rows[7, ::40] = 50
    rows[8] = np.arange(128) % 31 - 15
    rows[9] = np.where(np.arange(128) % 2, 1.0, -1.0)
    rows[10] = np.round(rows[10] * 4) / 4
    rows[11] *= 3e3
    return rows


def weights():
    rng = np.random.Generator(np.random.PCG64(20261123))

    def matrix(rows):
        return (rng.standard_normal((rows, 128)) * 0.09).astype(np.float32)

    made = {"model.embed_tokens.weight": matrix(32)}
    for module in MODULES:
        made[f"model.layers.0.{module}.weight"] = matrix(32 if module[10:] in ("k_proj", "v_proj") else 128)
    made["model.layers.0.self_attn.k_proj.weight"][:ODD_ROWS] = odd_rows(rng)
    for norm in ("model.layers.0.input_layernorm", "model.layers.0.post_attention_layernorm", "model.norm"):
        made[f"{norm}.weight"] = (1 + 0.1 * rng.standard_normal(128)).astype(np.float32)
    return made


def expected(made):
    arrays = {}
    for dtype, as_mlx in DTYPES.items():
        for name, values in made.items():
            if values.ndim < 2:
                continue
            rows = ODD_ROWS if "k_proj" in name else OTHER_ROWS
            matrix = mx.array(values[:rows]).astype(as_mlx)
            for bits in BITS:
                for group in GROUPS:
                    parts = mx.quantize(matrix, group_size=group, bits=bits)
                    for part, array in zip(("weight", "scales", "biases"), parts):
                        arrays[f"{dtype}.{bits}.{group}.{name.removesuffix('.weight')}.{part}"] = array
    return arrays


def recipes():
    """For each recipe and depth the bits of each module, a digit for each layer, as mlx-lm's predicate says."""
    found = []
    for recipe in QUANT_RECIPES:
        for layers in LAYERS:
            paths = [f"model.layers.{i}.{module}" for i in range(layers) for module in MODULES]
            paths += ["model.embed_tokens", "lm_head"]
            model = SimpleNamespace(layers=[None] * layers, named_modules=lambda p=paths: [(k, None) for k in p])
            bits = mixed_quant_predicate_builder(recipe, model, 64)
            entry = {"recipe": recipe, "num_hidden_layers": layers}
            for module in MODULES:
                entry[module] = "".join(str(bits(f"model.layers.{i}.{module}", None)["bits"]) for i in range(layers))
            for path in ("model.embed_tokens", "lm_head"):
                entry[path] = str(bits(path, None)["bits"])
            found.append(entry)
    return found


def main():
    mx.set_default_device(mx.cpu)
    (FOLDER / "checkpoint").mkdir(parents=True, exist_ok=True)
    made = weights()
    (FOLDER / "checkpoint/config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    mx.save_safetensors(str(FOLDER / "checkpoint/model.safetensors"), {k: mx.array(v) for k, v in made.items()},
                        metadata={"format": "pt"})
    mx.save_safetensors(str(FOLDER / "expected.safetensors"), expected(made))
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in recipes())
    (FOLDER / "recipes.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
