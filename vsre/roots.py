"""Where the six packages come from: names like ``eval`` and ``training`` are easily shadowed by another project.

vsre is an application installed editable into its own environment, so all six must lie under one root.
Looking them up imports none of them.
"""

from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("spatial", "encoders", "datagen", "training", "eval", "vsre")
MEND = f"run from {ROOT}, or reinstall with 'pip install -e {ROOT}' in an environment without that package"


def foreign_packages() -> list[str]:
    """Return one line for each of the six packages that Python does not find directly under ``ROOT``."""
    lines = []
    for package in PACKAGES:
        spec = find_spec(package)
        places = {Path(place).resolve() for place in (spec.submodule_search_locations or [])} if spec else set()
        if places != {ROOT / package}:
            found = ", ".join(sorted(map(str, places))) or "no place"
            lines.append(f"package {package!r} is found in {found} and not under {ROOT}; {MEND}")
    return lines
