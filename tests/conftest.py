"""What all tests share: markers that skip themselves, and a mend for a torchvision that does not fit torch."""

import os
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked ``gpu`` without a CUDA device, and ``network`` where the hub is switched off."""
    for item in items:
        if item.get_closest_marker("gpu") and not _has_gpu():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
        if item.get_closest_marker("network") and os.environ.get("HF_HUB_OFFLINE") == "1":
            item.add_marker(pytest.mark.skip(reason="HF_HUB_OFFLINE=1"))


@pytest.fixture(scope="session")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset folder that was painted: 24 groups, some accepted and some rejected, in four shards."""
    from datagen.paint.run import run_painted
    from tests.stand_ins import PARTS, SMALL

    folder = run_painted(replace(SMALL, out=str(tmp_path_factory.mktemp("painted") / "data")), PARTS)
    assert folder is not None
    return folder


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _mend_torchvision() -> None:
    """Let a torchvision built for CUDA be imported beside a CPU-only torch.

    Its compiled operators are absent then, and its import fails on declaring a shape for ``nms``. Declaring the
    operators, with a plain ``nms``, is all that the import and the tests need.
    """
    import torch

    from vsre.doctor import compiled_part_loads

    spec = find_spec("torchvision")
    if spec is None or spec.origin is None or compiled_part_loads(Path(spec.origin).parent):
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", _nms, "CompositeExplicitAutograd")
    import torchvision

    torchvision.ops.boxes._assert_has_ops = lambda: None
    globals()["_library"] = library  # the operators live as long as this object


def _nms(boxes, scores, iou_threshold):  # type: ignore[no-untyped-def]
    """Keep boxes in order of score unless they overlap a kept one by more than ``iou_threshold``."""
    import torch
    from torchvision.ops import box_iou

    kept: list[int] = []
    overlap = box_iou(boxes, boxes)
    for index in scores.argsort(descending=True, stable=True).tolist():
        if not kept or overlap[index, kept].max() <= iou_threshold:
            kept.append(index)
    return torch.tensor(kept, dtype=torch.int64)


if find_spec("torchvision"):
    _mend_torchvision()
