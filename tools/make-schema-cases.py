#!/usr/bin/env python3
"""Cases for JSON schemas, with the verdicts of Python's jsonschema: writes tests/data/grammar/schemas.json.

    tools/make-schema-cases.py                                        write the file
    tools/make-schema-cases.py --random 2000 build/tests/match_grammar    random schemas and values, verdicts compared

Values are spelled as the grammar spells them; the random ones' objects have their members in the schema's order.
Needs the package jsonschema.
"""
import argparse
import json
import pathlib
import random
import subprocess

import jsonschema

FILE = pathlib.Path(__file__).resolve().parent.parent / "tests/data/grammar/schemas.json"
ORDER = ["a", "b", "c", "d"]

OBJECT = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}, "c": True},
          "required": ["b"]}
TREE = {"$defs": {"tree": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {
    "type": "array", "items": {"$ref": "#/$defs/tree"}}}, "required": ["a"], "additionalProperties": False}},
    "$ref": "#/$defs/tree"}

CASES = [
    (True, [1, None, "x", [], {"q": [{}]}]),
    ({}, [1.5, True, "\"\\\n\u0001é😀/"]),
    ({"type": "integer"}, [0, -1, 12345678901234567890, 1.5, "1", None]),
    ({"type": ["null", "boolean"]}, [None, True, False, 0, ""]),
    ({"type": "integer", "minimum": -12, "maximum": 305}, [-13, -12, -11, -1, 0, 9, 10, 99, 100, 299, 305, 306, 1000]),
    ({"type": "integer", "exclusiveMinimum": 9.5, "exclusiveMaximum": 100}, [9, 10, 99, 100]),
    ({"type": "integer", "minimum": 1000}, [999, 1000, 1001, 99999, 5]),
    ({"type": "integer", "maximum": -7}, [-6, -7, -8, -10, -100, 0, 7]),
    ({"type": "integer", "multipleOf": 7, "minimum": -20}, [-21, -14, -7, 0, 7, 49, 50, 700]),
    ({"type": "number", "minimum": 0.25, "maximum": 10.5}, [0.2, 0.24, 0.25, 0.3, 1, 9.99, 10, 10.5, 10.51, 11, -1]),
    ({"type": "number", "exclusiveMinimum": -1.5, "exclusiveMaximum": 0}, [-2, -1.5, -1.49, -1, -0.001, 0, 0.1]),
    ({"type": "number", "exclusiveMinimum": 3}, [3, 3.0001, 2.99, 4, 30]),
    ({"minimum": 5}, [4, 5, "x", None, [1]]),
    ({"enum": [1, "a", None, {"x": [1.0]}]}, [1, "a", None, {"x": [1]}, 2, "b", {}]),
    ({"const": "a\"b"}, ["a\"b", "ab"]),
    ({"enum": [1, 5, 10, "x"], "minimum": 4, "type": "integer"}, [1, 5, 10, "x"]),
    ({"type": "string", "minLength": 2, "maxLength": 3}, ["a", "ab", "é😀", "abc", "\n\n\n", "abcd"]),
    ({"type": "string", "pattern": "b+"}, ["abc", "b", "ac", ""]),
    ({"type": "string", "pattern": "^[a-z]+$", "maxLength": 3}, ["abc", "abcd", "", "A"]),
    ({"type": "string", "pattern": "^\\W+$"}, ["\"\\", "--", "a"]),
    ({"allOf": [{"pattern": "a"}, {"pattern": "b"}], "type": "string"}, ["ab", "ba", "a", "b", "xaxbx"]),
    ({"type": "string", "format": "date"}, ["2024-02-29", "2023-02-29", "2023-12-31", "2023-13-01"]),
    ({"type": "string", "format": "ipv4"}, ["1.2.3.4", "256.1.1.1", "1.2.3"]),
    ({"type": "string", "format": "uuid"}, ["123e4567-e89b-12d3-a456-426614174000", "123e4567"]),
    ({"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3}, [[], [1], [1, 2, 3], [1, 2, 3, 4],
                                                                                    ["x"]]),
    ({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False}, [[], [1], [1, "a"],
                                                                                                  [1, "a", 2], ["a"]]),
    ({"type": "array", "prefixItems": [{"const": 1}], "items": {"const": 2}, "minItems": 2}, [[1], [1, 2], [1, 2, 2],
                                                                                             [2, 2]]),
    ({"type": "array", "maxItems": 0}, [[], [1]]),
    (OBJECT, [{"b": "x"}, {"a": 1, "b": "x"}, {"a": 1}, {}, {"a": "x", "b": "x"}, {"b": "x", "c": [1], "z": None},
              {"b": "x", "q": 1, "r": 2}]),
    ({**OBJECT, "additionalProperties": False}, [{"b": "x"}, {"a": 1, "b": "x", "c": 2}, {"b": "x", "d": 1}]),
    ({"type": "object", "additionalProperties": {"type": "integer"}}, [{}, {"x": 1, "y": 2}, {"x": "1"}]),
    ({"type": "object", "properties": {"a": {"const": 1}}, "additionalProperties": {"const": 2}}, [
        {"a": 1, "b": 2}, {"a": 2}, {"b": 1}, {"aa": 2, "": 2}]),
    ({"type": "object", "required": ["z"], "maxProperties": 2}, [{"z": 1}, {"z": 1, "q": 2}, {"z": 1, "q": 2, "r": 3},
                                                               {}]),
    ({"type": "object", "minProperties": 1}, [{}, {"a": 1}]),
    ({"type": "object", "properties": {"a": False, "b": True}}, [{"b": 1}, {"a": 1, "b": 1}]),
    (TREE, [{"a": 1}, {"a": 1, "b": [{"a": 2, "b": []}, {"a": 3}]}, {"b": []}, {"a": 1, "b": [1]}]),
    ({"anyOf": [{"type": "string", "maxLength": 2}, {"type": "integer"}], "minLength": 1}, ["", "ab", "abc", 5, 1.5]),
    ({"oneOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]}, ["x", 1, None, 1.5]),
    ({"oneOf": [{"properties": {"a": {"const": 1}}, "required": ["a"], "type": "object"},
                {"properties": {"a": {"const": 2}, "b": {"type": "string"}}, "required": ["a"], "type": "object"}]},
     [{"a": 1, "b": 5}, {"a": 2, "b": "x"}, {"a": 2, "b": 5}, {"a": 3}]),
    ({"oneOf": [{"type": "integer"}, {"minimum": 2}]}, [1, 2, 2.5, 1.5, 3, "x"]),
    ({"oneOf": [{"required": ["a"]}, {"required": ["b"]}], "type": "object"}, [{"a": 1}, {"b": 1}, {"a": 1, "b": 1}, {}]),
    ({"properties": {"a": True, "b": True},
      "oneOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"b": {"maxLength": 1}},
                                                                                "required": ["b"]}]},
     [{"a": 1}, {"b": "x"}, {"a": 1, "b": "x"}, {"a": 1, "b": "xy"}, {"a": "x", "b": "x"}, 5]),
    ({"not": {"type": ["integer", "string"]}}, [1, 1.5, "x", None, [], {}]),
    ({"not": {"anyOf": [{"minimum": 3}, {"type": "boolean"}, {"const": None}]}}, [2, 3, True, None, "x"]),
    ({"not": {"properties": {"a": {"minItems": 1}}, "required": ["a"]}}, [{}, {"a": []}, {"a": [1]}, {"a": 1}, 3]),
    ({"not": {"not": {"enum": [True, None]}}}, [True, None, False, 1]),
    ({"type": "integer", "allOf": [{"multipleOf": 4}, {"multipleOf": 6}]}, [4, 6, 12, -24, 0]),
    ({"allOf": [{"properties": {"a": {"minimum": 3}}}, {"properties": {"a": {"type": "integer"}}, "required": ["a"]}],
      "type": "object"}, [{"a": 3}, {"a": 2}, {"a": 3.5}, {}]),
    ({"$ref": "#/$defs/x", "maximum": 5, "$defs": {"x": {"type": "integer", "minimum": 3}}}, [2, 3, 5, 6]),
    ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": 1}}}, [1, 2]),
]

