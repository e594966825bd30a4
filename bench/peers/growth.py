#!/usr/bin/env python3
"""How cost grows: with the prompt's tokens, with layers, with the context. Writes docs/growth.png.

    bench/peers/growth.py [--shape llama-3.2-1b] [--bits 4] [--threads 2] [--draw-only]

The figures go to bench/results/growth.json. Matrix products and all else but attention are to cost the same for each
token and each layer, wherever in the context; attention in proportion to the context.
"""

import argparse
import json
import subprocess

import engines

RESULTS = engines.ROOT / "bench/results/growth.json"
TOKENS, LAYERS, DEPTHS = [128, 256, 512, 1024, 2048], [4, 8, 16, 24, 32], [0, 1024, 2048, 4096, 8192]


def bench(args, *words):
    command = [args.ffai, "bench", "--shape", args.shape, "--bits", args.bits, "--threads", args.threads, "--repeat",
               3, "--json", "--ops", *words]
    return json.loads(subprocess.run([str(word) for word in command], check=True, capture_output=True).stdout)


def attention_ms(part):
    return sum(op["ms_per_token"] for op in part["ops"] if op["op"] in ("attention", "kv_store"))


def measure(args):
    tokens, layers, depths = [], [], []
    for n in TOKENS:
        part = bench(args, "--prompt-tokens", n, "--gen-tokens", 0)["prefill"]
        tokens.append({"tokens": n, "seconds": n / part["tok_s"], "attention_s": n * attention_ms(part) / 1e3})
    for n in LAYERS:
        part = bench(args, "--prompt-tokens", 16, "--gen-tokens", 32, "--layers", n)["decode"]
        head = sum(op["ms_per_token"] for op in part["ops"] if op["op"] in ("head", "sample"))
        layers.append({"layers": n, "ms": 1e3 / part["tok_s"], "head_ms": head, "ceiling_gb_s": part["ceiling_gb_s"]})
    words = ["--prompt-tokens", 0, "--gen-tokens", 16, "--depth", ",".join(map(str, DEPTHS))]
    for one in bench(args, *words)["depths"]:
        part = one["decode"]
        depths.append({"depth": one["depth"], "ms": 1e3 / part["tok_s"], "attention_ms": attention_ms(part)})
    return {"shape": args.shape, "bits": args.bits, "threads": args.threads, "prefill": tokens, "layers": layers,
            "context": depths}


def line(axes, points, x, y, label, color):
    axes.plot([p[x] for p in points], y, "o-", color=color, label=label, markersize=4)


def draw(found):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (a, b, c) = pyplot.subplots(1, 3, figsize=(10, 3), layout="constrained")
    line(a, found["prefill"], "tokens", [p["seconds"] - p["attention_s"] for p in found["prefill"]], "all but attention",
         "#2a6f97")
    line(a, found["prefill"], "tokens", [p["attention_s"] for p in found["prefill"]], "attention", "#d68c45")
    a.set(xlabel="tokens of a prompt", ylabel="seconds")
    line(b, found["layers"], "layers", [p["ms"] - p["head_ms"] for p in found["layers"]], "layers", "#2a6f97")
    line(b, found["layers"], "layers", [p["head_ms"] for p in found["layers"]], "head", "#adb5bd")
    b.set(xlabel="layers", ylabel="milliseconds a token, decode")
    line(c, found["context"], "depth", [p["ms"] - p["attention_ms"] for p in found["context"]], "all but attention",
         "#2a6f97")
    line(c, found["context"], "depth", [p["attention_ms"] for p in found["context"]], "attention", "#d68c45")
    c.set(xlabel="tokens of context", ylabel="milliseconds a token, decode")
    for axes in (a, b, c):
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(engines.ROOT / "docs/growth.png", dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", default="llama-3.2-1b")
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--ffai", default=str(engines.ROOT / "build/ffai"))
    parser.add_argument("--draw-only", action="store_true", help="from the figures that are there")
    args = parser.parse_args()
    if not args.draw_only:
        RESULTS.write_text(json.dumps(measure(args)) + "\n")
    draw(json.loads(RESULTS.read_text()))


if __name__ == "__main__":
    main()
