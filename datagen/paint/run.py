"""``vsre datagen`` with an engine: draw groups, paint and verify them, and keep those whose pictures are all right.

The unit of work is a shard of groups, as for renders: written whole or not at all, the same whoever makes it. Scenes
are drawn ahead in other processes while this one paints and verifies.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

from tqdm import tqdm

from datagen.assets.folder import assets_of
from datagen.card import CARD, write_card
from datagen.complete import say_made_again, whole_shards
from datagen.config import DatagenConfig
from datagen.paint.job import (
    FAILED,
    Job,
    begin,
    check_engine_weights,
    check_weights_held,
    judges_weights,
    origins,
    prepare_painted,
)
from datagen.paint.rows import write_painted
from datagen.paint.scenes import SceneSource
from datagen.paint.specs import Attempt
from datagen.paint.stages import Parts, installed, load_engines, load_verifier, paint, verify
from datagen.paint.yield_run import write_yield
from datagen.pool import drawing_pool
from datagen.run import shard_size, worker_count
from spatial.dataset import is_finished
from spatial.errors import ConfigError

PATIENCE = 60.0
"""Seconds after which a file that another machine wrote to a shared folder is seen here for sure."""


def run_painted(config: DatagenConfig, parts: Parts | None = None) -> Path | None:
    """Paint a dataset, or with ``dry_run`` tell what that would take.

    Args:
        config: with ``engine.name`` set.
        parts: engines and verifier; those that are shipped if it is ``None``.

    Returns:
        The dataset folder.

    Raises:
        ConfigError: a setting cannot be used, the folder holds another configuration's data, or is not shared by all.
        CheckpointError: a model is missing or wrong; no work has been done.
        RecordError: photos or their annotations cannot be read.
    """
    parts = parts or installed()
    if config.dry_run:
        from datagen.paint.plan import describe, plan

        with assets_of(config.assets):
            print(describe(plan(config, parts), parts))
        return None
    with assets_of(config.assets):
        return _run(prepare_painted(config, parts))


def _run(job: Job) -> Path:
    folder, todo = job.folder, job.todo()
    if todo:
        say_made_again(folder, todo)
        made = _on_ray(job, todo) if job.config.scale.by == "ray" else _here(job, todo)
        mine = range(job.config.rank, job.shards, job.config.world)
        initial = job.groups_in(mine) - job.groups_in(todo)
        with tqdm(total=job.groups_in(mine), desc="paint", unit="group", initial=initial) as bar:
            for shard in made:
                _check_written(folder, shard)
                bar.update(shard_size(job.config, shard))
    if job.failed:
        print(f"{len(job.failed)} rows cannot be repainted, see {folder / FAILED}")
    done = whole_shards(folder)
    print(f"dataset: {folder} ({len(done)} of {job.shards} shards)")
    if done >= set(range(job.shards)) and (todo or not (folder / CARD).exists()):
        write_yield([folder])
        write_card(folder)
    return folder


def _check_written(folder: Path, shard: int) -> None:
    """Refuse to go on where a shard was made but is not in the folder.

    Raises:
        ConfigError: it was written to a folder of the same name on another machine.
    """
    deadline = time.monotonic() + PATIENCE
    while not is_finished(folder, shard):
        if time.monotonic() >= deadline:
            raise ConfigError(
                f"shard {shard} was written, but not to the {folder} of this machine; name a folder as --out that all "
                "machines of the cluster share"
            )
        time.sleep(0.2)


def _here(job: Job, todo: Sequence[int]) -> Iterator[int]:
    """Make shards in this process; yields each when it is written."""
    nouns = job.source.nouns
    check_engine_weights(job)
    verifier = load_verifier(job.config, job.parts, nouns)  # the smaller part, so its mistakes are told first
    judge = verifier.provenance
    check_weights_held(job, judges_weights(judge))
    engines = load_engines(job.config, job.parts, nouns)
    shared = origins(job, {name: engine.provenance for name, engine in engines.items()}, judge)
    begin(job, shared)
    for shard, attempts in _drawn(job, todo):
        verified = verify(paint(attempts, engines, job.config.engine.batch_size), verifier)
        write_painted(job.folder, shard, verified, shared)
        yield shard


def _drawn(job: Job, todo: Sequence[int]) -> Iterator[tuple[int, list[Attempt]]]:
    """Yield shards with their attempts; scenes are drawn by other processes, a few shards ahead."""
    workers = worker_count(job.config, len(todo)) if isinstance(job.source, SceneSource) else 1
    if workers <= 1:
        yield from ((shard, job.source.attempts(shard)) for shard in todo)
        return
    with drawing_pool(workers, job.config.assets) as pool:
        ahead: deque[tuple[int, Future[list[Attempt]]]] = deque()
        for shard in todo:
            ahead.append((shard, pool.submit(job.source.attempts, shard)))
            if len(ahead) > workers:
                first, future = ahead.popleft()
                yield first, future.result()
        while ahead:
            first, future = ahead.popleft()
            yield first, future.result()


def _on_ray(job: Job, todo: Sequence[int]) -> Iterator[int]:
    from datagen.paint.cluster import run_on_ray

    return run_on_ray(job, todo)