# What is refused, and what the message has in it.
REFUSED = [
    ({"not": {"pattern": "a"}}, "#/not: values that it leaves over"),
    ({"type": "array", "contains": {"type": "null"}}, "#/contains: this keyword is not supported"),
    ({"properties": {"a": {"uniqueItems": True}}}, "#/properties/a/uniqueItems"),
    ({"properties": {"a/b": {"pattern": "(?=a)"}}}, "#/properties/a~1b/pattern: offset 0: looking ahead"),
    ({"items": {"format": "regex"}}, "#/items/format"),
    ({"items": [{}]}, "#/items: must be a schema"),
    ({"type": "text"}, "#/type: must be the name of a type"),
    ({"$ref": "other.json"}, "#/$ref: it leads out of the schema"),
    ({"$ref": "#/nowhere"}, "#/$ref: it leads to no schema"),
    ({"oneOf": [{"pattern": "a"}, {"pattern": "b"}]}, "#/oneOf: two of them may hold"),
    ({"multipleOf": 0.01}, "#/multipleOf"),
    ({"minLenght": 3}, "#/minLenght: this keyword is not supported"),
    ({"allOf": [{"type": "string"}, {"type": "null"}]}, "no text follows it"),
    ({"properties": {"a": {"$ref": "#"}}, "required": ["a"], "type": "object"}, "no text follows it"),
    ({"minLength": -1}, "#/minLength: must be a whole number"),
    ({"type": "string", "maxLength": 2000000000}, "states"),
    ({"enum": 5}, "#/enum: must be a list"),
    (5, "must be a schema"),
]


