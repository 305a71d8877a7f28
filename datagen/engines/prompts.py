"""Prompts of a scene: what is there, how it is photographed, and what must not be seen.

Styles, places and lights are nouns without prepositions, so that a prompt of one object alone never says where it is:
"in" and "on" are relations too. What is true of a picture, relation included, is in the prompt of the whole alone.
"""

from collections.abc import Sequence

import numpy as np

from datagen.engines.base import Prompts
from datagen.mention import named
from spatial.place import Backdrop
from spatial.scene import Scene, digest
from spatial.sentences import listed, with_article
from spatial.vocabulary import NUMBERS, plural

MEDIA = ("photo", "DSLR photograph", "sharp photograph", "candid photo", "smartphone photo", "documentary photograph")

INDOORS = ("living room", "kitchen", "photo studio", "workshop", "classroom", "hotel room", "office", "attic", "cabin")

OUTDOORS: dict[str, tuple[str, ...]] = {
    "hills": ("rolling countryside", "meadow", "hillside pasture"),
    "trees": ("city park", "forest clearing", "orchard"),
    "mountains": ("alpine valley", "mountain pasture", "desert plain"),
    "roofs": ("village square", "city street", "school yard"),
    "": ("wide beach", "open plain", "salt flat"),
}
"""Places by what stands on the horizon (``spatial.place.Outdoors``)."""

LIGHTS = {
    "indoors": ("soft daylight", "warm lamp light", "bright window light", "even studio light"),
    "outdoors": ("bright sunlight", "soft overcast light", "warm evening light", "clear morning light"),
}

NEGATIVE = "blurry, distorted, cartoon, painting, 3d render, text, watermark, collage, duplicate objects, cropped"


def rng_of(*parts: object) -> np.random.Generator:
    """Return a generator that depends on nothing but the parts."""
    return np.random.Generator(np.random.Philox(key=int(digest("/".join(map(str, parts))), 16)))


def style_of(backdrop: Backdrop, seed: int, group_id: str, draw: int = 0) -> str:
    """Return medium, place and light, "photo, city park, soft overcast light": the same for all pictures of a group.

    Args:
        backdrop: of the group's scenes; a place must suit it.
        seed: of the run.
        group_id: names the group.
        draw: tells several paintings of a group apart.
    """
    rng = rng_of("style", seed, group_id, draw)
    outdoors = backdrop.outdoors
    places = OUTDOORS.get(outdoors.skyline, OUTDOORS[""]) if outdoors else INDOORS
    lights = LIGHTS["outdoors" if outdoors else "indoors"]
    return ", ".join(options[int(rng.integers(len(options)))] for options in (MEDIA, places, lights))


def scene_prompts(scene: Scene, style: str, caption: str = "") -> Prompts:
    """Return the prompts of a scene.

    Args:
        scene: its objects are named with their colours.
        style: see ``style_of``.
        caption: what is true of the picture, such as its relation; "" says only what is there.
    """
    phrases = tuple(named(spec) for spec in scene.objects)
    return Prompts(whole_prompt(phrases, style, caption), phrases, NEGATIVE, style)


def whole_prompt(phrases: Sequence[str], style: str, caption: str = "") -> str:
    """Return "Photo of a red cup and a blue bowl. The cup is left of the bowl. City park, soft light."."""
    medium, _, rest = style.partition(", ")
    parts = [f"{medium} of {counted(phrases)}", caption.strip().removesuffix("."), rest]
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in parts if part)


def object_prompt(prompts: Prompts, index: int) -> str:
    """Return the prompt of one object painted on its own: "photo of a red cup, city park, soft overcast light"."""
    medium, _, rest = prompts.style.partition(", ")
    phrase = with_article(prompts.objects[index])
    return ", ".join(part for part in (f"{medium} of {phrase}" if medium else phrase, rest) if part)


def counted(phrases: Sequence[str]) -> str:
    """Return "a red cup, an oven and two blue bowls"."""
    counts = {phrase: phrases.count(phrase) for phrase in phrases}
    return listed(
        [with_article(name) if count == 1 else f"{NUMBERS[count]} {plural(name)}" for name, count in counts.items()]
    )
