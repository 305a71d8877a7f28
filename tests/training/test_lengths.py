"""What does not fit a model is refused before training; rows of like length go together, the same after a kill."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from encoders.load import load_model
from spatial.dataset import DatasetFolder, RecordSet, write_shard
from spatial.errors import ConfigError, RecordError
from tests.training.test_resume import KILL_AT_STEP_5
from training import lengths
from training.collate import PrefixCollator, Sizes
from training.config import LoraSettings, TrainConfig
from training.conversation_file import ConversationFile
from training.conversations import Conversations
from training.examples import Dialogue, Example, Examples
from training.lengths import GroupedOrder, check_lengths, prefix_tokens
from training.output import last_checkpoint
from training.parts import sizes_of
from training.run import check, train
from training.turns import measure, tokenise


def row(name: str, image: str, words: int, turns: int = 1) -> dict[str, Any]:
    """Return a row with questions and answers of so many words."""
    said = " ".join(["cup"] * words)
    talk = [{"from": who, "value": said} for _ in range(turns) for who in ("human", "gpt")]
    return {"id": name, "conversations": talk} | ({"image": image} if image else {})


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A file of 24 rows of 1 to 40 words, a third of them without a picture."""
    Image.new("RGB", (32, 32), (200, 30, 30)).save(tmp_path / "a.png")
    random = np.random.default_rng(0)
    rows = [row(f"r{i}", "" if i % 3 == 0 else "a.png", int(random.integers(1, 40)), 1 + i % 2) for i in range(24)]
    (tmp_path / "talk.json").write_text(json.dumps(rows))
    return tmp_path / "talk.json"


@pytest.fixture
def grouped(config: TrainConfig, mixed: Path) -> TrainConfig:
    """Three steps an epoch over the mixed file, rows of like length together."""
    trainer = config.trainer | {"train_sampling_strategy": "group_by_length", "per_device_train_batch_size": 8}
    return replace(config, data=[str(mixed)], statements_per_image=1, trainer=trainer | {"save_steps": 4})


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]


def test_measured_lengths_are_those_of_the_tokens(model_path: Path) -> None:
    _, processor = load_model(model_path)
    told = [
        Dialogue("a", (("is the cup red", "yes"), ("where", "left of the book"))),
        Dialogue("b", (("is it", "no"),), pictured=False),
    ]
    prefix, statements = tokenise(processor, told)
    assert measure(processor, told) == [len(statement.ids) for statement in statements]
    ids = processor(images=[Image.new("RGB", (32, 32))], text=[prefix])["input_ids"][0]
    assert prefix_tokens(processor, sizes_of(load_model(model_path)[0])) == len(ids)


def test_rows_too_long_for_the_model_are_refused_before_any_step(
    grouped: TrainConfig, mixed: Path, tmp_path: Path
) -> None:
    rows = json.loads(mixed.read_text())
    more = [row("long", "a.png", 300), row("many", "", 70, 4), row("many", "", 70, 4), row("just", "", 247)]
    mixed.write_text(json.dumps([*rows, *more]))
    with pytest.raises(RecordError) as caught:
        train(grouped)
    text = str(caught.value)
    assert "row 'long' has 621 tokens, 18 of them before the text, and the model was made for 512" in text
    assert "(3 of 28 rows are too long" in text and "\n" not in text
    named = json.loads((Path(grouped.out) / "too-long.json").read_text())
    assert list(named) == ["long", "many"] and named["long"] == 621
    assert not (Path(grouped.out) / "checkpoints").exists()


def test_the_longest_row_that_fits_is_taken(mixed: Path, model_path: Path, tmp_path: Path) -> None:
    model, processor = load_model(model_path)
    file = ConversationFile(mixed)
    longest = max(
        measure(processor, [example.prompts[0]])[0]
        + (prefix_tokens(processor, sizes_of(model)) if example.pictured else 0)
        for example in (Conversations(file, 1)[index] for index in range(24))
    )
    fits = replace(sizes_of(model), positions=longest)
    check_lengths(file, processor, fits, tmp_path)
    with pytest.raises(RecordError, match=r"\(1 of 24 rows"):
        check_lengths(file, processor, replace(fits, positions=longest - 1), tmp_path)


