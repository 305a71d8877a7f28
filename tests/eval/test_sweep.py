"""A threshold is chosen on some groups and reported on others; the tables agree with the decoder itself."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from eval.decoders import adaptvis, format_decoder, scale
from eval.metrics import accuracy
from eval.predictions import Prediction
from eval.sweep import BETAS, stored_scales, sweep
from spatial.errors import ConfigError

ALPHAS = (0.5, 1.0, 1.5)


def stored(groups: int, seed: int = 0, luck: bool = False) -> Iterator[Prediction]:
    """Four questions a group; where the model is unsure, 0.5 is right more often, and 1.5 where it is sure."""
    rng = np.random.default_rng(seed)
    for group in range(groups):
        for place in range(4):
            confidence = float(rng.uniform(0.2, 1))
            for alpha in ALPHAS:
                better = 0.5 if luck else {0.5: 0.9, 1.0: 0.6, 1.5: 0.3}[alpha] if confidence < 0.6 else alpha / 2
                correct = bool(rng.random() < better)
                yield Prediction(
                    "model",
                    f"record {group}-{place}",
                    f"image {group}",
                    f"group {group}",
                    "where",
                    format_decoder(scale(alpha)),
                    "image",
                    topic="relation",
                    options=("a", "b"),
                    answer="a",
                    predicted="a" if correct else "b",
                    correct=correct,
                    confidence=confidence,
                )


def test_tables_agree_with_the_decoder() -> None:
    rows = list(stored(40))
    found = sweep(rows)
    chosen_on = {row.record_id for row in rows} - {row.record_id for row in found.greedy}
    validation = [row for row in rows if row.record_id in chosen_on]
    assert len(found.trials) == len(ALPHAS) ** 2 * len(BETAS)
    for trial in found.trials[::17]:
        decoder = trial.decoder
        expected = accuracy(adaptvis(validation, decoder.a1, decoder.a2, decoder.beta))
        assert trial.accuracy == pytest.approx(expected)


def test_what_helps_is_found_and_reported_on_other_groups() -> None:
    found = sweep(list(stored(300)))
    assert (found.chosen.a1, found.chosen.a2) == (0.5, 1.5) and 0.5 <= found.chosen.beta <= 0.7
    assert found.validation == (60, 240) and len(found.adapted) == len(found.greedy) == 960
    assert accuracy(found.adapted) > accuracy(found.greedy) + 0.1  # type: ignore[operator]


def test_the_best_of_many_by_luck_is_luck_no_more_on_test() -> None:
    gains = []
    for seed in range(30):
        found = sweep(list(stored(60, seed, luck=True)))
        best = max(trial.accuracy for trial in found.trials)
        gains.append((best, accuracy(found.adapted)))
    on_validation, on_test = np.mean(gains, axis=0)
    assert on_validation > 0.56 and abs(on_test - 0.5) < 0.02


def test_no_group_is_cut_and_the_seed_deals() -> None:
    rows = list(stored(50))
    parts = [{row.group_id for row in sweep(rows, seed=seed).greedy} for seed in (1, 1, 2)]
    assert parts[0] == parts[1] != parts[2]
    assert len(parts[0]) == 40 and len(sweep(rows, seed=1).greedy) == 160


def test_of_equals_the_weakest_intervention_is_taken() -> None:
    rows = [row for row in stored(20) if row.decoder == "greedy"]
    same = [Prediction(**{**vars(row), "decoder": "scale(alpha=2)"}) for row in rows]
    chosen = sweep(rows + same).chosen
    assert (chosen.a1, chosen.a2) == (1.0, 1.0)


def test_rows_of_a_decoder_of_another_program_are_left_alone() -> None:
    rows = list(stored(20))
    own = [replace(row, decoder="median(low=0.5,high=2)") for row in rows if row.decoder == "greedy"]
    assert stored_scales([*rows, *own]) == stored_scales(rows)


def test_mistakes_are_one_line() -> None:
    rows = list(stored(4))
    with pytest.raises(ConfigError, match="no scales"):
        sweep([row for row in rows if row.decoder == "greedy"])
    with pytest.raises(ConfigError, match="decoder 'greedy'"):
        stored_scales([row for row in rows if row.decoder != "greedy"])
    with pytest.raises(ConfigError, match="share of validation"):
        sweep(rows, share=1.0)
