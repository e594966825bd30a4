#!/usr/bin/env python3
"""Test cases for the tokenizer, with what the `tokenizers` package makes of them.

    make-tokenizer-cases.py --tokenizers FOLDER --smollm2 FILE.gguf   write tests/data/tokenizer/
    make-tokenizer-cases.py --check-repository --tokenizers FOLDER    every tracked text file, through build/ffai tokenize
    make-tokenizer-cases.py --random N --library LIBFFAI --tokenizers FOLDER   N random strings, both ways
    make-tokenizer-cases.py --unicode                                 src/text/unicode_tables.h, on standard output

FOLDER has one folder for each of NAMES with a tokenizer.json or tokenizer.json.xz. Needs tokenizers==0.23.3 and,
for --smollm2, gguf; in a venv of its own. The strings are made here and nowhere else.
"""

import argparse
import ctypes
import json
import lzma
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import unicodedata

import tokenizers
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data" / "tokenizer"
NAMES = ["qwen3", "llama3_1", "gemma3", "gptoss"]

# ---------------------------------------------------------------------------------------------- strings, by class


def repeat(text, count, before="", after=""):
    """A long string as a recipe."""
    return {"repeat": [text, count], "before": before, "after": after}


def text_of(case):
    return case if isinstance(case, str) else case["before"] + case["repeat"][0] * case["repeat"][1] + case["after"]


