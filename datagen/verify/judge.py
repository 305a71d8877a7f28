"""A vision-language model that answers yes or no: any image-text-to-text model of Transformers, ours among them.

The next token after the question is read, not generated text: log P(yes) - log P(no), each summed over its spellings.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from datagen.verify.base import Pixels
from datagen.verify.load import check_place, load_network, load_processor, model_type
from encoders.load import ADAPTER_FILE, lineage, load_model
from encoders.model_hash import model_hash
from encoders.register import register
from spatial.errors import CheckpointError, ConfigError
from spatial.shipped import shipped_folder

NAME = "vqa"
SPELLINGS = {"yes": ("yes", "Yes", " yes", " Yes", "YES"), "no": ("no", "No", " no", " No", "NO")}


class VqaJudge:
    """A vision-language model as a judge."""

    def __init__(self, place: str, device: torch.device) -> None:
        """Load it; raises CheckpointError."""
        # Where a folder of one's own lies is nobody's business.
        self.name = f"{NAME}={Path(place).name if Path(place).is_dir() else place}"
        self.network, self.processor = _load(place, device)
        self.network.to(device).eval()
        if not getattr(self.processor, "chat_template", None):
            raise CheckpointError(f"{NAME}: {place} has no chat template; name a model that is meant for conversation")
        self.processor.tokenizer.padding_side = "left"
        self.answers = [self._first_tokens(SPELLINGS[word]) for word in ("yes", "no")]
        if set(self.answers[0]) & set(self.answers[1]):
            raise CheckpointError(f"{NAME}: {place} cannot spell 'yes' and 'no' apart; name another model")

    @torch.inference_mode()
    def margins(self, picture: Pixels, questions: Sequence[str]) -> list[float]:
        """Return log P(yes) - log P(no) of each question."""
        image = Image.fromarray(picture)
        talks = [
            [{"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": text}]}]
            for text in questions
        ]
        inputs = self.processor.apply_chat_template(
            talks,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            processor_kwargs={"padding": True, "return_tensors": "pt"},
        )
        logits = self.network(**inputs.to(self.network.device)).logits[:, -1].float()
        yes, no = (logits[:, tokens].logsumexp(-1) for tokens in self.answers)
        return [float(value) for value in (yes - no).tolist()]

    def _first_tokens(self, spellings: Sequence[str]) -> list[int]:
        """Return the tokens with which an answer can begin; unknown words and a lone space do not count."""
        tokenizer = self.processor.tokenizer
        found = set()
        for spelling in spellings:
            tokens = tokenizer(spelling, add_special_tokens=False)["input_ids"]
            if tokens and tokens[0] != tokenizer.unk_token_id and tokenizer.decode(tokens[:1]).strip():
                found.add(int(tokens[0]))
        if not found:
            raise CheckpointError(f"{self.name}: its tokenizer does not know {spellings[0]!r}; name another model")
        return sorted(found)


def refuse_tuned(place: str, tuned: str) -> None:
    """Refuse a judge that is the model to be tuned, or that was tuned from it: it would judge its own errors.

    Args:
        place: folder or hub name of the judge.
        tuned: folder, hub name, or shipped name of the model to be tuned; "" if it is not known.

    Raises:
        ConfigError: they are the same, have the same weights, or one is an adapter on the other; or the model to be
            tuned cannot be found, so that nobody could tell.
    """
    if not tuned:
        return
    judge, model = shipped_folder(place), shipped_folder(tuned)
    if not model.is_dir() and (tuned.count("/") != 1 or tuned.startswith((".", "/", "~"))):
        raise ConfigError(f"verify.tuned {tuned} does not exist; correct it, or no judge can be held against it")
    if place == tuned or (judge.is_dir() and model.is_dir() and _hashes(judge) & _hashes(model)):
        raise ConfigError(f"judge {place} is the model to be tuned, {tuned}, or shares its base; name another judge")


def _hashes(folder: Path) -> set[str]:
    """Return the hashes of a model and of the models that it is an adapter on."""
    return {model_hash(model) for model in lineage(folder)}


def _load(place: str, device: torch.device) -> tuple[Any, Any]:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    register()
    if Path(place).is_dir() and _is_ours(Path(place)):
        return load_model(place)
    check_place(place, (), NAME)
    network = load_network(AutoModelForImageTextToText, place, NAME, device)
    return network, load_processor(AutoProcessor, place, NAME)


def _is_ours(folder: Path) -> bool:
    return (folder / ADAPTER_FILE).is_file() or ((folder / "config.json").is_file() and model_type(folder) == "vsre")
