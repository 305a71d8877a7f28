"""Settings of the commands of this room, and of tables of pairs. Standard library only, so that parsing is quick."""

from dataclasses import dataclass, field

WITHOUT_EFFECT = ("nproc",)
"""Settings of ``vsre eval`` that leave its rows as they are; a step of a pipeline is not done again for them."""


@dataclass
class DataConfig:
    """Which records to evaluate on.

    Attributes:
        kind: a name of ``eval.benchmarks.BENCHMARKS``: "folder" (written by ``vsre datagen``), "vsr", or another
            benchmark (docs/benchmarks.md).
        path: dataset folder, for kind "folder"; for benchmarks but VSR the folder that ``vsre fetch NAME`` wrote.
        annotations: directory of the released VSR files, for kind "vsr"; "" takes those that are shipped (zero-shot
            dev and test), and for other parts those in ``images``. For other benchmarks a file in place of the
            released one: a selection of your own, of any length.
        images: directory of the COCO photos, for kind "vsr": the folder that ``vsre fetch vsr`` wrote. For other
            benchmarks the folder of their photos, where it is not in ``path``.
        split: "train", "dev" or "test"; "" takes all records of a folder, and the test split of VSR. Of What'sUp and
            its COCO and Visual Genome sets, "dev" and "test" are AdaptVis's published split.
        variant: how VSR was split, "zeroshot" (unseen concepts) or "random".
        tasks: record tasks to keep: "statement", "choice" and "count" have answer options to score; rows of other
            tasks are listed as failed. Empty keeps all.
        topics: record topics to keep ("relation", "presence", ...). Empty keeps all.
        limit: keep about this many records, in whole groups; 0 keeps all.
    """

    kind: str = "folder"
    path: str = ""
    annotations: str = ""
    images: str = ""
    split: str = ""
    variant: str = "zeroshot"
    tasks: list[str] = field(default_factory=lambda: ["statement", "choice"])
    topics: list[str] = field(default_factory=list)
    limit: int = 0


@dataclass
class EvalConfig:
    """What to evaluate, how its answers are read, and where the predictions go.

    Attributes:
        model: checkpoint directory, a PEFT adapter directory, or a hub id; ours, or of a kind of
            ``eval.families.FAMILIES`` (docs/other-models.md).
        data: the records.
        out: run directory; predictions already in it are kept and not computed again.
        templates: template names, or "train", "held-out", "core", "own", "published", "reconstructed" for many
            (docs/templates.md); empty takes the core ones. A record is asked with those that suit it.
        decoders: canonical strings: "greedy", "scale(alpha=0.5)", "adaptvis(a1=0.5,a2=1.2,beta=0.4)".
        image_modes: "image"; "image_blind" (a canvas of the mean colour); "shuffled" (another group's image).
        canvas: "pad" (the whole picture, padded to a square); "crop" (its middle square, as CLIP's own processor), for
            our models; "processor" (what the checkpoint's own processor makes of it), for others; "" as the checkpoint
            has it.
        max_new_tokens: of answers in words, which are then written and read, too; 0: options are compared alone.
        batch_size: questions in one forward pass; it changes the speed, not the answers.
        max_tokens: bound on the tokens of one forward pass: pictures, questions, answers and what decoders add, padding
            counted. A batch that has more is answered in parts; like ``batch_size`` it changes no answer. 0: no bound.
        seed: decides template wording, which image a shuffled record gets, ties, and the bootstrap.
        bootstrap: resamples of the confidence intervals.
        device: "cpu", "cuda", ...; empty takes the GPU where there is one.
        nproc: processes on this machine that share the questions; 0: one per visible GPU, or as many as a launcher has
            started.
        rank: index of this array task.
        world: number of array tasks; batch k belongs to rank ``k % world``, and the last one to end writes the results.
    """

    model: str = "tiny-base"
    data: DataConfig = field(default_factory=DataConfig)
    out: str = "runs/eval"
    templates: list[str] = field(default_factory=list)
    decoders: list[str] = field(default_factory=lambda: ["greedy"])
    image_modes: list[str] = field(default_factory=lambda: ["image"])
    canvas: str = ""
    max_new_tokens: int = 0
    batch_size: int = 16
    max_tokens: int = 0
    seed: int = 0
    bootstrap: int = 1000
    device: str = ""
    nproc: int = 0
    rank: int = 0
    world: int = 1


