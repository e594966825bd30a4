#!/usr/bin/env python3
"""mlx-lm behind a pipe: reads {"prompt": P, "generate": N} lines, answers with seconds.

    mlx_worker.py CONFIG.json BITS GROUP_SIZE

The model has the shape of the config and random weights, bf16 or quantized by mlx itself (BITS 16: not quantized).
"""

import importlib
import json
import os
import sys
import time

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_map
from mlx_lm.models.cache import make_prompt_cache


def make_model(config, bits, group_size):
    module = importlib.import_module(f"mlx_lm.models.{config['model_type']}")
    model = module.Model(module.ModelArgs.from_dict(config))
    model.update(tree_map(lambda p: p.astype(mx.bfloat16), model.parameters()))
    if bits < 16:
        nn.quantize(model, group_size, bits)
    mx.eval(model.parameters())
    return model


def run(model, prompt, generate, depth=0):
    cache = make_prompt_cache(model)
    for first in range(0, depth, 512):
        mx.eval(model(mx.array([[i % 1000 + 1 for i in range(first, min(first + 512, depth))]]), cache=cache))
    start = time.perf_counter()
    token = mx.argmax(model(mx.array([[i % 1000 + 1 for i in range(prompt)]]), cache=cache)[0, -1])
    mx.eval(token)
    middle = time.perf_counter()
    for _ in range(generate):
        token = mx.argmax(model(token.reshape(1, 1), cache=cache)[0, -1])
        mx.eval(token)
    return {"prefill_s": middle - start, "decode_s": time.perf_counter() - middle}


def main():
    out = os.fdopen(os.dup(1), "w")
    with open(sys.argv[1]) as file:
        config = json.load(file)
    start = time.perf_counter()
    model = make_model(config, int(sys.argv[2]), int(sys.argv[3]))
    run(model, 1, 1)
    print(json.dumps({"load_s": time.perf_counter() - start, "build": str(mx.default_device())}), file=out, flush=True)
    for line in sys.stdin:
        print(json.dumps(run(model, **json.loads(line))), file=out, flush=True)


if __name__ == "__main__":
    main()
