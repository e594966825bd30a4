#!/usr/bin/env python3
"""ffai beside its ceilings and beside other engines: interleaved rounds, medians, a file of raw figures a case.

    bench/peers/compare.py [--rounds 5] [--threads 2] [--only NAME,NAME] [--mlx]
                           [--llama PYTHON] [--llama-avx2 PYTHON]

A round is one run of each engine. Every run of ffai measures the machine's own rates first, so that a share and a
ratio are always of the same moment. The rounds go to bench/results/peers/NAME.json; report.py makes the table and
the chart of docs/performance.md from them. llama.cpp is llama-cpp-python (requirements.txt) in the Python that is
named, one built for this machine and one for AVX2 (setup makes both).
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import engines
from cases import CASES

RESULTS = engines.ROOT / "bench/results/peers"


def plain(text):
    """A command or a document without where this machine keeps things."""
    text = re.sub(r"/[^ \"]*/bin/(python3?)\b", r"\1", str(text))
    return text.replace(f"{engines.ROOT}/", "").replace(str(Path.home()), "~")


def machine():
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    flags = set(re.search(r"flags\s*: (.*)", Path("/proc/cpuinfo").read_text())[1].split())
    known = ["avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"]
    return {"cpu": model[1] if model else platform.machine(), "cores": os.cpu_count(),
            "has": [name for name in known if name in flags]}


def rate_of(case, result):
    """Tokens a second of a peer's run."""
    if case["figure"] == "prefill":
        return case["prompt"] / result["prefill_s"]
    return case["generate"] / result["decode_s"] if case["generate"] else None


def ours(case, result):
    """Rate, share of the ceiling and GB/s of our run."""
    if case["figure"] == "load":
        return None, None, result["weight_bytes"] / result["load_s"] * 1e-9
    if case["figure"] == "attend":
        attend = next(op for op in result["decode"]["ops"] if op["part"] == "attend")
        return result["decode"]["tok_s"], attend["gb_s"] / result["machine"]["read_gb_s"], attend["gb_s"]
    part = result[case["figure"]]
    return part["tok_s"], part["share"], part.get("gb_s")


def peers_of(case, args):
    if case.get("peer") is False:
        return []
    python = args.llama_avx2 if case.get("llama") == "avx2" else args.llama
    found = [engines.llama(case, args.threads, python)] if python else []
    if args.mlx and case["mlx"]:
        found.append(engines.mlx(case, args.mlx))
    return found


def run_case(case, args):
    case = dict(case)
    if "model" in case:
        case["model"] = str(engines.CACHE.parent / "models" / case["model"])
    mine = engines.Ffai(case, args.threads, args.ffai)
    peers = peers_of(case, args)
    for peer in peers:
        peer.start()
    rounds = []
    for _ in range(args.rounds):
        one = {"ffai": mine.run(case["prompt"], case["generate"], case["depth"])}
        for peer in peers:
            fewer = 8 if peer.label == "mlx" else 1
            prompt, generate = case["prompt"] // fewer, case["generate"] // fewer
            result = peer.run(prompt, generate, case["depth"])
            one[peer.label] = result | {"tok_s": rate_of(case | {"prompt": prompt, "generate": generate}, result)}
        rounds.append(one)
        print(line_of(case, [one], bar=False), flush=True)
    about = {peer.label: peer.about for peer in peers}
    for peer in peers:
        peer.stop()
    return {"case": case["name"], "command": " ".join(map(plain, sys.argv)), "machine": machine(),
            "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"), "threads": args.threads, "ffai": [plain(word) for word in mine.command],
            "peers": about, "rounds": rounds}


def figures(case, rounds):
    """Medians over the rounds: our rate, share, GB/s, and the rate of and the ratio to each peer."""
    values = [ours(case, one["ffai"]) for one in rounds]
    middle = [statistics.median(column) if None not in column else None for column in zip(*values)]
    peers = {}
    for label in rounds[0].keys() - {"ffai"}:
        ratios = [value[0] / one[label]["tok_s"] for value, one in zip(values, rounds)]
        peers[label] = {"tok_s": statistics.median(one[label]["tok_s"] for one in rounds),
                        "ratio": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
    return {"tok_s": middle[0], "share": middle[1], "gb_s": middle[2], "peers": peers}


def reached(case, result):
    """Whether the bars are met; None where there is nothing to compare with."""
    met = []
    if case["share"]:
        met.append(result["share"] >= case["share"])
    if case["ratio"] and "llama.cpp" in result["peers"]:
        met.append(result["peers"]["llama.cpp"]["ratio"] >= case["ratio"])
    if case.get("gb_s"):
        met.append(result["gb_s"] >= case["gb_s"])
    return (any(met) if case["either"] else all(met)) if met else None


def bar_text(case):
    words = []
    if case["share"]:
        words.append(f"{case['share']:.0%}")
    if case["ratio"]:
        words.append(f"{case['ratio']:g} x llama.cpp")
    if case.get("gb_s"):
        words.append(f"{case['gb_s']:g} GB/s")
    return (" or " if case["either"] else ", ").join(words)


def line_of(case, rounds, bar):
    result = figures(case, rounds)
    words = [f"{case['text']:30}"]
    words.append(f"{result['tok_s']:8.1f} tok/s" if result["tok_s"] else " " * 14)
    words.append(f"{result['gb_s']:6.1f} GB/s" if result["gb_s"] else " " * 11)
    words.append(f"{result['share']:5.0%}" if result["share"] else " " * 5)
    for label, peer in sorted(result["peers"].items()):
        words.append(f"{label} {peer['tok_s']:.1f} tok/s, ratio {peer['ratio']:.2f}")
    if bar:
        words.append(f"bar {bar_text(case)}: {'reached' if reached(case, result) else 'not reached'}")
    return "  ".join(words)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", help="names of cases, joined by commas")
    parser.add_argument("--ffai", default=str(engines.ROOT / "build/ffai"))
    parser.add_argument("--llama", metavar="PYTHON", help="with llama-cpp-python built for this machine")
    parser.add_argument("--llama-avx2", metavar="PYTHON", help="with llama-cpp-python built for AVX2")
    parser.add_argument("--mlx", metavar="PYTHON", help="with mlx-lm; slow on a CPU, so in one case and with an eighth of the tokens")
    args = parser.parse_args()
    chosen = args.only.split(",") if args.only else [case["name"] for case in CASES]
    unknown = set(chosen) - {case["name"] for case in CASES}
    if unknown:
        sys.exit(f"compare.py: --only: no case {', '.join(sorted(unknown))}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    lines = []
    for case in CASES:
        if case["name"] not in chosen:
            continue
        try:
            record = run_case(case, args)
        except subprocess.CalledProcessError as error:
            print(f"{case['text']}: ffai failed: {error.stderr.strip()}", file=sys.stderr)
            continue
        (RESULTS / f"{case['name']}.json").write_text(plain(json.dumps(record)) + "\n")
        lines.append(line_of(case, record["rounds"], bar=True))
    print("\n".join(["", *lines]))


if __name__ == "__main__":
    main()
