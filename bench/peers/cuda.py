#!/usr/bin/env python3
"""Make docs/performance.md's table of decode on an NVIDIA device by the width of the weights, and docs/cuda.png.

    bench/peers/cuda.py [FILE...]

FILE has what `ffai bench --backend cuda --json` printed, a line each; without any it is every bench/results/cuda/*.jsonl,
in the order of their names. Of lines of the same shape and width the last one counts; those of other depths, layers or
activations than the usual, or of several sequences, do not.
"""

import argparse
import json
import pathlib
import re
import sys

import engines

DOCUMENT = engines.ROOT / "docs/performance.md"
CHART = engines.ROOT / "docs/cuda.png"
BEGIN, END = "<!-- cuda: begin -->", "<!-- cuda: end -->"
NAMES = {"llama-3.2-1b": "1B", "llama-3.1-8b": "8B"}


def counts(record):
    usual = {"backend": "cuda", "activations": "default", "kv": "f16"}
    depths = record.get("depths") or [{"depth": 0}]
    return (all(record.get(key) == value for key, value in usual.items()) and record.get("decode")
            and not record.get("layers") and not record.get("together") and depths[0]["depth"] == 0)


def load(paths):
    """decode of every shape and width: {shape: {bits: decode}}."""
    found = {}
    for path in paths:
        for line in path.read_text().splitlines():
            record = json.loads(line)
            if record.get("shape") in NAMES and counts(record):
                found.setdefault(record["shape"], {})[record["bits"]] = record["decode"]
    return found


def ceiling(decode):
    """Tokens a second if a token took no longer than reading its bytes."""
    return decode["ceiling_gb_s"] * 1e9 / decode["bytes_per_token"]


def width_text(bits):
    return "bf16" if bits == 16 else f"{bits} bit"


def table(found):
    shapes = [shape for shape in NAMES if shape in found]
    head = "".join(f" {NAMES[shape]} tok/s | GB/s | of reading |" for shape in shapes)
    lines = ["| weights |" + head, "|---|" + "---|---|---|" * len(shapes)]
    for bits in sorted({bits for shape in shapes for bits in found[shape]}, reverse=True):
        cells = [found[shape].get(bits) for shape in shapes]
        lines.append(f"| {width_text(bits)} |" + "".join(
            f" {c['tok_s']:.0f} | {c['gb_s']:.0f} | {c['share']:.0%} |" if c else " | | |" for c in cells))
    return "\n".join(lines)


def draw_shape(axes, name, widths):
    bits = sorted(widths, reverse=True)
    right = max(map(ceiling, widths.values()))
    for i, width in enumerate(bits):
        decode, mark = widths[width], ceiling(widths[width])
        axes.barh(i, decode["tok_s"], color="#2a6f97", height=0.6)
        axes.plot([mark] * 2, [i - 0.38, i + 0.38], color="#d00000", linewidth=2)
        near = mark < decode["tok_s"] + 0.18 * right  # the figures would stand on the mark
        axes.text((max(mark, decode["tok_s"]) if near else decode["tok_s"]) + 0.01 * right, i,
                  f"{decode['tok_s']:,.0f} ({decode['share']:.0%})", va="center", fontsize=8)
    axes.set_yticks(range(len(bits)), map(width_text, bits))
    axes.invert_yaxis()
    axes.set_title(name, fontsize=10)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)


def draw(found):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shapes = [shape for shape in NAMES if shape in found]
    figure, all_axes = pyplot.subplots(1, len(shapes), figsize=(5 * len(shapes), 3.2), layout="constrained",
                                       squeeze=False)
    for axes, shape in zip(all_axes[0], shapes):
        draw_shape(axes, f"{NAMES[shape]} ({shape})", found[shape])
    figure.supxlabel("tokens a second, one sequence; red: what the device's rate of reading these weights allows",
                     fontsize=9)
    figure.savefig(CHART, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="*", type=pathlib.Path, metavar="FILE")
    found = load(parser.parse_args().files or sorted((engines.ROOT / "bench/results/cuda").glob("*.jsonl")))
    if not found:
        sys.exit("cuda.py: none of these lines is of a shape that is drawn")
    text = DOCUMENT.read_text()
    if BEGIN not in text or END not in text:
        sys.exit(f"cuda.py: {DOCUMENT}: no lines {BEGIN} and {END}")
    DOCUMENT.write_text(re.sub(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n{table(found)}\n{END}", text, flags=re.S))
    draw(found)


if __name__ == "__main__":
    main()
