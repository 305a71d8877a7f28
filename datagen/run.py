"""Write a dataset folder: groups in shards, shards over processes and machines, killed runs resumed.

A shard holds a fixed range of group indices, whoever writes it; the folder's ``content_hash`` therefore does
not depend on the number of workers, on the rank layout, or on how often the run was killed.
"""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from datagen.config import DatagenConfig
from datagen.groups import Group, draw_group, noun_pairs
from datagen.recipe import Recipe, choose_recipes
from datagen.statements import dense_records, group_records, image_row
from spatial.dataset import finished_shards, write_shard
from spatial.errors import ConfigError
from spatial.files import write_json
from spatial.records import ImageRow, Record

LAYOUT_FIELDS = ("out", "workers", "rank", "world")
"""Settings that change who writes what, but not what is written."""


def generate(config: DatagenConfig) -> Path:
    """Render all groups of ``config`` that this rank owns and that are not finished yet.

    Returns:
        The dataset folder.

    Raises:
        ConfigError: a setting is out of range, or the folder holds another configuration's data.
    """
    _check(config)
    recipes = choose_recipes(config.relations)
    for recipe in recipes:
        noun_pairs(recipe.family.needs, config.split)
    folder = Path(config.out)
    _claim(folder, config)
    shards = -(-config.groups // config.groups_per_shard)
    mine = [k for k in range(shards) if k % config.world == config.rank]
    done = finished_shards(folder)
    todo = [k for k in mine if k not in done]
    with tqdm(total=config.groups, desc="render", unit="group", initial=0, disable=not todo) as bar:
        bar.update(sum(_size(config, k) for k in range(shards) if k not in todo))
        for size in _write_all(folder, config, recipes, todo):
            bar.update(size)
    print(f"dataset: {folder} ({len(finished_shards(folder))} of {shards} shards)")
    if finished_shards(folder) >= set(range(shards)):
        from datagen.card import write_card

        write_card(folder, config)
    return folder


def _check(config: DatagenConfig) -> None:
    for name in ("groups", "groups_per_shard", "image_size", "supersample", "world"):
        if getattr(config, name) < 1:
            raise ConfigError(f"{name} must be at least 1, not {getattr(config, name)}")
    if config.split not in ("train", "test"):
        raise ConfigError(f"split must be 'train' or 'test', not {config.split!r}")
    if not 0 <= config.rank < config.world:
        raise ConfigError(f"rank must be in 0..{config.world - 1}, not {config.rank}")
    if config.distractors < 0:
        raise ConfigError(f"distractors must be 0 or more, not {config.distractors}")
    if not config.statements and not config.dense:
        raise ConfigError("both statements and dense are off, so no record would be written; turn one on")


def _claim(folder: Path, config: DatagenConfig) -> None:
    """Record what the folder holds, or refuse to mix two configurations in one folder."""
    content = {name: value for name, value in asdict(config).items() if name not in LAYOUT_FIELDS}
    path = folder / "dataset.json"
    if path.exists():
        held = json.loads(path.read_text())
        different = sorted(name for name in content if held.get(name) != content[name])
        if different:
            raise ConfigError(
                f"{folder} holds data made with other {', '.join(different)}; choose another --out or delete it"
            )
        return
    write_json(path, content, sort_keys=True)


def _size(config: DatagenConfig, shard: int) -> int:
    return min(config.groups_per_shard, config.groups - shard * config.groups_per_shard)


def _write_all(folder: Path, config: DatagenConfig, recipes: list[Recipe], shards: list[int]) -> Iterator[int]:
    workers = min(config.workers or os.cpu_count() or 1, len(shards))
    if workers <= 1:
        for shard in shards:
            yield write_groups(folder, config, recipes, shard)
        return
    with ProcessPoolExecutor(workers) as pool:
        futures = [pool.submit(write_groups, folder, config, recipes, shard) for shard in shards]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def write_groups(folder: Path, config: DatagenConfig, recipes: list[Recipe], shard: int) -> int:
    """Draw and write the groups of one shard; returns how many."""
    images: list[ImageRow] = []
    records: list[Record] = []
    start = shard * config.groups_per_shard
    for index in range(start, start + _size(config, shard)):
        group = draw_group(config, recipes[index % len(recipes)], index)
        rows, statements = group_rows(group, config, recipes)
        images += rows
        records += statements
    write_shard(folder, shard, images, records)
    return _size(config, shard)


def group_rows(group: Group, config: DatagenConfig, recipes: list[Recipe]) -> tuple[list[ImageRow], list[Record]]:
    """Return the image rows and records of one group."""
    rows = [image_row(group, view) for view in group.views]
    ids = (rows[0].image_id, rows[1].image_id)
    records = list(group_records(group, ids, config.split)) if config.statements else []
    if config.dense:
        roles = ("original", group.recipe.family.change)
        for role, view, image_id in zip(roles, group.views, ids, strict=True):
            records += dense_records(group, view, role, image_id, config.split, recipes)
    return rows, records
