#!/usr/bin/env python3
"""Make docs/performance.md's table and chart from bench/results/peers, as compare.py left it.

    bench/peers/report.py
"""

import argparse
import json
import re
import sys
import textwrap

import compare
import engines
from cases import CASES

DOCUMENT = engines.ROOT / "docs/performance.md"
CHART = engines.ROOT / "docs/performance.png"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def load():
    """(case, record, figures) of every case that was run."""
    found = []
    for case in CASES:
        path = compare.RESULTS / f"{case['name']}.json"
        if path.exists():
            record = json.loads(path.read_text())
            found.append((case, record, compare.figures(case, record["rounds"])))
    return found


def number(value, form):
    return format(value, form) if value is not None else ""


def peer_text(result, label):
    peer = result["peers"].get(label)
    return f"{peer['tok_s']:.3g} ({peer['ratio']:.2f} x)" if peer else ""


def table(found):
    labels = [label for label in ("llama.cpp", "mlx") if any(label in result["peers"] for _, _, result in found)]
    lines = ["| work | tok/s | GB/s | of the ceiling | " + " | ".join(labels) + " | bar | |",
             "|---|---|---|---|" + "---|" * len(labels) + "---|---|"]
    for case, _, result in found:
        met = {True: "reached", False: "not reached", None: ""}[compare.reached(case, result)]
        peers = " | ".join(peer_text(result, label) for label in labels)
        lines.append(f"| {case['text']} | {number(result['tok_s'], '.1f')} | {number(result['gb_s'], '.1f')} | "
                     f"{number(result['share'], '.0%')} | {peers} | {compare.bar_text(case)} | {met} |")
    return "\n".join([*lines, "", about(found)])


def about(found):
    """What was run, on what, and how the figures were made."""
    record = found[0][1]
    rounds = sorted({len(record["rounds"]) for _, record, _ in found})
    rounds = " to ".join(str(n) for n in dict.fromkeys([rounds[0], rounds[-1]]))
    machine, kinds = record["machine"], list(engines.GGUF_KIND.values())
    words = [f"{machine['cpu']}, {machine['cores']} cores ({', '.join(machine['has'])}), {record['threads']} threads, "
             f"{record['date']}; medians of {rounds} interleaved rounds. In brackets: our rate over the peer's in the "
             "same round; the ratios are medians of rounds, not of the columns.",
             f"llama.cpp ran {', '.join(kinds[:-1])} and {kinds[-1]}, its formats of about as many bits; "
             "mlx ran an eighth of the tokens."]
    if lacks_amx(record):
        words.append("The bars of prompts were set for a processor with AMX, which this one lacks.")
    return textwrap.fill(" ".join(words), 120)


def lacks_amx(record):
    return not any(name.startswith("amx") for name in record["machine"]["has"])


def draw(found):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [(case, result) for case, _, result in found if "llama.cpp" in result["peers"]]
    figure, axes = pyplot.subplots(figsize=(7.2, 0.42 * len(rows) + 1.2), layout="constrained")
    for i, (case, result) in enumerate(rows):
        peer = result["peers"]["llama.cpp"]
        axes.barh(i, peer["ratio"], color="#2a6f97", height=0.6)
        axes.plot([peer["least"], peer["most"]], [i, i], color="black", linewidth=1)
        near = case["ratio"] and case["ratio"] < peer["most"] + 2  # the figures would stand on the mark
        beside = max(peer["most"], case["ratio"]) if near else peer["most"]
        axes.text(beside + 0.1, i, f"{result['tok_s']:.3g} against {peer['tok_s']:.3g} tok/s", va="center", fontsize=8)
        if case["ratio"]:
            axes.plot([case["ratio"]] * 2, [i - 0.38, i + 0.38], color="#d00000", linewidth=2)
    axes.axvline(1, color="#6c757d", linewidth=1)
    axes.set_yticks(range(len(rows)), [case["text"] for case, _ in rows])
    axes.invert_yaxis()
    label = "times llama.cpp's rate; black: least and most of the rounds; red: the bar"
    if lacks_amx(found[0][1]):
        label += "\n(that of prompts was set for a processor with AMX, which this one lacks)"
    axes.set_xlabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(CHART, dpi=150)


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    found = load()
    if not found:
        sys.exit("report.py: nothing in bench/results/peers; run compare.py first")
    text = DOCUMENT.read_text()
    changed = re.sub(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n{table(found)}\n{END}", text, flags=re.S)
    if changed == text and table(found) not in text:
        sys.exit(f"report.py: {DOCUMENT}: no lines {BEGIN} and {END}")
    DOCUMENT.write_text(changed)
    draw(found)


if __name__ == "__main__":
    main()
