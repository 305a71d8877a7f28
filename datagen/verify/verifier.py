"""The verifier: every check of every picture, with a verdict and a reason each.

Looking and judging are apart: what the models see in a picture does not depend on what it was meant to show, so a
picture is looked at once and can be held against several intentions, which is how the verifier itself is measured
(``datagen.verify.calibrate``).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from datagen.config import VerifySettings
from datagen.verify.base import Detection, Detector, Intent, Pixels, Verdict
from datagen.verify.boxes import one_each
from datagen.verify.calibration import Calibration, read_calibration
from datagen.verify.depth import depth
from datagen.verify.layout import layout
from datagen.verify.matching import NO_SAFETY, Evidence, match
from datagen.verify.models import Models, load_models, weights_of
from datagen.verify.presence import presence, uniqueness
from datagen.verify.quality import quality
from datagen.verify.questions import question
from datagen.verify.relation import NEEDS_POSES, Reading, read_claims, relation, said
from datagen.verify.verdicts import REFUSED_ALREADY, failed, in_order, passed, refusal, skipped
from spatial.errors import ConfigError
from spatial.scene import digest
from spatial.vocabulary import NOUNS

BATCH = 16
"""Pictures that a model is given at once."""

DISTRACTORS = 2
"""Nouns that are not in the scene and are asked for beside it, of a detector that knows any noun."""

UNTRUSTED, UNREAD = "untrusted", "unread"

REJECT, ACCEPT = "reject", "accept"
"""What ``verify.unread`` can be."""


@dataclass(frozen=True)
class Judged:
    """What is said of one picture: the verdicts on all, and what the relation check alone says of each claim."""

    verdicts: tuple[Verdict, ...]
    readings: tuple[Reading, ...]


class Verifier:
    """Judges pictures.

    Args:
        settings: which models, and how strict.
        models: loaded ones; by default those of the settings are loaded.

    Raises:
        ConfigError: a setting cannot be used, or the calibration is of other settings or weights.
        CheckpointError: a model's folder is missing or wrong.
    """

    def __init__(self, settings: VerifySettings, models: Models | None = None) -> None:
        _check(settings)
        self.settings = settings
        self.calibration: Calibration | None = read_calibration(settings) if settings.calibration else None
        self.models = models or load_models(settings)
        if self.calibration:
            self.calibration.check_weights(weights_of(self.models))

    @property
    def provenance(self) -> dict[str, str]:
        """Hashes of the weights of the models that judge, by name."""
        return weights_of(self.models)

    def check_nouns(self, nouns: Iterable[str]) -> None:
        """Refuse nouns that no detector knows, before any work: pictures of them could never be accepted.

        Raises:
            ConfigError: there are some.
        """
        known = [detector.vocabulary for detector in self.models.detectors]
        unknown = [noun for noun in sorted(set(nouns)) if not any(words is None or noun in words for words in known)]
        if unknown:
            raise ConfigError(
                f"no detector of verify.detectors knows {', '.join(unknown[:5])}{' ...' if unknown[5:] else ''};"
                " leave the nouns out, or add a detector that knows any, such as owlv2=DIR"
            )

    def verify(self, pictures: Sequence[Pixels], intents: Sequence[Intent]) -> list[tuple[Verdict, ...]]:
        """Return the verdicts on each picture, in the order of ``datagen.verify.verdicts.CHECKS``.

        None depends on the other pictures; duplicates are looked for when it is known which groups are right as a whole
        (``datagen.verify.quality.mark_duplicates``).
        """
        nouns = [tuple(item.name for item in intent.objects) for intent in intents]
        looked = self.look(pictures, nouns)
        return [self.judge(evidence, intent).verdicts for evidence, intent in zip(looked, intents, strict=True)]

    def look(self, pictures: Sequence[Pixels], nouns: Sequence[Sequence[str]]) -> list[Evidence]:
        """Return what the models see in each picture, asked for nouns that it may show and for some that it may not."""
        evidence: list[Evidence] = []
        for start in range(0, len(pictures), BATCH):
            evidence += self._look(pictures[start : start + BATCH], nouns[start : start + BATCH])
        return evidence

    def judge(self, evidence: Evidence, intent: Intent) -> Judged:
        """Judge one picture.

        Judges are large models, so they are asked only about pictures that nothing else refuses.
        """
        sound = quality(evidence.pixels, intent.width, intent.height)
        if evidence.pixels.shape[:2] != (intent.height, intent.width):
            return Judged((sound,), ())  # nothing that follows could be compared
        matched = match(intent, evidence)
        readings = read_claims(matched)
        verdicts = [
            sound,
            evidence.safe,
            presence(matched),
            uniqueness(matched, self.settings),
            layout(matched, self.settings),
            depth(matched),
            relation(readings, intent),
            self._trust(intent, readings),
        ]
        asked = (
            skipped("question", REFUSED_ALREADY)
            if refusal(verdicts)
            else question(evidence.pixels, intent, self.models.judges)
        )
        return Judged(in_order([*verdicts, asked]), tuple(readings))

    def _look(self, pictures: Sequence[Pixels], nouns: Sequence[Sequence[str]]) -> list[Evidence]:
        found: dict[str, list[list[Detection]]] = {}
        asked: dict[str, list[list[str]]] = {}
        for detector in self.models.detectors:
            queries = asked[detector.name] = [_queries(detector, wanted) for wanted in nouns]
            found[detector.name] = [self._sure(seen) for seen in detector.detect(pictures, queries)]
        depths = self.models.depth.depth(pictures) if self.models.depth else [None] * len(pictures)
        safe = self.models.safety.verdicts(pictures) if self.models.safety else [NO_SAFETY] * len(pictures)
        return [
            Evidence(
                pixels,
                {name: seen[index] for name, seen in found.items()},
                {name: frozenset(queries[index]) for name, queries in asked.items()},
                depths[index],
                safe[index],
            )
            for index, pixels in enumerate(pictures)
        ]

    def _sure(self, detections: Sequence[Detection]) -> list[Detection]:
        return one_each(it for it in detections if it.score >= self.settings.least_score)

    def _trust(self, intent: Intent, readings: Sequence[Reading]) -> Verdict:
        if self.calibration is None:
            unread = [reading.claim for reading in readings if reading.outcome == NEEDS_POSES]
            if unread and self.settings.unread == REJECT:
                told = "; ".join(said(claim, intent) for claim in unread)
                return failed("trust", UNREAD, f"not calibrated, and needs poses: {told}")
            return skipped("trust", "not calibrated")
        for claim in intent.claims:
            why = self.calibration.distrust(claim.relation)
            if why:
                return failed("trust", UNTRUSTED, f"{claim.relation}: {why}")
        return passed("trust")


def _queries(detector: Detector, wanted: Sequence[str]) -> list[str]:
    """Return the nouns that a detector is asked for: those that it knows of the scene, and others.

    A detector with a vocabulary is asked for all of it, which costs nothing; others for some nouns that depend on the
    scene's alone.
    """
    if detector.vocabulary is not None:
        return sorted(detector.vocabulary)
    scene = sorted(set(wanted))
    others = sorted(set(NOUNS) - set(scene), key=lambda noun: digest(f"{'|'.join(scene)}/{noun}"))
    return [*scene, *others[:DISTRACTORS]]


def _check(settings: VerifySettings) -> None:
    if settings.unread not in (REJECT, ACCEPT):
        raise ConfigError(f"verify.unread must be '{REJECT}' or '{ACCEPT}', not {settings.unread!r}")
    for name in ("least_score", "surplus_score", "least_overlap", "most_offset"):
        value = getattr(settings, name)
        if not 0 <= value <= 1:
            raise ConfigError(f"verify.{name} must be in 0..1, not {value}")
    if settings.surplus_score < settings.least_score:
        raise ConfigError(
            f"verify.surplus_score is {settings.surplus_score}, less than verify.least_score {settings.least_score},"
            " below which nothing is seen; raise it"
        )
