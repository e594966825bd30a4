"""Hold ffai convert against mx.quantize and mlx-lm on real weights.

  .venv-tools/bin/python tools/check-quantization.py [--ffai build/ffai] [--model FILE.gguf] [--quick]

The default model, SmolLM2-135M, is stored plainly as bf16, fp16 and f32 (ffai convert --dtype), and each of these, and
tests/data/quantize/checkpoint, is quantized for every pair of bits and group size (--quick: a few, of bf16 alone).
Every tensor must be what mx.quantize makes of it, bit for bit, and what the group does not divide must be as it was. A
folder of each width, and of each mixed recipe (--quick: of the small checkpoint alone), must load in mlx-lm, say of
every layer what mlx-lm's own conversion says, and give the same greedy tokens there as that conversion does; ffai's are
the same as far as the margin between the two best logits is clear. Exit status 77: no model, or no mlx.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODEL = Path.home() / ".cache/ffai/models/SmolLM2-135M-Instruct.Q4_1.gguf"
PAIRS = [(bits, group) for bits in (2, 3, 4, 5, 6, 8) for group in (32, 64, 128)]
QUICK = [(3, 32), (4, 64), (6, 128)]
RECIPES = ("mixed_2_6", "mixed_3_4", "mixed_3_6", "mixed_4_6")
PROMPT = "The capital of France is"
TOKENS = 6
MARGIN = 0.05

try:
    import mlx.core as mx
    from mlx_lm import load
    from mlx_lm.convert import mixed_quant_predicate_builder
    from mlx_lm.models.cache import make_prompt_cache
    from mlx_lm.utils import load_model, quantize_model
except ImportError:
    print("check-quantization: no mlx: tools/setup-venv")
    sys.exit(77)


def convert(ffai, source, destination, *flags):
    done = subprocess.run([str(ffai), "convert", str(source), str(destination), "--force", *map(str, flags)],
                          capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"check-quantization: convert {source} {' '.join(map(str, flags))}: {done.stderr}")


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and bool(mx.array_equal(a.view(mx.uint8), b.view(mx.uint8)))


def check_tensors(source, destination, bits, group):
    """Tensors and groups compared; exits at the first that differs."""
    before = mx.load(str(source / "model.safetensors"))
    after = mx.load(str(destination / "model.safetensors"))
    rounded = 0
    for name, array in before.items():
        stem = name.removesuffix(".weight")
        if array.ndim == 2 and array.shape[-1] % group == 0:
            parts = mx.quantize(array, group_size=group, bits=bits)
            for part, made in zip(("weight", "scales", "biases"), parts):
                if not same(made, after.pop(f"{stem}.{part}")):
                    sys.exit(f"check-quantization: {bits} bits g{group}: {stem}.{part} is not mlx's")
            rounded += array.size
        elif not same(array, after.pop(name)):
            sys.exit(f"check-quantization: {bits} bits g{group}: {name} was changed")
    if after:
        sys.exit(f"check-quantization: {bits} bits g{group}: more tensors: {sorted(after)}")
    return rounded


def greedy(model, ids, count):
    """The most likely tokens, and for each the margin between the two best logits."""
    cache, found, margins = make_prompt_cache(model), [], []
    for _ in range(count):
        logits = model(mx.array([ids]), cache=cache)[0, -1].astype(mx.float32)
        best = mx.sort(logits)[-2:].tolist()
        margins.append(best[1] - best[0])
        found.append(int(mx.argmax(logits)))
        ids = found[-1:]
    return found, margins


def greedy_here(ffai, folder, ids, count):
    """ffai's tokens from the same folder."""
    done = subprocess.run([str(ffai), "-m", str(folder), "--tokens", ",".join(map(str, ids)), "-n", str(count),
                           "--temp", "0", "--ignore-eos", "--json", "--activations", "f32", "--kv", "f32"],
                          capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["tokens"]


def check_tokens(ffai, folder, model, ids):
    """mlx-lm's greedy tokens; ffai's must be the same as far as the margin is clear."""
    theirs, margins = greedy(model, ids, TOKENS)
    here = greedy_here(ffai, folder, ids, TOKENS)
    for a, b, margin in zip(here, theirs, margins):
        if margin <= MARGIN:
            break
        if a != b:
            sys.exit(f"check-quantization: {folder}: ffai's tokens {here}, mlx-lm's {theirs}")
    return theirs, min(margins)


def check_calibrated(ffai, source, destination):
    """Another choice of numbers in the same format: mlx-lm and ffai must read it alike."""
    convert(ffai, source, destination, "--bits", 4, "--method", "calibrated", "--calibration", ROOT / "docs/testing.md")
    model, tokenizer = load(str(destination))
    return check_tokens(ffai, destination, model, tokenizer.encode(PROMPT))[1]


def check_model(ffai, source, destination, bits, group, recipe=None):
    """The folder in mlx-lm beside mlx-lm's own quantization of the source."""
    if (destination / "tokenizer.json").exists():
        model, tokenizer = load(str(destination))
        ids = tokenizer.encode(PROMPT)
    else:
        model, _ = load_model(destination)
        ids = [3, 1, 4, 1, 5]
    own, config = load_model(source)
    predicate = mixed_quant_predicate_builder(recipe, own, group) if recipe else None
    own, config = quantize_model(own, config, group, bits, quant_predicate=predicate)
    written = json.loads((destination / "config.json").read_text())
    if written["quantization"] != written["quantization_config"]:
        sys.exit(f"check-quantization: {destination}: the two fields of config.json differ")
    for path, module in own.named_modules():
        if hasattr(module, "scales"):
            entry = written["quantization"].get(path, written["quantization"])
            if (entry["bits"], entry["group_size"]) != (module.bits, module.group_size):
                sys.exit(f"check-quantization: {destination}: {path}: {entry}, mlx-lm has {module.bits} bits")
    ours, margin = check_tokens(ffai, destination, model, ids)
    theirs, _ = greedy(own, ids, TOKENS)
    if ours != theirs:
        sys.exit(f"check-quantization: {recipe or bits} g{group}: tokens {ours}, mlx-lm's own {theirs}")
    return margin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ffai", type=Path, default=ROOT / "build/ffai")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    if not args.model.exists():
        print(f"check-quantization: {args.model} is not there")
        return 77
    mx.set_default_device(mx.cpu)
    pairs = QUICK if args.quick else PAIRS
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        out = scratch / "out"
        for dtype in ("bf16",) if args.quick else ("bf16", "fp16", "f32"):
            source = scratch / dtype
            convert(args.ffai, args.model, source, "--dtype", dtype)
            for bits, group in pairs:
                convert(args.ffai, source, out, "--bits", bits, "--group-size", group)
                count = check_tensors(source, out, bits, group)
                print(f"{dtype} {bits} bits g{group}: {count} weights as mx.quantize has them", flush=True)
        committed = ROOT / "tests/data/quantize/checkpoint"
        for bits, group in PAIRS:
            convert(args.ffai, committed, out, "--bits", bits, "--group-size", group)
            check_tensors(committed, out, bits, group)
            check_model(args.ffai, committed, out, bits, group)
        print("tests/data/quantize/checkpoint: every pair, tensors and tokens", flush=True)
        real = scratch / "f32"
        models = [(committed, f"--recipe={recipe}") for recipe in RECIPES]
        if not args.quick:
            models += [(real, f"--bits={bits}") for bits in (2, 3, 4, 5, 6, 8)]
            models += [(real, f"--recipe={recipe}") for recipe in RECIPES]
        for source, flag in models:
            value = flag.split("=")[1]
            convert(args.ffai, source, out, flag, "--group-size", 64)
            bits, recipe = (int(value), None) if value.isdigit() else (None, value)
            margin = check_model(args.ffai, source, out, bits, 64, recipe)
            print(f"{source.name} {flag}: mlx-lm's tokens; least margin {margin:.3f}", flush=True)
        if not args.quick:
            margin = check_calibrated(args.ffai, real, out)
            print(f"f32 calibrated: mlx-lm's tokens; least margin {margin:.3f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
