"""Conversations in LLaVA's files: every answer is learnt, rows never see each other, and bad rows are named."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from encoders.chat import VICUNA_TEMPLATE
from encoders.load import load_model
from encoders.modeling import VsreForConditionalGeneration
from encoders.processing import VsreProcessor
from spatial.dataset import DatasetFolder
from spatial.errors import CheckpointError, ConfigError, RecordError
from spatial.exposure import Exposure
from spatial.records import decode_image
from spatial.templates import TEMPLATES, render
from tests.extras import needs_deepspeed
from training.collate import IGNORED, PrefixCollator
from training.config import TrainConfig
from training.conversation_file import ConversationFile
from training.conversations import Conversations, Pool, dialogue
from training.examples import Dialogue, Example, Examples
from training.losses import answer_loss, count_statements, only_rows, shifted
from training.output import describe_job
from training.parts import sizes_of
from training.run import check, train

Row = dict[str, Any]
Loaded = tuple[VsreForConditionalGeneration, VsreProcessor]


def row(name: str, image: str, *talk: str) -> Row:
    """Return a row; the picture stands before the first question, as LLaVA writes it."""
    turns = [{"from": ("human", "gpt")[place % 2], "value": text} for place, text in enumerate(talk)]
    if image:
        turns[0]["value"] = f"<image>\n{turns[0]['value']}"
    return {"id": name, **({"image": image} if image else {}), "conversations": turns}


ZERO = {
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "zero_force_ds_cpu_optimizer": False,
}

ON_CPU = """
import deepspeed
import deepspeed.ops
import training.run

deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
stock = training.run.build_arguments

def build_arguments(config):
    arguments = stock(config)
    deepspeed.init_distributed("gloo")
    return arguments

