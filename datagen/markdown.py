"""Tables and shares as the card of a dataset writes them."""

from collections.abc import Sequence

Cells = Sequence[object]


def table(head: tuple[str, ...], rows: Sequence[Cells]) -> list[str]:
    """Return the lines of a Markdown table."""
    body = [f"| {' | '.join(map(str, row))} |" for row in rows]
    return [f"| {' | '.join(head)} |", "|" + " --- |" * len(head), *body]


def share(part: int, whole: int) -> str:
    """Return a part of a whole in percent."""
    return f"{part / whole:.1%}" if whole else "-"
