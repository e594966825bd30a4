#!/usr/bin/env python3
"""Makes the tiny random checkpoints under tests/golden/ and captures their fixtures.

  .venv-tools/bin/python tools/make-tiny-checkpoints.py [--only TEXT]

Deterministic: the seed is a hash of the checkpoint's name and of a number that counts up until every
greedy margin is above 0.1, or to 160: then the one with the fewest below 0.05 is taken.
"""

import argparse
import json
import tempfile
from pathlib import Path

from golden import capture, references, tiny

ATTEMPTS = 160
AMPLE_MARGIN = 0.1
DISTINCT = 8


def health(recipe, attempt):
    """(has enough distinct tokens, minus the number of small margins, smallest margin)."""
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint, _ = tiny.write(Path(scratch), recipe, attempt)
        folder, _ = capture.resolve(checkpoint, Path(scratch) / "float32")
        prompts = capture.encode(folder, recipe.prompts)
        config = json.loads((folder / "config.json").read_text())
        reference, _ = references.choose(config)
        capture.evaluate(reference(folder), prompts, 16, capture.prefill_step(config))
    margins = [m for p in prompts for m in p["margins"]]
    lively = min(len(set(p["tokens"])) for p in prompts) >= DISTINCT
    return lively, -sum(m < capture.SMALL_MARGIN for m in margins), min(margins)


def best_attempt(recipe):
    best = None
    for attempt in range(ATTEMPTS):
        found = health(recipe, attempt)
        if best is None or found > best[0]:
            best = found, attempt
        if found[0] and found[2] > AMPLE_MARGIN:
            break
    return best[1]


def make(golden, recipe):
    attempt = best_attempt(recipe)
    checkpoint, output = tiny.write(golden, recipe, attempt)
    metadata = capture.capture(checkpoint, output, recipe.prompts, notes=recipe.notes)
    if recipe.also_transformers:
        capture.capture(
            checkpoint, output / "transformers", recipe.prompts, library="transformers", notes=recipe.notes
        )
    m = metadata["margins"]
    print(
        f"{recipe.file_type and 'gguf' or recipe.family}/{recipe.name}: seed {attempt}, margins from "
        f"{m['smallest']:.3f} ({m['below_0.05']} below 0.05), layer rms {metadata['activations']['rms']:.2f}, "
        f"logits rms {metadata['logits']['rms']:.2f}",
        flush=True,
    )


def main():
    root = Path(__file__).resolve().parent.parent
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--output", type=Path, default=root / "tests" / "golden")
    p.add_argument("--only", default="", help="just those whose family/name contains this")
    args = p.parse_args()
    for recipe in tiny.recipes():
        name = f"{'gguf' if recipe.file_type else recipe.family}/{recipe.name}"
        if args.only in name:
            make(args.output, recipe)


if __name__ == "__main__":
    main()