training.run.build_arguments = build_arguments
"""
"""DeepSpeed without GPUs: nothing is compiled, and it learns of the processes before it splits a model."""

ROWS = [
    row("two turns", "a.png", "is the cup red", "yes", "what is blue", "a blue book"),
    row("about a too", "a.png", "where is the cup", "left of the book"),
    row("only words", "", "what is true", "the answer", "which answer", "yes or no"),
    row("about b", "b.png", "is there a cup", "no"),
    row("words again", "", "is it true", "yes"),
]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes rows into a file beside two pictures."""
    for place, name in enumerate(("a.png", "b.png")):
        pixels = np.random.default_rng(place).integers(0, 255, (40, 30, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)

    def make(rows: list[Row], name: str = "talk.json") -> Path:
        lines = "\n".join(map(json.dumps, rows)) if name.endswith("l") else json.dumps(rows)
        (tmp_path / name).write_text(lines)
        return tmp_path / name

    return make


@pytest.fixture
def loaded(model_path: Path) -> Loaded:
    model, processor = load_model(model_path, torch.float32)
    model.train_towers(True)
    return model, processor


def loss_of(model: VsreForConditionalGeneration, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the loss as training computes it."""
    labels = batch["labels"]
    with only_rows(model.lm_head, shifted(labels) != IGNORED):
        return answer_loss(model(**{name: value for name, value in batch.items() if name != "labels"}), labels)


def supervised(batch: dict[str, torch.Tensor], processor: VsreProcessor, row: int = 0) -> list[str]:
    """Return the runs of supervised tokens of a batch's row, as text."""
    ids = batch["labels"][row]
    runs = "".join("|" if token == IGNORED else f" {processor.decode([int(token)])}" for token in ids).split("|")
    return [" ".join(run.split()) for run in runs if run]


@pytest.mark.parametrize("name", ["talk.json", "talk.jsonl"])
def test_every_row_comes_once_in_every_epoch(write: Callable[..., Path], name: str) -> None:
    talks = Conversations(ConversationFile(write([*ROWS, row("third of a", "a.png", "is it", "no")], name)), 2)
    together = []
    for epoch in range(8):
        talks.set_epoch(epoch)
        shown = [talks[index] for index in range(len(talks))]
        names = [tuple(prompt.name for prompt in each.prompts) for each in shown]  # type: ignore[union-attr]
        assert sorted(name for each in names for name in each) == sorted([r["id"] for r in ROWS] + ["third of a"])
        assert [each.pictured for each in shown] == [True, True, False, True, False]
        assert all((each.image is not None) == each.pictured for each in shown)
        together.append(names)
    assert len({str(names) for names in together}) > 1
    talks.set_epoch(3)
    assert [tuple(p.name for p in talks[i].prompts) for i in reversed(range(5))] == together[3][::-1]  # type: ignore[union-attr]


def test_every_answer_is_learnt_and_nothing_else(write: Callable[..., Path], loaded: Loaded) -> None:
    model, processor = loaded
    talks = Conversations(ConversationFile(write(ROWS)), 8)
    batch = PrefixCollator(processor, sizes=sizes_of(model))([talks[0], talks[1]])
    assert supervised(batch, processor) == ["yes <eos>", "a blue book <eos>", "left of the book <eos>"]
    assert supervised(batch, processor, 1) == ["the answer <eos>", "yes or no <eos>"]
    assert int(count_statements(batch["labels"])) == 5


@pytest.mark.parametrize("template", ["own", "vicuna"])
def test_a_turn_is_learnt_in_the_tokens_in_which_it_will_be_asked(loaded: Loaded, template: str) -> None:
    _, processor = loaded
    if template == "vicuna":
        processor.chat_template = VICUNA_TEMPLATE
    for pictured in (True, False):
        talk = Dialogue("a", (("is the cup red", "yes"), ("where", "left"), ("what", "book")), pictured)
        image = Image.new("RGB", (32, 32))
        batch = PrefixCollator(processor)([Example(image if pictured else None, (talk,), "", pictured)])
        keep = batch["attention_mask"][0, 0][len(batch["labels"][0]) - 1] if pictured else slice(None)
        ids, labels = batch["input_ids"][0][keep].tolist(), batch["labels"][0][keep].tolist()
        messages: list[dict[str, Any]] = []
        for turn, (question, answer) in enumerate(talk.turns):
            first = [{"type": "image"}] if pictured and turn == 0 else []
            messages += [{"role": "user", "content": [*first, {"type": "text", "text": question}]}]
            text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            asked = processor(images=[image] if pictured else None, text=[text])["input_ids"][0]
            said = processor.tokenizer(f" {answer}", add_special_tokens=False)["input_ids"]
            wanted = [*asked, *said, processor.tokenizer.eos_token_id]
            assert ids[: len(wanted)] == wanted
            assert labels[len(asked) : len(wanted)] == wanted[len(asked) :]
            messages += [{"role": "assistant", "content": [{"type": "text", "text": answer}]}]
        blank = 0 if pictured else processor.num_image_tokens
        assert len(ids) == len(wanted) + blank


def test_a_conversation_has_the_loss_of_its_turns_and_rows_do_not_see_each_other(
    write: Callable[..., Path], loaded: Loaded
) -> None:
    model, processor = loaded
    collate = PrefixCollator(processor)
    talks = Conversations(ConversationFile(write(ROWS)), 8)
    together, alone = talks[0], [Example(talks[0].image, (prompt,)) for prompt in talks[0].prompts]
    tokens = [int((collate([each])["labels"] != IGNORED).sum()) for each in alone]
    apart = sum(loss_of(model, collate([each])) * count for each, count in zip(alone, tokens, strict=True))
    assert torch.allclose(loss_of(model, collate([together])), apart / sum(tokens), rtol=0, atol=1e-5)
    plain = collate(alone[:1])
    ids, labels = plain["input_ids"], plain["labels"]
    stock = model(input_ids=ids, pixel_values=plain["pixel_values"], labels=labels).loss
    assert torch.allclose(loss_of(model, plain), stock, rtol=0, atol=1e-5)


def test_a_row_without_a_picture_has_the_loss_of_its_text_alone_and_runs_every_part(
    write: Callable[..., Path], loaded: Loaded
) -> None:
    model, processor = loaded
    talks = Conversations(ConversationFile(write(ROWS)), 8)
    batch = PrefixCollator(processor)([talks[1], talks[3]])
    assert batch["pixel_values"].shape[0] == 1
    loss = loss_of(model, batch)
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}
    vision = {name for name in gradients if "projector" in name or "vision_tower" in name}
    assert vision and all(gradients[name] is not None and not gradients[name].any() for name in vision)  # type: ignore[union-attr]
    total, count = torch.zeros(()), 0
    model.zero_grad()
    for index in (1, 3):
        rows = PrefixCollator(processor)([talks[index]])
        length = rows["input_ids"].shape[1] - processor.num_image_tokens
        ids, labels = rows["input_ids"][:, :length], rows["labels"][:, :length]
        assert not (ids == processor.image_token_id).any()
        tokens = int((labels != IGNORED).sum())
        total, count = total + model(input_ids=ids, labels=labels).loss * tokens, count + tokens
    (total / count).backward()
    assert torch.allclose(loss, total / count, rtol=0, atol=1e-6)
    for name, parameter in model.named_parameters():
        if name not in vision and parameter.grad is not None:
            assert torch.allclose(gradients[name], parameter.grad, rtol=0, atol=1e-6), name  # type: ignore[arg-type]


def test_a_batch_of_rows_with_and_without_pictures_is_their_sum(write: Callable[..., Path], loaded: Loaded) -> None:
    model, processor = loaded
    collate = PrefixCollator(processor)
    talks = Conversations(ConversationFile(write(ROWS)), 8)
    parts = [collate([talks[index]]) for index in range(4)]
    counts = [int((part["labels"] != IGNORED).sum()) for part in parts]
    apart = sum(loss_of(model, part) * count for part, count in zip(parts, counts, strict=True)) / sum(counts)
    whole = collate([talks[index] for index in range(4)])
    assert len(whole["pixel_values"]) == 2
    assert torch.allclose(loss_of(model, whole), apart, rtol=0, atol=1e-5)


def test_a_template_that_forgets_earlier_turns_is_refused_for_conversations_only(loaded: Loaded) -> None:
    _, processor = loaded
    processor.chat_template = "{% set messages = messages[:1] + messages[1:][-1:] %}" + processor.chat_template
    image, single = Image.new("RGB", (32, 32)), Dialogue("a", (("is it", "no"),))
    PrefixCollator(processor)([Example(image, (single,))])
    several = Dialogue("b", (("is it", "no"), ("is", "yes")))
    with pytest.raises(CheckpointError, match="earlier turns of 'b'"):
        PrefixCollator(processor)([Example(image, (several,))])


def test_exported_records_have_the_tokens_and_labels_of_the_records(data: Path, tmp_path: Path, loaded: Loaded) -> None:
    from datagen.config import ExportConfig
    from datagen.export.run import export

    model, processor = loaded
    out = tmp_path / "exported"
    export(
        ExportConfig(dataset=str(data), out=str(out), to="llava", templates=["question", "name", "locate", "describe"])
    )
    (path,) = (path for path in out.glob("*.json") if path.stem != "vsre")
    rows = {item["id"]: item for item in json.loads(path.read_text())}
    file = ConversationFile(path, out / "images")
    collate = PrefixCollator(processor, sizes=sizes_of(model))
    whole = DatasetFolder(data)
    records = {record.record_id: record for record in whole.records}
    assert len(file) == len(records) == len(rows)
    for index in range(len(file)):
        found = file.row(index)
        record = records[found.name]
        image = whole.images[record.image_id]
        prompt = render(record, TEMPLATES[rows[found.name]["vsre"]["templates"][0]], 0, image.objects)
        ours = collate([Example(decode_image(image.image, "a"), (prompt,))])
        picture = decode_image((file.images / found.image).read_bytes(), "b")
        theirs = collate([Example(picture, (dialogue(found),))])
        for name in ("input_ids", "labels", "position_ids", "attention_mask", "pixel_values"):
            assert torch.equal(ours[name], theirs[name]), (found.name, name)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row("x", "", "a <image> b", "yes")], "'x' has <image> but no 'image'"),
        ([row("x", "a.png", "is it", "an <image>")], "'x' has <image> in an answer"),
        ([row("x", "../a.png", "is it", "no")], "'x' names the picture '../a.png'"),
        ([row("x", "/etc/a.png", "is it", "no")], "not below 'images'"),
        ([row("x", "c.png", "is it", "no")], "1 of 1 pictures .* are missing in .*, first c.png; copy them"),
        ([row("x", "a.png", "is it", " ")], "empty answer in turn 1"),
        ([row("x", "a.png", "is it", "no") | {"image": ["a.png", "b.png"]}], "'x' has 2 pictures"),
        ([row("x", "a.png", "is it", "no") | {"image": 7}], "names its picture by 7"),
        ([{"id": "x", "conversations": [{"from": "system", "value": "a"}]}], "'x' has a turn from 'system'"),
        ([{"id": "x"}, {"id": "y"}, *ROWS], "2 of 7 rows .*; the first, 'x' has no list 'conversations'"),
        ([{"conversations": [{"from": "gpt", "value": "a"}]}], "'row 1' does not go from 'human' to 'gpt'"),
        ([{"id": "x", "conversations": [{"from": "gpt"}]}], "without a text"),
        ([], "has no conversations"),
    ],
)
def test_rows_that_cannot_be_used_are_named(write: Callable[..., Path], rows: list[Row], message: str) -> None:
    with pytest.raises(RecordError, match=message) as caught:
        Conversations(ConversationFile(write(rows)), 1)
    assert "\n" not in str(caught.value)