def test_records_too_long_for_the_model_are_refused_by_name_before_any_step(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = DatasetFolder(next(iter(config.data)))
    images = list(whole.images.values())
    scene = next(record for record in whole.records if record.task == "caption")
    words = " ".join(["red cup"] * 300)
    long = replace(scene, caption=words, answer=words)
    folder = tmp_path / "records"
    write_shard(folder, 0, images, [*whole.records, long])
    given = replace(config, stage="align", data=[str(folder)])
    begun: list[int] = []
    monkeypatch.setattr("training.run.fit", lambda *_: begun.append(1))
    with pytest.raises(
        RecordError, match=rf"record {long.record_id} has \d+ tokens, 18 of them before .* made for 512"
    ):
        train(given)
    names = json.loads((Path(given.out) / "too-long.json").read_text())
    assert list(names) == [long.record_id] and names[long.record_id] > 600 and not begun
    train(replace(given, tasks={"statement/relation": 1.0}, out=str(tmp_path / "others")))
    assert begun


def test_every_record_has_fewer_bytes_than_the_bound_that_spares_it(
    data: Path, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, processor = load_model(model_path)
    sets = [DatasetFolder(data).record_set()]
    examples = Examples(sets, 3, templates=["train", "held-out"])
    spoken = {
        r.record_id: max(len((p.text + p.answer).encode()) for p in examples.wordings(r)) for r in sets[0].records
    }
    longest = max(spoken.values())
    assert {r.record_id for r in lengths._doubtful(examples, longest - 1)} >= {
        name for name, size in spoken.items() if size == longest
    }
    assert not list(lengths._doubtful(examples, 100_000))
    exact = {
        record.record_id: max(18 + text for text in measure(processor, list(examples.wordings(record))))
        for record in sets[0].records
    }
    limit = max(exact.values())
    lengths.check_records(examples, processor, Sizes(16, 0, limit), tmp_path)
    with pytest.raises(RecordError, match=rf"has {limit} tokens"):
        lengths.check_records(examples, processor, Sizes(16, 0, limit - 1), tmp_path)
    found = json.loads((tmp_path / "too-long.json").read_text())
    assert found == {name: size for name, size in exact.items() if size == limit}
    monkeypatch.setattr(lengths, "LONGEST", 5)
    assert len(list(lengths._doubtful(examples, 0))) == 5 * len({record.task for record in sets[0].records})


def test_a_statement_too_long_and_a_text_with_an_image_token_are_refused_by_name(data: Path, model_path: Path) -> None:
    model, processor = load_model(model_path)
    whole = DatasetFolder(data)
    example = Examples([whole.record_set()], 1)[0]
    short = Sizes(16, processor.image_token_id, 20)
    with pytest.raises(RecordError, match=rf"image {example.image_id} has \d+ tokens, 18 .* made for 20; shorten"):
        PrefixCollator(processor, sizes=short)([example])
    other = Sizes(12, processor.image_token_id, 512)
    with pytest.raises(RecordError, match="has 16 image tokens, and the model puts 12 there"):
        PrefixCollator(processor, sizes=other)([example])
    sneaked = Example(example.image, (Dialogue("x", (("is <image> it", "no"),)),))
    with pytest.raises(RecordError, match="row 'x' has 17 image tokens, and the model puts 16 there"):
        PrefixCollator(processor, sizes=sizes_of(model))([sneaked])
    record = replace(whole.records[0], caption="The <image> is left of the cup.", record_id="")
    with pytest.raises(RecordError, match=f"record {record.record_id} has <image> in its text"):
        Examples([RecordSet([record], whole.images)], 1)


def test_grouping_pads_less_and_shows_every_row_once(mixed: Path, model_path: Path) -> None:
    _, processor = load_model(model_path)
    mixed.write_text(json.dumps([item for item in json.loads(mixed.read_text()) for _ in range(7)]))
    talks, collate = Conversations(ConversationFile(mixed), 1), PrefixCollator(processor)
    lengths = talks.estimated_lengths(processor.num_image_tokens)
    order = list(GroupedOrder(4, lengths, 0, lambda: 0))
    shuffled = np.random.default_rng(0).permutation(168).tolist()
    assert sorted(order) == list(range(168))

    def positions(rows: list[int]) -> int:
        batches = [[talks[index] for index in rows[start : start + 4]] for start in range(0, 168, 4)]
        return sum(collate(batch)["input_ids"].numel() for batch in batches)

    assert positions(order) < 0.8 * positions(shuffled)


def test_the_order_depends_on_seed_and_epoch_only() -> None:
    lengths = np.random.default_rng(1).integers(1, 99, 200).tolist()
    epoch = 0
    order = GroupedOrder(8, lengths, 5, lambda: epoch)
    first = list(order)
    torch.rand(7)
    assert list(order) == first == list(GroupedOrder(8, lengths, 5, lambda: 0))
    epoch = 1
    assert list(order) != first
    assert list(GroupedOrder(8, lengths, 6, lambda: 0)) != first


def test_estimates_order_records_as_their_tokens_do(data: Path, model_path: Path) -> None:
    collate = PrefixCollator(load_model(model_path)[1])
    records = DatasetFolder(data).record_set()
    means = []
    for statements in (1, 3, 8):
        examples = Examples([records], statements)
        found = [collate([examples[index]])["input_ids"].shape[1] for index in range(len(examples))]
        means.append((np.mean(examples.estimated_lengths(16)), np.mean(found)))
    assert all(0.5 < estimated / found < 1.5 for estimated, found in means)


def test_a_strategy_that_needs_exact_lengths_is_refused(config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match="use 'group_by_length'"):
        check(replace(config, trainer=config.trainer | {"train_sampling_strategy": "batch_rebalance"}))


@pytest.mark.slow
def test_a_grouped_run_killed_in_its_second_epoch_is_resumed_bit_by_bit(
    grouped: TrainConfig, tmp_path: Path, train_elsewhere: Callable[..., tuple[int, str]]
) -> None:
    given = replace(grouped, stage="finetune", lora=LoraSettings(r=4, alpha=8, dropout=0.1))
    whole = train(replace(given, out=str(tmp_path / "whole")))
    broken = replace(given, out=str(tmp_path / "broken"))
    code, output = train_elsewhere(broken, before=KILL_AT_STEP_5)
    assert code == -9, output
    checkpoint = last_checkpoint(tmp_path / "broken" / "checkpoints")
    assert checkpoint is not None and checkpoint.name == "checkpoint-4"
    resumed = train(broken)
    name = "adapter_model.safetensors"
    assert (resumed / name).read_bytes() == (whole / name).read_bytes()
    assert losses(resumed) == losses(whole)


@pytest.mark.slow
def test_two_grouped_ranks_are_as_one(
    grouped: TrainConfig, tmp_path: Path, train_elsewhere: Callable[..., tuple[int, str]]
) -> None:
    given = replace(grouped, stage="finetune", trainer=grouped.trainer | {"max_steps": 4})
    alone = train(replace(given, out=str(tmp_path / "alone")))
    halves = replace(given, out=str(tmp_path / "two"), trainer=given.trainer | {"per_device_train_batch_size": 4})
    code, output = train_elsewhere(halves, ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"))
    assert code == 0, output
    assert losses(tmp_path / "two") == pytest.approx(losses(alone), abs=1e-4)
