"""The closed vocabulary of everything that the project itself writes.

Scenes are about COCO nouns, eight colours, small numbers and the cells of a coarse grid, and templates use few
other words. So a tokenizer with one token per word can be built from ``words()``, and the tiny models need no
sub-words. Text from elsewhere may hold other words.
"""

import re

GRID = 8
"""Cells per side of the grid that names places: x0..x7 from left to right, y0..y7 from top to bottom."""

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
"""Number words, by value."""

COLOURS = ("red", "green", "blue", "yellow", "orange", "purple", "white", "black")
"""Colour words of objects."""

HEADINGS = ("forward", "right", "backward", "left")
"""Where an object faces as the viewer sees it, at yaw 0, 90, 180 and 270; forward is to the viewer."""

NOUNS = tuple(
    """person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
    parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella,
    handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
    surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
    broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv,
    laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase,
    scissors, teddy bear, hair drier, toothbrush""".replace("\n    ", " ").split(", ")
)
"""The 80 object classes of COCO."""

VEHICLES, ANIMALS = NOUNS[1:9], NOUNS[14:24]
"""COCO's supercategories of what drives, sails or flies, and of animals."""

ALIVE = ("person", *ANIMALS)
"""Nouns of people and animals."""

PAIRS = ("skis", "scissors")
"""Nouns that are plural without being several things."""

PARTS = tuple(
    """armrest, backrest, cab, cap, chimney, door, fin, handle, handlebar, headboard, lever, lid, nozzle, pot, roof,
    saddle, screen, seat, stand, stem, strap, tank, tap""".replace("\n    ", " ").split(", ")
)
"""Parts that scenes show in place and taken off."""

TOOLS = ("arch", "hoop", "cable", "rope", "strap")
"""Things beyond COCO's classes that a relation needs: to go through, to lie around something, to join two things."""

_PLURALS = {"person": "people", "mouse": "mice", "knife": "knives"} | {noun: noun for noun in ("sheep", *PAIRS)}

_IRREGULAR = ("people", "men", "women", "children", "mice", "feet", "teeth")

_SENTENCES = """There is a an one object in the picture. There are no two objects in the picture. The cup is are red.
The cup is at. The cup is at to. The cup facing. Left of and on. Yes no true false correct incorrect. user: assistant:
in words."""


def plural(noun: str) -> str:
    """Return the plural of a COCO noun or of a phrase that ends in one ("red cup" gives "red cups")."""
    head, _, last = noun.rpartition(" ")
    if last in _PLURALS:
        last = _PLURALS[last]
    elif last.endswith(("s", "x", "ch", "sh")):
        last += "es"
    else:
        last += "s"
    return f"{head} {last}" if head else last


def several(phrase: str) -> bool:
    """Tell whether a noun phrase of others is a plural, "sunglasses" or "black trees", by the look of its last word."""
    last = phrase.lower().split()[-1]
    return last in _IRREGULAR or (last.endswith("s") and not last.endswith(("ss", "us", "is")))


def cell(box: tuple[float, float, float, float], width: int, height: int) -> str:
    """Name the grid cell of the centre of a pixel box in a picture of ``width`` x ``height``: "x0 y0" is top left."""
    return _cell_at((box[0] + box[2]) / 2 / width, (box[1] + box[3]) / 2 / height)


def corners(box: tuple[float, float, float, float], width: int, height: int) -> str:
    """Name the grid cells of the top left and the bottom right corner of a pixel box: "x1 y2 to x4 y6"."""
    first, last = _cell_at(box[0] / width, box[1] / height), _cell_at(box[2] / width, box[3] / height)
    return f"{first} to {last}"


def _cell_at(x: float, y: float) -> str:
    column, row = (min(max(int(GRID * share), 0), GRID - 1) for share in (x, y))
    return f"x{column} y{row}"


def facing_word(yaw: float) -> str:
    """Return the word of ``HEADINGS`` that is nearest to a yaw in degrees."""
    return HEADINGS[int(((yaw % 360) + 45) // 90) % 4]


def split_words(text: str) -> list[str]:
    """Split text as a word tokenizer does: lower case, runs of letters and digits, each punctuation mark alone."""
    return re.findall(r"\w+|[^\w\s]", text.lower())


def words() -> list[str]:
    """Return every lower-case word and punctuation mark that records and core templates can hold, sorted.

    A tokenizer that was made of these words fits what was trained with it, so other templates add none.
    """
    # Templates are put together from this file's words, so they are read here only when asked for.
    from spatial.relations import RELATIONS
    from spatial.templates import TEMPLATES

    core = [template for template in TEMPLATES.values() if template.origin == "core"]
    templates = [re.sub(r"{\w+}", " ", template.text) for template in core]
    answers = [answer for template in core for answer in template.answers]
    cells = [f"{axis}{index}" for axis in "xy" for index in range(GRID)]
    nouns = [form for noun in NOUNS for form in (noun, plural(noun))]
    things = [*nouns, *PARTS, *TOOLS]
    texts = [*templates, *answers, *cells, *things, *RELATIONS, *NUMBERS, *COLOURS, *HEADINGS, _SENTENCES]
    return sorted({word for text in texts for word in split_words(text)})
