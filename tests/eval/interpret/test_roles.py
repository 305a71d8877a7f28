"""Roles point at the tokens of the words, wherever the picture stands, and prompts can be run position by position."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertTokenizerFast

from encoders.load import load_model
from eval.interpret.decoders import DecoderStack
from eval.interpret.pairs import Pair, Side
from eval.interpret.prepare import Preparer, Unfit, stack_of
from eval.interpret.roles import image_roles, long_tokens, word_roles
from eval.words import Words
from spatial.templates import Prompt
from vsre.assets import resolve_model

QUESTION = "Is the following statement true? The red cup is left of the book. Answer yes or no."


def prompt_of(text: str, **spans: str) -> Prompt:
    """Return a prompt whose roles are these words of the text."""
    places = {role: (text.index(words), text.index(words) + len(words)) for role, words in spans.items()}
    content = [{"type": "image"}, {"type": "text", "text": text}]
    return Prompt([{"role": "user", "content": content}], ("yes", "no"), "yes", places)


def statement(relation: str = "left of") -> Prompt:
    text = QUESTION.replace("left of", relation)
    return prompt_of(text, subject="red cup", relation=relation, object="book")


@pytest.fixture(scope="module")
def tiny() -> tuple[Any, Any, Preparer]:
    """The shipped base, with what prepares its prompts."""
    model, processor = load_model(resolve_model("tiny-base"))
    stack = stack_of(model.eval())
    assert isinstance(stack, DecoderStack)
    return model, processor, Preparer(stack, model, processor)


def decoded(processor: Any, ids: list[int], positions: tuple[int, ...]) -> str:
    return str(processor.tokenizer.decode([ids[place] for place in positions])).lower()


def test_roles_are_the_words(tiny: Any) -> None:
    model, processor, preparer = tiny
    text = processor.apply_chat_template(statement().messages, add_generation_prompt=True, tokenize=False)
    ids, roles = word_roles(preparer.words, text, statement(), model.config.image_token_id, 64)
    assert decoded(processor, ids, roles["subject"]) == "red cup"
    assert decoded(processor, ids, roles["relation"]) == "left of"
    assert decoded(processor, ids, roles["object"]) == "book"
    assert decoded(processor, ids, roles["options"]) == "yes no"
    assert roles["last"] == (len(ids) - 1,)
    assert len(roles["image"]) == 64
    assert ids.count(model.config.image_token_id) == 64
    every = sorted(place for places in roles.values() for place in places)
    assert every == list(range(len(ids)))


@pytest.mark.parametrize("written", ["<image> {}", "before <image> {}", "{} <image>", "{}"])
def test_the_picture_may_stand_first_in_the_middle_last_or_nowhere(tiny: Any, written: str) -> None:
    _, processor, preparer = tiny
    image = processor.tokenizer.convert_tokens_to_ids("<image>")
    text = written.format(QUESTION)
    ids, roles = word_roles(preparer.words, text, statement(), image, 5)
    assert ("image" in roles) == ("<image>" in written)
    if written == "{} <image>":
        assert "subject" not in roles or max(roles["subject"]) > max(roles["image"]) or "before" in roles
    else:
        assert decoded(processor, ids, roles["subject"]) == "red cup"
    if "image" in roles:
        assert all(ids[place] == image for place in roles["image"])


def test_what_is_not_one_question_word_for_word_is_refused(tiny: Any) -> None:
    _, _, preparer = tiny
    with pytest.raises(ValueError, match="word for word"):
        word_roles(preparer.words, "another text", statement(), None, 0)
    with pytest.raises(ValueError, match="2 pictures"):
        image = preparer.image_token
        word_roles(preparer.words, "<image> <image> " + QUESTION, statement(), image, 4)


def test_defect_4_rows_are_counted_with_the_special_tokens(tmp_path: Path) -> None:
    """The published code counts tokens without [CLS], so that it reads the row of the word before."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "is", "the", "cup", "left", "of", "book", "man", "?", "a"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizerFast(str(tmp_path / "vocab.txt"))
    text = "is the man left of a book ?"
    prompt = prompt_of(text, subject="man", relation="left of", object="book")
    ids, roles = word_roles(Words(tokenizer), text, prompt, None, 0)
    assert tokenizer.convert_ids_to_tokens([ids[place] for place in roles["object"]]) == ["book"]
    published = tokenizer.tokenize(text).index("book")
    assert published == roles["object"][0] - 1
    by_substring = next(place for place, token in enumerate(tokenizer.tokenize(text)) if "a" in token)
    assert tokenizer.tokenize(text)[by_substring] == "man"  # sought: "a"


