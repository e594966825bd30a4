#!/usr/bin/env python3
"""Cases for regular expressions, with Python's verdicts: writes tests/data/grammar/regex.json, or compares at random.

    tools/make-regex-cases.py                                     write the file
    tools/make-regex-cases.py --random 5000 build/tests/match_grammar   random patterns, both verdicts compared
"""
import argparse
import json
import pathlib
import random
import re
import subprocess

FILE = pathlib.Path(__file__).resolve().parent.parent / "tests/data/grammar/regex.json"

# Pattern, texts. \d, \w and \s are ECMAScript's, which on these texts are Python's under re.ASCII.
CASES = [
    ("", ["", "a"]),
    ("abc", ["abc", "ab", "abcd", ""]),
    ("a|b|", ["a", "b", "", "ab"]),
    ("(ab)*c", ["c", "abc", "ababc", "abab", "ac"]),
    ("a{3}", ["aa", "aaa", "aaaa"]),
    ("a{2,}", ["a", "aa", "aaaaaaa"]),
    ("a{2,4}?b", ["ab", "aab", "aaaab", "aaaaab"]),
    ("a{0}", ["", "a"]),
    ("a{x}", ["a{x}", "ax"]),
    ("x{1", ["x{1", "x"]),
    ("[a-c]+", ["abc", "abd", ""]),
    ("[^a-c]+", ["xyz", "xay", "\n", "é"]),
    ("[\\]a]", ["]", "a", "b"]),
    ("[a\\-z]", ["a", "-", "z", "b"]),
    ("[-a]", ["-", "a", "b"]),
    ("[a-]", ["-", "a", "b"]),
    ("[\\d_]+", ["12_3", "a"]),
    ("[\\w.]+", ["a.b", "a b"]),
    ("[\\b]", ["\b", "b"]),
    ("[^\\s]+", ["abc", "a c", "a\tc"]),
    ("\\d{4}-\\d{2}-\\d{2}", ["2024-01-31", "2024-1-31", "٢٠٢٤-01-31"]),
    ("\\w+\\s\\w+", ["hello world", "hello", "a\tb", "a  b"]),
    ("\\W\\S\\D", ["-ab", "aab", "-1a", "--1"]),
    (".", ["a", "é", "😀", "\n", ""]),
    (".*x", ["x", "abcx", "a\nx", "xy"]),
    ("é+", ["é", "éé", "e"]),
    ("[à-ü]+", ["éè", "e", "ÿ"]),
    ("[\\u4e00-\\u9fff]{2}", ["中文", "中", "ab"]),
    ("[😀-😎]", ["😃", "😏", "a"]),
    ("\\x41\\u0042", ["AB", "ab"]),
    ("\\t\\n\\r\\f\\v\\0", ["\t\n\r\f\v\0", "tnrfv0"]),
    ("\\.\\*\\+\\?\\(\\)\\[\\]\\{\\}\\|\\^\\$\\\\\\/", [".*+?()[]{}|^$\\/", "."]),
    ("(?:a|b)+(?P<name>c)", ["abac", "c", "ab"]),
    ("^abc$", ["abc", "xabc"]),
    ("^a|b$", ["a", "b", "ab"]),
    ("(^a|b)c", ["ac", "bc", "c"]),
    ("(?:^a$)|(?:^b$)", ["a", "b", "ab"]),
    ("(a|(b|(c|d)))e", ["ae", "be", "ce", "de", "e"]),
    ("(a*)*b", ["b", "aaab", "aaa"]),
    ("(a|aa)+$", ["a", "aaa", "", "b"]),
    ("((a|b)(c|d)){2}", ["acbd", "ac", "acbdac"]),
    ("(x+x+)+y", ["xxy", "xy", "xxxxxxxxxxxxxxxxxxxxxxxxxx"]),
    ("a.c", ["abc", "axc", "ac"]),
    ("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?", ["0", "-1.5e10", "01", "1.", "1e", "10.25"]),
    ("[a-zA-Z0-9._%+-]+@[a-z.-]+\\.[a-z]{2,}", ["a.b@c.org", "a@b", "@c.org"]),
    ("(25[0-5]|2[0-4]\\d|1?\\d?\\d)(\\.(25[0-5]|2[0-4]\\d|1?\\d?\\d)){3}", ["1.2.3.4", "255.255.255.255", "256.1.1.1"]),
    ("}]", ["}]", "}"]),
    ("a-b", ["a-b"]),
    ("[.^$*+?(){}|]", [".", "^", "$", "a", "|"]),
]

