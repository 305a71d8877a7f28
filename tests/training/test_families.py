"""Models of other families learn from the same records: the right parts, the whole loss, nothing lost on the way."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import nn
from transformers import AutoModelForImageTextToText

from encoders.family_load import load_family
from encoders.load import lineage
from encoders.model_hash import model_hash
from encoders.parameters import is_under, parameter_counts
from spatial.dataset import DatasetFolder
from spatial.errors import CheckpointError, ConfigError, RecordError
from tests.training.test_resume import KILL_AT_STEP_5
from tests.training.tiny_families import TINY, write_family
from training.arguments import build_arguments
from training.budget import Clock
from training.collate import IGNORED
from training.config import LoraSettings, Stage, TrainConfig
from training.examples import Examples
from training.families import FAMILIES, Family, check_family, prepare_family
from training.rows import RowCollator
from training.run import train
from training.trainer import VsreTrainer

MAIN = ("qwen2_5_vl", "llava_next", "blip-2", "instructblip")

EVERY = [name if name in MAIN else pytest.param(name, marks=pytest.mark.slow) for name in TINY]


@pytest.fixture(scope="session")
def family_path(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that returns a checkpoint of a family, written once."""
    written: dict[str, Path] = {}

    def path(name: str) -> Path:
        if name not in written:
            written[name] = write_family(name, tmp_path_factory.mktemp(name))
        return written[name]

    return path


@pytest.fixture
def of(config: TrainConfig, family_path: Callable[[str], Path]) -> Callable[..., TrainConfig]:
    """A function that returns a run of a family."""

    def make(name: str, stage: Stage = "finetune", **settings: Any) -> TrainConfig:
        trainer = config.trainer | {"max_steps": 6, "learning_rate": 5e-3, "per_device_train_batch_size": 4}
        trainer |= settings.pop("trainer", {})
        return replace(config, model=str(family_path(name)), stage=stage, trainer=trainer, **settings)

    return make


def family_of(name: str) -> Family:
    return FAMILIES[name.removesuffix("-t5")]


def batch_of(config: TrainConfig, name: str) -> tuple[Any, RowCollator, dict[str, torch.Tensor]]:
    """Return a model, its collator, and a batch of 2 images with 3 statements each, of unlike lengths."""
    model, processor = load_family(Path(config.model), torch.float32)
    collator = RowCollator(processor, model, family_of(name).prompt)
    examples = Examples([DatasetFolder(path).record_set() for path in config.data], 3)
    return model, collator, collator([examples[0], examples[5]])


# What the rows hold


@pytest.mark.parametrize("name", EVERY)
def test_a_row_is_the_prompt_as_it_is_asked_and_the_answer_with_its_end(
    name: str, of: Callable[..., TrainConfig]
) -> None:
    config = of(name)
    _, collator, batch = batch_of(config, name)
    examples = Examples([DatasetFolder(path).record_set() for path in config.data], 3)
    prompts = [(e.image, prompt) for e in (examples[0], examples[5]) for prompt in e.prompts]
    assert len(batch["labels"]) == len(prompts) == 6
    for row, (image, prompt) in enumerate(prompts):
        asked = collator.processor(images=image, text=collator._texts([prompt]), return_tensors="pt")
        ids, labels = batch["input_ids"][row], batch["labels"][row]
        length = asked["input_ids"].shape[1]
        assert torch.equal(ids[:length], asked["input_ids"][0])
        supervised = labels[labels != IGNORED]
        assert supervised[-1] == collator.end
        assert collator.tokenizer.decode(supervised[:-1]).strip() == prompt.answer
        real = int(batch["attention_mask"][row].sum())
        assert not batch["attention_mask"][row, real:].any()
        if collator.start is None:
            assert real == length + len(supervised)
            assert (labels[:length] == IGNORED).all() and (labels[real:] == IGNORED).all()
            assert torch.equal(ids[length:real], supervised)
        else:
            assert real == length and batch["decoder_input_ids"][row, 0] == collator.start
            assert torch.equal(batch["decoder_input_ids"][row, 1 : len(supervised) + 1], supervised)
        for key, value in asked.items():
            assert key in batch, f"{key} does not reach the model"
            if key.startswith("qformer"):
                assert torch.equal(batch[key][row, : value.shape[1]], value[0])


