"""lmms-eval asks our checkpoints what ``vsre eval`` asks them, and gets the same answers.

These tests run in an environment that has lmms-eval (docs/lmms-eval.md), and are skipped elsewhere.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import load_from_disk
from PIL import Image

from datagen.config import DatagenConfig
from datagen.config_folders import ExportConfig
from datagen.export.run import export
from datagen.run import generate
from encoders.load import load_model
from eval.config import DataConfig, EvalConfig
from eval.decoders import Greedy
from eval.predictions import read_predictions
from eval.run import evaluate
from eval.scoring import Question, Scorer
from spatial.errors import ConfigError
from spatial.records import Record
from spatial.shipped import ASSETS
from spatial.templates import TEMPLATES, render
from vsre.roots import ROOT

pytest.importorskip("lmms_eval", reason="lmms-eval has its own environment, see docs/lmms-eval.md")

from lmms_eval.api.instance import Instance
from lmms_eval.models import get_model

from vsre.lmms import Vsre, _joined, batches, cut, generation_settings

TINY = str(ASSETS / "tiny-base")
QUESTIONS = ("The cat is left of the dog. Is this true?", "Is there a red book in the picture?", "cat")
OPTIONS = ("yes", "facing away from", "left of", "no")


@pytest.fixture(scope="module")
def model() -> Vsre:
    """Return the shipped model on the CPU, asked three questions at a time."""
    found: Vsre = get_model("vsre").create_from_arg_string(f"pretrained={TINY}", {"batch_size": "3", "device": "cpu"})
    found.task_dict = {"task": {"test": [{"image": picture(colour)} for colour in ("red", "blue", "green")]}}
    return found


def picture(colour: str) -> Image.Image:
    """Return a picture with a dark stripe, wider than high."""
    image = Image.new("RGB", (90, 60), colour)
    image.paste("black", (10, 10, 30, 50))
    return image


def request(kind: Any, text: str, asked: Any, row: int) -> Instance:
    """Return a request as lmms-eval makes them of a task's row."""
    where = {"task": "task", "doc_id": row, "repeats": 1}
    arguments = (text, asked, lambda doc: [doc["image"]], row, "task", "test")
    return Instance(request_type=kind, arguments=arguments, idx=0, metadata=where)


def test_a_question_is_put_into_the_words_of_vsre_eval(model: Vsre) -> None:
    caption = "The cat is left of the dog."
    record = Record("image", "group", "original", "statement", "relation", caption, "true", relation="left of")
    asked = render(record, TEMPLATES["question-short"], seed=0)
    expected = model.processor.apply_chat_template(asked.messages, add_generation_prompt=True, tokenize=False)
    assert model.prompt(f"{record.caption} Is this true?", 1) == expected


def test_pictures_stand_where_the_text_says(model: Vsre) -> None:
    assert model.prompt("Compare", 2).count("<image>") == 2
    told = model.prompt("In <image> is a cat, in <image> a dog.", 2)
    assert "In <image> is a cat, in <image> a dog." in told and told.count("<image>") == 2


@torch.inference_mode()
def test_scores_of_answers_are_those_of_vsre_eval(model: Vsre) -> None:
    requests = [
        request("loglikelihood", text, f" {option}", row) for row, text in enumerate(QUESTIONS) for option in OPTIONS
    ]
    losses = [result.text[0] for result in model.loglikelihood(requests)]
    shown = [row["image"] for row in model.task_dict["task"]["test"]]
    pixels = model.processor.image_processor(images=shown, return_tensors="pt")["pixel_values"]
    features = model.model.get_image_features(pixel_values=pixels).pooler_output
    questions = [Question(str(row), model.prompt(text, 1), OPTIONS) for row, text in enumerate(QUESTIONS)]
    shown_as = [{"image": tokens} for tokens in features]
    scores = Scorer(model.model, model.processor).score(questions, shown_as, [Greedy()])[Greedy()]
    expected = [-logprob for score in scores for logprob in score.option_logprobs]
    assert losses == pytest.approx(expected, rel=1e-4)


def test_how_a_task_spaces_its_options_changes_no_score(model: Vsre) -> None:
    """Training writes the gap that its prompt wants; tasks write " yes" or "yes"."""
    asked = [request("loglikelihood", QUESTIONS[0], f"{gap}{option}", 0) for option in OPTIONS for gap in ("", " ")]
    losses = [result.text[0] for result in model.loglikelihood(asked)]
    assert losses[::2] == pytest.approx(losses[1::2], rel=1e-5)
    assert [_joined(prompt, " yes") for prompt in ("Q\n", "Q ", "Q:")] == ["Q\nyes", "Q yes", "Q: yes"]
    assert _joined("Q:", "yes") == "Q: yes"


def test_answers_come_in_the_order_of_the_questions_whatever_the_batches(model: Vsre) -> None:
    short, long = {"max_new_tokens": 1, "until": ["\n"]}, {"max_new_tokens": 4}
    asked = [(text, settings, row) for row, text in enumerate(QUESTIONS) for settings in (short, long)]
    together = model.generate_until([request("generate_until", *each) for each in asked])
    alone = [model.generate_until([request("generate_until", *each)])[0] for each in asked]
    assert together == alone
    assert len(set(together)) > 1