@dataclass
class AttendConfig:
    """Whose attention to look at, on which questions, before and after which interventions.

    Attributes:
        model: checkpoint directory, a PEFT adapter directory, or a hub id; ours, or a LLaVA-1.5: it must be known where
            each image token looks.
        data: the records; how well attention overlaps with objects needs their boxes. ``data.limit`` bounds them.
        out: folder for ``attention.parquet``, ``heads.parquet``, ``results.json`` and the pictures.
        templates: template names, as for ``vsre eval``; empty takes the core ones.
        decoders: "greedy", which is always among them, "scale(alpha=0.5)", "temper(alpha=2)", "pai(alpha=0.5)",
            "adaptvis(a1=0.5,a2=1.2,beta=0.4)". Those that change no attention are refused.
        canvas: how pictures become square, as for ``vsre eval``; "" as the checkpoint has it.
        examples: how many questions are drawn with their maps; 0 draws none.
        layer: whose maps are drawn, from 0; -1 takes the one whose attention overlaps best with the objects.
        batch_size: questions in one forward pass; it changes the speed, not the attention.
        seed: decides template wording, ties, the examples, and the bootstrap.
        bootstrap: resamples of the confidence intervals.
        device: "cpu", "cuda", ...; empty takes the GPU where there is one.
    """

    model: str = "tiny-base"
    data: DataConfig = field(default_factory=DataConfig)
    out: str = "runs/attend"
    templates: list[str] = field(default_factory=list)
    decoders: list[str] = field(default_factory=lambda: ["greedy", "scale(alpha=0.5)", "scale(alpha=2)"])
    canvas: str = ""
    examples: int = 4
    layer: int = -1
    batch_size: int = 16
    seed: int = 0
    bootstrap: int = 1000
    device: str = ""


@dataclass
class CsvConfig:
    """A table of minimal pairs, one row for each picture or wording and its corruption (docs/pairs.md).

    Attributes:
        path: CSV file with a header.
        images: folder that all paths of pictures are relative to, and that none may leave; "" takes that of the file.
        modes: what is made of a row: "image" (another picture), "text" (another question), as far as it has one. In
            ``vsre interpret`` those that its own ``modes`` has, too.
        columns: what columns are called in the file, where not as we call them: "id", "clean_image", "corrupt_image",
            "clean_prompt", "corrupt_prompt", "correct", "incorrect", "family", "group", and the words "subject",
            "relation" and "object" of the clean prompt.
        build: "svo-probes", "mit-states" or "facial-expressions" makes the file first, if there is none, from what
            these sets' authors publish.
        source: what it is made from: ``svo_probes.csv``; for the other two the folder of folders of pictures.
        count: pairs of each family that are made; 0 makes all.
        seed: of what is made.
    """

    path: str = ""
    images: str = ""
    modes: list[str] = field(default_factory=lambda: ["image", "text"])
    columns: dict[str, str] = field(default_factory=dict)
    build: str = ""
    source: str = ""
    count: int = 500
    seed: int = 0


