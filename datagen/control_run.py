"""``vsre passes DIR``: draw the scenes of a dataset folder again and write their passes as control images.

An image's files are ``PASS/IMAGE_ID.png`` (of "amodal" one per object, ``IMAGE_ID-0.png``), and at last
``index/IMAGE_ID.json``, which says what the numbers in them mean: an image whose index names a pass has it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from datagen.assets.folder import assets_of, copy_in
from datagen.config import PassesConfig
from datagen.control import CONTROLS, UNITS_PER_METRE, inverse_depth
from datagen.passes import Passes, render_passes
from datagen.pool import drawing_pool
from spatial.dataset import DatasetFolder
from spatial.errors import ConfigError, RecordError, UserError, nearest
from spatial.exposure import DESCRIPTION
from spatial.files import atomic, read_mapping, write_json
from spatial.machine import usable_cores
from spatial.records import image_id_of
from spatial.scene import Scene

DEFAULT_SUPERSAMPLE = 2
Job = tuple[str, str, bool]
"""An image's identifier, its scene, and whether it is the render of that scene and not painted after it."""


def write_passes(config: PassesConfig) -> Path:
    """Write the control images that are not there yet.

    Returns:
        The folder.

    Raises:
        ConfigError: a setting is out of range, or the folder holds other control images.
        RecordError: the dataset folder is missing or damaged, or none of its images has a scene that can be drawn.
    """
    names = _check(config)
    data = DatasetFolder(config.data)
    chosen = sorted(data.images)[: config.limit or None]
    rows = (data.images[image_id] for image_id in chosen)
    jobs = [(row.image_id, row.scene, row.source == "render") for row in rows if row.scene]
    if not jobs:
        raise RecordError(f"no image of {data.path} has a scene; passes are drawn from scenes made by 'vsre datagen'")
    folder = Path(config.out)
    _claim(folder, config)
    todo = [job for job in jobs if not _is_done(folder, job[0], names)]
    settings = (folder, names, supersample_of(data.path), config.scale)
    different = 0
    meshes, done = copy_in(data.path), len(jobs) - len(todo)
    bar = tqdm(total=len(jobs), initial=done, desc="passes", unit="image", disable=not todo)
    with assets_of(meshes), bar:
        for same in _write_all(todo, settings, config.workers, meshes):
            different += not same
            bar.update()
    print(f"control images: {folder} ({len(jobs)} images, {', '.join(names)})")
    if len(chosen) > len(jobs):
        print(f"left out: {len(chosen) - len(jobs)} images without a scene")
    if different:
        print(f"{different} scenes drawn again differ from the stored image: another version made the data")
    return folder


def supersample_of(folder: Path) -> int:
    """Return with what anti-aliasing the renders of a dataset folder were made, as its ``dataset.json`` says."""
    held = (read_mapping(folder / DESCRIPTION) or {}).get("supersample")
    return held if isinstance(held, int) else DEFAULT_SUPERSAMPLE


def _check(config: PassesConfig) -> list[str]:
    """Return the names of the passes asked for."""
    if not config.data:
        raise ConfigError("data is empty; name the dataset folder: 'vsre passes DIR --out OUT'")
    if not config.out:
        raise ConfigError("out is empty; name the folder for control images: 'vsre passes DIR --out OUT'")
    for name, least in (("limit", 0), ("scale", 1), ("workers", 0)):
        if getattr(config, name) < least:
            raise ConfigError(f"{name} must be at least {least}, not {getattr(config, name)}")
    asked = config.passes.split(",") if isinstance(config.passes, str) else config.passes
    names = list(dict.fromkeys(name.strip() for name in asked if name.strip()))
    if names == ["all"]:
        return list(CONTROLS)
    for name in names:
        if name not in CONTROLS:
            raise ConfigError(f"no pass is called {name!r}{nearest(name, CONTROLS)}; known: {', '.join(CONTROLS)}")
    if not names:
        raise ConfigError(f"passes is empty; name some of {', '.join(CONTROLS)}, or 'all'")
    return names


def _claim(folder: Path, config: PassesConfig) -> None:
    """Record what the folder holds, or refuse to mix two scales in it."""
    path = folder / "passes.json"
    if path.exists():
        held = (read_mapping(path) or {}).get("scale")
        if held != config.scale:
            raise ConfigError(
                f"{folder} holds control images at scale {held}, not {config.scale}; choose another --out or delete it"
            )
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(f"{folder} holds other files; choose another --out")
    try:
        write_json(path, {"scale": config.scale, "units_per_metre": UNITS_PER_METRE})
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written ({error.strerror}); choose another --out") from error


def _index(folder: Path, image_id: str) -> Path:
    return folder / "index" / f"{image_id}.json"


def _done(folder: Path, image_id: str) -> list[str]:
    """Return the passes that an image has already."""
    done = (read_mapping(_index(folder, image_id)) or {}).get("passes")
    return [str(name) for name in done] if isinstance(done, list) else []


def _is_done(folder: Path, image_id: str, names: Sequence[str]) -> bool:
    return set(names) <= set(_done(folder, image_id))


Settings = tuple[Path, list[str], int, int]


def _write_all(jobs: list[Job], settings: Settings, workers: int, meshes: str) -> Iterator[bool]:
    workers = min(workers or usable_cores(), len(jobs))
    if workers <= 1:
        yield from (_write(job, settings) for job in jobs)
        return
    with drawing_pool(workers, meshes) as pool:
        yield from pool.map(_write, jobs, [settings] * len(jobs), chunksize=8)


def _write(job: Job, settings: Settings) -> bool:
    """Write the control images of one scene; return whether it looks as its stored image does, if that is a render."""
    (image_id, text, is_render), (folder, names, supersample, scale) = job, settings
    try:
        scene = Scene.from_json(text)
        larger = replace(scene, width=scene.width * scale, height=scene.height * scale, blur=scene.blur * scale)
        passes = render_passes(larger, supersample)
    except (UserError, ValueError, KeyError, TypeError) as error:
        raise RecordError(f"the scene of image {image_id} cannot be drawn again: {error}") from error
    for name in names:
        pictures = CONTROLS[name](passes)
        for index, picture in enumerate(pictures):
            part = f"-{index}" if name == "amodal" else ""
            with atomic(folder / name / f"{image_id}{part}.png") as temporary:
                picture.save(temporary, format="PNG")
    known = list(dict.fromkeys([*_done(folder, image_id), *names]))
    write_json(_index(folder, image_id), _legend(image_id, scene, passes, known))
    return scale > 1 or not is_render or image_id_of(passes.rgb) == image_id


def _legend(image_id: str, scene: Scene, passes: Passes, names: list[str]) -> dict[str, Any]:
    """Return what a reader of the control images of one picture must know."""
    height, width, _ = passes.rgb.shape
    _, near, far = inverse_depth([passes.depth])
    return {
        "image_id": image_id,
        "scene_id": scene.scene_id,
        "passes": names,
        "width": width,
        "height": height,
        "focal_pixels": round(0.5 * height / math.tan(math.radians(scene.camera.fov) / 2), 4),
        "depth_of_white_metres": round(near, 4),
        "depth_of_black_metres": round(far, 4) if far != float("inf") else None,
        "objects": [
            {"label": index + 1, "name": spec.name, "colour": spec.colour} for index, spec in enumerate(scene.objects)
        ],
        "parts": [
            {"label": index + 1, "object": owner + 1, "part": part}
            for index, (owner, part) in enumerate(passes.part_names)
        ],
    }
