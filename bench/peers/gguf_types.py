#!/usr/bin/env python3
"""How fast GGUF's types are: ffai with files of random weights in one shape, type after type, round after round.

    bench/peers/gguf_types.py [--shape llama-3.2-1b] [--threads 2] [--rounds 5] [TYPE …]

Prints a table of medians; every run's figures go to bench/results/gguf-types.json. Takes the packages gguf and numpy.
"""

import argparse
import json
import os
import subprocess
from statistics import median

import engines

RESULTS = engines.ROOT / "bench/results/gguf-types.json"
TYPES = ["Q8_0", "Q6_K", "Q5_1", "Q5_K", "Q4_1", "Q4_K"]


def bench(args, path):
    command = [args.ffai, "bench", "-m", path, "--threads", args.threads, "--prompt-tokens", 128, "--gen-tokens", 48,
               "--repeat", 3, "--json"]
    run = json.loads(subprocess.run([str(w) for w in command], check=True, capture_output=True).stdout)
    return {
        "decode_tok_s": run["decode"]["tok_s"], "gb_s": run["decode"]["gb_s"], "share": run["decode"]["share"],
        "prefill_tok_s": run["prefill"]["tok_s"], "weight_bytes": run["weight_bytes"], "isa": run["isa"],
        "load_average": os.getloadavg()[0],
    }


def print_table(results):
    print("| type | file | in memory | decode, tok/s | GB/s | of reading | prefill, tok/s |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for kind, of in results["types"].items():
        middle = {key: median(run[key] for run in of["runs"]) for key in of["runs"][0] if key != "isa"}
        print(f"| {kind} | {of['file_bytes'] / 1e9:.2f} GB | {middle['weight_bytes'] / 1e9:.2f} GB "
              f"| {middle['decode_tok_s']:.1f} | {middle['gb_s']:.1f} | {100 * middle['share']:.0f}% "
              f"| {middle['prefill_tok_s']:.0f} |")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--ffai", default=engines.ROOT / "build/ffai")
    p.add_argument("--shape", default="llama-3.2-1b")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("types", nargs="*", default=TYPES)
    args = p.parse_args()
    files = {kind: engines.gguf_file(args.shape, kind) for kind in args.types}
    results = {"shape": args.shape, "threads": args.threads, "types": {
        kind: {"file_bytes": path.stat().st_size, "runs": []} for kind, path in files.items()}}
    for _ in range(args.rounds):
        for kind, path in files.items():
            results["types"][kind]["runs"].append(bench(args, path))
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print_table(results)


if __name__ == "__main__":
    main()
