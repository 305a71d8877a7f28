"""How much faster the staircase is than one forward pass per patched cell, and how nearly it says the same.

    python benchmarks/mediation.py [--quick] [--out FILE]

The oracle (``eval.interpret.oracle``) is an honest one: the picture is encoded once, the two plain runs are made once,
and each cell costs one forward pass of the model itself with a hook. (The published code makes three, and encodes the
picture in each.) "llava": 8 layers of width 256, 576 image tokens and 26 others; MLP and attention of every layer
are patched at each of 22 tokens after the picture. "blip": a question encoder of 4 layers and 6 heads, 145 image tokens
and 9 of a question; MLP, self- and cross-attention are patched at each of them, and every head of both. Weights are
random, numbers float32, on a GPU if there is one.

Rounds alternate between the sides. In each, the staircase runs once, plain runs included, and the oracle some of at
least 40 seeded cells, whose time is scaled to all; the ratio is of medians. ``max_abs_diff`` is over the sampled cells,
of the difference of two answers' logits, divided by what separates the two plain runs.

``work_ratio_7b`` is counted, not timed: token-layers of the published procedure on LLaVA-1.5-7B (32 layers, 601 tokens,
18 of them patched; three forward passes per cell) over those of the staircase with its two plain runs.
"""

import random
import statistics
import sys
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

TOKENS = (3, 7)
SAMPLED = 40
Setting = tuple[Stack, Prompt, Prompt, list[Cell]]


def llava() -> Setting:
    """Return a LLaVA-like language model, two prompts with different pictures, and the cells."""
    sizes = {"hidden_size": 256, "num_hidden_layers": 8, "num_attention_heads": 8, "intermediate_size": 688}
    config = LlamaConfig(**sizes, vocab_size=2000, attn_implementation="sdpa")
    stack = DecoderStack(_random(LlamaForCausalLM(config)))
    generator = torch.Generator().manual_seed(1)
    words = torch.randn(602, 256, generator=generator)
    prompts = []
    for _ in range(2):
        states = words.clone()
        states[4:580] = torch.randn(576, 256, generator=generator)
        prompts.append(stack.begin(states.to(DEVICE)))
    cells = [
        Cell((Patch(kind, layer, (place,)),))
        for kind, layer, place in product(("mlp", "attn"), range(8), range(580, 602))
    ]
    return stack, *prompts, cells


def blip() -> Setting:
    """Return a BLIP for questions, two prompts with different pictures, and the cells."""
    sizes = {"hidden_size": 384, "num_hidden_layers": 4, "num_attention_heads": 6, "intermediate_size": 1536}
    text = BlipTextConfig(**sizes, encoder_hidden_size=384, vocab_size=2000, bos_token_id=1, sep_token_id=2)
    vision = BlipVisionConfig(**sizes, image_size=192, patch_size=16)
    config = BlipConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), image_text_hidden_size=64)
    stack = CrossStack(_random(BlipForQuestionAnswering(config)))
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(3, 2000, (9,), generator=generator).to(DEVICE)
    prompts = [stack.begin(ids, torch.randn(145, 384, generator=generator).to(DEVICE)) for _ in range(2)]
    cells = [
        Cell((Patch(kind, layer, (place,)),))
        for kind, layer, place in product(("mlp", "attn", "cross"), range(4), range(9))
    ]
    heads = product(("z", "cross_z"), range(4), range(9), range(6))
    return stack, *prompts, cells + [Cell((Patch(kind, layer, (p,), (h,)),)) for kind, layer, p, h in heads]


def measure(setting: Setting, rounds: int) -> dict[str, Any]:
    """Return the times of both sides, their ratio, and how far they are apart."""
    stack, clean, corrupt, cells = setting
    chosen = random.Random(0).sample(range(len(cells)), max(SAMPLED, rounds))
    ours, theirs, found, expected = [], [], torch.empty(0), {}
    values = observe(stack, clean, stack.kinds)

    def climb() -> torch.Tensor:
        return sweep(stack, capture(stack, corrupt), capture(stack, clean), cells, TOKENS).logits_RK

    climb(), patched(stack, corrupt, values, cells[0])  # both sides have run once before they are timed
    for part in tqdm([chosen[start::rounds] for start in range(rounds)], unit="round"):
        seconds, found = timed(climb)
        ours.append(seconds)
        for number in part:
            seconds, expected[number] = timed(lambda number=number: patched(stack, corrupt, values, cells[number]))
            theirs.append(seconds)
    gap = _gap(stack.forward(clean)) - _gap(stack.forward(corrupt))
    apart = max(abs(_gap(logits) - float(found[n][0] - found[n][1])) for n, logits in expected.items())
    slow = statistics.median(theirs) * len(cells)
    return {
        "ours_s": statistics.median(ours),
        "oracle_s": slow,
        "ratio": slow / statistics.median(ours),
        "apart": apart / abs(gap),
        "sampled": f"{len(chosen)}/{len(cells)}",
    }


def work_ratio_7b() -> float:
    """Return the token-layers of the published procedure over ours, one kind of site of LLaVA-1.5-7B."""
    shape: Any = SimpleNamespace(layers=32, causal=True)
    length, places = 601, range(583, 601)
    cells = [Cell((Patch("mlp", layer, (place,)),)) for layer, place in product(range(32), places)]
    ours = planned_work(shape, cells, plan(shape, cells, length), length).token_layers + 2 * length * 32
    return 3 * (len(cells) + 1) * length * 32 / ours


def main() -> None:
    """Measure, print a table, and end with one line of JSON."""
    arguments, before = options(__doc__, "fewer rounds"), torch_machine()
    rounds = 5 if arguments.quick else 15
    with torch.no_grad():
        found = {name: measure(make(), rounds) for name, make in (("llava", llava), ("blip", blip))}
    result = {
        "benchmark": "mediation",
        "llava_ratio": round(found["llava"]["ratio"], 1),
        "blip_ratio": round(found["blip"]["ratio"], 1),
        "max_abs_diff": max(side["apart"] for side in found.values()),
        "work_ratio_7b": round(work_ratio_7b(), 1),
        "sampled": {name: side["sampled"] for name, side in found.items()},
        "rounds": rounds,
        **before,
    }
    print(f"{'':<8}{'staircase, s':>14}{'oracle, s':>12}{'ratio':>8}{'apart':>10}  calls timed")
    for name, side in found.items():
        figures = f"{side['ours_s']:>14.3f}{side['oracle_s']:>12.1f}{side['ratio']:>8.1f}{side['apart']:>10.1e}"
        print(f"{name:<8}{figures}  {side['sampled']}")
    print(
        f"targets: llava >= 20, blip >= 10, apart <= 1e-5; work at 7B shape {result['work_ratio_7b']} (target >= 150)"
    )
    finish(result, arguments.out)


def _random(model: Any, seed: int = 0) -> Any:
    """Return the model with weights large enough that what is patched matters."""
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight.data, std=weight.shape[-1] ** -0.5, generator=generator)
    return model.to(DEVICE).eval()


def _gap(logits: torch.Tensor) -> float:
    return float(logits[TOKENS[0]] - logits[TOKENS[1]])


if __name__ == "__main__":
    main()
