"""How much faster the staircase is than one forward pass per patched cell, and how nearly it says the same.

    python benchmarks/mediation.py [--quick] [--out FILE]

The oracle (``eval.interpret.oracle``) is an honest one: the picture is encoded once, the two plain runs are made once,
and each cell costs one forward pass of the model itself with a hook. (The published code makes three, and encodes the
picture in each.) "llava": 8 layers of width 256, 576 image tokens and 26 others; MLP and attention of every layer
are patched at each of 22 tokens after the picture. "blip": a question encoder of 4 layers and 6 heads, 145 image tokens
and 9 of a question; MLP, self- and cross-attention are patched at each of them, and every head of both. Weights are
random, and large enough that attention chooses and the picture decides; numbers are float32, on a GPU if there is one.

Rounds alternate between the sides. In each, the staircase runs once, plain runs included, and the oracle some of at
least 40 seeded cells, whose time is scaled to all; the ratio is of medians.

An answer is read as the difference of two tokens' logits, those that the two plain runs disagree most about. How far
the sides are apart in it is told of the worst of the sampled cells, in logits and in shares of what separates the two
plain runs (``max_abs_diff``). The same of some of the cells in float64 tells what of it is rounding.

``work_ratio_7b`` is counted, not timed: token-layers of the published procedure on LLaVA-1.5-7B (32 layers, 601 tokens,
18 of them patched; three forward passes per cell) over those of the staircase with its two plain runs.
"""

import random
import re
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from _clock import DEVICE, timed, torch_machine
from _report import finish, options
from tqdm import tqdm
from transformers import (
    BlipConfig,
    BlipForQuestionAnswering,
    BlipTextConfig,
    BlipVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
)

sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != Path(__file__).parent.resolve()]

from eval.interpret.capture import capture  # noqa: E402
from eval.interpret.cross import CrossStack  # noqa: E402
from eval.interpret.decoders import DecoderStack  # noqa: E402
from eval.interpret.oracle import observe, patched  # noqa: E402
from eval.interpret.sites import Cell, Patch  # noqa: E402
from eval.interpret.stack import Prompt, Stack  # noqa: E402
from eval.interpret.staircase import plan, planned_work, sweep  # noqa: E402

SAMPLED, IN_FLOAT64 = 40, 10
"""Cells whose oracle is timed, at least, and those that are compared in float64."""


@dataclass(frozen=True)
class Setting:
    """A model, two prompts, and what is patched.

    Attributes:
        stack: the model.
        clean: the prompt whose values are taken over.
        corrupt: the one that is changed.
        cells: what is patched.
        tokens: whose logits are compared, those of the largest and the smallest difference between the plain runs.
        gap: what separates the plain runs: the difference of the two logits in the clean one less that in the other.
    """

    stack: Stack
    clean: Prompt
    corrupt: Prompt
    cells: list[Cell]
    tokens: tuple[int, int]
    gap: float


def llava(dtype: torch.dtype = torch.float32) -> Setting:
    """Return a LLaVA-like language model, two prompts with different pictures, and the cells."""
    sizes = {"hidden_size": 256, "num_hidden_layers": 8, "num_attention_heads": 8, "intermediate_size": 688}
    config = LlamaConfig(**sizes, vocab_size=2000, attn_implementation="sdpa")
    stack = DecoderStack(_random(LlamaForCausalLM(config), dtype))
    generator = torch.Generator().manual_seed(1)
    words = torch.randn(602, 256, generator=generator)
    prompts = []
    for _ in range(2):
        states = words.clone()
        states[4:580] = torch.randn(576, 256, generator=generator)
        prompts.append(stack.begin(states.to(DEVICE, dtype)))
    cells = [
        Cell((Patch(kind, layer, (place,)),))
        for kind, layer, place in product(("mlp", "attn"), range(8), range(580, 602))
    ]
    return _setting(stack, *prompts, cells)


def blip(dtype: torch.dtype = torch.float32) -> Setting:
    """Return a BLIP for questions, two prompts with different pictures, and the cells."""
    sizes = {"hidden_size": 384, "num_hidden_layers": 4, "num_attention_heads": 6, "intermediate_size": 1536}
    text = BlipTextConfig(**sizes, encoder_hidden_size=384, vocab_size=2000, bos_token_id=1, sep_token_id=2)
    vision = BlipVisionConfig(**sizes, image_size=192, patch_size=16)
    config = BlipConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), image_text_hidden_size=64)
    stack = CrossStack(_random(BlipForQuestionAnswering(config), dtype))
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(3, 2000, (9,), generator=generator).to(DEVICE)
    prompts = [stack.begin(ids, torch.randn(145, 384, generator=generator).to(DEVICE, dtype)) for _ in range(2)]
    cells = [
        Cell((Patch(kind, layer, (place,)),))
        for kind, layer, place in product(("mlp", "attn", "cross"), range(4), range(9))
    ]
    heads = product(("z", "cross_z"), range(4), range(9), range(6))
    cells += [Cell((Patch(kind, layer, (p,), (h,)),)) for kind, layer, p, h in heads]
    return _setting(stack, *prompts, cells)