def test_positions_of_qwen_have_height_and_width(of: Callable[..., TrainConfig]) -> None:
    model, _, batch = batch_of(of("qwen2_5_vl"), "qwen2_5_vl")
    seen = {}
    rope = model.model.language_model.rotary_emb
    rope.register_forward_pre_hook(
        lambda _, given, named: seen.update(at=[*given, *named.values()][1]), with_kwargs=True
    )
    model(**{name: value for name, value in batch.items() if name != "labels"})
    time, height, width = seen["at"]
    picture = batch["input_ids"][0] == model.config.image_token_id
    assert len(time[0, picture].unique()) == 1
    assert len(height[0, picture].unique()) > 1 and len(width[0, picture].unique()) > 1
    assert not torch.equal(height[0, picture], width[0, picture])
    end = int(batch["attention_mask"][0].sum()) - 1
    # In one dimension the last token would be at the number of tokens before it.
    assert height[0, end] == width[0, end] < end


def test_the_q_former_of_instructblip_does_not_see_the_answer(of: Callable[..., TrainConfig]) -> None:
    _, collator, _ = batch_of(of("instructblip"), "instructblip")
    one = Examples([DatasetFolder(path).record_set() for path in of("instructblip").data], 1)[0]
    turned = replace(one, prompts=tuple(replace(prompt, answer="no, never") for prompt in one.prompts))
    a, b = collator([one]), collator([turned])
    assert torch.equal(a["qformer_input_ids"], b["qformer_input_ids"])
    assert not torch.equal(a["labels"], b["labels"])


def test_the_end_of_an_answer_is_what_the_model_ends_with(of: Callable[..., TrainConfig]) -> None:
    _, collator, _ = batch_of(of("blip-2"), "blip-2")
    assert collator.tokenizer.decode([collator.end]) == "\n"
    _, collator, _ = batch_of(of("qwen2_5_vl"), "qwen2_5_vl")
    assert collator.end == collator.tokenizer.eos_token_id


# What trains


@pytest.mark.parametrize("stage", ["finetune", *(pytest.param(s, marks=pytest.mark.slow) for s in ("align", "full"))])
@pytest.mark.parametrize("name", EVERY)
def test_a_stage_trains_its_part_and_all_of_it_gets_gradients(
    name: str, stage: Stage, of: Callable[..., TrainConfig]
) -> None:
    family = family_of(name)
    model, _, batch = batch_of(of(name), name)
    trained = prepare_family(model, family, stage, LoraSettings(r=2, alpha=4, dropout=0.0)).train()
    learns = {n for n, p in trained.named_parameters() if p.requires_grad}
    projector = {n for n in learns if is_under(n, family.projector)}
    assert projector
    assert not any(is_under(n, [family.vision]) for n in learns - projector)
    rest = learns - projector
    if stage == "align":
        assert not rest
    elif stage == "finetune":
        assert rest and all("lora_" in n and is_under(n, [family.language]) for n in rest)
        assert not any("lora_" in n for n in projector)
        adapted = {n.rpartition(".")[2] for n, m in trained.named_modules() if hasattr(m, "lora_A")}
        assert "lm_head" not in adapted and len(adapted) >= 6
    else:
        language = {n for n, _ in model.named_parameters() if is_under(n, [family.language, "lm_head"])}
        assert language <= rest
    if stage == "finetune":  # until LoRA's B moves, A has no gradient
        for n, p in trained.named_parameters():
            if "lora_B" in n:
                nn.init.normal_(p, std=0.1)
    trainer_loss(trained, of(name), batch).backward()
    silent = [n for n, p in trained.named_parameters() if p.requires_grad and p.grad is None]
    assert not silent


def trainer_loss(model: nn.Module, config: TrainConfig, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    trainer = VsreTrainer(None, Clock(), model=model, args=build_arguments(config))
    loss: torch.Tensor = trainer.compute_loss(model, dict(batch))
    return loss


@pytest.mark.parametrize("name", EVERY)
def test_the_loss_is_the_models_own(name: str, of: Callable[..., TrainConfig]) -> None:
    model, collator, batch = batch_of(of(name), name)
    model.eval()
    own = dict(batch)
    if collator.start is not None:  # its own loss does not shift
        own |= {"labels": batch["labels"][:, 1:].contiguous(), "decoder_input_ids": batch["decoder_input_ids"][:, :-1]}
        own["decoder_attention_mask"] = batch["decoder_attention_mask"][:, :-1]
    with torch.no_grad():
        assert trainer_loss(model, of(name), batch).item() == pytest.approx(model(**own).loss.item(), rel=1e-5)
        pixels = dict(batch, pixel_values=torch.zeros_like(batch["pixel_values"]))
        assert abs(trainer_loss(model, of(name), pixels) - trainer_loss(model, of(name), batch)) > 1e-4


# Whole runs


def check_run(config: TrainConfig, out: Path) -> None:
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert log[-1]["loss"] < log[0]["loss"]
    facts = json.loads((out / "training.json").read_text())["parameters"]
    assert any(part["trainable"] for part in facts.values())
    assert model_hash(out) != model_hash(config.model)


def check_adapter(config: TrainConfig, name: str, out: Path) -> None:
    """The adapter gives the same logits in plain PEFT as merged, and moves with its base."""
    settings = json.loads((out / "adapter_config.json").read_text())
    assert not Path(settings["base_model_name_or_path"]).is_absolute()
    assert lineage(out)[-1].resolve() == Path(config.model).resolve()
    assert not (out / "checkpoints").exists()
    base, collator, batch = batch_of(config, name)
    tuned = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(config.model), out).eval()
    inputs = {key: value for key, value in batch.items() if key != "labels"}
    with torch.no_grad():
        before, after = base.eval()(**inputs).logits, tuned(**inputs).logits
        assert not torch.allclose(before, after, atol=1e-3)
        saved = load_family(Path(config.model), torch.float32)[1]
        assert type(saved) is type(collator.processor) or type(saved).__name__ == type(collator.processor).__name__
        merged = tuned.merge_and_unload()
        assert torch.allclose(merged(**inputs).logits, after, atol=1e-4)


