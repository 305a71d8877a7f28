"""The last look before the first step: is this the run that was asked for?

Launchers, Accelerate and DeepSpeed fall back in silence: to one process instead of eight, to plain data parallelism
instead of ZeRO, to one learning rate instead of two, to an optimizer without the projector. Losses fall all the same.
So the guard asks the objects that will really do the steps, and not the settings that were meant for them.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from encoders.parameters import component_of, is_under, size_of
from spatial.errors import ConfigError
from training.zero import zero_stage

Group = tuple[float, list[nn.Parameter]]
"""Peak learning rate, and what it trains."""


PEAK = "peak_lr"
"""Under this an optimizer's group keeps its peak rate."""

FSDP = ("FSDP", "FullyShard")
"""Parts of the names of classes that split a model so, in both versions of FSDP."""


class Guard(TrainerCallback):
    """Stop before the first step unless processes, engine and optimizer are those that were asked for.

    Args:
        trainer: whose wrapped model and optimizer are looked at.
        rates: peak learning rates that were asked for (``training.plan.peak_rates``).
        deepspeed: the DeepSpeed settings that were asked for; empty: none.
    """

    def __init__(self, trainer: Trainer, rates: Mapping[str, float], deepspeed: Mapping[str, Any]) -> None:
        self.trainer, self.rates, self.deepspeed = trainer, rates, deepspeed

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Check, and say in one line what will train.

        Raises:
            ConfigError: something else would run.
        """
        check_world(args.world_size, os.environ)
        engine = self.trainer.model_wrapped
        kind = check_engine(engine, args.world_size, self.deepspeed, bool(args.fsdp))
        optimizer = engine.optimizer if self.deepspeed else self.trainer.optimizer
        groups = optimizer_groups(optimizer, resumed=state.global_step > 0)
        counts = check_rates(engine, groups, self.rates)
        if args.process_index == 0:
            print(describe(args.world_size, kind, counts), flush=True)


def check_world(size: int, environment: Mapping[str, str]) -> None:
    """Make sure that as many processes work together as the launcher started.

    Raises:
        ConfigError: they do not.
    """
    asked = int(environment.get("WORLD_SIZE", "1"))
    if size != asked:
        raise ConfigError(
            f"{asked} processes were started, but {size} train together; start them with torchrun, and unset"
            " WORLD_SIZE if something else has set it"
        )


def check_engine(engine: nn.Module, processes: int, deepspeed: Mapping[str, Any], fsdp: bool = False) -> str:
    """Return what steps the model, in words.

    Args:
        engine: the model as it is wrapped.
        processes: that train together.
        deepspeed: its settings that were asked for; empty: none.
        fsdp: whether that was asked for.

    Raises:
        ConfigError: it is not what was asked for.
    """
    kind = type(engine).__name__
    if deepspeed:
        stage = zero_stage(deepspeed)
        actual = engine.zero_optimization_stage() if kind == "DeepSpeedEngine" else None  # type: ignore[operator]
        if actual != stage:
            found = kind if actual is None else f"{kind} with ZeRO-{actual}"
            raise ConfigError(
                f"DeepSpeed with ZeRO-{stage} was asked for, but {found} would train; start it with torchrun or"
                " 'vsre train', and unset what begins with ACCELERATE_"
            )
        return f"{kind} ZeRO-{stage}"
    if fsdp and not any(word in kind for word in FSDP):
        raise ConfigError(
            f"FSDP was asked for, but {kind} would train: Accelerate leaves it out without a GPU, or with one process;"
            " remove trainer.fsdp, or use ZeRO (docs/launch.md)"
        )
    if isinstance(engine, nn.DataParallel):
        raise ConfigError("nn.DataParallel would train; start it as 'vsre train', or set CUDA_VISIBLE_DEVICES")
    if kind == "DeepSpeedEngine":
        raise ConfigError("DeepSpeed would train, but no settings of it were given; set trainer.deepspeed")
    if processes > 1 and not any(word in kind for word in ("DistributedDataParallel", *FSDP)):
        raise ConfigError(f"{processes} processes would each train a {kind} of their own; start them with torchrun")
    return kind if processes > 1 else "no wrapper"


def optimizer_groups(optimizer: Any, resumed: bool = False) -> list[Group]:
    """Return the groups of parameters that an optimizer steps, as the model knows them.

    ZeRO's optimizers step flat copies of their own, and keep the model's parameters beside them.

    Args:
        optimizer: as it steps.
        resumed: whether its state is a checkpoint's. Schedules that watch a score have lowered rates then, and left no
            ``initial_lr``; what the checkpoint says of the peak counts.
    """
    while isinstance(inner := getattr(optimizer, "optimizer", None), Optimizer) and not _kept(optimizer):
        optimizer = inner
    groups = optimizer.param_groups
    first = [group.get("initial_lr", group["lr"]) for group in groups]
    rates = [float(group.get(PEAK, rate) if resumed else rate) for group, rate in zip(groups, first, strict=True)]
    kept = _kept(optimizer)
    if not kept:
        return [(rate, list(group["params"])) for rate, group in zip(rates, groups, strict=True)]
    place = getattr(optimizer, "sub_group_to_group_id", None) or {index: index for index in range(len(kept))}
    return [(rates[place[index]], list(parameters)) for index, parameters in enumerate(kept)]


def check_rates(model: nn.Module, groups: list[Group], rates: Mapping[str, float]) -> dict[float, dict[str, int]]:
    """Return how many numbers of each part of the model train at each peak rate.

    Args:
        model: as it is wrapped; what requires a gradient shall train.
        groups: of the optimizer.
        rates: wanted, by module under which a parameter is; "" is the rate of the rest.

    Raises:
        ConfigError: a parameter is in no group, or has another rate than was asked for.
    """
    actual = {id(parameter): rate for rate, parameters in groups for parameter in parameters}
    counts: dict[float, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for name, parameter in _trainable(model):
        wanted = next((rate for part, rate in rates.items() if part and is_under(name, [part])), rates[""])
        rate = actual.get(id(parameter))
        if rate is None:
            raise ConfigError(f"{name} should train, but the optimizer does not hold it; remove trainer.optim")
        if abs(rate - wanted) > 1e-6 * abs(wanted):
            raise ConfigError(
                f"{name} would train at a rate of {rate:g} instead of {wanted:g}; remove the 'optimizer' and"
                " 'scheduler' blocks of the DeepSpeed settings"
            )
        counts[rate][component_of(name)] += size_of(parameter)
    return counts


def describe(processes: int, kind: str, counts: Mapping[float, Mapping[str, int]]) -> str:
    """Return the line that says what will train, on how many processes, and how fast."""
    parts = [
        f"{rate:g} ({', '.join(f'{part}, {number / 1e6:,.3g} M' for part, number in parts.items())})"
        for rate, parts in sorted(counts.items(), reverse=True)
    ]
    return f"{processes} {'process' if processes == 1 else 'processes'}, {kind}, rates: {', '.join(parts)}"


def _trainable(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield what requires a gradient, under its name without the wrapper's."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            yield name.removeprefix("module."), parameter


def _kept(optimizer: Any) -> list[list[nn.Parameter]] | None:
    names = ("bit16_groups", "fp16_groups", "bf16_groups")
    return next((getattr(optimizer, name) for name in names if getattr(optimizer, name, None)), None)
