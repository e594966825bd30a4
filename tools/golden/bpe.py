"""Byte-level BPE tokenizers, as tokenizer.json spells them.

The pre-tokenizers are named as GGUF names them (tokenizer.ggml.pre).
"""

import json

GPT2 = "gpt-2"
SMOLLM = "smollm"
LLAMA_BPE = "llama-bpe"
QWEN2 = "qwen2"

LLAMA_BPE_REGEX = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2_REGEX = LLAMA_BPE_REGEX.replace(r"\p{N}{1,3}", r"\p{N}")

# Learned by nobody: a few frequent English pairs, enough for merges to matter.
MERGES = [
    "Ġ t", "h e", "Ġt he", "i n", "Ġ a", "e r", "o n", "Ġ s", "r e", "a t", "n d", "Ġ w",
    "o u", "e n", "Ġ b", "l l", "Ġa nd", "Ġ f", "i s", "in g", "Ġ o", "o r", "Ġ c", "e d",
    "Ġo f", "l o", "h i", "s t",
]
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def byte_alphabet():
    """GPT-2's 256 printable stand-ins for bytes, in byte order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet, spare = {b: chr(b) for b in printable}, 256
    for b in range(256):
        if b not in alphabet:
            alphabet[b] = chr(spare)
            spare += 1
    return [alphabet[b] for b in range(256)]


def tiny_vocabulary():
    """288 tokens: the special ones, the bytes, the merges' results."""
    return SPECIALS + byte_alphabet() + [m.replace(" ", "") for m in MERGES]


def _byte_level(use_regex):
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": use_regex,
    }


def _split(regex):
    return {
        "type": "Split",
        "pattern": {"Regex": regex},
        "behavior": "Isolated",
        "invert": False,
    }


def _pre_tokenizer(pre):
    if pre == GPT2:
        return _byte_level(True)
    if pre == SMOLLM:
        parts = [{"type": "Digits", "individual_digits": True}, _byte_level(True)]
    elif pre == LLAMA_BPE:
        parts = [_split(LLAMA_BPE_REGEX), _byte_level(False)]
    elif pre == QWEN2:
        parts = [_split(QWEN2_REGEX), _byte_level(False)]
    else:
        raise ValueError(f"unknown pre-tokenizer {pre!r}")
    return {"type": "Sequence", "pretokenizers": parts}


def _post_processor(bos):
    if bos is None:
        return _byte_level(True)
    token, token_id = bos
    special = {"SpecialToken": {"id": token, "type_id": 0}}
    a, b = ({"Sequence": {"id": name, "type_id": i}} for i, name in enumerate("AB"))
    return {
        "type": "TemplateProcessing",
        "single": [special, a],
        "pair": [special, a, b],
        "special_tokens": {token: {"id": token, "ids": [token_id], "tokens": [token]}},
    }


def tokenizer_json(tokens, merges, specials, pre, bos=None):
    """The object of a tokenizer.json. specials maps special tokens to ids; bos is (token, id) or None."""
    added = [
        {
            "id": i, "content": t, "single_word": False, "lstrip": False,
            "rstrip": False, "normalized": False, "special": True,
        }
        for t, i in sorted(specials.items(), key=lambda pair: pair[1])
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "NFC"} if pre == QWEN2 else None,
        "pre_tokenizer": _pre_tokenizer(pre),
        "post_processor": _post_processor(bos),
        "decoder": _byte_level(True),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": pre == LLAMA_BPE,
            "vocab": {t: i for i, t in enumerate(tokens)},
            "merges": [m.split(" ") for m in merges],
        },
    }


def write_tiny_tokenizer(folder, pre=GPT2, with_bos=False):
    """Writes tokenizer.json and tokenizer_config.json of the 288-token vocabulary."""
    specials = {t: i for i, t in enumerate(SPECIALS)}
    bos = (SPECIALS[0], 0) if with_bos else None
    obj = tokenizer_json(tiny_vocabulary(), MERGES, specials, pre, bos)
    (folder / "tokenizer.json").write_text(
        json.dumps(obj, ensure_ascii=False, separators=(",", ":")), encoding="utf-8"
    )
    config = {
        "add_bos_token": with_bos,
        "bos_token": SPECIALS[0],
        "eos_token": SPECIALS[2],
        "pad_token": SPECIALS[3],
        "clean_up_tokenization_spaces": False,
        "model_max_length": 512,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
