"""The hash that names a model in predictions: its weights, and the files that decide what it sees and how it reads.

Times, training state and where the directory lies do not change it. An adapter is named with its base.
"""

import hashlib
import json
from pathlib import Path

from encoders.load import lineage
from spatial.errors import CheckpointError

_WORDS = ("tokenizer*", "vocab.*", "merges.txt", "added_tokens.json", "special_tokens_map.json")
_SEEN = ("*.safetensors", "config.json", "adapter_config.json", "*processor_config.json", *_WORDS)
_CHAT = ("*.jinja", "chat_template.json")
_INCIDENTAL = ("_name_or_path", "base_model_name_or_path", "transformers_version", "revision")


def model_hash(model: str | Path) -> str:
    """Return 32 hex digits for a checkpoint or adapter directory.

    Raises:
        CheckpointError: the directory, or an adapter's base directory, is missing or has no weights.
    """
    digest = ""
    for folder in reversed(lineage(Path(model))):
        digest = _hash(folder, digest)
    return digest


def _hash(folder: Path, of_base: str) -> str:
    if not any(folder.glob("*.safetensors")):
        raise CheckpointError(f"model {folder} is not a directory with .safetensors files; correct the path")
    paths = sorted({path for pattern in (*_SEEN, *_CHAT) for path in folder.glob(pattern) if path.is_file()})
    hasher = hashlib.blake2b(digest_size=16)
    for path in paths:
        hasher.update(f"{path.name}\n".encode())
        hasher.update(_content(path))
    hasher.update(of_base.encode())
    return hasher.hexdigest()


def _content(path: Path) -> bytes:
    if path.suffix == ".safetensors":
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    if path.suffix != ".json":
        return path.read_bytes()
    content = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(content, dict):
        content = {key: value for key, value in content.items() if key not in _INCIDENTAL}
    return json.dumps(content, sort_keys=True).encode()
