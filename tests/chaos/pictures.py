"""Pictures of odd kinds, which must be read, and broken ones, which must be named, in every reader of pictures."""

import io
import json
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from tests.chaos.bench import NAMED, READ, TRACED, WRONG, Bench, Defect, Fault, check_refused, last_lines
from tests.chaos.made import TRAIN


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def gradient(mode: str = "RGB") -> Image.Image:
    pixels = np.arange(48 * 40 * 3, dtype=np.uint32).reshape(40, 48, 3) * 7 % 256
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def _bomb() -> bytes:
    """Return a PNG that says it has 60,000 by 60,000 pixels, and has packed rows of them."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(10_000_000), 9)), (b"IEND", b""))
    )


def _animation() -> bytes:
    frames = [gradient(), Image.new("RGB", (48, 40), "red")]
    return _saved(frames[0], "GIF", save_all=True, append_images=frames[1:])


def _turned() -> bytes:
    exif = Image.Exif()
    exif[274] = 6
    return _saved(gradient(), "JPEG", exif=exif)


def _palette() -> bytes:
    image = gradient().quantize(8)
    return _saved(image, "PNG", transparency=0)


ODD: dict[str, Callable[[], bytes]] = {
    "CMYK": lambda: _saved(gradient("CMYK"), "JPEG"),
    "16 bits": lambda: _saved(Image.fromarray((np.arange(1920, dtype=np.uint16) * 30).reshape(40, 48)), "PNG"),
    "a palette with transparency": _palette,
    "turned by EXIF": _turned,
    "an animated GIF": _animation,
    "one bit": lambda: _saved(gradient("1"), "PNG"),
    "grey with alpha": lambda: _saved(gradient("LA"), "PNG"),
}

BROKEN: dict[str, Callable[[], bytes]] = {
    "an HTML page": lambda: b"<!DOCTYPE html><html><body>404: not found</body></html>",
    "empty": lambda: b"",
    "cut short": lambda: _saved(gradient(), "JPEG")[:700],
    "a PNG cut in its pixels": lambda: _saved(gradient(), "PNG")[:120],
    "a bomb of 60,000 x 60,000": _bomb,
    "an EPS program": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(marker) (w) file\n",
    "an SVG with a link": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
}

VSR_EVAL = (
    "eval",
    "--data.kind=vsr",
    "--data.annotations=given/mine.test.jsonl",
    "--data.images=given",
    "--data.split=test",
    "--data.variant=mine",
    "--nproc=1",
    "--templates=[question]",
    "--bootstrap=50",
    "--out=out",
)
IMPORT_VSR = ("import-vsr", "--annotations=given", "--images=given", "--splits=[mine]", "--out=out")
TALK = (*TRAIN, "--data=[given/train.json]", "--images=given/images", "--out=out")


def _vsr(bench: Bench) -> Path:
    return bench.copy("vsr", "given") / "train2017" / "000000000003.jpg"


def _llava(bench: Bench) -> Path:
    given = bench.copy("as-llava", "given")
    rows = json.loads((given / "train.json").read_text(encoding="utf-8"))
    return given / "images" / Path(rows[0]["image"]).name if (given / "images").is_dir() else given / rows[0]["image"]


def _parquet(bench: Bench) -> Path:
    """Return a file whose bytes ``_into_dataset`` puts into the first image of a dataset."""
    bench.copy("data", "given")
    return bench.folder / "picture"


def _into_dataset(bench: Bench) -> None:
    from spatial.dataset import DatasetFolder, write_shard

    folder = DatasetFolder(bench.folder / "given")
    images, records = folder.read_images(0), folder.read_records(0)
    images[0] = replace(images[0], image=(bench.folder / "picture").read_bytes())
    write_shard(bench.folder / "given", 0, images, records)


def csv_folder(bench: Bench) -> Path:
    given = bench.folder / "given"
    given.mkdir()
    for name, shift in (("a.png", 0), ("b.png", 90), ("c.png", 160)):
        pixels = np.roll(np.asarray(gradient()), shift, axis=0)
        Image.fromarray((pixels + shift).astype(np.uint8)).save(given / name)
    pairs(given, "b.png")
    return given / "b.png"


def pairs(given: Path, name: str) -> None:
    import csv

    columns = (
        "id",
        "clean_image",
        "corrupt_image",
        "clean_prompt",
        "corrupt_prompt",
        "correct",
        "incorrect",
        "family",
        "group",
    )
    rows = [
        ("1", "a.png", "c.png", "Is there a cat?", "", "yes", "no", "state", "cat"),
        ("2", "a.png", name, "Is there a dog?", "", "yes", "no", "state", "dog"),
    ]
    with (given / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])


CSV_RUN = (
    "interpret",
    "--csv.path=given/pairs.csv",
    "--modes=[image]",
    "--tier=0",
    "--knockouts=0",
    "--bootstrap=20",
    "--screen=false",
    "--encoders=false",
    "--cuts=false",
    "--kinds=[resid]",
    "--headed=[]",
    "--out=out",
)

READERS: dict[str, tuple[Callable[[Bench], Path], Sequence[str], Callable[[Bench], None] | None]] = {
    "eval, VSR": (_vsr, VSR_EVAL, None),
    "import-vsr": (_vsr, IMPORT_VSR, None),
    "train, conversations": (_llava, TALK, None),
    "eval, dataset": (
        _parquet,
        (
            "eval",
            "--data.path=given",
            "--data.tasks=[statement]",
            "--templates=[question]",
            "--bootstrap=50",
            "--nproc=1",
            "--out=out",
        ),
        _into_dataset,
    ),
    "interpret, csv": (csv_folder, CSV_RUN, None),
    "gallery": (_parquet, ("gallery", "given", "--out=out", "--per_relation=0"), _into_dataset),
    "cache-features": (_parquet, ("cache-features", "--data=[given]", "--out=out"), _into_dataset),
}


def picture_faults() -> list[Fault]:
    """Return every odd and every broken picture in every reader."""
    faults = [
        Fault(reader, "odd picture", name, _odd, (reader, made))
        for reader in ("eval, VSR", "train, conversations", "eval, dataset", "interpret, csv")
        for name, made in ODD.items()
    ]
    return faults + [
        Fault(reader, "broken picture", name, _broken, (reader, made))
        for reader in READERS
        for name, made in BROKEN.items()
    ]


def _given(bench: Bench, reader: str, content: bytes) -> Sequence[str]:
    prepare, command, after = READERS[reader]
    prepare(bench).write_bytes(content)
    if after is not None:
        after(bench)
    return command


def _odd(bench: Bench, reader: str, made: Callable[[], bytes]) -> str:
    ended = bench.done(*_given(bench, reader, made()))
    results = bench.folder / "out" / "results.json"
    scores = json.loads(results.read_text(encoding="utf-8")).get("scores", []) if results.exists() else []
    if re.search(r"(image|picture|photo|row)\b.*cannot be", ended.text) or any(it.get("failed") for it in scores):
        raise Defect(WRONG, f"a picture that can be shown was not read: {last_lines(ended.text)}")
    return READ


def _broken(bench: Bench, reader: str, made: Callable[[], bytes]) -> str:
    """A broken picture is named: the command stops with one line, or goes on with the rest and lists it."""
    ended = bench.run(*_given(bench, reader, made()))
    if ended.traced:
        raise Defect(TRACED, last_lines(ended.text))
    if ended.code:
        return check_refused(ended, "image|picture|photo|row|pair")
    told = ended.text + written(bench)
    if not any(word in told for word in ("cannot be", "failed", "too large", "more than 64000000")):
        raise Defect(WRONG, f"a broken picture was passed over in silence: {last_lines(ended.text)}")
    return NAMED


def written(bench: Bench) -> str:
    """Return what a command said in files."""
    paths = (path for pattern in ("*.json", "*.md", "*.html") for path in (bench.folder / "out").glob(pattern))
    return "".join(path.read_text(encoding="utf-8") for path in paths)
