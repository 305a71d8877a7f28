"""One evaluation in several processes: which answers what, and which finishes.

All plan the same batches, and each answers its own of them, by turns, into part files that all can read. What is
answered does not depend on who does it, so that any number of processes goes on where others were killed, with the very
same numbers. Processes of one launcher wait for each other, and the first one finishes; jobs of an array do not, and
whichever finds everything answered finishes.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from encoders.launch import SAID, process_place
from eval.config import EvalConfig
from spatial.errors import UserError

FAILED = "vsre/failed"
POLL_SECONDS = 0.1
LINGER_SECONDS = 3.0


@dataclass(frozen=True)
class Share:
    """The batches of one process, every ``count``-th from ``index`` on.

    Attributes:
        index: of the process among all of all jobs.
        count: of processes in all jobs.
        first: whether it is the first of its job: the one that speaks, and finishes.
    """

    index: int
    count: int
    first: bool


def own_share(config: EvalConfig) -> Share:
    """Return the share of this process of this job."""
    rank, processes = process_place()
    return Share(config.rank * processes + rank, config.world * processes, rank == 0)


@contextmanager
def launched_together() -> Iterator[Callable[[], None]]:
    """Give the block a function by which the first process of a launcher waits until all have called it.

    What several processes do wrong, the first one to fail says.

    Raises:
        SystemExit: another process fails, too, and has said so.
    """
    rank, processes = process_place()
    if processes == 1:
        yield lambda: None
        return
    from torch.distributed import DistNetworkError
    from torch.distributed.rendezvous import rendezvous

    store, _, _ = next(rendezvous("env://"))
    names = [f"vsre/done/{index}" for index in range(processes)]

    def wait() -> None:
        try:
            store.set(names[rank], "")
            store.check(names)  # answers, so that a store that is gone is noticed
        except DistNetworkError as error:  # the first process, which may keep the store, has failed and said why
            raise SystemExit(SAID[0]) from error
        while rank == 0 and not store.check(names):  # not store.wait, which no interrupt ends
            if store.check([FAILED]):
                raise SystemExit(SAID[0])
            time.sleep(POLL_SECONDS)

    try:
        yield wait
    except UserError as error:
        try:
            said = store.add(FAILED, 1) > 1
        except DistNetworkError:
            said = False
        if said:
            raise SystemExit(SAID[0]) from error
        if rank == 0:
            _linger(lambda: store.add(FAILED, 0) == processes)
        raise


def _linger(until: Callable[[], bool]) -> None:
    """Keep the store, which may be in this process, for others that fail of the same at the same time."""
    deadline = time.monotonic() + LINGER_SECONDS
    while not until() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
