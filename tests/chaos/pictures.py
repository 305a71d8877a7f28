"""Pictures of odd kinds and broken ones, and names of files that lead out of their folder, in every reader of names."""

import io
import json
import shutil
import struct
import tarfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from tests.chaos.bench import LOST, NAMED, READ, REFUSED, TRACED, WRONG, Bench, Defect, Fault, check_refused, last_lines
from tests.chaos.made import TRAIN

SECRET = "the secret of chaos"
"""What stands in files outside the folders that a command was given."""


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def _gradient(mode: str = "RGB") -> Image.Image:
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
    frames = [_gradient(), Image.new("RGB", (48, 40), "red")]
    return _saved(frames[0], "GIF", save_all=True, append_images=frames[1:])


def _turned() -> bytes:
    exif = Image.Exif()
    exif[274] = 6
    return _saved(_gradient(), "JPEG", exif=exif)


def _palette() -> bytes:
    image = _gradient().quantize(8)
    return _saved(image, "PNG", transparency=0)


ODD: dict[str, Callable[[], bytes]] = {
    "CMYK": lambda: _saved(_gradient("CMYK"), "JPEG"),
    "16 bits": lambda: _saved(Image.fromarray((np.arange(1920, dtype=np.uint16) * 30).reshape(40, 48)), "PNG"),
    "a palette with transparency": _palette,
    "turned by EXIF": _turned,
    "an animated GIF": _animation,
    "one bit": lambda: _saved(_gradient("1"), "PNG"),
    "grey with alpha": lambda: _saved(_gradient("LA"), "PNG"),
}

BROKEN: dict[str, Callable[[], bytes]] = {
    "an HTML page": lambda: b"<!DOCTYPE html><html><body>404: not found</body></html>",
    "empty": lambda: b"",
    "cut short": lambda: _saved(_gradient(), "JPEG")[:700],
    "a PNG cut short": lambda: _saved(_gradient(), "PNG")[:1200],
    "a bomb of 60,000 x 60,000": _bomb,
    "an EPS program": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(marker) (w) file\n",
    "an SVG with a link": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
}

OUTSIDE = ("../outside.png", "../../outside.png", "{root}/outside.png", "link.png", "folder/../../outside.png", "\0.png", "")
"""Names of a picture that is not in the folder: ``link.png`` is a symbolic link out of it."""

VSR_EVAL = (
    "eval", "--data.kind=vsr", "--data.annotations=given/mine.test.jsonl", "--data.images=given", "--data.split=test",
    "--data.variant=mine", "--nproc=1", "--templates=[question]", "--bootstrap=50", "--out=out",
)  # fmt: skip
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


def _csv(bench: Bench) -> Path:
    given = bench.folder / "given"
    given.mkdir()
    for name, shift in (("a.png", 0), ("b.png", 90), ("c.png", 160)):
        pixels = np.roll(np.asarray(_gradient()), shift, axis=0)
        Image.fromarray((pixels + shift).astype(np.uint8)).save(given / name)
    _pairs(given, "b.png")
    return given / "b.png"


def _pairs(given: Path, name: str) -> None:
    import csv

    columns = ("id", "clean_image", "corrupt_image", "clean_prompt", "corrupt_prompt", "correct", "incorrect", "family", "group")
    rows = [
        ("1", "a.png", "c.png", "Is there a cat?", "", "yes", "no", "state", "cat"),
        ("2", "a.png", name, "Is there a dog?", "", "yes", "no", "state", "dog"),
    ]
    with (given / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])


CSV_RUN = ("interpret", "--csv.path=given/pairs.csv", "--modes=[image]", "--tier=0", "--knockouts=0", "--bootstrap=20",
           "--screen=false", "--encoders=false", "--cuts=false", "--kinds=[resid]", "--headed=[]", "--out=out")  # fmt: skip

READERS: dict[str, tuple[Callable[[Bench], Path], Sequence[str], Callable[[Bench], None] | None]] = {
    "eval, VSR": (_vsr, VSR_EVAL, None),
    "import-vsr": (_vsr, IMPORT_VSR, None),
    "train, conversations": (_llava, TALK, None),
    "eval, dataset": (_parquet, ("eval", "--data.path=given", "--data.tasks=[statement]", "--templates=[question]",
                                 "--bootstrap=50", "--nproc=1", "--out=out"), _into_dataset),
    "interpret, csv": (_csv, CSV_RUN, None),
    "gallery": (_parquet, ("gallery", "given", "--out=out", "--per_relation=0"), _into_dataset),
    "cache-features": (_parquet, ("cache-features", "--data=[given]", "--out=out"), _into_dataset),
}  # fmt: skip


