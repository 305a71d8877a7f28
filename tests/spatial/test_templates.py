"""Every core template renders every record of its task: known words, right spans, options that hide the answer.

The templates that came later are tested in ``test_template_pool.py``.
"""

import re
import statistics
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatial.errors import ConfigError
from spatial.records import TASKS, Record
from spatial.relations import RELATIONS
from spatial.templates import TEMPLATES, Prompt, render, sentence, split_caption, templates_for
from spatial.vocabulary import (
    COLOURS,
    GRID,
    HEADINGS,
    NOUNS,
    NUMBERS,
    PARTS,
    TOOLS,
    cell,
    corners,
    facing_word,
    plural,
    split_words,
    words,
)

CORE = [template for template in TEMPLATES.values() if template.origin == "core"]

PHRASES = st.sampled_from([*NOUNS, *(f"{colour} {noun}" for colour in COLOURS for noun in NOUNS)])


ATTRIBUTES = (
    ("colour", "", ("blue", "red")),
    ("cell", "at ", ("x3 y5", "x4 y5")),
    ("heading", "facing ", ("backward", "left")),
)
"""Of one thing: topic, what comes before the words, and a right and a wrong word."""


def record(task: str, topic: str, caption: str, answer: str, **fields: object) -> Record:
    return Record("image", "group", "original", task, topic, caption, answer, **fields)  # type: ignore[arg-type]


def records(subject: str, other: str, relation: str) -> Iterator[Record]:
    """One record of every task and topic about the same two objects."""
    caption = sentence(subject, relation, other)
    options = tuple(sorted({relation, RELATIONS[relation].antonym or "on"}))
    yield record("statement", "relation", caption, "true", relation=relation)
    yield record("statement", "relation", caption, "false", relation=relation)
    yield record("choice", "relation", caption, relation, relation=relation, options=options)
    yield record("caption", "relation", caption, caption, relation=relation)
    yield record("statement", "presence", f"There is a {subject} in the picture.", "true")
    yield record("statement", "presence", f"There is an {subject}.", "false")
    yield record("statement", "colour", f"The {subject} is {COLOURS[0]}.", "true")
    yield record("statement", "count", "There are no objects in the picture.", "false")
    yield record("locate", "cell", f"The {subject} is at x3 y5.", "x3 y5")
    yield record("locate", "box", f"The {subject} is at x3 y5 to x4 y7.", "x3 y5 to x4 y7")
    yield record("name", "cell", f"The {subject} is at x3 y5.", subject)
    for topic, stem, pair in ATTRIBUTES:
        yield record("statement", topic, f"The {subject} is {stem}{pair[1]}.", "false")
        yield record("choice", topic, f"The {subject} is {stem}{pair[0]}.", pair[0], options=pair)
    yield record("count", "count", f"There are two {plural(other)} in the picture.", "two")
    yield record("count", "count", f"There is one {other}.", "one")
    dense = f"x0 y{GRID - 1} {subject} facing {HEADINGS[0]}, x{GRID - 1} y0 {other}"
    yield record("caption", "scene", dense, dense)


def prompts(item: Record, seed: int = 0) -> Iterator[Prompt]:
    """Put a record into all core templates that suit it; there is one at least."""
    suiting = 0
    for template in CORE:
        if template.task == item.task:
            with suppress(ValueError):
                prompt = render(item, template, seed)
                suiting += 1
                yield prompt
    assert suiting


def test_every_task_has_templates_and_statements_have_many_families() -> None:
    assert all(len([template for template in CORE if template.task == task]) >= 2 for task in TASKS)
    statements = [template for template in CORE if template.task == "statement"]
    assert 8 <= len(statements) <= 12
    assert len({template.family for template in statements}) >= 4
    assert all(name == template.name for name, template in TEMPLATES.items())


def test_templates_are_short() -> None:
    lengths = [len(split_words(re.sub(r"{\w+}", "", template.text))) for template in CORE]
    assert statistics.median(lengths) <= 14


@given(PHRASES, PHRASES, st.sampled_from(list(RELATIONS)))
def test_every_prompt_and_answer_is_made_of_known_words(subject: str, other: str, relation: str) -> None:
    known = set(words())
    for item in records(subject, other, relation):
        for prompt in prompts(item):
            for text in (prompt.text, prompt.answer, *prompt.options):
                assert set(split_words(text)) <= known, text


