"""Write a dataset folder: groups in shards, shards over processes and machines, killed runs resumed.

A shard holds a fixed range of group indices, whoever writes it; the folder's ``content_hash`` therefore does
not depend on the number of workers, on the rank layout, or on how often the run was killed.
"""

from collections.abc import Iterator
from concurrent.futures import as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from datagen.assets.folder import assets_of, digest_of, keep_copy
from datagen.card import CARD, write_card
from datagen.claim import CALIBRATED, CALIBRATION, CALIBRATION_NAME, OWN_MESHES, WEIGHTS, check_claim, claim
from datagen.claims import FRAMES
from datagen.complete import say_made_again, whole_shards
from datagen.config import DatagenConfig
from datagen.groups import Group, draw_group
from datagen.idle import check_unpainted
from datagen.image_rows import image_row
from datagen.looks import LOOKS
from datagen.pool import drawing_pool
from datagen.recipe import Recipe
from datagen.schedule import recipes_of, shares, turns
from datagen.statements import check_balance, dense_records, group_records
from spatial.dataset import write_shard
from spatial.errors import ConfigError, nearest
from spatial.machine import usable_cores
from spatial.records import ImageRow, Record
from spatial.scene import digest

LAYOUT_FIELDS = ("out", "assets", "workers", "rank", "world", "dry_run", "scale")
"""Settings that change who writes what, but not what is written; of ``assets``, the files' digest stands for them."""

SMALLEST = 32
"""Side of a picture in pixels below which no object covers enough of them to be told."""

PAINTING_FIELDS = ("engine", "verify", "paint")
PAINTING_LAYOUT = ("device", "offload", "photos")
"""Settings among them that change who paints what, and the places of photos; what was read there stands beside.

The size of batches is none of them: it changes which kernels run, and with them a picture's last bits.
"""


MOST_DISTRACTORS = 5
"""There are eight colours, and up to three named objects have one each."""


def run(config: DatagenConfig) -> Path | None:
    """Generate the data, or with ``dry_run`` tell what that would take.

    Raises:
        ConfigError: a setting is out of range, or the folder holds another configuration's data.
        CheckpointError: an engine is named, and it or the verifier lacks its models.
    """
    if config.engine.name:
        from datagen.paint.run import run_painted

        return run_painted(config)
    if not config.dry_run:
        return generate(config)
    from datagen.estimate import describe, estimate

    with assets_of(config.assets):
        print(describe(estimate(config, prepare(config)), config))
    return None


def generate(config: DatagenConfig) -> Path:
    """Render all groups of ``config`` that this rank owns and that are not finished yet.

    Returns:
        The dataset folder.

    Raises:
        ConfigError: a setting is out of range, or the folder holds another configuration's data.
    """
    with assets_of(config.assets):
        return _generate(config)


def _generate(config: DatagenConfig) -> Path:
    prepare(config)
    folder = Path(config.out)
    claim(folder, content_settings(config))
    keep_copy(config.assets, folder)
    shards = shard_count(config)
    mine = range(config.rank, shards, config.world)
    done = whole_shards(folder)
    todo = [k for k in mine if k not in done]
    say_made_again(folder, todo)
    own, left = (sum(shard_size(config, k) for k in part) for part in (mine, todo))
    with tqdm(total=own, desc="render", unit="group", initial=own - left, disable=not todo) as bar:
        for size in _write_all(folder, config, todo):
            bar.update(size)
    done = whole_shards(folder)
    print(f"dataset: {folder} ({len(done)} of {shards} shards)")
    if done >= set(range(shards)) and (todo or not (folder / CARD).exists()):
        write_card(folder)
    return folder


def prepare(config: DatagenConfig) -> list[Recipe]:
    """Return the recipes of a run; nothing is written.

    Raises:
        ConfigError: a setting is out of range, or the folder holds another configuration's data.
    """
    check_settings(config)
    recipes = recipes_of(config)
    shares(recipes, config)  # refuses weights that cannot be used
    check_claim(Path(config.out), content_settings(config))
    return recipes


def content_settings(config: DatagenConfig) -> dict[str, Any]:
    """Return the settings that decide what is written; those of painting only where something is painted.

    Raises:
        ConfigError: a calibration is named that cannot be read.
    """
    content = {name: value for name, value in asdict(config).items() if name not in (*LAYOUT_FIELDS, *PAINTING_FIELDS)}
    if config.engine.name:
        content |= _painting_content(config)
    return {**content, OWN_MESHES: digest_of(config.assets)} if config.assets else content


