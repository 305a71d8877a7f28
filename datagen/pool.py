"""Processes that draw for this one, and end when it does: also when it is killed or interrupted.

A forked worker that waits for work would wait for ever, since it holds both ends of the pipe that work comes through.
"""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from threading import Thread

from datagen.assets.folder import add_assets_of

WATCH = 1.0
"""Seconds after which a worker looks again whether it still has a parent."""


@contextmanager
def drawing_pool(workers: int, assets: str) -> Iterator[ProcessPoolExecutor]:
    """Give the block a pool of processes that know the objects of the folder ``assets``.

    After an error what is under way is finished and nothing else is begun; whoever interrupts does not wait for it.
    """
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(workers, initializer=_begin, initargs=(assets,)) as pool:
        try:
            yield pool
        except Exception:
            pool.shutdown(cancel_futures=True)
            raise
        except BaseException:
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            pool.shutdown(cancel_futures=True)
            raise


def _begin(assets: str) -> None:
    # A keyboard interrupt reaches all processes; one of them tells the user, and that is not a worker.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    Thread(target=_end_with_parent, name="watch parent", daemon=True).start()
    add_assets_of(assets)


def _end_with_parent() -> None:
    """Wait until the parent is gone, and end this process."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    # Workers that were forked later hold the pipe that tells of the parent's end; its number tells sooner.
    forked = os.getppid() == parent.pid
    while parent.is_alive() and (not forked or os.getppid() == parent.pid):
        parent.join(WATCH)
    os._exit(1)
