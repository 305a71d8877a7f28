"""One row per statement, of a dataset that `vsre export --to datasets` wrote with one row per image."""

from typing import Any

from datasets import Dataset, Features, Image


def unfold(images: Dataset) -> Dataset:
    """Return the statements, each with its image; pictures stay compressed on the way."""
    stored = images.cast_column("image", Image(decode=False)).select_columns(["image", "records"])
    features = Features({**images.features["records"].feature, "image": Image(decode=False)})
    rows = stored.map(
        _statements,
        batched=True,
        remove_columns=stored.column_names,
        features=features,
        fn_kwargs={"names": list(features)},
    )
    return rows.cast_column("image", Image())


def _statements(batch: dict[str, list[Any]], names: list[str]) -> dict[str, list[Any]]:
    rows = [
        {**record, "image": image}
        for image, records in zip(batch["image"], batch["records"], strict=True)
        for record in records
        if record["task"] == "statement"
    ]
    return {name: [row[name] for row in rows] for name in names}
