#!/usr/bin/env python3
"""Holds the reference libraries against each other on the committed fixtures.

  .venv-tools/bin/python tools/check-references.py [--only TEXT] [ROOT]

For each fixture the other library evaluates the same prompts and the fixture's continuations, and
one line says how far its logits are from the first library's (max |a - b| / rms(b)) and how many
tokens it would have chosen otherwise. Needs tools/setup-venv --torch.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from golden import capture, references


def fixtures(root):
    """(checkpoint, folder of its fixture) for each tiny checkpoint."""
    for metadata in sorted(root.rglob("metadata.json")):
        folder = metadata.parent
        gguf = folder.with_name(folder.name + ".gguf")
        if gguf.exists():
            yield gguf, folder
        elif (folder / "config.json").exists():
            yield folder, folder
        elif (folder.parent / "config.json").exists():
            yield folder.parent, folder


def logits_of(reference, prompt, prefill):
    """Logits of every position of the prompt and its continuation, as the fixture has it."""
    tokens = prompt["prompt_tokens"] + prompt["tokens"][:-1]
    _, logits, layer0 = reference.run(tokens, 1, prefill)
    return logits, layer0


def error(a, b):
    return float(np.max(np.abs(a - b)) / capture.rms(b))


def compare(checkpoint, output):
    metadata = json.loads((output / "metadata.json").read_text())
    prompts = json.loads((output / metadata["tokens"]).read_text())["prompts"]
    with tempfile.TemporaryDirectory() as scratch:
        folder, _ = capture.resolve(checkpoint, Path(scratch) / "folder")
        config = json.loads((folder / "config.json").read_text())
        both = {name: r(folder) for name, r in references.BY_NAME.items()}
        own = both.pop(metadata["reference"])
        other = both.popitem()[1]
        words = []
        for p in prompts:
            # Prompt and continuation as they were captured: one piece, then a token at a time.
            prefill = capture.prefill_step(config)
            a, _ = logits_of(own, p, prefill)
            b, _ = logits_of(other, p, prefill)
            n = len(p["tokens"])
            changed = int(np.sum(np.argmax(b[-n:], 1) != np.array(p["tokens"])))
            kept = int(np.sum(np.argmax(a[-n:], 1) != np.array(p["tokens"])))
            words.append(f"{error(b, a):.1e} ({changed} of {n} tokens differ)" + (f" SELF {kept}" if kept else ""))
    return own.library, words


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    root = Path(__file__).resolve().parent.parent
    p.add_argument("root", nargs="?", type=Path, default=root / "tests" / "golden")
    p.add_argument("--only", default="")
    args = p.parse_args()
    for checkpoint, output in fixtures(args.root):
        name = str(output.relative_to(args.root))
        if args.only in name:
            library, words = compare(checkpoint, output)
            print(f"{name} ({library}): {', '.join(words)}", flush=True)


if __name__ == "__main__":
    main()
