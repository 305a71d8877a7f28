"""The result of a review on the terminal."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from datagen.paint.yield_show import console, precision_text, with_interval
from datagen.paint.yields import Yield
from spatial.proportion import percent
from vsre.review.answers import ALL, Precision


def print_table(lines: Sequence[Precision], verifier: Mapping[str, Yield]) -> None:
    """Print right labels by relation, beside what the verifier's calibration lets expect where that is known."""
    table = Table("relation", title="Labels that people found right, in % with 95 % intervals", title_justify="left")
    for head in ("judged", "right", "right labels", "unsure", "unsure as wrong"):
        table.add_column(head, justify="right")
    if verifier:
        table.add_column("verifier expects", justify="right")
    for line in lines:
        if line.relation == ALL:
            table.add_section()
        cells = [str(line.decided), str(line.right), with_interval(line.precision), str(line.unsure)]
        cells.append(percent(line.cautious))
        if verifier:
            expected = verifier.get(line.relation)
            cells.append(precision_text(expected) if expected else "-")
        table.add_row(line.relation, *cells)
    console().print(table)