def test_image_marks_anywhere_in_questions_put_the_picture_first(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    odd = [
        {
            "id": "late",
            "image": "a.png",
            "conversations": row("", "", "is it", "no", "where <image> is", "left")["conversations"],
        },
        {"id": "none", "image": ["a.png"], "conversations": row("", "", "is it\n<image>", "no")["conversations"]},
        {
            "id": "led",
            "conversations": [
                {"from": "gpt", "value": "a"},
                *ROWS[4]["conversations"],
                {"from": "human", "value": "b"},
            ],
        },
    ]
    file = ConversationFile(write(odd))
    assert [file.row(index).talk for index in range(3)] == [
        ("is it", "no", "where  is", "left"),
        ("is it", "no"),
        ("is it true", "yes"),
    ]
    assert file.image_names() == ["a.png", "a.png", ""]
    assert "1 turns of the assistant before a question, 1 turns that nobody answers are left out" in caplog.text


def test_files_and_folders_that_are_not_there_are_named(write: Callable[..., Path], config: TrainConfig) -> None:
    path = write(ROWS)
    for given, error in (
        ({"data": [str(path.with_name("no.json"))]}, "no.json do not exist"),
        ({"data": [str(path)], "images": "/nowhere"}, "folder /nowhere of .* does not exist"),
        ({"data": [str(path)], "stage": "towers"}, "take .*talk.json out of 'data'"),
        ({"data": [str(path)], "stage": "finetune", "features": "auto"}, "remove 'features'"),
    ):
        with pytest.raises((RecordError, ConfigError), match=error):
            check(replace(config, **given))  # type: ignore[arg-type]
    path.write_text(json.dumps(ROWS)[:-40])
    with pytest.raises(RecordError, match=r"talk\.json is damaged"):
        train(replace(config, data=[str(path)]))


def test_a_broken_picture_is_named_by_its_path(write: Callable[..., Path], config: TrainConfig) -> None:
    path = write(ROWS)
    (path.parent / "b.png").write_bytes((path.parent / "b.png").read_bytes()[:60])
    with pytest.raises(RecordError, match=r"image .*/b\.png cannot be decoded"):
        train(replace(config, data=[str(path)]))


def test_conversations_train_beside_records_and_their_content_is_the_jobs(
    write: Callable[..., Path], config: TrainConfig
) -> None:
    path = write(ROWS)
    given = replace(config, data=[config.data[0], str(path)], trainer=config.trainer | {"max_steps": 3})
    out = train(given)
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert len(log) == 3 and all(np.isfinite(entry["loss"]) for entry in log)
    write([*ROWS, ROWS[0]])
    with pytest.raises(ConfigError, match=r"another data \(.*talk\.json\)"):
        train(given)


def test_photos_are_told_from_held_out_ones_by_cocos_names_only(
    write: Callable[..., Path], config: TrainConfig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spatial.leakage import HeldOut, photo_key, short_hash

    held = HeldOut(photos=frozenset([short_hash(photo_key("000000000009.jpg"))]))
    monkeypatch.setattr("spatial.exposure.packaged", lambda split: held if split == "zeroshot" else HeldOut())

    def exposure(*images: str) -> Exposure:
        caplog.clear()
        return ConversationFile(write([row(name, name, "is it", "no") for name in images])).exposure()

    assert exposure("") == Exposure() and not caplog.text
    assert exposure("coco/train2017/000000000008.jpg") == Exposure(True, ("random", "zeroshot")) and not caplog.text
    assert exposure("COCO_train2014_000000000009.jpg", "000000000008.jpg") == Exposure(True, ("random",))
    assert "shows 1 photos that VSR's zeroshot dev or test part holds out; see docs/leakage.md" in caplog.text
    seen = exposure("vg/VG_100K/9.jpg")
    assert seen.unknown and not seen.photos and "1 pictures whose names do not tell" in caplog.text
    assert "nobody compared" in seen.objection("zeroshot", "test")
    job = describe_job(config, [ConversationFile(write(ROWS))])
    assert job["exposure"]["unknown"]


def test_a_pool_shows_all_its_parts_in_one_epoch(write: Callable[..., Path], data: Path) -> None:
    talks = Conversations(ConversationFile(write(ROWS)), 1)
    pool = Pool([Examples([DatasetFolder(data).record_set()], 3), talks])
    assert len(pool) == 16 + len(ROWS)
    before = pool[0]
    pool.set_epoch(1)
    assert int(talks._epoch) == 1 and pool[0].prompts != before.prompts
    assert pool[16].prompts == talks[0].prompts


@pytest.mark.slow
@pytest.mark.parametrize("zero", [0, pytest.param(3, marks=needs_deepspeed)])
def test_a_rank_with_text_alone_does_not_wait_and_two_are_as_one(
    write: Callable[..., Path],
    config: TrainConfig,
    tmp_path: Path,
    train_elsewhere: Callable[..., tuple[int, str]],
    zero: int,
) -> None:
    # Rows without pictures come first, pictures second: in the file's order, one rank has the former, one the latter.
    words = [row(f"w{index}", "", "what is true", "the answer is yes") for index in range(4)]
    seen = [row(f"s{index}", "ab"[index % 2] + ".png", "is it red", "no") for index in range(4)]
    path = write([*words, *seen])
    trainer = config.trainer | {"max_steps": 3, "train_sampling_strategy": "sequential"}
    given = replace(config, data=[str(path)], stage="finetune", statements_per_image=1, projector_learning_rate=5e-4)
    given = replace(given, trainer=trainer)
    alone = train(replace(given, out=str(tmp_path / "alone")))
    halves = replace(given, out=str(tmp_path / "two"), trainer=trainer | {"per_device_train_batch_size": 4})
    if zero:
        sharded = {"stage": zero, "stage3_gather_16bit_weights_on_model_save": True}
        halves = replace(halves, trainer=halves.trainer | {"deepspeed": ZERO | {"zero_optimization": sharded}})
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    code, output = train_elsewhere(halves, torchrun, ON_CPU if zero else "")
    assert code == 0, output
    logs = [
        [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()] for out in (alone, tmp_path / "two")
    ]
    assert [e["loss"] for e in logs[0]] == pytest.approx([e["loss"] for e in logs[1]], abs=1e-4)
    one, two = (load_file(out / "adapter_model.safetensors") for out in (alone, tmp_path / "two"))
    assert all(torch.allclose(one[name], two[name], atol=1e-4) for name in one)
