"""The entries of ``data``: dataset folders and files of conversations."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from spatial.dataset import DatasetFolder
from spatial.errors import ConfigError
from training.config import ANSWERING, TrainConfig
from training.conversation_file import SUFFIXES, ConversationFile

Source = DatasetFolder | ConversationFile


def open_sources(config: TrainConfig) -> list[Source]:
    """Open what ``data`` names, in its order; nothing large is read.

    Raises:
        ConfigError: the stage, or cached features, cannot take conversations.
        RecordError: something does not exist.
    """
    sources = [_open(path, config.images) for path in config.data]
    talks = conversations_in(sources)
    if talks and config.stage not in ANSWERING:
        raise ConfigError(f"stage '{config.stage}' learns from dataset folders; take {talks[0].path} out of 'data'")
    if talks and config.features:
        raise ConfigError(f"features are cached of dataset folders only, not of {talks[0].path}; remove 'features'")
    return sources


def folders_in(sources: Iterable[Source]) -> list[DatasetFolder]:
    """Return the dataset folders."""
    return [source for source in sources if isinstance(source, DatasetFolder)]


def conversations_in(sources: Sequence[Source]) -> list[ConversationFile]:
    """Return the files of conversations."""
    return [source for source in sources if isinstance(source, ConversationFile)]


def _open(path: str, images: str) -> Source:
    return ConversationFile(path, images) if Path(path).suffix in SUFFIXES else DatasetFolder(path)
