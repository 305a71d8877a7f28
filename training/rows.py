"""One row per statement, made by the model's own processor, for models of other families.

``training.collate`` packs the statements about an image behind one prefix. That needs positions that count tokens and
an image that is the same for every question. Neither holds in general: Qwen's positions have two dimensions, a Q-Former
of InstructBLIP reads the question, and LLaVA-1.6 has as many tokens as its tiles. So a statement is a row of its own,
as the model's makers feed it, and an image is encoded once for each of its statements.

The processor sees the prompt alone, as when the model is asked, and the answer's tokens are put behind what it makes.
(Given both, InstructBLIP's would show the answer to the Q-Former.) Nothing is ever cut off.

An encoder-decoder (Flan-T5 in BLIP-2) has the prompt in the encoder and the answer in the decoder. Its labels are laid
out as a causal model's, so that the logits at a position predict the next label in every family.

Shapes: B rows (the statements of all images), S positions (the longest row).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from encoders.chat import answer_gap, answer_tokens
from spatial.errors import CheckpointError, RecordError
from spatial.templates import Prompt
from training.collate import IGNORED, name_of
from training.examples import Example

OF_TEXT = {"attention_mask": 1, "token_type_ids": 0, "mm_token_type_ids": 0}
"""What processors return for every token beside its id, and what it is for a token of an answer."""


class RowCollator:
    """Turn examples into one batch for an image-text-to-text model.

    Args:
        processor: of the model.
        model: its configuration says which token stands for a picture and which ends an answer.
        prompt: how a question is written, with {text}; "" for the processor's chat template.

    Raises:
        CheckpointError: the processor has no chat template where one is needed, or no pad token.
    """

    def __init__(self, processor: Any, model: PreTrainedModel, prompt: str = "") -> None:
        self.processor, self.prompt = processor, prompt
        self.tokenizer = processor.tokenizer
        where = model.name_or_path
        if not prompt and not getattr(processor, "chat_template", None):
            raise CheckpointError(f"{where} has no chat template; copy chat_template.jinja from the hub")
        if self.tokenizer.pad_token_id is None:
            raise CheckpointError(f"the tokenizer of {where} has no pad token; name one in its tokenizer_config.json")
        config = model.config
        text = config.get_text_config()
        self.image_token, self.image_tokens = config.image_token_id, getattr(config, "num_query_tokens", None)
        self.end = end_token(model, self.tokenizer)
        self.start: int | None = None
        if text.is_encoder_decoder:
            self.start = text.pad_token_id if text.decoder_start_token_id is None else text.decoder_start_token_id
        self.limit = getattr(text, "max_position_embeddings", None)

    def __call__(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Return a batch with one row per statement.

        Returns:
            input_ids, attention_mask (B, S): padded on the right.
            labels (B, S): the token itself on answers and the token that ends them, else ``IGNORED``.
            decoder_input_ids, decoder_attention_mask (B, T): of an encoder-decoder, whose ``labels`` are (B, T).
            pixel_values, image_grid_thw, image_sizes, mm_token_type_ids, qformer_input_ids, ...: whatever else the
            processor makes.

        Raises:
            RecordError: an example has no picture, or a row is longer than the model takes.
            CheckpointError: the processor does not mark where the picture is.
        """
        prompts = [prompt for example in examples for prompt in example.prompts if isinstance(prompt, Prompt)]
        images = [example.image for example in examples for _ in example.prompts]
        if any(image is None for image in images):
            raise RecordError("a row has no picture, and models of other families are trained on pictures only")
        texts = self._texts(prompts)
        seen = self._processed(images, texts)
        answers = self._answers(texts, [prompt.answer for prompt in prompts])
        rows = self._unpadded(seen)
        if self.start is None:
            labels = [torch.tensor([IGNORED] * len(row)) for row in rows["input_ids"]]
            labels = _behind("input_ids", labels, answers)
            rows = {name: _behind(name, of_text, answers) for name, of_text in rows.items()}
        else:
            labels = [torch.tensor([IGNORED, *answer]) for answer in answers]
            rows["decoder_input_ids"] = [torch.tensor([self.start, *answer]) for answer in answers]
            rows["decoder_attention_mask"] = [torch.ones_like(row) for row in labels]
        names = [name_of(example, prompt) for example in examples for prompt in example.prompts]
        self._check_length(rows["input_ids"], names)
        padding = {"input_ids": self.tokenizer.pad_token_id, "decoder_input_ids": self.tokenizer.pad_token_id}
        batch = {name: pad_sequence(of_text, True, padding.get(name, 0)) for name, of_text in rows.items()}
        return seen | batch | {"labels": pad_sequence(labels, True, IGNORED)}

    def _texts(self, prompts: Sequence[Prompt]) -> list[str]:
        if self.prompt:
            return [self.prompt.format(text=prompt.text) for prompt in prompts]
        chats = [prompt.messages for prompt in prompts]
        texts: list[str] = self.processor.apply_chat_template(chats, add_generation_prompt=True, tokenize=False)
        return texts

    def _processed(self, images: Sequence[Any], texts: list[str]) -> dict[str, Tensor]:
        start = self.tokenizer.bos_token
        written = {"add_special_tokens": False} if start and texts[0].startswith(start) else {}
        seen: dict[str, Tensor] = dict(
            self.processor(
                images=list(images),
                text=texts,
                padding=True,
                padding_side="right",
                truncation=False,
                return_tensors="pt",
                **written,
            )
        )
        counts = (seen["input_ids"] == self.image_token).sum(-1)
        if (counts == 0).any() or (self.image_tokens and (counts != self.image_tokens).any()):
            raise CheckpointError(
                f"the processor writes {int(counts.min())} image tokens ({self.image_token}) into a row, but the model"
                f" needs {self.image_tokens or 'some'}: it would not see the picture; set num_query_tokens in"
                " processor_config.json and the image token in config.json as they are on the hub"
            )
        return seen

    def _unpadded(self, seen: dict[str, Tensor]) -> dict[str, list[Tensor]]:
        """Take what there is for every token out of ``seen``, row by row without padding."""
        real = seen["attention_mask"].bool()
        names = [name for name in ("input_ids", *OF_TEXT) if name in seen]
        return {name: [row[some] for row, some in zip(seen.pop(name), real, strict=True)] for name in names}

    def _answers(self, texts: Sequence[str], answers: Sequence[str]) -> list[list[int]]:
        """Return the supervised tokens of each row: the answer as it reads behind its prompt, and the end."""
        if self.start is not None:
            encoded = self.tokenizer(list(answers), add_special_tokens=False)["input_ids"]
            return [[*ids, self.end] for ids in encoded]
        whole = [f"{text}{answer_gap(text)}{answer}" for text, answer in zip(texts, answers, strict=True)]
        encoded = self.tokenizer([*texts, *whole], add_special_tokens=False)["input_ids"]
        asked, told = encoded[: len(texts)], encoded[len(texts) :]
        return [[*answer_tokens(*row), self.end] for row in zip(asked, told, answers, strict=True)]

    def _check_length(self, rows: Sequence[Tensor], names: Sequence[str]) -> None:
        longest, name = max((len(row), name) for row, name in zip(rows, names, strict=True))
        if self.limit is not None and longest > self.limit:
            raise RecordError(
                f"{name} has {longest} tokens and the model takes {self.limit}; leave its template out, or have the"
                " processor make smaller pictures"
            )


def end_token(model: PreTrainedModel, tokenizer: Any) -> int:
    """Return the token that ends an answer where the model generates; for BLIP-2 with OPT that is a line break."""
    ends = model.generation_config.eos_token_id if model.generation_config else None
    ends = [ends] if isinstance(ends, int) else list(ends or [])
    found: int = ends[0] if ends and tokenizer.eos_token_id not in ends else tokenizer.eos_token_id
    return found


def _behind(name: str, rows: Sequence[Tensor], answers: Sequence[list[int]]) -> list[Tensor]:
    """Return rows of ids, or of what there is for every id, with what stands for the answer's tokens behind each."""
    values = [answer if name == "input_ids" else [OF_TEXT[name]] * len(answer) for answer in answers]
    return [torch.cat([row, row.new_tensor(value)]) for row, value in zip(rows, values, strict=True)]
