"""The code in the documents runs, and their links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from spatial.templates import SELECTIONS, families
from tests.vsre.documents import PAGES
from vsre.roots import ROOT

USE_OF_THEM = """
from PIL import Image
from dataclasses import replace
from eval.config import DataConfig
from eval.benchmarks import read_benchmark
from eval.predictions import Prediction
table = folder / "table.csv"
table.write_text("picture,statement,answer\\na,The cup is red.,true\\n../a,The cup is red.,false\\n")
Image.new("RGB", (8, 8)).save(folder / "a.png")
found = read_benchmark(DataConfig("table", str(table)))
assert [row.answer for row in found.records] == ["true"] and [row.name for row in found.failed] == ["table.csv:3"]
row = Prediction("m", "r", "i", "g", "t", "greedy", "image", confidence=0.95)
assert METRICS["sure_and_wrong"]([row, replace(row, correct=True)]) == 0.5
assert METRICS["sure_and_wrong"]([replace(row, confidence=0.5)]) is None
from encoders.build import assemble
model, processor = assemble(PRESETS["tiny"], ["clip", "vit"], "maximum", ["cup"], seed=0)
assert len(model.get_image_features(processor.blank_canvas(1)).pooler_output[0]) == 64
from datagen.config import DatagenConfig
from datagen.groups import draw_group
from spatial.predicates import holds
for seed in range(3):
    group = draw_group(DatagenConfig(image_size=64, supersample=1), choose_recipes(["slanted"])[0], seed)
    assert {said.relation for said in group.statements} == {"diagonal to", "side by side with"}
    for said in group.statements:
        truths = [holds(said.relation, said.a, said.b, view.observation) for view in group.views]
        assert truths == [said.truth, not said.truth]
logits, image = torch.randn(1, 2, 1, 6), torch.tensor([True, True, True, False, False, False])
before, after = (to.softmax(-1)[..., image].sum(-1) for to in (logits, with_odds(logits, image, torch.tensor(2.0))))
assert torch.allclose(after / (1 - after), 2 * before / (1 - before), atol=1e-5)
"""


def test_the_examples_of_extending_run() -> None:
    text = (ROOT / "docs" / "extending.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) == 14
    result = subprocess.run(
        [sys.executable, "-c", "\n".join([*blocks, USE_OF_THEM])], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    missing = [link for link in links if not link.startswith("http") and not (page.parent / link).exists()]
    assert not missing


def test_settings_files_named_in_the_documents_exist() -> None:
    named = {name for page in PAGES for name in re.findall(r"configs/[\w/-]+\.yaml", page.read_text())}
    assert named and all((ROOT / name).is_file() for name in named)


def test_the_page_about_templates_lists_every_family_on_its_side() -> None:
    text = (ROOT / "docs" / "templates.md").read_text()
    table = text.partition("## Families")[2].partition("\n\n- ")[0]
    cells = [line.split("|")[2:4] for line in table.splitlines() if line.startswith("| ")][1:]
    trained, held = (sorted(name for row in cells for name in row[side].replace(",", " ").split()) for side in (0, 1))
    assert trained == sorted(families(held_out=False))
    assert held == sorted(families(held_out=True))


def test_the_page_about_templates_lists_every_selection() -> None:
    named = re.findall(r"^\| `([\w-]+)` \|", (ROOT / "docs" / "templates.md").read_text(), flags=re.MULTILINE)
    assert named == list(SELECTIONS)