def spell(value):
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, list):
        return "[" + ",".join(map(spell, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{spell(k)}:{spell(v)}" for k, v in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def valid(schema, value):
    validator = jsonschema.Draft202012Validator
    return validator(schema, format_checker=validator.FORMAT_CHECKER).is_valid(value)


def write():
    cases = [{"schema": json.dumps(schema), "matches": [spell(v) for v in values if valid(schema, v)],
              "others": [spell(v) for v in values if not valid(schema, v)]} for schema, values in CASES]
    cases += [{"schema": json.dumps(schema), "refused": why} for schema, why in REFUSED]
    lines = ",\n".join(json.dumps(case) for case in cases)
    FILE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def random_schema(rng, depth=0):
    kind = rng.randrange(10 if depth < 3 else 6)
    if kind == 0:
        return rng.choice([True, {}, {"type": "null"}, {"type": "boolean"}, {"enum": [1, "a", None, [1]]}, {"const": 2}])
    if kind in (1, 2):
        schema = {"type": rng.choice(["integer", "number"])} if rng.randrange(3) else {}
        for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
            if rng.randrange(3) == 0:
                schema[key] = rng.choice([rng.randint(-15, 15), round(rng.uniform(-15, 15), 1)])
        return schema
    if kind in (3, 4):
        schema = {"type": "string"} if rng.randrange(3) else {}
        if rng.randrange(2):
            schema["pattern"] = rng.choice(["^a", "b$", "[ab]c?", "^a*b*$", "^(a|bc)+$"])
        if rng.randrange(3) == 0:
            schema["maxLength"] = rng.randrange(4)
        if rng.randrange(3) == 0:
            schema["minLength"] = rng.randrange(3)
        return schema
    if kind == 5:
        return {"type": rng.choice([["null", "integer"], ["string", "boolean"], "number", "object", "array"])}
    if kind == 6:
        schema = {"type": "array"}
        if rng.randrange(2):
            schema["items"] = random_schema(rng, depth + 1)
        if rng.randrange(2):
            schema["prefixItems"] = [random_schema(rng, depth + 1) for _ in range(rng.randint(1, 2))]
        if rng.randrange(2):
            schema[rng.choice(["minItems", "maxItems"])] = rng.randrange(3)
        return schema
    if kind == 7:
        return {rng.choice(["anyOf", "allOf", "oneOf"]): [random_schema(rng, depth + 1) for _ in range(2)]}
    names = sorted(rng.sample(ORDER, rng.randint(1, 3)))
    schema = {"type": "object", "properties": {name: random_schema(rng, depth + 1) for name in names}}
    if rng.randrange(2):
        schema["required"] = rng.sample(ORDER, rng.randint(0, 2))
    if rng.randrange(2):
        schema["additionalProperties"] = rng.choice([False, random_schema(rng, depth + 1)])
    if rng.randrange(4) == 0:
        schema["maxProperties"] = rng.randrange(4)
    return schema


def random_value(rng, depth=0):
    kind = rng.randrange(9 if depth < 3 else 6)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind in (1, 2):
        return rng.choice([rng.randint(-16, 16), round(rng.uniform(-16, 16), rng.randint(1, 2))])
    if kind in (3, 4, 5):
        return "".join(rng.choice("aabbcé\"") for _ in range(rng.randrange(5)))
    if kind == 6:
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {name: random_value(rng, depth + 1) for name in ORDER if rng.randrange(2)}


def compare(count, program):
    """Where anyOf and allOf join schemas, the order of names is the joined one: a value counts as matched if the
    alphabetical order is; required names come last, so that is compared only one way."""
    rng = random.Random(2)
    child = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    compared = agreed = tightened = refused = 0
    for _ in range(count):
        schema = random_schema(rng)
        values = [random_value(rng) for _ in range(40)]
        request = {"language": "json-schema", "grammar": json.dumps(schema), "texts": [spell(v) for v in values]}
        child.stdin.write(json.dumps(request) + "\n")
        child.stdin.flush()
        reply = json.loads(child.stdout.readline())
        if "matches" not in reply:
            refused += 1
            if not any(why in reply["error"] for why in ("no text follows", "minProperties", "oneOf")):
                raise SystemExit(f"{json.dumps(schema)}: {reply}")
            if "no text follows" not in reply["error"]:
                continue
            reply = {"matches": [False] * len(values)}
        for value, matched in zip(values, reply["matches"]):
            expected = valid(schema, value)
            if matched and not expected:
                raise SystemExit(f"loosened: {json.dumps(schema)}: {spell(value)}")
            if expected and not matched and "{" not in spell(value):
                raise SystemExit(f"tightened: {json.dumps(schema)}: {spell(value)}")
            compared += 1
            agreed += matched == expected
            tightened += expected and not matched
    print(f"{count} schemas ({refused} refused, or that nothing follows), {compared} values: {agreed} agree, none loosened, "
          f"{tightened} objects in another order")


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
