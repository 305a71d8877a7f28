"""Published detectors, depth estimators and vision-language models: the real classes, tiny and with random weights."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from datagen.config import VerifySettings
from datagen.verify.base import Claim, Intent
from datagen.verify.judge import VqaJudge
from datagen.verify.models import load_models
from datagen.verify.published import DepthAnything, GroundingDinoDetector, Owlv2Detector, threshold_name
from datagen.verify.safety import SafetyChecker
from datagen.verify.verdicts import accepted
from datagen.verify.verifier import Verifier
from spatial.errors import CheckpointError, ConfigError
from spatial.records import ImageObject

from .tiny_models import (
    CPU,
    MAKERS,
    PICTURES,
    classifier,
    depth_anything,
    llava,
)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.manual_seed(1)
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in MAKERS.items()}


@pytest.mark.parametrize(("name", "made"), [("owlv2", Owlv2Detector), ("grounding-dino", GroundingDinoDetector)])
def test_detectors_answer_for_the_nouns_asked_and_alike_alone_and_together(
    name: str, made: Any, published: dict[str, Path]
) -> None:
    detector = made(str(published[name]), CPU, 0.0)
    nouns = [["cup", "book"], ["horse"], []]
    found = detector.detect(PICTURES, nouns)
    for pixels, asked, detections in zip(PICTURES, nouns, found, strict=True):
        assert {it.name for it in detections} <= set(asked) and bool(detections) == bool(asked)
        assert [it.score for it in detections] == sorted((it.score for it in detections), reverse=True)
        height, width, _ = pixels.shape
        assert all(0 <= it.box[0] < it.box[2] <= width and 0 <= it.box[1] < it.box[3] <= height for it in detections)
        alone = detector.detect([pixels], [asked])[0]
        assert [it.name for it in alone] == [it.name for it in detections]
        assert np.array([it.box for it in alone]) == pytest.approx(np.array([it.box for it in detections]), abs=0.01)
    stricter = made(str(published[name]), CPU, 0.5).detect(PICTURES[:1], nouns[:1])[0]
    assert {it.score for it in stricter} == {it.score for it in found[0] if it.score > 0.5}


def test_grounding_dino_is_asked_one_noun_at_a_time(published: dict[str, Path]) -> None:
    detector = GroundingDinoDetector(str(published["grounding-dino"]), CPU, 0.0)
    texts: list[str] = []
    original = detector.processor.__class__.__call__

    class Listening(detector.processor.__class__):  # type: ignore[misc, name-defined]
        def __call__(self, *arguments: Any, **settings: Any) -> Any:
            texts.extend(settings["text"])
            return original(self, *arguments, **settings)

    detector.processor.__class__ = Listening
    detector.detect(PICTURES[:2], [["cup", "oven"], ["Book"]])
    assert sorted(texts) == ["a book.", "a cup.", "an oven."]


def test_the_threshold_is_found_under_either_name() -> None:
    assert threshold_name(lambda outputs, input_ids, threshold=0.25: None) == "threshold"
    assert threshold_name(lambda outputs, input_ids, box_threshold=0.25: None) == "box_threshold"


def test_depth_has_the_size_of_the_picture_and_grows_with_distance(tmp_path: Path) -> None:
    inverse, metric = (depth_anything(tmp_path / kind, kind) for kind in ("relative", "metric"))
    relative = DepthAnything(str(inverse), CPU)
    found = relative.depth(PICTURES)
    assert [it.shape for it in found] == [it.shape[:2] for it in PICTURES]
    assert all((it <= 1e-6).all() for it in found)  # what the network estimates is inverse depth
    alone = relative.depth(PICTURES[1:2])[0]
    assert alone == pytest.approx(found[1], abs=1e-6)
    assert all((it > 0).all() for it in DepthAnything(str(metric), CPU).depth(PICTURES[:1]))


def test_a_verifier_of_published_models_refuses_what_they_do_not_see(published: dict[str, Path]) -> None:
    settings = VerifySettings(
        detectors=[f"owlv2={published['owlv2']}", f"grounding-dino={published['grounding-dino']}"],
        depth=f"depth-anything={published['depth-anything']}",
        device="cpu",
    )
    verifier = Verifier(settings)
    box = (5.0, 5.0, 30.0, 30.0)
    intent = Intent((ImageObject("cup", box), ImageObject("book", box)), (Claim("left of", 0, 1),), 64, 64)
    [verdicts] = verifier.verify(PICTURES[:1], [intent])
    assert not accepted(verdicts)
    assert {it.check for it in verdicts} >= {"presence", "uniqueness", "layout", "depth", "relation"}
    verifier.check_nouns(["cup", "anything"])


def test_any_vision_language_model_judges(tmp_path: Path) -> None:
    judge = VqaJudge(str(llava(tmp_path)), CPU)
    asked = ["is the cup left of the book ?", "is it true that the cup is right of the book ?"]
    margins = judge.margins(PICTURES[0], asked)
    assert len(margins) == 2 and all(np.isfinite(margins))
    assert margins == pytest.approx([judge.margins(PICTURES[0], [text])[0] for text in asked], abs=1e-4)


def test_a_model_without_a_chat_template_is_no_judge(tmp_path: Path) -> None:
    folder = llava(tmp_path)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(CheckpointError, match="has no chat template"):
        VqaJudge(str(folder), CPU)


def test_what_is_not_fit_is_refused(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "checker")
    weights = load_file(folder / "model.safetensors")
    for bias, status in ((50.0, "failed"), (-50.0, "passed")):
        weights["classifier.bias"] = torch.tensor([0.0, bias])
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        [verdict] = SafetyChecker(str(folder), CPU).verdicts(PICTURES[:1])
        assert (verdict.check, verdict.status) == ("safety", status)
    with pytest.raises(CheckpointError, match="has no class such as 'nsfw' among cat, dog"):
        SafetyChecker(str(classifier(tmp_path / "pets", ("cat", "dog"))), CPU)


def test_the_safety_checker_looks_at_many_pictures_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checker = SafetyChecker(str(classifier(tmp_path / "safety", ("normal", "nsfw"))), CPU)
    alone = [checker.verdicts([pixels])[0] for pixels in PICTURES]
    forward, batches = checker.network.forward, []

    def counted(**inputs: Any) -> Any:
        batches.append(len(inputs["pixel_values"]))
        return forward(**inputs)

    monkeypatch.setattr(checker.network, "forward", counted)
    together = checker.verdicts(PICTURES)
    assert batches == [2, 1], "two pictures have one size"
    assert [it.score for it in together] == pytest.approx([it.score for it in alone], abs=1e-4)


def broken(folder: Path, source: Path, how: str) -> Path:
    shutil.copytree(source, folder)
    if how == "lacks":
        weights = load_file(folder / "model.safetensors")
        weights.pop(sorted(weights)[0])
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    elif how == "truncated":
        data = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
    elif how == "weights":
        (folder / "model.safetensors").unlink()
    elif how == "processor":
        for path in folder.glob("*processor_config.json"):
            path.unlink()
    elif how == "config":
        (folder / "config.json").unlink()
    return folder


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("lacks", "lacks 1 weights, the first is"),
        ("truncated", "cannot be loaded"),
        ("weights", "has no .safetensors file"),
        ("processor", "has no usable processor"),
        ("config", "has no config.json"),
    ],
)
@pytest.mark.parametrize("name", ["owlv2", "depth-anything"])
def test_an_incomplete_folder_is_told_in_one_line(
    name: str, how: str, message: str, published: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = broken(tmp_path / "broken", published[name], how)
    settings = {"owlv2": VerifySettings(detectors=[f"owlv2={folder}"], depth="")}
    kind = settings.get(name, VerifySettings(detectors=[f"owlv2={published['owlv2']}"], depth=f"{name}={folder}"))
    with pytest.raises(CheckpointError) as error:
        load_models(kind)
    assert message in str(error.value) and str(folder) in str(error.value) and "\n" not in str(error.value)
    assert str(error.value).startswith(f"{name}: ")


def test_the_folder_of_another_model_is_told(published: dict[str, Path]) -> None:
    with pytest.raises(CheckpointError, match="holds a model of type 'owlv2', not 'grounding-dino'"):
        GroundingDinoDetector(str(published["owlv2"]), CPU, 0.3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"detectors": ["owl2=DIR"]}, "detector 'owl2' is unknown; did you mean 'owlv2'?"),
        ({"detectors": []}, "verify.detectors is empty"),
        ({"detectors": ["owlv2=nowhere"]}, "owlv2: folder nowhere does not exist"),
        ({"depth": "depth-anythin"}, "depth model 'depth-anythin' is unknown; did you mean 'depth-anything'?"),
        ({"judges": ["vqa"]}, "judge 'vqa' needs a model"),
        ({"judges": ["vqa=./nowhere"]}, "vqa: folder ./nowhere does not exist"),
        ({"safety": "./nowhere"}, "safety: folder ./nowhere does not exist"),
        ({"device": "cuda:99"}, "device 'cuda:99' cannot be used here"),
        ({"least_overlap": 1.5}, "verify.least_overlap must be in 0..1, not 1.5"),
        ({"unread": "rejct"}, "verify.unread must be 'reject' or 'accept', not 'rejct'"),
        ({"least_score": 0.4}, "verify.surplus_score is 0.3, less than verify.least_score 0.4"),
        ({"calibration": "nowhere.json"}, "calibration nowhere.json cannot be read"),
    ],
)
def test_a_wrong_setting_is_told_before_any_work(
    settings: dict[str, Any], message: str, published: dict[str, Path]
) -> None:
    usual = {"detectors": [f"owlv2={published['owlv2']}"], "depth": ""}
    with pytest.raises((ConfigError, CheckpointError)) as error:
        Verifier(VerifySettings(**{**usual, **settings}))
    assert message in str(error.value)


def test_a_name_on_the_hub_is_not_asked_for_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError) as error:
        load_models(VerifySettings(detectors=["owlv2=nobody/nothing"], depth=""))
    told = str(error.value)
    assert told.startswith("owlv2: nobody/nothing") and "unset HF_HUB_OFFLINE" in told and "\n" not in told


def test_two_detectors_of_one_kind_are_refused(published: dict[str, Path]) -> None:
    name = f"owlv2={published['owlv2']}"
    with pytest.raises(ConfigError, match="names one kind twice"):
        load_models(VerifySettings(detectors=[name, name], depth=""))


def test_published_folders_say_what_they_are(published: dict[str, Path]) -> None:
    kinds = {name: json.loads((folder / "config.json").read_text())["model_type"] for name, folder in published.items()}
    assert kinds == {"owlv2": "owlv2", "grounding-dino": "grounding-dino", "depth-anything": "depth_anything"}
