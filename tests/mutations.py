"""Valid files with some bytes changed, and what readers must make of them: a valid value, or our own error.

No other exception, no endless loop. Files with checksums must give the very value that they held, or be refused.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hypothesis import strategies as st
from PIL import Image

from spatial.dataset import DatasetFolder
from spatial.errors import UserError
from spatial.json_files import read_items, read_lines
from spatial.pictures import decode_image
from spatial.records import decode_mask

T = TypeVar("T")

Mutation = list[tuple[str, float, int, int]]
"""Changes: what is done, where in the file (0..1), a byte, and how many bytes are concerned."""

MUTATIONS = st.lists(
    st.tuples(
        st.sampled_from(("flip", "set", "cut", "drop", "repeat", "insert", "swap")),
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 255),
        st.integers(1, 64),
    ),
    min_size=1,
    max_size=4,
)


def mutated(data: bytes, mutation: Mutation) -> bytes:
    """Return a file with changes."""
    content = bytearray(data)
    for how, where, byte, count in mutation:
        at = int(where * len(content))
        if not content:
            break
        if how == "flip":
            content[at] ^= 1 << (byte % 8)
        elif how == "set":
            content[at : at + count] = bytes([byte]) * len(content[at : at + count])
        elif how == "cut":
            del content[at:]
        elif how == "drop":
            del content[at : at + count]
        elif how == "repeat":
            content[at:at] = content[at : at + count]
        elif how == "insert":
            content[at:at] = bytes([byte]) * count
        else:
            content[at : at + count] = content[at : at + count][::-1]
    return bytes(content)


def check_settings(folder: Path, whole: bytes, mutation: Mutation) -> None:
    """Read changed settings of ``vsre datagen`` as its command line does."""
    from vsre.settings import parse

    path = folder / "settings.yaml"
    path.write_bytes(mutated(whole, mutation))
    _ours(lambda: parse("datagen", [str(path)]))


def check_shard(folder: Path, part: str, mutation: Mutation) -> None:
    """Read a dataset with one changed shard: the same rows, or our error; checksums allow nothing between."""
    data = DatasetFolder(folder)
    read = data.read_records if part == "records" else data.read_images
    path = next((folder / part).glob("shard-*.parquet"))
    whole, expected = path.read_bytes(), repr(read(0))
    try:
        path.write_bytes(mutated(whole, mutation))
        found = _ours(lambda: repr(read(0)))
    finally:
        path.write_bytes(whole)
    assert found is None or found == expected, "other rows were read, and nobody was told"


def check_json(folder: Path, whole: bytes, mutation: Mutation) -> None:
    """Read a changed list of JSON, and changed lines of JSON."""
    path = folder / "rows.json"
    path.write_bytes(mutated(whole, mutation))
    _ours(lambda: list(read_items(path)))
    _ours(lambda: list(read_lines(path)))


def check_picture(whole: bytes, mutation: Mutation) -> None:
    """Decode a changed picture."""
    image = _ours(lambda: decode_image(mutated(whole, mutation), "changed"))
    assert image is None or image.mode == "RGB"


def check_mask(whole: bytes, mutation: Mutation) -> None:
    """Decode a changed mask."""
    text = mutated(whole, mutation).decode("latin-1")
    mask = _ours(lambda: decode_mask(text, 8, 8))
    assert mask is None or mask.shape == (8, 8)


def picture(kind: str) -> bytes:
    """Return a small picture file."""
    buffer = io.BytesIO()
    Image.radial_gradient("L").resize((24, 16)).convert("P" if kind == "GIF" else "RGB").save(buffer, format=kind)
    return buffer.getvalue()


KINDS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP")

MASK = b"10,20,4,10,20"

ROWS = b'[{"a": "x\\u00e9", "b": [1, 2.5, null, true]}, {"a": "y", "b": {"c": -3e-2}}]\n'

SETTINGS = b"""\
out: data/x
groups: 12
seed: 3
relations: [left of, "right of"]
weights: {left of: 1.0, right of: 2}
looks: plain
dense: true
engine: {name: tiny-depth, steps: 4, guidance: -1.0}
paint: {seeds_per_spec: 2}
"""


def _ours(read: Callable[[], T]) -> T | None:
    """Return what is read, or ``None`` where our own error refuses it."""
    try:
        return read()
    except UserError as error:
        assert "\n" not in str(error), "an error of ours is one line"
        return None
