"""An adapter as training leaves it, without training."""

import json
from pathlib import Path
from typing import Any

import torch

from encoders.adapters import lora_config
from encoders.load import load_model


def adapt(base: Path, out: Path, seed: int = 0) -> Path:
    """Save an adapter on a checkpoint or adapter, with weights that change something."""
    from peft import get_peft_model

    model, processor = load_model(base, torch.float32)
    model.name_or_path = model.config._name_or_path = str(base)
    tuned: Any = get_peft_model(model, lora_config(model, r=4, alpha=8))
    torch.manual_seed(seed)
    for name, parameter in tuned.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            parameter.data += 0.05 * torch.randn_like(parameter)
    tuned.save_pretrained(out)
    processor.save_pretrained(out)
    (out / "README.md").unlink()  # PEFT's empty card, which training removes too
    facts = {"exposure": {"photos": True, "targets": ["zeroshot"]}, "steps": 3}
    (out / "training.json").write_text(json.dumps(facts))
    return out
