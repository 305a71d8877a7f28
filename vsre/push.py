"""``vsre push``: a checkpoint, adapter or merged model on the model hub, with a card that says where it comes from.

The card is made of files: ``training.json`` (settings, data with its content hashes, what was seen of VSR) and the
``results.json`` of evaluations. What no file says is not on it. With ``dry_run`` nothing leaves the machine.
"""

import re
from pathlib import Path
from typing import Any

from encoders.finite_weights import check_finite_files
from encoders.load import ADAPTER_FILE, lineage, read_config
from encoders.model_hash import model_hash
from spatial.disk import size_text
from spatial.errors import CheckpointError, ConfigError
from spatial.exposure import TRAINING
from spatial.files import atomic, read_mapping
from spatial.hub import hub_errors
from training.output import fingerprint
from vsre.config import PushConfig
from vsre.model_card import CARD, MARK, Subject, model_card
from vsre.private import as_json, cleaned_file, without_places

SENT = (
    "*.safetensors",
    "*.safetensors.index.json",
    "*.json",
    "*.jinja",
    "*.py",
    "*.txt",
    "*.model",
    "log.jsonl",
    CARD,
)
"""Files of a checkpoint's own folder; run records and folders below (checkpoints, TensorBoard) stay here."""

KEPT = ("environment.json",)
"""What tells of this machine."""

HUB_ID = r"\w[\w.-]*/\w[\w.-]*"

CODE = "encoders_modeling.py"


def push(config: PushConfig) -> Path | None:
    """Write the card, upload the folder, and print where it is; return the card of a dry run.

    Raises:
        CheckpointError: the model cannot be used, or has weights that are no numbers.
        ConfigError: no repository, or an adapter whose base is no model of the hub.
        UserError: the hub cannot be reached or refuses.
    """
    folder = Path(config.model)
    subject = _subject(config, folder)
    check_finite_files(folder)
    text = model_card(subject, config)
    if config.dry_run:
        return _show(folder, text, config)
    from huggingface_hub import HfApi

    api = HfApi()
    with hub_errors(folder, config.repo):
        name = str(api.create_repo(config.repo, private=config.private or None, exist_ok=True).repo_id)
        # One commit: nobody meets weights without their settings, or a card without its model.
        operations = _operations(folder, _changed(subject, folder, text, config.base))
        api.create_commit(repo_id=name, operations=operations, commit_message="Upload with vsre push")
    print(f"pushed to https://huggingface.co/{name}")
    return None


def sent_files(folder: Path) -> list[Path]:
    """Return the files of a checkpoint that are uploaded."""
    found = {path for pattern in SENT for path in folder.glob(pattern) if path.is_file()}
    return sorted(path for path in found if path.name not in KEPT and not path.name.startswith("."))


def _changed(subject: Subject, folder: Path, card: str, base: str) -> dict[str, bytes]:
    """Return the files that go to the hub otherwise than they are here: without places and secrets of this machine."""
    cleaned = {path.name: cleaned_file(path) for path in sent_files(folder)}
    changed = {name: content for name, content in cleaned.items() if content is not None}
    changed[CARD] = card.encode()
    if subject.adapter:
        settings = (read_mapping(folder / ADAPTER_FILE) or {}) | {"base_model_name_or_path": base}
        changed[ADAPTER_FILE] = as_json(without_places(settings))
    return changed


def _operations(folder: Path, changed: dict[str, bytes]) -> list[Any]:
    from huggingface_hub import CommitOperationAdd

    files: dict[str, str | bytes] = {path.name: str(path) for path in sent_files(folder)}
    files.update(changed)
    return [CommitOperationAdd(name, files[name]) for name in sorted(files)]


def _show(folder: Path, text: str, config: PushConfig) -> Path:
    """Write the card beside the model, and print what would be sent."""
    with atomic(folder / CARD) as temporary:
        temporary.write_text(text, encoding="utf-8")
    files = sent_files(folder)
    for path in files:
        print(f"{path.stat().st_size:>15,}  {path.name}")
    total = size_text(sum(path.stat().st_size for path in files))
    print(f"{total:>15}  {len(files)} files would go to {config.repo}; nothing was sent")
    return folder / CARD


def _subject(config: PushConfig, folder: Path) -> Subject:
    """Check what shall be pushed, and read what its files say.

    Raises:
        CheckpointError, ConfigError: as ``push`` does.
    """
    if not re.fullmatch(HUB_ID, config.repo):
        raise ConfigError(f"repo is {config.repo!r}; give --repo OWNER/NAME")
    if not folder.is_dir():
        raise CheckpointError(f"model directory {folder} does not exist; correct the path")
    card = folder / CARD
    if card.is_file() and MARK not in card.read_text(encoding="utf-8"):
        raise ConfigError(f"{card} is a card that somebody wrote, and would be replaced; rename it first")
    adapter = (folder / ADAPTER_FILE).is_file()
    if adapter:
        _check_base(folder, config.base)
    model = read_config(folder)
    trained = read_mapping(folder / TRAINING) or {}
    evaluations = [(Path(path).name, _results(Path(path))) for path in config.evaluations]
    name = model_hash(folder)
    known = {name, trained.get("merged", {}).get("of")}
    for path, results in evaluations:
        if results.get("model_hash") not in known:
            raise ConfigError(f"evaluation {path} is of another model; run 'vsre eval --model {folder}' for the card")
    code = (folder / CODE).is_file()
    return Subject(
        adapter,
        name,
        model,
        trained,
        (read_mapping(folder / "build.json") or {}),
        evaluations,
        code,
        _earlier(folder, trained),
    )


def _earlier(folder: Path, trained: dict[str, Any]) -> list[dict[str, Any]]:
    """Return ``training.json`` of the runs that a model goes back to, as far as they are here unchanged."""
    found: list[dict[str, Any]] = []
    here = folder
    while started := trained.get("config", {}).get("model"):
        places = (Path(started), here / Path(started).name)  # a chain may have been moved, with its stages in it
        below = next((p for p in places if (p / TRAINING).is_file() and fingerprint(p) == trained.get("model")), None)
        if below is None:
            break
        trained, here = read_mapping(below / TRAINING) or {}, below.parent
        found.insert(0, trained)
    return found


def _check_base(folder: Path, base: str) -> None:
    """An adapter names its base by a path that holds on this machine only."""
    lineage(folder)
    if not re.fullmatch(HUB_ID, base) or Path(base).exists():
        given = f"{base!r} is no model of the hub" if base else "an adapter is of use only with its base"
        raise ConfigError(
            f"{given}; push the base first and name it with --base OWNER/NAME, or push what 'vsre merge {folder}' makes"
        )


def _results(folder: Path) -> dict[str, Any]:
    found = read_mapping(folder / "results.json") or {}
    if not found.get("scores"):
        raise ConfigError(f"{folder} holds no results.json of 'vsre eval'; correct --evaluations")
    return found
