"""The Hugging Face Trainer, with two learning rates, a cheaper loss and stricter habits. The loop is the stock one.

The loss: a packed row supervises a few dozen of some hundred positions, and scoring a vocabulary is the widest
product of the model. A hook in front of the output layer keeps the supervised positions only. The call still goes
through the wrapped model, so DistributedDataParallel, DeepSpeed and PEFT see nothing unusual. A module without
an output layer is trained on the ``.loss`` that its forward returns.

Shapes: B rows, S positions, D width, N supervised positions of the batch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import PreTrainedModel, Trainer

from encoders.parameters import PROJECTOR
from spatial.errors import ConfigError, UserError
from training.budget import Clock, time_schedule
from training.collate import IGNORED
from training.config import LossPer
from training.output import last_checkpoint


class VsreTrainer(Trainer):
    """Trainer of any module whose forward returns ``.loss``.

    Args:
        projector_learning_rate: peak rate of parameters under ``multi_modal_projector``; ``None``: as the rest.
        clock: what ``seconds`` in the log, and a time schedule, read.
        schedule_seconds: length of a time schedule; 0: the schedule of the arguments.
        loss_per: what counts alike in the loss, see ``answer_loss``.
        kwargs: as ``transformers.Trainer`` takes them.

    Raises:
        ConfigError: several GPUs are visible to one process, which would mean ``nn.DataParallel``.
    """

    def __init__(
        self,
        projector_learning_rate: float | None,
        clock: Clock,
        schedule_seconds: float = 0.0,
        loss_per: LossPer = "token",
        **kwargs: Any,
    ) -> None:
        if kwargs["args"].n_gpu > 1:
            raise ConfigError("one process sees several GPUs; start it as 'vsre train', or set CUDA_VISIBLE_DEVICES")
        self.projector_learning_rate = projector_learning_rate
        self.clock, self.schedule_seconds = clock, schedule_seconds
        self._rows, self._rows_logged_at = torch.zeros((), dtype=torch.long), clock.seconds
        self._head = _output_layer(kwargs["model"])
        loss = partial(answer_loss, per=loss_per)
        super().__init__(compute_loss_func=loss if self._head else None, **kwargs)

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        """Create the stock optimizer, then give the projector groups of its own."""
        if self.optimizer is not None:
            return self.optimizer
        trained: nn.Module = model or self.model  # type: ignore[assignment]
        optimizer: Optimizer = super().create_optimizer(model)
        if self.projector_learning_rate is not None:
            projector = {id(p) for name, p in trained.named_parameters() if PROJECTOR in name.split(".")}
            split_group(optimizer, projector, self.projector_learning_rate)
        optimizer.param_groups[:] = [group for group in optimizer.param_groups if group["params"]]
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LRScheduler:
        """Create the schedule by time if one was asked for, else the stock schedule."""
        if self.schedule_seconds and getattr(self, "lr_scheduler", None) is None:
            warmup = self.args.get_warmup_steps(num_training_steps)
            used: Optimizer = optimizer or self.optimizer  # type: ignore[assignment]
            self.lr_scheduler = time_schedule(used, self.clock, self.schedule_seconds, warmup)
            self._created_lr_scheduler = True
        return super().create_scheduler(num_training_steps, optimizer)

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the stock loss; with an output layer, only its supervised rows are computed."""
        if self._head is None:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        supervised = shifted(inputs["labels"]) != IGNORED
        with only_rows(self._head, supervised):
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """Do the stock step and count its statements.

        Raises:
            UserError: the loss is not finite; the optimizer has not stepped on it.
        """
        rows = count_statements(inputs["labels"]) if self._head else torch.tensor(self.args.per_device_train_batch_size)
        loss = super().training_step(model, inputs, num_items_in_batch)
        if not torch.isfinite(loss):
            raise UserError(
                f"the loss is {loss.item()} at step {self.state.global_step + 1}; lower trainer.learning_rate,"
                f" or look at the data; last good checkpoint: {self._last_checkpoint()}"
            )
        self._rows = self._rows.to(rows.device) + rows
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add statements per second since the last entry, over all ranks, and seconds trained."""
        elapsed = self.clock.seconds - self._rows_logged_at
        if "loss" in logs and elapsed > 0:
            logs["rows_per_second"] = int(self._rows) * self.args.world_size / elapsed
            self._rows, self._rows_logged_at = torch.zeros_like(self._rows), self.clock.seconds
        logs["seconds"] = self.clock.seconds
        super().log(logs, start_time)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Load a checkpoint's weights, all of them.

        The stock method passes over names that differ, and some encoders (DINOv2) have other names on disk than in
        memory: they would silently resume from their initial weights. ``from_pretrained`` knows the renaming.
        """
        target = model or self.model
        if not isinstance(target, PreTrainedModel):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        saved = type(target).from_pretrained(resume_from_checkpoint, dtype="auto", local_files_only=True)
        target.load_state_dict(saved.state_dict())

    def _last_checkpoint(self) -> str:
        return str(last_checkpoint(str(self.args.output_dir)) or "none yet")