def classes():
    """At least 500 strings in at least 20 classes. Seeded: the same ones at every run."""
    r = random.Random(20241122)
    out = {}
    out["empty and single"] = ["", " ", "a", "\n", "\t", "0", ".", "é", "字", "\u0301", "😀", "\u00a0", "'", "▁", "Ġ", "<", "  ", "\r\n"]
    words = ("the quick brown fox jumps over a lazy dog while seven wizards quietly exchange jinxed emblems near "
             "Bergen on Thursday and nobody, not even the Mayor, asks why").split()
    out["english"] = [" ".join(r.choice(words) for _ in range(r.randrange(3, 30))).capitalize() + r.choice(".!?")
                      for _ in range(20)] + [
        "It was the best of times, it was the worst of times.",
        "Dr. Smith's e-mail (re: the 3rd floor) wasn't read until 5 p.m.",
        "ALL CAPS HEADLINE: STOCKS FALL", "snake_case and camelCase and PascalCase and kebab-case",
        "antidisestablishmentarianism floccinaucinihilipilification", "co-operate re-enter naïve café résumé",
    ]
    out["apostrophes"] = [f"{w}{q}{s}" for q in "'’ʼ" for w, s in (
        ("I", "m"), ("you", "re"), ("we", "ve"), ("he", "d"), ("she", "ll"), ("don", "t"), ("it", "s"), ("IT", "S"),
        ("YOU", "RE"), ("We", "Ve"), ("THEY", "LL"), ("I", "M"), (" ", "s "), ("", "tis"), ("o", "clock"))] + [
        "'s't're've'm'll'd", "''''s", "x'ſ y'K", "rock 'n' roll", "'''python'''", "l'été d'un coup"]
    out["code"] = [
        "int main(void)\n{\n\treturn 0;\n}\n", "def f(x):\n    if x > 0:\n        return x ** 2\n    return None\n",
        "for (size_t i = 0; i < n; i++)\n    y[i] += a * x[i];", "SELECT * FROM t WHERE id >= 10 AND name LIKE '%x%';",
        "#include <stdio.h>\r\n#define X(a) #a\r\n", "fn main() { println!(\"{:?}\", vec![1u8, 2, 3]); }",
        "const f = async ({a, b = 1}) => await g(`${a}/${b}`);", "{\"a\": [1, 2.5e-3, null], \"b\": {\"c\": true}}",
        "<div class=\"x\">\n  <p>Hi &amp; bye</p>\n</div>", "git commit -m \"fix: off-by-one\" && git push --force",
        "a->b.c[d]::e<f>(g)...h ? i : j", "if x == y and not (a != b) or c <= d:", "\\begin{equation} \\frac{1}{2} \\end{equation}",
        "0x1F 0b1010 1_000_000 3.14f 1e-9", "/* comment */ // another\n\n\n\n# third", "$HOME/.config/foo*.{c,h} 2>&1 | tee log",
        "\t\t\tif (x)\n\t\t\t\ty();\n", "    \n        \n            deep", "lambda x: (x, x+1)[::-1]", "@decorator\nclass A(B, metaclass=C): ...",
    ]
    out["cjk"] = [
        "日本語のテキストを処理する", "中文分词是一个有趣的问题。", "한국어 형태소 분석", "東京都に住んでいます。", "ひらがなとカタカナ",
        "全角ＡＢＣ１２３！？", "「引用」と（括弧）、そして…", "我爱北京天安门，天安门上太阳升。", "漢字かな交じり文mixed英語", "𠮷野家で𩸽を食べる",
        "ｶﾀｶﾅﾊﾝｶｸ", "안녕하세요! 반갑습니다.", "각 각 각", "가나다라마바사", "㈱㍿㌔㍉", "〇〡〢〣", "\U00031350\U0002ebf0\U0002a700", "粵語嘅字",
        "ㄅㄆㄇㄈ", "한글 자모 ㄱㄴㄷ",
    ]
    out["right to left"] = [
        "שלום עולם", "مرحبا بالعالم", "السَّلَامُ عَلَيْكُمْ", "עִבְרִית עם ניקוד", "فارسی و اردو", "العدد ٣٫١٤ والسنة ٢٠٢٤", "abc אבג def",
        "\u202bembedded\u202c \u200fmark\u200e", "لا إله", "ﷺ ﷲ", "ـــكشيدة", "پنج‌شنبه", "ܫܠܡܐ", "ދިވެހި", "ߒߞߏ",
    ]
    out["indic and thai"] = [
        "नमस्ते दुनिया", "हिन्दी में क्षत्रिय", "বাংলা ভাষা", "தமிழ் எழுத்து", "తెలుగు లిపి", "ಕನ್ನಡ", "മലയാളം", "ગુજરાતી", "ਪੰਜਾਬੀ", "ଓଡ଼ିଆ", "සිංහල",
        "ภาษาไทยไม่มีช่องว่าง", "ลาว ພາສາລາວ", "မြန်မာစာ", "ភាសាខ្មែរ", "བོད་ཡིག", "ศูนย์๑๒๓", "क्‍ष क्‌ष", "ᬩᬮᬶ", "ꦗꦮ",
    ]
    out["other scripts"] = [
        "Привет, мир!", "Ελληνικά με τόνους", "Հայերեն", "ქართული ენა", "አማርኛ", "Tiếng Việt có dấu", "Türkçe İıĞğ", "Čeština řeřicha",
        "ᏣᎳᎩ", "ᐃᓄᒃᑎᑐᑦ", "ᚠᚢᚦᚨᚱᚲ", "𐌰𐌱𐌲", "𐤀𐤁𐤂", "𒀀𒀁𒀂", "𓀀𓀁𓀂", "ⴰⴱⴳ", "Ꙗ҃ко ѿ", "ꓐꓑꓒ", "ǅ ǈ ǋ ǲ", "ŉ ǰ ΐ ẖ",
    ]
    out["emoji"] = [
        "😀😃😄", "👨‍👩‍👧‍👦 family", "👍🏽👍🏿", "🏳️‍🌈🏴‍☠️", "🇩🇪🇫🇷🇯🇵", "🇩🇪🇫", "❤️ ❤", "1️⃣2️⃣#️⃣", "🧑🏻‍🚀 to the 🌕", "👩‍❤️‍💋‍👨", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "😀a😀1😀 ",
        "☺️☹︎", "🫠🫡🫥", "🪿🫎🩷", "🇦🇧🇨🇩🇪", "\u200d\u200d😀\ufe0f\ufe0f", "🤷🏾‍♀️?!",
    ]
    out["not normalized"] = [
        "e\u0301", "\u00e9", "a\u0323\u0307", "a\u0307\u0323", "\u1e9b\u0323", "\u212b \u00c5 A\u030a", "\ufb01 \ufb03", "\u1100\u1161\u11a8 \uac01",
        "\u0344", "\u0958", "q\u0307\u0323\u0301\u0300", "\u2126 \u212a", "\u1fbe \u1f71", "\u0f73\u0f75", "①②③ ½ ²", "ｶﾞ ガ", "\u0340\u0341\u0343",
        "\U0001d15e", "\U0002f800", "\uf900\ufa10", "o\u0328\u0304", "\u1ebf e\u0302\u0301 e\u0301\u0302",
        "\u0061\u0315\u0300\u05ae\u0301\u0062", "\u0b47\u0b3e \u0b4b", "\u1112\u1161\u11ab\u1100\u1173\u11af",
    ]
    out["controls"] = [chr(c) for c in range(1, 32)] + ["\x7f", "\x80\x85\x9f", "a\x01b\x02c", "\x1b[31mred\x1b[0m", "\x08\x08", "a\x0bb\x0cc",
        "\ufeffBOM", "a\u00adb", "\u200b\u200c\u200d\u2060", "\ufff9x\ufffay\ufffb", "\ufffd\ufffd", "\U000e0001\U000e0041"]
    out["nul"] = ["\0", "a\0b", "\0\0\0", " \0 ", "\0<|im_start|>\0", "x\0\n\0y", "日\0本", "'\0s", "1\0002"]
    spaces = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\u180e\u0085"
    out["whitespace"] = [f"a{c}b" for c in spaces] + [f" {c} x" for c in "\u00a0\u3000\u2028\t\r"] + [
        "a  b   c    d", "\t\ta\t", "a\r\nb\r\n\r\nc", "a\n\n\nb", "  \n  \n  x", "\r\r\r", " \t \t ", "x \n", "\n x", "a\u3000\u3000b", "   ", " \u00a0 \u00a0",
        "line\u2028line\u2029par", "\x0b\x0c", "trailing   ", "   leading", "a \n \n b", "\t\n\t\n"] + [" " * n + "x" for n in (2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 64)] + [
        "\n" * n for n in (2, 3, 4, 5, 8, 16, 31, 32, 33)] + ["\t" * n + "x" for n in (2, 3, 4, 8, 15)]
    out["long runs"] = [repeat(t, 10000) for t in (
        "a", " ", "\n", "0", "é", "字", "😀", "ab", "-", "=", "_", "\t", "\r\n", "\u0301", "\u200d", "A", "aA", "'s", "a ", " a", "\0", ".", "1a", "▁", "\u00a0",
        "\u3000", "<|", "the ")] + [repeat(" ", 10000, "a", "b"), repeat("\n", 10000, "a", " b"), repeat("\u0301\u0323", 5000, "a"), repeat("x", 9999, "", " y")]
    out["digits"] = [str(r.randrange(10 ** n)) for n in range(1, 21)] + [
        "1,234,567.89", "3.14159", "1e10", "٠١٢٣٤٥٦٧٨٩", "०१२३", "１２３", "²³¹", "½⅓", "ⅣⅧ", "①②", "12:34:56", "2024-11-22", "+49 (0)30 123456", "1a2b3c", "000000",
        "𝟎𝟏𝟐𝟛", "۴۵۶", "𑁦𑁧", "𞥐𞥑", "\U0001ccf0\U0001ccf1"]
    out["punctuation"] = ["!!!", "?!?!", "...", "…", "---", "—–-", "(((", ")))", "[]{}<>", "\"quoted\"", "“curly” ‘single’ «guillemets»", "a,b;c:d.e", "@#$%^&*", "~`|\\", "!a !b ! c",
        "¿Qué? ¡Sí!", "。、！？", "।॥", "؟،؛", "x=y+z*w/v", "→←↑↓", "€£¥₹", "©®™", "§¶†‡", "a/b/c\n/d", "//\n//", "°C ±5%", "½–¾", "…—…", ")\n\n", "}\r\n}\r\n", "#!/bin/sh"]
    out["mathematics"] = ["𝐀𝐁𝐂", "𝒜𝓑𝔠𝕯", "∀x∈ℝ: x²≥0", "∑∏∫√∞", "α+β=γ", "ℵ₀ ℏ ℓ", "𝔸𝕓𝚌", "x⃗ ŷ z̄", "⟨ψ|φ⟩", "≤≥≠≈≡", "𝛀𝛼𝜔", "½·π"]
    out["astral"] = [chr(c) for c in (0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF, 0x1F600, 0x20000, 0x2FFFF, 0xE0100, 0xFDD0, 0xFFFE, 0x1FFFE)] + [
        "\ud7ff\ue000", "a\U0010ffffb", "\U0001f600\ue000\uffff"] + ["".join(chr(r.randrange(0x10000, 0x110000)) for _ in range(12)) for _ in range(6)]
    out["private use"] = ["\ue000", "\uf8ff apple", "\U000f0000\U000ffffd", "\U00100000", "a\ue123b", "\ue0b0 prompt \ue0b1"]
    out["look-alikes of added tokens"] = [
        "<|endoftext", "<|endoftext|", "|endoftext|>", "<|end of text|>", "<|ENDOFTEXT|>", "< |im_start| >", "<|im_start||im_end|>", "<<|im_start|>>", "<|im_|im_end|>",
        "<|begin_of_text", "<|reserved_special_token_|>", "<|reserved_special_token_999|>", "<s", "</s", "<bo<bos>s>", "<unused>", "<unused99999>", "<unused1", "<start_of_tur>",
        "<|channel", "<|startoftext|", "<thinking>", "<think", "</thin", "<tool_cal", "＜|im_end|＞", "<\u200b|im_end|>", "<|im_end|\n>", "[INST", "<0x0A", "<0xZZ>", "<0x0a>", "▁▁▁", "<|fim_|>",
    ]
    out["added tokens in text"] = []
    for token in ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>",
                  "<|start|>", "<|channel|>", "<think>", "</think>", "<tool_call>", "<unused5>", "<image_soft_token>", "<0x41>", "<|repo_name|>", "<h1>", "\n\n\n\n", "▁▁"):
        out["added tokens in text"] += [token, f"a{token}b", f"  {token}  {token}\n", f"{token}{token}'s 1"]
    plain = [[c for c in members if isinstance(c, str)] for name, members in out.items() if name != "long runs"]
    out["mixed"] = []
    for _ in range(40):
        pick = [r.choice(r.choice(plain)) for _ in range(r.randrange(2, 5))]
        out["mixed"].append(r.choice(["", " ", "\n", ""]).join(pick))
    out["random characters"] = []
    for _ in range(40):
        pool = [chr(r.randrange(0x20, 0x7F)), chr(r.randrange(0xA0, 0x800)), chr(r.randrange(0x800, 0xD800)), chr(r.randrange(0x10000, 0x20000)),
                chr(r.randrange(0x300, 0x370)), r.choice(spaces), r.choice("\r\n\t ")]
        out["random characters"].append("".join(r.choice(pool) for _ in range(r.randrange(2, 25))))
    out["newer than unicode 14"] = ["\U00031350\U000323af", "\U0002ebf0 x", "\U00010d50\U00010d70", "\u1c89\u1c8a", "\ua7cb\ua7da\ua7dc", "\U0001e4d0\U0001e4ec", "\U00011f00\U00011f02",
                                   "\U00016d40 \U00016d70", "\u0897\u1b4e", "\U0001fae9\U0001fadc"]
    out["long words"] = ["".join(r.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(n)) for n in (30, 100, 300, 1000)] + [
        "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft", "https://example.org/a/very/long/path?with=query&and=more#fragment",
        "deadbeef" * 20, "QmFzZTY0IGlzIG5vdCBlbmNyeXB0aW9u" * 8, "/".join(words), "_".join(words), "".join(w.capitalize() for w in words)]
    assert sum(map(len, out.values())) >= 500 and len(out) >= 20
    return out


