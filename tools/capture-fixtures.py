#!/usr/bin/env python3
"""Captures a golden fixture: what a reference library computes from a checkpoint.

  .venv-tools/bin/python tools/capture-fixtures.py --model FOLDER --output tests/golden/llama/f32 \\
      --prompts "Hello world,Once upon a time" --max-tokens 16

Exits 1 and writes nothing if the fixture would prove nothing: layer 0 with an rms below 0.1, or a
prompt all of whose margins are below 0.05.
"""

import argparse
import json
import sys
from pathlib import Path

from golden import capture, references


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--model", required=True, help="a folder, a .gguf file or a repository id")
    p.add_argument("--output", required=True, type=Path, help="the folder the fixture goes into")
    what = p.add_mutually_exclusive_group(required=True)
    what.add_argument("--prompts", help="texts, separated by commas")
    what.add_argument("--prompts-file", type=Path, help="a JSON list of texts, or a tokens-*.json to remake")
    what.add_argument("--prompt-tokens", help="ids: commas between ids, semicolons between prompts")
    p.add_argument("--max-tokens", type=int, default=16)
    p.add_argument("--reference", choices=sorted(references.BY_NAME), help="instead of the config's")
    p.add_argument("--logits", choices=["all", "last"], help="positions kept (all for tiny vocabularies)")
    return p.parse_args()


def main():
    args, texts, ids = parse(), None, None
    if args.prompts:
        texts = args.prompts.split(",")
    elif args.prompts_file:
        texts = json.loads(args.prompts_file.read_text(encoding="utf-8"))
        if isinstance(texts, dict):
            texts = [p["prompt"] for p in texts["prompts"]]
    else:
        ids = [[int(i) for i in part.split(",")] for part in args.prompt_tokens.split(";")]
    every = {"all": True, "last": False, None: None}[args.logits]
    try:
        metadata = capture.capture(
            args.model, args.output, texts, ids, args.max_tokens, args.reference, every
        )
    except capture.Refused as e:
        sys.exit(f"capture-fixtures: {args.model}: refused: {e}")
    print(f"{args.output}: {metadata['tokens']}, smallest margin {metadata['margins']['smallest']}")


if __name__ == "__main__":
    main()
