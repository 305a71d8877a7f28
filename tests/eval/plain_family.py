"""What a model says when it is run as its makers do: its own processor and forward pass, one whole row at a time.

Readings that change attention go in by another door than ours: the eager attention of the model's own file is replaced.
"""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from encoders.chat import answer_gap
from encoders.family_load import load_family
from eval.decoders import Dola, Reading, Vcd
from eval.families import FAMILIES
from eval.images import NOISED, ImageFeatures, noised
from eval.scoring import Question
from spatial.records import ImageRow, encode_png
from tests.training.tiny_families import write_family

RULES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "": lambda logits, factor: logits,
    "scale": lambda logits, factor: factor * logits,
    "temper": lambda logits, factor: (
        factor * logits + logits.logsumexp(-1, keepdim=True) - (factor * logits).logsumexp(-1, keepdim=True)
    ),
    "raise": lambda logits, factor: logits + factor * logits.abs(),
}
"""What becomes of the attention logits on the image."""


class Plain:
    """A decoder-only model and its processor.

    Args:
        model: of Transformers.
        processor: of the model.
        pictures: by image key.
    """

    def __init__(self, model: Any, processor: Any, pictures: dict[str, Image.Image]) -> None:
        self.model, self.processor, self.pictures = model, processor, pictures
        self.image = model.config.image_token_id

    def in_chat(self, text: str) -> str:
        """Return a question about a picture in the words of the chat template."""
        chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]
        return str(self.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False))

    def features(self) -> ImageFeatures:
        """Return the pictures as the language model sees them, by our way."""
        rows = {name: ImageRow(name, encode_png(np.asarray(p)), *p.size, "test") for name, p in self.pictures.items()}
        return ImageFeatures(self.model, self.processor, rows, FAMILIES[self.model.config.model_type].see)

    def prompt(self, question: Question, kind: str = "image") -> dict[str, Tensor]:
        """Return what the processor makes of the question and the picture, or of what is contrasted with it."""
        return self.inputs(question, question.text, kind)

    def inputs(self, question: Question, text: str, kind: str = "image") -> dict[str, Tensor]:
        """Return what the processor makes of the picture and some text."""
        picture = self.pictures[question.image]
        if kind == "blind":
            mean = self.processor.image_processor.image_mean
            picture = Image.new("RGB", picture.size, tuple(int(255 * channel) for channel in mean))
        if kind == "noised":
            picture = Image.fromarray(noised(np.asarray(picture), NOISED + question.image))
        return dict(self.processor(images=[picture], text=[text], return_tensors="pt"))

    def answer(self, question: Question, option: str) -> list[int]:
        """Return the tokens that an option adds to the prompt."""
        text = question.text
        whole = self.inputs(question, text + answer_gap(text) + option)["input_ids"][0].tolist()
        prompt = self.prompt(question)["input_ids"][0].tolist()
        assert whole[: len(prompt)] == prompt
        return whole[len(prompt) :]

    @torch.no_grad()
    def logprobs(self, question: Question, answer: Sequence[int], reading: Reading) -> Tensor:
        """Return log-probabilities (T, V) of the first token of an answer, and of what follows each of its tokens."""
        inputs = self.prompt(question)
        start = inputs["input_ids"].shape[1] - 1
        rows = range(start, start + 1 + len(answer)) if reading.every_step else range(start, start + 1)
        output = self._run(inputs, answer, reading, rows)
        logits = output.logits[0, start:]
        if isinstance(reading, Vcd):
            other = self.prompt(question, reading.contrast)
            other_logits = self._run(other, answer, Reading(), range(0)).logits[0, other["input_ids"].shape[1] - 1 :]
            kept = logits >= math.log(reading.beta) + logits.max(-1, keepdim=True).values
            logits = ((1 + reading.alpha) * logits - reading.alpha * other_logits).masked_fill(~kept, -math.inf)
        if isinstance(reading, Dola):
            states = [state[0, start:] for state in output.hidden_states]
            logits = torch.stack([self._dola([state[t] for state in states], reading) for t in range(len(answer) + 1)])
        return logits.log_softmax(-1)

    def option_logprobs(self, question: Question, reading: Reading) -> list[float]:
        """Return the sums over the tokens of each option."""
        sums = []
        for option in question.options:
            ids = self.answer(question, option)
            logprobs = self.logprobs(question, ids[:-1], reading)
            sums.append(sum(float(logprobs[step, token]) for step, token in enumerate(ids)))
        return sums

    def words(self, question: Question, reading: Reading, count: int) -> str:
        """Return the likeliest answer, each token from a whole row."""
        written: list[int] = []
        ends = self.model.generation_config.eos_token_id
        while len(written) < count and not {*written} & {ends, self.processor.tokenizer.eos_token_id}:
            written.append(int(self.logprobs(question, written, reading)[-1].argmax()))
        return str(self.processor.tokenizer.decode(written, skip_special_tokens=True)).strip()

    @torch.no_grad()
    def generated(self, question: Question, count: int) -> str:
        """Return what ``generate`` of Transformers writes."""
        inputs = self.prompt(question)
        ids = self.model.generate(**inputs, max_new_tokens=count, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        return str(self.processor.tokenizer.decode(ids, skip_special_tokens=True)).strip()

    @torch.no_grad()
    def attention(self, question: Question, reading: Reading) -> Tensor:
        """Return how the last prompt token attends to each token of the prompt, (L, H, K)."""
        inputs = self.prompt(question)
        last = inputs["input_ids"].shape[1] - 1
        image = inputs["input_ids"][0] == self.image
        with changed_attention(self.model, reading, range(last, last + 1), image):
            found = self.model(**inputs, output_attentions=True).attentions
        return torch.stack(found)[:, 0, :, -1]

    def _run(self, inputs: dict[str, Tensor], answer: Sequence[int], reading: Reading, rows: range) -> Any:
        tail = torch.tensor([list(answer)], dtype=torch.long)
        values = {"input_ids": tail, "attention_mask": torch.ones_like(tail), "mm_token_type_ids": 0 * tail}
        whole = {name: torch.cat([x, values[name]], 1) if name in values else x for name, x in inputs.items()}
        image = whole["input_ids"][0] == self.image
        with changed_attention(self.model, reading, rows, image):
            return self.model(**whole, output_hidden_states=True)

    def _dola(self, states: list[Tensor], reading: Dola) -> Tensor:
        layers, head, norm = len(states) - 1, self.model.lm_head, self.model.get_decoder().norm
        last = head(states[-1]).softmax(-1)
        earlier = [head(norm(states[layer])).softmax(-1) for layer in range(layers // 2, layers, 2)]

        def divergence(other: Tensor) -> float:
            middle = (last + other) / 2
            return float((last * (last / middle).log()).sum() / 2 + (other * (other / middle).log()).sum() / 2)

        base = max(earlier, key=divergence)
        return torch.where(last >= reading.beta * last.max(), last.log() - base.log(), -math.inf)


def coarse_pictures(sizes: dict[str, tuple[int, int]]) -> dict[str, Image.Image]:
    """Return pictures of coarse noise, so that little of them is lost in small encoders.

    Args:
        sizes: width and height, by name.
    """
    found = {}
    for seed, (name, size) in enumerate(sizes.items()):
        coarse = np.random.default_rng(seed).integers(0, 255, (4, 5, 3), dtype=np.uint8)
        found[name] = Image.fromarray(coarse).resize(size, Image.Resampling.NEAREST)
    return found


def tiny_plain(name: str, folder: Path, pictures: dict[str, Image.Image]) -> Plain:
    """Return a tiny model of a family, written to a folder, in which attention decides."""
    model, processor = load_family(write_family(name, folder), torch.float32)
    with torch.no_grad():
        for layer in model.get_decoder().layers:
            layer.self_attn.q_proj.weight *= 4
            layer.self_attn.o_proj.weight *= 4
        marks = [i for i in processor.tokenizer.all_special_ids if i != processor.tokenizer.eos_token_id]
        model.lm_head.weight[[*marks, model.config.image_token_id]] = 0  # it shall not write placeholders
    return Plain(model, processor, pictures)


@contextmanager
def changed_attention(model: Any, reading: Reading, rows: range, image: Tensor) -> Iterator[None]:
    """Let some rows attend otherwise to image columns, in the eager attention of the model's own file."""

    def attention(
        module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, scaling: float, **_: Any
    ) -> tuple[Tensor, Tensor]:
        groups = query.shape[1] // key.shape[1]
        logits = query @ key.repeat_interleave(groups, 1).mT * scaling
        for row in rows:
            logits[:, :, row, image] = RULES[reading.rule](logits[:, :, row, image], reading.factor)
        weights = (logits + attention_mask).softmax(-1)
        return (weights @ value.repeat_interleave(groups, 1)).transpose(1, 2).contiguous(), weights

    own_file = sys.modules[type(model.get_decoder().layers[0].self_attn).__module__]
    model.set_attn_implementation({"text_config": "eager"})
    try:
        with patch.object(own_file, "eager_attention_forward", attention):
            yield
    finally:
        model.set_attn_implementation({"text_config": "sdpa"})
