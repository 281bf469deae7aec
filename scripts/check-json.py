#!/usr/bin/env python3
"""Holds documents against a JSON Schema: one on standard input, or one a line.

    target/judges/bin/python scripts/check-json.py [--closed] SCHEMA <DOCUMENTS

Says on standard output what is wrong and where, and exits 1; silent and 0 where all is well. The judge is Python's
`jsonschema`, which `scripts/setup.sh --judges` installs. `--closed` is for our own schemas: they allow fields that a later
version may add, so a field that this version writes and no schema describes would pass; closed, it does not.
"""

import json
import sys

import jsonschema


def close(schema):
    """Forbids, in place, what a schema does not describe."""
    if isinstance(schema, dict):
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        for below in schema.values():
            close(below)
    elif isinstance(schema, list):
        for below in schema:
            close(below)


def main():
    *options, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        schema = json.load(file)
    if options == ["--closed"]:
        close(schema)
    elif options:
        sys.exit(f"unknown arguments {options}; expected --closed")
    judge = jsonschema.validators.validator_for(schema)
    judge.check_schema(schema)
    text = sys.stdin.read()
    try:
        documents = [json.loads(text)]
    except json.JSONDecodeError:
        documents = [json.loads(line) for line in text.splitlines()]
    errors = [error for document in documents for error in judge(schema).iter_errors(document)]
    for error in errors:
        print(f"{error.json_path}: {error.message[:300]}")
    sys.exit(1 if errors else 0)


main()
