"""What AdaptVis, and sweeps of strengths and of templates, cost beside greedy decoding and beside plain generation.

    python benchmarks/decoding.py [--quick] [--out FILE]

A slice of LLaVA-1.5-7B (its widths, two of its 32 layers, random weights, float32 on a CPU) is asked a question of 614
tokens, 576 of them the picture. "greedy" and "adaptvis" are ``eval.scoring.Scorer``, the latter with both strengths, of
which AdaptVis takes one. "two generates" is the procedure of arXiv 2503.01773: a plain ``generate``, which gives the
confidence, and one with scaled attention, each over the whole prompt; their code also pads to 652 tokens ("padded").
Both are given the features of the picture and write one token, so that what they share costs nothing on either side.

The sweeps run on a narrower model: width 1024, four layers. "five strengths": four questions about a picture, each with
and without five strengths, against a plain generate for each of these six (the first one is made once for all
strengths, unlike in their code, where each strength costs two). "templates": 118 questions about a picture (VSR's 1.71
statements per picture in 69 templates), against one generate for each. Up to 40 seeded calls of the slow side are
timed and scaled to all, plain ones and those with changed attention by themselves.

Rounds alternate between the sides; ratios are of medians. Before anything is timed, the sides' answers are compared.
"""

import random
import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from _clock import DEVICE, timed, torch_machine
from _report import finish, options
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != Path(__file__).parent.resolve()]

from encoders.load import load_model  # noqa: E402
from eval.attention import changed_image_attention  # noqa: E402
from eval.decoders import Greedy, Reading, Scale  # noqa: E402
from eval.scoring import Question, Scorer  # noqa: E402
from vsre.assets import resolve_model  # noqa: E402

IMAGE_TOKENS, LENGTH, PADDED = 576, 614, 652
STRENGTHS = (0.5, 0.8, 1.2, 1.5, 2.0)
TEMPLATE_QUESTIONS = 118
SAMPLED = 40
WORDS = [f"word{index}" for index in range(64)]
Job = Callable[[], Any]


