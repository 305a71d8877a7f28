"""A painted run before it starts: settings that make sense, and what there is to paint."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from datagen.assets.folder import keep_copy
from datagen.claim import SHARDS, WEIGHTS, check_claim, claim
from datagen.complete import whole_shards
from datagen.config import DatagenConfig
from datagen.paint.corrected import keep_calibration
from datagen.paint.photos import PhotoSource, find_photos
from datagen.paint.rows import Origin
from datagen.paint.scenes import SceneSource
from datagen.paint.specs import Attempt
from datagen.paint.stages import Parts, engine_names, engine_settings, turns_of
from datagen.run import check_settings, content_settings, prepare, shard_count, shard_size
from datagen.verify.calibration import read_calibration
from spatial.dataset import FailedRow
from spatial.errors import ConfigError
from spatial.exposure import description_of
from spatial.files import atomic
from spatial.scene import digest

FAILED = "failed.txt"

MASKS = "masks"
"""Name among the hashes of weights of those of the model that found objects in photos."""


class Source(Protocol):
    """Says what is to be painted; can be sent to other processes."""

    @property
    def nouns(self) -> list[str]:
        """All nouns that pictures are about."""

    def attempts(self, shard: int) -> list[Attempt]:
        """Return what is to be painted of a shard."""


@dataclass(frozen=True)
class Job:
    """A run with all that must be known before it starts.

    Attributes:
        config: of the run; ``groups`` is what there really is.
        parts: engines and verifier.
        source: what is to be painted.
        content: what the dataset folder says of itself.
        failed: rows that cannot be repainted.
        home: where the run was started, from which relative paths in settings go out.
        masks: provenance of what finds objects in photos, by the engines that repaint them.
    """

    config: DatagenConfig
    parts: Parts
    source: Source
    content: dict[str, Any]
    failed: Sequence[FailedRow] = ()
    home: Path = field(default_factory=Path.cwd)
    masks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The dataset folder."""
        return Path(self.config.out)

    @property
    def shards(self) -> int:
        """The shards of the whole dataset."""
        return shard_count(self.config)

    def todo(self) -> list[int]:
        """Return the shards of this rank that are not finished."""
        done = whole_shards(self.folder)
        return [k for k in range(self.config.rank, self.shards, self.config.world) if k not in done]

    def groups_in(self, shards: Sequence[int]) -> int:
        """Return how many groups are in shards."""
        return sum(shard_size(self.config, shard) for shard in shards)


def prepare_painted(config: DatagenConfig, parts: Parts) -> Job:
    """Check the settings of a run and find what is to be painted; nothing is written.

    Raises:
        ConfigError: a setting cannot be used, or the folder holds another configuration's data.
        CheckpointError: what finds objects in photos is missing or wrong, also where workers of a cluster will load it.
        RecordError: photos or their annotations cannot be read.
    """
    check_settings(config)
    check_painted(config)
    turns = turns_of(config, parts)
    parts.check_verifier(config.verify)
    if config.scale.by == "ray":
        config = replace(config, out=str(Path(config.out).absolute()))  # workers were started somewhere else
    if config.paint.over == "scenes":
        config = without_conflicts(config)
        prepare(config)
        return Job(config, parts, SceneSource(config, turns), content_settings(config))
    photos = find_photos(config)
    content = {**content_settings(config), **photos.description}
    check_claim(Path(config.out), content)
    config = replace(config, groups=len(photos.groups))
    source = PhotoSource(config, turns, photos.groups, parts.load_masks)
    boxed = [turn.engine for turn in turns if turn.mode == "box-inpaint"]
    masks = source.masks() if boxed else None  # here, so that a missing model is told before any work
    if masks is None:
        return Job(config, parts, source, content, photos.failed)
    known = masks.provenance
    source = replace(source, known_masks=known)
    return Job(config, parts, source, content, photos.failed, masks=dict.fromkeys(boxed, known))


def without_conflicts(config: DatagenConfig) -> DatagenConfig:
    """Return the settings without groups about whose left is meant: a painted picture has no poses that could tell."""
    return replace(config, frame_conflict=0.0)


