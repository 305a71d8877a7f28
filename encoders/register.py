"""Tell Transformers' Auto classes about ours; ``import vsre.hf`` does this and nothing else."""

from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoModelForImageTextToText, AutoProcessor

from encoders.configuration import FusedVisionConfig, VsreConfig
from encoders.detector import DetectorConfig, TinyDetector
from encoders.modeling import VsreForConditionalGeneration, VsreModel
from encoders.processing import VsreImageProcessor, VsreProcessor
from encoders.tower import FusedVisionModel


def register() -> None:
    """Register configurations, models and processors; calling it again changes nothing."""
    AutoConfig.register("vsre_vision", FusedVisionConfig, exist_ok=True)
    AutoConfig.register("vsre", VsreConfig, exist_ok=True)
    AutoConfig.register(DetectorConfig.model_type, DetectorConfig, exist_ok=True)
    AutoModel.register(FusedVisionConfig, FusedVisionModel, exist_ok=True)
    AutoModel.register(VsreConfig, VsreModel, exist_ok=True)
    AutoModel.register(DetectorConfig, TinyDetector, exist_ok=True)
    AutoModelForImageTextToText.register(VsreConfig, VsreForConditionalGeneration, exist_ok=True)
    AutoImageProcessor.register(VsreConfig, image_processor_classes={"pil": VsreImageProcessor}, exist_ok=True)
    AutoProcessor.register(VsreConfig, VsreProcessor, exist_ok=True)