# ------------------------------------------------------------------------------------------------------- expectations


def fnv(ids):
    h = 0xCBF29CE484222325
    for byte in struct.pack(f"<{len(ids)}i", *ids):
        h = (h ^ byte) * 0x100000001B3 % 2**64
    return h


def compact(ids):
    return ids if len(ids) <= 64 else {"count": len(ids), "fnv": "%016x" % fnv(ids), "first": ids[:32]}


def expectation(tokenizer, text):
    """ids: with special tokens; bare: without; plain: without, and none looked for. Equal ones are left out."""
    tokenizer.encode_special_tokens = False
    ids = tokenizer.encode(text).ids
    bare = tokenizer.encode(text, add_special_tokens=False).ids
    tokenizer.encode_special_tokens = True
    plain = tokenizer.encode(text, add_special_tokens=False).ids
    tokenizer.encode_special_tokens = False
    out = {"ids": compact(ids)}
    if bare != ids:
        out["bare"] = compact(bare)
    if plain != bare:
        out["plain"] = compact(plain)
    return out if len(out) > 1 else out["ids"]


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    path.write_text(rows.replace(',{"name"', ',\n{"name"').replace('],"', '],\n"') + "\n")


def load(folder, name):
    path = pathlib.Path(folder) / name / "tokenizer.json"
    text = path.read_bytes() if path.exists() else lzma.decompress(path.with_suffix(".json.xz").read_bytes())
    return Tokenizer.from_str(text.decode())


