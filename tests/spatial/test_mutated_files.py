"""Whatever bytes change in a file, its reader gives a valid value or our own error."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings

from spatial.dataset import write_shard
from spatial.records import ImageObject, ImageRow, Record
from tests.mutations import (
    KINDS,
    MASK,
    MUTATIONS,
    ROWS,
    Mutation,
    check_json,
    check_mask,
    check_picture,
    check_shard,
    picture,
)

often = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mutated")
    objects = (ImageObject("cup", (1.0, 2.0, 5.0, 6.0), "red", MASK.decode(), 1.5),)
    images = [ImageRow(f"image-{number}", picture("PNG"), 24, 16, "render", objects) for number in range(4)]
    records = [
        Record(row.image_id, "g", "original", "statement", "relation", "The cup is left of the book.", "true", 0, -1)
        for row in images
    ]
    write_shard(folder, 0, images, records)
    return folder


@pytest.mark.parametrize("part", ["records", "images"])
@often
@given(mutation=MUTATIONS)
def test_a_changed_shard_gives_its_rows_or_is_refused(dataset: Path, part: str, mutation: Mutation) -> None:
    check_shard(dataset, part, mutation)


@often
@given(mutation=MUTATIONS)
def test_changed_json_is_read_or_refused(tmp_path: Path, mutation: Mutation) -> None:
    check_json(tmp_path, ROWS, mutation)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL.*")
@pytest.mark.parametrize("kind", KINDS)
@often
@given(mutation=MUTATIONS)
def test_a_changed_picture_is_decoded_or_refused(kind: str, mutation: Mutation) -> None:
    check_picture(picture(kind), mutation)


@often
@given(mutation=MUTATIONS)
@example(mutation=[("set", 0.0, ord("x"), 2)])
@example(mutation=[("insert", 0.0, ord("-"), 1)])
def test_a_changed_mask_is_decoded_or_refused(mutation: Mutation) -> None:
    check_mask(MASK, mutation)
