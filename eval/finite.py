"""What JSON can hold of results: a number that is not finite is not known."""

import math
from typing import Any


def finite(value: Any) -> Any:
    """Return mappings and lists with null for every number in them that is not finite."""
    if isinstance(value, dict):
        return {key: finite(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [finite(own) for own in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
