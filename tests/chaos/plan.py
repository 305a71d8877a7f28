"""All faults of the suite, in the order in which they are tried."""

from tests.chaos.bench import Fault
from tests.chaos.files import file_faults
from tests.chaos.fuzz import fuzz_faults
from tests.chaos.kills import kill_faults
from tests.chaos.names import path_faults
from tests.chaos.pictures import picture_faults
from tests.chaos.places import place_faults
from tests.chaos.rivals import rival_faults
from tests.chaos.settings import settings_faults
from tests.chaos.weights import number_faults, payload_faults

ROUNDS = 2
"""Kills at random of each stage."""


def all_faults() -> list[Fault]:
    """Return every fault once."""
    return [
        *kill_faults(ROUNDS),
        *settings_faults(),
        *file_faults(),
        *picture_faults(),
        *path_faults(),
        *payload_faults(),
        *number_faults(),
        *place_faults(),
        *rival_faults(),
        *fuzz_faults(),
    ]
