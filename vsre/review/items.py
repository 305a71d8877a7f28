"""What people are asked: statements about relations, as many of each relation, no picture twice, in mixed order."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from spatial.records import Record
from spatial.scene import digest


@dataclass(frozen=True)
class Item:
    """A statement that somebody is asked about; the page does not say what the data hold of it.

    Attributes:
        record_id: of the statement.
        image_id: of its picture.
        relation: that it is about.
        caption: the sentence.
        answer: "true" or "false", as the data say.
    """

    record_id: str
    image_id: str
    relation: str
    caption: str
    answer: str


def statements(records: Iterable[Record]) -> dict[str, Item]:
    """Return the statements about relations by identifier."""
    return {
        record.record_id: Item(record.record_id, record.image_id, record.relation, record.caption, record.answer)
        for record in records
        if (record.task, record.topic) == ("statement", "relation")
    }


def choose(items: Iterable[Item], per_relation: int, limit: int, seed: int) -> list[Item]:
    """Return the statements to ask about, in the order in which they are asked.

    Relations take turns, and so do true and false statements of each; a picture is asked about once. The choice depends
    on the statements and the seed, not on the order of the data.

    Args:
        items: to choose from.
        per_relation: statements about each relation; 0 for as many as there are.
        limit: largest number of statements; 0 for no limit.
        seed: which are chosen, and in what order they are asked.
    """
    by_relation: dict[str, list[Item]] = {}
    for item in sorted(items, key=lambda item: digest(f"{seed}/{item.record_id}")):
        by_relation.setdefault(item.relation, []).append(item)
    # Every other relation begins with a false statement, so that a small draw holds as many of both.
    queues = {name: _alternating(by_relation[name], place % 2) for place, name in enumerate(sorted(by_relation))}
    shown: set[str] = set()
    chosen: list[Item] = []
    for _ in range(per_relation or max(map(len, queues.values()), default=0)):
        for queue in queues.values():
            while queue and queue[0].image_id in shown:
                queue.popleft()
            if queue:
                shown.add(queue[0].image_id)
                chosen.append(queue.popleft())
    return sorted(chosen[: limit or None], key=lambda item: digest(f"{seed}/asked/{item.record_id}"))


def _alternating(items: Sequence[Item], false_first: int) -> deque[Item]:
    """Return true and false statements in turns."""
    kinds = [[item for item in items if item.answer == answer] for answer in ("true", "false")]
    pairs = zip_longest(*(reversed(kinds) if false_first else kinds))
    return deque(item for pair in pairs for item in pair if item is not None)
