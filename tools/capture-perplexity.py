#!/usr/bin/env python3
"""Captures the mean negative log-likelihood of a text, evaluated in one context by a reference.

  .venv-tools/bin/python tools/capture-perplexity.py --model FILE.gguf \\
      --text tests/golden/smollm2/perplexity.txt --output tests/golden/smollm2/perplexity.json

mean_nll is the mean of -ln p(token i | tokens before it) over i = 1 .. n-1.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from golden import capture, references


def mean_nll(logits, tokens):
    """logits [n - 1, vocab] float32, tokens [n]; the reduction is done in float64."""
    x = logits.astype(np.float64)
    top = x.max(axis=1)
    log_sum = top + np.log(np.exp(x - top[:, None]).sum(axis=1))
    chosen = x[np.arange(len(x)), tokens[1:]]
    return float(np.mean(log_sum - chosen))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--model", required=True)
    p.add_argument("--text", required=True, type=Path)
    p.add_argument("--output", required=True, type=Path)
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, source = capture.resolve(args.model, Path(scratch) / "folder")
        tokens = capture.encode(folder, [args.text.read_text(encoding="utf-8")])[0]["prompt_tokens"]
        chosen, _ = references.choose(json.loads((folder / "config.json").read_text()))
        reference = chosen(folder)
        _, logits, _ = reference.run(tokens, 1)
    result = {
        **source,
        "reference": reference.library,
        "arithmetic": reference.arithmetic,
        "versions": reference.versions(),
        "mean_nll": mean_nll(logits[:-1], tokens),
        "text_tokens": tokens,
    }
    lines = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in result.items())
    args.output.write_text("{\n" + lines + "\n}\n")
    print(f"{args.output}: {len(tokens)} tokens, mean nll {result['mean_nll']:.6f}")


if __name__ == "__main__":
    main()
