"""NOTICE's three sets (arXiv 2406.16320) by name, and what makes a table of pairs from what their authors publish."""

from collections.abc import Callable

from eval.config import CsvConfig
from eval.interpret.build_folders import build_facial_expressions, build_mit_states
from eval.interpret.build_svo import build_svo_probes

BUILDERS: dict[str, Callable[[CsvConfig], None]] = {
    "svo-probes": build_svo_probes,
    "mit-states": build_mit_states,
    "facial-expressions": build_facial_expressions,
}
"""Writes ``config.path``, from ``config.source`` and the pictures under ``config.images``."""
