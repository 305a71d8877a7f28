"""Settings of ``vsre ask``. Standard library only, so that parsing is quick."""

from dataclasses import dataclass, field


@dataclass
class AskConfig:
    """Whom to ask what about which picture.

    Attributes:
        image: file of the picture; also the first argument without a name.
        question: in words; also the second. One that yes or no answers is answered so; any other needs ``options``, or
            is answered in words.
        options: answers to choose from, "left,right,above" or a list; empty: yes and no, or the model's own words.
        model: as for ``vsre eval``: checkpoint or adapter directory, or a hub id.
        decoders: as for ``vsre eval``; "greedy" is always among them. Empty: one of each kind that the model can do.
        image_modes: "image", "image_blind" (a canvas of the mean colour instead of the picture). All decoders answer in
            the first; in the other the plain model does, to tell what the words alone make it say.
        canvas: how pictures become square, as for ``vsre eval``; "" as the checkpoint has it.
        layer: whose attention is drawn, from 0; -1 takes the mean over all.
        max_new_tokens: longest answer in words, where there are no options.
        seed: decides between answers that are equally likely.
        device: "cpu", "cuda", ...; empty takes the GPU where there is one.
        out: folder for ``answer.json`` and ``attention.png``.
    """

    image: str = ""
    question: str = ""
    options: list[str] | str = ""
    model: str = "tiny-expert"
    decoders: list[str] = field(default_factory=list)
    image_modes: list[str] = field(default_factory=lambda: ["image", "image_blind"])
    canvas: str = ""
    layer: int = -1
    max_new_tokens: int = 20
    seed: int = 0
    device: str = ""
    out: str = "runs/ask"
