"""A model of some thousand weights and a dataset of coloured squares, made once per session."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from encoders.build import assemble
from spatial.dataset import write_shard
from spatial.records import ImageObject, ImageRow, Record, encode_png, image_id_of
from training.config import LoraSettings, TrainConfig

ROOT = Path(__file__).parents[2]

SCRIPT_END = """
import json, sys
from training.config import EvaluateSettings, LoraSettings, TrainConfig
from training.run import train

settings = json.load(open(sys.argv[1]))
nested = {"lora": LoraSettings(**settings["lora"]), "evaluate": EvaluateSettings(**settings["evaluate"])}
train(TrainConfig(**settings | nested))
"""

COLOURS = {"red": (220, 40, 40), "blue": (40, 60, 220), "green": (40, 180, 60), "yellow": (230, 210, 50)}

SENTENCE = (
    "is the following statement true a there left right of at what where which answer yes or no"
    " red blue green yellow cup book x2 y4 x5"
)
WORDS = SENTENCE.split()
"""A vocabulary of its own keeps the golden losses when templates are added."""

_VIT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}

PRESET = {
    "towers": {
        "clip": {**_VIT, "image_size": 32, "patch_size": 8, "intermediate_size": 32},
        "dinov2": {**_VIT, "image_size": 28, "patch_size": 7, "mlp_ratio": 2},
    },
    "text": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
    },
    "canvas_size": 32,
}


def make_image(left: str, right: str, seed: int) -> tuple[ImageRow, list[Record]]:
    """Return an image with a coloured cup on the left and a coloured book on the right, and what is said of it."""
    random = np.random.default_rng(seed)
    pixels = random.integers(90, 110, (32, 32, 3)).astype(np.uint8)
    pixels[10:22, 4:14], pixels[10:22, 18:28] = COLOURS[left], COLOURS[right]
    cup, book = ImageObject("cup", (4, 10, 14, 22), left), ImageObject("book", (18, 10, 28, 22), right)
    image_id = image_id_of(pixels)
    row = ImageRow(image_id, encode_png(pixels), 32, 32, "render", (cup, book))

    def record(task: str, topic: str, caption: str, answer: str, relation: str = "") -> Record:
        return Record(image_id, f"g{seed}", "base", task, topic, caption, answer, 0, 1, relation)

    scene = f"x2 y4 {left} cup, x5 y4 {right} book"
    said = f"The {left} cup is {{}} the {right} book."
    return row, [
        record("statement", "relation", said.format("left of"), "true", "left of"),
        record("statement", "relation", said.format("right of"), "false", "right of"),
        record("statement", "colour", f"The cup is {left}.", "true"),
        record("statement", "colour", f"The book is {left}.", "true" if left == right else "false"),
        record("statement", "presence", f"There is a {left} cup.", "true"),
        record("locate", "cell", f"The {left} cup is at x2 y4.", "x2 y4"),
        record("name", "cell", f"The {right} book is at x5 y4.", f"{right} book"),
        record("caption", "scene", scene, scene),
    ]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset folder of 16 images with 8 records each."""
    folder = tmp_path_factory.mktemp("data")
    names = list(COLOURS)
    made = [make_image(left, right, 4 * i + j) for i, left in enumerate(names) for j, right in enumerate(names)]
    write_shard(folder, 0, [row for row, _ in made], [record for _, records in made for record in records])
    return folder


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function that saves a checkpoint of ours with random weights, given fusion and vocabulary."""

    def make(fusion: str, vocabulary: Sequence[str] = WORDS) -> Path:
        folder = tmp_path_factory.mktemp("model")
        model, processor = assemble(PRESET, ["clip", "dinov2"], fusion, vocabulary, seed=0)
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def model_path(make_model: Callable[..., Path]) -> Path:
    """A checkpoint of ours with random weights."""
    return make_model("channel")


def tiny_config(model: Path, data: Path, out: Path) -> TrainConfig:
    """Return a pre-training run of 8 steps in 4 epochs."""
    return TrainConfig(
        model=str(model),
        data=[str(data)],
        out=str(out),
        stage="pretrain",
        lora=LoraSettings(r=4, alpha=8, dropout=0.0),
        statements_per_image=3,
        trainer={
            "per_device_train_batch_size": 8,
            "max_steps": 8,
            "learning_rate": 1e-3,
            "logging_steps": 1,
            "save_steps": 3,
            "report_to": "none",
        },
    )


@pytest.fixture
def config(model_path: Path, data: Path, tmp_path: Path) -> TrainConfig:
    """A pre-training run of 8 steps in 4 epochs."""
    return tiny_config(model_path, data, tmp_path / "out")


@pytest.fixture
def train_elsewhere(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """A function that trains a config in other processes and returns their exit code and output."""

    def run(
        config: TrainConfig, launcher: tuple[str, ...] = (), before: str = "", timeout: float = 240
    ) -> tuple[int, str]:
        (tmp_path / "config.json").write_text(json.dumps(asdict(config)))
        (tmp_path / "script.py").write_text(before + SCRIPT_END)
        command = [sys.executable, *launcher, str(tmp_path / "script.py"), str(tmp_path / "config.json")]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        output = tmp_path / "output.txt"
        with output.open("w") as file:
            process = subprocess.Popen(
                command, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # a launcher's children too
                raise
        return code, output.read_text()

    return run
