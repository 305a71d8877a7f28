"""What is known by its colour has that colour, and its colour is then no question."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from datagen.assets import ASSETS, COLOURS
from datagen.config import DatagenConfig
from datagen.nouns import TRUE_COLOURS, paints
from datagen.run import generate
from spatial.dataset import DatasetFolder

NOUNS = st.lists(st.sampled_from(sorted(ASSETS)), min_size=2, max_size=3, unique=True)


@given(NOUNS, st.integers(0, 2**32))
def test_named_things_have_different_colours_in_which_they_are_known(named: list[str], seed: int) -> None:
    drawn = paints(np.random.default_rng(seed), named)
    if drawn is None:
        palettes = [set(TRUE_COLOURS.get(noun, COLOURS)) for noun in named]
        assert sum(len(palette) < 4 for palette in palettes) >= 2
        return
    colours, left = drawn
    assert sorted([*colours, *left]) == sorted(COLOURS)
    assert all(colour in TRUE_COLOURS.get(noun, COLOURS) for noun, colour in zip(named, colours, strict=True))


def test_the_colour_of_a_fruit_is_no_question(tmp_path) -> None:
    nouns = ["apple", "banana", "cup", "bench"]
    config = DatagenConfig(str(tmp_path), 40, nouns=nouns, relations=["left of", "right of"], image_size=48, workers=1)
    config.exclude_nouns, config.dense, config.statements = [], True, False
    folder = DatasetFolder(generate(config))
    asked = {record.concepts for record in folder.records if record.topic == "colour"}
    shown = {(item.name, item.colour) for row in folder.images.values() for item in row.objects}
    assert asked == {("cup",), ("bench",)}
    assert {colour for noun, colour in shown if noun == "banana"} == {"yellow", "green"}