def test_finetuning_another_family_makes_an_adapter_that_peft_loads(
    of: Callable[..., TrainConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    config = of("qwen2_5_vl", projector_learning_rate=1e-3)
    out = train(config)
    table = capsys.readouterr().err
    assert "visual.merger" in table and "0.001" in table and "frozen" in table
    check_run(config, out)
    check_adapter(config, "qwen2_5_vl", out)
    assert "already trained" not in table
    train(config)
    assert "already trained" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TINY if name != "qwen2_5_vl"])
def test_every_family_learns(name: str, of: Callable[..., TrainConfig]) -> None:
    # The loss of a T5 of random weights begins at 16, and batches differ by more than a few small steps mend.
    longer = {"max_steps": 12, "learning_rate": 2e-2} if name.endswith("t5") else {}
    config = of(name, projector_learning_rate=1e-3, trainer=longer)
    out = train(config)
    check_run(config, out)
    check_adapter(config, name, out)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["align", "full"])
@pytest.mark.parametrize("name", MAIN)
def test_every_family_is_aligned_and_trained_in_full(name: str, stage: Stage, of: Callable[..., TrainConfig]) -> None:
    config = of(name, stage)
    out = train(config)
    check_run(config, out)
    before, processor = load_family(Path(config.model), torch.float32)
    after, again = load_family(out, torch.float32)
    family = family_of(name)
    trainable = {n for n, p in prepare_family(before, family, stage, config.lora).named_parameters() if p.requires_grad}
    assert type(again).__name__ == type(processor).__name__
    moved = {n for n, p in after.named_parameters() if not torch.equal(p, before.get_parameter(n))}
    assert moved and moved <= trainable


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "stage", "settings"),
    [
        ("instructblip", "finetune", {}),
        ("qwen2_5_vl", "finetune", {}),
        ("blip-2", "full", {}),
        ("llava_next", "align", {"bf16": True}),  # two number formats in one checkpoint
    ],
)
def test_a_killed_run_ends_where_an_uninterrupted_one_ends(
    name: str,
    stage: Stage,
    settings: dict[str, Any],
    of: Callable[..., TrainConfig],
    tmp_path: Path,
    train_elsewhere: Callable[..., tuple[int, str]],
) -> None:
    given = of(name, stage, trainer={"save_steps": 3} | settings, lora=LoraSettings(r=4, alpha=8, dropout=0.1))
    whole = train(replace(given, out=str(tmp_path / "whole")))
    broken = replace(given, out=str(tmp_path / "broken"))
    code, output = train_elsewhere(broken, before=KILL_AT_STEP_5)
    assert code == -9, output
    resumed = train(broken)
    weights = "model.safetensors" if stage != "finetune" else "adapter_model.safetensors"
    assert (resumed / weights).read_bytes() == (whole / weights).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["instructblip", "qwen2_5_vl"])
