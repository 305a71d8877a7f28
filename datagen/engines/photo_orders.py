"""From VSR's photos to orders, as VSRE repainted them: image to image, text to image, and a box inpainted.

Only training rows are read, and the guard of the import leaves out what the target tests (``spatial.leakage``); a photo
that has the pixels of a held-out one under another name is left out as well. A label is that of the row as long as the
photo's layout is kept, which VSRE takes for granted and a verifier must check: a prompt says a caption only if it is
true, and a false row's picture is asked for by its two things alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datagen.config import ImportVsrConfig
from datagen.engines.base import Order, Prompts
from datagen.engines.orders import seed_of
from datagen.engines.prompts import NEGATIVE, style_of, whole_prompt
from datagen.import_vsr import fitting, places_of
from datagen.verify.base import Claim, Intent
from datagen.vsr_rows import SourceRow, select_rows
from spatial.boxes import is_known
from spatial.coco import AnnotatedPhoto, read_instances
from spatial.dataset import FailedRow
from spatial.errors import ConfigError, RecordError, nearest
from spatial.leakage import HELD_OUT_PARTS, held_out, photo_key
from spatial.observation import Box
from spatial.place import Backdrop
from spatial.records import ImageObject, decode_image
from spatial.sentences import split_caption, with_article
from spatial.vsr import find_photo, photo_of
from spatial.vsr_photos import Photo, index_photos

MODES = ("img2img", "txt2img", "box-inpaint")
"""VSRE's three settings; each is the name of the engine that paints its orders."""

UNKNOWN_BOX: Box = (float("nan"),) * 4
"""The box of a thing whose place in the picture is not known."""

MaskModel = Callable[[NDArray[np.uint8], Box], NDArray[np.bool_]]
"""From pixels (H, W, 3) and a box to the mask (H, W) of the object in it; ``datagen.engines.masks`` has SAM's."""


@dataclass(frozen=True)
class PhotoJob:
    """A row that can be repainted.

    Attributes:
        source: the row.
        photo: the row's.
        things: its subject and object, with boxes where they are known.
    """

    source: SourceRow
    photo: Photo
    things: tuple[ImageObject, ImageObject]


@dataclass(frozen=True)
class PhotoOrder:
    """An order, and what its picture must show; ``intent`` has no boxes where the layout is not kept."""

    order: Order
    intent: Intent
    job: PhotoJob


def photo_jobs(config: ImportVsrConfig, mode: str) -> tuple[list[PhotoJob], list[FailedRow]]:
    """Return the training rows that a mode can repaint, and those that it cannot with the reason.

    Args:
        config: as of ``vsre import-vsr``: annotations, photos, instances, splits and the leakage target.
        mode: of ``MODES``.

    Raises:
        ConfigError: the part is not "train", or the mode or a setting is unknown.
        RecordError: a file cannot be read, or no row is left.
    """
    if mode not in MODES:
        raise ConfigError(
            f"no way to repaint photos is called {mode!r}{nearest(mode, MODES)}; known: {', '.join(MODES)}"
        )
    if config.part in HELD_OUT_PARTS:
        raise ConfigError(
            f"part is {config.part!r}; photos are repainted of part 'train' alone, the others are tested on"
        )
    selection = select_rows(config)
    guard = held_out(config.leakage.target, config.leakage.files)
    images, failed = Path(config.images), list(selection.failed)
    paths = {source: find_photo(images, source.row, source.split, config.part) for source in selection.rows}
    photos = index_photos({path: source.row.photo for source, path in paths.items() if path})
    annotated = read_instances(config.instances, [photo.name for photo in _whole(photos)]) if config.instances else {}
    jobs = []
    for source, path in paths.items():
        try:
            photo = photo_of(source.row, path, photos, images)
            if guard.shows(photo.image_id, ()):
                raise RecordError("its pixels are those of a photo that the target tests")
            jobs.append(_job(source, photo, annotated.get(photo_key(source.row.photo)), mode))
        except RecordError as error:
            failed.append(FailedRow(source.name, str(error)))
    return jobs, failed


