"""``vsre ask``: the answers of an evaluation, pictures and words that are refused, and what is written."""

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from eval.ask.asker import AskConfig, Asker
from eval.ask.overlay import views_of
from eval.ask.run import notes, write_answer
from eval.ask.wording import answers_to, open_picture
from eval.config import DataConfig, EvalConfig
from eval.decoders import DECODERS as DECODERS_BY_NAME
from eval.decoders import Choice, Greedy, Reading, scale
from eval.predictions import Prediction, read_predictions
from eval.run import evaluate
from eval.unseen import Vocabulary
from spatial.dataset import DatasetFolder
from spatial.errors import ConfigError, RecordError
from spatial.records import decode_image
from spatial.templates import TEMPLATES, render
from vsre.assets import resolve_model
from vsre.cli import main
from vsre.settings import parse

QUESTION = "Is the cup left of the laptop?"
DECODERS = ["greedy", "adaptvis(a1=0.5,a2=1.2,beta=0.4)", "vcd(alpha=1,beta=0)", "blind(alpha=1,beta=0)"]


@pytest.fixture(scope="module")
def asker() -> Asker:
    return Asker(AskConfig(model=resolve_model("tiny-expert"), decoders=DECODERS, device="cpu"))


@pytest.fixture(scope="module")
def picture(renders: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A render in a file of its own."""
    data = DatasetFolder(renders)
    path = tmp_path_factory.mktemp("picture") / "scene.png"
    decode_image(next(iter(data.images.values())).image, "scene").save(path)
    return str(path)


TEMPLATES_ASKED = ["ask", "question", "true-false"]


@pytest.fixture(scope="module")
def evaluated(asker: Asker, renders: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Prediction]:
    """What ``vsre eval`` says of some statements about relations."""
    about = DataConfig(path=str(renders), tasks=["statement"], topics=["relation"], limit=2)
    asked = EvalConfig(asker.config.model, about, str(tmp_path_factory.mktemp("eval")), TEMPLATES_ASKED, DECODERS)
    asked = replace(asked, image_modes=["image", "image_blind"], batch_size=4, bootstrap=2, device="cpu")
    return read_predictions(evaluate(asked) / "predictions.parquet")


@pytest.mark.parametrize("template", TEMPLATES_ASKED)
def test_a_record_gets_the_numbers_of_an_evaluation(
    template: str, asker: Asker, evaluated: list[Prediction], renders: Path, tmp_path: Path
) -> None:
    data = DatasetFolder(renders)
    (record, *_) = [row for row in data.records if row.record_id == evaluated[0].record_id]
    own = [row for row in evaluated if row.record_id == record.record_id and row.template == template]
    expected = {(row.decoder, row.image_mode): row for row in own}

    (tmp_path / "image.png").write_bytes(data.images[record.image_id].image)
    words = TEMPLATES[template].answers
    answer = asker.ask(open_picture(str(tmp_path / "image.png")), render(record, TEMPLATES[template], 0).text, words)
    assert [said.decoder for said in answer.said] == [*DECODERS, "greedy"] and answer.options == words
    for said in answer.said:
        row = expected[said.decoder, said.image_mode]
        # The evaluation answers four questions at once, which rounds otherwise; contrasts double it.
        assert dict(zip(answer.options, said.logprobs, strict=True)) == pytest.approx(
            dict(zip(row.options, row.option_logprobs, strict=True)), abs=1e-4
        )
        assert said.text == row.predicted and said.confidence == pytest.approx(row.confidence, abs=1e-4)


def test_ask_prints_what_every_decoder_says_and_draws_where_it_looked(
    picture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", picture, QUESTION, "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0
    *shown, last = capsys.readouterr().out.splitlines()
    assert last == str(tmp_path / "out" / "attention.png") and Image.open(last).size[0] > 1000
    found = json.loads((tmp_path / "out" / "answer.json").read_text())
    kinds = [said["decoder"].partition("(")[0] for said in found["said"]]
    assert kinds == ["greedy", "scale", "scale", "adaptvis", "temper", "pai", "vcd", "blind", "dola", "greedy"]
    first = found["said"][0]
    assert shown[1].startswith(f"answer  {first['text']}   (probability {first['probability']:.3f} among the options)")
    assert sum("(alpha=" in line or "(a1=" in line for line in shown) == 7
    assert found["options"] == ["yes", "no"] and QUESTION in found["prompt"]
    yes, no = first["logprobs"]
    assert first["probability"] == pytest.approx(max(1 / (1 + math.exp(no - yes)), 1 / (1 + math.exp(yes - no))))
    assert any("nothing of photos" in line for line in shown)


@dataclass(frozen=True)
class Blend(Choice):
    """The mean of what is said at two scales: a row of its own, which none of the readings gave."""

    alpha: float

    @property
    def readings(self) -> tuple[Reading, ...]:
        return (Greedy(), scale(self.alpha))

    def choose(self, rows: Mapping[Reading, Prediction]) -> Prediction:
        one, other = (rows[reading] for reading in self.readings)
        means = tuple(np.mean([one.option_logprobs, other.option_logprobs], axis=0).tolist())
        return replace(one, option_logprobs=means, predicted=one.options[int(np.argmax(means))])


def test_an_answer_made_of_several_is_shown_and_the_first_other_look_is_drawn(
    picture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DECODERS_BY_NAME, "blend", Blend)
    decoders = ["greedy", "blend(alpha=0.5)", "temper(alpha=0.5)"]
    own = Asker(AskConfig(model=resolve_model("tiny-expert"), decoders=decoders, device="cpu"))
    answer = own.ask(open_picture(picture), QUESTION, ("yes", "no"))
    assert [said.reading for said in answer.said[:3]] == ["greedy", "", "temper(alpha=0.5)"]
    views = views_of(answer, -1)
    assert [view.title.split("\n")[0] for view in views] == ["Before: the model as it is", "After temper(alpha=0.5)"]
    assert write_answer(own, answer, open_picture(picture), tmp_path).exists()


def test_the_map_sums_to_the_attention_that_the_picture_gets(asker: Asker, picture: str) -> None:
    answer = asker.ask(open_picture(picture), QUESTION)
    greedy = answer.maps["greedy"]
    assert greedy.shape == (4, 64) and (greedy >= 0).all() and (greedy.sum(1) < 1).all()
    adaptvis = next(said for said in answer.said if said.decoder.startswith("adaptvis"))
    assert set(answer.maps) >= {"greedy", adaptvis.reading} and abs(answer.maps[adaptvis.reading] - greedy).max() > 0


def test_a_choice_compares_its_options_and_other_questions_are_answered_in_words(asker: Asker, picture: str) -> None:
    chosen = asker.ask(open_picture(picture), "Where is the cup relative to the laptop?", "left of, right of")
    assert chosen.options == ("left of", "right of") and chosen.said[0].text in chosen.options
    written = asker.ask(open_picture(picture), "What is in the picture?")
    assert written.options == () and written.said[0].text and written.said[0].logprobs == ()
    assert 0 < written.said[0].probability <= 1


def test_options_that_a_decoder_rules_out_are_equally_probable(picture: str, tmp_path: Path) -> None:
    """With beta 1 a contrast leaves one token, and it begins neither of these answers."""
    config = AskConfig(model=resolve_model("tiny-expert"), decoders=["vcd(alpha=1,beta=1)"], image_modes=["image"])
    asker = Asker(replace(config, device="cpu"))
    answer = asker.ask(open_picture(picture), QUESTION, ["dog", "cat"])
    contrast = answer.said[1]
    assert contrast.logprobs == (-math.inf, -math.inf) and contrast.probability == 0.5
    assert any("rules the answer out" in note for note in notes(asker, answer))
    write_answer(asker, answer, open_picture(picture), tmp_path)
    assert json.loads((tmp_path / "answer.json").read_text())["said"][1]["logprobs"] == [None, None]


@pytest.mark.parametrize(
    ("question", "options"),
    [
        (QUESTION, ("yes", "no")),
        ("The cup is left of the laptop. Is this true?", ("yes", "no")),
        ("Answer yes or no: the cup is left of the laptop.", ("yes", "no")),
        ("Is the cup left or right of the laptop?", ()),
        ("Where is the cup?", ()),
        ("What is on the couch?", ()),
    ],
)
def test_a_question_that_yes_or_no_answers_is_told_from_others(question: str, options: tuple[str, ...]) -> None:
    assert answers_to(question, "") == options


@pytest.mark.parametrize(
    ("question", "options", "message"),
    [
        ("Is the zebra left of the cappuccino?", "", r"has never seen 'zebra', 'cappuccino'.*it knows bench, boat"),
        (QUESTION, "yes,maybe", "has never seen 'maybe'"),
        ("Is the <image> left of the cup?", "", "'<image>' has a meaning of its own"),
        (" ", "", "no question is asked"),
        (QUESTION, "left", "has the one answer 'left'"),
        ("Is the cup left? " * 100, "", "have 1,700 characters"),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    question: str, options: str, message: str, asker: Asker, picture: str
) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        asker.ask(open_picture(picture), question, options)
    assert "\n" not in str(refused.value)


def test_every_word_of_the_pictures_that_the_tiny_models_learnt_from_is_known(asker: Asker, renders: Path) -> None:
    words = asker.vocabulary
    captions = [row.caption for row in DatasetFolder(renders).records if row.topic == "relation"]
    assert not any(words.unseen(captions))
    readme = (Path(resolve_model("tiny-base")) / "README.md").read_text()
    assert ", ".join(words.known_things()) in readme
    assert words.unseen(["Is the pizza between two cups?", "<image>"]) == [["pizza", "between", "cups"], []]
    opened = Vocabulary(asker.model, words.tokenizer, Path("another"))
    assert not opened.closed and opened.unseen(["Is the pizza a Café?"]) == [["Café"]]


def _cut(path: Path) -> None:
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:2000])


UNUSABLE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda path: None, "there is no picture"),
    "folder": (Path.mkdir, "is a folder; name the file of one picture"),
    "text": (lambda path: path.write_text("hello"), "cannot be decoded"),
    "empty": (Path.touch, "cannot be decoded"),
    "cut": (_cut, "truncated"),
    "bomb": (lambda path: Image.new("1", (9000, 9000)).save(path), "more than 64000000"),
    "fat": (lambda path: (path.touch(), os.truncate(path, 65_000_000)), "65,000,000 bytes, more than 64,000,000"),
    "pipe": (os.mkfifo, "is no ordinary file"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_picture_that_cannot_be_used_is_one_line(kind: str, tmp_path: Path) -> None:
    make, message = UNUSABLE[kind]
    make(tmp_path / "picture.png")
    with pytest.raises(RecordError, match=message) as refused:
        open_picture(str(tmp_path / "picture.png"))
    assert "\n" not in str(refused.value) and "picture.png" in str(refused.value)


def test_an_address_is_not_downloaded_and_a_misspelt_file_names_the_nearest(picture: str) -> None:
    with pytest.raises(ConfigError, match="nothing is downloaded"):
        open_picture("https://example.org/cup.png")
    with pytest.raises(RecordError, match="did you mean 'scene"):
        open_picture(picture.replace("scene", "scnee"))
    with pytest.raises(RecordError, match="cannot be read"):
        open_picture("x" * 5000)


def test_a_large_picture_is_made_smaller(tmp_path: Path) -> None:
    Image.new("RGB", (5000, 2500), "red").save(tmp_path / "large.png")
    assert open_picture(str(tmp_path / "large.png")).size == (2048, 1024)


def test_picture_and_question_need_no_names(capsys: pytest.CaptureFixture[str]) -> None:
    config = parse("ask", ["a.png", "--device", "cpu", QUESTION, "--options", "left,right"])
    assert (config.image, config.question, config.options) == ("a.png", QUESTION, "left,right")
    assert parse("ask", [QUESTION, "--image", "a.png"]).question == QUESTION
    assert parse("ask", ["a.png", QUESTION, "--options", "[left, right]"]).options == ["left", "right"]
    assert main(["ask", "a.png", *QUESTION.split()]) == 2
    assert "takes one image and one question, got a.png and Is and the" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--image_modes", "[shuffled]"], "needs other pictures, and there is one; choose from image, image_blind"),
        (["--image_modes", "[imge]"], "did you mean 'image'"),
        (["--decoders", "[gredy]"], "did you mean 'greedy'"),
        (["--layer", "4"], "layer is 4, and the model has 4, counted from 0"),
        (["--layer", "-2"], "use -1 or more"),
        (["--model", "tiny-exprt"], "did you mean 'tiny-expert'"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_line(
    flags: list[str], message: str, picture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", picture, QUESTION, "--device", "cpu", "--out", str(tmp_path), *flags]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("vsre:")]
    assert message in line
