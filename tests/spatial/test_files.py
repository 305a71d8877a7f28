import json
from pathlib import Path

import pytest

from spatial.errors import ConfigError
from spatial.files import atomic, atomic_folder, write_json


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


def test_two_writers_of_one_file_do_not_meet_though_their_process_numbers_are_equal(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    with atomic(path) as first, atomic(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new"
    (tmp_path / ".new.partial").mkdir()
    (tmp_path / ".new.partial" / "left by a kill").touch()
    with pytest.raises(OSError, match="No space left"), atomic_folder(path) as temporary:
        (temporary / "half").touch()
        raise OSError("No space left on device")
    assert not list(tmp_path.iterdir())
    with atomic_folder(path) as temporary:
        (temporary / "part").touch()
        assert not path.exists()
    assert [found.name for found in tmp_path.rglob("*")] == ["new", "part"]


def test_a_folder_that_holds_something_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(ConfigError, match="another process meanwhile"), atomic_folder(tmp_path / "full"):
        pass
    assert [found.name for found in tmp_path.rglob("*")] == ["full", "mine"]


def test_two_writers_of_a_folder_never_share_it(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with atomic_folder(path) as one:
        (one / "file").write_text("of the first")
        with pytest.raises(ConfigError, match=r"out is being written by another process"), atomic_folder(path):
            raise AssertionError
        assert (one / "file").exists(), "the second has taken away what the first had written"
    assert [file.name for file in path.iterdir()] == ["file"]


def test_what_a_killed_writer_left_of_a_folder_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".out.partial"
    (left / "deep").mkdir(parents=True)
    (left / "deep" / "file").write_text("half")
    (left / "link").symlink_to(tmp_path)
    with atomic_folder(tmp_path / "out") as folder:
        (folder / "new").touch()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["new"] and not left.exists()
