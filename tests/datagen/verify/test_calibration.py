"""Rates with intervals, label precision corrected for the verifier's own errors, and whom to trust."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.config import CalibrateConfig, VerifySettings
from datagen.verify.base import Claim, Intent
from datagen.verify.calibration import (
    Rates,
    calibration_file,
    distrust,
    judging,
    label_precision,
    lacking,
    read_calibration,
)
from datagen.verify.models import Models, weights_of
from datagen.verify.summary import renders_lacking, summarise
from datagen.verify.trials import RIGHT, WRONG, Trial
from datagen.verify.verdicts import failed, passed, skipped
from datagen.verify.verifier import Verifier
from spatial import shipped
from spatial.errors import ConfigError
from spatial.proportion import Proportion, wilson
from spatial.records import ImageObject


@given(st.floats(0.05, 0.95), st.floats(0.5, 1.0), st.floats(0.0, 0.3))
@settings(deadline=None, max_examples=30)
def test_the_corrected_precision_is_that_of_a_simulated_engine(right: float, tpr: float, fpr: float) -> None:
    """Of many attempts with known truth, it is the share of right ones among the accepted."""
    many = 1_000_000
    accepted = round(many * (right * tpr + (1 - right) * fpr))
    rates = Rates(Proportion(round(tpr * many), many), Proportion(round(fpr * many), many))
    found = label_precision(accepted, many, rates)
    assert found is not None
    assert found.share == pytest.approx(right * tpr * many / accepted, abs=0.005)
    assert found.right_before == pytest.approx(right, abs=0.005)
    assert found.interval[0] - 1e-9 <= found.share <= found.interval[1] + 1e-9


def test_the_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(50):
        right, tpr, fpr = 0.6, 0.9, 0.04
        shown = rng.random(400) < right
        accepted = rng.random(400) < np.where(shown, tpr, fpr)
        rates = Rates(Proportion(int(rng.binomial(300, tpr)), 300), Proportion(int(rng.binomial(300, fpr)), 300))
        found = label_precision(int(accepted.sum()), 400, rates)
        assert found is not None
        truth = right * tpr / (right * tpr + (1 - right) * fpr)
        hits += found.interval[0] <= truth <= found.interval[1]
    assert hits >= 44


def test_a_verifier_that_never_errs_leaves_only_right_labels() -> None:
    found = label_precision(30, 100, Rates(Proportion(5000, 5000), Proportion(0, 5000)))
    assert found is not None and found.share == 1.0 and found.interval[0] > 0.99 and found.right_before == 0.3


def test_acceptance_that_tells_nothing_has_no_precision() -> None:
    assert label_precision(30, 100, Rates(Proportion(5, 10), Proportion(6, 10))) is None
    assert label_precision(0, 100, Rates(Proportion(9, 10), Proportion(0, 10))) is None
    assert label_precision(5, 100, Rates(Proportion(9, 10), Proportion(0, 0))) is None


def test_fewer_accepted_than_errors_alone_would_give_are_all_suspect() -> None:
    found = label_precision(1, 1000, Rates(Proportion(900, 1000), Proportion(50, 1000)))
    assert found is not None and found.share == 0.0


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (Proportion(0, 73), ""),
        (Proportion(0, 72), "not measured enough: 72 wrong pictures, about 1 more are needed"),
        (Proportion(1, 30), "not measured enough: 30 wrong pictures, about 627 more are needed"),
        (Proportion(2, 203), ""),
        (Proportion(5, 100), "5.0 % of wrong pictures are accepted"),
        (Proportion(6, 100), "6.0 % of wrong pictures are accepted"),
        (Proportion(0, 0), "not measured enough: 0 wrong pictures, about 73 more are needed"),
    ],
)
def test_trust_needs_few_errors_on_enough_pictures(wrong: Proportion, why: str) -> None:
    """The point estimate of 1 of 30 is under 5 %, but as many as 17 % may be wrong."""
    assert distrust(Rates(Proportion(90, 100), wrong), 0.05, 30) == why


@given(st.integers(0, 400), st.integers(0, 400), st.floats(0.01, 0.99))
def test_trust_is_that_the_interval_lies_under_the_bound(some: int, more: int, most: float) -> None:
    wrong = Proportion(some, some + more)
    trusted = distrust(Rates(Proportion(9, 10), wrong), most, 1) == ""
    assert trusted == (wrong.ci95 is not None and wrong.ci95[1] <= most + 1e-9)


@given(st.integers(0, 40), st.integers(1, 400), st.floats(0.01, 0.9))
def test_as_many_more_as_are_told_would_do(some: int, more: int, most: float) -> None:
    wrong = Proportion(some, some + more)
    needed = lacking(Rates(Proportion(9, 10), wrong), most, 1)
    share = wrong.value or 0.0
    if needed is None:
        assert share >= most
    elif needed:
        assert wilson(share, wrong.total + needed)[1] <= most + 1e-9 < wilson(share, wrong.total + needed - 1)[1] + 2e-9


def test_a_share_of_nothing_is_none() -> None:
    assert Proportion(0, 0).as_json("accepted", "n") == {"n": 0, "accepted": 0, "share": None, "ci95": None}


SEEN = (passed("quality"), passed("presence"))
MOVED = (*SEEN, failed("layout", "moved"), failed("relation", "contradicted"))


def trials() -> list[Trial]:
    good = (*SEEN, passed("layout"), passed("relation"))
    unread = (*SEEN, passed("layout"), skipped("relation", "needs poses"))
    found = [Trial(RIGHT, str(i), "left of", good, "passed") for i in range(9)]
    found += [
        Trial(RIGHT, "9", "left of", MOVED, "contradicted"),
        Trial(RIGHT, "0", "beside", good, "passed"),
        Trial(RIGHT, "10", "facing", unread, "needs poses"),
        Trial(WRONG, "11", "facing", unread, "needs poses"),
        Trial("missing", "1", "left of", (failed("presence", "missing"),), "not found"),
        Trial("missing", "2", "left of", good, "passed"),
    ]
    return found + [Trial(WRONG, str(i), "left of", MOVED, "contradicted") for i in range(10)]


def written(tmp_path: Path, settings: VerifySettings, **others: Any) -> Path:
    config = CalibrateConfig(**{"least_images": 1, "most_wrong": 0.3, "verify": settings, **others})
    path = tmp_path / "calibration.json"
    facts = {"data": "d", "verify": judging(settings), "weights": {"tiny": "abc"}, "seed": 0}
    path.write_text(json.dumps(summarise(trials(), config, facts)))
    return path


def test_the_summary_counts_what_the_trials_say(tmp_path: Path) -> None:
    content = json.loads(written(tmp_path, VerifySettings()).read_text())
    left, facing = content["relations"]["left of"], content["relations"]["facing"]
    assert (left["right"]["n"], left["right"]["share"], left["wrong"]["share"]) == (10, 0.9, 0.0)
    assert left["right"]["relation_check"] == {"passed": 9, "contradicted": 1} and left["decided"] == 1.0
    assert left["trusted"] and left["precision_at_even_odds"] == 1.0
    assert (left["lacking"], facing["lacking"]) == (0, None)
    assert facing["decided"] == 0.0 and not facing["trusted"] and facing["precision_at_even_odds"] == 0.5
    assert content["faithful"]["n"] == 11 and content["faithful"]["accepted"] == 10
    assert content["faithful"]["refused"] == {"layout: moved": 1}
    missing = content["faults"]["missing"]
    assert (missing["n"], missing["rejected"], missing["refused"]) == (2, 1, {"presence: missing": 1})


def test_the_summary_tells_how_many_renders_more_are_needed(tmp_path: Path) -> None:
    content = json.loads(written(tmp_path, VerifySettings(), most_wrong=0.05).read_text())
    assert content["relations"]["left of"]["lacking"] == 63
    assert "about 63 more are needed" in content["relations"]["left of"]["why_not"]
    # Of 11 renders 10 were wrong pictures of it; no wrong picture of "beside" was there, which no number mends.
    assert renders_lacking(content) == (["left of"], math.ceil(11 * 63 / 10))


def test_a_verifier_reads_whom_to_trust(tmp_path: Path) -> None:
    settings = VerifySettings(device="cpu")
    path = written(tmp_path, settings)
    found = read_calibration(replace(settings, calibration=str(path), device="cuda"))
    assert found.relations["left of"].right == Proportion(9, 10)
    assert found.distrust("left of") == "" and "100.0 %" in found.distrust("facing")
    assert found.distrust("near") == "was not measured"


def test_a_folder_of_a_calibration_or_the_name_of_a_shipped_one_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, path = VerifySettings(), written(tmp_path, VerifySettings())
    monkeypatch.setattr(shipped, "ASSETS", tmp_path.parent)
    (tmp_path / shipped.CHECKSUMS).touch()
    for named in (str(tmp_path), tmp_path.name):
        assert calibration_file(named).samefile(path)
        assert read_calibration(replace(settings, calibration=named)).relations["left of"].right == Proportion(9, 10)
    with pytest.raises(ConfigError, match="calibration no-such-name cannot be read"):
        read_calibration(replace(settings, calibration="no-such-name"))


@pytest.mark.skipif(not (shipped.ASSETS / "tiny-verifier").is_dir(), reason="tiny-verifier is not shipped here")
def test_the_nearest_shipped_calibration_is_named() -> None:
    with pytest.raises(
        ConfigError, match=r"tiny-verifer cannot be read .*did you mean 'tiny-verifier'.*vsre calibrate"
    ):
        read_calibration(VerifySettings(calibration="tiny-verifer"))


def test_a_calibration_of_another_verifier_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, VerifySettings())
    with pytest.raises(ConfigError, match="was measured with other least_score; run 'vsre calibrate'"):
        read_calibration(VerifySettings(calibration=str(path), least_score=0.1))


def test_a_calibration_of_other_weights_is_refused(tmp_path: Path) -> None:
    class Network:
        name, vocabulary = "tiny", None

        def __init__(self, seed: int) -> None:
            torch.manual_seed(seed)
            self.network = torch.nn.Linear(2, 2)

    one, again, other = (Models([Network(seed)]) for seed in (0, 0, 1))
    assert weights_of(one) == weights_of(again) != weights_of(other)
    path = written(tmp_path, VerifySettings())
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "weights": weights_of(one)}))
    settings = VerifySettings(calibration=str(path))
    assert Verifier(settings, again).calibration is not None
    with pytest.raises(ConfigError, match="was measured with other weights of tiny; run 'vsre calibrate' again"):
        Verifier(settings, other)


def test_a_detector_of_other_weights_is_told_though_depth_is_from_the_same_kind_of_model() -> None:
    class Both:
        name, vocabulary = "tiny-verifier", None

        def __init__(self, seed: int) -> None:
            torch.manual_seed(seed)
            self.network = torch.nn.Linear(2, 2)

    shipped_one, altered = Both(0), Both(1)
    found = [
        weights_of(Models([detector], depth)) for detector in (shipped_one, altered) for depth in (shipped_one, altered)
    ]
    assert len({tuple(sorted(it.items())) for it in found}) == 4
    assert sorted(found[0]) == ["depth tiny-verifier", "tiny-verifier"]


def test_untrusted_relations_are_refused_by_name(tmp_path: Path) -> None:
    settings = VerifySettings(calibration=str(written(tmp_path, VerifySettings())))
    verifier = Verifier(settings, Models([]))
    box = (0.0, 0.0, 9.0, 9.0)
    objects = (ImageObject("cup", box), ImageObject("dog", box))
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for relation, status in (("left of", "passed"), ("facing", "failed"), ("near", "failed")):
        intent = Intent(objects, (Claim(relation, 0, 1),), 32, 32)
        verdicts = {it.check: it for it in verifier.verify([pixels], [intent])[0]}
        assert verdicts["trust"].status == status
    assert verdicts["trust"].detail == "near: was not measured"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"relations": {"on": 3}}'])
def test_another_file_is_no_calibration(text: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="is not what 'vsre calibrate' writes"):
        read_calibration(VerifySettings(calibration=str(path)))
