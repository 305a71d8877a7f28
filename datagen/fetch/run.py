"""``vsre fetch NAME``: the table of data sets that can be fetched."""

from collections.abc import Callable
from pathlib import Path

from datagen.fetch.benchmarks import fetch_benchmark
from datagen.fetch.config import FetchConfig, with_folder
from datagen.fetch.vsr import fetch_vsr
from spatial.benchmarks import RELEASED
from spatial.errors import ConfigError, nearest

DATASETS: dict[str, Callable[[FetchConfig], Path | None]] = {
    "vsr": fetch_vsr,
    **dict.fromkeys(RELEASED, fetch_benchmark),
}


def fetch(config: FetchConfig) -> Path | None:
    """Fetch the data set that ``config.dataset`` names.

    Returns:
        The folder it is in; nothing for a dry run.

    Raises:
        ConfigError: no data set is called so, or a setting cannot be used.
        RecordError: files could not be had; the message names the command that continues.
    """
    known = ", ".join(DATASETS)
    if not config.dataset:
        raise ConfigError(f"name the data set to fetch, as in 'vsre fetch vsr'; known: {known}")
    if config.dataset not in DATASETS:
        raise ConfigError(
            f"no data set is called {config.dataset!r}; known: {known}{nearest(config.dataset, DATASETS)}"
        )
    return DATASETS[config.dataset](with_folder(config))