def test_defect_2_places_in_the_prompt_are_not_shifted_again(tiny: Any) -> None:
    """The published code adds the length of the prompt's beginning to a place that was counted from it already."""
    model, processor, preparer = tiny
    text = processor.apply_chat_template(statement().messages, add_generation_prompt=True, tokenize=False)
    plain = preparer.words.encode(text)
    ids, roles = word_roles(preparer.words, text, statement(), model.config.image_token_id, 64)
    subject = processor.tokenizer.convert_tokens_to_ids("cup")
    assert roles["subject"][-1] == plain.index(subject) + 64 - 1
    published = 64 - 1 + plain.index(subject) + 8
    assert ids[published] != subject if published < len(ids) else True


def sides(clean: Prompt, corrupt: Prompt, images: tuple[str, str] = ("a", "b"), mode: str = "image") -> Pair:
    return Pair(mode, Side(images[0], clean), Side(images[1], corrupt), ("yes", "no"), "left of", "Projective", "g")


def test_both_sides_are_run_position_by_position(tiny: Any) -> None:
    model, _, preparer = tiny
    width = model.config.text_config.hidden_size
    pictures = {"a": torch.randn(64, width), "b": torch.randn(64, width)}
    prepared = preparer.prepare(sides(statement(), statement()), pictures, {"b": {"subject": [3, 4], "object": [9]}})
    assert prepared.text_start == prepared.roles["image"][-1] + 1
    first = prepared.roles["image"][0]
    assert prepared.roles["image: subject"] == (first + 3, first + 4)
    assert prepared.roles["image: object"] == (first + 9,)
    differs = (prepared.clean.states_TD != prepared.corrupt.states_TD).any(-1).nonzero()[:, 0].tolist()
    assert tuple(differs) == prepared.roles["image"]
    assert len(set(prepared.tokens)) == 2


def test_pairs_that_do_not_line_up_are_refused_with_the_reason(tiny: Any) -> None:
    model, _, preparer = tiny
    width = model.config.text_config.hidden_size
    pictures = {"a": torch.randn(64, width), "b": torch.randn(50, width)}
    with pytest.raises(Unfit, match="different numbers of tokens"):
        preparer.prepare(sides(statement(), statement()), pictures, {})
    with pytest.raises(Unfit, match="different numbers of tokens"):
        preparer.prepare(sides(statement(), statement("in front of"), ("a", "a"), "text"), pictures, {})
    moved = prompt_of(QUESTION, subject="red", relation="left of", object="book")
    with pytest.raises(Unfit, match="different places"):
        preparer.prepare(sides(statement(), moved, ("a", "a"), "text"), pictures, {})
    with pytest.raises(ValueError, match="both sides are answered by"):
        Pair("text", Side("a", statement()), Side("a", statement("right of")), ("yes", "yes"))


def test_long_tokens_are_outliers_and_those_of_both_boxes_belong_to_none() -> None:
    features = torch.ones(10, 4) + 0.01 * torch.arange(10)[:, None]
    features[7] *= 50
    assert long_tokens(features) == [7]
    roles = image_roles(features, 5, {"subject": [0, 1], "object": [1, 2]})
    assert roles == {
        "image: subject": (5,),
        "image: object": (7,),
        "image: background": tuple(5 + token for token in (3, 4, 5, 6, 8, 9)),
        "image: outliers": (12,),
    }
    assert long_tokens(torch.ones(4, 4)) == []


def test_a_thing_is_followed_from_one_picture_to_the_other_token_by_token(tiny: Any) -> None:
    model, _, preparer = tiny
    width = model.config.text_config.hidden_size
    pictures = {"a": torch.randn(64, width), "b": torch.randn(64, width)}
    covered = {"a": {"subject": [10, 11], "object": [1]}, "b": {"subject": [3, 4], "object": [8, 9]}}
    prepared = preparer.prepare(sides(statement(), statement()), pictures, covered)
    first = prepared.roles["image"][0]
    assert prepared.roles["image: subject, by object"] == (first + 3, first + 4)
    assert prepared.clean_roles["image: subject, by object"] == (first + 10, first + 11)
    assert "image: object, by object" not in prepared.roles  # one token there, two here
    assert prepared.clean_roles["image: object"] == (first + 1,)
    alone = preparer.prepare(sides(statement(), statement("right of"), ("a", "a"), "text"), pictures, covered)
    assert not any("by object" in role for role in alone.roles)
