"""What our training stack costs over a bare loop, and what a shared image prefix saves.

    python benchmarks/training.py [--quick] [--out FILE]

Overhead: the same model (width 1024, 4 layers, LoRA), the same 600-token rows, AdamW and loss, once by ``VsreTrainer``
with its callbacks and a log entry at every step, once by the shortest loop in PyTorch. Their losses must agree.

Prefix sharing: the shipped tiny model on pictures with 8 statements each. ``VsreTrainer`` on packed rows against
``VsreTrainer`` on one row per statement and, where TRL is installed (``pip install -e '.[bench]'``), against TRL's
stock ``SFTTrainer`` with its own collator; statements a step, adapters, number format and optimizer are the same, and
activation checkpointing is off. Without TRL its key is left out.

Token-layers: what the collator lays out for the same prompts when an image has the 1,817 tokens of the VSRE paper's
encoders; every layer computes every token, so layers cancel. Beside it the same for 60 tokens of text a statement,
which is what a 7B model's tokenizer makes of the longer templates.

Contestants take turns step by step in one process; a step's time ends when the turn is handed on, and the first steps
are not counted. A ratio is the median over rounds of one step of either. "load" is what the machine did before.
"""

import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _clock import DEVICE, torch_machine
from _report import finish, options
from _squares import write_data
from _turns import WARM_UP, Step, Turns, quiet, take_turns
from torch import nn
from torch.optim import AdamW
from torch.utils.data import DataLoader
from transformers import TrainingArguments

sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != Path(__file__).parent.resolve()]
# This file has the name of the package that it measures, and its folder comes first on the path.

from encoders.build import assemble  # noqa: E402
from encoders.load import load_model  # noqa: E402
from encoders.presets import PRESETS  # noqa: E402
from spatial.dataset import DatasetFolder  # noqa: E402
from training.budget import Clock  # noqa: E402
from training.callbacks import LossLog, TimeLimit  # noqa: E402
from training.collate import PrefixCollator  # noqa: E402
from training.config import LoraSettings  # noqa: E402
from training.examples import Example, Examples  # noqa: E402
from training.losses import answer_loss, only_rows, shifted  # noqa: E402
from training.stages import prepare_stage  # noqa: E402
from training.trainer import VsreTrainer  # noqa: E402
from vsre.assets import resolve_model  # noqa: E402

STATEMENTS, IMAGES = 8, 4
"""Statements of a picture, and pictures of a step."""

PAPER_IMAGE_TOKENS, PAPER_TEXT_TOKENS = 1817, 60

RATE = 1e-4


def settings(out: Path, batch: int, steps: int) -> dict[str, Any]:
    """Return the training arguments that all contestants share."""
    return {
        "output_dir": str(out),
        "per_device_train_batch_size": batch,
        "max_steps": steps,
        "learning_rate": RATE,
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "train_sampling_strategy": "sequential",
        "dataloader_pin_memory": DEVICE == "cuda",
        "use_cpu": DEVICE == "cpu",
        "activation_checkpointing": False,
        "seed": 0,
    }


def ours(model: nn.Module, processor: Any, dataset: Any, out: Path, batch: int, steps: int) -> tuple[VsreTrainer, Any]:
    """Return our trainer as ``training.fit`` sets it up, and what runs it in turns."""
    clock = Clock()
    trainer = VsreTrainer(
        None,
        clock,
        model=model,
        args=TrainingArguments(**settings(out, batch, steps), logging_nan_inf_filter=False),
        train_dataset=dataset,
        data_collator=PrefixCollator(processor),
        callbacks=[TimeLimit(clock, 0.0), LossLog(out / "log.jsonl")],
    )
    return trainer, _in_turns(trainer)