def answer_loss(
    outputs: Any, labels_BS: Tensor, num_items_in_batch: Tensor | int | None = None, per: LossPer = "token"
) -> Tensor:
    """Return the mean cross-entropy of the supervised tokens.

    Args:
        outputs: ``logits`` (N, vocabulary) are those of the supervised positions, in row order.
        labels_BS: ``IGNORED`` where unsupervised; the logits at a position predict the next label.
        num_items_in_batch: what the sum is divided by: the supervised tokens of the whole step, over ranks and
            accumulated batches; those of this batch if not given.
        per: "token": all supervised tokens weigh the same. "statement": all statements of a batch do, so that a yes
            is not drowned by a caption.
    """
    targets_BS = shifted(labels_BS)
    targets = targets_BS[targets_BS != IGNORED]
    losses = nn.functional.cross_entropy(outputs["logits"].float(), targets, reduction="none")
    total = (losses * statement_weights(targets_BS)).sum() if per == "statement" else losses.sum()
    return total / (len(targets) if num_items_in_batch is None else num_items_in_batch)


def statement_weights(targets_BS: Tensor) -> Tensor:
    """Return the weight of each supervised token, 1 on average, that gives every run of them the same sum."""
    supervised = targets_BS != IGNORED
    starts = supervised & ~nn.functional.pad(supervised[:, :-1], (1, 0))
    statement = starts.flatten().cumsum(0)[supervised.flatten()] - 1
    tokens = statement.bincount()
    return len(statement) / len(tokens) / tokens[statement]


def shifted(labels_BS: Tensor) -> Tensor:
    """Return the label that each position predicts: the next one, and none at the end of a row."""
    return nn.functional.pad(labels_BS[:, 1:], (0, 1), value=IGNORED)


def count_statements(labels_BS: Tensor) -> Tensor:
    """Return how many runs of supervised positions there are: one per statement, as each starts with its question."""
    supervised = labels_BS != IGNORED
    return (supervised[:, 1:] & ~supervised[:, :-1]).sum()


@contextmanager
def only_rows(layer: nn.Module, rows_BS: Tensor) -> Iterator[None]:
    """Within the context, ``layer`` maps (B, S, D) to the chosen rows only, (N, ...)."""

    def choose(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0][rows_BS], *inputs[1:])

    handle = layer.register_forward_pre_hook(choose)
    try:
        yield
    finally:
        handle.remove()


def split_group(optimizer: Optimizer, members: set[int], rate: float) -> None:
    """Move the parameters with these ``id`` into groups of their own with another peak learning rate."""
    for group in list(optimizer.param_groups):
        moved = [parameter for parameter in group["params"] if id(parameter) in members]
        if moved:
            group["params"] = [parameter for parameter in group["params"] if id(parameter) not in members]
            options = {key: value for key, value in group.items() if key not in ("params", "lr", "initial_lr")}
            optimizer.add_param_group({**options, "params": moved, "lr": rate})


def _output_layer(model: nn.Module) -> nn.Module | None:
    getter = getattr(model, "get_output_embeddings", None)
    return getter() if getter else None