def picture_faults() -> list[Fault]:
    """Return every odd and every broken picture in every reader."""
    faults = [
        Fault(reader, "odd picture", name, lambda bench, a=reader, b=made: _odd(bench, a, b))
        for reader in ("eval, VSR", "train, conversations", "eval, dataset", "interpret, csv")
        for name, made in ODD.items()
    ]
    return faults + [
        Fault(reader, "broken picture", name, lambda bench, a=reader, b=made: _broken(bench, a, b))
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
    if "cannot be" in ended.text or any(it.get("failed") for it in scores):
        raise Defect(WRONG, f"a picture that can be shown was not read: {last_lines(ended.text)}")
    return READ


def _broken(bench: Bench, reader: str, made: Callable[[], bytes]) -> str:
    """A broken picture is named: the command stops with one line, or goes on with the rest and lists it."""
    ended = bench.run(*_given(bench, reader, made()))
    if ended.traced:
        raise Defect(TRACED, last_lines(ended.text))
    if ended.code:
        return check_refused(ended, "image|picture|photo|row|pair")
    told = ended.text + "".join(
        path.read_text(encoding="utf-8")
        for pattern in ("*.json", "*.md", "*.html")
        for path in (bench.folder / "out").glob(pattern)
    )
    if not any(word in told for word in ("cannot be", "failed", "too large", "more than 64000000")):
        raise Defect(WRONG, f"a broken picture was passed over in silence: {last_lines(ended.text)}")
    return NAMED


def path_faults() -> list[Fault]:
    """Return every name that leads outside, in every reader of names."""
    faults = [
        Fault(reader, "path out of the folder", shown, lambda bench, a=use, b=name: a(bench, _outside(bench, b)))
        for reader, use in USES.items()
        for name, shown in ((name, repr(name.replace("{root}", "ROOT"))) for name in OUTSIDE)
    ]
    return faults


def _outside(bench: Bench, name: str) -> str:
    _gradient().save(bench.folder / "outside.png")
    _gradient().save(bench.folder.parent / "outside.png")
    return name.format(root=bench.folder)


def _link(folder: Path) -> None:
    (folder / "folder").mkdir(exist_ok=True)
    (folder / "link.png").symlink_to(folder.resolve().parent / "outside.png")


def _in_vsr(command: Sequence[str], bench: Bench, name: str) -> str:
    given = bench.copy("vsr", "given")
    _link(given)
    for path in given.glob("*.jsonl"):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        rows[1]["image"] = name
        path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return _kept_out(bench, command, name)


def _in_talk(bench: Bench, name: str) -> str:
    given = bench.copy("as-llava", "given")
    _link(given / "images")
    (given / "images" / "link.png").unlink()
    (given / "images" / "link.png").symlink_to(bench.folder / "outside.png")
    rows = json.loads((given / "train.json").read_text(encoding="utf-8"))
    rows[1]["image"] = name
    (given / "train.json").write_text(json.dumps(rows), encoding="utf-8")
    return _kept_out(bench, TALK, name)


def _in_csv(bench: Bench, name: str) -> str:
    _csv(bench)
    _link(bench.folder / "given")
    _pairs(bench.folder / "given", name)
    return _kept_out(bench, CSV_RUN, name)


def _in_export(form: str, bench: Bench, name: str) -> str:
    given = bench.copy(f"as-{form}", "given")
    _link(given)
    if (given / "images").is_dir():
        _link(given / "images")
        (given / "images" / "link.png").unlink()
        (given / "images" / "link.png").symlink_to(bench.folder / "outside.png")
    files = [path for path in sorted(given.rglob("*.json*")) if path.name != "vsre.json"]
    old = next(path.name for path in sorted((given / "images").iterdir()) if path.suffix == ".png" and path.name != "link.png")
    for path in files:
        quoted = json.dumps(name)[1:-1]
        path.write_text(path.read_text(encoding="utf-8").replace(old, quoted), encoding="utf-8")
    return _kept_out(bench, ("import", "given", "--out=out"), name)


def _in_tar(bench: Bench, name: str) -> str:
    """Name a member of the tar so; nothing may be written there, whatever else becomes of the import."""
    given = bench.copy("as-webdataset", "given")
    (given / "SHA256SUMS").unlink(missing_ok=True)
    for path in sorted(given.rglob("*.tar")):
        with tarfile.open(path) as tar:
            members = [(member, tar.extractfile(member).read()) for member in tar if member.isfile()]  # type: ignore[union-attr]
        with tarfile.open(path, "w") as tar:
            for number, (member, content) in enumerate(members):
                if number == 0:
                    member.name = name
                tar.addfile(member, io.BytesIO(content))
            if name == "link.png":
                link = tarfile.TarInfo("link.png")
                link.type, link.linkname = tarfile.SYMTYPE, "../outside.png"
                tar.addfile(link)
        break
    return _kept_out(bench, ("import", "given", "--out=out"), name)


def _kept_out(bench: Bench, command: Sequence[str], name: str) -> str:
    """The name is refused, or its row is listed; the picture outside is neither read nor written."""
    outside = [bench.folder / "outside.png", bench.folder.parent / "outside.png"]
    before = [path.read_bytes() for path in outside]
    ended = bench.run(*command)
    if [path.read_bytes() for path in outside] != before:
        raise Defect(LOST, "a file outside of the folder was written")
    if ended.traced:
        raise Defect(TRACED, last_lines(ended.text))
    if ended.code:
        check_refused(ended)
        return REFUSED
    told = ended.text + "".join(path.read_text(encoding="utf-8") for path in (bench.folder / "out").glob("*.json"))
    told += "".join(path.read_text(encoding="utf-8") for path in (bench.folder / "out").glob("*.md"))
    if not any(word in told for word in ("no usable name", "no plain name", "failed", "outside", "missing", "without a photo", "left out")):
        raise Defect(WRONG, f"{name!r} was taken without a word: {last_lines(ended.text)}")
    return NAMED


USES: dict[str, Callable[[Bench, str], str]] = {
    "eval, VSR": lambda bench, name: _in_vsr(VSR_EVAL, bench, name),
    "import-vsr": lambda bench, name: _in_vsr(IMPORT_VSR, bench, name),
    "train, conversations": _in_talk,
    "interpret, csv": _in_csv,
    "import, vsr": lambda bench, name: _in_export("vsr", bench, name),
    "import, llava": lambda bench, name: _in_export("llava", bench, name),
    "import, coco": lambda bench, name: _in_export("coco", bench, name),
    "import, webdataset": _in_tar,
}

__all__ = ["path_faults", "picture_faults", "shutil"]
