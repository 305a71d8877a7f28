"""The staircase says what one forward pass of the model per cell says, whatever is patched."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch

from eval.interpret import packed
from eval.interpret.capture import capture, capture_after
from eval.interpret.decoders import DecoderStack
from eval.interpret.oracle import observe, patched
from eval.interpret.sites import HEADED, Block, Cell, Patch, window
from eval.interpret.staircase import plan, planned_work, sweep
from tests.eval.interpret.conftest import IMAGE, LENGTH, PAIRS, Pair, decoder_model

TOKENS = (5, 9)


def expected(pair: Pair, cells: list[Cell], noise: bool = False) -> torch.Tensor:
    """Return the logits of the oracle."""
    base, other = (pair.clean, pair.corrupt) if noise else (pair.corrupt, pair.clean)
    values = observe(pair.stack, other, pair.stack.kinds)
    return torch.stack([patched(pair.stack, base, values, cell)[list(TOKENS)] for cell in cells])


def found(pair: Pair, cells: list[Cell], noise: bool = False, **options: Any) -> torch.Tensor:
    """Return the logits of the staircase."""
    clean, corrupt = pair.runs
    return sweep(pair.stack, *((clean, corrupt) if noise else (corrupt, clean)), cells, TOKENS, **options).logits_RK


def one_cell_each(pair: Pair) -> list[Cell]:
    """Every kind of site at every token of every layer, and every head at some."""
    length, stack = pair.runs[0].length, pair.stack
    cells = [
        Cell((Patch(kind, layer, (place,)),))
        for kind, layer, place in product(stack.kinds, range(stack.layers), range(length))
    ]
    return cells + [
        Cell((Patch(kind, layer, (place,), (head,)),))
        for kind, layer, place in product(set(HEADED) & set(stack.kinds), range(stack.layers), (2, length - 1))
        for head in range(stack.shared_heads if kind in ("k", "v") else stack.heads)
    ]


def mixed_cells(pair: Pair) -> list[Cell]:
    """Groups of tokens, windows of layers, sets of heads, values from other tokens, cut attention; out of order."""
    length, stack = pair.runs[0].length, pair.stack
    words = tuple(range(length - 5, length))
    early = tuple(range(1, 1 + IMAGE))
    cells = [window(kind, layer, 3, stack.layers, words) for kind in stack.kinds for layer in range(stack.layers)]
    cells += [window("z", 1, 3, stack.layers, words, (0, 3)), window("resid", 2, 1, stack.layers, early)]
    cells += [Cell((Patch("resid", 1, early, (), early[::-1]),)), Cell((Patch("z", 0, (2, 3), (1,), (3, 2)),))]
    cells += [Cell((Patch("k", 1, words), Patch("mlp", 1, (3,)))), Cell((Patch("mlp", 0, (3,)), Patch("q", 2, words)))]
    cells += [Cell((Patch("v", 1, (2, 3), (0,), (3, 2)),))]
    cells += [Cell((Patch("z", 2, words, (1, 2)), Patch("mlp", 0, (3,)), Patch("attn", 2, (length - 1,))))]
    cells += [Cell(blocks=(Block(layer, words, early),)) for layer in range(stack.layers)]
    cells += [Cell(blocks=(Block(1, words, (0, 2), (2,)), Block(2, (length - 1,), words)))]
    cells += [Cell((Patch("mlp", 0, (4,)), Patch("z", 1, words)), (Block(1, words, early, (0, 1)),))]
    return cells[::-1]


def test_layers_run_one_by_one_are_the_model(pair: Pair) -> None:
    for prompt, run in zip((pair.clean, pair.corrupt), pair.runs, strict=True):
        plain = pair.stack.forward(prompt)
        whole = pair.stack.logits(run.entering(pair.stack.layers)[None], ())[0]
        torch.testing.assert_close(whole, plain, atol=1e-4, rtol=1e-5)
        some = pair.stack.logits(run.entering(pair.stack.layers)[None], TOKENS)[0]
        torch.testing.assert_close(some, plain[list(TOKENS)], atol=1e-4, rtol=1e-5)


def test_what_passes_the_sites_is_what_hooks_see(pair: Pair) -> None:
    seen = observe(pair.stack, pair.clean, pair.stack.kinds)
    assert set(seen) == set(pair.runs[0].sites)
    for site, values in seen.items():
        if site[0] in ("q", "k") and pair.stack.causal:
            continue  # hooks see them before positions are turned in
        mine = pair.runs[0].at(*site)
        torch.testing.assert_close(mine.flatten(1), values, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("noise", [False, True])
def test_every_cell_equals_a_forward_pass_of_its_own(pair: Pair, noise: bool) -> None:
    cells = one_cell_each(pair)
    torch.testing.assert_close(found(pair, cells, noise), expected(pair, cells, noise), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("noise", [False, True])
def test_groups_windows_heads_and_cuts_equal_a_forward_pass_of_their_own(pair: Pair, noise: bool) -> None:
    cells = mixed_cells(pair)
    torch.testing.assert_close(found(pair, cells, noise), expected(pair, cells, noise), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("kind", ["grouped", "qwen2_vl", "blip"])
def test_in_float64_nothing_is_left_of_the_difference(kind: str) -> None:
    """So what is left of it in float32 is rounding."""
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            pair = PAIRS[kind]()
        cells = one_cell_each(pair) + mixed_cells(pair)
        torch.testing.assert_close(found(pair, cells), expected(pair, cells), atol=1e-10, rtol=0)
        assert found(pair, cells).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(("rows", "tokens"), [(1, 256), (3, 1), (7, 40), (1024, 1), (1024, 5000)])
def test_chunks_and_blocks_change_nothing(pair: Pair, rows: int, tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = mixed_cells(pair)
    whole = found(pair, cells)
    monkeypatch.setattr(packed, "TOKENS", tokens)
    torch.testing.assert_close(found(pair, cells, rows=rows), whole, atol=2e-5, rtol=1e-5)


def test_patching_a_run_into_itself_changes_nothing(pair: Pair) -> None:
    clean = pair.runs[0]
    cells = [cell for cell in mixed_cells(pair) if not cell.blocks and not any(p.origin for p in cell.patches)]
    result = sweep(pair.stack, clean, clean, cells, TOKENS)
    plain = pair.stack.logits(clean.entering(pair.stack.layers)[None], TOKENS)
    assert all(result.same)
    assert torch.equal(result.logits_RK, plain.expand(len(cells), -1))


def test_restoring_all_tokens_of_a_layer_restores_the_answer(causal: Pair) -> None:
    """What is above sees nothing but these states, and keys and values made of them."""
    everywhere = tuple(range(causal.runs[0].length))
    cells = [Cell((Patch("resid", layer, everywhere),)) for layer in range(causal.stack.layers)]
    plain = causal.stack.logits(causal.runs[0].entering(causal.stack.layers)[None], TOKENS)
    torch.testing.assert_close(found(causal, cells), plain.expand(len(cells), -1), atol=1e-4, rtol=1e-5)


def test_restoring_what_all_cross_attention_gathers_restores_the_answer(blip: Pair) -> None:
    """The picture comes in nowhere else; one layer's output is not enough, since later layers look again."""
    everywhere = tuple(range(blip.runs[0].length))
    every = Cell(tuple(Patch("cross_z", layer, everywhere) for layer in range(blip.stack.layers)))
    one = Cell((Patch("resid", 0, everywhere),))
    plain = blip.stack.logits(blip.runs[0].entering(blip.stack.layers)[None], TOKENS)[0]
    both = found(blip, [every, one])
    torch.testing.assert_close(both[0], plain, atol=1e-4, rtol=1e-5)
    assert (both[1] - plain).abs().max() > 0.01


