"""What the model is shown: one image with a few of its records, drawn anew in every epoch.

A draw depends on the seed, the epoch and the position in the dataset, and on nothing else. Two processes, or a
resumed run, therefore see what one uninterrupted process would have seen, whatever order rows come in.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from encoders.chat import IMAGE
from spatial.dataset import PooledImages, RecordSet
from spatial.errors import ConfigError, RecordError, nearest
from spatial.records import TASKS, TOPICS, ImageObject, Record, decode_image
from spatial.relations import RELATIONS
from spatial.templates import TEMPLATES, Prompt, choose_templates, render
from training.draws import DrawnDataset
from training.mixing import Mixture

CHARACTERS_PER_TOKEN = 4
"""Of English, about."""

WORDING_TOKENS = 16
"""What a template adds to a record, about."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dialogue:
    """A conversation in which every answer is learnt, each with the turns before it in sight.

    Attributes:
        name: by which errors name it.
        turns: questions with their answers, without image tokens.
        pictured: whether it is about a picture, which comes first.
    """

    name: str
    turns: tuple[tuple[str, str], ...]
    pictured: bool = True


@dataclass(frozen=True)
class Example:
    """One image and what is said about it; the answers are in the prompts.

    Attributes:
        image: absent where cached features stand for it, and where there is none.
        prompts: each sees the image and itself only.
        image_id: by which features and errors know the image.
        pictured: whether there is an image; without one, ``prompts`` is one dialogue that is not pictured.
    """

    image: Image | None
    prompts: tuple[Prompt | Dialogue, ...]
    image_id: str = ""
    pictured: bool = True


