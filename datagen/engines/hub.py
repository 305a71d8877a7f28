"""Where weights are: a folder or file on disk, or a name on the hub, which is fetched once and kept in its cache.

A hub name is "owner/name", with "@" and a revision, or with the path of one file in it. With ``HF_HUB_OFFLINE=1`` only
what the cache has is used.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from spatial.errors import CheckpointError

HUB_NAME = re.compile(r"([\w.-]+/[\w.-]+?)((?:/[\w.-]+)+\.safetensors)?(?:@([\w./-]+))?")

OWN_FOLDERS = ("weights", "models", "checkpoints", "data", "runs")
"""Folders in which weights of one's own usually lie, and no owners on the hub."""

MODEL_FILES = (
    "config.json",
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model-*.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
    "model.safetensors",
    "preprocessor_config.json",
)
"""What is fetched of a single model; its publisher may have put other models beside it."""


def looks_local(name: str) -> bool:
    """Tell whether a name that is not there was meant as a path: "weights/sdxl" is built like a hub name."""
    first, slash, _ = name.partition("/")
    return name.startswith((".", "/", "~")) or bool(slash and (first in OWN_FOLDERS or Path(first).is_dir()))


def how_to_fill(name: str, published: str = "") -> str:
    """Return how to come by weights that were meant to lie at the path ``name``.

    Args:
        name: of a folder, or of a file in it.
        published: hub name of weights that would do; "" if none is known.
    """
    repository, file = on_hub(published or "OWNER/NAME")
    folder = str(Path(name).parent) if name.endswith(".safetensors") else name
    asked = f"{repository} {file}" if file else repository
    return f"correct the path, or download into it: hf download {asked} --local-dir {folder}"


def on_hub(name: str) -> tuple[str, str]:
    """Return the repository of a hub name, and the file that it names; "" if none."""
    parts = name.partition("@")[0].split("/")
    return "/".join(parts[:2]), "/".join(parts[2:])


@dataclass(frozen=True)
class Source:
    """Weights on disk: what the settings call them, where they are, and the hub's revision if they have one."""

    name: str
    path: Path
    revision: str = ""


def find_pipeline(name: str, revision: str = "", variant: str | None = None) -> Source:
    """Return the folder of a pipeline.

    Args:
        name: folder or hub name.
        revision: on the hub, where the name states none.
        variant: such as "fp16"; where the hub has it, it is fetched instead of full precision.

    Raises:
        CheckpointError: it is neither, or a folder of which a revision is asked.
    """

    def fetch(repository: str, _: str, at: str | None) -> str:
        from diffusers import DiffusionPipeline

        safe = {"use_safetensors": True, "trust_remote_code": False}
        get = partial(DiffusionPipeline.download, repository, revision=at, **safe)
        try:
            return str(get(variant=variant))
        except ValueError:  # the hub has no file of the variant
            if variant is None:
                raise
            return str(get())

    return _find(name, revision, fetch)


def find_model(name: str) -> Source:
    """Return the folder of a single model, or one safetensors file.

    Raises:
        CheckpointError: it is neither on disk nor on the hub.
    """

    def fetch(repository: str, file: str, at: str | None) -> str:
        return _fetch(repository, file, at, list(MODEL_FILES))

    return _find(name, "", fetch)


def find_lora(name: str) -> Source:
    """Return the safetensors file of a LoRA, which may be the only one of a folder or of a hub repository.

    Raises:
        CheckpointError: it is neither on disk nor on the hub, or there are several.
    """

    def fetch(repository: str, file: str, at: str | None) -> str:
        return _fetch(repository, file, at, ["*.safetensors"])

    source = _find(name, "", fetch)
    if source.path.is_file():
        files = [source.path] if source.path.suffix == ".safetensors" else []
    else:
        files = sorted(source.path.glob("*.safetensors"))
    if len(files) != 1:
        raise CheckpointError(
            f"LoRA {name} has {len(files) or 'no'} safetensors files; name the one that is meant: "
            f"{name.removesuffix('/')}/FILE.safetensors"
        )
    return Source(name, files[0], source.revision)


def _fetch(repository: str, file: str, revision: str | None, patterns: list[str]) -> str:
    from huggingface_hub import hf_hub_download, snapshot_download

    if file:
        return str(hf_hub_download(repository, file, revision=revision))
    return str(snapshot_download(repository, revision=revision, allow_patterns=patterns))


def _find(name: str, revision: str, fetch: Callable[[str, str, str | None], str]) -> Source:
    from huggingface_hub import constants

    path = Path(name).expanduser()
    if path.exists():
        if revision:
            raise CheckpointError(f"weights {name} are a folder, which has no revision {revision}; leave revision away")
        return Source(name, path, _revision_of(path))
    match = HUB_NAME.fullmatch(name)
    if match is None or name.startswith(("/", ".", "~")):
        raise CheckpointError(f"weights {name} are not there; correct the path, or give a name on the hub: owner/name")
    try:
        found = Path(fetch(match[1], (match[2] or "").lstrip("/"), match[3] or revision or None))
    except Exception as error:  # the hub's client, its transport and the cache raise dozens of kinds
        if looks_local(name):
            raise CheckpointError(f"weights {name} are not there; {how_to_fill(name)}") from error
        why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else type(error).__name__
        raise CheckpointError(
            f"weights {name} are neither a folder nor in the hub's cache nor to be had ({why}); where there is a "
            f"network, run: hf download {match[1]} --local-dir DIR; then name DIR"
        ) from error
    return Source(name, found, _revision_of(found))


def _revision_of(path: Path) -> str:
    """Return the commit by which the hub's cache names the folder of a snapshot, or ""."""
    parts = path.absolute().parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts[:-1] else ""
