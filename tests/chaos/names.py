"""Names of pictures that lead out of the folder they are looked up in, in every reader of names."""

import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.chaos.bench import LOST, NAMED, REFUSED, TRACED, WRONG, Bench, Defect, Fault, check_refused, last_lines
from tests.chaos.pictures import CSV_RUN, IMPORT_VSR, TALK, VSR_EVAL, csv_folder, gradient, pairs, written

OUTSIDE = (
    "../outside.png",
    "../../outside.png",
    "{root}/outside.png",
    "link.png",
    "folder/../../outside.png",
    "\0.png",
    "",
)
"""Names of a picture that is not in the folder: ``link.png`` is a symbolic link out of it."""


def path_faults() -> list[Fault]:
    """Return every name that leads outside, in every reader of names."""
    faults = [
        Fault(reader, "path out of the folder", shown, _use, (use, name))
        for reader, use in USES.items()
        for name, shown in ((name, repr(name.replace("{root}", "ROOT"))) for name in OUTSIDE)
    ]
    return faults


def _use(bench: Bench, use: Callable[[Bench, str], str], name: str) -> str:
    gradient().save(bench.folder / "outside.png")
    gradient().save(bench.folder.parent / "outside.png")
    return use(bench, name.format(root=bench.folder))


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
    csv_folder(bench)
    _link(bench.folder / "given")
    pairs(bench.folder / "given", name)
    return _kept_out(bench, CSV_RUN, name)


def _in_export(form: str, bench: Bench, name: str) -> str:
    given = bench.copy(f"as-{form}", "given")
    _link(given)
    if (given / "images").is_dir():
        _link(given / "images")
        (given / "images" / "link.png").unlink()
        (given / "images" / "link.png").symlink_to(bench.folder / "outside.png")
    files = [path for path in sorted(given.rglob("*.json*")) if path.name != "vsre.json"]
    old = next(
        path.name for path in sorted((given / "images").iterdir()) if path.suffix == ".png" and path.name != "link.png"
    )
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
    told = ended.text + written(bench)
    if not any(
        word in told
        for word in (
            "no usable name",
            "no plain name",
            "failed",
            "outside",
            "missing",
            "without a photo",
            "left out",
            "neither another picture",
        )
    ):
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
