"""How the features of several encoders become one sequence of visual tokens for the language model.

``sequence`` (VSRE, Figure 3): each encoder has its own aligner, and the aligned tokens follow each other in encoder
order. Most faithful, and most tokens: 576 + 729 + 256 + 256 = 1,817 for the four encoders of the paper.

``interleave`` (MoF of MMVP, arXiv 2401.06209): aligned tokens of the same place stand next to each other.

``add`` (additive MoF of the same paper): aligned tokens of the same place are summed: one token per place.

``channel`` (Prismatic, Eagle): features of the same place are joined channel by channel, and aligned together: one
token per place.

``resampler`` (``encoders.resampler``): a fixed number of learned queries look at all encoders.

"The same place" is a cell of the first encoder's grid, which the other grids are interpolated to.

Shapes: B images, N_i tokens and C_i channels of encoder i, D width of the language model.
"""

import torch
from torch import Tensor, nn

from encoders.aligners import build_aligner
from encoders.configuration import VsreConfig
from encoders.projector import FusionProjector, Place, feed, first_grid, to_grid
from encoders.resampler import ResamplerFusion


class AlignedFusion(FusionProjector):
    """Base of the modes in which every encoder has an aligner of its own."""

    def __init__(self, config: VsreConfig) -> None:
        super().__init__(config)
        width = config.text.hidden_size
        self.aligners = nn.ModuleDict(
            {name: build_aligner(branch.aligner, branch.channels, width) for name, branch in self.branches.items()}
        )

    def aligned(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return tokens [B, N_i, D] per encoder."""
        prepared = self.prepared(features).items()
        return {name: self.gated(name, feed(self.aligners[name], feature)) for name, feature in prepared}

    def aligned_on_first_grid(self, features: dict[str, Tensor]) -> list[Tensor]:
        """Return tokens [B, N_first, D] per encoder; what is interpolated is the smaller of the two."""
        side = next(iter(self.branches.values())).grid
        return [to_grid(tokens, self.branches[name].grid, side) for name, tokens in self.aligned(features).items()]


class SequenceFusion(AlignedFusion):
    """Tokens of all encoders one after the other."""

    @staticmethod
    def places(config: VsreConfig) -> list[Place]:
        """Return the class token, if it is kept, and the cells of each encoder."""
        found: list[Place] = []
        for branch in config.branches().values():
            found += [None] * int(branch.plan.keep_cls)
            found += [(branch.grid, cell) for cell in range(branch.grid**2)]
        return found

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Fuse features [B, N_i, C_i] into [B, sum of N_i, D]."""
        return torch.cat(list(self.aligned(features).values()), dim=1)


class InterleaveFusion(AlignedFusion):
    """For each place, one token of every encoder."""

    @staticmethod
    def places(config: VsreConfig) -> list[Place]:
        """Return each cell of the first encoder's grid once per encoder."""
        side = first_grid(config)
        return [(side, cell) for cell in range(side**2) for _ in config.branches()]

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Fuse features [B, N_i, C_i] into [B, encoders * N_first, D]."""
        return torch.stack(self.aligned_on_first_grid(features), dim=2).flatten(1, 2)


class AddFusion(AlignedFusion):
    """For each place, the sum of all encoders' tokens."""

    @staticmethod
    def places(config: VsreConfig) -> list[Place]:
        """Return the cells of the first encoder's grid."""
        side = first_grid(config)
        return [(side, cell) for cell in range(side**2)]

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Fuse features [B, N_i, C_i] into [B, N_first, D]."""
        first, *others = self.aligned_on_first_grid(features)
        return sum(others, start=first)


class ChannelFusion(FusionProjector):
    """For each place, one token of all encoders' channels."""

    def __init__(self, config: VsreConfig) -> None:
        super().__init__(config)
        channels = sum(branch.channels for branch in self.branches.values())
        self.aligner = build_aligner(config.aligner, channels, config.text.hidden_size)

    @staticmethod
    def places(config: VsreConfig) -> list[Place]:
        """Return the cells of the first encoder's grid."""
        return AddFusion.places(config)

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Fuse features [B, N_i, C_i] into [B, N_first, D]."""
        side = next(iter(self.branches.values())).grid
        gridded = [
            to_grid(self.gated(name, feature), self.branches[name].grid, side)
            for name, feature in self.prepared(features).items()
        ]
        return feed(self.aligner, torch.cat(gridded, dim=-1))


FUSIONS: dict[str, type[FusionProjector]] = {
    "sequence": SequenceFusion,
    "channel": ChannelFusion,
    "interleave": InterleaveFusion,
    "add": AddFusion,
    "resampler": ResamplerFusion,
}
