"""Painting on a Ray cluster: shards flow from drawing over a pool of painters to a pool that verifies and writes.

Ray Data keeps the pools busy and holds the faster one back when shards pile up. It starts a worker that was killed
again and gives its shard to another; a shard is one row, so it is written once or written over with the same content,
and never in part. The folder must be seen by all machines, as for ranks that share the work without Ray.
"""

import logging
import os
import pickle
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from datagen.assets.folder import add_assets_of
from datagen.config import DatagenConfig, ScaleSettings
from datagen.engines.base import Engine
from datagen.paint.job import Job, begin, origins
from datagen.paint.rows import write_painted
from datagen.paint.specs import Attempt, Painted
from datagen.paint.stages import Verifier, load_engines, load_verifier, paint, verify
from spatial.errors import ConfigError, UserError
from spatial.machine import usable_cores

IN_FLIGHT = 2
"""Shards that a painter or verifier is given at once: one to work on, and one that is brought meanwhile."""


def run_on_ray(job: Job, todo: Sequence[int]) -> Iterator[int]:
    """Make shards; yields each when it is written.

    Raises:
        ConfigError: Ray is not installed, its cluster cannot be reached or is too small, a setting cannot be used by an
            engine, or a worker does not see the folders that settings name.
        CheckpointError: a worker does not find its models.
    """
    ray = _ray()
    own = _connect(ray, job.config.scale)
    try:
        _check_room(ray, job.config.scale)
        for row in _flow(ray, job, todo).iter_rows():
            mistake = pickle.loads(row["payload"])
            if mistake:
                raise mistake
            yield int(row["shard"])
    finally:
        if own:
            ray.shutdown()


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ConfigError(
            "scale.by 'ray' needs Ray; run in the folder of the code: .venv/bin/pip install -e '.[distributed]'"
        ) from error
    return ray


def _connect(ray: Any, scale: ScaleSettings) -> bool:
    """Join the cluster, or start one here if none is named; return whether it is ours to end."""
    if ray.is_initialized():
        return False
    quiet = {"include_dashboard": False, "logging_level": "ERROR", "log_to_driver": False}
    if not scale.address:
        # Every worker holds a processor while it waits; with too few of them none could start.
        ray.init(num_cpus=max(usable_cores(), scale.painters + scale.verifiers + 1), **quiet)
        return True
    try:
        ray.init(address=scale.address, logging_level="ERROR", log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"no Ray cluster answers at {scale.address!r}; run 'ray start --head', or leave scale.address away"
        ) from error
    return True