def _painting_content(config: DatagenConfig) -> dict[str, Any]:
    """Return what painting adds; the bytes of a calibration and of the weights of masks stand for their places."""
    settings = {name: asdict(getattr(config, name)) for name in PAINTING_FIELDS}
    content = {
        name: {key: value for key, value in part.items() if key not in PAINTING_LAYOUT}
        for name, part in settings.items()
    }
    if config.paint.over == "photos":
        photos = settings["paint"]["photos"]
        content["paint"]["photos"] = {name: photos[name] for name in ("splits", "one_sided", "leakage")}
        content["paint"]["photos"]["masks"] = WEIGHTS if photos["masks"] else ""
        content["paint"]["photos"]["leakage"]["files"] = [Path(name).name for name in photos["leakage"]["files"]]
    path = config.verify.calibration
    if not path:
        return content
    from datagen.verify.calibration import calibration_file, unreadable

    try:
        held = digest(calibration_file(path).read_bytes())
    except OSError as error:
        raise ConfigError(unreadable(path, error)) from error
    # Where a folder of one's own lies on this machine is nobody's business, and means nothing on another.
    name = {} if Path(path).is_absolute() or path.startswith("~") else {CALIBRATION_NAME: path}
    return {**content, "verify": {**content["verify"], "calibration": CALIBRATION}, CALIBRATED: held, **name}


def shard_count(config: DatagenConfig) -> int:
    """Return the number of shards of the whole dataset."""
    return -(-config.groups // config.groups_per_shard)


def check_settings(config: DatagenConfig) -> None:
    """Refuse settings that are out of range.

    Raises:
        ConfigError: there is one.
    """
    for name in ("groups", "groups_per_shard", "image_size", "supersample", "world"):
        if getattr(config, name) < 1:
            raise ConfigError(f"{name} must be at least 1, not {getattr(config, name)}")
    if config.image_size < SMALLEST:
        raise ConfigError(f"image_size must be at least {SMALLEST} pixels, not {config.image_size}")
    if config.split not in ("train", "test"):
        raise ConfigError(f"split must be 'train' or 'test', not {config.split!r}")
    if config.looks not in LOOKS:
        raise ConfigError(
            f"no looks are called {config.looks!r}{nearest(config.looks, LOOKS)}; known: {', '.join(LOOKS)}"
        )
    if not 0 <= config.rank < config.world:
        raise ConfigError(f"rank must be in 0..{config.world - 1}, not {config.rank}")
    if config.frames not in FRAMES:
        raise ConfigError(f"frames must be 'agree' or 'viewer', not {config.frames!r}")
    if not 0 <= config.frame_conflict <= 0.5:
        raise ConfigError(f"frame_conflict must be in 0..0.5, not {config.frame_conflict}")
    if not 0 <= config.distractors <= MOST_DISTRACTORS:
        raise ConfigError(f"distractors must be in 0..{MOST_DISTRACTORS}, not {config.distractors}")
    if config.workers < 0:
        raise ConfigError(f"workers must be 0 (every core) or more, not {config.workers}")
    if not config.relations:
        raise ConfigError("relations is empty; name some, or 'all'")
    check_unpainted(config)
    if not config.statements and not config.dense:
        raise ConfigError("both statements and dense are off, so no record would be written; turn one on")


def shard_size(config: DatagenConfig, shard: int) -> int:
    """Return the number of groups in a shard."""
    return min(config.groups_per_shard, config.groups - shard * config.groups_per_shard)


def shard_groups(config: DatagenConfig, shard: int) -> range:
    """Return the indices of the groups of a shard."""
    start = shard * config.groups_per_shard
    return range(start, start + shard_size(config, shard))


def worker_count(config: DatagenConfig, shards: int) -> int:
    """Return the number of processes that write so many shards."""
    return max(1, min(config.workers or usable_cores(), shards))


def _write_all(folder: Path, config: DatagenConfig, shards: list[int]) -> Iterator[int]:
    workers = worker_count(config, len(shards))
    if workers <= 1:
        for shard in shards:
            yield write_groups(folder, config, shard)
        return
    with drawing_pool(workers, config.assets) as pool:
        futures = [pool.submit(write_groups, folder, config, shard) for shard in shards]
        for future in as_completed(futures):
            yield future.result()


def write_groups(folder: Path, config: DatagenConfig, shard: int) -> int:
    """Draw and write the groups of one shard; returns how many."""
    recipes = recipes_of(config)  # they hold functions, which cannot be sent to another process
    images: list[ImageRow] = []
    records: list[Record] = []
    order = turns(recipes, config)
    for index in shard_groups(config, shard):
        group = draw_group(config, recipes[order[index]], index)
        rows, statements = group_rows(group, config, recipes)
        images += rows
        records += statements
    write_shard(folder, shard, images, records)
    return shard_size(config, shard)


def group_rows(group: Group, config: DatagenConfig, recipes: list[Recipe]) -> tuple[list[ImageRow], list[Record]]:
    """Return the image rows and records of one group."""
    rows = [image_row(group, view) for view in group.views]
    ids = (rows[0].image_id, rows[1].image_id)
    records = list(group_records(group, ids, config.split)) if config.statements else []
    check_balance(records)
    if config.dense:
        roles = ("original", group.recipe.family.change)
        for role, view, image_id in zip(roles, group.views, ids, strict=True):
            records += dense_records(group, view, role, image_id, config, recipes)
    return rows, records
