"""Where heads look is what the model attends to, and functions are found where they were put."""

import numpy as np
import pytest
import torch

from eval.attend.overlap import Sight
from eval.interpret.effects import Runs
from eval.interpret.functions import Seen, functions, look
from tests.eval.interpret.conftest import IMAGE, Pair, prepared_of
from tests.eval.interpret.worlds import labelled_looks


def test_attention_is_what_gathers_the_values(pair: Pair) -> None:
    """The weights times the values are what the heads gather."""
    stack, run = pair.stack, pair.runs[0]
    for layer in range(stack.layers):
        seen_HK = stack.looks(run, layer, 8)
        torch.testing.assert_close(seen_HK.sum(-1), torch.ones(stack.heads))
        if stack.causal:
            values = run.at("v", layer).repeat_interleave(stack.heads // stack.shared_heads, dim=1)
            gathered = torch.einsum("hk,khd->hd", seen_HK, values)
            torch.testing.assert_close(gathered, run.at("z", layer)[8], atol=2e-5, rtol=1e-5)
        else:
            _, value_HNd = run.prompt.memory.of(layer, stack.encoder.encoder.layer[layer].crossattention.self)
            gathered = torch.einsum("hn,hnd->hd", seen_HK, value_HNd)
            torch.testing.assert_close(gathered, run.at("cross_z", layer)[8], atol=2e-5, rtol=1e-5)


def test_a_head_is_looked_at_from_the_last_word_of_the_subject(causal: Pair) -> None:
    """Six image tokens: a grid of 2 x 2 and two without a place."""
    stack = causal.stack
    places = [(2, 0), (2, 1), (2, 2), (2, 3), None, None]
    subject = np.array([True, False, False, False])
    features = torch.ones(IMAGE, 4) + 0.01 * torch.rand(IMAGE, 4)
    runs = Runs(*causal.runs, 1.0, -1.0)
    rows = look(stack, prepared_of(causal), runs, Seen(Sight(places, "pad", 8), subject, features))
    assert len(rows) == stack.layers * stack.heads
    seen_HK = stack.looks(causal.runs[0], 2, 9)[:, 1:7].double().numpy()
    row = next(row for row in rows if (row.layer, row.head) == (2, 1))
    assert row.share == pytest.approx(seen_HK[1].sum(), abs=1e-6)
    relative = (seen_HK - seen_HK.mean(0))[1, :4]
    assert row.auroc == pytest.approx(np.mean(relative[0] > relative[1:]))
    assert row.density == pytest.approx(seen_HK[1, 0] / seen_HK[1, :4].sum() / 0.25, abs=1e-6)
    other_K = stack.looks(causal.runs[0], 2, 11)[1, 1:5].double().numpy()
    middle = [values[[1, 3]].sum() / values.sum() * 0.5 for values in (seen_HK[1, :4], other_K)]
    assert row.across == pytest.approx(middle[0] - middle[1], abs=1e-6)
    assert np.isnan(row.outliers)


def test_functions_are_found_where_they_were_put() -> None:
    labelled = {(row.head, row.function) for row in functions(labelled_looks()) if row.labelled}
    assert {(0, "detection"), (1, "suppression"), (2, "spatial read-out")} <= labelled
    assert labelled - {(3, "outlier suppression")} == {(0, "detection"), (1, "suppression"), (2, "spatial read-out")}
