"""A label is confirmed where the answer needs what the head looks at, and only there."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import eval.interpret.held_out as held_out
from eval.config import DataConfig, InterpretConfig
from eval.interpret.capture import capture
from eval.interpret.confirm import Loss, Trial, choose_trials, confirm, confirmations, cut_off, looked_at
from eval.interpret.decoders import DecoderStack
from eval.interpret.effects import Runs, gaps
from eval.interpret.everywhere import everywhere
from eval.interpret.functions import functions
from eval.interpret.oracle import observe, patched
from eval.interpret.plot_heads import draw_functions
from eval.interpret.prepare import Prepared
from eval.interpret.run import interpret
from eval.interpret.show import print_findings
from eval.interpret.sites import Block, Cell
from eval.interpret.table import read_rows
from spatial.dataset import write_shard
from tests.eval.interpret.conftest import IMAGE, LENGTH, Pair, decoder_model, prepared_of
from tests.eval.interpret.worlds import labelled_looks, world

CARRIER = (1, 2)
"""Layer and number of the only head that adds anything."""


def test_a_head_that_is_cut_off_from_the_picture_is_one_forward_pass(causal: Pair) -> None:
    prepared, runs = prepared_of(causal), Runs(*causal.runs, 0.0, 0.0)
    hidden = prepared.roles["image"]
    found = cut_off(causal.stack, prepared, runs, [(1, 2), (3, 0)], hidden)
    values = observe(causal.stack, causal.corrupt, ["z"])
    words = tuple(range(1 + IMAGE, causal.runs[0].length))
    for (layer, head), answer in zip([(1, 2), (3, 0)], found, strict=True):
        cell = Cell(blocks=(Block(layer, words, hidden, (head,)),))
        logits = patched(causal.stack, causal.clean, values, cell)
        assert answer == pytest.approx(float(logits[5] - logits[9]), abs=1e-4)


def test_what_a_label_is_about_is_what_the_head_looks_at() -> None:
    roles = {"image: subject": (1, 2), "image: object": (4,), "image: background": (3, 6), "image: outliers": (5,)}
    assert looked_at("detection", roles) == (1, 2)
    assert set(looked_at("spatial read-out", roles)) == {1, 2, 4}
    assert set(looked_at("suppression", roles)) == {3, 4, 5, 6}
    assert set(looked_at("outlier suppression", roles)) == {1, 2, 3, 4, 6}
    for function in ("detection", "spatial read-out", "suppression", "outlier suppression"):
        assert looked_at(function, {"image: background": (3, 6)}) == ()


def test_half_of_the_pairs_label_and_the_others_are_asked() -> None:
    looks = labelled_looks(120)
    trials, asked = choose_trials(looks, 2)
    assert {("detection", 0), ("suppression", 1), ("spatial read-out", 2)} <= {(t.function, t.head) for t in trials}
    assert all(1 <= len(trial.others) <= 2 and (trial.layer, trial.head) not in trial.others for trial in trials)
    assert len(asked) == 60
    spoiled = [
        replace(row, auroc=0.5, across_corrupt=row.across, outliers=0.0) for row in looks if row.pair_id in asked
    ]
    kept = [row for row in looks if row.pair_id not in asked]
    assert choose_trials([*kept, *spoiled], 2) == (trials, asked)
    assert choose_trials(looks, 0)[0] == []
    assert choose_trials([], 2) == ([], set())


@pytest.fixture(scope="module")
def carried() -> list[tuple[DecoderStack, Prepared, Runs]]:
    """Pairs whose pictures differ in the subject, which reaches the answer through one head alone."""
    model = decoder_model("grouped")
    width = model.config.hidden_size // model.config.num_attention_heads
    with torch.no_grad():
        for layer, part in enumerate(model.model.layers):
            for head in range(4):
                if (layer, head) != CARRIER:
                    part.self_attn.o_proj.weight[:, head * width : (head + 1) * width] = 0
    stack = DecoderStack(model)
    generator = torch.Generator().manual_seed(0)
    words_TD = 0.8 * torch.randn(LENGTH, 32, generator=generator)
    found = []
    for number in range(16):
        sides = []
        for _ in range(2):
            states_TD = words_TD.clone()
            states_TD[1:3] = 2 * torch.randn(2, 32, generator=generator)
            sides.append(stack.begin(states_TD))
        runs = [capture(stack, side) for side in sides]
        answers = gaps(stack.logits(torch.stack([run.entering(stack.layers) for run in runs]), (5, 9)))
        best, worst = (0, 1) if answers[0] > answers[1] else (1, 0)
        prepared = prepared_of(Pair(stack, sides[best], sides[worst], (runs[best], runs[worst])))
        roles = prepared.roles | {"image: subject": (1, 2), "image: background": (3, 4, 5, 6)}
        about = replace(prepared.pair, group_id=f"g{number}", family=f"{number}", answers=("yes", f"no {number}"))
        prepared = replace(prepared, pair=about, roles=roles, clean_roles=roles)
        found.append((stack, prepared, Runs(runs[best], runs[worst], answers[best], answers[worst])))
    return found


def test_a_head_that_carries_the_answer_is_confirmed_and_no_other(carried: Any) -> None:
    layer, head = CARRIER
    trials = [
        Trial("detection", layer, head, ((1, 0), (1, 1), (1, 3))),
        Trial("detection", 1, 0, ((1, 1), (1, 3))),
        Trial("detection", 2, head, ((2, 0), (2, 1))),
        Trial("outlier suppression", layer, head, ((1, 0),)),
    ]
    losses = [loss for stack, prepared, runs in carried for loss in confirm(stack, prepared, runs, trials)]
    found = confirmations(losses, 200)
    assert {name for name, one in found.items() if one.confirmed} == {("detection", layer, head)}
    assert ("outlier suppression", layer, head) not in found  # there are none in these pictures
    own = found["detection", layer, head]
    assert own.pairs == 16
    assert own.lost > 0.25
    assert own.random == pytest.approx(0, abs=1e-5)
    assert own.ci95[0] == pytest.approx(own.difference_ci95[0], abs=1e-5)
    assert found["detection", 1, 0].lost == pytest.approx(0, abs=1e-5)
    assert confirmations(losses, 200) == found
    assert confirmations([]) == {}


def test_what_random_heads_lose_as_well_is_not_confirmed(carried: Any) -> None:
    layer, head = CARRIER
    losses = [
        loss for stack, *pair in carried for loss in confirm(stack, *pair, [Trial("detection", layer, head, ((1, 0),))])
    ]
    carrying = {row.pair_id: row.ld_cut for row in losses if row.other < 0}
    alike = [replace(row, ld_cut=carrying[row.pair_id]) for row in losses]
    (found,) = confirmations(alike, 200).values()
    assert found.ci95[0] > 0
    assert not found.confirmed


def test_confirmed_labels_are_ringed_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    looks = labelled_looks()
    trial = {"pairs": 9, "lost": 0.123, "ci95": (0.1, 0.2), "random": 0.01, "difference_ci95": (0.1, 0.2)}
    drawn, said = [], []
    for confirmed in (None, False, True):
        rows = [asdict(one) | {"confirmation": None} for one in functions(looks)]
        for row in rows:
            if row["function"] == "detection" and row["head"] == 0 and confirmed is not None:
                row["confirmation"] = trial | {"confirmed": confirmed}
        drawn.append(draw_functions(rows, tmp_path / f"{confirmed}.png").read_bytes())
        nothing, _ = everywhere({"a": []}, "last", "denoise")
        print_findings({"modes": {}, "universality": nothing, "functions": rows, "controls": {}})
        said.append(next(line for line in capsys.readouterr().out.splitlines() if "detection" in line))
    assert drawn[0] == drawn[1] != drawn[2]
    assert "not tried" in said[0]
    assert "12.3" in said[1] and " no " in said[1]
    assert "12.3" in said[2] and "yes" in said[2]


@pytest.fixture
def config(checkpoint: Path, tmp_path: Path) -> InterpretConfig:
    """Random weights, so all pairs count, on pictures whose boxes are known."""
    records = world(3)
    write_shard(tmp_path / "data", 0, list(records.images.values()), records.records)
    return InterpretConfig(
        model=str(checkpoint),
        data=DataConfig(path=str(tmp_path / "data")),
        out=str(tmp_path / "run"),
        modes=["image"],
        pairs=8,
        kinds=["resid"],
        headed=[],
        roles=["last"],
        tier=0,
        controls=False,
        screen=False,
        cuts=False,
        bootstrap=20,
    )


def test_a_killed_run_cuts_off_no_head_twice(
    config: InterpretConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Random weights have no function, so heads are labelled by hand."""
    trials, calls = [Trial("detection", 0, 1, ((0, 0),)), Trial("spatial read-out", 1, 0, ((1, 1), (1, 2)))], []
    choose = held_out.choose_trials
    monkeypatch.setattr(held_out, "choose_trials", lambda *args: (trials, choose(*args)[1]))
    whole = read_rows(interpret(replace(config, out=str(tmp_path / "whole"))) / "confirmations.parquet", Loss)

    def killed(stack: Any, prepared: Prepared, runs: Runs, **options: Any) -> list[Loss]:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(prepared.pair.pair_id)
        return confirm(stack, prepared, runs, **options)

    monkeypatch.setattr(held_out, "confirm", killed)
    with pytest.raises(KeyboardInterrupt):
        interpret(config)
    calls.insert(0, "")  # a pair that is not there, so that nothing is killed any more
    out = interpret(config)
    assert len(calls) == len(set(calls)) == 5
    assert read_rows(out / "confirmations.parquet", Loss) == whole
    assert len(whole) == 4 * 5
    rows = json.loads((out / "results.json").read_text())["functions"]
    tried = {(row["function"], row["layer"], row["head"]): row["confirmation"] for row in rows if row["confirmation"]}
    assert tried.keys() == {("detection", 0, 1), ("spatial read-out", 1, 0)}
    assert all(one["pairs"] == 4 and np.isfinite(one["ci95"]).all() for one in tried.values())
