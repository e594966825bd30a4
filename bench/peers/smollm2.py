#!/usr/bin/env python3
"""Decode rate of the default model, beside llama.cpp's, interleaved in one run.

Both continue the same prompt greedily from the same GGUF file on the same number of threads; a round is one run of
each. Prints every round and the medians. Needs llama-cpp-python (see requirements.txt).

    bench/peers/smollm2.py --model SmolLM2-135M-Instruct.Q4_1.gguf [--rounds 7] [--tokens 128] [--threads 2] [--chart FILE.png]
"""

import argparse
import json
import statistics
import subprocess
import time

PROMPT = "Once upon a time"


def run_ffai(args):
    command = [args.ffai, "generate", "-m", args.model, "-p", PROMPT, "--raw", "--temp", "0", "--json",
               "-n", str(args.tokens), "--threads", str(args.threads)]
    result = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return (len(result["tokens"]) - 1) / result["timings"]["decode_s"]


def load_llama(args):
    from llama_cpp import Llama

    return Llama(model_path=args.model, n_threads=args.threads, n_threads_batch=args.threads, n_ctx=1024,
                 verbose=False)


def run_llama(llama, args):
    """Tokens a second after the first one."""
    llama.reset()
    tokens = llama.tokenize(PROMPT.encode(), add_bos=False)
    start = None
    count = 0
    for _ in llama.generate(tokens, temp=0.0, repeat_penalty=1.0):
        if start is None:
            start = time.perf_counter()
        else:
            count += 1
        if count == args.tokens - 1:
            break
    return count / (time.perf_counter() - start)


def draw(path, rates, args):
    """A bar for each engine's median, a dot for each round."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 2.2), layout="constrained")
    for i, (name, values) in enumerate(rates.items()):
        median = statistics.median(values)
        axes.barh(i, median, color=["#2a6f97", "#adb5bd"][i], height=0.55)
        axes.plot(values, [i] * len(values), ".", color="black", markersize=4)
        axes.text(median * 0.02, i, f"{median:.0f}", va="center", color="white", fontweight="bold")
    axes.set_yticks(range(len(rates)), rates)
    axes.invert_yaxis()
    axes.set_xlabel(f"tokens a second, SmolLM2-135M Q4_1, {args.threads} threads: median of {args.rounds} rounds")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--ffai", default="build/ffai")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--chart", help="draw the rounds and medians into this PNG")
    args = parser.parse_args()
    llama = load_llama(args)
    run_ffai(args), run_llama(llama, args)  # warm-up
    ours, theirs = [], []
    for i in range(args.rounds):
        ours.append(run_ffai(args))
        theirs.append(run_llama(llama, args))
        print(f"round {i + 1}: ffai {ours[-1]:.1f} tok/s, llama.cpp {theirs[-1]:.1f} tok/s", flush=True)
    ratios = [a / b for a, b in zip(ours, theirs)]
    print(f"median: ffai {statistics.median(ours):.1f} tok/s, llama.cpp {statistics.median(theirs):.1f} tok/s, "
          f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    if args.chart:
        draw(args.chart, {"ffai": ours, "llama.cpp 0.3.36": theirs}, args)


if __name__ == "__main__":
    main()
