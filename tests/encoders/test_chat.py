"""Conversations: what training writes, what evaluation asks, and what the base's own template says are the same."""

from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from transformers import SiglipVisionConfig, SiglipVisionModel

from encoders.assemble import assemble_on_base
from encoders.chat import VICUNA_SYSTEM, VICUNA_TEMPLATE, answer_gap, settle
from encoders.config import BuildConfig, TowerSettings
from spatial.errors import CheckpointError
from tests.encoders.tiny_bases import (
    BRACKETS,
    CHATML,
    HEADERS,
    THINKING,
    byte_tokenizer,
    language_model,
    llama_tokenizer,
    llava,
)
from training.collate import IGNORED, PrefixCollator
from training.examples import Dialogue, Example
from training.turns import tokenise

SPACE_AFTER_COLON = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ 'USER: ' + m['content'] + ' ' }}"
    "{% else %}{{ 'ASSISTANT: ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT: ' }}{% endif %}\n"
)
"""Its prompt ends in a space, which tokenizers join to the answer."""

FAMILIES = {
    "llava": ("llava", None, "USER: <image>\nIs it red? ASSISTANT:", "</s>"),
    "vicuna": ("llama", None, f"{VICUNA_SYSTEM} USER: <image>\nIs it red? ASSISTANT:", "</s>"),
    "chatml": (
        "qwen2",
        CHATML,
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<image>\nIs it red?<|im_end|>\n<|im_start|>assistant\n",
        "<|im_end|>",
    ),
    "thinking": (
        "qwen3",
        THINKING,
        "<|im_start|>user\n<image>\nIs it red?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
        "<|im_end|>",
    ),
    "headers": (
        "llama3",
        HEADERS,
        "<|start_header_id|>system<|end_header_id|>\n\nToday: 01 January 2025<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\n<image>\nIs it red?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "<|eot_id|>",
    ),
    "space, words": ("llama", SPACE_AFTER_COLON, "USER: <image>\nIs it red? ASSISTANT:", "</s>"),
    "space, bytes": ("qwen2", SPACE_AFTER_COLON, "USER: <image>\nIs it red? ASSISTANT:", "<|im_end|>"),
    "brackets": ("mistral", BRACKETS, "[INST] <image>\nIs it red? [/INST]", "</s>"),
}


def _question(text: str = "Is it red?") -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}


def _answer(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, str, str]:
    """Return the processor of a model built on a base of each family, its prompt and its end of an answer."""
    kind, template, prompt, end = FAMILIES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    base = llava(folder / "base") if kind == "llava" else language_model(folder / "base", kind, template)
    tower = SiglipVisionConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=8
    )
    SiglipVisionModel(tower).save_pretrained(folder / "siglip")
    towers = {"siglip": TowerSettings(weights=str(folder / "siglip"))}
    built = assemble_on_base(BuildConfig(base=str(base), encoders=["siglip"], towers=towers))
    built.processor.save_pretrained(folder / "processor")
    return type(built.processor).from_pretrained(folder / "processor"), prompt, end


def test_the_picture_comes_before_the_text_of_the_bases_own_prompt(family: tuple[Any, str, str]) -> None:
    processor, prompt, end = family
    assert processor.apply_chat_template([_question()], add_generation_prompt=True, tokenize=False) == prompt
    whole = processor.apply_chat_template([_question(), _answer("Yes")], tokenize=False)
    assert whole.rstrip() == f"{prompt}{answer_gap(prompt)}Yes{end}"
    assert processor.tokenizer.eos_token == end
    plain = processor.apply_chat_template(
        [{"role": "user", "content": "<image>\nIs it red?"}], add_generation_prompt=True, tokenize=False
    )
    assert plain == prompt


def test_training_has_the_tokens_of_the_whole_conversation(family: tuple[Any, str, str]) -> None:
    processor, _, _ = family
    answers = ["Yes", "No, it is left of the cup.", "true"]
    picture = Image.new("RGB", (8, 8))
    prompts = [_Prompt([_question(f"{text}?")], text, answer) for text, answer in zip("abc", answers, strict=True)]
    for prompt in prompts:
        batch = PrefixCollator(processor)([Example(picture, (prompt,))])  # type: ignore[arg-type]
        trained = batch["input_ids"][0].tolist()
        messages = [{**prompt.messages[0]}, _answer(prompt.answer)]
        messages[0]["content"] = [{"type": "image", "image": picture}, messages[0]["content"][1]]
        whole = processor.apply_chat_template(messages, tokenize=True, return_dict=True)["input_ids"][0]
        assert trained == whole[: len(trained)]
        assert processor.tokenizer.decode(whole[len(trained) :]).strip() == ""
        start = processor.tokenizer.bos_token_id
        assert start is None or (trained.count(start) == 1 and trained[0] == start)
        supervised = [
            token for token, label in zip(trained, batch["labels"][0].tolist(), strict=True) if label != IGNORED
        ]
        said = processor.tokenizer.decode(supervised)
        assert said.strip() == prompt.answer + processor.tokenizer.eos_token


