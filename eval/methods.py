"""What code a reading answers by, so that answers from before it was changed do not pass for its own."""

import inspect
from typing import Any

from eval.attention import RULES
from eval.decoders import Reading
from spatial.scene import digest


def method_hash(reading: Reading) -> str:
    """Return a hash of the classes of a reading and of its rule, with the functions of its module that the rule calls.

    What all readings share is not in it: that is the version's.
    """
    asked = type(reading), RULES.get(reading.rule)
    if asked not in _KNOWN:
        _KNOWN[asked] = _hash_of(*asked)
    return _KNOWN[asked]


_KNOWN: dict[tuple[type[Reading], Any], str] = {}


def _hash_of(kind: type[Reading], rule: Any) -> str:
    code = [_source(it) for it in kind.__mro__ if issubclass(it, Reading) and it is not Reading]
    return digest("\n".join([*code, *map(_source, _called(rule))]))


def _called(function: Any) -> list[Any]:
    """Return a function and those of its own module that it reaches by name, each once."""
    found, waiting = [], [function] if function is not None else []
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        found.append(one)
        if inspect.isfunction(one):
            named = (one.__globals__.get(name) for name in one.__code__.co_names)
            waiting += [it for it in named if inspect.isfunction(it) and it.__module__ == one.__module__]
    return found


def _source(thing: Any) -> str:
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):  # typed in, or not written in Python
        return repr(getattr(thing, "__qualname__", type(thing)))
