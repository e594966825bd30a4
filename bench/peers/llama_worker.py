#!/usr/bin/env python3
"""llama.cpp behind a pipe: reads {"prompt": P, "generate": N} lines, answers with seconds.

    llama_worker.py MODEL.gguf THREADS CONTEXT

The low-level calls of llama-cpp-python are used, so that nothing but llama_decode and the choice of the greatest
logit is timed. The first line out says how long loading and a first token took.
"""

import ctypes
import json
import os
import sys
import time

import llama_cpp
import numpy


def open_model(path, threads, context):
    llama_cpp.llama_backend_init()
    model_params = llama_cpp.llama_model_default_params()
    model = llama_cpp.llama_model_load_from_file(path.encode(), model_params)
    if not model:
        sys.exit(f"llama.cpp cannot load {path}")
    params = llama_cpp.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_ubatch = context, 2048, 512
    params.n_threads = params.n_threads_batch = threads
    return model, llama_cpp.llama_init_from_model(model, params)


class Engine:
    def __init__(self, path, threads, context):
        self.model, self.context = open_model(path, threads, context)
        self.vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))

    def decode(self, tokens):
        """Compute the tokens, and give the one with the greatest logit."""
        array = (ctypes.c_int32 * len(tokens))(*tokens)
        if llama_cpp.llama_decode(self.context, llama_cpp.llama_batch_get_one(array, len(tokens))):
            sys.exit("llama_decode failed")
        logits = llama_cpp.llama_get_logits_ith(self.context, -1)
        return int(numpy.ctypeslib.as_array(logits, (self.vocab,)).argmax())

    def run(self, prompt, generate, depth=0):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
        for first in range(0, depth, 512):
            self.decode([i % 1000 + 1 for i in range(first, min(first + 512, depth))])
        start = time.perf_counter()
        token = self.decode([i % 1000 + 1 for i in range(prompt)])
        middle = time.perf_counter()
        for _ in range(generate):
            token = self.decode([token])
        return {"prefill_s": middle - start, "decode_s": time.perf_counter() - middle}


def main():
    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    path, threads, context = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    start = time.perf_counter()
    engine = Engine(path, threads, context)
    engine.run(1, 1)
    info = llama_cpp.llama_print_system_info().decode()
    print(json.dumps({"load_s": time.perf_counter() - start, "build": info}), file=out, flush=True)
    for line in sys.stdin:
        print(json.dumps(engine.run(**json.loads(line))), file=out, flush=True)


if __name__ == "__main__":
    main()