def test_two_processes_wait_for_no_gradient_that_never_comes(
    name: str, of: Callable[..., TrainConfig], train_elsewhere: Callable[..., tuple[int, str]]
) -> None:
    config = of(name, trainer={"max_steps": 3, "per_device_train_batch_size": 2, "use_cpu": True})
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    code, output = train_elsewhere(config, launcher)
    assert code == 0, output
    assert json.loads((Path(config.out) / "training.json").read_text())["processes"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", MAIN)
def test_bfloat16_and_checkpointing_train_the_same_parts(name: str, of: Callable[..., TrainConfig]) -> None:
    config = of(name, trainer={"bf16": True, "activation_checkpointing": True, "dataloader_num_workers": 1})
    out = train(config)
    check_run(config, out)


# What is refused


def test_an_option_that_peft_refuses_is_named_in_one_line(of: Callable[..., TrainConfig]) -> None:
    model, _ = load_family(Path(of("llava_next").model), torch.float32)
    lora = LoraSettings(r=4, alpha=8, options={"rank_pattern": {"q_proj": -1}})
    with pytest.raises(ConfigError, match=r"^lora: "):
        prepare_family(model, FAMILIES["llava_next"], "finetune", lora)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"stage": "pretrain"}, "stage 'pretrain' is of our own models"),
        ({"stage": "towers"}, "choose align, finetune, full"),
        ({"features": "auto"}, "'features' is of our own models"),
        ({"encoder_dropout": 0.2}, "'encoder_dropout'"),
        ({"stage": "align", "encoders": ["clip"]}, "'encoders'"),
        ({"quantize": {"load_in_4bit": True}}, "'quantize'"),
    ],
)
def test_what_only_our_models_have_is_refused(
    settings: dict[str, Any], said: str, of: Callable[..., TrainConfig]
) -> None:
    with pytest.raises(ConfigError, match=said):
        check_family(replace(of("blip-2"), **settings))


def test_an_unknown_family_is_told_how_it_is_added(of: Callable[..., TrainConfig], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "paligemma"}))
    with pytest.raises(CheckpointError, match=r"'paligemma'.*blip-2.*qwen2_5_vl.*docs/extending.md"):
        check_family(replace(of("llava"), model=str(tmp_path)))


def test_an_added_family_trains(of: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    config = of("llava_onevision", trainer={"max_steps": 4})
    with pytest.raises(CheckpointError, match="does not know"):
        train(config)
    entry = Family(vision="vision_tower", projector=("multi_modal_projector",))  # as docs/extending.md adds it
    monkeypatch.setitem(FAMILIES, "llava_onevision", entry)
    check_run(config, train(config))


def test_an_entry_that_names_no_part_is_refused(of: Callable[..., TrainConfig]) -> None:
    model, _ = load_family(Path(of("llava").model), torch.float32)
    with pytest.raises(ConfigError, match="has no 'connector'"):
        prepare_family(model, Family("vision_tower", ("connector",)), "align", LoraSettings())


def copied(config: TrainConfig, to: Path) -> Path:
    return Path(shutil.copytree(config.model, to / "copy"))


def test_a_processor_that_hides_the_picture_is_refused(of: Callable[..., TrainConfig], tmp_path: Path) -> None:
    folder = copied(of("blip-2"), tmp_path)
    settings = json.loads((folder / "processor_config.json").read_text())
    (folder / "processor_config.json").write_text(json.dumps(settings | {"num_query_tokens": None}))
    with pytest.raises(CheckpointError, match="would not see the picture; set num_query_tokens"):
        batch_of(replace(of("blip-2"), model=str(folder)), "blip-2")


def test_nothing_is_cut_off(of: Callable[..., TrainConfig]) -> None:
    config = of("llava_next")
    model, processor = load_family(Path(config.model), torch.float32)
    processor.tokenizer.model_max_length = 16
    collator = RowCollator(processor, model)
    example = Examples([DatasetFolder(path).record_set() for path in config.data], 3)[0]
    assert all(row.sum() > 32 for row in collator([example])["attention_mask"])
    collator.limit = 30
    with pytest.raises(RecordError, match=r"about image \w+ has \d+ tokens and the model takes 30"):
        collator([example])


def test_a_model_without_a_chat_template_or_safetensors_is_refused(
    of: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    folder = copied(of("llava"), tmp_path)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(CheckpointError, match="has no chat template"):
        batch_of(replace(of("llava"), model=str(folder)), "llava")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"needs config.json and .safetensors"):
        load_family(folder, torch.float32)


def test_rows_without_a_picture_are_refused(of: Callable[..., TrainConfig]) -> None:
    config = of("llava")
    _, collator, _ = batch_of(config, "llava")
    example = Examples([DatasetFolder(path).record_set() for path in config.data], 1)[0]
    with pytest.raises(RecordError, match="no picture"):
        collator([replace(example, image=None)])


def test_parts_of_other_families_are_counted_by_name(of: Callable[..., TrainConfig]) -> None:
    model, _ = load_family(Path(of("instructblip").model), torch.float32)
    family = FAMILIES["instructblip"]
    counts = parameter_counts(prepare_family(model, family, "finetune", LoraSettings(r=2)), family.projector)
    assert set(counts) == {
        "query_tokens",
        "vision_model",
        "qformer",
        "language_projection",
        "language_model",
        "language_model LoRA",
    }
    assert counts["vision_model"][1] == counts["query_tokens"][1] == counts["language_model"][1] == 0
    every, some = counts["qformer"]
    assert 0 < some < every  # the last layer's words are read by nobody
