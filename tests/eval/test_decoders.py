"""Decoder strings round-trip; AdaptVis chooses by the plain probability, as it is."""

import pytest

from eval.decoders import (
    DECODERS,
    Greedy,
    Scale,
    adaptvis,
    canonical,
    decode,
    format_decoder,
    parse_decoder,
    readings_of,
    scale,
)
from eval.predictions import Prediction
from spatial.errors import ConfigError


def row(record: str, alpha: float, confidence: float, **fields: object) -> Prediction:
    """A stored row whose prediction tells its alpha."""
    name = ("hash", record, "image", "group", "template", format_decoder(scale(alpha)), "image")
    return Prediction(*name, confidence=confidence, predicted=f"at {alpha:g}", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "greedy",
        "scale(alpha=0.5)",
        "scale(alpha=2)",
        "temper(alpha=2)",
        "pai(alpha=0.5)",
        "vcd(alpha=1,beta=0.1)",
        "blind(alpha=1,beta=0.1)",
        "dola(beta=0.1)",
        "adaptvis(a1=0.5,a2=1.2,beta=0.4)",
    ],
)
def test_canonical_strings_round_trip(text: str) -> None:
    assert format_decoder(parse_decoder(text)) == text
    assert format_decoder(parse_decoder(text.replace(",", " , ").replace("(", " ( "))) == text


def test_spelling_variants_have_one_name() -> None:
    spelt = parse_decoder(" adaptvis( beta=.40, a2=1.20, a1=5e-1 )")
    assert format_decoder(spelt) == "adaptvis(a1=0.5,a2=1.2,beta=0.4)"
    assert set(DECODERS) >= {"greedy", "scale", "temper", "pai", "vcd", "blind", "dola", "adaptvis"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gredy", "did you mean 'greedy'"),
        ("scale", "needs exactly alpha"),
        ("scale(alpha=x)", "not a number"),
        ("scale(alpha=nan)", "not a number"),
        ("scale(alpha=-1)", "not a number"),
        ("scale(beta=1)", "needs exactly alpha"),
        ("greedy(alpha=1)", "needs exactly no parameter"),
        ("adaptvis(a1=0.5,a2=1.2)", "needs exactly a1, a2, beta"),
        ("scale(alpha=0.5,alpha=2)", "needs exactly alpha"),
        ("", "unknown decoder"),
        ("vcd(alpha=1,beta=7)", "beta is 7; use 0 to 1"),
        ("adaptvis(a1=0.5,a2=1.2,beta=1.5)", "beta is 1.5; use 0 to 1"),
        ("adaptvis(a1=0.5", "is cut off; put each one that has a comma in quotes"),
    ],
)
def test_mistakes_are_named(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_decoder(text)


def test_a_decoder_of_another_program_keeps_its_name() -> None:
    assert (
        canonical("median(low=0.5,high=2)") == "median(low=0.5,high=2)"
        and canonical(" scale( alpha = 1 )") == "scale(alpha=1)"
    )
    with pytest.raises(ConfigError, match="needs exactly alpha"):
        canonical("scale(beta=2)")


def test_adaptvis_compares_the_unrounded_plain_confidence() -> None:
    confidences = {"a": 0.3999, "b": 0.4, "c": 0.4001, "d": 0.9}
    stored = [row(name, alpha, value) for name, value in confidences.items() for alpha in (1.0, 0.5, 1.5, 2.0)]
    chosen = {r.record_id: r.predicted for r in adaptvis(stored, 0.5, 1.5, 0.4)}
    assert chosen == {"a": "at 0.5", "b": "at 1.5", "c": "at 1.5", "d": "at 1.5"}
    assert {r.decoder for r in adaptvis(stored, 0.5, 1.5, 0.4)} == {"adaptvis(a1=0.5,a2=1.5,beta=0.4)"}


def test_the_confidence_of_the_scaled_rows_does_not_matter() -> None:
    stored = [row("a", 1.0, 0.9), row("a", 0.5, 0.1), row("a", 2.0, 0.1)]
    assert adaptvis(stored, 0.5, 2.0, 0.4)[0].predicted == "at 2"


def test_adaptvis_may_name_alpha_one() -> None:
    assert adaptvis([row("a", 1.0, 0.9), row("a", 0.5, 0.1)], 0.5, 1.0, 0.4)[0].predicted == "at 1"


def test_scale_at_one_is_greedy_bit_for_bit() -> None:
    stored = [row("a", 1.0, 0.123456789, option_logprobs=(-0.1, -2.5))]
    (scaled,) = decode(parse_decoder("scale(alpha=1)"), stored)
    (greedy,) = decode(parse_decoder("greedy"), stored)
    assert (scaled.option_logprobs, scaled.confidence) == (greedy.option_logprobs, greedy.confidence)


def test_missing_rows_are_named_and_failures_stay_failures() -> None:
    with pytest.raises(ConfigError, match=r"'scale\(alpha=0.5\)'"):
        adaptvis([row("a", 1.0, 0.9), row("a", 2.0, 0.9)], 0.5, 2.0, 0.4)
    failed = [row("a", alpha, 0.5, failed="photo missing") for alpha in (1.0, 0.5, 2.0)]
    assert [r.failed for r in adaptvis(failed, 0.5, 2.0, 0.4)] == ["photo missing"]


def test_what_decoders_need_is_read_once_and_alpha_one_needs_no_second_run() -> None:
    needed = readings_of([parse_decoder(text) for text in ("scale(alpha=1)", "adaptvis(a1=1,a2=1.5,beta=0.4)")])
    assert needed == [Greedy(), Scale(1.5)]
    assert [parse_decoder(f"{name}").prefills for name in ("greedy", "vcd(alpha=1,beta=0)", "dola(beta=0)")] == [
        1,
        2,
        1,
    ]
