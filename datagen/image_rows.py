"""Put a rendered view into the row of a dataset: its pixels, and its objects as they are seen."""

import json

from datagen.assets.catalogue import is_own
from datagen.groups import Group, View
from spatial.records import ImageObject, ImageRow, encode_mask, encode_png, image_id_of

LICENCE = "CC0-1.0 (rendered by vsre)"
OWN_LICENCE = "as its meshes (rendered by vsre; meshes in the dataset's folder assets)"


def image_row(group: Group, view: View) -> ImageRow:
    """Return the image of a view with its objects as seen."""
    scene, pixels = view.scene, view.rendered.rgb
    objects = []
    for spec, seen in zip(scene.objects, view.observation.objects, strict=True):
        depth = seen.depth[1] if seen.depth else float("nan")
        box = (round(seen.box[0], 2), round(seen.box[1], 2), round(seen.box[2], 2), round(seen.box[3], 2))
        mask = encode_mask(seen.mask) if seen.mask is not None else ""
        objects.append(
            ImageObject(spec.name, box, spec.colour, mask, round(depth, 4), (*spec.position, *spec.size, spec.yaw))
        )
    provenance = {
        "relation": group.recipe.relation,
        "counterpart": group.recipe.counterpart,
        "contrast": group.recipe.kind,
        "attempts": group.attempts,
    }
    return ImageRow(
        image_id=image_id_of(pixels),
        image=encode_png(pixels),
        width=scene.width,
        height=scene.height,
        source="render",
        objects=tuple(objects),
        scene_id=scene.scene_id,
        scene=scene.canonical_json(),
        licence=OWN_LICENCE if any(is_own(spec.name) for spec in scene.objects) else LICENCE,
        provenance=json.dumps(provenance, sort_keys=True),
    )
