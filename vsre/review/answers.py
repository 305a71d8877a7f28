"""What people answered, held against the data: the share of right labels by relation, beside what the verifier says."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spatial.errors import RecordError
from spatial.proportion import Proportion
from vsre.review.items import Item

ANSWERS = ("yes", "no", "unsure")

ALL = "all relations"


@dataclass(frozen=True)
class Answers:
    """A file that the page saved.

    Attributes:
        reviewer: who answered, if they said.
        data: content hash of the data.
        answers: statement to "yes", "no" or "unsure".
    """

    reviewer: str
    data: str
    answers: Mapping[str, str]


@dataclass(frozen=True)
class Precision:
    """What was answered about a relation.

    Attributes:
        relation: or ``ALL``.
        right: answers that say what the data say.
        wrong: answers that say the opposite.
        unsure: of which nobody could tell.
    """

    relation: str
    right: int
    wrong: int
    unsure: int

    @property
    def decided(self) -> int:
        """Statements that somebody could tell about."""
        return self.right + self.wrong

    @property
    def precision(self) -> Proportion:
        """Right labels among those that somebody could tell about."""
        return Proportion(self.right, self.decided)

    @property
    def cautious(self) -> float | None:
        """The share where what nobody could tell counts as wrong."""
        return Proportion(self.right, self.decided + self.unsure).value

    def as_json(self) -> dict[str, Any]:
        """Return it as ``review.json`` has it."""
        bounds = self.precision.ci95
        return {
            "relation": self.relation,
            "right": self.right,
            "wrong": self.wrong,
            "unsure": self.unsure,
            "precision": _rounded(self.precision.value),
            "ci95": [round(bound, 4) for bound in bounds] if bounds else None,
            "precision_unsure_as_wrong": _rounded(self.cautious),
        }


def read_answers(path: Path, content_hash: str, known: Mapping[str, Item]) -> Answers:
    """Read a file that the page saved.

    Args:
        path: of the file.
        content_hash: of the data that the answers must be about.
        known: statements of the data.

    Raises:
        RecordError: the file is missing, damaged, or about other data.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = Answers(str(content.get("reviewer", "")), str(content["data"]), dict(content["answers"]))
    except OSError as error:
        raise RecordError(f"answers {path} cannot be read ({error.strerror}); correct the path") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{path} is not what the page of 'vsre review' saves ({error!r}); save it again") from error
    if found.data != content_hash:
        raise RecordError(f"{path} is about other data ({found.data}, not {content_hash}); name the folder of the page")
    for record_id, answer in found.answers.items():
        if record_id not in known:
            raise RecordError(f"{path} answers {record_id}, which is no statement of the data; save the page again")
        if answer not in ANSWERS:
            raise RecordError(f"{path}: {answer!r} is no answer; use {', '.join(ANSWERS)}")
    if not found.answers:
        raise RecordError(f"{path} holds no answer; judge some statements on the page and save again")
    return found


def precision(answers: Mapping[str, str], known: Mapping[str, Item]) -> list[Precision]:
    """Return the share of right labels by relation, and last of all relations together."""
    by_relation: dict[str, list[str]] = defaultdict(list)
    for record_id, answer in answers.items():
        by_relation[known[record_id].relation].append(_outcome(answer, known[record_id]))
    lines = [_counted(relation, by_relation[relation]) for relation in sorted(by_relation)]
    return [*lines, _counted(ALL, [outcome for outcomes in by_relation.values() for outcome in outcomes])]


def wrong_ones(answers: Mapping[str, str], known: Mapping[str, Item]) -> list[Item]:
    """Return the statements whose label was found to be wrong."""
    found = [known[record_id] for record_id in sorted(answers)]
    return [item for item in found if _outcome(answers[item.record_id], item) == "wrong"]


def _outcome(answer: str, item: Item) -> str:
    if answer == "unsure":
        return "unsure"
    return "right" if (answer == "yes") == (item.answer == "true") else "wrong"


def _counted(relation: str, outcomes: Sequence[str]) -> Precision:
    return Precision(relation, *(outcomes.count(word) for word in ("right", "wrong", "unsure")))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def pooled(lines: Iterable[Answers]) -> dict[str, str]:
    """Return the answers of several people; where they differ, nobody can tell."""
    votes: dict[str, set[str]] = defaultdict(set)
    for it in lines:
        for record_id, answer in it.answers.items():
            votes[record_id].add(answer)
    return {record_id: next(iter(said)) if len(said) == 1 else "unsure" for record_id, said in votes.items()}
