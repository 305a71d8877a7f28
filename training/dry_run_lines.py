"""The lines that ``vsre train --dry_run`` prints of a stage."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import nn

from spatial.disk import disk_line, size_text
from training import plan
from training.config import AUTO, TrainConfig
from training.cost import Work, costs_of
from training.examples import Dialogue
from training.first_row import CLOSE, OPEN
from training.sample import Sample

LARGEST_DEVICE = 80 * 10**9
"""Memory of one H100 in bytes; what needs more is told so."""


def show_tokens(
    config: TrainConfig,
    settings: plan.Settings,
    image_tokens: int,
    work: Work,
    sample: Sample,
    packed: bool,
    console: Console,
) -> None:
    """Print the tokens of a row; ``packed``: its statements share one image."""
    row, cost = work.tokens / settings.batch, work.padded / settings.batch
    how = "in the first batches" if sample.work else "guessed"
    console.print(
        f"tokens: {image_tokens:,} of an image, {row:,.0f} of a row with its statements ({how}),"
        f" {cost:,.0f} with padding, {work.supervised / settings.batch:,.1f} supervised"
    )
    shown = [len(example.prompts) for example in sample.first] or [config.statements_per_image]
    statements = sum(shown) / len(shown)
    if not packed:
        console.print("        (here a row is an image with its statements, each of which has the image for itself)")
    elif statements > 1:
        separate = row + (statements - 1) * image_tokens
        console.print(f"        (the statements share one image; in rows of their own they would be {separate:,.0f})")


def show_steps(settings: plan.Settings, sample: Sample, console: Console) -> None:
    """Print how many steps there are."""
    images, records = sample.images, sample.records
    shape = f"{settings.batch} images x {settings.accumulation} accumulated x {settings.world} device(s)"
    console.print(f"step:   {settings.images_per_step:,} images = {shape}")
    steps = plan.total_steps(settings, images)
    if images is not None:
        said = f" with {records:,} records" if records is not None else ""
        console.print(f"epoch:  {images:,} images{said}, {plan.steps_per_epoch(settings, images):,} steps")
        if sample.made_of:
            console.print(f"        {sample.made_of}")
    if steps is None:
        console.print("run:    its number of steps is unknown; trainer.max_steps, or data and epochs, would tell it")
    elif images is not None:
        console.print(f"run:    {steps:,} steps, {steps / plan.steps_per_epoch(settings, images):,.2f} epochs")
    else:
        console.print(f"run:    {steps:,} steps")


def show_costs(
    config: TrainConfig, settings: plan.Settings, model: nn.Module, work: Work, images: int | None, console: Console
) -> None:
    """Print FLOPs and device-hours."""
    costs = costs_of(model)
    assert costs is not None
    if config.features:
        how = "where 'auto' finds that it pays" if config.features == AUTO else "so that the encoders do not run"
        console.print(f"features are cached, {how}; counted here: {'running' if config.features == AUTO else 'cached'}")
    if config.features not in ("", AUTO):
        work = replace(work, encoded=0.0)
    needed, computed = plan.step_flops(costs, work, settings)
    steps = plan.total_steps(settings, images)
    console.print(
        f"FLOPs:  {_short(needed / 1e12)} TFLOP a step, {_short(computed / 1e12)} with padding and recomputation"
    )
    if steps is None:
        return
    console.print(f"        {_short(needed * steps / 1e15)} PFLOP the run")
    hours = {device: plan.device_hours(needed * steps, device) for device in plan.DEVICES}
    if config.peak_tflops:
        hours["device of peak_tflops"] = plan.device_hours(needed * steps, "", config.peak_tflops)
    said = ", ".join(f"{_short(value)} {device}-hours" for device, value in hours.items())
    console.print(f"time:   {said}; an estimate, at {plan.UTILISATION:.0%} of the peak in bfloat16")


def show_memory(memory: Any, settings: plan.Settings, console: Console) -> None:
    """Print the memory of one device, and whether any device has as much."""
    parts = ", ".join(f"{name} {size_text(value)}" for name, value in vars(memory).items())
    zero = f"ZeRO-{settings.zero_stage} over {settings.world}" if settings.zero_stage else "not divided"
    console.print(f"memory: about {size_text(memory.total)} on each device ({zero}): {parts}")
    if memory.total > LARGEST_DEVICE:
        console.print(
            f"        that is more than an H100 has ({size_text(LARGEST_DEVICE)}); trainer.bf16, "
            "trainer.activation_checkpointing, a smaller per_device_train_batch_size or ZeRO bring it down"
        )


def show_disk(
    config: TrainConfig,
    settings: plan.Settings,
    counts: dict[str, tuple[int, int]],
    steps: int | None,
    console: Console,
) -> None:
    """Print the disk that checkpoints and result take."""
    checkpoint, most = plan.disk_bytes(config, settings, counts)
    saves = f", one every {settings.save_steps:g} steps" if settings.saves == "steps" else ""
    console.print(f"disk:   a checkpoint is {size_text(checkpoint)}{saves}; {disk_line(most, Path(config.out))}")
    if settings.saves == "steps" and steps is not None and settings.save_steps > steps:
        console.print(f"        only the end is saved: trainer.save_steps is {settings.save_steps:g}, the run {steps}")


def show_first(sample: Sample, console: Console) -> None:
    """Print the first row with its label mask, or what the data has where no row can be made."""
    if sample.row is not None:
        console.print(
            f"\nfirst row: positions and text; the answers it is scored on are green, between {OPEN} and {CLOSE}"
        )
        console.print(sample.row)
    elif sample.first:
        console.print("\nfirst row, as the data has it:")
        for prompt in sample.first[0].prompts:
            for asked, answer in prompt.turns if isinstance(prompt, Dialogue) else [(prompt.text, prompt.answer)]:
                console.print(f"  {asked!r} {OPEN}{answer}{CLOSE}", markup=False)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.3g}"
