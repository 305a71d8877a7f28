"""The dataset card: what is in a folder, counted from the data itself, as the hub shows it.

The card depends on the data, the settings that made them and the audit beside them, never on the day, the machine or
the folder's name. Its sections are in ``card_counts`` and ``card_checks``.
"""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from datagen.card_checks import Checks, leakage, probes, read_checks
from datagen.card_counts import acceptance, balance, images, kinds, negatives, relations
from datagen.claim import CALIBRATED, CALIBRATION_NAME, OWN_MESHES
from datagen.complete import incomplete
from datagen.config import CardConfig, DatagenConfig
from datagen.markdown import table
from datagen.paint.yield_show import card_lines
from datagen.paint.yields import Yield
from datagen.tally import Tally
from spatial.dataset import DatasetFolder
from spatial.exposure import description_of
from spatial.files import atomic
from spatial.stream import Samples
from spatial.vsr_photos import SOURCE

CARD = "README.md"

PAINTED_AGAIN = (
    "The same settings draw the same groups and seeds, on any number of processes; what is painted of them may differ "
    "in single pixels between kinds of processors and versions of libraries, which each image's provenance names."
)

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
"""The hub's names for numbers of records."""

FIELDS = (
    ("image_id", "hash of the decoded pixels; names the image of a record"),
    ("objects", "of an image: noun, box in pixels, colour, mask as run lengths, depth, pose"),
    ("scene", "of an image: the whole scene in three dimensions, as JSON"),
    ("group_id, role_in_group", "which records and images are counterfactuals of one another"),
    ("task, topic", "what is asked, and about what"),
    ("caption", "a sentence; a statement's answer says whether it is true, for other tasks it is"),
    ("answer, options", "the right answer, and what a choice chooses from; the wording of a question is not stored"),
    ("subject, object", "places of what the sentence is about in the image's objects, or -1"),
    ("relation, frame", "what is said, and whose left and right decide it: viewer, intrinsic or both"),
    ("negative_kind", "how a false statement was made"),
)
"""What the card says of the fields."""


@dataclass(frozen=True)
class Layout:
    """What the card says about the files beside it.

    Attributes:
        tables: by name of a table on the hub, the pattern of its files by split; the first is shown.
        commands: lines that make the data again, after those of the dataset folder.
        lacks: what of the data is not there; "" where all is.
    """

    tables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    commands: Sequence[str] = ()
    lacks: str = ""


def renew(config: CardConfig) -> Path:
    """Write a dataset folder's card anew, with the figures of its audit, and return its path.

    Raises:
        RecordError: the folder or its audit cannot be read.
    """
    return write_card(Path(config.dataset))


def write_card(folder: Path) -> Path:
    """Count the folder's records and write its card beside them."""
    data = DatasetFolder(folder)
    found = data.content_hash()
    checks = read_checks(data, found)
    tally = Tally()
    for _ in tally.watch(tqdm(Samples(folder), "card", unit="image", leave=False)):
        pass
    split = only_split(tally.splits)
    tables = {part: {split: f"{part}/*.parquet"} for part in ("records", "images")}
    text = card(tally, found, description_of(folder), Layout(tables, lacks=incomplete(folder)[0]), checks)
    with atomic(folder / CARD) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return folder / CARD


def card(tally: Tally, content_hash: str, settings: Mapping[str, Any], layout: Layout, checks: Checks) -> str:
    """Return the card.

    Args:
        tally: counts of the whole dataset.
        content_hash: of the dataset folder.
        settings: that made it; empty if they are not known.
        layout: of the files that the card lies beside.
        checks: what checks found in the same data.
    """
    header = yaml.safe_dump(_header(tally, layout), sort_keys=False, allow_unicode=True)
    sections = [
        [
            *_summary(tally, content_hash, settings),
            *(["", f"**Not complete**: {layout.lacks}"] if layout.lacks else []),
        ],
        _commands(settings, layout),
        ["## Records", "", *kinds(tally)],
        ["## Relation statements", "", *balance(tally), "", *relations(tally)],
        ["## False statements", "", *negatives(tally)],
        _titled("Bias probes", probes(checks.audit)),
        _titled("Leakage", leakage(settings, sorted(tally.sources), checks.seen)),
        _titled("Yield", yielded(checks.yields)),
        ["## Draws", "", *acceptance(tally)],
        ["## Fields", "", *table(("field", "meaning"), FIELDS)],
        ["## Images", "", *images(tally)],
    ]
    return "\n\n".join([f"---\n{header}---", *("\n".join(lines) for lines in sections if lines)]) + "\n"