def test_all_heads_together_are_what_attention_adds(pair: Pair) -> None:
    heads = tuple(range(pair.stack.heads))
    places = (2, pair.runs[0].length - 1)
    layers = range(pair.stack.layers)
    for headed, added in (("z", "attn"), ("cross_z", "cross")):
        if headed in pair.stack.kinds:
            by_head = found(pair, [Cell((Patch(headed, layer, places, heads),)) for layer in layers])
            together = found(pair, [Cell((Patch(added, layer, places),)) for layer in layers])
            torch.testing.assert_close(by_head, together, atol=2e-5, rtol=1e-5)


def test_tokens_before_the_first_difference_have_no_effect(causal: Pair) -> None:
    cells = [Cell((Patch(kind, layer, (0,)),)) for kind in causal.stack.kinds for layer in range(causal.stack.layers)]
    clean, corrupt = causal.runs
    assert all(sweep(causal.stack, corrupt, clean, cells, TOKENS).same)


def test_the_last_layer_is_read_at_the_last_token_alone(causal: Pair) -> None:
    clean, corrupt = causal.runs
    top = causal.stack.layers - 1
    cells = [Cell((Patch("mlp", top, (place,)),)) for place in range(1, corrupt.length)]
    assert sweep(causal.stack, corrupt, clean, cells, TOKENS).same == (*[True] * (corrupt.length - 2), False)


def test_layers_are_climbed_once_whatever_the_number_of_cells(pair: Pair) -> None:
    clean, corrupt = pair.runs
    cells = one_cell_each(pair)
    result = sweep(pair.stack, corrupt, clean, cells, TOKENS)
    assert result.work.layer_steps <= pair.stack.layers
    living = [cell for cell, same in zip(cells, result.same, strict=True) if not same]
    assert planned_work(pair.stack, living, plan(living), corrupt.length) == result.work


