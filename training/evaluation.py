"""Scores on a slice of data while training goes on, and which checkpoint becomes the result.

How a model is scored is not known here: the front door hands in an ``Evaluator`` (rooms of one floor do not import
each other). When to score, which checkpoint is the best, what is kept on disk and how a resumed run goes on is the
Trainer's own doing; this file sets its arguments, calls the evaluator, and leaves no trace in the training.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from transformers import TrainerState

from spatial.errors import ConfigError
from training.config import ANSWERING, TrainConfig

PREFIX = "eval_"
"""What the Trainer's logs put before the names of scores."""


class Evaluator(Protocol):
    """A slice of data, and how a model is scored on it."""

    @property
    def content(self) -> str:
        """Hash of what is asked about."""

    def answers(self, model: Any, processor: Any, part: int = 0, parts: int = 1) -> list[Any]:
        """Answer one part of the questions; the parts together are all of them."""

    def scores(self, answers: Sequence[Any]) -> dict[str, float]:
        """Return scores by name."""


MakeEvaluator = Callable[[TrainConfig], Evaluator]
"""Of ``config.evaluate``; raises a ``UserError`` where that cannot be used."""


def check_evaluation(config: TrainConfig) -> None:
    """Check ``config.evaluate`` as far as it can be without knowing how a model is scored.

    Raises:
        ConfigError: it cannot be used.
    """
    settings = config.evaluate
    if settings.every < 0:
        raise ConfigError(f"evaluate.every is {settings.every}; give a number of steps, or 0 for no evaluation")
    if not settings.every:
        return
    if config.stage not in ANSWERING:
        raise ConfigError(f"evaluate.every is set, but stage '{config.stage}' answers no questions; set it to 0")
    if not settings.settings:
        raise ConfigError("evaluate.settings is empty; name the data, such as {data: {path: data/dev}}")
    if settings.keep == "last":
        return
    for name, only in (("save_strategy", "steps"), ("save_steps", settings.every)):
        if config.trainer.get(name, only) != only:
            raise ConfigError(
                f"trainer.{name} is {config.trainer[name]}, but evaluate.keep 'best' saves at every evaluation; "
                "remove it, or set evaluate.keep to 'last'"
            )


def evaluation_arguments(config: TrainConfig) -> dict[str, Any]:
    """Return the fields of ``TrainingArguments`` that stand for ``config.evaluate``."""
    settings = config.evaluate
    if not settings.every:
        return {}
    chosen = {
        "eval_strategy": "steps",
        "eval_steps": settings.every,
        "eval_on_start": True,
        "metric_for_best_model": settings.metric,
        "greater_is_better": True,
    }
    if settings.keep == "best":
        chosen |= {"load_best_model_at_end": True, "save_strategy": "steps", "save_steps": settings.every}
    return chosen


def score_live(evaluator: Evaluator, model: nn.Module, processor: Any, metric: str, whole: bool) -> dict[str, float]:
    """Score a model in training and leave it, and every random number generator, as they were.

    On several processes each answers its part; all get all answers, and so the same scores.

    Args:
        evaluator: how.
        model: of ours, or an adapter on one.
        processor: of the model.
        metric: the score that must be there.
        whole: every process answers everything, as it must where weights are split over processes (ZeRO-3) and every
            process has to call every layer as often as the others.

    Raises:
        ConfigError: the slice has no value for ``metric``.
    """
    base: Any = getattr(model, "get_base_model", lambda: model)()
    rank, world = _place()
    part, parts = (0, 1) if whole else (rank, world)
    with _untouched(model):
        answers = evaluator.answers(base, processor, part, parts)
    if parts > 1:
        gathered: list[Any] = [None] * parts
        torch.distributed.all_gather_object(gathered, answers)
        answers = [answer for some in gathered for answer in some]
    scores = evaluator.scores(answers)
    if metric not in scores:
        known = ", ".join(sorted(set(scores) - {"n", "failed"}))
        raise ConfigError(f"the slice of 'evaluate' has no {metric} (choose from {known}); correct evaluate.metric")
    return scores


def check_answers(model: nn.Module) -> None:
    """Make sure that a model can be scored in training.

    Raises:
        ConfigError: it is not a model of ours.
    """
    kind = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
    if kind != "vsre":
        raise ConfigError(f"'evaluate' scores models of type 'vsre', not {kind!r}; set evaluate.every to 0")


def evaluation_facts(state: TrainerState, config: TrainConfig) -> dict[str, Any]:
    """Return what ``training.json`` says of the scores: all of them, the best, and whose weights are the result."""
    metric, keep = config.evaluate.metric, config.evaluate.keep
    history = [_plain(entry) for entry in state.log_history if PREFIX + metric in entry]
    best = state.best_global_step
    chosen = best if keep == "best" and state.best_model_checkpoint else state.global_step
    scored = [entry[metric] for entry in history if entry["step"] == chosen]
    return {
        "metric": metric,
        "keep": keep,
        "history": history,
        "best": {"step": best, metric: state.best_metric},
        "result": {"step": chosen} | ({metric: scored[-1]} if scored else {}),
    }


def _plain(entry: Mapping[str, Any]) -> dict[str, Any]:
    scores = {name.removeprefix(PREFIX): value for name, value in entry.items() if name.startswith(PREFIX)}
    return {"step": entry["step"]} | scores


@contextmanager
def _untouched(model: nn.Module) -> Iterator[None]:
    """Within the context the model is in eval mode; after it, modes and random numbers go on as if nothing had been."""
    modes = [(module, module.training) for module in model.modules()]
    python, numbers = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            model.eval()
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)
        for module, mode in modes:
            module.training = mode


def _place() -> tuple[int, int]:
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()
