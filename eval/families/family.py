"""What evaluation has to be told of a kind of model: how it is loaded, how it sees, and what answers for it.

Questions, batches, readings, metrics and files are the same for every family.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from encoders.family_load import load_family
from eval.decoders import Reading
from eval.images import See, image_tokens
from eval.scoring import AnyScorer, Scorer


@dataclass(frozen=True)
class Family:
    """How models of one ``model_type`` are evaluated. The defaults serve a LLaVA-like model of Transformers.

    Attributes:
        load: returns the model in a directory, adapters merged, and its processor.
        see: what the language model sees of pictures.
        scorer: makes what answers questions of model, processor, and how many tokens may be written at most, and be in
            one forward pass.
        templates: chat templates as published, by the ``model_type`` of the language model, for checkpoints that come
            without one.
        own_canvas: whether the image processor itself makes pictures square, in a mode of ``encoders.canvas``.
        reads: kinds of readings that the scorer can do; all by default.
        unread: why it cannot do the others.
    """

    load: Callable[[Path], tuple[Any, Any]] = load_family
    see: See = image_tokens
    scorer: Callable[[Any, Any, int, int], AnyScorer] = Scorer
    templates: Mapping[str, str] = field(default_factory=dict)
    own_canvas: bool = False
    reads: tuple[type[Reading], ...] = (Reading,)
    unread: str = ""
