"""The reliability suite: fault after fault is put into real commands, and a table tells what became of them.

    python -m tests.chaos [--only PATTERN] [--seed N] [--faults N] [--out DIR] [--again] [--list]

It writes ``chaos.md`` and ``results.json`` into ``runs/chaos``, and goes on where it was stopped. ``--faults`` bounds
how many are tried: a sample drawn by the seed. It ends with code 1 if a fault was not survived; the folder of each such
fault is kept, with what its commands printed.
"""

import argparse
import random
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path

from tests.chaos import table
from tests.chaos.bench import LOST, Bench, Defect, Fault
from tests.chaos.made import make
from tests.chaos.plan import all_faults
from tests.forked import ROOT, preload


@dataclass
class Tried:
    """What became of one fault; ``defect`` is empty where it was survived."""

    kind: str
    stage: str
    name: str
    survived: str
    defect: str
    told: str
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the faults that are left and write the table; return 0 if all were survived."""
    given = _parser().parse_args(arguments)
    faults = [fault for fault in all_faults() if fnmatch(fault.key, given.only or "*")]
    if 0 < given.faults < len(faults):
        faults = sorted(random.Random(given.seed).sample(faults, given.faults), key=lambda fault: fault.key)
    if given.list:
        print("\n".join(fault.key for fault in faults))
        return 0
    if not faults:
        print(f"no fault is called {given.only!r}; --list names all", file=sys.stderr)
        return 2
    out = Path(given.out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    file = out / "results.json"
    tried = {} if given.again else table.read(file, given.seed, Tried)
    print("importing everything once", file=sys.stderr, flush=True)
    preload()
    make(out / "made")
    _try_all([fault for fault in faults if fault.key not in tried], tried, out, given.seed)
    shown = [tried[fault.key] for fault in faults]
    text = table.markdown(shown, given.seed)
    (out / "chaos.md").write_text(text, encoding="utf-8")
    print(text)
    return int(any(it.defect for it in shown))


def _try_all(faults: Sequence[Fault], tried: dict[str, Tried], out: Path, seed: int) -> None:
    from tqdm import tqdm

    tqdm.monitor_interval = 0  # a thread beside this one would be lost in children
    bar = tqdm(faults, unit="fault", desc="faults", mininterval=1)
    for fault in bar:
        bar.set_postfix_str(fault.key[:60])
        tried[fault.key] = one = _try(fault, out, seed)
        if one.defect:
            bar.write(f"{fault.key}: {one.told}")
        table.write(out / "results.json", seed, {key: asdict(it) for key, it in tried.items()})


def _try(fault: Fault, out: Path, seed: int) -> Tried:
    folder = out / "work" / "".join(sign if sign.isalnum() else "-" for sign in fault.key)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    started = time.monotonic()
    survived, defect, told = "", "", ""
    try:
        survived = fault.run(Bench(folder, out / "made", random.Random(f"{seed}/{fault.key}")), *fault.given)
    except Defect as error:
        defect, told = error.kind, str(error)
    except Exception as error:
        defect, told = LOST, f"the suite itself fails: {type(error).__name__}: {error}"
    if not defect:
        shutil.rmtree(folder, ignore_errors=True)
    seconds = round(time.monotonic() - started, 2)
    return Tried(fault.kind, fault.stage, fault.name, survived, defect, told, seconds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="the reliability suite")
    parser.add_argument("--only", default="", help="pattern of kind/stage/name, such as 'kill/train*'")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", type=int, default=0, help="try so many, drawn by the seed; 0: all")
    parser.add_argument("--out", default=str(ROOT / "runs" / "chaos"))
    parser.add_argument("--again", action="store_true", help="forget what was tried")
    parser.add_argument("--list", action="store_true", help="only name the faults")
    return parser


if __name__ == "__main__":
    sys.exit(main())
