"""MIT-States and Facial Expressions as tables of pairs: sets whose labels are the names of folders.

- MIT-States (Isola, Lim, Adelson, CVPR 2015): folders "wet cat", of which 58 adjectives are used.
- Facial Expressions (kaggle.com, samaneheslamifar/facial-emotion-expressions): a folder for each of seven emotions.

The two pictures of a pair show different things or people in different places; these are minimal pairs in name only.
"""

import random
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.config import CsvConfig
from eval.interpret.drafts import ENDINGS, Draft, others_for, write_table
from spatial.errors import RecordError
from spatial.vocabulary import several

STATES = {
    name: words.split()
    for name, words in {
        "shape": """small large thick thin coiled cracked folded sliced dented chipped shattered diced straight empty
            cut pressed torn broken tiny huge melted draped scratched""",
        "colour": """caramelized painted bright dark unpainted engraved wet burnt weathered rusty old new dry verdant
            clean frozen thawed ancient moldy muddy fresh""",
        "texture": """crushed crumpled splintered wrinkled ruffled mossy molten windblown eroded pureed crinkled frayed
            brushed barren""",
    }.items()
}
"""NOTICE's adjectives of MIT-States, by what they are about."""

SYNONYMS = """small tiny, large huge thick, cracked chipped shattered broken splintered scratched crushed, cut torn,
    sliced diced cut, weathered rusty old ancient, new fresh clean, crumpled wrinkled crinkled, ruffled frayed,
    windblown barren, melted molten"""
"""Adjectives that may be true of the same thing. NOTICE's list, with "melted molten" and "sliced diced cut", and read
both ways: there, "crushed" is like "cracked", but not "cracked" like "crushed"."""

EMOTIONS = {"disgust": "disgusted", "fear": "fearful", "surprise": "surprised"}
"""What a person feels of whom a folder has the name; other names ("angry") are said as they are."""

SENTIMENTS = {
    name: words.split()
    for name, words in {
        "positive": """amused confident content giggly grateful hopeful pleased relaxed relieved satisfied happy""",
        "negative": """ashamed embarrassed envious flustered grumpy guilty horrified humiliated insecure jealous lonely
            nostalgic overwhelmed scornful stressed uncomfortable angry disgusted fearful sad""",
        "neutral": """apathetic awed bored calm confused curious disoriented distracted impressed puzzled restless
            shocked shy sincere startled sympathetic thoughtful neutral surprised""",
    }.items()
}
"""NOTICE's adjectives of feeling, by sentiment. A word is replaced by one of another sentiment."""


@dataclass(frozen=True)
class Label:
    """A word that is true of the pictures in one folder, and false of those in another."""

    correct: str
    incorrect: str
    clean: str
    corrupt: str
    asked: str
    family: str


Instead = Callable[[Label, random.Random], tuple[str, ...]]
"""Draws the two words that take the place of the options."""


def build_mit_states(config: CsvConfig) -> None:
    """Write the table of pairs: ``config.count`` of each of ``STATES``, in turn of every adjective.

    Raises:
        RecordError: there are no such folders.
    """
    state_of = {word: state for state, words in STATES.items() for word in words}
    pictures, labels = _folders(config), []
    known = [tuple(name.split(" ", 1)) for name in pictures if name.split(" ", 1)[0] in state_of and " " in name]
    for one, noun in known:
        for other in (word for word, same in known if same == noun and word != one and not alike(one, word)):
            asked = f"{'Are these' if several(noun) else 'Is this'} {noun} {{}} or {{}}?"
            labels.append(Label(one, other, f"{one} {noun}", f"{other} {noun}", asked, state_of[one]))

    def instead(label: Label, rng: random.Random) -> tuple[str, ...]:
        options = (label.correct, label.incorrect)
        free = [word for word in state_of if not any(alike(word, option) for option in options)]
        first = others_for(options, [free], rng)
        return (*first, *others_for((*options, *first), [[w for w in free if not alike(w, first[0])]], rng))

    _write(config, pictures, labels, instead)


def build_facial_expressions(config: CsvConfig) -> None:
    """Write the table of pairs: ``config.count`` of each emotion.

    Raises:
        RecordError: there are no such folders.
    """
    pictures = _folders(config)
    felt = {name: EMOTIONS.get(name.lower(), name.lower()) for name in pictures}
    sentiment_of = {word: sentiment for sentiment, words in SENTIMENTS.items() for word in words}
    known = [name for name in pictures if felt[name] in sentiment_of]
    asked = "Is this person feeling {} or {}?"
    labels = [Label(felt[a], felt[b], a, b, asked, felt[a]) for a in known for b in known if felt[a] != felt[b]]

    def instead(label: Label, rng: random.Random) -> tuple[str, ...]:
        options = (label.correct, label.incorrect)
        free = [[word for word in sentiment_of if sentiment_of[word] != sentiment_of[option]] for option in options]
        return others_for(options, free, rng)

    _write(config, pictures, labels, instead)


def alike(one: str, other: str) -> bool:
    """Tell whether two adjectives may be true of the same thing."""
    return one == other or any({one, other} <= set(words.split()) for words in SYNONYMS.split(","))


def _folders(config: CsvConfig) -> dict[str, list[Path]]:
    """Return the pictures of each folder, by its name."""
    source = Path(config.source)
    if not config.source or not source.is_dir():
        raise RecordError(f"source is {config.source!r}, which has no folders of pictures; download the set first")
    found = {
        folder.name: [path for path in sorted(folder.iterdir()) if path.suffix.lower() in ENDINGS]
        for folder in sorted(source.iterdir())
        if folder.is_dir()
    }
    return {name: pictures for name, pictures in found.items() if pictures}


def _write(config: CsvConfig, pictures: Mapping[str, list[Path]], labels: Sequence[Label], instead: Instead) -> None:
    rng = random.Random(config.seed)
    drafts = [
        Draft(clean, corrupt, label.asked, label.correct, label.incorrect, instead(label, rng), label.family)
        for label, clean, corrupt in draw(pictures, labels, config.count, rng)
    ]
    if not drafts:
        raise RecordError(f"no two folders under {config.source} make a pair; is it the set that build names?")
    root = Path(config.images or Path(config.path).parent)
    write_table(drafts, Path(config.path), root)


def draw(
    pictures: Mapping[str, list[Path]], labels: Sequence[Label], count: int, rng: random.Random
) -> list[tuple[Label, Path, Path]]:
    """Draw labels and two pictures for each, in turn of every right word, and no picture twice.

    Args:
        pictures: by folder.
        labels: what can be asked.
        count: at most so many of each family; 0 draws until no pictures are left.
        rng: of the order.
    """
    left = {name: rng.sample(some, len(some)) for name, some in pictures.items()}
    asked: dict[str, list[Label]] = {}
    for label in labels:
        asked.setdefault(label.correct, []).append(label)
    words = deque((word, deque(rng.sample(some, len(some)))) for word, some in sorted(asked.items()))
    rng.shuffle(words)
    made: Counter[str] = Counter()
    drawn = []
    while words:
        word, turn = words.popleft()
        while turn and not (left[turn[0].clean] and left[turn[0].corrupt]):
            turn.popleft()
        if not turn or (count and made[turn[0].family] >= count):
            continue
        label = turn[0]
        turn.rotate(-1)
        drawn.append((label, left[label.clean].pop(), left[label.corrupt].pop()))
        made[label.family] += 1
        words.append((word, turn))
    return drawn