REFUSED = [
    "a(?=b)", "a(?!b)", "(?<=a)b", "(?<!a)b", "\\bword", "a\\B", "(a)\\1", "(?P<n>a)(?P=n)", "(?i)a", "\\p{L}", "a++",
    "a**", "a{2}{3}", "*a", "(", ")", "(a", "a)", "[", "[a", "[]", "[^]", "[z-a]", "[\\d-z]", "a{3,2}", "\\", "\\q",
    "a$b", "a^b", "(^a)*", "(a$)+", "\\x4", "\\u12", "\\ud800", "a{,3}", "(?>a)", "+", "a|*",
]


def verdicts(pattern, texts):
    compiled = re.compile(pattern, re.ASCII)
    return {
        "pattern": pattern,
        "matches": [t for t in texts if compiled.fullmatch(t)],
        "others": [t for t in texts if not compiled.fullmatch(t)],
    }


def write():
    cases = [verdicts(*case) for case in CASES] + [{"pattern": p, "refused": True} for p in REFUSED]
    lines = ",\n".join(json.dumps(case) for case in cases)
    FILE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def random_pattern(rng, depth=0):
    """A pattern of what both understand."""
    kind = rng.randrange(9 if depth < 4 else 4)
    if kind == 0:
        return rng.choice("abcé")
    if kind == 1:
        return rng.choice(["[a-b]", "[^a]", "\\w", "\\d", "[bc1]", ".", "\\s", "[^\\w]", "[à-ÿ]", "\\D"])
    if kind in (2, 3):
        return rng.choice("ab1 ")
    if kind == 4:
        return random_pattern(rng, depth + 1) + random_pattern(rng, depth + 1)
    if kind == 5:
        return f"({random_pattern(rng, depth + 1)}|{random_pattern(rng, depth + 1)})"
    if kind == 6:
        low = rng.randrange(3)
        count = rng.choice(["*", "+", "?", f"{{{low}}}", f"{{{low},}}", f"{{{low},{low + rng.randrange(3)}}}"])
        return f"(?:{random_pattern(rng, depth + 1)}){count}{rng.choice(['', '', '?'])}"
    return random_pattern(rng, depth + 1) + random_pattern(rng, depth + 1)


def compare(count, program):
    rng = random.Random(1)
    child = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    texts_compared = matched = 0
    for _ in range(count):
        pattern = random_pattern(rng)
        texts = ["".join(rng.choice("aabbc1 é-") for _ in range(rng.randrange(8))) for _ in range(20)]
        child.stdin.write(json.dumps({"language": "regex", "grammar": pattern, "texts": texts}) + "\n")
        child.stdin.flush()
        reply = json.loads(child.stdout.readline())
        expected = [re.compile(pattern, re.ASCII).fullmatch(t) is not None for t in texts]
        if reply.get("matches") != expected:
            raise SystemExit(f"{pattern!r}: {texts}: {reply}, Python says {expected}")
        texts_compared += len(texts)
        matched += sum(expected)
    print(f"{count} patterns, {texts_compared} texts, {matched} of them matched: no difference")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--random", type=int, metavar="N")
    parser.add_argument("program", nargs="?")
    arguments = parser.parse_args()
    if arguments.random:
        compare(arguments.random, arguments.program)
    else:
        write()


if __name__ == "__main__":
    main()
