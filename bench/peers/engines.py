"""The engines under comparison, each behind the same two calls: start() and run(prompt, generate, depth).

run() gives {"prefill_s", "decode_s"}; ours also the machine's ceilings, measured by the same process.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ffai" / "bench"
FIELDS = ["architecture", "model_type", "hidden_size", "intermediate_size", "num_hidden_layers",
          "num_attention_heads", "num_key_value_heads", "head_dim", "vocab_size", "max_position_embeddings",
          "rms_norm_eps", "rope_theta", "rope_factor", "tie_word_embeddings"]
# llama.cpp's formats of about as many bits.
GGUF_KIND = {16: "BF16", 8: "Q8_0", 6: "Q6_K", 5: "Q5_K", 4: "Q4_0", 3: "Q3_K", 2: "Q2_K"}


def shape(name):
    """A shape as a config.json, from the table that ffai is built with."""
    table = re.sub(r"/\*.*?\*/", "", (ROOT / "src/engine/shapes.def").read_text(), flags=re.S)
    for line in re.findall(r"SHAPE\(([^)]*)\)", table):
        values = json.loads("[" + line + "]")
        if values[0] == name:
            config = dict(zip(FIELDS, values[1:]))
            return config | {"architectures": [config.pop("architecture")]}
    sys.exit(f"no shape {name}")


def gguf_file(name, kind):
    """The shape's file for llama.cpp, made once."""
    path = CACHE / f"{name}-{kind}.gguf"
    if not path.exists():
        import gguf_shape
        from gguf import GGMLQuantizationType

        CACHE.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        gguf_shape.write(part, shape(name), GGMLQuantizationType[kind])
        part.rename(path)
    return path


class Worker:
    """A peer in a process of its own, which keeps its model loaded."""

    def __init__(self, label, command):
        self.label, self.command = label, [str(word) for word in command]

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.label} ended: {' '.join(self.command)}")
        return json.loads(line)

    def run(self, prompt, generate, depth):
        self.process.stdin.write(json.dumps({"prompt": prompt, "generate": generate, "depth": depth}) + "\n")
        self.process.stdin.flush()
        return self.read()

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def llama(case, threads, python):
    path = case.get("model") or gguf_file(case["shape"], case.get("kind") or GGUF_KIND[case["bits"]])
    context = case["depth"] + case["prompt"] + case["generate"] + 64
    return Worker("llama.cpp", [python, HERE / "llama_worker.py", path, threads, context])


def mlx(case, python):
    config = tempfile.NamedTemporaryFile("w", suffix=".json", delete=False)
    with config:
        json.dump(shape(case["shape"]), config)
    return Worker("mlx", [python, HERE / "mlx_worker.py", config.name, case["bits"], 64])


class Ffai:
    label = "ffai"

    def __init__(self, case, threads, program):
        what = ["-m", case["model"]] if case.get("model") else ["--shape", case["shape"], "--bits", case["bits"]]
        self.command = [str(word) for word in [program, "bench", *what, "--threads", threads, "--repeat", 1, "--json",
                                               "--ops", *case.get("flags", [])]]
        self.environment = os.environ | case.get("environment", {})

    def start(self):
        pass

    def run(self, prompt, generate, depth):
        command = self.command + ["--prompt-tokens", str(prompt), "--gen-tokens", str(generate), "--depth", str(depth)]
        done = subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True)
        return json.loads(done.stdout)

    def stop(self):
        pass
