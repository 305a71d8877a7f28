"""The kinds of models that can be evaluated: one file for each, one line here.

A model's kind is the ``model_type`` of its config.json, or of its base's if it is an adapter. What a file says of it is
a ``Family``; ``opening`` makes use of it.
"""

from eval.families import blip, llava, llava_next, ours, qwen_vl
from eval.families.family import Family

FAMILIES: dict[str, Family] = {
    "vsre": ours.FAMILY,
    "llava": llava.FAMILY,
    "llava_next": llava_next.FAMILY,
    "qwen2_vl": qwen_vl.FAMILY,
    "qwen2_5_vl": qwen_vl.FAMILY,
    "blip": blip.FAMILY,
}