def smollm2(gguf_file):
    """tokenizer.json of SmolLM2 from a GGUF file's metadata."""
    import gguf

    fields = gguf.GGUFReader(gguf_file).fields
    strings = lambda key: [bytes(fields[key].parts[i]).decode() for i in fields[key].data]
    tokens = strings("tokenizer.ggml.tokens")
    types = [int(fields["tokenizer.ggml.token_type"].parts[i][0]) for i in fields["tokenizer.ggml.token_type"].data]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return json.dumps({
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": t, **flags, "special": types[i] == 3} for i, t in enumerate(tokens) if types[i] in (3, 4)],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level]},
        "post_processor": None, "decoder": {**byte_level, "add_prefix_space": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {t: i for i, t in enumerate(tokens)}, "merges": strings("tokenizer.ggml.merges")},
    }, ensure_ascii=False, separators=(",", ":"))


# --------------------------------------------------------------------------------------------------- small tokenizers

CORPUS = [
    "the cat sat on the mat and the hat  of the rat   was 1234 or 12 345 today's", "Hello, World! HELLO world... (yes) [no] {so}", "a-b--c---d a_b__c x.y..z",
    "▁the▁cat▁▁sat▁▁▁on the▁mat", "été Été e\u0301te\u0301 naïve", "日本 日本語 本日", "line\nline\n\nline\ttab\t\ttab", "don't can't I'll you're we've",
] * 4

SMALL_TEXTS = [
    "", " ", "  ", "the", " the", "the cat sat on the mat", "  the  cat  ", "Hello, World!", "HELLO WORLD", "a-b--c---d", "-a-", "--", "1234 12 345", "a1b22c333", "été", "e\u0301te\u0301",
    "日本語 日本", "tab\ttab\nline\n\n", "don't I'll WE'VE", "▁the▁cat", "▁▁▁", "the\u00a0cat\u3000sat", "(yes)[no]{so}", "...!?", "😀 the 😀", "x\0y", "<s>the</s>", "the <s> cat </s> sat", "<mask>", " <mask> ",
    "a <mask>the<mask>", "word", "words word sword word.", "a  <l>  b  <r>  c", "<l><r>", "New York NEW YORK new york", "<unk>", "<0x41>", "Ünïcödé ÀÉÎ ǅ İ", "ﬁ ² ①", "the  ", "\n\nthe", "don’t", "A\u030a\u0323", "q\u0323\u0307",
    "aaa", "aaaa bbb", "½ Ⅷ ٣", "؟،", "$+<=>^`|~", "a_b c", "  \t\n  ",
]


def small_models():
    alphabet = sorted(set("".join(CORPUS)) - set("語"))
    out = {}
    for name, extra in (("unk", ["<unk>"]), ("bytes", ["<unk>"] + ["<0x%02X>" % b for b in range(256)])):
        model = Tokenizer(models.BPE(unk_token="<unk>"))
        model.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=420 + len(extra), special_tokens=extra, initial_alphabet=alphabet, show_progress=False))
        out[name] = json.loads(model.to_str())["model"]
    out["bytes"]["byte_fallback"] = True
    out["bytes"]["fuse_unk"] = True
    out["fused"] = {**out["unk"], "fuse_unk": True}
    out["dropping"] = {**out["unk"], "unk_token": None, "ignore_merges": True}
    level = Tokenizer(models.BPE())
    level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    level.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=420, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    out["level"] = json.loads(level.to_str())["model"]
    fixed = Tokenizer(models.BPE(unk_token="<unk>", continuing_subword_prefix="##", end_of_word_suffix="</w>"))
    fixed.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fixed.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>"], continuing_subword_prefix="##", end_of_word_suffix="</w>", show_progress=False))
    out["affixes"] = json.loads(fixed.to_str())["model"]
    for model in out.values():
        model["merges"] = [" ".join(m) if not any(" " in p for p in m) else m for m in model["merges"]]
        if any(isinstance(m, list) for m in model["merges"]):
            model["merges"] = [m if isinstance(m, list) else m.split(" ") for m in model["merges"]]
    return out


def added(content, **flags):
    return {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False, **flags}


def sequence(members, *parts):
    return {"type": "Sequence", members: list(parts)}


