"""The vision-language model: LLaVA with a fused tower and a fusion projector in place of its own two parts.

Parameter paths are a contract, because freezing, LoRA targets, saving and tests match their prefixes:
``model.vision_tower`` (frozen), ``model.multi_modal_projector`` (trained), ``model.language_model``, ``lm_head``.

Pre-projector features may be given instead of pixels (``encoder_features``), so that features cached on disk serve
every stage of training, also while the projector changes.

Shapes: B rows, L tokens per row, I images, N visual tokens of one image, D width of the language model.
"""

from collections.abc import Callable, Collection
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import AutoModel, LlavaForConditionalGeneration, LlavaModel
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPooling

from encoders.configuration import VsreConfig
from encoders.fusion import FUSIONS
from encoders.projector import EncoderValues
from encoders.resampler import ResamplerFusion
from encoders.tower import FusedVisionModel

EncoderFeatures = dict[str, Tensor]
"""Pre-projector features [I, N_i, C_i] by encoder name."""


def initialise(inherited: Callable[[nn.Module], None], module: nn.Module) -> None:
    """Initialise a module as Transformers does; the projector has parameters that belong to no layer of its."""
    inherited(module)
    if isinstance(module, EncoderValues | ResamplerFusion):
        module.reset_parameters()


class VsreModel(LlavaModel):
    """Towers, fusion and language model, without the head that scores words."""

    config_class = VsreConfig
    config: VsreConfig
    _no_split_modules: ClassVar[list[str]] = [fusion.__name__ for fusion in FUSIONS.values()]

    def __init__(self, config: VsreConfig) -> None:
        super(LlavaModel, self).__init__(config)  # LLaVA's own would build a tower and a projector to throw away
        self.vision_tower = FusedVisionModel._from_config(config.vision_config)
        self.multi_modal_projector = FUSIONS[config.fusion](config)
        self.language_model = AutoModel.from_config(config.text_config)
        self.trained_encoders: tuple[str, ...] = ()
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        initialise(super()._init_weights, module)

    def train_towers(self, trainable: bool) -> None:
        """Let the towers learn, or freeze them again."""
        self.vision_tower.train_towers(trainable)
        self.vision_tower.train(self.training)

    def get_image_features(
        self, pixel_values: Tensor | None = None, encoder_features: EncoderFeatures | None = None, **kwargs: Any
    ) -> BaseModelOutputWithPooling:
        """Compute the visual tokens of images.

        Args:
            pixel_values: canvases [I, 3, S, S], uint8 or float, 0..255.
            encoder_features: pre-projector features instead of pixels.

        Returns:
            An output whose ``pooler_output`` is a list of I tensors [N, D].

        Raises:
            ValueError: not exactly one of the two inputs is given.
        """
        if (pixel_values is None) == (encoder_features is None):
            raise ValueError("give either pixel_values or encoder_features")
        kept = self._draw_encoders()
        if encoder_features is None:
            encoder_features = self.vision_tower(pixel_values, encoders=kept)
        else:
            encoder_features = self._only(kept, encoder_features)
        tokens = self.multi_modal_projector(encoder_features)
        return BaseModelOutputWithPooling(pooler_output=list(tokens))

    def get_placeholder_mask(self, input_ids: Tensor, inputs_embeds: Tensor, image_features: Tensor) -> Tensor:
        """Return where visual tokens [I * N, D] go, [B, L, 1].

        Raises:
            ValueError: the rows have more or fewer image tokens than there are visual tokens.
        """
        try:
            mask: Tensor = super().get_placeholder_mask(input_ids, inputs_embeds, image_features)
        except ValueError as error:
            each = self.config.num_image_tokens
            found = "" if input_ids is None else f", not {int((input_ids == self.config.image_token_id).sum())}"
            raise ValueError(
                f"{len(image_features) // each} images of {each} tokens need {len(image_features)} image tokens "
                f"(id {self.config.image_token_id}) in input_ids{found}; let the processor put them in"
            ) from error
        return mask

    def train_encoders(self, names: Collection[str]) -> None:
        """Leave out all other encoders while training, as encoder dropout does but always; none named: leave out none.

        Features of the others need not be given then.
        """
        self.trained_encoders = tuple(names)

    def _only(self, kept: Collection[str], features: EncoderFeatures) -> EncoderFeatures:
        """Return features of ``kept`` as they are, and of the other encoders blank, given or not."""
        example = next(iter(features.values()))
        plans = {name: plan for name, plan in self.vision_tower.plans.items() if name not in kept}
        blank = {name: example.new_zeros(len(example), plan.tokens, plan.width) for name, plan in plans.items()}
        return {name: feature for name, feature in features.items() if name in kept} | blank

    def _draw_encoders(self) -> list[str]:
        """Return the encoders that this step keeps: all, unless some are left out or dropout is on; never none."""
        names = list(self.vision_tower.plans)
        if self.training and self.trained_encoders:
            names = [name for name in names if name in self.trained_encoders]
        if not self.training or self.config.encoder_dropout <= 0:
            return names
        keep = (torch.rand(len(names)) >= self.config.encoder_dropout).tolist()
        if not any(keep):
            keep[int(torch.randint(len(names), ()))] = True
        return [name for name, kept in zip(names, keep, strict=True) if kept]

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        encoder_features: EncoderFeatures | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run towers, fusion and language model; arguments as in ``VsreForConditionalGeneration.forward``."""
        if encoder_features is not None:
            if pixel_values is not None or mm_encoder_outputs:
                raise ValueError("give either pixel_values, encoder_features or mm_encoder_outputs")
            mm_encoder_outputs = {"image": self.get_image_features(encoder_features=encoder_features)}
        return super().forward(
            input_ids=input_ids, pixel_values=pixel_values, mm_encoder_outputs=mm_encoder_outputs, **kwargs
        )


class VsreForConditionalGeneration(LlavaForConditionalGeneration):
    """The whole model. ``AutoModelForImageTextToText`` finds it after ``import vsre.hf``."""

    config_class = VsreConfig
    config: VsreConfig

    def __init__(self, config: VsreConfig) -> None:
        super(LlavaForConditionalGeneration, self).__init__(config)
        self.model = VsreModel(config)
        self.lm_head = nn.Linear(config.text.hidden_size, config.text.vocab_size, bias=False)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        initialise(super()._init_weights, module)

    def train_towers(self, trainable: bool) -> None:
        """Let the towers learn (pre-training from scratch), or freeze them again."""
        self.model.train_towers(trainable)

    def get_image_features(
        self, pixel_values: Tensor | None = None, encoder_features: EncoderFeatures | None = None, **kwargs: Any
    ) -> BaseModelOutputWithPooling:
        """Compute visual tokens; see ``VsreModel.get_image_features``."""
        return self.model.get_image_features(pixel_values, encoder_features)

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        encoder_features: EncoderFeatures | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Score the next token at every position, and the loss where ``labels`` are given.

        Args:
            input_ids: tokens [B, L] with N image tokens per image.
            pixel_values: canvases [I, 3, S, S], uint8 or float, 0..255.
            attention_mask: [B, L] with 0 at padding, or a boolean [B, 1, L, L] that says which token sees which (then
                give ``position_ids`` too); the latter is how several statements share one image.
            position_ids: [B, L].
            past_key_values: cache of earlier tokens.
            inputs_embeds: embeddings [B, L, D] instead of ``input_ids``.
            encoder_features: pre-projector features instead of ``pixel_values``.
            labels: [B, L], -100 where no loss is wanted.
            logits_to_keep: number of last positions, or their indices, to score; 0 for all.
            mm_encoder_outputs: visual tokens as ``{"image": get_image_features(...)}`` instead of pixels.

        Returns:
            ``LlavaCausalLMOutputWithPast``.
        """
        return super().forward(
            input_ids=input_ids,
            pixel_values=pixel_values,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            encoder_features=encoder_features,
            labels=labels,
            logits_to_keep=logits_to_keep,
            mm_encoder_outputs=mm_encoder_outputs,
            **kwargs,
        )

    @torch.no_grad()
    def generate(self, *args: Any, encoder_features: EncoderFeatures | None = None, **kwargs: Any) -> Any:
        """Generate as Transformers does; cached features are projected once, before the prefill and beam expansion."""
        if encoder_features is not None:
            kwargs["mm_encoder_outputs"] = {"image": self.get_image_features(encoder_features=encoder_features)}
        return super().generate(*args, **kwargs)