def photo_order(
    job: PhotoJob, mode: str, seed: int, group_id: str, copy: int = 0, masks: MaskModel | None = None
) -> PhotoOrder:
    """Return the order of a row.

    Args:
        job: see ``photo_jobs``.
        mode: of ``MODES``.
        seed: of the run.
        group_id: names the group; with ``seed``, ``mode`` and ``copy`` it decides style and seed of all its pictures.
        copy: number of the repainting, where a row is repainted several times.
        masks: finds the object in a box; without it the whole box is repainted.

    Raises:
        RecordError: the photo can no longer be read.
    """
    row = job.source.row
    style = style_of(Backdrop(), seed, group_id, copy)
    if mode != "txt2img":
        style = style.partition(", ")[0]  # the photo has its own place and light
    region = _region(job, masks) if mode == "box-inpaint" else None
    phrases = tuple(thing.name for thing in job.things)
    if mode == "box-inpaint":
        whole = f"{style} of {with_article(phrases[0])}"
    else:
        whole = whole_prompt(phrases, style, row.caption if row.truth else "")
    prompts = Prompts(whole, phrases, NEGATIVE, style)
    order = Order(row.photo, seed_of(seed, mode, group_id, copy), prompts, photo=_pixels(job.photo), region=region)
    return PhotoOrder(order, _intent(job, kept=mode != "txt2img"), job)


def _whole(photos: Mapping[Path, Photo | RecordError]) -> list[Photo]:
    return [photo for photo in photos.values() if isinstance(photo, Photo)]


def _job(source: SourceRow, photo: Photo, annotated: AnnotatedPhoto | None, mode: str) -> PhotoJob:
    """Return a row with its things.

    Raises:
        RecordError: the mode cannot repaint it.
    """
    if mode == "txt2img" and not source.row.truth:
        raise RecordError("its caption is false of the photo; a picture is painted from true captions alone")
    subject, _, other = (part.lower() for part in split_caption(source.row.caption, source.row.relation))
    known = fitting(annotated, photo)
    boxes = [UNKNOWN_BOX, UNKNOWN_BOX]
    if known:
        boxes = [known.objects[place].box_xyxy if place >= 0 else UNKNOWN_BOX for place in places_of(known, source.row)]
    if mode == "box-inpaint" and not is_known(boxes[0]):
        raise RecordError("its subject has no box; name COCO's instances*.json of its photo as --instances")
    return PhotoJob(source, photo, (ImageObject(subject, boxes[0]), ImageObject(other, boxes[1])))


def _region(job: PhotoJob, masks: MaskModel | None) -> NDArray[np.bool_]:
    """Return what of the photo is repainted: the subject's box, or of it only what ``masks`` finds there."""
    box = job.things[0].box_xyxy
    region = box_mask(box, job.photo.width, job.photo.height)
    if masks is None:
        return region
    found = masks(_pixels(job.photo), box) & region
    return found if found.any() else region


def box_mask(box: Box, width: int, height: int) -> NDArray[np.bool_]:
    """Return the mask (H, W) of the pixels that a box touches."""
    mask = np.zeros((height, width), np.bool_)
    x0, y0, x1, y1 = box
    mask[max(0, int(y0)) : int(np.ceil(y1)), max(0, int(x0)) : int(np.ceil(x1))] = True
    return mask


def _pixels(photo: Photo) -> NDArray[np.uint8]:
    try:
        data = photo.path.read_bytes()
    except OSError as error:
        raise RecordError(f"photo {photo.path} can no longer be read ({error.strerror}); restore it") from error
    return np.asarray(decode_image(data, photo.name))


def _intent(job: PhotoJob, kept: bool) -> Intent:
    """Return what the picture must show; if the layout is not kept, nothing is known of where."""
    things = job.things if kept else tuple(ImageObject(thing.name, UNKNOWN_BOX) for thing in job.things)
    claim = Claim(job.source.row.relation, 0, 1, job.source.row.truth)
    return Intent(things, (claim,), job.photo.width, job.photo.height)