def test_core_templates_and_the_vocabulary_of_the_shipped_tokenizer_stay_as_they_are() -> None:
    texts = [(t, t.text.replace("{be}", "is").replace("{Be}", "Is")) for t in CORE]
    rows = [f"{t.name}|{t.family}|{t.task}|{text}|{'/'.join(t.answers)}|{t.source}" for t, text in texts]
    assert sha256("\n".join(rows).encode()).hexdigest()[:16] == "1b80a5fc393d98ad"
    later = {word for thing in (*PARTS, *TOOLS) for word in split_words(thing)}
    shipped = set(split_words(" ".join(NOUNS))) & later
    known = [word for word in words() if word not in later - shipped]
    assert sha256("\n".join(known).encode()).hexdigest()[:16] == "ef2d3f8d1285e595"


def test_every_noun_colour_and_relation_is_known() -> None:
    assert len(NOUNS) == 80
    assert len(COLOURS) == 8
    known = set(words())
    for text in (*NOUNS, *map(plural, NOUNS), *COLOURS, *RELATIONS, *NUMBERS, *HEADINGS, "x0 x7 y0 y7"):
        assert set(split_words(text)) <= known, text


@given(PHRASES, PHRASES, st.sampled_from(list(RELATIONS)))
def test_spans_cover_the_phrases_they_name(subject: str, other: str, relation: str) -> None:
    phrases = {"subject": subject, "relation": relation, "object": other}
    for item in records(subject, other, relation):
        if item.topic != "relation":
            continue
        roles = {"statement": {"subject", "relation", "object"}}.get(item.task, {"subject", "object"})
        for prompt in prompts(item):
            assert {role: prompt.text[start:end] for role, (start, end) in prompt.spans.items()} == {
                role: phrases[role] for role in roles
            }


@given(PHRASES, PHRASES, st.sampled_from(list(RELATIONS)))
def test_captions_come_apart_as_they_were_put_together(subject: str, other: str, relation: str) -> None:
    assert split_caption(sentence(subject, relation, other), relation) == (subject, relation, other)


@pytest.mark.parametrize(
    ("caption", "relation", "parts"),
    [
        ("The dog is on the surfboard.", "on", ("dog", "on", "surfboard")),
        ("The skis are under the person.", "under", ("skis", "under", "person")),
        ("The bowl contains the hot dog.", "contains", ("bowl", "contains", "hot dog")),
        ("The red cups are around the bottle.", "around", ("red cups", "around", "bottle")),
        ("The cup is between the two books.", "between", ("cup", "between", "two books")),
        ("the cat on a couch", "on", ("cat", "on", "couch")),
        ("The couch is congruent the cat.", "congruent", ("couch", "congruent", "cat")),
    ],
)
def test_captions_of_others_come_apart(caption: str, relation: str, parts: tuple[str, str, str]) -> None:
    assert split_caption(caption, relation) == parts


def test_plural_subjects_agree_with_their_verb() -> None:
    assert sentence("cups", "around", "bottle", True) == "The cups are around the bottle."
    assert sentence("red skis", "on", "bed") == "The red skis are on the bed."
    item = record(
        "choice", "relation", "The cups are around the bed.", "around", relation="around", options=("around", "by")
    )
    texts = [prompt.text for prompt in prompts(item)]
    assert len(texts) == 4 and all(re.search(r"\b[Aa]re the cups|the cups are", text) for text in texts)
    told = record("caption", "relation", "The cups are around the bed.", "x", relation="around")
    assert all("where the cups are relative" in prompt.text for prompt in prompts(told))


def test_parts_and_tools_are_known_words() -> None:
    assert {word for noun in (*PARTS, *TOOLS) for word in split_words(noun)} <= set(words())


def test_a_caption_without_its_relation_is_refused() -> None:
    with pytest.raises(ValueError, match="not of the form"):
        split_caption("The dog is on the surfboard.", "under")


def test_a_caption_that_does_not_come_apart_still_makes_a_statement() -> None:
    item = record("statement", "relation", "Under the tree, a dog!", "true", relation="under")
    assert all(
        prompt.spans == {} and "tree, a dog!" in prompt.text
        for prompt in prompts(item)
        if "true that" not in prompt.text
    )


