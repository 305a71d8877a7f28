"""A small diffusion model that paints a scene's geometry: diffusers' own network and scheduler, in pixel space.

Pictures of 128 pixels are cut into squares of 4 x 4, so the network works on 32 x 32 cells of 48 numbers. Beside the
noisy picture it is given the maps of ``encoders.painter_inputs`` as further channels, and attends to the phrases of
the prompt where its grid is coarsest. It predicts the clean picture: to predict the noise of a cell it would have to
carry all of it through a network that is hardly wider (arXiv 2511.13720). The noise schedule ends in pure noise, and
sampling begins there (arXiv 2305.08891), so that few steps do.

Shapes: see ``encoders.painter_inputs``; D = 3 PATCH^2.
"""

import json
from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from encoders.painter_inputs import PATCH, Words, map_channels, to_pixels, without_words
from spatial.errors import CheckpointError, ConfigError, first_line
from spatial.vocabulary import COLOURS

try:
    from diffusers import DDIMScheduler, DiffusionPipeline, UNet2DConditionModel
except ImportError as error:
    raise ConfigError("the painter needs diffusers; run: scripts/setup.sh") from error

NOUNS = (
    *("dog", "cat", "teddy bear", "chair", "couch", "bench", "dining table", "cup"),
    *("bottle", "book", "laptop", "potted plant", "suitcase", "tv", "car", "bus"),
)
"""What ``tiny-depth`` can paint: the core nouns of the renders."""

PIXELS = 3 * PATCH**2

WEIGHTS = "diffusion_pytorch_model.safetensors"
PARTS = {"scheduler": ["diffusers", "DDIMScheduler"], "unet": ["diffusers", "UNet2DConditionModel"]}

MEND = "train one with 'vsre train configs/train/tiny-depth.yaml', or name 'tiny-depth', which is shipped"

SIZES: dict[str, Any] = {
    "sample_size": 32,
    "block_out_channels": (64, 96, 112),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "DownBlock2D", "SimpleCrossAttnDownBlock2D"),
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "up_block_types": ("SimpleCrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 64,
    "attention_head_dim": 28,
    "norm_num_groups": 16,
}
"""The network of ``tiny-depth``; these blocks attend to places and words at once and have no feed-forward layers."""

STEPS, GUIDANCE = 6, 1.0
"""Steps of denoising, and how far to go beyond what would be painted without words, if nobody says otherwise."""


class PainterPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Paints pictures from geometry and words; saved and loaded as every diffusers pipeline.

    Args:
        unet: predicts the clean picture (B, D, S, S) of a noisy one and the maps, (B, D + C, S, S).
        scheduler: with ``prediction_type`` "sample".
        nouns: that it knows, with ", " between; diffusers takes a list for the name of a class.
        colours: likewise.
    """

    def __init__(
        self, unet: Any, scheduler: Any, nouns: str = ", ".join(NOUNS), colours: str = ", ".join(COLOURS)
    ) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)
        self.register_to_config(nouns=nouns, colours=colours)
        self.words = Words(nouns.split(", "), colours.split(", "))

    @property
    def size(self) -> int:
        """Width and height of its pictures in pixels."""
        return int(self.unet.config.sample_size) * PATCH

    @torch.inference_mode()
    def __call__(
        self,
        maps: Tensor,
        prompts: Tensor,
        generators: Sequence[torch.Generator],
        steps: int = STEPS,
        guidance: float = GUIDANCE,
        controlled: tuple[float, float] = (0.0, 1.0),
    ) -> NDArray[np.uint8]:
        """Return pictures, uint8 (B, H, W, 3).

        Args:
            maps: (B, C, S, S); all zeros to paint from the prompts alone.
            prompts: (B, T, V).
            generators: one for each picture, on the CPU.
            steps: of denoising.
            guidance: how far to go beyond what would be painted without words; 1 does not ask, and takes half as long.
            controlled: shares of the steps at which the maps set in and cease.
        """
        noise = [torch.randn(PIXELS, *maps.shape[-2:], generator=generator) for generator in generators]
        self.scheduler.set_timesteps(steps, device=self.device)
        picture = torch.stack(noise).to(self.device, self.unet.dtype) * self.scheduler.init_noise_sigma
        maps, prompts = maps.to(picture), prompts.to(picture)
        drawn = {"generator": list(generators)} if "generator" in signature(self.scheduler.step).parameters else {}
        for index, time in enumerate(self.progress_bar(self.scheduler.timesteps)):
            within = controlled[0] <= index / steps and (index + 1) / steps <= controlled[1]
            given = maps if within else torch.zeros_like(maps)
            clean = self._clean(self.scheduler.scale_model_input(picture, time), given, prompts, time, guidance)
            picture = self.scheduler.step(clean, time, picture, **drawn).prev_sample
        return to_pixels(picture.cpu())

    def _clean(self, picture: Tensor, maps: Tensor, prompts: Tensor, time: Tensor, guidance: float) -> Tensor:
        """Return the clean picture that the network sees in a noisy one."""
        clean = predict(self.unet, picture, maps, prompts, time)
        if guidance == 1:
            return clean
        wordless = predict(self.unet, picture, without_words(maps), torch.zeros_like(prompts), time)
        return wordless + guidance * (clean - wordless)


def predict(unet: Any, picture: Tensor, maps: Tensor, prompts: Tensor, time: Tensor) -> Tensor:
    """Return the clean picture (B, D, S, S) that the network sees in a noisy one."""
    told = torch.cat([picture, maps], dim=1).contiguous(memory_format=torch.channels_last)
    clean: Tensor = unet(told, time, encoder_hidden_states=prompts).sample
    return clean


def build_painter(nouns: Sequence[str] = NOUNS, sizes: dict[str, Any] | None = None, seed: int = 0) -> PainterPipeline:
    """Return a painter with seeded random weights; the global random state is left as it was.

    Args:
        nouns: that it shall know.
        sizes: of ``UNet2DConditionModel``; by default those of ``tiny-depth``.
        seed: of the weights.
    """
    words = Words(nouns)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            in_channels=PIXELS + map_channels(len(words)),
            out_channels=PIXELS,
            encoder_hid_dim=len(words),
            encoder_hid_dim_type="text_proj",
            **(sizes or SIZES),
        )
    scheduler = DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="sample",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )
    painter = PainterPipeline(unet, scheduler, ", ".join(nouns))
    painter.set_progress_bar_config(disable=True)
    return painter


def load_painter(path: str | Path, dtype: torch.dtype = torch.float32) -> PainterPipeline:
    """Load a painter that ``vsre train`` wrote, for painting.

    Args:
        path: its directory.
        dtype: of the weights.

    Raises:
        CheckpointError: the directory is absent, holds something else, is incomplete or damaged.
    """
    folder = Path(path)
    index = _index(folder)
    known = index.get("_class_name")
    if known != PainterPipeline.__name__:
        raise CheckpointError(f"{folder} holds a {known}, not a {PainterPipeline.__name__}; {MEND}")
    parts = {name: value for name, value in index.items() if isinstance(value, list)}
    if parts != PARTS:  # diffusers would import whatever stands there
        raise CheckpointError(f"{folder}: model_index.json names parts {parts}, not {PARTS}; {MEND}")
    try:
        painter = PainterPipeline.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, trust_remote_code=False, local_files_only=True
        )
        with safe_open(folder / "unet" / WEIGHTS, framework="pt") as file:
            found = set(file.keys())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        line = first_line(error)
        raise CheckpointError(f"{folder} cannot be loaded ({line}); {MEND}") from error
    # diffusers fills what a file lacks with random numbers and goes on.
    lacking = sorted(set(painter.unet.state_dict()) - found)
    if lacking:
        raise CheckpointError(f"{folder} lacks {len(lacking)} weights, the first is {lacking[0]}; {MEND}")
    told = painter.unet.config.in_channels - PIXELS
    if told != map_channels(len(painter.words)):
        raise CheckpointError(f"{folder}: the network takes {told} channels of maps, not those of its words; {MEND}")
    painter.unet.eval()
    painter.set_progress_bar_config(disable=True)
    return painter


def _index(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise CheckpointError(f"model directory {folder} does not exist; {MEND}")
    try:
        content: dict[str, Any] = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} has no model_index.json that can be read ({error}); {MEND}") from error
    return content