class _Prompt:
    def __init__(self, messages: list[Any], text: str, answer: str) -> None:
        self.messages, self.text, self.answer = messages, text, answer


def test_evaluation_asks_with_the_tokens_of_training(family: tuple[Any, str, str]) -> None:
    from eval.scoring import Question, Scorer
    from eval.words import Words

    processor, prompt, _ = family
    scorer = Scorer.__new__(Scorer)
    scorer.tokenizer, scorer.image_token = processor.tokenizer, processor.image_token_id
    scorer.words = Words(processor.tokenizer)
    asked = scorer._in_tokens(0, Question("", prompt, ("Yes", "No")), processor.num_image_tokens)
    sample = _Prompt([_question()], "", "Yes")
    batch = PrefixCollator(processor)([Example(Image.new("RGB", (8, 8)), (sample,))])  # type: ignore[arg-type]
    whole = [*asked.prefix, *asked.suffix, *asked.options[0], processor.tokenizer.eos_token_id]
    assert whole == batch["input_ids"][0].tolist()


def test_several_turns_follow_each_other(family: tuple[Any, str, str]) -> None:
    processor, prompt, end = family
    first = f"{prompt}{answer_gap(prompt)}Yes{end}"
    turns = [_question(), _answer("Yes"), {"role": "user", "content": "Sure?"}]
    text = processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    assert text.count("<image>") == 1 and "Sure?" in text
    if "<think>" not in prompt:  # those drop earlier thoughts
        assert text.startswith(first)


def test_the_token_that_ends_a_turn_becomes_the_end_token() -> None:
    tokenizer = byte_tokenizer(CHATML, eos_token="<|endoftext|>")
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    assert settle(tokenizer, llava=False).end == "<|im_end|>"


def test_a_template_that_contradicts_itself_gives_way_to_vicunas_and_that_is_said() -> None:
    tokenizer = llama_tokenizer("{% for m in messages %}{{ m['role'] ~ loop.length ~ m['content'] }}{% endfor %}")
    chat = settle(tokenizer, llava=False)
    assert chat.template == VICUNA_TEMPLATE and "Vicuna's is used" in chat.note


def test_a_prompt_that_runs_into_its_answer_is_refused_by_training_and_evaluation() -> None:
    from eval.scoring import Question, Scorer
    from eval.words import Words

    tokenizer = llama_tokenizer()
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    prompt = "USER: <image>\nIs it red? ASSISTANT: "
    assert tokenizer.tokenize(prompt + "true")[-1] == "▁true"

    def told(text: str) -> SimpleNamespace:
        return SimpleNamespace(
            tokenizer=tokenizer, image_token="<image>", apply_chat_template=lambda *chats, **settings: [text]
        )

    with pytest.raises(CheckpointError, match="merges the end of the prompt with the answer 'true'") as trained:
        tokenise(told(prompt), [Dialogue("", (("", "true"),))])
    scorer = Scorer.__new__(Scorer)
    scorer.tokenizer, scorer.words = tokenizer, Words(tokenizer)
    with pytest.raises(CheckpointError) as asked:
        scorer._option_tokens(Question("", prompt, ("true", "false")))
    assert str(trained.value) == str(asked.value)
    with pytest.raises(CheckpointError, match="the answer ''"):
        tokenise(told("USER: <image>\n"), [Dialogue("", (("", ""),))])


@pytest.mark.parametrize("adds", [False, True])
def test_there_is_one_beginning_of_text_whoever_writes_it(adds: bool) -> None:
    tokenizer = byte_tokenizer("{{ bos_token }}" + CHATML, bos_token="<|begin_of_text|>")
    tokenizer.add_bos_token = adds
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    own = tokenizer.apply_chat_template(
        [{"role": "user", "content": "<image>\nIs it red?"}], add_generation_prompt=True, return_dict=False
    )
    chat = settle(tokenizer, llava=False)
    text = tokenizer.apply_chat_template(
        [_question()], chat_template=chat.template, tokenize=False, add_generation_prompt=True
    )
    ids = tokenizer(text)["input_ids"]
    assert ids == own and ids.count(tokenizer.bos_token_id) == 1
