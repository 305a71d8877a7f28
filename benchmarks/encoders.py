"""What our one canvas saves the host, and how many pictures per second the encoders of the VSRE paper look at.

    python benchmarks/encoders.py [--quick] [--out FILE]

Host: one letterboxed uint8 canvas of 1024 pixels, as our processor makes it, against the image processors of CLIP,
SigLIP, DINOv2 and SAM called one after the other on the same pictures (640 x 480, decoded already), each with the
settings of its published checkpoint and Transformers' PIL backend, which is what runs without torchvision. Rounds of
the two alternate; the ratio is of their medians. What the canvas leaves to the device is counted there.

Device: the four towers at their published sizes with random weights, each by itself from the canvas (resize and
normalisation included), and all of them with VSRE's sequence fusion to a language model of width 4096. On a GPU in
bfloat16 and batches, else in float32 and one by one. Every one runs once unmeasured, then ``rounds`` times, of which
the median counts. Achieved TFLOP/s stands beside it. Nothing else should run: "load" is what the machine did before.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _clock import DEVICE, timed, torch_machine
from _report import finish, options
from PIL import Image
from torch import nn
from transformers import BitImageProcessorPil, CLIPImageProcessorPil, SamImageProcessorPil, SiglipImageProcessorPil

sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != Path(__file__).parent.resolve()]
# This file has the name of the package that it measures, and its folder comes first on the path.

from encoders.configuration import VsreConfig  # noqa: E402
from encoders.flops import projector_flops, tower_flops  # noqa: E402
from encoders.fusion import FUSIONS  # noqa: E402
from encoders.processing import VsreImageProcessor  # noqa: E402
from encoders.published import VSRE_TOWERS, published_entry  # noqa: E402
from encoders.tower import FusedVisionModel  # noqa: E402

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


def pictures(count: int, seed: int = 0) -> list[Image.Image]:
    """Return smooth random pictures of 640 x 480, which cost a resampler what photos do."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 30, 40, 3), dtype=np.uint8)
    return [Image.fromarray(pixels).resize((640, 480), Image.Resampling.BICUBIC) for pixels in coarse]


def separate_processors() -> list[Any]:
    """Return the image processors of the four published checkpoints, in the settings of their files."""
    return [
        CLIPImageProcessorPil(size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}),
        SiglipImageProcessorPil(
            size={"height": 384, "width": 384}, image_mean=[0.5] * 3, image_std=[0.5] * 3, resample=3
        ),
        BitImageProcessorPil(
            size={"shortest_edge": 256}, crop_size={"height": 224, "width": 224}, resample=3, **IMAGENET
        ),
        SamImageProcessorPil(size={"longest_edge": 1024}, pad_size={"height": 1024, "width": 1024}, **IMAGENET),
    ]


def preprocessing(images: list[Image.Image], rounds: int) -> tuple[list[float], list[float]]:
    """Return milliseconds per picture of our canvas and of the four processors, one figure of each per round."""
    ours, theirs = VsreImageProcessor(size={"height": 1024, "width": 1024}), separate_processors()

    def canvas(image: Image.Image) -> None:
        ours(images=image, return_tensors="pt")

    def separately(image: Image.Image) -> None:
        for processor in theirs:
            processor(images=image, return_tensors="pt")

    timings: dict[Callable[[Image.Image], None], list[float]] = {canvas: [], separately: []}
    for function in timings:
        function(images[0])  # warms up
    for _ in range(rounds):
        for function, figures in timings.items():
            start = time.perf_counter()
            for image in images:
                function(image)
            figures.append(1000 * (time.perf_counter() - start) / len(images))
    return timings[canvas], timings[separately]


def throughput(rounds: int, batch: int) -> dict[str, tuple[float, float]]:
    """Return (pictures per second, TFLOP/s) of each encoder and of all of them fused, medians over the rounds."""
    published = dict(published_entry(hub_id) for hub_id in VSRE_TOWERS)
    published["clip"]["feature_layer"] = -2
    config = VsreConfig(
        vision_config={"encoders": list(published), "towers": published},
        text_config={"model_type": "llama", "hidden_size": 4096},
        aligner="mlp3x_gelu",
        layer_norm=False,
    )
    dtype = torch.bfloat16 if DEVICE == "cuda" else torch.float32
    towers = _random(FusedVisionModel, config.vision, dtype)
    projector = _random(FUSIONS[config.fusion], config, dtype)
    canvas = torch.randint(0, 256, (batch, 3, 1024, 1024), dtype=torch.uint8, device=DEVICE)
    flops = tower_flops(config.vision)
    jobs: dict[str, tuple[Callable[[], Any], int]] = {
        name: (lambda name=name: towers(canvas, encoders=[name]), flops[name]) for name in flops
    }
    jobs["fused"] = (lambda: projector(towers(canvas)), sum(flops.values()) + projector_flops(config))
    rates = {}
    with torch.no_grad():
        for name, (job, cost) in jobs.items():
            job()  # warms up
            seconds = statistics.median(timed(job)[0] for _ in range(rounds))
            rates[name] = (batch / seconds, batch * cost / seconds / 1e12)
    return rates


def main() -> None:
    """Measure, print a table, and end with one line of JSON."""
    arguments, before = options(__doc__, "fewer pictures and rounds"), torch_machine()
    ours, theirs = preprocessing(pictures(4 if arguments.quick else 16), 5 if arguments.quick else 9)
    batch, rounds = 16 if DEVICE == "cuda" else 1, 2 if arguments.quick and DEVICE == "cpu" else 5
    rates = throughput(rounds, batch)
    ratio = statistics.median(theirs) / statistics.median(ours)
    result = {
        "benchmark": "encoders",
        "preprocess_ratio": round(ratio, 2),
        "canvas_ms": round(statistics.median(ours), 2),
        "four_processors_ms": round(statistics.median(theirs), 2),
        "images_per_second": {name: round(rate, 3) for name, (rate, _) in rates.items()},
        "tflops_per_second": {name: round(speed, 3) for name, (_, speed) in rates.items()},
        "rounds": rounds,
        "batch": batch,
        **before,
    }
    print(f"{'host, ms per picture':<24}{'median':>10}{'lowest':>10}{'highest':>10}")
    print(f"{'one canvas of 1024':<24}{_row(ours)}")
    print(f"{'four processors':<24}{_row(theirs)}")
    print(f"{'ratio':<24}{ratio:>10.2f}  (target >= 3)\n")
    print(f"{'device':<24}{'pictures/s':>12}{'TFLOP/s':>10}")
    for name, (rate, speed) in rates.items():
        print(f"{name:<24}{rate:>12.3f}{speed:>10.3f}")
    finish(result, arguments.out)


def _random(module_class: Callable[[Any], nn.Module], config: Any, dtype: torch.dtype) -> nn.Module:
    """Build a module with small random weights without the minutes that careful initialisation takes."""
    with torch.device("meta"):
        module = module_class(config)
    module = module.to_empty(device=DEVICE).to(dtype).eval()
    generator = torch.Generator(DEVICE).manual_seed(0)
    for tensor in [*module.parameters(), *module.buffers()]:
        if tensor.is_floating_point():
            nn.init.normal_(tensor.data, std=0.02, generator=generator)
    for name, positions in module.named_buffers():
        if name.endswith("position_ids"):
            positions.copy_(torch.arange(positions.shape[-1]))
    return module


def _row(figures: list[float]) -> str:
    return f"{statistics.median(figures):>10.1f}{min(figures):>10.1f}{max(figures):>10.1f}"


if __name__ == "__main__":
    main()