def small_configurations():
    """(name, model, parts): what differs from a bare tokenizer."""
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    meta = lambda scheme, split=True: {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}
    regex = lambda p: {"Regex": p}
    string = lambda p: {"String": p}
    llama = sequence("decoders", {"type": "Replace", "pattern": string("▁"), "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
                     {"type": "Strip", "content": " ", "start": 1, "stop": 0})
    prefix = sequence("normalizers", {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": string(" "), "content": "▁"})
    s = [added("<s>", special=True), added("</s>", special=True)]
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": {}}
    yield "bare", "unk", {}
    yield "fused_unknown", "fused", {}
    yield "dropped_unknown_and_ignored_merges", "dropping", {}
    yield "prefix_and_suffix", "affixes", {"pre_tokenizer": {"type": "WhitespaceSplit"}, "decoder": {"type": "BPEDecoder", "suffix": "</w>"}}
    yield "llama_2", "bytes", {"normalizer": prefix, "decoder": llama, "added_tokens": s, "post_processor": template}
    for scheme in ("always", "first", "never"):
        for split in (True, False):
            yield f"metaspace_{scheme}_{split}", "bytes", {"pre_tokenizer": meta(scheme, split), "decoder": meta(scheme, split), "added_tokens": s}
    yield "metaspace_first_behind_strip", "bytes", {"normalizer": {"type": "Strip", "strip_left": True, "strip_right": False}, "pre_tokenizer": meta("first"), "decoder": meta("first")}
    yield "metaspace_first_behind_replace", "bytes", {"normalizer": {"type": "Replace", "pattern": regex("^the|^ +|-"), "content": "xy"}, "pre_tokenizer": meta("first"), "decoder": meta("first"), "added_tokens": s}
    yield "metaspace_first_behind_split", "bytes", {"pre_tokenizer": sequence("pretokenizers", {"type": "Punctuation"}, meta("first")), "decoder": sequence("decoders", {"type": "ByteFallback"}, meta("first"))}
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        for invert in (False, True):
            yield f"split_{behavior}_{invert}", "unk", {"pre_tokenizer": {"type": "Split", "pattern": regex("-|\\s"), "behavior": behavior, "invert": invert}}
        yield f"split_empty_{behavior}", "unk", {"pre_tokenizer": {"type": "Split", "pattern": regex("x*"), "behavior": behavior, "invert": False}}
        yield f"split_string_{behavior}", "unk", {"pre_tokenizer": {"type": "Split", "pattern": string("--"), "behavior": behavior, "invert": False}}
        yield f"punctuation_{behavior}", "unk", {"pre_tokenizer": {"type": "Punctuation", "behavior": behavior}}
    for i, pattern in enumerate((r"\w+|[^\w\s]+", r"[^(\s|[.,!?…。，、।۔،])]+", r"\p{N}{1,3}+|[\p{L}&&[^a-f]]+", r"(?i:THE|'s)| ?\S+", r"[[:alpha:]]++|[^[:^punct:]]|\h{2}", r"\p{^L}+?\b|\B\d?", r"^.|.$|\Aa",
                                 r"[\u0041-\x{5a}\x61-z]{2,}?|[]\-a]", r"(?<=t)h|a(?!t)|(\S)\1", r"[^\S ]+|[\p{Han}ー]+")):
        yield f"regex_{i}", "unk", {"pre_tokenizer": {"type": "Split", "pattern": regex(pattern), "behavior": "Isolated", "invert": False}}
    yield "digits", "unk", {"pre_tokenizer": {"type": "Digits", "individual_digits": False}}
    yield "single_digits", "unk", {"pre_tokenizer": {"type": "Digits", "individual_digits": True}}
    yield "whitespace", "unk", {"pre_tokenizer": {"type": "Whitespace"}}
    yield "whitespace_split", "unk", {"pre_tokenizer": {"type": "WhitespaceSplit"}}
    for prefix_space in (False, True):
        for use_regex in (False, True):
            yield f"byte_level_{prefix_space}_{use_regex}", "level", {"pre_tokenizer": {**level, "add_prefix_space": prefix_space, "use_regex": use_regex}, "decoder": level, "added_tokens": s,
                                                                      "post_processor": sequence("processors", level, template)}
    yield "byte_level_in_a_sequence", "level", {"pre_tokenizer": sequence("pretokenizers", {"type": "Punctuation"}, sequence("pretokenizers", {"type": "Digits", "individual_digits": True}, level)), "decoder": level}
    for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents"):
        yield f"normalizer_{form}", "bytes", {"normalizer": {"type": form}}
    yield "no_accents", "bytes", {"normalizer": sequence("normalizers", {"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, sequence("normalizers", {"type": "NFC"}))}
    for left in (False, True):
        for right in (False, True):
            yield f"strip_{left}_{right}", "unk", {"normalizer": {"type": "Strip", "strip_left": left, "strip_right": right}}
    yield "replace_regex", "unk", {"normalizer": {"type": "Replace", "pattern": regex("\\s+|a+"), "content": " "}}
    yield "replace_empty", "unk", {"normalizer": {"type": "Replace", "pattern": regex("x*"), "content": "-"}}
    yield "added_flags", "unk", {"normalizer": {"type": "Lowercase"}, "added_tokens": s + [added("<mask>", lstrip=True), added("<l>", lstrip=True, rstrip=True), added("<r>", rstrip=True),
                                 added("word", single_word=True), added("New York", normalized=True), added("HELLO", normalized=True, special=True), added("a-"), added("a-b"), added("<unk>", special=True)]}
    yield "added_normalized", "bytes", {"normalizer": prefix, "decoder": llama, "added_tokens": s + [added("the cat", normalized=True), added("cat", normalized=True, single_word=True), added("sat", normalized=True, lstrip=True, rstrip=True), added("▁▁")]}
    yield "added_over_a_byte_level", "level", {"pre_tokenizer": level, "decoder": level, "added_tokens": s + [added("été", normalized=True), added("日本"), added("the ", special=True)]}
    yield "cls_and_sep", "level", {"pre_tokenizer": level, "decoder": level, "added_tokens": s, "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 0], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": False}}
    yield "decoder_strip_both_ends", "unk", {"decoder": sequence("decoders", {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}, {"type": "Strip", "content": "t", "start": 0, "stop": 0})}
    yield "decoder_strip_each_token", "unk", {"decoder": {"type": "Strip", "content": " ", "start": 2, "stop": 0}}
    yield "decoder_replace_behind_fuse", "unk", {"decoder": sequence("decoders", {"type": "Fuse"}, {"type": "Replace", "pattern": regex("t+h?e|  +"), "content": "<>"})}
    yield "decoder_replace_each_token", "unk", {"decoder": {"type": "Replace", "pattern": regex("\\b"), "content": "|"}}
    yield "decoder_byte_level_and_strip", "level", {"pre_tokenizer": level, "decoder": sequence("decoders", level, {"type": "Strip", "content": " ", "start": 3, "stop": 0})}


def small_tokenizer(model, parts):
    vocab_size = len(model["vocab"])
    tokens = []
    for token in parts.get("added_tokens", []):
        known = model["vocab"].get(token["content"])
        new = sum(t["id"] >= vocab_size for t in tokens)
        tokens.append({"id": vocab_size + new if known is None else known, **token})
    post = json.loads(json.dumps(parts.get("post_processor")))
    ids = {t["content"]: t["id"] for t in tokens}
    for p in [post] + (post or {}).get("processors", []):
        if p and p["type"] == "TemplateProcessing":
            p["special_tokens"] = {c: {"id": c, "ids": [ids[c]], "tokens": [c]} for c in ("<s>", "</s>")}
        if p and p["type"] == "RobertaProcessing":
            p["cls"][1], p["sep"][1] = ids["<s>"], ids["</s>"]
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": tokens, "normalizer": parts.get("normalizer"), "pre_tokenizer": parts.get("pre_tokenizer"),
            "post_processor": post, "decoder": parts.get("decoder")}


def small_cases():
    r = random.Random(7)
    all_models = small_models()
    out = []
    for name, model, parts in small_configurations():
        config = small_tokenizer(all_models[model], parts)
        tokenizer = Tokenizer.from_str(json.dumps({**config, "model": all_models[model]}))
        expected = [expectation(tokenizer, text) for text in SMALL_TEXTS]
        known = sorted(tokenizer.get_vocab().values())
        decoded = []
        lists = [tokenizer.encode(t).ids for t in SMALL_TEXTS[3:30:3]] + [[r.choice(known) for _ in range(r.randrange(1, 16))] for _ in range(12)]
        for ids in lists:
            if ids:
                decoded.append([ids, tokenizer.decode(ids, skip_special_tokens=False), tokenizer.decode(ids, skip_special_tokens=True)])
        out.append({"name": name, "model": model, "tokenizer": config, "expected": expected, "decoded": decoded})
    return {"models": all_models, "texts": SMALL_TEXTS, "tokenizers": out}


# ------------------------------------------------------------------------------------------------------ unicode tables

CHARACTERS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
GROUPS = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So".split()
CHUNK = 20000


def removed_by(pre_tokenizer):
    """The characters that a pre-tokenizer which removes what it matches takes away."""
    removed = set()
    for first in range(0, len(CHARACTERS), CHUNK):
        chunk = CHARACTERS[first : first + CHUNK]
        kept = set()
        for _, (start, end) in pre_tokenizer.pre_tokenize_str("".join(map(chr, chunk))):
            kept.update(range(start, end))
        removed.update(c for i, c in enumerate(chunk) if i not in kept)
    return removed


def pieces_around(pre_tokenizer, count):
    """The characters that cut "a" from "a" into `count` pieces."""
    return {c for c in CHARACTERS if len(pre_tokenizer.pre_tokenize_str("a" + chr(c) + "a")) == count}


def ranges(characters):
    out = []
    for c in sorted(characters):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def print_ranges(name, comment, characters):
    cells = ["{0x%X, 0x%X}" % (a, b) for a, b in ranges(characters)]
    print("/* %s */\nstatic const ffai__range %s[] = {" % (comment, name))
    line = "   "
    for cell in cells:
        if len(line) + len(cell) + 2 > 118:
            print(line)
            line = "   "
        line += " " + cell + ","
    print(line + "\n};\n")


def print_lowercase():
    lower = normalizers.Lowercase()
    runs = []
    for c in CHARACTERS:
        small = lower.normalize_str(chr(c))
        if small == chr(c) or len(small) != 1:
            continue
        delta = ord(small) - c
        if runs and runs[-1][3] == delta and c - runs[-1][1] in (1, 2) and runs[-1][2] in (0, c - runs[-1][1]):
            runs[-1][2] = c - runs[-1][1]
            runs[-1][1] = c
        else:
            runs.append([c, c, 0, delta])
    print("/* Small letters: every `step`-th character of a range moves by `delta`. */")
    print("static const struct {\n    uint32_t first, last, step;\n    int32_t delta;\n} lowercase_runs[] = {")
    for first, last, step, delta in runs:
        print("    {0x%X, 0x%X, %d, %d}," % (first, last, max(step, 1), delta))
    print("};\n")


def reorders(mark):
    """Whether canonical ordering moves the character across a mark of another class."""
    nfd = normalizers.NFD()
    x = chr(mark)
    return nfd.normalize_str("a\u0345" + x) != "a\u0345" + x or nfd.normalize_str("a" + x + "\u0334") != "a" + x + "\u0334"


def write_unicode_tables():
    print("/* Made by tools/make-tokenizer-cases.py --unicode; don't edit. */")
    print("#ifndef FFAI_TEXT_UNICODE_TABLES_H\n#define FFAI_TEXT_UNICODE_TABLES_H\n")
    print('#include "unicode.h"\n')
    print_ranges("punctuation", "the Punctuation pre-tokenizer (general category P of Unicode 8, and ASCII)",
                 removed_by(pre_tokenizers.Punctuation("removed")))
    print_ranges("numeric", "the Digits pre-tokenizer (general category N)",
                 pieces_around(pre_tokenizers.Digits(individual_digits=True), 3))
    strip = normalizers.StripAccents()
    print_ranges("mark", "the StripAccents normalizer (general category M of Unicode 9)",
                 {c for c in CHARACTERS if strip.normalize_str("a" + chr(c)) == "a"})
    print_ranges("word", "what single_word and the Whitespace pre-tokenizer call a word character",
                 pieces_around(pre_tokenizers.Whitespace(), 1))
    print_lowercase()
    forms = [getattr(normalizers, name)() for name in ("NFD", "NFKD")]
    names = ["NFD", "NFKD"]
    inert = set()
    for c in CHARACTERS:
        if unicodedata.combining(chr(c)) and not reorders(c):
            inert.add(c)
        for form, name in zip(forms, names):
            if form.normalize_str(chr(c)) == chr(c) and unicodedata.normalize(name, chr(c)) != chr(c):
                inert.add(c)
    # Scripts of Unicode 16 with compositions, for newer Unicode libraries than this script's.
    for first, last in ((0x105C0, 0x105F3), (0x11380, 0x113E2), (0x16100, 0x16139), (0x16D40, 0x16D79),
                        (0x1E030, 0x1E06D), (0x1E08F, 0x1E08F), (0x10EFD, 0x10EFF), (0x11F41, 0x11F42),
                        (0x1E4EC, 0x1E4EF), (0x1E5EE, 0x1E5EF), (0x897, 0x897), (0x10D69, 0x10D6D)):
        inert.update(range(first, last + 1))
    inert.discard(0x345)
    print_ranges("inert", "characters newer than the normalization tables (Unicode 9): they neither decompose nor move",
                 inert)
    by_group = {group: removed_by(pre_tokenizers.Split(Regex(r"\p{%s}" % group), "removed")) for group in GROUPS}
    print("/* Characters that regexes put into a category and Unicode 14, as PCRE2 10.42 has it, doesn't. */")
    print("static const struct {\n    const char category[3];\n    ffai__range range;\n} category_additions[] = {")
    for group in GROUPS:
        extra = {c for c in by_group[group] if unicodedata.category(chr(c)) == "Cn"}
        for first, last in ranges(extra):
            print('    {"%s", {0x%X, 0x%X}},' % (group, first, last))
    print("};\n\n#endif")


# ------------------------------------------------------------------------------------------------------------- modes


def write_cases(arguments):
    cases = classes()
    write_json(DATA / "cases.json", [{"name": name, "cases": members} for name, members in cases.items()])
    write_json(DATA / "small.json", small_cases())
    loaded = {name: load(arguments.tokenizers, name) for name in NAMES}
    if arguments.smollm2:
        text = smollm2(arguments.smollm2)
        (DATA / "smollm2" / "tokenizer.json.xz").write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
        loaded["smollm2"] = Tokenizer.from_str(text)
    for name, tokenizer in loaded.items():
        expected = [{"name": c, "expected": [expectation(tokenizer, text_of(case)) for case in members]} for c, members in cases.items()]
        write_json(DATA / "expected" / f"{name}.json", expected)
        print(name, sum(map(len, cases.values())), "cases in", len(cases), "classes")


def check_repository(arguments):
    """All tracked text files as one text: a call a tokenizer, whose loading takes longer than the encoding."""
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    contents = [(ROOT / file.decode()).read_bytes() for file in filter(None, files)]
    texts = [content for content in contents if b"\0" not in content]
    data = b"\n".join(texts)
    failed = 0
    for name in NAMES:
        tokenizer = load(arguments.tokenizers, name)
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "tokenizer.json").write_text(tokenizer.to_str())
            run = subprocess.run([arguments.ffai, "tokenize", "-m", folder], input=data, capture_output=True, check=True)
        ours, theirs = json.loads(run.stdout), tokenizer.encode(data.decode(errors="replace")).ids
        failed += ours != theirs
        print(f"{name}: {len(texts)} files, {len(data)} bytes, {len(theirs)} ids:", "equal" if ours == theirs else "DIFFERENT")
    return 1 if failed else 0


def random_text(r, specials):
    """A string of one to four kinds of characters."""
    kinds = [
        lambda: chr(r.randrange(32, 127)), lambda: r.choice("\n\r\t \x0b\x0c\x85\xa0\u1680\u180e\u2000\u2028\u3000\ufeff\u200b\u200d"), lambda: chr(r.randrange(0x80, 0x800)),
        lambda: chr(r.choice([r.randrange(0x800, 0xD800), r.randrange(0xE000, 0x10000)])), lambda: chr(r.randrange(0x10000, 0x110000)), lambda: chr(r.randrange(0x300, 0x370)),
        lambda: r.choice("'’ʼ") + r.choice(["s", "S", "ſ", "T", "re", "RE", "ve", "ll", "LL", "lL", "d", "m"]), lambda: r.choice("0123456789٠١²½Ⅷ") * r.randrange(1, 8),
        lambda: r.choice(specials), lambda: r.choice(specials)[: r.randrange(1, 8)], lambda: r.choice(["the", "Hello", "WORLD", "camelCase", "ﬁ", "ß", "İ", "日本", "한국어", "ไทย", "हिन्दी", "עברית"]),
        lambda: " " * r.randrange(1, 20), lambda: chr(r.choice([0x1F468, 0x200D, 0x1F1E6, 0xFE0F, 0x1F3FB])), lambda: chr(r.randrange(0xAC00, 0xD7A4)), lambda: chr(r.randrange(0x1100, 0x1200)),
    ]
    some = r.sample(kinds, r.randrange(1, 5))
    return "".join(r.choice(some)() for _ in range(r.randrange(1, 40)))


class Library:
    """The C library's tokenizer."""

    class Error(ctypes.Structure):
        _fields_ = [("status", ctypes.c_int), ("message", ctypes.c_char * 1024)]

    class Options(ctypes.Structure):
        _fields_ = [("add_special_tokens", ctypes.c_bool), ("parse_special", ctypes.c_bool)]

    def __init__(self, library, path):
        self.library = ctypes.CDLL(library)
        self.library.ffai_free.argtypes = [ctypes.c_void_p]
        self.error = Library.Error()
        self.tokenizer = ctypes.c_void_p()
        self.check(self.library.ffai_tokenizer_load(ctypes.byref(self.tokenizer), str(path).encode(), ctypes.byref(self.error)))

    def check(self, status):
        if status:
            raise RuntimeError(self.error.message.decode())

    def encode(self, text, add_special_tokens, parse_special):
        ids, count, data = ctypes.POINTER(ctypes.c_int32)(), ctypes.c_size_t(), text.encode()
        options = Library.Options(add_special_tokens, parse_special)
        self.check(self.library.ffai_tokenizer_encode(ctypes.byref(ids), ctypes.byref(count), self.tokenizer, data, ctypes.c_size_t(len(data)), ctypes.byref(options), ctypes.byref(self.error)))
        out = ids[: count.value]
        self.library.ffai_free(ids)
        return out

    def decode(self, ids, skip):
        text, size = ctypes.c_void_p(), ctypes.c_size_t()
        self.check(self.library.ffai_tokenizer_decode(ctypes.byref(text), ctypes.byref(size), self.tokenizer, (ctypes.c_int32 * len(ids))(*ids), ctypes.c_size_t(len(ids)), ctypes.c_bool(skip), ctypes.byref(self.error)))
        out = ctypes.string_at(text, size.value).decode()
        self.library.ffai_free(text)
        return out


def compare_random(arguments):
    failed = 0
    for name in NAMES:
        tokenizer = load(arguments.tokenizers, name)
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write(tokenizer.to_str())
            file.flush()
            ours = Library(arguments.library, file.name)
        r = random.Random(arguments.seed)
        specials = [t.content for t in tokenizer.get_added_tokens_decoder().values()]
        wrong = 0
        for i in range(arguments.random):
            text = random_text(r, specials)
            tokenizer.encode_special_tokens = i % 3 == 0
            ids = tokenizer.encode(text).ids
            if ours.encode(text, True, i % 3 != 0) != ids:
                wrong += 1
                print(f"{name}: encode {text!r}", file=sys.stderr)
            if i % 2:
                ids = [r.randrange(tokenizer.get_vocab_size()) for _ in range(r.randrange(20))]
            if ours.decode(ids, i % 4 < 2) != tokenizer.decode(ids, skip_special_tokens=i % 4 < 2):
                wrong += 1
                print(f"{name}: decode {ids}", file=sys.stderr)
        print(f"{name}: {arguments.random} strings, {wrong} differences")
        failed += wrong
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizers", help="folder with a folder for each tokenizer")
    parser.add_argument("--smollm2", help="GGUF file to take SmolLM2's tokenizer from")
    parser.add_argument("--check-repository", action="store_true")
    parser.add_argument("--ffai", default=str(ROOT / "build" / "ffai"), help="the command that --check-repository runs")
    parser.add_argument("--random", type=int, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--library", help="shared library that --random calls")
    parser.add_argument("--unicode", action="store_true")
    arguments = parser.parse_args()
    if arguments.unicode:
        return write_unicode_tables()
    if not arguments.tokenizers:
        parser.error("--tokenizers is needed")
    print("tokenizers", tokenizers.__version__)
    if arguments.check_repository:
        return check_repository(arguments)
    return compare_random(arguments) if arguments.random else write_cases(arguments)


if __name__ == "__main__":
    sys.exit(main())