def make_model(hidden: int, layers: int, heads: int, intermediate: int) -> Any:
    """Return a language model with random weights that knows the placeholder of an image."""
    config = LlamaConfig(
        vocab_size=32064,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        intermediate_size=intermediate,
        attn_implementation="sdpa",
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    model = model.to_empty(device=DEVICE).eval()  # careful initialisation takes minutes
    model.model.rotary_emb = LlamaRotaryEmbedding(config).to(DEVICE)
    generator = torch.Generator(DEVICE).manual_seed(0)
    for weight in model.parameters():
        nn.init.normal_(weight.data, std=0.02, generator=generator)
    model.config.image_token_id = 2
    return model


def make_tokenizer() -> Any:
    """Return a tokenizer of one token per word."""
    words = ["<pad>", "<unk>", "<image>", "yes", "no", *WORDS]
    inner = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", unk_token="<unk>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    return tokenizer


class Sides:
    """The same questions about one picture, asked by our scorer and by plain generation.

    Args:
        model: a causal language model.
        questions: how many.
    """

    def __init__(self, model: Any, questions: int) -> None:
        self.model, self.tokenizer = model, make_tokenizer()
        self.scorer = Scorer(model, SimpleNamespace(tokenizer=self.tokenizer))
        rng = random.Random(0)
        self.questions = [
            Question("picture", " ".join(["<image>", *rng.choices(WORDS, k=LENGTH - IMAGE_TOKENS)]), ("yes", "no"))
            for _ in range(questions)
        ]
        self.features = torch.randn(IMAGE_TOKENS, model.config.hidden_size, device=model.device) * 0.02

    def ours(self, readings: Sequence[Reading]) -> list[list[float]]:
        """Return the difference of the log-probabilities of "yes" and "no", by question and reading."""
        shown = [{"image": self.features}] * len(self.questions)
        scores = self.scorer.score(self.questions, shown, readings)
        return [
            [
                scores[reading][index].option_logprobs[0] - scores[reading][index].option_logprobs[1]
                for reading in readings
            ]
            for index in range(len(self.questions))
        ]

    def generate(self, index: int, strength: float = 1.0, length: int = LENGTH) -> float:
        """Return the same difference for one question, by a generation of one token over the whole prompt."""
        ids = torch.tensor(self.tokenizer(self.questions[index].text)["input_ids"], device=self.model.device)
        own = self.model.get_input_embeddings()(ids)
        embeds = torch.cat([self.features, own[1:]])[None]
        pad = length - embeds.shape[1]
        mask = torch.ones(1, length, dtype=torch.long, device=embeds.device)
        mask[:, :pad] = 0
        embeds = nn.functional.pad(embeds, (0, 0, pad, 0))
        image = torch.zeros(1, length, dtype=torch.bool, device=embeds.device)
        image[:, pad : pad + IMAGE_TOKENS] = True
        factor = torch.full((1, 1), strength, device=embeds.device)
        decoder = self.model.get_decoder()
        with nullcontext() if strength == 1 else changed_image_attention(decoder, "scale", image, factor):
            output = self.model.generate(
                inputs_embeds=embeds,
                attention_mask=mask,
                max_new_tokens=1,
                do_sample=False,
                pad_token_id=0,
                output_logits=True,
                return_dict_in_generate=True,
            )
        logits: Tensor = output.logits[0][0]
        yes, no = self.tokenizer.convert_tokens_to_ids(["yes", "no"])
        return float(logits[yes] - logits[no])

    def check(self, readings: Sequence[Reading], count: int) -> float:
        """Return the largest difference between the two sides over the first questions.

        Raises:
            AssertionError: it is above 1e-3, so the sides do not do the same work.
        """
        ours = self.ours(readings)
        theirs = [[self.generate(index, getattr(r, "alpha", 1.0)) for r in readings] for index in range(count)]
        gap = max(abs(a - b) for x, y in zip(ours, theirs, strict=False) for a, b in zip(x, y, strict=True))
        assert gap < 1e-3, f"the sides differ by {gap}"
        return gap


def alternate(jobs: dict[str, Job], rounds: int) -> dict[str, float]:
    """Return the median seconds of each job; rounds alternate between the jobs."""
    timings: dict[str, list[float]] = {name: [] for name in jobs}
    for round_ in tqdm(range(rounds + 1), unit="round"):
        for name, job in jobs.items():
            seconds, _ = timed(job)
            if round_:  # the first one warms up
                timings[name].append(seconds)
    return {name: statistics.median(figures) for name, figures in timings.items()}


def one_question(model: Any, rounds: int) -> tuple[dict[str, float], float]:
    """Return the seconds of one question of 614 tokens, by side, and how much their answers differ."""
    sides = Sides(model, 1)
    strengths = [Scale(0.5), Scale(1.5)]
    gap = sides.check([Greedy(), *strengths], 1)

    def two_generates(length: int) -> None:
        sides.generate(0, length=length)
        sides.generate(0, 1.5, length)

    jobs: dict[str, Job] = {
        "greedy": lambda: sides.ours([Greedy()]),
        "adaptvis": lambda: sides.ours([Greedy(), *strengths]),
        "two generates": lambda: two_generates(LENGTH),
        "two generates, padded": lambda: two_generates(PADDED),
    }
    return alternate(jobs, rounds), gap


def tiny(rounds: int) -> dict[str, float]:
    """Return the seconds of 64 questions, 16 about each of four pictures, to the shipped tiny base."""
    model, processor = load_model(resolve_model("tiny-base"))
    scorer = Scorer(model.eval(), processor)
    texts = [f"is it true that the {noun} is left of the book ?" for noun in ("cup", "car", "dog", "bottle") * 4]
    questions, shown = [], []
    count = int(model.get_image_features(torch.zeros(1, 3, 128, 128, dtype=torch.uint8)).pooler_output[0].shape[0])
    for picture in range(4):
        features = torch.randn(count, model.config.text_config.hidden_size)
        for text in texts:
            chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]
            words = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
            questions.append(Question(str(picture), words, ("yes", "no")))
            shown.append({"image": features})
    strengths = [Scale(0.5), Scale(1.5)]
    return alternate(
        {
            "greedy": lambda: scorer.score(questions, shown, [Greedy()]),
            "adaptvis": lambda: scorer.score(questions, shown, [Greedy(), *strengths]),
        },
        rounds,
    )


