"""Writes test/fixtures/openai-operations.json from OpenAI's specification: python3 extract-operations.py openapi.yml"""

import json
import sys
from pathlib import Path

import yaml

document = yaml.safe_load(Path(sys.argv[1]).read_text())


def resolved(node):
    while isinstance(node, dict) and "$ref" in node:
        target = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


operations = {}
for path, item in document["paths"].items():
    for method in ("get", "post", "put", "patch", "delete"):
        if method not in item:
            continue
        answers = [resolved(answer) for status, answer in item[method]["responses"].items() if status[0] == "2"]
        types = sorted({name for answer in answers for name in answer.get("content") or {}})
        operations[f"{method.upper()} {path}"] = types

version = document["info"]["version"]
source = f"OpenAI's OpenAPI specification {version}, MIT licence"
written = {"source": source, "operations": operations}
fixture = Path(__file__).parent.parent / "fixtures" / "openai-operations.json"
fixture.write_text(json.dumps(written, indent=2) + "\n")
