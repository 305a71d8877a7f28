"""Import this module to let Transformers' Auto classes find vsre's models and processors.

import vsre.hf
from transformers import AutoModelForImageTextToText, AutoProcessor

model = AutoModelForImageTextToText.from_pretrained("checkpoints/tiny")
processor = AutoProcessor.from_pretrained("checkpoints/tiny")
"""

from encoders.register import register

register()
