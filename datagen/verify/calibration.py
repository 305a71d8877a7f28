"""What a verifier's acceptance is worth: its rates on renders with exact truth, and what follows for painted pictures.

Of pictures that show an intended relation a share is accepted (true positive rate, TPR), and of pictures that were
meant to show it but do not another (false positive rate, FPR). If a share y of the attempts of an engine is accepted,
then the share p of its pictures that are right solves y = p TPR + (1 - p) FPR (Rogan & Gladen 1978), and of the
accepted pictures p TPR / y carry a right label. Where accepting tells nothing (TPR <= FPR) neither can be said.

All three are counted, so the result has an interval: quantiles over rates drawn from their Jeffreys posteriors.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from datagen.config import VerifySettings
from spatial.errors import ConfigError, nearest
from spatial.proportion import Interval, Proportion
from spatial.shipped import ASSETS, shipped_folder

FILE = "calibration.json"

NOT_JUDGING = ("calibration", "device", "tuned", "unread")
"""Settings of a verifier that do not change what is measured: claims that need poses are let in to be measured."""

DRAWS = 20_000

Z95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Rates:
    """Acceptance of pictures that show a relation, and of pictures that were meant to but do not."""

    right: Proportion
    wrong: Proportion


@dataclass(frozen=True)
class Precision:
    """Share of right labels among accepted pictures, its interval, and the share of right pictures among all."""

    share: float
    interval: Interval
    right_before: float


@dataclass(frozen=True)
class Calibration:
    """What ``vsre calibrate`` found of one verifier.

    Attributes:
        relations: rates by relation.
        most_wrong: largest false positive rate of a trusted relation.
        least_images: fewest wrong pictures that it must be measured on.
        weights: hashes of the weights of the verifier's models, by name.
    """

    relations: Mapping[str, Rates]
    most_wrong: float
    least_images: int
    weights: Mapping[str, str]

    def distrust(self, relation: str) -> str:
        """Return why pictures of a relation are not accepted automatically; "" where they are."""
        rates = self.relations.get(relation)
        return distrust(rates, self.most_wrong, self.least_images) if rates else "was not measured"

    def check_weights(self, weights: Mapping[str, str]) -> None:
        """Refuse models that are not those that were measured.

        Raises:
            ConfigError: one has other weights.
        """
        other = sorted(name for name in weights if self.weights.get(name) != weights[name])
        if other:
            raise ConfigError(
                f"verify.calibration was measured with other weights of {', '.join(other)}; run 'vsre calibrate' again"
            )


def distrust(rates: Rates, most_wrong: float, least_images: int) -> str:
    """Return why a relation of these rates is not trusted; "" where it is.

    The upper end of the interval counts: the more pictures were measured, the more of them may have been accepted.
    """
    more = lacking(rates, most_wrong, least_images)
    if more is None:
        return f"{100 * (rates.wrong.value or 0.0):.1f} % of wrong pictures are accepted"
    if more:
        return f"not measured enough: {rates.wrong.total} wrong pictures, about {more:,} more are needed"
    return ""


def lacking(rates: Rates, most_wrong: float, least_images: int) -> int | None:
    """Return how many wrong pictures more must be measured, if they are accepted as often as those before.

    Returns:
        0 where there are enough; ``None`` where the share is too large, so that no number would do.
    """
    wrong, share = rates.wrong, rates.wrong.value or 0.0
    if most_wrong < 1 and share >= most_wrong:
        return None
    # Where its upper end is p, Wilson's interval solves n (share - p)^2 = z^2 p (1 - p).
    enough = Z95**2 * most_wrong * (1 - most_wrong) / (most_wrong - share) ** 2 if most_wrong < 1 else 1
    return max(0, math.ceil(enough) - wrong.total, least_images - wrong.total)


def label_precision(accepted: int, attempts: int, rates: Rates, seed: int = 0) -> Precision | None:
    """Return which share of accepted pictures has the right label, corrected for the verifier's own errors.

    Args:
        accepted: of the attempts; its quotient is the yield.
        attempts: of one relation by one engine.
        rates: of the relation on renders. On painted pictures fewer right ones are accepted, which makes the true
            precision higher than this, as long as wrong ones are no easier to take for right ones.
        seed: of the interval.

    Returns:
        ``None`` where nothing was accepted or measured, or where acceptance tells nothing.
    """
    right, wrong = rates.right.value, rates.wrong.value
    if not accepted or right is None or wrong is None or right <= wrong:
        return None
    share, before = _solved(accepted / attempts, right, wrong)
    rng = np.random.default_rng(seed)
    counts = (Proportion(accepted, attempts), rates.right, rates.wrong)
    drawn = [rng.beta(it.count + 0.5, it.total - it.count + 0.5, DRAWS) for it in counts]
    kept = drawn[1] > drawn[2]
    shares, _ = _solved(*(values[kept] for values in drawn))
    low, high = np.quantile(shares, [0.025, 0.975])
    # Where no wrong picture was accepted, all draws are below the share itself.
    return Precision(float(share), (min(float(low), float(share)), max(float(high), float(share))), float(before))


def calibration_file(setting: str) -> Path:
    """Return the file that ``verify.calibration`` names: itself, its folder, or the shipped verifier it is of."""
    folder = shipped_folder(setting)
    return folder / FILE if folder.is_dir() else Path(setting)


def unreadable(setting: str, error: OSError) -> str:
    """Return one line on a calibration that cannot be read."""
    hint = nearest(setting, [path.parent.name for path in ASSETS.glob(f"*/{FILE}")])
    why = f"cannot be read ({error.strerror}){hint}"
    return f"verify.calibration {calibration_file(setting)} {why}; write it with 'vsre calibrate'"


def read_calibration(settings: VerifySettings) -> Calibration:
    """Read the file that settings name.

    Raises:
        ConfigError: it is missing, is no calibration, or is that of a verifier with other settings.
    """
    path = calibration_file(settings.calibration)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        relations = {name: _rates(row) for name, row in content["relations"].items()}
        weights = dict(content.get("weights", {}))
        found = Calibration(relations, float(content["most_wrong"]), int(content["least_images"]), weights)
        held = dict(content["verify"])
    except OSError as error:
        raise ConfigError(unreadable(settings.calibration, error)) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is not what 'vsre calibrate' writes; name its {FILE}") from error
    now = judging(settings)
    different = sorted(name for name in now if held.get(name) != now[name])
    if different:
        raise ConfigError(
            f"{path} was measured with other {', '.join(different)}; run 'vsre calibrate' with these settings"
        )
    return found


def judging(settings: VerifySettings) -> dict[str, Any]:
    """Return the settings of a verifier that decide its verdicts."""
    return {name: value for name, value in asdict(settings).items() if name not in NOT_JUDGING}


def _rates(row: Mapping[str, Any]) -> Rates:
    counts = [Proportion(int(row[kind]["accepted"]), int(row[kind]["n"])) for kind in ("right", "wrong")]
    return Rates(*counts)


def _solved(share: Any, right: Any, wrong: Any) -> tuple[Any, Any]:
    """Return precision and prevalence from yield, TPR and FPR: numbers, or arrays of one shape."""
    before = np.clip((share - wrong) / (right - wrong), 0.0, 1.0)
    after = before * right / np.maximum(before * right + (1 - before) * wrong, 1e-12)
    return after, before