def test_a_run_that_begins_as_another_need_not_be_made_anew(causal: Pair) -> None:
    clean = causal.runs[0]
    states = causal.clean.states_TD.clone()
    states[9] += 1
    changed = type(causal.clean)(states, causal.clean.memory)
    whole, quick = capture(causal.stack, changed), capture_after(causal.stack, changed, clean)
    assert whole.sites.keys() == quick.sites.keys()
    for site, values in whole.sites.items():
        torch.testing.assert_close(quick.at(*site), values, atol=1e-4, rtol=1e-5)
    assert capture_after(causal.stack, causal.clean, clean) is clean


def test_a_run_from_the_first_change_on_is_as_fine_as_the_model() -> None:
    """In float64 it agrees to the last digits of float64, not of float32."""
    stack = DecoderStack(decoder_model("grouped").double())
    words_TD = torch.randn(LENGTH, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    changed_TD = words_TD.clone()
    changed_TD[9] += 1.0
    with torch.no_grad():
        clean, changed = capture(stack, stack.begin(words_TD)), stack.begin(changed_TD)
    whole, quick = capture(stack, changed), capture_after(stack, changed, clean)
    for site, values in whole.sites.items():
        torch.testing.assert_close(quick.at(*site), values, atol=1e-11, rtol=0)


def test_a_head_that_is_switched_off_adds_nothing(pair: Pair) -> None:
    """Values of zero for all heads are those of attention that adds its bias alone."""
    clean = pair.runs[0]
    none = {site: torch.zeros_like(values) for site, values in clean.sites.items() if site[0] in HEADED}
    off = replace(clean, sites=clean.sites | none)
    everywhere = tuple(range(clean.length))
    cell = Cell((Patch("z", 1, everywhere),))
    mine = sweep(pair.stack, clean, off, [cell], TOKENS).logits_RK[0]
    zeros = {site: torch.zeros_like(values).flatten(1) for site, values in clean.sites.items()}
    torch.testing.assert_close(mine, patched(pair.stack, pair.clean, zeros, cell)[list(TOKENS)], atol=1e-4, rtol=1e-5)


def test_hooks_and_attention_are_as_before_after_an_error(pair: Pair) -> None:
    before = pair.stack.forward(pair.clean)

    def fail(kind: str, values: torch.Tensor) -> torch.Tensor:
        raise RuntimeError(kind)

    from eval.interpret.stack import Whole

    with pytest.raises(RuntimeError), pair.stack.session():
        pair.stack.layer(0, pair.clean.states_TD[None], 0, pair.clean.memory, Whole(pair.stack.causal), fail)
    assert torch.equal(pair.stack.forward(pair.clean), before)


def test_impossible_patches_are_refused(pair: Pair) -> None:
    with pytest.raises(ValueError, match="no heads"):
        Patch("mlp", 0, (1,), (0,))
    with pytest.raises(ValueError, match="unknown kind"):
        Patch("head", 0, (1,))
    with pytest.raises(ValueError, match="has no position"):
        Patch("mlp", 0, ())
    with pytest.raises(ValueError, match="cannot take the values of"):
        Patch("mlp", 0, (1, 2), (), (3,))
    with pytest.raises(ValueError, match="holds its position"):
        Patch("k", 0, (1,), (), (3,))
    with pytest.raises(ValueError, match="changes nothing"):
        Cell()
    with pytest.raises(ValueError, match="odd"):
        window("mlp", 1, 2, 4, (1,))
    with pytest.raises(ValueError, match="beyond"):
        found(pair, [Cell((Patch("mlp", 99, (1,)),))])


def test_defect_1_the_residual_stream_is_not_what_the_mlp_adds(causal: Pair) -> None:
    """The published code for LLaVA writes hidden states into the output of the MLP."""
    clean, corrupt = causal.runs
    mixed = replace(clean, sites=clean.sites | {("mlp", layer): clean.at("resid", layer) for layer in range(4)})
    cells = [Cell((Patch("mlp", layer, (10,)),)) for layer in range(causal.stack.layers - 1)]
    published = sweep(causal.stack, corrupt, mixed, cells, TOKENS).logits_RK
    apart = (published - found(causal, cells)).abs().amax(-1)
    assert (apart > 5e-4).all()
    assert apart.max() > 0.05


def test_defect_3_the_output_of_a_post_norm_layer_is_not_its_mlp(blip: Pair) -> None:
    """The published code for BLIP patches the layer's output, norm and residual included, and calls it MLP."""
    layers = range(blip.stack.layers)
    published = found(blip, [Cell((Patch("resid", layer, (4,)),)) for layer in layers])
    mine = found(blip, [Cell((Patch("mlp", layer, (4,)),)) for layer in layers])
    assert ((published - mine).abs().amax(-1) > 0.005).all()