@dataclass
class InterpretConfig:
    """Which parts of a model to patch, on which minimal pairs (docs/interpret.md).

    Attributes:
        model: checkpoint directory, a PEFT adapter directory, or a hub id; of any kind but those that cannot be taken
            apart.
        data: records whose groups are minimal pairs.
        csv: pairs from a table instead, all of them and without controls, see ``CsvConfig``; counts if its ``path`` is
            set, and ``data``, ``templates``, ``pairs`` and ``controls`` do not then.
        out: folder for ``effects.parquet``, ``looks.parquet``, ``results.json`` and the pictures.
        templates: template names that the pairs are asked with.
        modes: "image" (two pictures, the same words), "text" (two wordings, the same picture).
        pairs: at most so many in each mode; 0 takes all. Of a table all are taken.
        directions: "denoise" (clean values into the corrupt run), "noise" (the other way round).
        kinds: of sites, for all tokens of a role: "resid", "attn", "mlp", "cross".
        headed: of sites, for single heads: "z", "cross_z", "q", "k", "v", "cross_q".
        roles: whose tokens are patched together at ``kinds``; empty takes all that prompts have.
        head_roles: whose tokens are patched at ``headed``; heads are chosen at the first.
        window: layers that are patched together; an odd number.
        tier: pairs that count: 0 all; 1 clean side right; 2 corrupt side answered otherwise, too; 3 far apart, too.
        controls: whether identical and doubly changed pairs are run as well.
        screen: whether to compare with attribution patching.
        encoders: whether to exchange the features of each vision encoder, of our models that have several.
        cuts: whether to cut attention between roles.
        against: folder of an earlier run, of another model on the same pairs; what differs is shown ("").
        beside: folders of earlier runs of the same model on other data; heads that are selected on all are universal.
        knockouts: sets of random heads that selected ones are compared with, and random heads that each labelled one
            is; 0 leaves both comparisons out.
        canvas: how pictures become square, as for ``vsre eval``; "" as the checkpoint has it.
        rows: cells computed at once; it changes memory and speed, not the effects.
        seed: chooses pairs, wordings and halves, and draws the bootstrap.
        bootstrap: resamples of the confidence intervals.
        device: "cpu", "cuda", ...; empty takes the GPU where there is one.
    """

    model: str = "tiny-base"
    data: DataConfig = field(default_factory=DataConfig)
    csv: CsvConfig = field(default_factory=CsvConfig)
    out: str = "runs/interpret"
    templates: list[str] = field(default_factory=lambda: ["question"])
    modes: list[str] = field(default_factory=lambda: ["image", "text"])
    pairs: int = 200
    directions: list[str] = field(default_factory=lambda: ["denoise", "noise"])
    kinds: list[str] = field(default_factory=lambda: ["resid", "attn", "cross", "mlp"])
    headed: list[str] = field(default_factory=lambda: ["z", "cross_z"])
    roles: list[str] = field(default_factory=list)
    head_roles: list[str] = field(default_factory=lambda: ["last", "subject", "relation", "object"])
    window: int = 1
    tier: int = 2
    controls: bool = True
    screen: bool = True
    encoders: bool = True
    cuts: bool = True
    against: str = ""
    beside: list[str] = field(default_factory=list)
    knockouts: int = 20
    canvas: str = ""
    rows: int = 1024
    seed: int = 0
    bootstrap: int = 1000
    device: str = ""


@dataclass
class AuditConfig:
    """What to audit: a dataset folder, our predicates against VSR, or both.

    Attributes:
        data: dataset folder to probe for shortcuts; also the positional argument of the command.
        out: folder for ``audit.json``, ``audit.png`` and the stored image features.
        model: checkpoint whose frozen towers describe the images; empty leaves the image probes out.
        topics: record topics to audit ("relation", "presence", ...). Empty takes all; only relation statements are
            balanced within their groups.
        limit: probe about this many statements, in whole groups; 0 takes all. Balances are counted on all.
        folds: parts that the groups are dealt into; each is answered by what was learned from the others.
        seed: deals the groups, and draws the bootstrap.
        bootstrap: resamples of the confidence intervals.
        batch_size: images in one forward pass.
        fail: exit with code 2 unless the data passes.
        coco: COCO-format file, or folder of ``instances*.json``, with the boxes of VSR's photos.
        vsr: VSR's annotation files (a folder or one file); empty takes those that are shipped (zero-shot dev and test).
    """

    data: str = ""
    out: str = "runs/audit"
    model: str = "tiny-base"
    topics: list[str] = field(default_factory=lambda: ["relation"])
    limit: int = 10000
    folds: int = 5
    seed: int = 0
    bootstrap: int = 1000
    batch_size: int = 64
    fail: bool = False
    coco: str = ""
    vsr: str = ""


@dataclass
class StudyConfig:
    """Whose features to compare, on which relations.

    Attributes:
        model: checkpoint directory; of an adapter directory the fusion is shown before and after tuning.
        data: dataset folder; also the positional argument of the command.
        out: folder for ``results.json``, ``points.parquet`` and one PNG per view.
        relations: relations to tell apart. Empty takes all that occur in at least ``folds`` groups.
        samples: at most this many statements per relation, one per image; 0 takes all.
        views: what stands for a statement: "pair" (means over the boxes of subject and object, and their difference)
            and "image" (the mean over the whole picture). The pair needs boxes.
        folds: parts that the groups are dealt into; each is answered by a probe that learned from the others.
        shuffles: how often labels are shuffled for the null, at least twice.
        seed: chooses the statements, deals the groups, shuffles, and draws the bootstrap and the map.
        bootstrap: resamples of the confidence intervals.
        batch_size: images in one forward pass; it changes the speed, not the features.
    """

    model: str = "tiny-base"
    data: str = ""
    out: str = "runs/study"
    relations: list[str] = field(default_factory=list)
    samples: int = 200
    views: list[str] = field(default_factory=lambda: ["pair", "image"])
    folds: int = 5
    shuffles: int = 5
    seed: int = 0
    bootstrap: int = 1000
    batch_size: int = 32
