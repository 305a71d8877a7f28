"""Packing changes nothing but the speed: losses and gradients are those of one row per statement."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from encoders.load import load_model
from encoders.modeling import VsreForConditionalGeneration
from encoders.processing import VsreProcessor
from spatial.dataset import DatasetFolder
from training.collate import IGNORED, PREFIX, Statement, block_mask, pack
from training.collate import PrefixCollator as Collator
from training.examples import Example, Examples
from training.losses import answer_loss, count_statements, only_rows, shifted

Loaded = tuple[VsreForConditionalGeneration, VsreProcessor]


@pytest.fixture
def loaded(model_path: Path) -> Loaded:
    model, processor = load_model(model_path, torch.float32)
    model.train_towers(True)
    return model, processor


@pytest.fixture
def examples(data: Path) -> list[Example]:
    """Four images, the first with fewer statements, so that rows are padded."""
    every = Examples([DatasetFolder(data).record_set()], statements=5)
    first = every[0]
    return [Example(first.image, first.prompts[:2]), *(every[index] for index in range(1, 4))]


def separate(examples: list[Example]) -> list[Example]:
    return [Example(example.image, (prompt,)) for example in examples for prompt in example.prompts]


def statement_losses(model: VsreForConditionalGeneration, batch: dict[str, Tensor]) -> Tensor:
    """Return the summed loss of each statement, in order."""
    targets = shifted(batch["labels"])
    logits = model(**{name: value for name, value in batch.items() if name != "labels"}).logits
    losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none", ignore_index=IGNORED)
    supervised = targets != IGNORED
    starts = supervised & ~torch.nn.functional.pad(supervised[:, :-1], (1, 0))
    number = starts.flatten().cumsum(0) - 1
    total = int(count_statements(batch["labels"]))
    kept = supervised.flatten()
    return torch.zeros(total).index_add(0, number[kept], losses.flatten()[kept])


def test_packed_statements_have_the_losses_of_separate_rows(loaded: Loaded, examples: list[Example]) -> None:
    model, processor = loaded
    collate = Collator(processor)
    packed = statement_losses(model, collate(examples))
    alone = statement_losses(model, collate(separate(examples)))
    assert len(packed) == 17
    assert torch.allclose(packed, alone, rtol=0, atol=1e-5)


def test_packed_statements_have_the_gradients_of_separate_rows(loaded: Loaded, examples: list[Example]) -> None:
    model, processor = loaded
    collate = Collator(processor)
    gradients = []
    for batch in (collate(examples), collate(separate(examples))):
        model.zero_grad()
        statement_losses(model, batch).mean().backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    packed, alone = gradients
    assert packed.keys() == alone.keys() and any("vision_tower" in name for name in packed)
    for name, gradient in packed.items():
        assert torch.allclose(gradient, alone[name], rtol=0, atol=1e-5), name


def test_scoring_supervised_rows_only_gives_the_stock_gradients(loaded: Loaded, examples: list[Example]) -> None:
    model, processor = loaded
    batch = Collator(processor)(examples)
    stock = model(**batch).loss
    stock.backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    labels = batch.pop("labels")
    with only_rows(model.lm_head, shifted(labels) != IGNORED):
        ours = answer_loss(model(**batch), labels)
    ours.backward()
    assert torch.allclose(ours, stock, rtol=0, atol=1e-6)
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            assert torch.allclose(parameter.grad, expected[name], rtol=0, atol=1e-6), name


def test_a_loss_per_statement_is_the_mean_of_the_statements_mean_losses(
    loaded: Loaded, examples: list[Example]
) -> None:
    model, processor = loaded
    collate = Collator(processor)
    batch, alone = collate(examples), collate(separate(examples))
    tokens = (alone["labels"] != IGNORED).sum(dim=1)
    expected = (statement_losses(model, alone) / tokens).mean()
    labels = batch.pop("labels")
    with only_rows(model.lm_head, shifted(labels) != IGNORED):
        assert torch.allclose(answer_loss(model(**batch), labels, per="statement"), expected, rtol=0, atol=1e-5)
    assert tokens.unique().numel() > 1


def test_a_packed_statement_has_the_tokens_of_its_whole_prompt(loaded: Loaded, examples: list[Example]) -> None:
    _, processor = loaded
    collate = Collator(processor)
    for example in separate(examples):
        prompt = example.prompts[0]
        text = processor.apply_chat_template(prompt.messages, add_generation_prompt=True, tokenize=False)
        whole = processor(images=[example.image], text=[f"{text} {prompt.answer}"])["input_ids"][0]
        batch = collate([example])
        assert batch["input_ids"][0].tolist() == [*whole, processor.tokenizer.eos_token_id]
        answer = processor.tokenizer(f" {prompt.answer}")["input_ids"]
        supervised = batch["labels"][0][batch["labels"][0] != IGNORED].tolist()
        assert supervised == [*answer, processor.tokenizer.eos_token_id]


def test_pack_restarts_positions_and_supervises_ends() -> None:
    batch = pack([[7, 8]], [[Statement([1, 2, 3], 2), Statement([4, 5], 1)]], pad=0)
    assert batch["input_ids"].tolist() == [[7, 8, 1, 2, 3, 4, 5]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 4, 2, 3]]
    assert batch["labels"].tolist() == [[IGNORED, IGNORED, IGNORED, 2, 3, IGNORED, 5]]
    assert int(count_statements(batch["labels"])) == 2


def test_no_query_sees_nothing_and_no_token_sees_padding() -> None:
    mask = block_mask(torch.tensor([[PREFIX, 1, 1, 2, -1, -1]]))[0, 0]
    assert mask.any(-1).all()
    assert not mask[:4, 4:].any()
    assert mask[3].tolist() == [True, False, False, True, False, False]


def test_padded_rows_stay_finite(loaded: Loaded, examples: list[Example]) -> None:
    model, processor = loaded
    assert torch.isfinite(model(**Collator(processor)(examples)).logits).all()


def test_a_template_with_words_before_the_image_that_differ_is_refused(loaded: Loaded, examples: list[Example]) -> None:
    _, processor = loaded
    processor.chat_template = "{{ messages[0]['content'][1]['text'] }}<image>"
    with pytest.raises(ValueError, match="image first"):
        Collator(processor)(examples)
