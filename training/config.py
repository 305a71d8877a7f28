"""What a training run can be told. Only the standard library is imported here, so that the command line stays fast."""

from dataclasses import dataclass, field
from typing import Any, Literal

Stage = Literal["towers", "pretrain", "full", "align", "finetune", "detector", "painter"]
LossPer = Literal["token", "statement"]

AUTO = "auto"
"""Value of ``TrainConfig.features`` that leaves the choice to ``training.features``."""


@dataclass
class LoraSettings:
    """Low-rank adapters on the language model, by default on every linear layer (LLaVA-1.5's shipped LoRA recipe).

    Attributes:
        r: rank.
        alpha: scale; the update is multiplied by ``alpha / r``.
        dropout: probability on the adapter's input.
        targets: "all-linear", a list of layer names such as [q_proj, v_proj], or a regular expression for whole paths;
            always of the language model only (``encoders.adapters``).
    """

    r: int = 128
    alpha: int = 256
    dropout: float = 0.05
    targets: str | list[str] = "all-linear"


@dataclass
class TrainConfig:
    """One training run.

    Attributes:
        model: checkpoint directory to start from; "" for random weights, where the stage knows what to build
            ("detector", "painter").
        data: dataset folders; their records are pooled.
        out: directory of the result. A finished one is not trained again, an unfinished one is resumed.
        stage: what trains. "towers": the encoders, with projector and word embeddings, on dense labels of renders
            (``training.dense``); tasks and templates are not used. "pretrain": everything, the encoders too. "full":
            everything but the encoders.
            "align": the projector alone. "finetune": LoRA on the language model, and the whole projector.
            "detector": the detector of ``encoders.detector``, on boxes, masks and depths of renders.
            "painter": the diffusion model of ``encoders.painter``, on renders and their control maps.
        lora: adapter sizes, used by "finetune".
        projector_learning_rate: peak rate of ``multi_modal_projector``; ``trainer.learning_rate`` if not given.
        tasks: weight of each kind of record as "task/topic", such as ``{"statement/relation": 2, "name/cell": 1}``;
            a kind that is not named is left out. Empty: every record is as likely as any other.
        templates: names of the templates to draw from, or "train", "held-out", "core", "own", "published",
            "reconstructed" for many (docs/templates.md); empty: the core ones. A record gets one that suits it.
        statements_per_image: records drawn for an image in each epoch; they share one image prefix in the batch.
        loss_per: "token": every supervised token weighs the same. "statement": every statement does, long or short.
        encoder_dropout: probability that an encoder is left out of a training step (never all of them).
        features: cached features of the frozen encoders, which then do not run: a folder that 'vsre cache-features'
            wrote; "auto": where it pays (docs/feature-cache.md), in "feature-cache" beside ``out``; "": none. Only for
            "align", "finetune" and "full".
        controls: folder of the control maps of the data, as 'vsre passes' writes them; used by "painter".
        max_seconds: training time, counted over resumed runs, after which the run ends and saves; 0: no limit.
        schedule: "trainer": as ``trainer.lr_scheduler_type`` says. "time": linear warm-up over
            ``trainer.warmup_steps``, then cosine to 0 at ``max_seconds``; such a run cannot be repeated bit by bit.
        seed: of weights, order and draws.
        nproc: processes on this machine; 0: one per visible GPU.
        trainer: fields of ``transformers.TrainingArguments`` by name.
    """

    model: str
    data: list[str]
    out: str
    stage: Stage = "finetune"
    lora: LoraSettings = field(default_factory=LoraSettings)
    projector_learning_rate: float | None = None
    tasks: dict[str, float] = field(default_factory=dict)
    templates: list[str] = field(default_factory=list)
    statements_per_image: int = 8
    loss_per: LossPer = "token"
    encoder_dropout: float = 0.0
    features: str = ""
    controls: str = ""
    max_seconds: float = 0.0
    schedule: Literal["trainer", "time"] = "trainer"
    seed: int = 0
    nproc: int = 0
    trainer: dict[str, Any] = field(default_factory=dict)
