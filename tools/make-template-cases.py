#!/usr/bin/env python3
"""Test cases for chat templates, with what transformers makes of them: tests/data/templates.

    make-template-cases.py --templates FOLDER [--tokenizers FOLDER]

FOLDER has *.jinja; the other one folders with a tokenizer_config.json or chat_template.jinja. Needs transformers and
jinja2, as requirements.txt has them. snippets.json and conversations.json hold what is rendered, and are kept by hand;
this fills in snippets-expected.json and expected/.
"""

import argparse
import datetime
import json
import pathlib

import transformers.utils.chat_template_utils as chat_template_utils

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "templates"
NOW = (2026, 11, 23)


class FixedDate(datetime.datetime):
    """A clock that stands still, for strftime_now."""

    @classmethod
    def now(cls, tz=None):
        return cls(*NOW)


def render(template, variables):
    """The text, or None where transformers raises."""
    try:
        return chat_template_utils._compile_jinja_template(template).render(**variables)
    except Exception:
        return None


def fnv1a(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def inputs(cases):
    """Every conversation with every set of variables, with and without the generation prompt."""
    for messages in cases["conversations"]:
        for variables in cases["variables"]:
            for prompt in (True, False):
                yield {"messages": messages, "tools": None, "documents": None, **variables, "add_generation_prompt": prompt}


def templates(folder, tokenizers):
    for path in sorted(folder.glob("*.jinja")):
        yield path.stem, path.read_text()
    for path in sorted(tokenizers.glob("*")) if tokenizers else []:
        config = path / "tokenizer_config.json"
        text = json.loads(config.read_text()).get("chat_template") if config.exists() else None
        if (path / "chat_template.jinja").exists():
            text = (path / "chat_template.jinja").read_text()
        if isinstance(text, str):
            yield "tokenizer-" + path.name, text


def write(path, document):
    path.write_text(json.dumps(document, ensure_ascii=False, indent=0) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--templates", type=pathlib.Path, required=True)
    parser.add_argument("--tokenizers", type=pathlib.Path)
    options = parser.parse_args()
    chat_template_utils.datetime = FixedDate
    snippets = json.loads((DATA / "snippets.json").read_text())
    variables = {**snippets["own"], **snippets["data"]}
    write(DATA / "snippets-expected.json", [render(text, variables) for text in snippets["templates"]])
    cases = json.loads((DATA / "conversations.json").read_text())
    (DATA / "expected").mkdir(exist_ok=True)
    for name, template in templates(options.templates, options.tokenizers):
        texts = [render(template, {**cases["own"], **data}) for data in inputs(cases)]
        write(DATA / "expected" / f"{name}.json", [text if text is None else fnv1a(text) for text in texts])


if __name__ == "__main__":
    main()