def measure(make: Callable[..., Setting], rounds: int) -> dict[str, Any]:
    """Return the times of both sides, their ratio, and how far they are apart."""
    setting = make()
    chosen = random.Random(0).sample(range(len(setting.cells)), max(SAMPLED, rounds))
    oracle = _oracle(setting)
    ours, theirs, found, expected = [], [], torch.empty(0), {}
    _climb(setting), oracle(0)  # both sides have run once before they are timed
    for part in tqdm([chosen[start::rounds] for start in range(rounds)], unit="round"):
        seconds, found = timed(lambda: _climb(setting))
        ours.append(seconds)
        for number in part:
            seconds, expected[number] = timed(lambda number=number: oracle(number))
            theirs.append(seconds)
    apart = max(abs(answer - float(found[number])) for number, answer in expected.items())
    slow = statistics.median(theirs) * len(setting.cells)
    return {
        "ours_s": statistics.median(ours),
        "oracle_s": slow,
        "ratio": slow / statistics.median(ours),
        "gap": setting.gap,
        "logits_apart": apart,
        "apart": apart / setting.gap,
        "apart_float64": apart_in_float64(make, chosen[:IN_FLOAT64]),
        "sampled": f"{len(chosen)}/{len(setting.cells)}",
    }


def apart_in_float64(make: Callable[..., Setting], chosen: Sequence[int]) -> float:
    """Return how far the sides are apart in float64, in shares of the gap, over some cells."""
    setting = make(torch.float64)
    oracle, found = _oracle(setting), _climb(setting)
    return max(abs(oracle(number) - float(found[number])) for number in chosen) / setting.gap


def work_ratio_7b() -> float:
    """Return the token-layers of the published procedure over ours, one kind of site of LLaVA-1.5-7B."""
    shape: Any = SimpleNamespace(layers=32, causal=True)
    length, places = 601, range(583, 601)
    cells = [Cell((Patch("mlp", layer, (place,)),)) for layer, place in product(range(32), places)]
    ours = planned_work(shape, cells, plan(cells), length).token_layers + 2 * length * 32
    return 3 * (len(cells) + 1) * length * 32 / ours


def main() -> None:
    """Measure, print a table, and end with one line of JSON."""
    arguments, before = options(__doc__, "fewer rounds"), torch_machine()
    rounds = 5 if arguments.quick else 15
    with torch.no_grad():
        found = {name: measure(make, rounds) for name, make in (("llava", llava), ("blip", blip))}
    result = {
        "benchmark": "mediation",
        "llava_ratio": round(found["llava"]["ratio"], 1),
        "blip_ratio": round(found["blip"]["ratio"], 1),
        "max_abs_diff": max(side["apart"] for side in found.values()),
        "max_abs_diff_logits": max(side["logits_apart"] for side in found.values()),
        "max_abs_diff_float64": max(side["apart_float64"] for side in found.values()),
        "gaps": {name: round(side["gap"], 2) for name, side in found.items()},
        "work_ratio_7b": round(work_ratio_7b(), 1),
        "sampled": {name: side["sampled"] for name, side in found.items()},
        "rounds": rounds,
        **before,
    }
    print(
        f"{'':<8}{'staircase, s':>14}{'oracle, s':>12}{'ratio':>8}{'gap':>8}{'apart':>10}{'float64':>10}  calls timed"
    )
    for name, side in found.items():
        seconds = f"{side['ours_s']:>14.3f}{side['oracle_s']:>12.1f}{side['ratio']:>8.1f}"
        figures = f"{side['gap']:>8.2f}{side['apart']:>10.1e}{side['apart_float64']:>10.1e}"
        print(f"{name:<8}{seconds}{figures}  {side['sampled']}")
    print(
        f"targets: llava >= 20, blip >= 10, apart <= 1e-5; work at 7B shape {result['work_ratio_7b']} (target >= 150)"
    )
    finish(result, arguments.out)


def _setting(stack: Stack, clean: Prompt, corrupt: Prompt, cells: list[Cell]) -> Setting:
    with torch.no_grad():
        apart_V = (stack.forward(clean) - stack.forward(corrupt)).double()
    tokens = int(apart_V.argmax()), int(apart_V.argmin())
    return Setting(stack, clean, corrupt, cells, tokens, float(apart_V[tokens[0]] - apart_V[tokens[1]]))


def _climb(setting: Setting) -> torch.Tensor:
    """Return the answers of all cells by the staircase, plain runs included."""
    stack = setting.stack
    runs = capture(stack, setting.corrupt), capture(stack, setting.clean)
    logits_RK = sweep(stack, *runs, setting.cells, setting.tokens).logits_RK
    return logits_RK[:, 0] - logits_RK[:, 1]


def _oracle(setting: Setting) -> Callable[[int], float]:
    """Return what gives the answer of a cell by a forward pass of its own."""
    values = observe(setting.stack, setting.clean, setting.stack.kinds)
    first, second = setting.tokens

    def answer(number: int) -> float:
        logits_V = patched(setting.stack, setting.corrupt, values, setting.cells[number])
        return float(logits_V[first] - logits_V[second])

    return answer


def _random(model: Any, dtype: torch.dtype, seed: int = 0) -> Any:
    """Return the model with weights so large that what is patched matters, and those of queries and keys larger."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if weight.ndim > 1:
            sharper = 1.5 if re.search(r"(q_proj|k_proj|query|key)\.weight$", name) else 1
            torch.nn.init.normal_(weight.data, std=sharper * weight.shape[-1] ** -0.5, generator=generator)
    return model.to(DEVICE, dtype).eval()


if __name__ == "__main__":
    main()