def _titled(title: str, lines: list[str]) -> list[str]:
    """Return a section, or nothing where there is nothing to say."""
    return [f"## {title}", "", *lines] if lines else []


def _header(tally: Tally, layout: Layout) -> dict[str, Any]:
    """Return what the hub reads: licence, tasks, size and files."""
    free = all(licence.startswith("CC0-1.0") for licence in tally.licences)
    size = next((name for limit, name in SIZES if tally.records < limit), "1M<n<10M")
    header: dict[str, Any] = {
        "license": "cc0-1.0" if free else "other",
        "language": ["en"],
        "pretty_name": "Spatial relations",
        "task_categories": ["visual-question-answering", "image-text-to-text"],
        "tags": ["spatial-relations", "minimal-pairs", *sorted(tally.sources)],
        "size_categories": [size],
    }
    if layout.tables:
        header["configs"] = [
            {
                "config_name": name,
                **({"default": True} if index == 0 else {}),
                "data_files": [{"split": split, "path": path} for split, path in files.items()],
            }
            for index, (name, files) in enumerate(layout.tables.items())
        ]
    return header


def _summary(tally: Tally, content_hash: str, settings: Mapping[str, Any]) -> list[str]:
    sources = ", ".join(f"{count:,} `{source}`" for source, count in sorted(tally.sources.items()))
    splits = ", ".join(f"{count:,} `{split or 'no split'}`" for split, count in sorted(tally.splits.items()))
    return [
        "# Spatial relations",
        "",
        f"{tally.images:,} images ({sources}) in {len(tally.groups):,} groups, {tally.records:,} records ({splits}).",
        *_groups(tally, settings),
        "",
        f"Content hash `{content_hash}`, over the identifiers of all records and images.",
    ]


def yielded(lines: Sequence[Yield]) -> list[str]:
    """Return the lines about what was painted; none if nothing was."""
    if not lines:
        return []
    return [
        "What is right of the pictures that engines painted, in % with 95 % intervals; docs/painting.md explains the",
        "columns. Pictures that are not in the data are in the folder `rejected`, with what checks said of them.",
        "",
        *card_lines(lines),
    ]


def _groups(tally: Tally, settings: Mapping[str, Any]) -> list[str]:
    """Tell what a group is, and where photos come from."""
    lines = ["A group shows a scene and its counterfactual, in which one thing is changed."] if tally.draws else []
    if SOURCE in tally.sources:
        lines.append(
            "A group of photos is one caption: with a photo of which it is true, one of which it is false, or both."
        )
    if "vsr" in settings:
        names = ", ".join(f"`{name}`" for name in settings["vsr"]["names"])
        lines.append(f"The rows are VSR's ({names}, part `{settings['vsr']['part']}`).")
    return lines


def _commands(settings: Mapping[str, Any], layout: Layout) -> list[str]:
    known = {setting.name for setting in fields(DatagenConfig)}
    made = {name: value for name, value in settings.items() if name in known}
    if CALIBRATED in settings:
        # The folder's own copy, which a new folder does not have, where it is called by no other name.
        name = settings.get(CALIBRATION_NAME) or f"DATASET/{made['verify']['calibration']}"
        made["verify"] = {**made["verify"], "calibration": name}
    if OWN_MESHES in settings:
        made["assets"] = "DATASET/assets"
    if photos := made.get("paint", {}).get("photos"):
        made["paint"] = {**made["paint"], "photos": {**photos, "masks": "MASKS" if photos["masks"] else ""}}
    lines = [f"vsre datagen --out DATASET {flags(made)}"] if "groups" in made else []
    lines += layout.commands
    if not lines:
        return []
    return [
        "## Make it again",
        "",
        PAINTED_AGAIN if "engine" in settings else "The same settings give the same bytes, on any number of processes.",
        "",
        *_code(lines),
    ]


def _code(lines: Iterable[str]) -> list[str]:
    return ["```bash", *lines, "```"]


def flags(settings: Mapping[str, Any]) -> str:
    """Return settings as the options of a command line."""
    words = []
    for name, value in settings.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        words += [f"--{name}", shlex.quote(text)]
    return " ".join(words)


def only_split(splits: Mapping[str, int]) -> str:
    """Return the split of the whole dataset, or "all" where there are several or its name is none for the hub."""
    names = [name for name in splits if name.isidentifier()]
    return names[0] if len(names) == len(splits) == 1 else "all"
