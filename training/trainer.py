"""The Hugging Face Trainer, with two learning rates, a cheaper loss and stricter habits. The loop is the stock one.

The loss (``training.losses``): a packed row supervises a few dozen of some hundred positions, and scoring a vocabulary
is the widest product of the model. A hook in front of the output layer keeps the supervised positions only. The call
still goes through the wrapped model, so DistributedDataParallel, DeepSpeed and PEFT see nothing unusual. A module
without an output layer is trained on the ``.loss`` that its forward returns.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, Trainer, TrainerControl
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

from encoders.parameters import PROJECTOR, is_under
from spatial.errors import ConfigError, UserError
from training.arguments import SEVERAL_GPUS
from training.budget import Clock, time_schedule
from training.collate import IGNORED
from training.config import LossPer, OptimizerChoice
from training.evaluation import Evaluator, score_live
from training.guard import PEAK
from training.lengths import GroupedOrder
from training.losses import answer_loss, count_statements, first_labels, only_rows, shifted
from training.muon import MuonWithAdamW, weight_matrices
from training.output import last_checkpoint
from training.throughput import Throughput


class VsreTrainer(Trainer):
    """Trainer of any module whose forward returns ``.loss``.

    Args:
        projector_learning_rate: peak rate of parameters under ``projector``; ``None``: as the rest.
        clock: what ``seconds`` in the log, and a time schedule, read.
        schedule_seconds: length of a time schedule; 0: the schedule of the arguments.
        loss_per: what counts alike in the loss, see ``training.losses.answer_loss``.
        peak_tflops: of one device, see ``training.throughput``.
        evaluator: what the arguments' evaluations ask, in place of a loss over an ``eval_dataset``.
        projector: modules between encoders and language model.
        optimizer: "muon" for weight matrices, or that of the arguments alone.
        kwargs: as ``transformers.Trainer`` takes them.

    Raises:
        ConfigError: several GPUs are visible to one process, which would mean ``nn.DataParallel``.
    """

    optimizer: Any  # Transformers does not say

    def __init__(
        self,
        projector_learning_rate: float | None,
        clock: Clock,
        schedule_seconds: float = 0.0,
        loss_per: LossPer = "token",
        peak_tflops: float = 0.0,
        evaluator: Evaluator | None = None,
        projector: Sequence[str] = (PROJECTOR,),
        optimizer: OptimizerChoice = "trainer",
        **kwargs: Any,
    ) -> None:
        if kwargs["args"].n_gpu > 1:
            raise ConfigError(SEVERAL_GPUS)
        self.projector_learning_rate, self.projector = projector_learning_rate, projector
        self._optimizer_choice = optimizer
        self.clock, self.schedule_seconds = clock, schedule_seconds
        self._head, self._loss_per = _output_layer(kwargs["model"]), loss_per
        self.evaluator = evaluator
        if evaluator:
            kwargs["eval_dataset"] = ()  # Trainer asks for one where it shall evaluate; ``evaluate`` does not read it
        loss = partial(answer_loss, per=loss_per)
        super().__init__(compute_loss_func=loss if self._head else None, **kwargs)
        again, world = bool(self.args.activation_checkpointing), self.args.world_size
        self.throughput = Throughput(kwargs["model"], self.args.device, world, again, peak_tflops)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the stock loader; persistent workers get a random state of their own for their seed.

        They are started once: in the first epoch, or in the one after a resume. Their seed would be drawn then, from
        the state that dropout draws from too, and a resumed run would no longer end where an uninterrupted one does.
        """
        loader: DataLoader[Any] = super().get_train_dataloader()
        if self.args.dataloader_persistent_workers:
            inner = getattr(loader, "base_dataloader", loader)  # Accelerate wraps the one that starts workers
            inner.generator = torch.Generator()
        return loader

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        """Create the stock optimizer, hand its matrices to Muon if asked for, give the projector groups of its own."""
        if self.optimizer is not None:
            return self.optimizer
        trained: nn.Module = model or self.model  # type: ignore[assignment]
        optimizer = super().create_optimizer(model)
        if self._optimizer_choice == "muon":
            self.optimizer = optimizer = MuonWithAdamW(optimizer, weight_matrices(trained))
        if self.projector_learning_rate is not None:
            members = {id(p) for name, p in trained.named_parameters() if is_under(name, self.projector)}
            split_group(optimizer, members, self.projector_learning_rate)
        optimizer.param_groups[:] = [group for group in optimizer.param_groups if group["params"]]
        for group in optimizer.param_groups:
            group[PEAK] = group["lr"]  # kept in checkpoints; some schedules leave no other trace of it
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LRScheduler:
        """Create the schedule by time if one was asked for, else the stock schedule."""
        if self.schedule_seconds and getattr(self, "lr_scheduler", None) is None:
            warmup = self.args.get_warmup_steps(num_training_steps)
            used: Optimizer = optimizer or self.optimizer  # type: ignore[assignment]
            self.lr_scheduler = time_schedule(used, self.clock, self.schedule_seconds, warmup)
            self._created_lr_scheduler = True
        return super().create_scheduler(num_training_steps, optimizer)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """Return the stock order, or that of rows of like length, which Transformers can only tell of columns."""
        data: Any = self.train_dataset if train_dataset is None else train_dataset
        if self.args.train_sampling_strategy != "group_by_length" or not hasattr(data, "estimated_lengths"):
            return super()._get_train_sampler(train_dataset)
        lengths = data.estimated_lengths(getattr(self.processing_class, "num_image_tokens", 0))
        step = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        return GroupedOrder(step, lengths, self.args.seed, lambda: int(self.state.epoch or 0))

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the stock loss; with an output layer, only its supervised rows are computed.

        Raises:
            UserError: the loss of any process is not finite; no optimizer has stepped on it.
        """
        supervised = only_rows(self._head, shifted(inputs["labels"]) != IGNORED) if self._head else nullcontext()
        with supervised:
            result = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        self._refuse_infinite(result[0] if return_outputs else result)
        return result

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """Do the stock step and count its statements."""
        # The first argument of a module without an output layer is of all pictures of the batch.
        rows = count_statements(inputs["labels"]) if self._head else torch.tensor(len(next(iter(inputs.values()))))
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.throughput.add(inputs, rows)
        return loss

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device) -> Any:
        """Collect the batches of a step as the stock method does, and time the wait for them."""
        found = super().get_batch_samples(self.throughput.fetched(epoch_iterator), num_batches, device)
        self.throughput.stepped()
        return found

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Any:
        """Count what counts alike, over all batches of a step: supervised tokens as the stock method, or statements."""
        if self._head is not None and self._loss_per == "statement":
            batch_samples = [{"labels": first_labels(batch["labels"])} for batch in batch_samples]
        return super()._get_num_items_in_batch(batch_samples, device)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Score the model in memory with ``evaluator``; log the scores and return them."""
        if self.evaluator is None:
            return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)
        metric: str = self.args.metric_for_best_model or ""
        model: nn.Module = self.model  # type: ignore[assignment]
        with self.clock.paused(), self.throughput.aside(), self.accelerator.autocast():
            scores = score_live(self.evaluator, model, self.processing_class, metric, is_deepspeed_zero3_enabled())
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in scores.items()}
        self.log(dict(metrics))
        control: TrainerControl = self.control  # type: ignore[has-type]
        self.control = self.callback_handler.on_evaluate(self.args, self.state, control, metrics)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add what ``training.throughput`` measured since the last entry, over all ranks, and seconds trained."""
        if "loss" in logs:
            logs |= self.throughput.entry(self.accelerator.gather)
        elif "train_runtime" in logs:
            self.throughput.close(self.accelerator.gather)
        logs["seconds"] = self.clock.seconds
        super().log(logs, start_time)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Do the stock epoch, unless the checkpoint that was resumed from had nothing left to train."""
        if not self.control.should_training_stop:
            super()._run_epoch(*args, **kwargs)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        with self.throughput.aside():
            self._refuse_spoilt()
            super()._save_checkpoint(*args, **kwargs)

    def _evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        with self.throughput.aside():
            return super()._evaluate(*args, **kwargs)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Load a checkpoint's weights, all of them.

        The stock method passes over names that differ, and some encoders (DINOv2) have other names on disk than in
        memory: they would silently resume from their initial weights. ``from_pretrained`` knows the renaming. It gives
        all weights one number format, though, so it is asked for the widest: what trains is float32 beside bfloat16.
        """
        target = model or self.model
        if not isinstance(target, PreTrainedModel):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        saved = type(target).from_pretrained(resume_from_checkpoint, dtype=torch.float32, local_files_only=True)
        target.load_state_dict(saved.state_dict())

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """Return the stock norm, which all ranks share, and stop if it is not finite.

        Clipping by such a norm makes every weight nan, and the next checkpoint useless. With float16 it means that the
        loss scale is too large, and the scaler skips the step.
        """
        norm = super()._get_grad_norm(model, grad_norm)
        if norm is not None and not self.args.fp16 and not math.isfinite(norm):
            raise self._diverged("the norm of the gradients", float(norm))
        return norm

    def _refuse_infinite(self, loss: Tensor) -> None:
        """Stop all processes where the loss of one is not finite; the others would wait for its gradients for ever."""
        worst = loss.detach().float()
        if self.args.world_size > 1:
            worst = torch.where(_of_any(~torch.isfinite(worst)), torch.full_like(worst, torch.nan), worst)
        if not torch.isfinite(worst):
            raise self._diverged("the loss", worst.item())

    def _refuse_spoilt(self) -> None:
        """Save no weights that are not finite: gradients are not looked at by every engine, nor with float16."""
        shards = [_own(parameter) for parameter in self.model.parameters() if parameter.requires_grad]  # type: ignore[union-attr]
        finite = [torch.isfinite(shard).all() for shard in shards if shard.numel()]
        spoilt = ~torch.stack(finite).all() if finite else torch.zeros((), dtype=torch.bool, device=self.args.device)
        if self.args.world_size > 1:
            spoilt = _of_any(spoilt.to(self.args.device))
        if spoilt:
            raise self._diverged("a weight", math.nan, self.state.global_step)

    def _diverged(self, what: str, value: float, step: int | None = None) -> UserError:
        at = self.state.global_step + 1 if step is None else step
        return UserError(
            f"{what} is {value} at step {at}; lower trainer.learning_rate, or look at the data;"
            f" last good checkpoint: {last_checkpoint(str(self.args.output_dir)) or 'none yet'}"
        )

    def _load_best_model(self) -> None:
        """Load the best checkpoint's weights, all of them; the stock method passes over the names as above."""
        best = self.state.best_model_checkpoint
        if best and isinstance(self.model, PreTrainedModel) and not (self.is_deepspeed_enabled or self.is_fsdp_enabled):
            self._load_from_checkpoint(best)
        else:
            super()._load_best_model()


def split_group(optimizer: Optimizer, members: set[int], rate: float) -> None:
    """Move the parameters with these ``id`` into groups of their own with another peak learning rate."""
    for group in list(optimizer.param_groups):
        moved = [parameter for parameter in group["params"] if id(parameter) in members]
        if moved:
            group["params"] = [parameter for parameter in group["params"] if id(parameter) not in members]
            options = {key: value for key, value in group.items() if key not in ("params", "lr", "initial_lr")}
            optimizer.add_param_group({**options, "params": moved, "lr": rate})


def _of_any(flag: Tensor) -> Tensor:
    """Return whether a flag is set on any process; a collective."""
    number = flag.float()
    torch.distributed.all_reduce(number, torch.distributed.ReduceOp.MAX)
    return number > 0


def _own(parameter: Tensor) -> Tensor:
    """Return what this process holds of a parameter that ZeRO-3 or FSDP may have split."""
    held = getattr(parameter, "ds_tensor", parameter)
    return held.to_local().detach() if hasattr(held, "to_local") else held.detach()


def _output_layer(model: nn.Module) -> nn.Module | None:
    getter = getattr(model, "get_output_embeddings", None)
    return getter() if getter else None
