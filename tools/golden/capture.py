"""Writes what a reference computes from a checkpoint: metadata.json, tokens-<hash>.json and two .npy."""

import datetime
import hashlib
import json
import os
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from . import gguf_folder, references

SMALLEST_RMS = 0.1
SMALL_MARGIN = 0.05


class Refused(Exception):
    """The fixture would prove nothing."""


def rms(a):
    return float(np.sqrt(np.mean(np.square(a, dtype=np.float64))))


def resolve(model, scratch):
    """A folder for a folder, a GGUF file or a repository id, and the digest that names its config."""
    path = Path(model)
    if path.is_file():
        types = gguf_folder.read(path, scratch)
        return scratch, {
            "model": path.name,
            "file_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "weights": f"dequantized to float32 by gguf {version('gguf')}: {', '.join(sorted(types))}",
        }
    if not path.is_dir():
        from huggingface_hub import snapshot_download

        path = Path(snapshot_download(model))
    else:
        model = path.resolve().name
    config = (path / "config.json").read_bytes()
    weights = "cast to float32"
    if "quantization" in json.loads(config):
        weights = "mx.dequantize with scales and biases cast to float32; the others cast to float32"
    digest = hashlib.sha256(config).hexdigest()
    return path, {"model": model, "config_sha256": digest, "weights": weights}


def encode(folder, texts):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return [{"prompt": t, "prompt_tokens": tokenizer.encode(t).ids} for t in texts]


def decode(folder, lists):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return [
        {"prompt": tokenizer.decode(ids, skip_special_tokens=False), "prompt_tokens": ids}
        for ids in lists
    ]


def prefill_step(config):
    """How many of a prompt's tokens a reference evaluates at a time; None is all of them.

    A dynamic rope takes its base from the sequence's length so far. A token at a time is the one
    choice that does not depend on how a prompt is cut into chunks.
    """
    scaling = config.get("rope_scaling") or {}
    return 1 if (scaling.get("type") or scaling.get("rope_type")) == "dynamic" else None


def evaluate(reference, prompts, max_tokens, prefill=None):
    """Fills in tokens and margins of the prompts; returns the first prompt's logits and layer 0."""
    first = None
    for p in prompts:
        ids, logits, layer0 = reference.run(p["prompt_tokens"], max_tokens, prefill)
        top = np.sort(logits[-max_tokens:], axis=1)[:, -2:]
        p["tokens"] = ids
        p["margins"] = [round(float(m), 6) for m in top[:, 1] - top[:, 0]]
        first = first or (logits[: len(p["prompt_tokens"])], layer0)
    return first


def check_health(prompts, layer0):
    if not rms(layer0) >= SMALLEST_RMS:
        raise Refused(f"layer 0 has an rms of {rms(layer0):.3g}, below {SMALLEST_RMS}")
    for p in prompts:
        if not max(p["margins"]) >= SMALL_MARGIN:
            raise Refused(f"prompt {p['prompt'][:40]!r}: every margin is below {SMALL_MARGIN}")


def _today():
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.datetime.now(datetime.timezone.utc)
    if epoch:
        now = datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc)
    return now.date().isoformat()


def _write_tokens(output, prompts):
    joined = "\n".join(p["prompt"] for p in prompts)
    name = f"tokens-{hashlib.sha256(joined.encode()).hexdigest()[:8]}.json"
    for old in output.glob("tokens-*.json"):
        old.unlink()
    lines = ",\n".join(json.dumps(p, ensure_ascii=False) for p in prompts)
    (output / name).write_text(f'{{"prompts":[\n{lines}\n]}}\n', encoding="utf-8")
    return name


def capture(model, output, texts=None, ids=None, max_tokens=16, library=None, all_logits=None, notes=()):
    """Writes the fixture of `model` into `output`, or raises Refused and writes nothing."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, source = resolve(model, Path(scratch) / "folder")
        config = json.loads((folder / "config.json").read_text())
        config = config.get("text_config", config)
        chosen, why = references.choose(config)
        if library is not None and library != chosen.library:
            chosen, why = references.BY_NAME[library], "asked for"
        prompts = encode(folder, texts) if texts else decode(folder, ids)
        reference, prefill = chosen(folder), prefill_step(config)
        logits, layer0 = evaluate(reference, prompts, max_tokens, prefill)
    check_health(prompts, layer0)

    if all_logits is None:
        all_logits = config["vocab_size"] <= 4096
    logits = logits if all_logits else logits[-1:]
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    np.save(output / "activations-layer-0.npy", layer0.astype("<f4"))
    np.save(output / "logits.npy", logits.astype("<f4"))
    margins = [m for p in prompts for m in p["margins"]]
    metadata = {
        **source,
        "reference": chosen.library,
        **({"reference_reason": why} if why else {}),
        "arithmetic": chosen.arithmetic,
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "tokenizers": version("tokenizers"),
            **reference.versions(),
        },
        "date": _today(),
        "prefill": "a token at a time" if prefill == 1 else "the whole prompt at once",
        "max_tokens": max_tokens,
        "tokens": _write_tokens(output, prompts),
        "activations": {
            "prompt": 0, "layer": 0, "shape": list(layer0.shape), "rms": round(rms(layer0), 6),
        },
        "logits": {
            "prompt": 0,
            "positions": "all" if all_logits else "last",
            "shape": list(logits.shape),
            "rms": round(rms(logits), 6),
        },
        "margins": {
            "smallest": min(margins), "below_0.05": sum(m < SMALL_MARGIN for m in margins),
        },
        **({"notes": list(notes)} if notes else {}),
    }
    (output / "metadata.json").write_text(json.dumps(metadata, indent=2, ensure_ascii=False) + "\n")
    return metadata