class Examples(DrawnDataset[Example]):
    """Images with ``statements`` records each, drawn by kind and put into words by templates.

    Args:
        sets: pooled; a record or image that several sets hold counts once.
        statements: records per image and epoch; an image with fewer gives all it has.
        tasks: weight by kind "task/topic", or "task/topic/relation" for one relation of it, which then does not count
            to the rest of that kind; kinds not named are left out. Empty: all records alike.
        templates: names to draw from, of templates or of ``spatial.templates.SELECTIONS``; empty: the core ones. Each
            record is put into those that suit it; one that none suits is left out.
        seed: of the draws.
        shares: how often an epoch shows the images of each set; the sets are then not pooled, and an image that several
            of them hold is shown for each, with the records of that set. ``None``: every image once.

    Attributes:
        images: of the data, by identifier.
        decoded: whether items have their picture; cached features do without.
        mixture: which image each item is, where ``shares`` are given.

    Raises:
        ConfigError: a kind or a template is unknown, or no record is of a named kind, or a set would not be shown.
        RecordError: no record is left.
    """

    def __init__(
        self,
        sets: Sequence[RecordSet],
        statements: int,
        tasks: Mapping[str, float] | None = None,
        templates: Sequence[str] = (),
        seed: int = 0,
        shares: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self._statements, self._seed = statements, seed
        self._weights = dict(tasks or {})
        check_mixture(self._weights, templates)
        chosen = choose_templates(templates)
        self._templates = {task: [name for name in chosen if TEMPLATES[name].task == task] for task in TASKS}
        self.images = PooledImages([item.images for item in sets])
        self.decoded = True
        parts = [sets] if shares is None else [[item] for item in sets]
        found = self._eligible([{r.record_id: r for item in part for r in item.records} for part in parts])
        self._groups = list(chain.from_iterable(found))
        self.mixture = None if shares is None else Mixture([len(part) for part in found], shares, seed)
        if self.mixture and shares and not all(self.mixture.shown):
            number = self.mixture.shown.index(0)
            raise ConfigError(
                f"folder {number + 1} of 'data' has {len(found[number])} images with a record that 'tasks' and"
                f" 'templates' let pass; at weight {shares[number]:g} an epoch shows none: raise it or remove it"
            )

    def __len__(self) -> int:
        """Return the items of an epoch: the images with at least one eligible record, as often as they are shown."""
        return len(self._groups) if self.mixture is None else len(self.mixture)

    @property
    def image_ids(self) -> list[str]:
        """Identifiers of the images that any epoch shows, each once."""
        return list(dict.fromkeys(records[0].image_id for records in self._groups))

    @property
    def record_count(self) -> int:
        """Eligible records, each once however often its image is shown."""
        return sum(map(len, self._groups))

    @property
    def records_per_image(self) -> float:
        """Eligible records per image, on average."""
        return self.record_count / len(self._groups)

    def records(self) -> Iterator[Record]:
        """Yield the eligible records."""
        return chain.from_iterable(self._groups)

    def wordings(self, record: Record) -> Iterator[Prompt]:
        """Yield a record in every template that may be drawn for it."""
        objects = self.images[record.image_id].objects
        for name in self._templates[record.task]:
            with suppress(ValueError):  # a template that does not suit it
                yield render(record, TEMPLATES[name], 0, objects)

    def estimated_lengths(self, image_tokens: int) -> list[int]:
        """Return about how many tokens every item has; see ``training.lengths``."""
        lengths = [
            image_tokens + round(min(len(records), self._statements) * sum(map(_size, records)) / len(records))
            for records in self._groups
        ]
        return self.mixture.estimates(lengths) if self.mixture else lengths

    def __getitem__(self, index: int) -> Example:
        """Return an image and its prompts of the current epoch."""
        records = self._groups[index if self.mixture is None else self.mixture.image(index, self.epoch)]
        random = np.random.default_rng((self._seed, self.epoch, index))
        chosen = [records[row] for row in self._draw(records, random)]
        image_id = records[0].image_id
        row = self.images[image_id]
        prompts = tuple(self._word(record, row.objects, random) for record in chosen)
        return Example(decode_image(row.image, image_id) if self.decoded else None, prompts, image_id)

    def _draw(self, records: Sequence[Record], random: np.random.Generator) -> NDArray[np.int64]:
        """Return distinct rows; a kind's weight is shared by its records (keys of Efraimidis and Spirakis, 2006)."""
        kinds = [self._kind(record) for record in records]
        share = {kind: self._weights.get(kind, 0.0) / kinds.count(kind) for kind in set(kinds)}
        weight = np.array([share[kind] if self._weights else 1.0 for kind in kinds])
        arrival = random.exponential(size=len(records)) / weight
        return np.argsort(arrival)[: self._statements]

    def _kind(self, record: Record) -> str:
        """Return the name that weighs a record: of its relation if that is named, else of its task and topic."""
        kind = f"{record.task}/{record.topic}"
        finer = f"{kind}/{record.relation}"
        return finer if finer in self._weights else kind

    def _word(self, record: Record, objects: Sequence[ImageObject], random: np.random.Generator) -> Prompt:
        """Put a record into a template that is drawn from those that suit it."""
        names = list(self._templates[record.task])
        while names:
            name = names.pop(int(random.integers(len(names))))
            try:
                return render(record, TEMPLATES[name], int(random.integers(2**31)), objects)
            except ValueError:
                continue
        raise AssertionError(f"record {record.record_id} suits no template")  # such a record is not eligible

    def _suits(self, record: Record) -> bool:
        """Tell whether a record can be put into one of its task's templates."""
        templates = [TEMPLATES[name] for name in self._templates[record.task]]
        if any(template.suits_all for template in templates):
            return True
        needed = any(template.needs_objects for template in templates)
        objects = self.images[record.image_id].objects if needed else ()
        for template in templates:
            try:
                render(record, template, 0, objects)
            except ValueError:
                continue
            return True
        return False

    def _eligible(self, parts: Sequence[Mapping[str, Record]]) -> list[list[list[Record]]]:
        """Return the usable records part by part and image by image, in the order of the data."""
        found = []
        seen = set()
        unsuited = 0
        for part in parts:
            groups: dict[str, list[Record]] = defaultdict(list)
            for record in part.values():
                kind = self._kind(record)
                if self._templates.get(record.task) and (not self._weights or self._weights.get(kind, 0) > 0):
                    _check_plain(record)
                    if record.image_id not in self.images:
                        raise RecordError(f"record {record.record_id} is about a missing image; make its dataset again")
                    if not self._suits(record):
                        unsuited += 1
                        continue
                    groups[record.image_id].append(record)
                    seen.add(kind)
            found.append(list(groups.values()))
        if unsuited:
            _log.warning("%d of %d records suit none of the templates and are left out", unsuited, sum(map(len, parts)))
        self._check_found(seen, {self._kind(record) for part in parts for record in part.values()})
        return found

    def _check_found(self, seen: set[str], present: set[str]) -> None:
        if not seen:
            templates = sorted(set().union(*self._templates.values()))
            raise RecordError(
                f"no record passes the filters tasks={self._weights or 'any'} and templates={templates};"
                f" the data has {', '.join(sorted(present)) or 'no records'}"
            )
        missing = sorted(kind for kind, weight in self._weights.items() if weight > 0 and kind not in seen)
        if missing:
            raise ConfigError(
                f"tasks names {missing[0]!r}, but the data has no such record with a template;"
                f" remove it or choose from {', '.join(sorted(present))}"
            )


def _size(record: Record) -> float:
    """Return about how many tokens a record has in words."""
    return WORDING_TOKENS + len(f"{record.caption}{record.answer}{''.join(record.options)}") / CHARACTERS_PER_TOKEN


def _check_plain(record: Record) -> None:
    """Refuse text that would be taken for a picture."""
    if any(IMAGE in text for text in (record.caption, record.answer, *record.options)):
        raise RecordError(f"record {record.record_id} has {IMAGE} in its text; write it in another way")


def check_mixture(weights: Mapping[str, float], templates: Sequence[str]) -> None:
    """Check kinds, their weights and template names, without any data.

    Raises:
        ConfigError: an unknown name, with the nearest known one, or a negative weight.
    """
    choose_templates(templates)
    known = [f"{task}/{topic}" for task in TASKS for topic in TOPICS]
    for name, weight in weights.items():
        kind, _, relation = name.partition("/relation/")
        kind, finer = (f"{kind}/relation", relation) if relation else (name, "")
        if kind not in known:
            raise ConfigError(f"tasks names {name!r}, which is not 'task/topic'{nearest(kind, known)}")
        if finer and finer not in RELATIONS:
            raise ConfigError(f"tasks names {name!r}, but no relation is called {finer!r}{nearest(finer, RELATIONS)}")
        if weight < 0:
            raise ConfigError(f"tasks gives {name!r} the weight {weight}; give 0 or more")
