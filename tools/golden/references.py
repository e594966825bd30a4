"""Reference libraries behind one interface: float32 arithmetic on dequantized weights.

A reference has .library, .arithmetic, .versions() and
    run(tokens, extra)  ->  (ids, logits, layer0)
which evaluates the prompt, continues it greedily by `extra` ids, and returns those ids, the logits
of every position but the last id's [len(tokens) + extra - 1, vocab] and the output of decoder
layer 0 for the prompt [len(tokens), hidden], all float32.
"""

import importlib.metadata
import json
import warnings

import numpy as np


def _versions(*packages):
    return {p: importlib.metadata.version(p) for p in packages}


def _greedy(evaluate, tokens, extra, prefill):
    """evaluate(ids) continues the sequence and returns (logits, layer 0), a row for each id."""
    logits, layer0 = [], []
    for i in range(0, len(tokens), prefill):
        rows, hidden = evaluate(tokens[i : i + prefill])
        logits.append(rows)
        layer0.append(hidden)
    ids = []
    while len(ids) < extra:
        ids.append(int(np.argmax(logits[-1][-1])))
        if len(ids) < extra:
            logits.append(evaluate(ids[-1:])[0])
    return ids, np.concatenate(logits), np.concatenate(layer0)


class MlxLm:
    library = "mlx-lm"
    arithmetic = "float32, CPU stream"

    def __init__(self, folder):
        import mlx.core as mx
        from mlx.utils import tree_map
        from mlx_lm.utils import load_model

        mx.set_default_device(mx.cpu)
        self.mx = mx
        self.model, self.config = load_model(folder)
        self._dequantize()
        self.model.update(
            tree_map(
                lambda a: a.astype(mx.float32) if mx.issubdtype(a.dtype, mx.floating) else a,
                self.model.parameters(),
            )
        )
        mx.eval(self.model.parameters())

    def versions(self):
        return _versions("mlx", "mlx-lm")

    def _dequantize(self):
        import mlx.nn as nn
        from mlx.utils import tree_unflatten

        mx, plain = self.mx, []
        for name, m in self.model.named_modules():
            if not isinstance(m, (nn.QuantizedLinear, nn.QuantizedEmbedding)):
                continue
            f32 = mx.float32
            w = mx.dequantize(
                m.weight, m.scales.astype(f32), m.biases.astype(f32), m.group_size, m.bits
            )
            if isinstance(m, nn.QuantizedLinear):
                new = nn.Linear(w.shape[1], w.shape[0], bias="bias" in m)
                if "bias" in m:
                    new.bias = m.bias
            else:
                new = nn.Embedding(*w.shape)
            new.weight = w
            plain.append((name, new))
        if plain:
            self.model.update_modules(tree_unflatten(plain))

    def weights(self):
        """The float32 weights by their names in the checkpoint."""
        from mlx.utils import tree_flatten

        return {k: np.array(v) for k, v in tree_flatten(self.model.parameters())}

    def _layer0(self, ids, cache):
        from mlx_lm.models.base import create_attention_mask

        body = getattr(self.model, "language_model", self.model).model
        h = body.embed_tokens(ids)
        return body.layers[0](h, create_attention_mask(h, cache), cache)

    def run(self, tokens, extra, prefill=None):
        from mlx_lm.models.cache import make_prompt_cache

        mx = self.mx
        cache, cache0 = make_prompt_cache(self.model), make_prompt_cache(self.model)[0]

        def evaluate(ids):
            ids = mx.array([ids])
            hidden = self._layer0(ids, cache0)
            return np.array(self.model(ids, cache=cache)[0]), np.array(hidden[0])

        return _greedy(evaluate, tokens, extra, prefill or len(tokens))


class Transformers:
    library = "transformers"
    arithmetic = "float32, CPU, eager attention"

    def __init__(self, folder):
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        self.torch = torch
        weights = MlxLm(folder).weights()
        self.config = json.loads((folder / "config.json").read_text())
        plain = {k: v for k, v in self.config.items() if not k.startswith("quantization")}
        config = AutoConfig.for_model(**plain)
        config._attn_implementation = "eager"
        self.model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        state = {k: torch.from_numpy(v) for k, v in weights.items()}
        missing, unexpected = self.model.load_state_dict(state, strict=False)
        if unexpected or set(missing) - {"lm_head.weight"}:
            raise ValueError(f"weights do not fit: missing {missing}, unexpected {unexpected}")
        if self.config.get("tie_word_embeddings"):
            self.model.tie_weights()

    def versions(self):
        return _versions("transformers", "torch", "mlx", "mlx-lm")

    def run(self, tokens, extra, prefill=None):
        torch, state = self.torch, {"cache": None, "hidden": None}

        def keep(module, inputs, output):
            state["hidden"] = output[0] if isinstance(output, tuple) else output

        hook = self.model.model.layers[0].register_forward_hook(keep)

        def evaluate(ids):
            with torch.no_grad(), warnings.catch_warnings():
                out = self.model(
                    torch.tensor([ids]), past_key_values=state["cache"], use_cache=True
                )
            state["cache"] = out.past_key_values
            return out.logits[0].numpy(), state["hidden"][0].numpy()

        try:
            return _greedy(evaluate, tokens, extra, prefill or len(tokens))
        finally:
            hook.remove()


BY_NAME = {r.library: r for r in (MlxLm, Transformers)}


def choose(config):
    """The reference for a config.json: a class and the reason where it is not mlx-lm.

    mlx-vlm joins here when a family reads images. A combined checkpoint's text is mlx-lm's.
    """
    config = config.get("text_config", config)
    if config["model_type"] == "mistral" and config.get("sliding_window"):
        return Transformers, "mlx-lm runs mistral as llama and ignores sliding_window"
    return MlxLm, None