def bare(
    model: nn.Module, processor: Any, dataset: Any, batch: int, steps: int
) -> tuple[list[float], Callable[[Step], None]]:
    """Return the losses that a bare loop will have, and the loop."""
    losses: list[float] = []

    def loop(step_ended: Step) -> None:
        model.train().to(DEVICE)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = AdamW(trained, lr=RATE, weight_decay=0.0, fused=True)
        head = model.get_output_embeddings()  # type: ignore[operator]
        for inputs in _batches(dataset, processor, batch, steps):
            inputs = {name: value.to(DEVICE) for name, value in inputs.items()}
            labels = inputs.pop("labels")
            with only_rows(head, shifted(labels) != -100):
                loss = answer_loss(model(**inputs), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            step_ended()

    return losses, loop


def stock(model: nn.Module, processor: Any, examples: list[Example], out: Path, steps: int) -> Callable[[Step], None]:
    """Return what runs TRL's trainer in turns, on one row per statement."""
    import datasets
    from trl import SFTConfig, SFTTrainer

    rows = []
    for example in examples:
        for prompt in example.prompts:
            text = processor.apply_chat_template(prompt.messages, add_generation_prompt=True, tokenize=False)
            completion = f" {prompt.answer}{processor.tokenizer.eos_token}"
            rows.append({"images": [example.image], "prompt": text, "completion": completion})
    arguments = SFTConfig(**settings(out, IMAGES * STATEMENTS, steps), bf16=False, max_length=None)
    data = datasets.Dataset.from_list(rows)
    return _in_turns(SFTTrainer(model=model, args=arguments, train_dataset=data, processing_class=processor))


def overhead(data: Path, steps: int, out: Path) -> dict[str, list[float]]:
    """Return seconds per step of our trainer and of the bare loop.

    Raises:
        AssertionError: their losses differ.
    """
    preset = deepcopy(PRESETS["tiny"])
    preset["towers"]["clip"] |= {"image_size": 192, "patch_size": 8, "num_hidden_layers": 1}  # 576 tokens
    preset["text"] |= {
        "hidden_size": 1024,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "intermediate_size": 2752,
    }
    _, tiny = load_model(resolve_model("tiny-base"))
    model, processor = assemble(preset, ["clip"], "channel", list(tiny.tokenizer.get_vocab()), seed=0)
    trained = prepare_stage(model, "finetune", LoraSettings(r=16, alpha=32, dropout=0.0))
    examples = [_cut(example, 1) for example in _examples(data, steps)]
    trainer, run = ours(deepcopy(trained), processor, examples, out, 1, steps)
    losses, loop = bare(trained, processor, examples, 1, steps)
    seconds = take_turns({"ours": run, "bare": loop})
    logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert np.allclose(logged, losses, rtol=0, atol=1e-4), f"losses differ: {logged} and {losses}"
    return seconds


def sharing(data: Path, steps: int, out: Path) -> dict[str, list[float]]:
    """Return seconds per step of as many statements: packed, one a row, and one a row under TRL if it is there."""
    examples = _examples(data, steps * IMAGES)
    alone = [Example(example.image, (prompt,)) for example in examples for prompt in example.prompts]
    trained, processor = _tiny()
    _, packed = ours(deepcopy(trained), processor, examples, out / "packed", IMAGES, steps)
    _, separate = ours(deepcopy(trained), processor, alone, out / "separate", IMAGES * STATEMENTS, steps)
    contestants = {"packed": packed, "separate": separate}
    try:
        contestants["stock"] = stock(trained, processor, examples, out / "stock", steps)
    except ModuleNotFoundError as error:
        if error.name != "trl":
            raise
    return take_turns(contestants)


def token_layers(data: Path) -> tuple[float, float]:
    """Return tokens of separate over those of packed rows, and text tokens of a statement, as the collator has them."""
    _, processor = _tiny()
    processor.num_image_tokens = PAPER_IMAGE_TOKENS
    collate = PrefixCollator(processor)
    packed, alone, rows = 0, 0, 0
    for example in _examples(data, 2 * IMAGES):
        packed += collate([example])["input_ids"].numel()
        separate = [collate([Example(example.image, (prompt,))])["input_ids"].numel() for prompt in example.prompts]
        alone, rows = alone + sum(separate), rows + len(separate)
    return alone / packed, alone / rows - PAPER_IMAGE_TOKENS


def main() -> None:
    """Measure, print a table, and end with one line of JSON."""
    arguments, before = options(__doc__, "fewer steps"), torch_machine()
    steps = WARM_UP + (15 if arguments.quick else 41)
    with tempfile.TemporaryDirectory() as folder, quiet():
        data = Path(folder) / "data"
        write_data(data, steps * IMAGES)
        trained = overhead(data, steps, Path(folder))
        shared = sharing(data, steps, Path(folder))
        measured, text = token_layers(data)
    medians = {name: statistics.median(values) for name, values in (trained | shared).items()}
    row = PAPER_IMAGE_TOKENS + PAPER_TEXT_TOKENS
    result = {
        "benchmark": "training",
        "overhead_ratio": round(_ratio(trained["ours"], trained["bare"]), 3),
        "prefix_rows_ratio": round(_ratio(shared["separate"], shared["packed"]), 2),
        "prefix_token_layer_ratio": round(measured, 2),
        "prefix_token_layer_ratio_60": round(
            STATEMENTS * row / (PAPER_IMAGE_TOKENS + STATEMENTS * PAPER_TEXT_TOKENS), 2
        ),
        "text_tokens": round(text, 1),
        "rows_per_second": {name: round(STATEMENTS * IMAGES / medians[name], 1) for name in shared},
        "seconds_per_step": {name: round(medians[name], 3) for name in trained},
        "n": steps - WARM_UP,
        **before,
    }
    if "stock" in shared:
        result["stock_rows_ratio"] = round(_ratio(shared["stock"], shared["packed"]), 2)
    _print(result, trained | shared)
    finish(result, arguments.out)


def _ratio(slow: list[float], fast: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def _print(result: dict[str, Any], seconds: dict[str, list[float]]) -> None:
    print(f"{'seconds per step':<28}{'median':>10}{'lowest':>10}{'highest':>10}")
    for name, values in seconds.items():
        print(f"{name:<28}{statistics.median(values):>10.3f}{min(values):>10.3f}{max(values):>10.3f}")
    rows = [
        ("ours / bare loop", "overhead_ratio", "<= 1.10"),
        ("rows/s, packed / separate", "prefix_rows_ratio", ">= 2"),
        ("rows/s, packed / TRL", "stock_rows_ratio", "> 1"),
        ("token-layers saved at 7B", "prefix_token_layer_ratio", ">= 3"),
    ]
    print(f"\n{'quantity':<28}{'ratio':>10}{'target':>10}")
    for what, key, target in rows:
        print(f"{what:<28}{result.get(key, 'no TRL'):>10}{target:>10}")


def _in_turns(trainer: Any) -> Callable[[Step], None]:
    def run(step_ended: Step) -> None:
        trainer.add_callback(Turns(step_ended))
        trainer.train()

    return run


def _batches(dataset: Any, processor: Any, batch: int, steps: int) -> Iterator[dict[str, Any]]:
    loader = DataLoader(dataset, batch_size=batch, collate_fn=PrefixCollator(processor))
    return (inputs for _, inputs in zip(range(steps), loader))  # noqa: B905


def _examples(data: Path, count: int) -> list[Example]:
    every = Examples([DatasetFolder(data).record_set()], STATEMENTS)
    return [every[index] for index in range(count)]


def _cut(example: Example, statements: int) -> Example:
    return Example(example.image, example.prompts[:statements], example.image_id)


def _tiny() -> tuple[Any, Any]:
    model, processor = load_model(resolve_model("tiny-base"), torch.float32)
    model.config.encoder_dropout = 0.0
    torch.manual_seed(0)
    return prepare_stage(model, "finetune", LoraSettings(r=16, alpha=32, dropout=0.0)), processor


if __name__ == "__main__":
    main()
