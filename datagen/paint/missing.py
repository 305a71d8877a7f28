"""What a painted run needs and is not here, each with what mends it; nothing is fetched or loaded."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from datagen.config import DatagenConfig, EngineSettings
from datagen.engines.base import EngineKind
from datagen.engines.hub import how_to_fill, looks_local, on_hub
from datagen.paint.specs import Turn
from datagen.paint.stages import Parts, engine_settings, turns_of
from datagen.verify.models import OWN_PLACES
from datagen.vsr_rows import SourceRow
from spatial.coco import instances_files
from spatial.errors import RecordError
from spatial.shipped import shipped_folder
from spatial.vsr import fetch_hint, find_photo

WHOLE = ("model_index.json", "config.json")
"""What the hub's cache has of a model that was fetched."""


def missing_photos(config: DatagenConfig, rows: Sequence[SourceRow], turns: Sequence[Turn]) -> list[str]:
    """Return what of photos and boxes is not here, with the mend."""
    images = Path(config.paint.photos.images)
    names = {source.row.photo: source for source in rows}
    absent = [name for name, it in names.items() if find_photo(images, it.row, it.split, "train") is None]
    found = []
    if absent:
        hint = fetch_hint(config.paint.photos.splits, "train", images)
        found.append(
            f"{len(absent):,} of {len(names):,} photos, such as {absent[0]}, are not in {images}; {hint}"
            "set paint.photos.images to the folder of COCO's train2017 and val2017"
        )
    boxed = [turn.engine for turn in turns if turn.mode == "box-inpaint"]
    if boxed and not config.paint.photos.instances:
        found.append(
            f"boxes, which {', '.join(boxed)} repaints; set paint.photos.instances to COCO's instances_train2017.json "
            "and instances_val2017.json (images.cocodataset.org/annotations)"
        )
    for path in config.paint.photos.instances:
        try:
            instances_files(Path(path))
        except RecordError as error:
            found.append(str(error))
    return found


def missing_weights(config: DatagenConfig, parts: Parts) -> list[str]:
    """Return the models of engines and verifier that are neither on this disk nor in the hub's cache, with the mend."""
    needed: dict[str, tuple[str, str]] = {}
    turns = turns_of(config, parts)
    for turn in turns:
        for what, name, published in _weights_of(engine_settings(config, turn.engine), parts.kind(turn.engine)):
            needed.setdefault(name, (f"{what} of {turn.engine}", published))
    if config.paint.over == "photos" and any(turn.mode == "box-inpaint" for turn in turns):
        needed.setdefault(config.paint.photos.masks, ("weights of paint.photos.masks", ""))
    for name, what in parts.judges(config.verify).items():
        needed.setdefault(name, (f"weights of {what}", OWN_PLACES.get(what.removeprefix("verifier "), "")))
    return [
        f"{what}: {_mend(name, published)}" for name, (what, published) in needed.items() if name and not is_here(name)
    ]


def _weights_of(settings: EngineSettings, kind: EngineKind) -> Iterator[tuple[str, str, str]]:
    """Yield what an engine loads, its name, "" being none, and the hub name of what it has by itself."""
    model = settings.model or kind.default_model
    yield "weights", model, kind.default_model
    if kind.takes & {"depth", "edge"} and not settings.without_control:
        own = Path(model).expanduser() / "controlnet"
        yield (
            "control network",
            settings.control or ("" if own.is_dir() else kind.default_control),
            kind.default_control,
        )
    for name in settings.loras:
        yield "LoRA", name, ""


def is_here(name: str) -> bool:
    """Tell whether weights are a folder or file here, or in the hub's cache; nothing is fetched."""
    if Path(name).expanduser().exists() or shipped_folder(name).is_dir():
        return True
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    repository, file = on_hub(name)
    try:
        found = (try_to_load_from_cache(repository, it) for it in ([file] if file else WHOLE))
        if any(isinstance(it, str) for it in found):
            return True
    except HFValidationError:
        return False
    # A LoRA has no settings beside its weights.
    cached = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "snapshots"
    return not file and any(cached.glob("*/*.safetensors"))


def _mend(name: str, published: str) -> str:
    repository, file = on_hub(name)
    if name != published and looks_local(name):
        return f"{name} does not exist; {how_to_fill(name, published if '/' in published else '')}"
    if "/" not in name:
        return f"{name} is no folder and does not come with the code; docs/tiny-models.md tells how it is made"
    return f"run 'hf download {repository}{' ' + file if file else ''}' where there is a network"