@pytest.mark.parametrize(("answer", "place"), [("true", 0), ("false", 1)])
def test_statement_options_have_the_word_for_true_first(answer: str, place: int) -> None:
    for prompt in prompts(record("statement", "relation", "The cup is on the bed.", answer, relation="on")):
        assert prompt.options in (("yes", "no"), ("true", "false"), ("correct", "incorrect"))
        assert prompt.answer == prompt.options[place]


def test_a_choice_hides_its_caption_and_shows_both_options_or_none() -> None:
    item = record("choice", "relation", "The cup is on the bed.", "on", relation="on", options=("off", "on"))
    for template in CORE:
        if template.task == "choice" and template.family != "either":
            prompt = render(item, template, 0)
            assert item.caption not in prompt.text
            assert set(prompt.options) == {"off", "on"}
            assert (f"{prompt.options[0]} or {prompt.options[1]}" in prompt.text) == (template.name != "relative")
            assert template.name != "relative" or not {"on", "off"} & set(prompt.text.split())


def test_a_choice_about_one_thing_is_a_question_of_its_own() -> None:
    for (topic, stem, pair), asked in zip(
        ATTRIBUTES, ("is the cup", "is the cup at", "is the cup facing"), strict=True
    ):
        item = record("choice", topic, f"The cup is {stem}{pair[0]}.", pair[0], options=pair)
        (prompt,) = prompts(item)
        assert prompt.text.lower() in {f"{asked} {a} or {b}?" for a, b in (pair, pair[::-1])}
        assert prompt.answer == pair[0] and set(prompt.options) == set(pair)
        assert prompt.text[slice(*prompt.spans["subject"])] == "cup"
    with pytest.raises(ValueError, match="does not end in its answer"):
        render(record("choice", "colour", "The red cup.", "red", options=("blue", "red")), TEMPLATES["either"], 0)


def test_the_corners_of_a_box_are_asked_in_words_of_their_own() -> None:
    assert corners((0, 16, 40, 127), 128, 128) == "x0 y1 to x2 y7"
    boxed = record("locate", "box", "The cup is at x0 y1 to x2 y7.", "x0 y1 to x2 y7")
    assert [prompt.text for prompt in prompts(boxed)] == ["From where to where is the cup?"]
    assert len(list(prompts(record("locate", "cell", "The cup is at x0 y1.", "x0 y1")))) == 2


def test_option_order_is_drawn_per_group_and_does_not_tell_the_answer() -> None:
    def choice(group: str, relation: str) -> Record:
        caption, options = f"The cup is {relation} the bed.", ("off", "on")
        return Record("i", group, relation, "choice", "relation", caption, relation, relation=relation, options=options)

    template = TEMPLATES[templates_for("choice")[0]]
    first = []
    for group in map(str, range(200)):
        one, other = (render(choice(group, relation), template, 7) for relation in ("on", "off"))
        assert (one.text, one.options) == (other.text, other.options)
        first.append(one.options[0])
    assert 60 < first.count("on") < 140
    assert {render(choice("0", "on"), template, seed).options[0] for seed in range(20)} == {"on", "off"}


def test_a_prompt_shows_the_image_first() -> None:
    for item in records("red cup", "bed", "on"):
        for prompt in prompts(item):
            (message,) = prompt.messages
            assert message["role"] == "user"
            assert [part["type"] for part in message["content"]] == ["image", "text"]


def test_answers_of_located_things_are_hidden() -> None:
    for item in records("red cup", "bed", "on"):
        if item.task in ("locate", "name", "count"):
            assert all(f" {item.answer} " not in f" {prompt.text} " for prompt in prompts(item))


def test_a_template_of_another_task_is_refused() -> None:
    with pytest.raises(ConfigError, match="use locate"):
        render(record("locate", "cell", "The cup is at x0 y0.", "x0 y0"), TEMPLATES["question"], 0)


def test_cells_and_headings() -> None:
    assert cell((0, 0, 10, 10), 128, 128) == "x0 y0"
    assert cell((120, 60, 140, 70), 128, 128) == "x7 y4"
    assert [facing_word(yaw) for yaw in (0, 80, 180, 271, 359)] == ["forward", "right", "backward", "left", "forward"]
