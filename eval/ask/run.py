"""``vsre ask``: print what a model answers to one question about one picture, and draw where it looked.

The folder gets ``answer.json`` and, of models whose image tokens have known places, ``attention.png``.
"""

from dataclasses import asdict
from math import inf
from pathlib import Path

from PIL import Image
from rich.table import Table
from rich.text import Text

from eval.ask.asker import Answer, Asker, Said
from eval.ask.config import AskConfig
from eval.ask.overlay import draw_overlay, views_of
from eval.ask.wording import answers_to, open_picture
from eval.finite import finite
from eval.terminal import wide_console
from spatial.errors import ConfigError
from spatial.files import write_json

PICTURE, ANSWER = "attention.png", "answer.json"


def ask(config: AskConfig) -> Path:
    """Ask, print what is answered, and return the path of the picture, or of the answer where there is none.

    Raises:
        ConfigError: a setting or question that cannot be used, or words that the model has never seen.
        RecordError: the picture cannot be used.
        CheckpointError: the model cannot be used.
    """
    picture = open_picture(config.image)
    answers_to(config.question, config.options)  # before weights are read
    asker = Asker(config)
    answer = asker.ask(picture, config.question, config.options)
    _print(asker, answer)
    return write_answer(asker, answer, picture, Path(config.out))


def write_answer(asker: Asker, answer: Answer, picture: Image.Image, out: Path) -> Path:
    """Write the answer and the picture of where it looked; return the path of the picture, or else of the answer.

    Raises:
        ConfigError: the folder cannot be written.
    """
    facts = {
        "config": asdict(asker.config),
        "model_hash": asker.model_hash,
        "model_type": asker.kind,
        "canvas": asker.canvas,
        "question": answer.question,
        "prompt": answer.prompt,
        "options": answer.options,
        "said": [finite(asdict(said)) for said in answer.said],  # what a decoder rules out has no log-probability
    }
    try:
        write_json(out / ANSWER, facts)
        views = views_of(answer, asker.config.layer)
        if not (views and asker.sight):
            (out / PICTURE).unlink(missing_ok=True)
            return out / ANSWER
        draw_overlay(picture, answer.question, views, asker.sight, asker.config.layer, out / PICTURE)
    except OSError as error:
        raise ConfigError(f"{out} cannot be written ({error.strerror}); pass another --out") from error
    return out / PICTURE


def headline(answer: Answer) -> str:
    """Return the answer of the plain model with its probability."""
    first = answer.said[0]
    of = "among the options" if answer.options else "of its first word"
    return f"{first.text or '(nothing)'}   (probability {first.probability:.3f} {of})"


def notes(asker: Asker, answer: Answer) -> list[str]:
    """Return what a person should know before believing the answer."""
    first = answer.said[0]
    found = []
    if answer.options and not first.answered:
        found.append("The model would rather have said something that is none of the options.")
    differing = [said for said in answer.said[1:] if said.image_mode == first.image_mode and said.text != first.text]
    if differing:
        found.append(f"{len(differing)} of the other decoders say something else.")
    blind = next((said for said in answer.said if said.image_mode != first.image_mode), None)
    if blind and blind.image_mode == "image_blind":
        found.append(f"Without the picture it says {blind.text!r} ({blind.probability:.3f}).")
    if any(value == -inf for said in answer.said for value in said.logprobs):
        found.append("A log-probability of -inf: that decoder rules the answer out.")
    if asker.vocabulary.closed:
        found.append(f"{asker.name} knows plain renders of a few things, and nothing of photos.")
    if asker.unseen:
        found.append(f"No attention is drawn: {asker.unseen}")
    return found


def rows_of(answer: Answer) -> list[list[str]]:
    """Return a row per decoder: its answer, the probability, its name, and the log-probability of every option."""
    return [
        [said.text, f"{said.probability:.3f}", _name(said, answer), *map(_number, said.logprobs)]
        for said in answer.said
    ]


def heads_of(answer: Answer) -> list[str]:
    """Return what the columns of ``rows_of`` are called."""
    return ["says", "probability", "decoder", *(f"log p({option})" for option in answer.options)]


def _print(asker: Asker, answer: Answer) -> None:
    console = wide_console()
    for label, text in (("asked", answer.question), ("answer", headline(answer))):
        console.print(Text(f"{label:<8}{text}"), soft_wrap=True)
    table = Table()
    for place, head in enumerate(heads_of(answer)):
        table.add_column(Text(head), justify="left" if place in (0, 2) else "right")
    for row in rows_of(answer):
        table.add_row(*map(Text, row))
    console.print(table)
    for note in notes(asker, answer):
        console.print(Text(note), soft_wrap=True)


def _name(said: Said, answer: Answer) -> str:
    if said.image_mode != answer.said[0].image_mode:
        return f"{said.decoder}, {'without the picture' if said.image_mode == 'image_blind' else 'with the picture'}"
    chose = said.reading != said.decoder and said.decoder.startswith("adaptvis")
    return f"{said.decoder} by {said.reading}" if chose else said.decoder


def _number(value: float) -> str:
    return f"{round(value, 3) + 0.0:.3f}"  # no "-0.000"
