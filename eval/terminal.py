"""Tables and numbers on the terminal, as all commands of this room show them."""

from collections.abc import Sequence

from rich.console import Console

from spatial.proportion import percent


def wide_console() -> Console:
    """Return a console for tables; a log file has no edge to wrap at."""
    console = Console()
    if not console.is_terminal:
        console.width = 160
    return console


def percent_range(bounds: Sequence[float] | None) -> str:
    """Return "48.6-51.2" of an interval of shares, or "-" where there is none."""
    return "-" if bounds is None else f"{percent(bounds[0])}-{percent(bounds[1])}"
