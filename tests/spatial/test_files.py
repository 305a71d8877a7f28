import json
from pathlib import Path

import pytest

from spatial.files import atomic, write_json


def test_json_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_json(path, {"n": 1})
    with pytest.raises(TypeError):
        write_json(path, {"n": object()})
    assert json.loads(path.read_text()) == {"n": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_json_is_what_any_reader_can_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "results.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "part.parquet"
    with atomic(path) as temporary:
        temporary.write_bytes(b"old")
    with pytest.raises(OSError, match="No space left"), atomic(path) as temporary:
        temporary.write_bytes(b"half of the n")
        raise OSError("No space left on device")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]
