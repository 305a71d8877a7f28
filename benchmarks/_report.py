"""What all benchmarks share: their options, what they say of the machine, and the line of JSON that they end with."""

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any


def options(description: str | None, quick: str) -> argparse.Namespace:
    """Return the options of a benchmark: ``quick``, and ``out`` or none.

    Args:
        description: of the benchmark.
        quick: what it does then.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    return parser.parse_args()


def machine() -> dict[str, Any]:
    """Return what a benchmark runs on; asked before it starts, "load" is what the machine did for others."""
    processor = platform.processor() or platform.machine()
    return {"cpu": processor, "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}


def finish(result: dict[str, Any], out: Path | None) -> None:
    """Print what was found as one line of JSON, and write it if asked to."""
    line = json.dumps(result)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(line + "\n")
    print(line)
