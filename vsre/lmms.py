"""Let lmms-eval ask our checkpoints: ``lmms-eval --model vsre --model_args pretrained=checkpoints/my-expert``.

lmms-eval finds ``MANIFEST`` through the entry point that ``pyproject.toml`` declares; nothing of vsre imports this
module, and vsre does not need lmms-eval. Its own wrapper for Transformers models cannot run ours: docs/lmms-eval.md.

A question is put as in training: the pictures, the text, one user turn of the checkpoint's chat template.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from lmms_eval.api.instance import GenerationResult, Instance
from lmms_eval.api.model import lmms
from lmms_eval.models.registry_v2 import ModelManifest
from PIL import Image
from tqdm import tqdm

from encoders.assemble import dtype_of
from encoders.chat import answer_gap
from encoders.device import usable_device
from encoders.load import load_model
from spatial.errors import CheckpointError, ConfigError
from vsre.assets import resolve_model

MANIFEST = ModelManifest("vsre", simple_class_path="vsre.lmms.Vsre")

NEW_TOKENS = 1024
"""How long an answer may get where the task does not say."""


@dataclass(frozen=True)
class Request:
    """One question of a task.

    Attributes:
        text: as the task words it.
        asked: how to generate, or the answer to score.
        rows: the task's rows.
        number: of the row that the question is about.
        pictures_of: the task's function from a row to its pictures.
    """

    text: str
    asked: Any
    rows: Any
    number: int
    pictures_of: Callable[[Any], Any]

    def pictures(self) -> list[Image.Image]:
        """Read the row's pictures; they are not kept, since a task may have any number of rows.

        Raises:
            ConfigError: the task shows something else.
        """
        found = list(self.pictures_of(self.rows[self.number]) or [])
        for picture in found:
            if not isinstance(picture, Image.Image):
                raise ConfigError(f"the task shows a {type(picture).__name__}; vsre models see pictures only")
        return found


class Vsre(lmms):
    """A checkpoint or adapter of ours, as lmms-eval wants models.

    Args:
        pretrained: what ``vsre eval --model`` takes.
        device: of the model; by default the GPU where there is one. With ``accelerate launch``, the process's own.
        batch_size: questions in one forward pass.
        dtype: of the weights ("float32", "bfloat16" or "float16"); by default as saved.
        max_batch_size: ignored; lmms-eval hands it to every model.
    """

    def __init__(
        self,
        pretrained: str = "tiny-base",
        device: str = "",
        batch_size: int | str = 1,
        dtype: str = "",
        max_batch_size: int | None = None,
    ) -> None:
        super().__init__()
        if not str(batch_size).isdigit() or int(batch_size) < 1:
            raise ConfigError(f"batch_size is {batch_size}; use a positive number")
        weights = dtype_of(dtype or "auto")
        chosen = usable_device(device) if device else None
        self.accelerator = Accelerator()
        self._rank, self._world_size = self.accelerator.process_index, self.accelerator.num_processes
        self.device = chosen if chosen and self._world_size == 1 else self.accelerator.device
        self.batch_size = int(batch_size)
        self.model, self.processor = load_model(resolve_model(pretrained), weights)
        network: torch.nn.Module = self.model
        network.to(self.device)

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Answer freely, greedily unless the task gives a temperature."""
        asked = self._requests(requests)
        return self._in_batches(asked, [repr(request.asked) for request in asked], self._generate)

    def loglikelihood(self, requests: list[Instance]) -> list[GenerationResult]:
        """Return of each answer its negative log-probability, summed over its tokens, and whether it is greedy.

        Negative because lmms-eval takes the least of a question's options for the model's choice. The pair is wrapped
        because lmms-eval 0.7 turns a bare one into its text, and then fails to take it apart.
        """
        asked = self._requests(requests)
        return [GenerationResult(pair) for pair in self._in_batches(asked, [""] * len(asked), self._score)]

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        """Refuse: our models are trained on single questions."""
        raise NotImplementedError("vsre models answer single questions; choose a task without rounds")

    def prompt(self, text: str, pictures: int) -> str:
        """Return a question as the model reads it; pictures come first unless the text says where they stand."""
        before = 0 if self.processor.image_token in text else pictures
        content = [{"type": "image"}] * before + [{"type": "text", "text": text}]
        message = {"role": "user", "content": content}
        prompt: str = self.processor.apply_chat_template([message], add_generation_prompt=True, tokenize=False)
        return prompt

    def _requests(self, requests: list[Instance]) -> list[Request]:
        made = []
        for text, asked, pictures_of, number, task, split in (request.args for request in requests):
            rows = self.task_dict[task][split]
            made.append(Request(text, asked(rows[number]) if callable(asked) else asked, rows, number, pictures_of))
        return made

    def _in_batches(
        self, asked: list[Request], keys: list[str], answer: Callable[[list[Request]], list[Any]]
    ) -> list[Any]:
        """Answer requests in batches of equal keys; return the answers in the order of the requests."""
        answers: dict[int, Any] = {}
        with tqdm(total=len(asked), disable=self.rank != 0, unit="question", desc="vsre") as bar:
            for places in batches(keys, self.batch_size):
                answers.update(zip(places, answer([asked[place] for place in places]), strict=True))
                bar.update(len(places))
        return [answers[place] for place in range(len(asked))]

    @torch.inference_mode()
    def _generate(self, requests: list[Request]) -> list[str]:
        settings = requests[0].asked
        pictures = [request.pictures() for request in requests]
        prompts = [self.prompt(request.text, len(shown)) for request, shown in zip(requests, pictures, strict=True)]
        inputs = self._encode(prompts, pictures, "left")
        tokens = self.model.generate(**inputs, **generation_settings(settings))
        written = self.processor.batch_decode(tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return [cut(text, settings.get("until")) for text in written]

    @torch.inference_mode()
    def _score(self, requests: list[Request]) -> list[tuple[float, bool]]:
        pictures = [request.pictures() for request in requests]
        prompts = [self.prompt(request.text, len(shown)) for request, shown in zip(requests, pictures, strict=True)]
        whole = [_joined(prompt, request.asked) for prompt, request in zip(prompts, requests, strict=True)]
        inputs = self._encode(whole, pictures, "right")
        ends = inputs["attention_mask"].sum(-1).tolist()
        begins = [end - length for end, length in zip(ends, self._answer_lengths(prompts, whole), strict=True)]
        first = min(begins) - 1  # no earlier position predicts a token of an answer
        kept = inputs["input_ids"].shape[1] - first
        logprobs_BTV = self.model(**inputs, logits_to_keep=kept).logits.float().log_softmax(-1)
        scores = []
        for row, begin, end in zip(range(len(requests)), begins, ends, strict=True):
            answer = inputs["input_ids"][row, begin:end]
            logprobs_TV = logprobs_BTV[row, begin - 1 - first : end - 1 - first]
            loss = -logprobs_TV.gather(-1, answer[:, None]).double().sum()
            scores.append((float(loss), bool((logprobs_TV.argmax(-1) == answer).all())))
        return scores

    def _answer_lengths(self, prompts: list[str], whole: list[str]) -> list[int]:
        """Return how many tokens each answer adds to its prompt."""
        special = self._adds_special_tokens(prompts)
        encode = self.processor.tokenizer
        pairs = zip(
            *(encode(texts, add_special_tokens=special)["input_ids"] for texts in (prompts, whole)), strict=True
        )
        lengths = []
        for prompt, (short, long) in zip(prompts, pairs, strict=True):
            if long[: len(short)] != short or len(long) == len(short):
                raise CheckpointError(f"the tokenizer merges the answer with the end of the prompt {prompt[-20:]!r}")
            lengths.append(len(long) - len(short))
        return lengths

    def _encode(self, texts: list[str], pictures: list[list[Image.Image]], side: str) -> Any:
        inputs = self.processor(
            text=texts,
            images=[picture for shown in pictures for picture in shown] or None,
            padding=True,
            padding_side=side,
            add_special_tokens=self._adds_special_tokens(texts),
            return_tensors="pt",
        )
        return inputs.to(self.device)

    def _adds_special_tokens(self, texts: list[str]) -> bool:
        """Whether the tokenizer has to write the first token because the chat template did not."""
        start = self.processor.tokenizer.bos_token
        return not (start and texts[0].startswith(start))


def generation_settings(asked: dict[str, Any]) -> dict[str, Any]:
    """Return what ``generate`` is told of a task's ``generation_kwargs``; a temperature of 0 means greedy."""
    settings = {"max_new_tokens": asked.get("max_new_tokens") or NEW_TOKENS, "num_beams": asked.get("num_beams") or 1}
    temperature = asked.get("temperature") or 0
    if temperature > 0:
        return settings | {"do_sample": True, "temperature": temperature, "top_p": asked.get("top_p")}
    return settings | {"do_sample": False}


def cut(text: str, until: str | Sequence[str] | None) -> str:
    """Return an answer up to the first of the task's stop words."""
    for stop in [until] if isinstance(until, str) else until or []:
        text = text.split(stop)[0] if stop else text
    return text


def _joined(prompt: str, answer: str) -> str:
    """Return the prompt and an answer as training writes them, however the task spaces it."""
    return prompt + answer_gap(prompt) + answer.lstrip()


def batches(keys: Sequence[str], size: int) -> Iterator[list[int]]:
    """Yield the places of keys, equal ones together, at most ``size`` at a time."""
    places: dict[str, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    for rows in places.values():
        for start in range(0, len(rows), size):
            yield rows[start : start + size]
