"""The guard of frozen encoders against adapters that were configured without ``encoders.adapters``."""

from torch import nn

from spatial.errors import ConfigError


def refuse_adapters(frozen: nn.Module) -> None:
    """Make sure that no adapter of PEFT's sits in a frozen module.

    Raises:
        ConfigError: one does.
    """
    found = [name for name, module in frozen.named_modules() if hasattr(module, "base_layer")]
    if found:
        raise ConfigError(
            f"{len(found)} adapters are in the frozen encoders, the first on {found[0]}; make the configuration with "
            "encoders.adapters.lora_config(model, targets), which keeps them in the language model"
        )
