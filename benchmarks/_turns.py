"""Contestants that take turns step by step in one process, so that a machine's moods meet all of them alike."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from transformers import TrainerCallback

WARM_UP = 2
"""Steps that are not counted."""

Step = Callable[[], None]


def take_turns(contestants: dict[str, Callable[[Step], None]]) -> dict[str, list[float]]:
    """Run contestants in turns, step by step, and return the seconds of each one's steps after its first ones.

    Each gets a function to call at the end of a step; it hands the turn on and comes back with the next.
    """
    turns = {name: threading.Semaphore(0) for name in contestants}
    order, seconds, failures = list(contestants), {name: [] for name in contestants}, []
    running = set(order)

    def hand_on(name: str) -> None:
        after = order[order.index(name) + 1 :] + order[: order.index(name) + 1]
        following = next((other for other in after if other in running), None)
        if following:
            turns[following].release()

    def contest(name: str) -> None:
        began = 0.0

        def step_ended() -> None:
            nonlocal began
            seconds[name].append(time.perf_counter() - began)
            hand_on(name)
            turns[name].acquire()
            began = time.perf_counter()

        turns[name].acquire()
        began = time.perf_counter()
        try:
            contestants[name](step_ended)
        except BaseException as error:
            failures.append(error)
        running.discard(name)
        hand_on(name)

    threads = [threading.Thread(target=contest, args=(name,), daemon=True) for name in contestants]
    for thread in threads:
        thread.start()
    turns[order[0]].release()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return {name: steps[WARM_UP:] for name, steps in seconds.items()}


class Turns(TrainerCallback):
    """Hand the turn on after each step of a Trainer; what it logs then belongs to its next step."""

    def __init__(self, step_ended: Step) -> None:
        self.step_ended = step_ended

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Wait for the next turn."""
        self.step_ended()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the trainers' own lines out of the table."""
    out, sys.stdout = sys.stdout, sys.stderr
    try:
        yield
    finally:
        sys.stdout = out
