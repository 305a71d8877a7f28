"""COCO's 80 object categories with their published identifiers, and further ones for nouns that COCO does not know."""

from spatial.vocabulary import NOUNS

_GAPS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
"""Identifiers between 1 and 90 that COCO left out of its releases."""

_IDS = dict(zip(NOUNS, (number for number in range(1, 91) if number not in _GAPS), strict=True))

_LAST = {
    "person": 1,
    "vehicle": 9,
    "outdoor": 15,
    "animal": 25,
    "accessory": 33,
    "sports": 43,
    "kitchen": 51,
    "food": 61,
    "furniture": 70,
    "electronic": 77,
    "appliance": 82,
    "indoor": 90,
}
"""COCO's supercategories and the last identifier of each, in order."""

FURTHER = 1001
"""First identifier of nouns that COCO does not know; COCO-Stuff and the panoptic set end below it."""


class Categories:
    """Category identifiers by noun; a noun that is no COCO category gets the next one from ``FURTHER`` on."""

    def __init__(self) -> None:
        self._ids = dict(_IDS)

    def __getitem__(self, noun: str) -> int:
        return self._ids.setdefault(noun, FURTHER + len(self._ids) - len(_IDS))

    def listed(self) -> list[dict[str, object]]:
        """Return the categories as COCO lists them, the 80 first."""
        return [
            {"id": number, "name": noun, "supercategory": _supercategory(number)} for noun, number in self._ids.items()
        ]


def _supercategory(number: int) -> str:
    return next((name for name, last in _LAST.items() if number <= last), "other")
