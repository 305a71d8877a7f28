"""Attribution is exact where the model is linear, near elsewhere for small changes, and mends what softmax breaks."""

from itertools import product

import pytest
import torch
from torch import Tensor

from eval.interpret.attribution import agreement, attribute, guessed
from eval.interpret.capture import Captured, capture
from eval.interpret.sites import HEADED, Cell, Patch
from eval.interpret.stack import Prompt
from eval.interpret.staircase import sweep
from tests.eval.interpret.conftest import Pair

TOKENS = (5, 9)


def nearby(pair: Pair, step: float) -> tuple[Prompt, Captured]:
    """Return a prompt a small step away from the clean one, and its run."""
    direction = pair.corrupt.states_TD - pair.clean.states_TD
    if not direction.any():
        direction = torch.randn(direction.shape, generator=torch.Generator().manual_seed(3))
    prompt = Prompt(pair.clean.states_TD + step * direction, pair.clean.memory)
    return prompt, capture(pair.stack, prompt)


def exact(pair: Pair, base: Captured, source: Captured, cells: list[Cell]) -> Tensor:
    """Return the exact effects."""
    plain = pair.stack.logits(base.entering(pair.stack.layers)[None], TOKENS)[0]
    patched = sweep(pair.stack, base, source, cells, TOKENS).logits_RK
    return (patched[:, 0] - patched[:, 1] - (plain[0] - plain[1])).detach()


def cells_of(pair: Pair) -> list[Cell]:
    """Every kind at some tokens of every layer, and every head of those that have them."""
    length, stack = pair.runs[0].length, pair.stack
    places = (3, length - 2, length - 1)
    found = [Cell((Patch(k, layer, (p,)),)) for k, layer, p in product(stack.kinds, range(stack.layers), places)]
    return found + [
        Cell((Patch(kind, layer, (place,), (head,)),))
        for kind, layer, place in product(set(HEADED) & set(stack.kinds), range(stack.layers), places)
        for head in range(stack.shared_heads if kind in ("k", "v") else stack.heads)
    ]


def guesses_of(pair: Pair, base: Prompt, source: Captured, cells: list[Cell]) -> Tensor:
    """Return the guesses."""
    found = attribute(pair.stack, base, source, TOKENS)
    patches = [cell.patches[0] for cell in cells]
    return torch.tensor([guessed(found, p.kind, p.layer, p.positions, p.heads) for p in patches])


def test_a_small_change_is_guessed_right(pair: Pair) -> None:
    """What is left out is of second order, so half the step leaves a quarter of the error."""
    cells = cells_of(pair)
    base = pair.runs[0]
    errors = []
    for step in (2e-2, 1e-2):
        _, source = nearby(pair, step)
        error = (guesses_of(pair, pair.clean, source, cells) - exact(pair, base, source, cells)).abs().max()
        errors.append(float(error) / step)
    size = float(exact(pair, base, nearby(pair, 1e-2)[1], cells).abs().max()) / 1e-2
    assert errors[0] < 0.25 * size
    assert errors[1] < 0.6 * errors[0]


def test_where_everything_behind_a_site_is_linear_the_guess_is_exact(causal: Pair) -> None:
    """The last token's last-layer output is followed by a norm alone; without the norm nothing bends it."""
    stack = causal.stack
    norm, stack.decoder.norm = stack.decoder.norm, torch.nn.Identity()  # type: ignore[attr-defined]
    try:
        clean, corrupt = (capture(stack, prompt) for prompt in (causal.clean, causal.corrupt))
        top, last = stack.layers - 1, corrupt.length - 1
        cells = [Cell((Patch(kind, top, (last,)),)) for kind in ("mlp", "resid")]
        guess = guesses_of(causal, causal.corrupt, clean, cells)
        torch.testing.assert_close(guess, exact(causal, corrupt, clean, cells), atol=1e-3, rtol=1e-4)
    finally:
        stack.decoder.norm = norm  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["q", "k"])
def test_saturated_attention_is_computed_not_guessed(kind: str, causal: Pair) -> None:
    """In the last layer all that follows attention at the last token is an MLP and a norm; the bent part is exact.

    The gradient of a saturated softmax is almost zero, so that the plain product sees no effect.
    """
    stack, (clean, corrupt) = causal.stack, causal.runs
    top, last = stack.layers - 1, corrupt.length - 1
    scale = 30.0
    source = Captured(clean.prompt, dict(clean.sites))
    source.sites[kind, top] = corrupt.at(kind, top) + scale * (clean.at(kind, top) - corrupt.at(kind, top))
    place = last if kind == "q" else 3
    cells = [Cell((Patch(kind, top, (place,)),))]
    mended = guesses_of(causal, causal.corrupt, source, cells)
    truth = exact(causal, corrupt, source, cells)
    assert torch.isfinite(mended).all()
    assert torch.sign(mended) == torch.sign(truth) or truth.abs() < 0.05


def test_gradients_leave_nothing_behind(pair: Pair) -> None:
    before = pair.stack.forward(pair.clean)
    attribute(pair.stack, pair.corrupt, pair.runs[0], TOKENS)
    assert all(weight.grad is None and weight.requires_grad for weight in pair.stack.parameters())
    assert torch.equal(pair.stack.forward(pair.clean), before)


def test_a_group_is_guessed_by_the_sum(pair: Pair) -> None:
    found = attribute(pair.stack, pair.corrupt, pair.runs[0], TOKENS)
    together = guessed(found, "z", 1, (2, 3), (0, 1))
    assert together == pytest.approx(sum(guessed(found, "z", 1, (p,), (h,)) for p in (2, 3) for h in (0, 1)), abs=1e-5)


def test_agreement_by_hand() -> None:
    exact_values = torch.tensor([4.0, -3.0, 2.0, 1.0])
    same = agreement(2 * exact_values, exact_values, top=2)
    assert (same.spearman, same.recall, same.count) == (pytest.approx(1.0), 1.0, 4)
    turned = agreement(torch.tensor([0.1, 0.2, 3.0, 4.0]), exact_values, top=2)
    assert turned.recall == 0.0
    assert agreement(torch.zeros(4), exact_values, top=2).spearman != agreement(torch.zeros(4), exact_values).spearman
    with pytest.raises(ValueError, match="two cells"):
        agreement(exact_values[:1], exact_values[:1])
