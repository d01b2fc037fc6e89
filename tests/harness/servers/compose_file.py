"""docker-compose.yml as Compose reads it: where it is, its variables, and its content with them replaced."""

from __future__ import annotations

import re
from typing import Any

from tests.harness.command import ROOT

FILE = ROOT / "docker-compose.yml"
VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?:(:[-?])([^}]*))?\})")


def variables(text: str) -> set[str]:
    """The file's variables that have no default: the secrets, and which worker to run."""
    return {name for _, name, kind, _ in VARIABLE.findall(text) if kind == ":?"}


def interpolated(value: Any, given: dict[str, str]) -> Any:
    """The file's content with Compose's variables replaced: ${X}, ${X:-default}, ${X:?what to do}, $$."""

    def one(found: re.Match[str]) -> str:
        dollar, name, kind, rest = found.groups()
        if dollar:
            return "$"
        if kind == ":?" and not given.get(name):
            raise ValueError(f"{name} is not set: {rest}")
        return given.get(name) or (rest if kind == ":-" else "")

    if isinstance(value, str):
        return VARIABLE.sub(one, value)
    if isinstance(value, dict):
        return {key: interpolated(item, given) for key, item in value.items()}
    return [interpolated(item, given) for item in value] if isinstance(value, list) else value
