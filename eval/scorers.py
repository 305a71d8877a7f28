"""Three ways of reading one answer, side by side: the likeliest option, what the words say, what the words contain.

How far they agree tells how much of a score is the model's and how much is the scorer's.
"""

from collections.abc import Callable, Iterable
from typing import Any

from eval.metrics import Rows, scored
from eval.predictions import Prediction

SCORERS: dict[str, Callable[[Prediction], bool]] = {
    "option": lambda row: row.correct,
    "words": lambda row: row.parsed == row.answer,
    "containment": lambda row: row.contained,
}
"""By name, whether a row is right: its likeliest option, the option that its words name, the released code's rule."""


def compare_scorers(rows: Rows) -> dict[str, Any] | None:
    """Return how the scorers read the answers that were written; ``None`` where none was.

    The keys are "accuracy" by scorer; "unparsed" (share of answers whose words name no one option) and "outcomes"
    (share of each outcome); "disagreement" (share of the others whose words name another option than the likeliest);
    "one_word" (share of answers of one word); and ``acc_t`` and ``acc_a`` of VSRE: right by their words among all, and
    among those whose words name an option.
    """
    written = [row for row in scored(rows) if row.outcome]
    if not written:
        return None
    parsed = [row for row in written if row.outcome == "parsed"]
    right = [SCORERS["words"](row) for row in parsed]
    outcomes = sorted({row.outcome for row in written})
    return {
        "n": len(written),
        "accuracy": {name: _share(map(is_right, written)) for name, is_right in SCORERS.items()},
        "unparsed": 1 - len(parsed) / len(written),
        "outcomes": {name: _share(row.outcome == name for row in written) for name in outcomes},
        "disagreement": _share(row.parsed != row.predicted for row in parsed),
        "one_word": _share(map(_is_one_word, written)),
        "acc_t": sum(right) / len(written),
        "acc_a": _share(right),
    }


def option_bias(rows: Rows) -> dict[str, dict[str, float | None]]:
    """Return for each option how often it is the answer given, and how often the right one ("never says on")."""
    known = scored(rows)
    options = sorted({option for row in known for option in row.options})
    asked = {option: [row for row in known if option in row.options] for option in options}
    return {
        option: {
            "said": _share(row.predicted == option for row in rows),
            "right": _share(row.answer == option for row in rows),
            "recall": _share(row.correct for row in rows if row.answer == option),
        }
        for option, rows in asked.items()
    }


def format_shift(pairs: Iterable[tuple[Prediction, Prediction]]) -> float | None:
    """Return the share of questions that one run answers in one word and the other in several, of those in words."""
    return _share(_is_one_word(a) != _is_one_word(b) for a, b in pairs if a.outcome and b.outcome)


def _is_one_word(row: Prediction) -> bool:
    return len(row.generated.split()) == 1


def _share(found: Iterable[bool]) -> float | None:
    known = list(found)
    return sum(known) / len(known) if known else None
