"""Put what ``vsre calibrate`` found of the shipped verifier beside it, and into its card.

    .venv/bin/vsre datagen configs/datagen/calibration.yaml
    .venv/bin/vsre calibrate configs/calibrate/tiny.yaml
    .venv/bin/python scripts/ship_calibration.py runs/calibration tiny-verifier --config configs/calibrate/tiny.yaml

``verify.calibration: tiny-verifier`` then names it. Weights that are shipped anew need a calibration of their own.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from datagen.verify.calibration import FILE
from scripts.ship_model import percentage, write_sums
from vsre.assets import ASSETS

HEAD = "\n## Calibration\n"

SECTION = """
By `vsre calibrate {config}` on renders of content hash `{data}`: {faithful}
of {n} faithful pictures are accepted ({low:.1f}-{high:.1f} %).

| fault | n | rejected, % |
| --- | --- | --- |
{faults}

A relation is accepted automatically if, with 95 % certainty, less than {most_wrong:.0f} % of its wrong pictures are
accepted.

| relation | right pictures | accepted, % | wrong pictures | accepted, % | accepted automatically |
| --- | --- | --- | --- | --- | --- |
{relations}
"""


def section(content: dict[str, Any], config: str) -> str:
    """Return the card's section about a calibration."""
    faithful = content["faithful"]
    low, high = faithful["ci95"]
    return HEAD + SECTION.format(
        config=config,
        data=content["data"],
        faithful=f"{100 * faithful['share']:.1f} %",
        n=faithful["n"],
        low=100 * low,
        high=100 * high,
        most_wrong=100 * content["most_wrong"],
        faults="\n".join(
            f"| {name} | {row['n']} | {percentage(row['share'], row['ci95'])} |"
            for name, row in content["faults"].items()
        ),
        relations="\n".join(_line(name, row) for name, row in content["relations"].items()),
    )


def _line(name: str, row: dict[str, Any]) -> str:
    counts = [f"{part['n']} | {percentage(part['share'], part['ci95'])}" for part in (row["right"], row["wrong"])]
    trusted = "yes" if row["trusted"] else f"no: {row['why_not']}"
    return f"| {name} | {' | '.join(counts)} | {trusted} |"


def ship(folder: Path, name: str, config: str) -> Path:
    """Copy the calibration into ``vsre/assets/<name>``, renew its card and checksums, and return it."""
    out = ASSETS / name
    shutil.copyfile(folder / FILE, out / FILE)
    card = out / "README.md"
    text = card.read_text("utf-8").partition(HEAD)[0].rstrip("\n") + "\n"
    card.write_text(text + section(json.loads((out / FILE).read_text("utf-8")), config), "utf-8")
    write_sums(out)
    return out


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of 'vsre calibrate'")
    parser.add_argument("name", help="of the shipped verifier")
    parser.add_argument("--config", required=True, help="the settings file that measured it")
    arguments = parser.parse_args()
    print(ship(arguments.folder, arguments.name, arguments.config))


if __name__ == "__main__":
    main()
