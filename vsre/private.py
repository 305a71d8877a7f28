"""What of a machine goes to nobody else: its secrets not at all, and its places by their last part only."""

import json
import re
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

SECRET_KEY = re.compile(
    r"token|\w*(?:hub|hf|auth|access|api|bearer|secret|private)_?(?:token|key)"
    r"|\w*(?:password|passwd|secret|credential)\w*",
    re.I,
)
"""Whole names of settings with secrets; ``bos_token_id``, ``max_new_tokens`` and a folder /secret/data are none."""

SECRET_VALUE = re.compile(r"\bhf_[A-Za-z0-9]{16,}|://[^/\s@]+:[^/\s@]+@")
"""Tokens of the hub, and addresses with a password."""

PLACE = re.compile(r"file:|[/~]|\.{1,2}(?:[/\\]|$)|[A-Za-z]:[/\\]|\\\\|.*[/\\]\.\.[/\\]", re.I)
"""How a path begins that is of one machine, or of where somebody stands on it."""

HOME = re.compile(r"(?:file://)?(?:\b[A-Za-z]:)?(?<![\w.])[/\\](?:home|users|root)[/\\][^\s'\",;:)\]]*", re.I)
"""A path in somebody's home, inside a text."""

AS_THEY_ARE = re.compile(r"tokenizer\.json|vocab.*\.json|added_tokens\.json|special_tokens_map\.json|.*\.index\.json")
"""Files whose keys and values are words or parameters: '/' and 'password' are words of most vocabularies."""

WORDS = "tokenizer_config.json"
"""Holds words too; only its settings that name files are looked at."""


def without_places(value: Any) -> Any:
    """Return settings without secrets, and with every path of this machine, also as a key, shortened to its last part.

    Keys that come to the same are numbered: "train", "train (2)".
    """
    if isinstance(value, Mapping):
        found: dict[Any, Any] = {}
        for key, entry in value.items():
            if isinstance(key, str) and SECRET_KEY.fullmatch(key):
                continue
            short = name = without_places(key)
            number = 2
            while name in found:
                name, number = f"{short} ({number})", number + 1
            found[name] = without_places(entry)
        return found
    if isinstance(value, list | tuple):
        return [without_places(entry) for entry in value]
    return _shortened(value) if isinstance(value, str) else value


def cleaned_file(path: Path) -> bytes | None:
    """Return a JSON file of a checkpoint as it may leave this machine; ``None`` where it may as it is."""
    if path.suffix not in (".json", ".jsonl") or AS_THEY_ARE.fullmatch(path.name):
        return None
    text = path.read_text(encoding="utf-8")
    try:
        before = [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text)
    except ValueError:
        return None
    after = _without_files(before) if path.name == WORDS else without_places(before)
    if after == before:
        return None
    if path.suffix == ".jsonl":
        return "".join(json.dumps(line) + "\n" for line in after).encode()
    return as_json(after)


def as_json(content: Any) -> bytes:
    """Return the bytes of a JSON file."""
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def _without_files(settings: Any) -> Any:
    if not isinstance(settings, Mapping):
        return settings
    return {
        key: without_places(value) if re.search(r"(?:path|file|dir|folder)s?$", key) else value
        for key, value in settings.items()
        if not SECRET_KEY.fullmatch(key)
    }


def _shortened(text: str) -> str:
    if SECRET_VALUE.search(text):
        return "(secret)"
    if PLACE.match(text) and "\n" not in text:
        return PureWindowsPath(text).name
    return HOME.sub(lambda found: PureWindowsPath(found[0]).name, text)
