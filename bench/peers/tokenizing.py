#!/usr/bin/env python3
"""How fast ffai turns texts into tokens, beside Hugging Face's tokenizers on one thread, in one run.

    bench/peers/tokenizing.py --tokenizer NAME=TOKENIZER.json … [--text NAME=FOLDER:.c,.h …] [--rounds 7]

Each file of a folder with one of the endings is a text, several MB of them in the order of their names; without --text,
this repository's documents and sources. Rounds of both alternate; a figure is the median. Ids of both must be the same.
Then what it takes to start: `ffai tokenize` of one word, from its start to its end, with a compiled tokenizer and from
the JSON, beside Tokenizer.from_file alone. Takes a Python with tokenizers, and a build. Prints two tables and writes
bench/results/tokenizing.json.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench/results/tokenizing.json"
OWN = ["documents=.:.md", "code=.:.c,.h,.py"]
LIMIT = 4_000_000  # bytes of one kind of text


class Ours:
    def __init__(self, program, tokenizer, texts):
        self.process = subprocess.Popen([program, tokenizer, texts], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.load = float(self.process.stdout.readline())

    def round(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        seconds, count, ids = self.process.stdout.readline().split()
        return float(seconds), int(count), ids

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def hash_ids(value, ids):
    for one in ids:
        value = (value ^ one) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


class Theirs:
    def __init__(self, tokenizer, texts):
        import tokenizers
        begun = time.perf_counter()
        self.tokenizer = tokenizers.Tokenizer.from_file(tokenizer)
        self.load = time.perf_counter() - begun
        self.texts = texts
        self.version = tokenizers.__version__
        # As bench_tokenizer's ids: with special tokens.
        self.hash = 0xCBF29CE484222325
        for text in texts:
            self.hash = hash_ids(self.hash, self.tokenizer.encode(text).ids)

    def round(self):
        seconds = 0
        count = 0
        for text in self.texts:
            begun = time.perf_counter()
            encoding = self.tokenizer.encode(text)
            seconds += time.perf_counter() - begun
            count += len(encoding)
        return seconds, count


def read_texts(spec):
    folder, endings = spec.rsplit(":", 1)
    texts, total = [], 0
    for path in sorted((ROOT / folder).rglob("*")):
        if total < LIMIT and path.suffix in endings.split(",") and path.is_file() and "build" not in str(path):
            text = path.read_bytes().decode("utf-8", "replace").replace("\0", "")
            if text:
                texts.append(text)
                total += len(text.encode())
    return texts, total


def compare(program, tokenizer, texts, rounds):
    with tempfile.NamedTemporaryFile(suffix=".texts") as file:
        file.write(b"".join(text.encode() + b"\0" for text in texts))
        file.flush()
        theirs = Theirs(tokenizer, texts)
        ours = Ours(program, tokenizer, file.name)
        first = ours.round()
        same = int(first[2], 16) == theirs.hash
        seconds = {"ffai": [], "tokenizers": []}
        for _ in range(rounds):
            seconds["ffai"].append(ours.round()[0])
            seconds["tokenizers"].append(theirs.round()[0])
        ours.close()
    return {"same_ids": same, "tokens": first[1], "seconds": seconds, "load": {"ffai": ours.load,
            "tokenizers": theirs.load}, "version": theirs.version}


def time_command(ffai, tokenizer, environment):
    begun = time.perf_counter()
    subprocess.run([ffai, "tokenize", "-m", tokenizer], input=b"word", stdout=subprocess.DEVNULL, check=True,
                   env={**os.environ, **environment})
    return time.perf_counter() - begun


def compare_starts(ffai, tokenizer, rounds):
    import tokenizers
    seconds = {"compiled": [], "json": [], "tokenizers": []}
    with tempfile.TemporaryDirectory() as cache:
        compiled = {"XDG_CACHE_HOME": cache, "FFAI_COMPILED_TOKENIZERS": "on"}
        time_command(ffai, tokenizer, compiled)
        for _ in range(rounds):
            seconds["compiled"].append(time_command(ffai, tokenizer, compiled))
            seconds["json"].append(time_command(ffai, tokenizer, {"FFAI_COMPILED_TOKENIZERS": "off"}))
            begun = time.perf_counter()
            tokenizers.Tokenizer.from_file(tokenizer)
            seconds["tokenizers"].append(time.perf_counter() - begun)
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", action="append", required=True, metavar="NAME=FILE")
    parser.add_argument("--text", action="append", metavar="NAME=FOLDER:ENDINGS")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--program", default=str(ROOT / "build/bench/bench_tokenizer"))
    parser.add_argument("--ffai", default=str(ROOT / "build/ffai"))
    parser.add_argument("--output", default=str(RESULTS))
    options = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    records = []
    print("| tokenizer | text | MB | ffai MB/s | tokenizers MB/s | ratio | ids |\n|---|---|---|---|---|---|---|")
    for text_spec in options.text or OWN:
        text_name, spec = text_spec.split("=", 1)
        texts, size = read_texts(spec)
        for tokenizer_spec in options.tokenizer:
            name, path = tokenizer_spec.split("=", 1)
            record = compare(options.program, path, texts, options.rounds)
            record.update({"tokenizer": name, "text": text_name, "bytes": size, "texts": len(texts)})
            rate = {key: size / 1e6 / statistics.median(value) for key, value in record["seconds"].items()}
            print(f"| {name} | {text_name} | {size / 1e6:.1f} | {rate['ffai']:.1f} | {rate['tokenizers']:.2f} | "
                  f"{rate['ffai'] / rate['tokenizers']:.1f} | {'same' if record['same_ids'] else 'DIFFERENT'} |",
                  flush=True)
            records.append(record)
    starts = []
    print("\n| tokenizer | compiled ms | JSON ms | tokenizers ms |\n|---|---|---|---|")
    for tokenizer_spec in options.tokenizer:
        name, path = tokenizer_spec.split("=", 1)
        seconds = compare_starts(options.ffai, path, options.rounds)
        starts.append({"tokenizer": name, "seconds": seconds})
        figures = " | ".join(f"{statistics.median(value) * 1e3:.0f}" for value in seconds.values())
        print(f"| {name} | {figures} |", flush=True)
    pathlib.Path(options.output).write_text(json.dumps({"texts": records, "starts": starts}, indent=1) + "\n")
    return 0 if all(record["same_ids"] for record in records) else 1


if __name__ == "__main__":
    sys.exit(main())
