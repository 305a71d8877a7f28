"""Pixels to visual tokens: four vision encoders, their fusion, and the language model that reads them.

    uint8 canvas -> towers (frozen) -> features per encoder -> fusion (trained) -> visual tokens -> language model

Start with ``registry`` (which encoders exist), then ``tower``, ``fusion`` and ``modeling``. Importing this package
costs nothing: ``ENCODERS`` is plain data, and ``FUSIONS``, which needs torch, is loaded when first asked for.
"""

from typing import TYPE_CHECKING, Any

from encoders.registry import ENCODERS, VSRE_ENCODERS

if TYPE_CHECKING:
    from encoders.fusion import FUSIONS

__all__ = ["ENCODERS", "FUSIONS", "VSRE_ENCODERS"]


def __getattr__(name: str) -> Any:
    if name == "FUSIONS":
        from encoders.fusion import FUSIONS

        return FUSIONS
    raise AttributeError(f"module 'encoders' has no attribute {name!r}")
