#!/usr/bin/env python3
"""Makes tests/data/gguf-tokenizers/: small GGUF files that hold a tokenizer and no tensor, and what others make of them.

  tools/setup-venv && .venv-tools/bin/python tools/make-gguf-tokenizers.py

A SentencePiece vocabulary, trained here, in two variants: their ids are those of the `sentencepiece` package, and of
`tokenizers` with the merges that transformers' converter derives. A byte-level vocabulary, to whose file a test adds
tokenizer.ggml.pre: for every name the ids are those of `tokenizers` with the pre-tokenizer that models of the name have
in their tokenizer.json. The strings are tests/data/tokenizer/cases.json; of each class a digest is kept, FNV-1a of each
list's length and ids as little-endian 32-bit integers, one list behind the other.
"""

import io
import json
import struct
from pathlib import Path

import gguf
import sentencepiece
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data" / "gguf-tokenizers"
CASES = json.loads((ROOT / "tests" / "data" / "tokenizer" / "cases.json").read_text())
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)


def text_of(case):
    return case if isinstance(case, str) else case["before"] + case["repeat"][0] * case["repeat"][1] + case["after"]


def digest(lists):
    h = 0xCBF29CE484222325
    for ids in lists:
        for b in struct.pack("<%di" % (len(ids) + 1), len(ids), *ids):
            h = (h ^ b) * 0x100000001B3 & (1 << 64) - 1
    return "%016x" % h


def digests(encode):
    return [digest([encode(text_of(case)) for case in group["cases"]]) for group in CASES]


def training_text():
    lines = [line for g in CASES for c in g["cases"] if isinstance(c, str) for line in c.replace("\0", "").split("\n")]
    lines += (ROOT / "tests" / "golden" / "smollm2" / "perplexity.txt").read_text().split("\n")
    return [line for line in lines if line.strip()]


def writer_of(name):
    writer = gguf.GGUFWriter(DATA / name, "llama")
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    return writer


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


# ---------------------------------------------------------------------------------------------------- SentencePiece


