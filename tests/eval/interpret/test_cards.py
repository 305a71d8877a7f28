"""Every head that matters gets one picture, and attention is drawn where it lies."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from eval.attend.overlap import Sight
from eval.config import DataConfig, InterpretConfig
from eval.images import Placed
from eval.interpret.cards import MOST, UNSELECTED, choose_cards
from eval.interpret.opened import Opened
from eval.interpret.pairs import Pair, Side
from eval.interpret.run import interpret
from eval.interpret.views import view
from spatial.dataset import write_shard
from spatial.records import Record
from spatial.templates import Prompt
from tests.eval.interpret.conftest import Pair as Run
from tests.eval.interpret.worlds import picture, world


def settings(model: Path, folder: Path, **changes: Any) -> InterpretConfig:
    """Return the settings of a short run on pictures whose boxes are known; all pairs count."""
    records = world(2)
    write_shard(folder / "data", 0, list(records.images.values()), records.records)
    short: dict[str, Any] = {"pairs": 4, "tier": 0, "kinds": [], "knockouts": 0, "bootstrap": 20}
    short |= {"controls": False, "screen": False, "cuts": False, "encoders": False, "head_roles": ["last"]}
    data = DataConfig(path=str(folder / "data"))
    return InterpretConfig(**{"model": str(model), "data": data, "out": str(folder / "run"), **short, **changes})


def pixels(path: Path) -> NDArray[np.int16]:
    """Return the values of a picture."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), np.int16)


def sizes(out: Path) -> dict[str, tuple[int, int]]:
    """Return the size of the picture of each head."""
    found = {}
    for path in sorted(out.glob("head-*.png")):
        with Image.open(path) as image:
            image.load()
            found[path.name] = image.size
    return found


def test_the_heads_of_largest_effect_get_a_picture_each(checkpoint: Path, tmp_path: Path) -> None:
    """Random weights and four pairs: the rule selects none."""
    out = tmp_path / "run"
    out.mkdir()
    (out / "head-9.9.png").write_bytes(b"of an earlier run")
    interpret(settings(checkpoint, tmp_path))
    found = sizes(out)
    assert len(found) == UNSELECTED
    assert "head-9.9.png" not in found
    assert all(500 < side < 2000 for size in found.values() for side in size)
    first = {name: pixels(out / name) for name in found}
    interpret(settings(checkpoint, tmp_path))
    for name, before in first.items():  # another run's float32 may round a shade otherwise
        assert np.abs(pixels(out / name) - before).max() <= 4


@pytest.mark.parametrize(("family", "kind"), [("blip", "x"), ("qwen2_5_vl", "")])
def test_other_kinds_of_models_get_them_too(
    family: str, kind: str, written: Callable[[str], Path], tmp_path: Path
) -> None:
    """Heads of BLIP's cross-attention look at the picture; those of its self-attention see words only."""
    out = interpret(settings(written(family), tmp_path, modes=["image"], headed=["cross_z" if kind else "z"]))
    assert len(sizes(out)) == UNSELECTED
    assert all(name.startswith(f"head-{kind}") for name in sizes(out))


def listed(names: list[tuple[int, int, float, bool]]) -> dict[str, Any]:
    """Return the heads of a mode: layer, number, effect and whether selected."""
    rows = [
        {"kind": "z", "layer": layer, "head": head, "mean": {"share": share}, "selected": selected}
        for layer, head, share, selected in names
    ]
    return {"heads": {"role": "last", "all": rows}}


def test_selected_heads_of_all_modes_are_chosen_once() -> None:
    image = listed([(0, 1, 0.2, True), (1, 1, -0.9, True), (2, 2, 0.8, False)])
    text = listed([(0, 1, 0.5, True), (3, 0, 0.1, True)])
    cards = choose_cards({"modes": {"image": image, "text": text}})
    assert [(card.layer, card.head, card.mode) for card in cards] == [(1, 1, "image"), (0, 1, "text"), (3, 0, "text")]
    assert all(card.by_rule for card in cards)
    many = listed([(layer, 0, 0.1, True) for layer in range(20)])
    assert len(choose_cards({"modes": {"image": many}})) == MOST
    none = choose_cards({"modes": {"image": listed([(layer, 0, 0.1 * layer, False) for layer in range(9)])}})
    assert [card.layer for card in none] == [8, 7, 6]
    assert not any(card.by_rule for card in none)
    assert choose_cards({"modes": {"image": listed([])}}) == []


ROW = replace(picture(((0, 0), (20, 10)), ((10, 10), (10, 10))), width=40, height=40)
RECORD = Record(
    image_id=ROW.image_id,
    group_id="g",
    role_in_group="original",
    task="statement",
    topic="relation",
    answer="true",
    caption="c",
)
ASKED = Prompt([{"content": [{}, {"text": "words"}]}], (), "", {})
SIDE = Side(ROW.image_id, ASKED, "r")
PAIR = Pair("image", SIDE, SIDE, ("yes", "no"))


def opened(stack: Any, sight: Sight | None, canvas: str) -> Opened:
    """Return as much of an opened model as a view needs."""
    record = replace(RECORD, subject=0, object=1)
    return Opened(stack, *[None] * 3, sight, {ROW.image_id: ROW}, {"r": record}, {}, "", "", canvas)  # type: ignore[arg-type]


def test_attention_lies_where_the_tokens_look(causal: Run, blip: Run) -> None:
    weights = np.array([0.5, 0.1, 0.2, 0.0, 0.05])
    places = [None, (2, 0), (2, 1), (2, 2), (2, 3)]
    found = view(opened(causal.stack, Sight(places, "pad", 8), "pad"), PAIR, ROW.image_id, torch.ones(5, 4), weights)
    assert found.attention is not None and found.attention.tolist() == [[0.1, 0.2], [0.0, 0.05]]
    assert found.boxes == {"subject": (0.0, 0.0, 0.25, 0.25), "object": (0.5, 0.25, 0.75, 0.5)}
    assert found.picture.width == found.picture.height
    found = view(opened(blip.stack, None, "processor"), PAIR, ROW.image_id, torch.ones(5, 4), weights)
    assert found.attention is not None and found.attention.tolist() == [[0.1, 0.2], [0.0, 0.05]]
    assert found.boxes["object"] == (0.5, 0.25, 0.75, 0.5)
    placed = Placed(torch.ones(6, 4), torch.tensor([[0] * 6, [0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2]]))
    found = view(opened(causal.stack, None, "processor"), PAIR, ROW.image_id, placed, np.arange(6) / 20)
    assert found.attention is not None and found.attention.tolist() == [[0.0, 0.05, 0.1], [0.15, 0.2, 0.25]]


def test_what_is_not_known_is_not_drawn(causal: Run, blip: Run) -> None:
    """Tokens of unknown places, and heads that see no picture; pairs of a table have no boxes."""
    seen, weights = torch.ones(5, 4), np.full(5, 0.2)
    found = view(opened(causal.stack, None, "processor"), PAIR, ROW.image_id, seen, weights)
    assert found.attention is None
    assert view(opened(blip.stack, None, "pad"), PAIR, ROW.image_id, seen, None).attention is None
    alone = replace(opened(blip.stack, None, "pad"), records={})
    assert view(alone, PAIR, ROW.image_id, seen, weights).boxes == {}
