"""Tables of text as Markdown and LaTeX."""

from collections.abc import Mapping, Sequence

Cells = tuple[Sequence[str], Sequence[Sequence[str]]]
"""Heads of the columns, and rows."""

TITLES = {
    "scores": "Scores of statements about relations; intervals of 95 %, clustered by image",
    "pairs": "Every two compared on the same questions: exact McNemar, adjusted after Holm; * below 0.05",
    "relations": "The first and the last, relation by relation",
}

_SPECIAL = {"\\": r"\textbackslash{}", "→": r"$\rightarrow$"}
_SPECIAL |= {sign: f"\\{sign}" for sign in "&%$#_{}"}
_SPECIAL |= {"<": "$<$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def markdown(tables: Mapping[str, Cells]) -> str:
    """Return the tables one after another, each under its title."""
    parts = []
    for name, (head, body) in tables.items():
        rule = ["---", *["---:"] * (len(head) - 1)]
        lines = [_line(row) for row in (head, rule, *body)]
        parts.append("\n".join([f"**{TITLES[name]}**", "", *lines]))
    return "\n\n".join(parts) + "\n"


def latex(tables: Mapping[str, Cells]) -> str:
    """Return the tables for \\usepackage{booktabs}."""
    parts = []
    for name, (head, body) in tables.items():
        rows = [" & ".join(map(escaped, row)) + r" \\" for row in body]
        lines = [
            r"\begin{table}",
            rf"\caption{{{escaped(TITLES[name])}.}}",
            rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
            r"\toprule",
            " & ".join(map(escaped, head)) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Return a text with the characters that LaTeX would take for commands."""
    return "".join(_SPECIAL.get(sign, sign) for sign in text)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