def train(**options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(training_text()), model_writer=model, model_type="bpe",
        normalization_rule_name="identity", character_coverage=0.98, num_threads=1, minloglevel=2, **options,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def type_of(sp, i):
    if sp.IsByte(i):
        return BYTE
    return UNKNOWN if sp.IsUnknown(i) else CONTROL if sp.IsControl(i) else NORMAL


def write_sentence_piece(name, sp, prefix, single_spaces):
    ids = range(sp.GetPieceSize())
    writer = writer_of(name)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([sp.IdToPiece(i) for i in ids])
    writer.add_token_scores([sp.GetScore(i) for i in ids])
    writer.add_token_types([type_of(sp, i) for i in ids])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    if not prefix:
        writer.add_add_space_prefix(False)
    if single_spaces:
        writer.add_remove_extra_whitespaces(True)
    finish(writer)


def hugging_face(sp, prefix, single_spaces):
    """As Llama 2's and Gemma's tokenizer.json are."""
    from transformers.convert_slow_tokenizer import generate_merges

    ids = range(sp.GetPieceSize())
    vocab = {sp.IdToPiece(i): i for i in ids}
    merges = generate_merges(vocab, {sp.IdToPiece(i): sp.GetScore(i) for i in ids if type_of(sp, i) == NORMAL})
    merges = [m for m in merges if all(type_of(sp, vocab[part]) == NORMAL for part in m)]
    strip = [
        {"type": "Replace", "pattern": {"Regex": r"\A +|[ ▁]+\z"}, "content": ""},
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
    ]
    steps = (strip if single_spaces else []) + ([{"type": "Prepend", "prepend": "▁"}] if prefix else [])
    steps += [{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]
    return Tokenizer.from_str(json.dumps({
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [
            {"id": i, "content": sp.IdToPiece(i), "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True}
            for i in ids if type_of(sp, i) in (UNKNOWN, CONTROL)
        ],
        "normalizer": {"type": "Sequence", "normalizers": steps}, "pre_tokenizer": None, "decoder": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "model": {
            "type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True,
            "vocab": vocab, "merges": [list(m) for m in merges],
        },
    }))


def sentence_piece(name, sp, prefix=True, single_spaces=False):
    write_sentence_piece(name, sp, prefix, single_spaces)
    tokenizer = hugging_face(sp, prefix, single_spaces)
    texts = [text_of(c) for g in CASES for c in g["cases"]]
    same = sum(sp.Encode(t) == plain(tokenizer, t) for t in texts if "<s>" not in t and "</s>" not in t and "<unk>" not in t)
    print(f"{name}: {sp.GetPieceSize()} tokens; of {len(texts)} strings {same} are the same for both references")
    return {
        "sentencepiece": digests(sp.Encode),
        "tokenizers": digests(lambda t: tokenizer.encode(t).ids),
        "decoded": [[ids, sp.Decode(ids)] for ids in (sp.Encode(t) for t in ("Once upon a time", "naïve 日本語", "a  b"))],
    }


def plain(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).ids


# ----------------------------------------------------------------------------------------------------- byte level

SUFFIXES = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3 = SUFFIXES + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = SUFFIXES + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN35 = (SUFFIXES + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
          r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}|"
          r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SEED = SUFFIXES + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"
DEEPSEEK3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"""
             r""" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""")
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

DIGITS = {"type": "Digits", "individual_digits": True}
NFC = {"type": "NFC"}


def level(use_regex=False):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def splits(*regexes):
    return [{"type": "Split", "pattern": {"Regex": r}, "behavior": "Isolated", "invert": False} for r in regexes] + [level()]


# name: pre-tokenizers, normalizer, ignore_merges, whether the bos token is added
PRE = {
    **dict.fromkeys(("smollm", "starcoder", "refact"), ([DIGITS, level(True)], None, False, False)),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3"), (splits(LLAMA3), None, True, True)),
    **dict.fromkeys(("smaug-bpe", "dbrx"), (splits(LLAMA3), None, False, False)),
    "qwen2": (splits(QWEN2), NFC, False, False),
    **dict.fromkeys(("deepseek-r1-qwen", "stablelm2", "megrez"), (splits(QWEN2), None, False, False)),
    "qwen35": (splits(QWEN35), NFC, False, False),
    **dict.fromkeys(("gpt-2", "phi-2", "olmo", "mpt"), ([level(True)], None, False, False)),
    "tekken": (splits(TEKKEN), None, True, True),
    **dict.fromkeys(("gpt-4o", "llama4"), (splits(GPT4O), None, False, False)),
    "seed-coder": (splits(SEED), None, False, False),
    "deepseek-v3": (splits(r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3), None, False, False),
    "deepseek-coder": (splits(r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}"), None, False, False),
    "default": (splits(r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"), None, False, False),
}


def train_byte_level():
    """Merges across words, spaces, digits and lines, so that where a text is cut shows in the ids."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=1400, initial_alphabet=alphabet, show_progress=False)
    texts = [text_of(c) for g in CASES for c in g["cases"] if isinstance(c, str)] * 2 + ["\n".join(training_text())]
    tokenizer.train_from_iterator(texts, trainer)
    return json.loads(tokenizer.to_str())["model"]


def byte_level(name):
    model = train_byte_level()
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    bos = len(tokens)
    writer = writer_of(name)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens + ["<|bos|>"])
    writer.add_token_types([NORMAL] * bos + [CONTROL])
    writer.add_token_merges([" ".join(m) for m in model["merges"]])
    writer.add_bos_token_id(bos)
    finish(writer)
    out = {}
    for pre, (parts, normalizer, ignore_merges, adds_bos) in PRE.items():
        tokenizer = Tokenizer.from_str(json.dumps({
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": normalizer,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": parts}, "decoder": None, "post_processor": None,
            "model": {"type": "BPE", "vocab": model["vocab"], "merges": model["merges"], "ignore_merges": ignore_merges},
        }))
        out[pre] = {"adds_bos": adds_bos, "digests": digests(lambda t: tokenizer.encode(t).ids)}
    different = len({tuple(o["digests"]) for o in out.values()})
    print(f"{name}: {len(tokens)} tokens, {len(out)} names, {different} ways to cut a text")
    return out


def main():
    DATA.mkdir(parents=True, exist_ok=True)
    common = {"unk_id": 0, "bos_id": 1, "eos_id": 2, "add_dummy_prefix": True, "remove_extra_whitespaces": False}
    llama = train(vocab_size=1400, byte_fallback=True, **common)
    bare = train(vocab_size=1000, byte_fallback=False,
                 **common | {"add_dummy_prefix": False, "remove_extra_whitespaces": True})
    expected = {
        "classes": [g["name"] for g in CASES],
        "sentence-piece.gguf": sentence_piece("sentence-piece.gguf", llama),
        "sentence-piece-bare.gguf": sentence_piece("sentence-piece-bare.gguf", bare, prefix=False, single_spaces=True),
        "byte-level.gguf": byte_level("byte-level.gguf"),
    }
    text = json.dumps(expected, ensure_ascii=False, indent=0, separators=(",", ":"))
    (DATA / "expected.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
