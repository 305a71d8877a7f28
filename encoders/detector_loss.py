"""What a detector is taught by: centres, boxes, masks and relative depth.

Shapes: B pictures, K nouns, G cells and P mask pixels along a side, N things.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from encoders.detector import DetectorOutput, TinyDetector

NOUN_WEIGHT, BOX_WEIGHT, MASK_WEIGHT, DEPTH_WEIGHT, ORDER_WEIGHT, GROUND_WEIGHT = 1.0, 1.0, 1.0, 2.0, 2.0, 0.2


def detector_loss(
    model: "TinyDetector",
    output: "DetectorOutput",
    heat: Tensor,
    heat_weight: Tensor,
    noun: Tensor,
    box: Tensor,
    box_weight: Tensor,
    row_image: Tensor,
    row_cell: Tensor,
    row_mask: Tensor,
    log_depth: Tensor,
    depth_known: Tensor,
) -> Tensor:
    """Return the sum of all losses.

    Args:
        model: draws the masks.
        output: of the model.
        heat: (B, K, G, G), 1 at centres, falling off around them.
        heat_weight: (B, K, G, G), 0 where it is not known whether something counts as a thing.
        noun: int64 (B, G, G), of the thing that a cell is nearest to the centre of.
        box: (B, 4, G, G) pixels, of the same thing.
        box_weight: (B, G, G), 0 away from centres.
        row_image: (N,) the picture of a thing.
        row_cell: (N,) a cell at its centre.
        row_mask: (N, P, P), share of a mask pixel that the thing covers.
        log_depth: (B, P, P) log metres.
        depth_known: bool (B, P, P).
    """
    total = centre_loss(output.heat, heat, heat_weight)  # type: ignore[arg-type]
    total = total + NOUN_WEIGHT * noun_loss(output.heat, noun, box_weight)  # type: ignore[arg-type]
    total = total + BOX_WEIGHT * box_loss(output.box, box, box_weight)  # type: ignore[arg-type]
    total = total + GROUND_WEIGHT * _mean((output.log_depth - log_depth).abs(), depth_known.float())
    if len(row_image) == 0:
        return total
    masks = model.masks(output, row_image, row_cell)
    total = total + MASK_WEIGHT * mask_loss(masks, row_mask)
    seen = (row_mask > 0.5) & depth_known[row_image]
    return total + depth_loss(output.log_depth, log_depth, seen, row_image)  # type: ignore[arg-type]


def centre_loss(logit: Tensor, heat: Tensor, weight: Tensor) -> Tensor:
    """Return CenterNet's focal loss per centre: cells near a centre are wrong the less the nearer they are."""
    probability = logit.sigmoid()
    centre = heat >= 1
    found = -functional.logsigmoid(logit) * (1 - probability) ** 2
    missed = -functional.logsigmoid(-logit) * probability**2 * (1 - heat) ** 4
    return (torch.where(centre, found, missed) * weight).sum() / centre.sum().clamp_min(1)


def noun_loss(logit: Tensor, noun: Tensor, weight: Tensor) -> Tensor:
    """Return the cross-entropy of the nouns against each other near centres: which noun, if there is any.

    The focal loss alone forgives a centre that is half sure of two nouns, and learns them slowly.
    """
    return _mean(functional.cross_entropy(logit, noun, reduction="none"), weight)


def box_loss(box_B4GG: Tensor, target_B4GG: Tensor, weight_BGG: Tensor) -> Tensor:
    """Return the mean of 1 - generalised IoU (arXiv 1902.09630) over weighted cells."""
    ax0, ay0, ax1, ay1 = box_B4GG.unbind(1)
    bx0, by0, bx1, by1 = target_B4GG.unbind(1)
    shared = (torch.minimum(ax1, bx1) - torch.maximum(ax0, bx0)).clamp_min(0) * (
        torch.minimum(ay1, by1) - torch.maximum(ay0, by0)
    ).clamp_min(0)
    union = ((ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - shared).clamp_min(1e-3)
    hull = (torch.maximum(ax1, bx1) - torch.minimum(ax0, bx0)) * (torch.maximum(ay1, by1) - torch.minimum(ay0, by0))
    generalised = shared / union - (hull - union) / hull.clamp_min(1e-3)
    return _mean(1 - generalised, weight_BGG)


def mask_loss(logit_NPP: Tensor, share_NPP: Tensor) -> Tensor:
    """Return cross-entropy over each thing's surroundings, plus the Dice loss of the whole mask."""
    flat, target = logit_NPP.flatten(1), share_NPP.flatten(1)
    probability = flat.sigmoid()
    dice = 1 - (2 * (probability * target).sum(1) + 1) / (probability.square().sum(1) + target.square().sum(1) + 1)
    entropy = functional.binary_cross_entropy_with_logits(flat, target, reduction="none").sum(1)
    return dice.mean() + (entropy / (4 * target.sum(1) + 64)).mean()


def depth_loss(guess_BPP: Tensor, truth_BPP: Tensor, seen_NPP: Tensor, image_N: Tensor) -> Tensor:
    """Return the error of things' log depths, every thing alike, and of the differences between things of a picture."""
    weight = seen_NPP.float()
    pixels = weight.sum((1, 2))
    known = (pixels > 0).float()
    each = (((guess_BPP - truth_BPP)[image_N]).abs() * weight).sum((1, 2)) / pixels.clamp_min(1)
    error = ((guess_BPP - truth_BPP)[image_N] * weight).sum((1, 2)) / pixels.clamp_min(1)
    pair = (image_N[:, None] == image_N[None]).float() * known[:, None] * known[None]
    pair = pair.triu(1)
    order = _mean((error[:, None] - error[None]).abs(), pair)
    return DEPTH_WEIGHT * _mean(each, known) + ORDER_WEIGHT * order


def _mean(value: Tensor, weight: Tensor) -> Tensor:
    return (value * weight).sum() / weight.sum().clamp_min(1e-6)