@dataclass(frozen=True)
class Sweep:
    """A sweep by either side.

    Attributes:
        ours: seconds by our scorer.
        theirs: seconds of one generate for each of its cells.
        sampled: how many of these were timed.
        gap: how much the sides' answers differ.
    """

    ours: float
    theirs: float
    sampled: str
    gap: float

    @property
    def ratio(self) -> float:
        """How much faster we are."""
        return round(self.theirs / self.ours, 2)


def sweep(model: Any, questions: int, strengths: Sequence[float], rounds: int) -> Sweep:
    """Ask questions about one picture, each plainly and with every strength."""
    sides = Sides(model, questions)
    readings: list[Reading] = [Greedy(), *map(Scale, strengths)]
    gap = sides.check(readings, 2)
    cells = [(index, strength) for index in range(questions) for strength in (1.0, *strengths)]
    chosen = random.Random(0).sample(cells, min(SAMPLED, len(cells)))
    parts = [chosen[start::rounds] for start in range(rounds)]
    ours: list[float] = []
    theirs: dict[bool, list[float]] = {True: [], False: []}  # by whether the attention is the model's own
    for part in tqdm(parts, unit="round"):
        ours.append(timed(lambda: sides.ours(readings))[0])
        for cell in part:
            theirs[cell[1] == 1].append(timed(lambda cell=cell: sides.generate(*cell))[0])
    counts = {True: questions, False: len(cells) - questions}
    whole = sum(statistics.median(seconds) * counts[plain] for plain, seconds in theirs.items() if seconds)
    return Sweep(statistics.median(ours), whole, f"{len(chosen)}/{len(cells)}", gap)


def main() -> None:
    """Measure, print a table, and end with one line of JSON."""
    arguments, before = options(__doc__, "fewer rounds"), torch_machine()
    rounds = 3 if arguments.quick else 5
    with torch.no_grad():
        of_one, gap = one_question(make_model(4096, 2, 32, 11008), rounds)
        of_tiny = tiny(2 * rounds)
        narrow = make_model(1024, 4, 16, 2816)
        alphas = sweep(narrow, 4, STRENGTHS, rounds)
        templates = sweep(narrow, TEMPLATE_QUESTIONS, (), rounds)
    result = {
        "benchmark": "decoding",
        "adaptvis_over_greedy": round(of_one["adaptvis"] / of_one["greedy"], 3),
        "adaptvis_over_greedy_tiny": round(of_tiny["adaptvis"] / of_tiny["greedy"], 3),
        "reference_over_ours": round(of_one["two generates"] / of_one["adaptvis"], 3),
        "padded_reference_over_ours": round(of_one["two generates, padded"] / of_one["adaptvis"], 3),
        "alpha_sweep_ratio": alphas.ratio,
        "template_sweep_ratio": templates.ratio,
        "sampled": {"alpha_sweep_ratio": alphas.sampled, "template_sweep_ratio": templates.sampled},
        "max_abs_diff": max(gap, alphas.gap, templates.gap),
        "rounds": rounds,
        **before,
    }
    for name, seconds in of_one.items():
        print(f"{name:<28}{seconds:>9.3f} s   one question, width 4096, two layers")
    for name, seconds in of_tiny.items():
        print(f"{name:<28}{seconds:>9.3f} s   64 questions, tiny-base")
    for name, found in (("five strengths", alphas), ("templates", templates)):
        against = f"against {found.theirs:.1f} s of plain generation ({found.sampled} calls timed)"
        print(f"{name:<28}{found.ours:>9.3f} s   {against}")
    for key, target in (
        ("adaptvis_over_greedy", "<= 1.10"),
        ("reference_over_ours", ">= 1.9"),
        ("alpha_sweep_ratio", ">= 10"),
        ("template_sweep_ratio", ">= 10"),
    ):
        print(f"{key:<28}{result[key]:>9}     (target {target})")
    finish(result, arguments.out)


if __name__ == "__main__":
    main()