def _check_room(ray: Any, scale: ScaleSettings) -> None:
    """Refuse what the cluster could never do, for which Ray would wait without end.

    Raises:
        ConfigError: it has too few processors or GPUs, or they do not lie together as workers need them.
    """
    pools = {
        "painters": (scale.painters, scale.gpus_per_painter),
        "verifiers": (scale.verifiers, scale.gpus_per_verifier),
    }
    gpus = [float(node["Resources"].get("GPU", 0.0)) for node in ray.nodes() if node["Alive"]]
    has = {"CPU": float(ray.cluster_resources().get("CPU", 0.0)), "GPU": sum(gpus)}
    wants = {"CPU": scale.painters + scale.verifiers + 1.0, "GPU": sum(count * each for count, each in pools.values())}
    mend = "start more machines with 'ray start', or lower scale.painters, scale.verifiers and the GPUs of each"
    for name, what in (("CPU", "processors (one for each worker and one that draws)"), ("GPU", "GPUs")):
        if wants[name] > has[name] + 1e-6:
            raise ConfigError(f"the Ray cluster has {has[name]:g} of the {wants[name]:g} {what} that it needs; {mend}")
    for name, (count, each) in pools.items():
        room = count if not each else sum(int(gpu // each) if each >= 1 else int(gpu) * int(1 / each) for gpu in gpus)
        if room < count:
            raise ConfigError(
                f"the Ray cluster has room for {room} {name} of {each:g} GPUs, not for {count}, since each must have "
                f"them on one machine, and a share on one GPU; {mend}"
            )


def _flow(ray: Any, job: Job, todo: Sequence[int]) -> Any:
    """Return the dataset of finished shards, which does the work as it is read."""
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # A reference that is an argument itself, and not in one, would not survive that its worker is started again.
    scale, shared = job.config.scale, {"job": ray.put(job), "relative": relative_places(job.config)}
    pool = ray.data.ActorPoolStrategy
    shards = ray.data.from_items([{"shard": shard} for shard in todo], override_num_blocks=len(todo))
    every = {"batch_size": 1, "batch_format": "pyarrow", "zero_copy_batch": True}
    # Steps that ask for the same Ray joins into one, and then a GPU would wait for the drawing: ask for a byte more.
    drawn = shards.map_batches(_draw, fn_kwargs={"shared": shared}, num_cpus=1, memory=1, **every)
    painted = drawn.map_batches(
        Painter,
        fn_constructor_args=(shared,),
        compute=pool(size=scale.painters, max_tasks_in_flight_per_actor=IN_FLIGHT),
        num_cpus=1,
        num_gpus=scale.gpus_per_painter or None,
        **every,
    )
    return painted.map_batches(
        VerifierAndWriter,
        fn_constructor_args=(shared,),
        compute=pool(size=scale.verifiers, max_tasks_in_flight_per_actor=IN_FLIGHT),
        num_cpus=1,
        num_gpus=scale.gpus_per_verifier or None,
        **every,
    )


def _draw(table: Any, shared: Mapping[str, Any]) -> Any:
    """Draw the groups of a shard, whose number is the only row of ``table``."""
    job = _job(shared)

    def drawn(_: Any) -> list[Attempt]:
        go_home(shared, job.home)
        _stock(job.config.assets)
        return job.source.attempts(_shard(table))

    return _row(_shard(table), _outcome(drawn, None, job.config.scale.retries))


class Painter:
    """A worker that paints shards."""

    def __init__(self, shared: Mapping[str, Any]) -> None:
        self.shared, self.job = shared, _job(shared)
        self.engines = _outcome(self._load, None)

    def __call__(self, table: Any) -> Any:
        """Paint the attempts that are the only row of ``table``."""
        attempts = self.engines if isinstance(self.engines, UserError) else _payload(table)
        return _row(_shard(table), _outcome(self._paint, attempts, self.job.config.scale.retries))

    def _load(self, _: Any) -> dict[str, Engine]:
        go_home(self.shared, self.job.home)
        return load_engines(self.job.config, self.job.parts, self.job.source.nouns)

    def _paint(self, attempts: Sequence[Attempt]) -> tuple[list[Painted], dict[str, Any]]:
        painted = paint(attempts, self.engines, self.job.config.engine.batch_size)
        return painted, {name: engine.provenance for name, engine in self.engines.items()}


class VerifierAndWriter:
    """A worker that verifies shards and writes them."""

    def __init__(self, shared: Mapping[str, Any]) -> None:
        self.shared, self.job = shared, _job(shared)
        self.verifier = _outcome(self._load, None)
        self.judge: dict[str, str] | None = None

    def __call__(self, table: Any) -> Any:
        """Verify and write the pictures that are the only row of ``table``."""
        content = self.verifier if isinstance(self.verifier, UserError) else _payload(table)
        work = partial(self._verify, _shard(table))
        return _row(_shard(table), _outcome(work, content, self.job.config.scale.retries))

    def _load(self, _: Any) -> Verifier:
        go_home(self.shared, self.job.home)
        return load_verifier(self.job.config, self.job.parts, self.job.source.nouns)

    def _verify(self, shard: int, content: tuple[list[Painted], dict[str, Any]]) -> None:
        painted, provenance = content
        verified = verify(painted, self.verifier)
        judge = self.judge or self.verifier.provenance  # takes seconds of a large model
        shared = origins(self.job, provenance, judge)
        if self.judge is None:  # only now have all models been found
            begin(self.job, shared)
            self.judge = judge
        write_painted(self.job.folder, shard, verified, shared)


def _job(shared: Mapping[str, Any]) -> Job:
    import ray

    job: Job = ray.get(shared["job"])
    return job


def go_home(shared: Mapping[str, Any], home: Path) -> None:
    """Have this worker understand relative paths as the machine does where the run was started.

    Raises:
        ConfigError: settings name such paths, and this machine does not see that folder.
    """
    try:
        os.chdir(home)
    except OSError as error:
        if shared["relative"]:
            raise ConfigError(
                f"{socket.gethostname()} of the Ray cluster has no {home}, where {shared['relative'][0]!r} lies; "
                "start the run in a folder that all machines share, or name whole paths"
            ) from error


def relative_places(config: DatagenConfig) -> list[str]:
    """Return the settings that are relative paths: names that are here, and not on the hub alone."""
    engine, verify, photos = config.engine, config.verify, config.paint.photos
    judging = [name.partition("=")[2] for name in (*verify.detectors, verify.depth, *verify.judges)]
    painting = [engine.model, *config.paint.models.values(), engine.control, *engine.loras]
    named = [config.assets, *painting, *judging, verify.tuned, verify.safety, verify.calibration]
    if config.paint.over == "photos":
        named += [photos.annotations, photos.images, *photos.instances, photos.masks, *photos.leakage.files]
    places = {name: Path(name).expanduser() for name in named if name}
    return [name for name, place in places.items() if not place.is_absolute() and place.exists()]


def _outcome(work: Callable[[Any], Any], given: Any, retries: int = 0) -> Any:
    """Return what ``work`` makes of what it is given, or the user's mistake that stops it, its own or a given one.

    A mistake travels to the end as a row does, because of an error in a worker Ray brings back nothing but text. After
    any other error the work is tried again.
    """
    if isinstance(given, UserError):
        return given
    for remaining in range(retries, -1, -1):
        try:
            return work(given)
        except UserError as mistake:
            return mistake
        except Exception:
            if not remaining:
                raise
    raise AssertionError


@lru_cache(maxsize=1)
def _stock(assets: str) -> None:
    """Add the user's own objects to the library of this worker, once."""
    add_assets_of(assets)


def _row(shard: int, content: Any) -> Any:
    import pyarrow as pa

    data = pickle.dumps(content, protocol=pickle.HIGHEST_PROTOCOL)
    return pa.table({"shard": pa.array([shard]), "payload": pa.array([data], pa.large_binary())})


def _shard(table: Any) -> int:
    return int(table.column("shard")[0].as_py())


def _payload(table: Any) -> Any:
    return pickle.loads(table.column("payload")[0].as_buffer())
