"""LLaVA-1.5 (arXiv 2310.03744): as many image tokens as CLIP has patches, whatever the picture.

The processor of its Transformers checkpoints cuts the middle square out of a picture; canvas "pad" is what its authors
trained with.
"""

from encoders.chat import LLAVA_TEMPLATE
from eval.families.family import Family

FAMILY = Family(templates={"llama": LLAVA_TEMPLATE})