def check_painted(config: DatagenConfig) -> None:
    """Refuse settings that make no sense for painted pictures.

    Raises:
        ConfigError: there is one.
    """
    if config.paint.over not in ("scenes", "photos"):
        raise ConfigError(f"paint.over must be 'scenes' or 'photos', not {config.paint.over!r}")
    if config.scale.by not in ("here", "ray"):
        raise ConfigError(f"scale.by must be 'here' or 'ray', not {config.scale.by!r}")
    for name, value, least in (
        ("paint.seeds_per_spec", config.paint.seeds_per_spec, 1),
        ("engine.batch_size", config.engine.batch_size, 1),
        ("scale.painters", config.scale.painters, 1),
        ("scale.verifiers", config.scale.verifiers, 1),
        ("scale.retries", config.scale.retries, 0),
    ):
        if value < least:
            raise ConfigError(f"{name} must be at least {least}, not {value}")
    for name in ("gpus_per_painter", "gpus_per_verifier"):
        share = getattr(config.scale, name)
        if share < 0 or (share > 1 and share % 1):
            raise ConfigError(f"scale.{name} must be 0, a share of one GPU, or a whole number, not {share}")
    if config.verify.calibration:
        read_calibration(config.verify)  # before engines are loaded, which takes minutes
    if config.dense or not config.statements:
        raise ConfigError(
            "only statements are made of painted pictures, since no check looks at colours; "
            "set dense to false and statements to true"
        )
    if config.paint.seeds_per_spec < len(engine_names(config)):
        raise ConfigError(
            f"{len(engine_names(config))} engines take turns over {config.paint.seeds_per_spec} seeds, so that some "
            "would never paint; raise paint.seeds_per_spec"
        )
    if config.scale.by == "ray" and config.world > 1:
        raise ConfigError("Ray shares the work out itself; leave rank and world away, or set scale.by to 'here'")


def check_engine_weights(job: Job) -> None:
    """Refuse a folder that other weights painted, before any are loaded; those that nobody knows before are left out.

    Raises:
        ConfigError: it holds data of other weights.
        CheckpointError: weights are missing or wrong.
    """
    if WEIGHTS not in description_of(job.folder):
        return
    kinds = {name: job.parts.kind(name) for name in engine_names(job.config)}
    now = {
        name: _weights_digest(kind.weights(engine_settings(job.config, name)))
        for name, kind in kinds.items()
        if kind.weights
    }
    check_weights_held(job, now)


def check_weights_held(job: Job, now: Mapping[str, str]) -> None:
    """Refuse a folder that other weights than these painted or judged, as far as both are named.

    Raises:
        ConfigError: it is one.
    """
    held = description_of(job.folder)
    if WEIGHTS in held:
        check_claim(job.folder, {**held, WEIGHTS: {**held[WEIGHTS], **now}})


def begin(job: Job, shared: Mapping[str, Origin]) -> None:
    """Make the dataset folder, once everything that can be wrong with settings and models has been found.

    Raises:
        ConfigError: the folder holds data of another configuration, or that other weights painted or judged.
    """
    claim(job.folder, {**job.content, WEIGHTS: weights_of(shared), SHARDS: job.shards})
    keep_copy(job.config.assets, job.folder)
    keep_calibration(job.config.verify, job.folder)
    if job.failed:
        with atomic(job.folder / FAILED) as temporary:
            temporary.write_text("".join(f"{row.name}: {row.reason}\n" for row in job.failed), encoding="utf-8")


def weights_of(shared: Mapping[str, Origin]) -> dict[str, str]:
    """Return hashes of the weights of each engine, its control network and LoRAs, and of the verifier's models,
    and of what found objects in photos."""
    found = {}
    for name, origin in shared.items():
        found[name] = _weights_digest(origin.provenance)
        found |= judges_weights(origin.verifier)
        if origin.masks:
            found[MASKS] = digest(json.dumps(_sums(origin.masks), sort_keys=True))
    return found


def judges_weights(verifier: Mapping[str, Any]) -> dict[str, str]:
    """Return the hashes of the weights of the verifier's models by what a folder calls them."""
    return {f"verifier: {model}": str(sums) for model, sums in verifier.items()}


def _weights_digest(provenance: Mapping[str, Any]) -> str:
    """Return the hash of an engine's weights, its control network and LoRAs."""
    held = [provenance.get(key) for key in ("weights", "control_weights", "loras")]
    return digest(json.dumps([_sums(it) for it in held], sort_keys=True))


def _sums(held: Any) -> Any:
    """Return the sums of files in what provenance says of weights: the name of their folder may change."""
    if isinstance(held, Mapping) and "sha256" in held:
        return held["sha256"]
    return [_sums(it) for it in held] if isinstance(held, list) else held


def origins(job: Job, provenance: Mapping[str, Mapping[str, Any]], verifier: Mapping[str, Any]) -> dict[str, Origin]:
    """Return what all pictures of each engine share; weights of one's own may have another licence than the engine's.

    Args:
        job: the run.
        provenance: of each engine.
        verifier: provenance of the verifier.
    """
    licences = {name: str(own.get("licence") or job.parts.kind(name).licence) for name, own in provenance.items()}
    return {name: Origin(licences[name], own, verifier, job.masks.get(name, {})) for name, own in provenance.items()}
