"""Masks of objects in photos, by SAM from their boxes (Segment Anything, arXiv 2304.02643).

SAM always runs on the CPU in float32, whatever the engines run on: masks decide which pixels are repainted, and they
may be made by a process that has a GPU or by a worker of a cluster that has none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datagen.engines.hub import find_model
from datagen.engines.loading import named
from datagen.engines.options import quiet
from datagen.engines.weights import Part, hashes, load_part, read_json, weight_files
from spatial.errors import CheckpointError
from spatial.observation import Box

SAM = "facebook/sam-vit-base"

LOCAL = {"local_files_only": True, "trust_remote_code": False}

SETTINGS = ("config.json", "preprocessor_config.json", "processor_config.json")
"""Files beside the weights that decide what SAM finds as well, so that they are hashed with them."""

MEND = f"fetch it: hf download {SAM} --local-dir DIR, then name DIR"


@dataclass(frozen=True)
class SamMasks:
    """Finds the object in a box; a ``NamedMasks`` of ``datagen.paint.photos``.

    Attributes:
        model: of transformers.
        processor: its own.
        provenance: name, revision and sha256 of the files that were loaded.
    """

    model: Any
    processor: Any
    provenance: Mapping[str, Any]

    def __call__(self, pixels: NDArray[np.uint8], box: Box) -> NDArray[np.bool_]:
        """Return the mask (H, W) of the object, nothing of it outside the box."""
        import torch

        image = Image.fromarray(pixels)
        given = self.processor(images=image, input_boxes=[[list(box)]], return_tensors="pt")
        with torch.no_grad():
            found = self.model(**given, multimask_output=False).pred_masks
        masks = self.processor.image_processor.post_process_masks(
            found, given["original_sizes"], given["reshaped_input_sizes"]
        )
        mask: NDArray[np.bool_] = masks[0][0, 0].numpy().astype(np.bool_)
        x0, y0, x1, y1 = box
        rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
        inside = (columns + 1 > x0) & (columns < x1) & (rows + 1 > y0) & (rows < y1)
        return np.asarray(mask & inside, np.bool_)


def load_sam(name: str = SAM) -> SamMasks:
    """Return SAM from a folder or hub name, on the CPU in float32.

    Raises:
        CheckpointError: the weights are missing, incomplete or another model's.
    """
    import torch
    from transformers import SamImageProcessorPil, SamProcessor

    source = find_model(name)
    config = read_json(source.path / "config.json", f"{source.path} is no SAM", MEND)
    if config.get("model_type") != "sam":
        raise CheckpointError(f"{source.path} holds a model of type {config.get('model_type')!r}, not sam; {MEND}")
    variant, files = weight_files(source.path, MEND, half=False)
    with quiet():
        model = load_part(Part("sam", "transformers", "SamModel", source.path, files, variant), torch.float32)
        processor = SamProcessor(SamImageProcessorPil.from_pretrained(source.path, **LOCAL))
    read = [*files, *(path for file in SETTINGS if (path := source.path / file).is_file())]
    return SamMasks(model.to("cpu").eval(), processor, named(source, hashes(read, source.path)))
