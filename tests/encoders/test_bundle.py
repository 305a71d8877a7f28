"""A checkpoint with its code, loaded in a process that knows nothing of this repository."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from encoders import bundle
from encoders.config import MergeConfig
from encoders.load import load_model
from encoders.merge import merge
from tests.encoders.conftest import Build

SCRIPT = """
import sys
from pathlib import Path
sys.path[:] = [path for path in sys.path if path and not (Path(path) / "encoders" / "modeling.py").exists()]
for finder in [finder for finder in sys.meta_path if "editable" in repr(finder).lower()]:
    sys.meta_path.remove(finder)

from importlib.util import find_spec
for room in ("spatial", "encoders", "training", "eval", "vsre"):
    assert find_spec(room) is None, room

import torch
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageTextToText, AutoProcessor

checkpoint, picture, result = sys.argv[1:]
processor = AutoProcessor.from_pretrained(checkpoint, trust_remote_code=True)
model = AutoModelForImageTextToText.from_pretrained(checkpoint, trust_remote_code=True).eval()
assert AutoConfig.from_pretrained(checkpoint, trust_remote_code=True).num_image_tokens == processor.num_image_tokens
AutoImageProcessor.from_pretrained(checkpoint, trust_remote_code=True)
message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "where is the red cup"}]}
text = processor.apply_chat_template([message], add_generation_prompt=True)
inputs = processor(images=Image.open(picture), text=text, return_tensors="pt")
with torch.no_grad():
    torch.save(model(**inputs).logits, result)
    assert model.generate(**inputs, max_new_tokens=2).shape[1] == inputs["input_ids"].shape[1] + 2
"""


@pytest.mark.parametrize("fusion", ["sequence", pytest.param("resampler", marks=pytest.mark.slow)])
def test_code_beside_the_weights_is_enough(build: Build, picture: Image.Image, tmp_path: Path, fusion: str) -> None:
    model, processor = build(fusion=fusion)
    model.save_pretrained(tmp_path / "plain")
    processor.save_pretrained(tmp_path / "plain")
    out = merge(MergeConfig(str(tmp_path / "plain"), str(tmp_path / "coded"), with_code=True))
    picture.save(tmp_path / "picture.png")
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "script.py", str(out), "picture.png", "logits.pt"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ours, reader = load_model(out)
    message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "where is the red cup"}]}
    text = reader.apply_chat_template([message], add_generation_prompt=True)
    with torch.no_grad():
        expected = ours(**reader(images=picture, text=text, return_tensors="pt")).logits
    assert torch.equal(torch.load(tmp_path / "logits.pt"), expected)


def test_a_bundle_is_whole_and_needs_little() -> None:
    modules = bundle.collect(["encoders.modeling", "encoders.processing"])
    assert {"encoders.tower", "encoders.fusion", "spatial.errors"} <= set(modules)
    needed = set()
    for source in modules.values():
        assert "\nfrom encoders" not in source and "\nfrom spatial" not in source
        imports = [line.split()[1] for line in source.splitlines() if line.startswith(("from ", "import "))]
        needed |= {name.split(".")[0] for name in imports}
    foreign = {name for name in needed if name and name not in sys.stdlib_module_names}
    assert foreign == {"numpy", "torch", "PIL", "transformers", "huggingface_hub"}


def test_imports_are_rewritten_wherever_they_stand() -> None:
    source = "import torch\nfrom encoders.a import (\n    X,\n)\n\n\ndef f():\n    from spatial.b import y as z\n"
    text, needed = bundle.rewrite(source)
    assert needed == ["encoders.a", "spatial.b"]
    assert text == source.replace("encoders.a", ".encoders_a").replace("spatial.b", ".spatial_b")


@pytest.mark.parametrize("line", ["import encoders.tower", "from encoders import ENCODERS", "from . import tower"])
def test_imports_that_cannot_be_bundled_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match="line 2 imports"):
        bundle.rewrite(f"import torch\n{line}\n")