def test_only_the_greedy_answer_is_called_greedy(model: Vsre) -> None:
    (written,) = model.generate_until([request("generate_until", QUESTIONS[0], {"max_new_tokens": 1}, 0)])
    answers = [written, "no" if written == "yes" else "yes"]
    scored = model.loglikelihood([request("loglikelihood", QUESTIONS[0], f" {answer}", 0) for answer in answers])
    assert [result.text[1] for result in scored] == [True, False]


def test_what_is_no_picture_is_refused(model: Vsre) -> None:
    asked = request("generate_until", "What happens?", {}, 0)
    asked.arguments = ("What happens?", {}, lambda doc: ["clip.mp4"], 0, "task", "test")
    with pytest.raises(ConfigError, match="pictures only"):
        model.generate_until([asked])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"batch_size": "auto"}, "batch_size is auto"),
        ({"dtype": "float12"}, "'float12'"),
        ({"dtype": "int8"}, "unknown dtype 'int8'"),
        ({"device": "abacus"}, "'abacus' cannot be used here"),
    ],
)
def test_settings_that_cannot_be_used_are_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Vsre(TINY, **settings)


def test_an_adapter_is_loaded_as_vsre_loads_it(tmp_path: Path) -> None:
    from peft import get_peft_model

    from encoders.adapters import lora_config

    base, _ = load_model(TINY)
    adapted = get_peft_model(base, lora_config(base, ["q_proj"], init_lora_weights=False))
    adapted.save_pretrained(tmp_path / "adapter")
    settings = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(settings | {"base_model_name_or_path": TINY}))
    expected, _ = load_model(tmp_path / "adapter")
    for mine, theirs in zip(Vsre(str(tmp_path / "adapter")).model.parameters(), expected.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_stop_words_end_an_answer() -> None:
    assert cut("yes\nno. maybe", [".", "\n"]) == "yes"
    assert cut("yes. no", ". ") == "yes"
    assert cut("yes", None) == cut("yes", [""]) == "yes"


def test_only_a_temperature_makes_answers_random() -> None:
    assert generation_settings({"temperature": 0, "top_p": 0.9})["do_sample"] is False
    warm = generation_settings({"temperature": 0.5, "top_p": 0.9, "max_new_tokens": 7})
    assert warm == {"max_new_tokens": 7, "num_beams": 1, "do_sample": True, "temperature": 0.5, "top_p": 0.9}


def test_batches_hold_equal_keys_and_every_place_once() -> None:
    found = list(batches(["a", "b", "a", "a", "b"], 2))
    assert found == [[0, 2], [3], [1, 4]]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_tasks_of_the_documents_agree_with_vsre_eval_row_by_row(tmp_path: Path) -> None:
    plain = {"contrasts": ["direct"], "frames": "viewer", "nouns": ["core"], "exclude_nouns": [], "dense": True}
    made = str(tmp_path / "data" / "test")
    generate(DatagenConfig(made, groups=6, relations=["left of", "right of"], split="test", workers=1, **plain))
    export(ExportConfig(made, "datasets", str(tmp_path / "data" / "test-rows")))
    command = f"-m lmms_eval --model vsre --model_args pretrained={TINY} --device cpu --batch_size 16 --log_samples"
    tasks = f"--include_path {ROOT}/docs/examples/lmms-eval --tasks vsre_choice,vsre_generate --output_path out"
    subprocess.run([sys.executable, *command.split(), *tasks.split()], cwd=tmp_path, check=True, timeout=1000)
    data = DataConfig(path=made, tasks=["statement"])
    config = EvalConfig(TINY, data, str(tmp_path / "eval"), templates=["question-short"], device="cpu")
    answered = {row.record_id: row for row in read_predictions(evaluate(config) / "predictions.parquet")}
    images = load_from_disk(str(tmp_path / "data" / "test-rows"))["test"]
    records = [record for row in images["records"] for record in row if record["task"] == "statement"]
    rows = [answered[record["record_id"]] for record in records]
    assert len(rows) == len(answered) > 20
    chosen, written = samples(tmp_path / "out", "vsre_choice"), samples(tmp_path / "out", "vsre_generate")
    assert [sample["acc"] == 1 for sample in chosen] == [row.correct for row in rows]
    losses = [float(loss) for sample in chosen for loss, _ in sample["filtered_resps"]]
    assert losses == pytest.approx([-value for row in rows for value in row.option_logprobs], rel=1e-3, abs=1e-5)
    assert all(row.answered for row in rows)
    assert [sample["filtered_resps"] for sample in written] == [row.predicted for row in rows]


def samples(folder: Path, task: str) -> list[dict[str, Any]]:
    """Return the rows that lmms-eval logged of a task, in the task's order."""
    (path,) = folder.rglob(f"*samples_{task}.jsonl")
    logged = [json.loads(line) for line in path.read_text().splitlines()]
    return sorted(logged, key=lambda row: row["doc_id"])
