"""Settings of the front door's own commands. Standard library only, so that the command line stays quick."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class DoctorConfig:
    """What ``vsre doctor`` demands of the machine.

    Attributes:
        free_gib: disk space in the working directory below which the doctor complains, in GiB.
        model: checkpoint directory, or settings file of 'vsre build-model', whose tokens, parameters and FLOPs are
            shown; no weights are loaded.
    """

    free_gib: float = 2.0
    model: str = ""


@dataclass
class StepConfig:
    """One step of a pipeline. Its output folder is the run directory's sub-folder of its name, or its own ``out``.

    Attributes:
        name: unique in the run.
        command: a command of ``vsre --help``, such as "train".
        config: YAML file with the command's settings; optional.
        settings: the command's settings, laid over those of the file. "step:NAME" stands for the output folder of an
            earlier step, "step:NAME/SUB" for what is in it, in values and in keys.
        out: folder to share with other runs, such as "data/vsr"; it is never emptied, and the command goes on in it or
            refuses it. Empty: one in the run directory.
    """

    name: str
    command: str
    config: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    out: str = ""


@dataclass
class RunConfig:
    """A pipeline.

    Attributes:
        out: run directory.
        steps: done in this order; a step whose settings and inputs have not changed since it was done is skipped.
        dry_run: only tell which steps are done, what the others would write and take, and what is missing for them.
        results: file of scores and seconds, in the run directory.
    """

    out: str = "runs/run"
    steps: list[StepConfig] = field(default_factory=list)
    dry_run: bool = False
    results: str = "results.json"


@dataclass
class AxisConfig:
    """One thing that varies over a matrix of pipelines.

    Attributes:
        name: for tables and plots, such as "images".
        values: label to {step: settings}, which are laid over those of the step. Labels that are numbers, such as
            "500" or "100k", are drawn to scale.
    """

    name: str
    values: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class MatrixConfig:
    """A pipeline for every combination of the values of some axes, and the curves of its scores.

    Attributes:
        out: run directory. A step's output is its sub-folder named after the step and the labels that it depends on, so
            that what several combinations need alike is made once.
        steps: of the pipeline, as for 'vsre run'.
        axes: what varies: the first along the plot, the second from line to line; over all others the mean is taken.
        average: axes to take the mean over in any case, such as seeds; first and second are counted without them.
        score: name of the step of command "eval" that scores a combination.
        metric: score to plot: "accuracy", "macro_accuracy", "pair_accuracy", ...
        submit: command that hands a job to a scheduler, with {command} where what it shall run belongs, such as
            "sbatch --gpus=8 --wrap {command}"; "": everything runs here, one after the other.
        again: submit also what was submitted before and is not done.
        dry_run: print what is done and what is missing, and do nothing.
    """

    out: str = "runs/matrix"
    steps: list[StepConfig] = field(default_factory=list)
    axes: list[AxisConfig] = field(default_factory=list)
    average: list[str] = field(default_factory=list)
    score: str = "eval"
    metric: str = "accuracy"
    submit: str = ""
    again: bool = False
    dry_run: bool = False


@dataclass
class ReportConfig:
    """What the pages of a report show; each part has a page of its own, and there is none where nothing is named.

    Attributes:
        out: folder for ``index.html``, the other pages and ``summary.json``.
        title: of the report.
        evaluations: output folders of ``vsre eval`` by the name their model gets in the tables ("base", "expert").
        attention: output folders of ``vsre attend`` by the name of their model; optional.
        interpretations: output folders of ``vsre interpret`` by the name of their model, for the page about the parts
            that carry the answer; optional.
        training: checkpoint folders of ``vsre train`` by name, for the training curves.
        data: dataset folder that the evaluations read, for the example images; optional.
        examples: number of example images.
        answers: largest number of statements with their pictures on the page of answers; 0: no such page.
        seed: which statements that page shows.
        gallery: output folder of ``vsre gallery``, whose page becomes one of the report; optional.
        painted: painted dataset folder, for its yield table and accepted and rejected pictures; optional.
        painted_gallery: output folder of ``vsre gallery`` of that folder, whose page becomes one too; optional.
    """

    out: str = "runs/report"
    title: str = "Spatial relations"
    evaluations: dict[str, str] = field(default_factory=dict)
    attention: dict[str, str] = field(default_factory=dict)
    interpretations: dict[str, str] = field(default_factory=dict)
    training: dict[str, str] = field(default_factory=dict)
    data: str = ""
    examples: int = 8
    answers: int = 48
    seed: int = 0
    gallery: str = ""
    painted: str = ""
    painted_gallery: str = ""


@dataclass
class CompareConfig:
    """What is compared with what.

    Attributes:
        runs: output folders of ``vsre eval`` on the same questions; also the positional arguments.
        names: what the runs are called, in their order; by default the ends of their paths.
        out: folder for ``index.html``, ``comparison.md``, ``comparison.tex`` and ``comparison.json``.
    """

    runs: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    out: str = "runs/compare"


@dataclass
class SweepConfig:
    """How AdaptVis's parameters are chosen from an evaluation that ran several scales.

    Attributes:
        run: output folder of ``vsre eval`` with decoders "greedy" and "scale(alpha=...)"; also the positional argument.
        share: of the questions, to choose on, in whole groups; the others are reported.
        seed: deals the groups.
        betas: thresholds to try; by default 0, 0.05, ..., 1.
        topics: what the questions are about; empty: all.
        out: folder for ``sweep.json`` and ``sweep.png``; "": "sweep" in the run's.
    """

    run: str = ""
    share: float = 0.2
    seed: int = 1
    betas: list[float] = field(default_factory=list)
    topics: list[str] = field(default_factory=lambda: ["relation"])
    out: str = ""


@dataclass
class GalleryConfig:
    """Which groups of a dataset are shown, and how.

    Attributes:
        data: dataset folder; may be given without its name.
        out: folder for ``gallery.html``; the dataset folder if empty.
        sheet: folder for contact sheets, one PNG per relation; none are drawn if empty.
        per_relation: groups per relation; 0 shows all. A group that is about two relations counts for both.
        limit: largest number of groups; 0 sets no limit.
        seed: which groups are drawn; the same seed draws the same ones.
        passes: draw depth, instance ids and what else the renderer knows again from the stored scenes.
        max_mib: largest size of the page in MiB; groups that do not fit are left out, and the page says so.
    """

    data: str = ""
    out: str = ""
    sheet: str = ""
    per_relation: int = 4
    limit: int = 0
    seed: int = 0
    passes: bool = True
    max_mib: float = 16.0


@dataclass
class ReviewConfig:
    """Which statements people are asked about, or where their answers are.

    Attributes:
        data: dataset folder; may be given without its name.
        out: folder for ``review.html`` and ``review.json``; ``review`` in the dataset folder if empty.
        per_relation: statements about each relation; 0 asks about all.
        limit: largest number of statements; 0 sets no limit.
        seed: which statements are drawn.
        answers: file, or list of files, that the page saved; they are read, and no page is written. Of several people
            who differ about a statement, nobody can tell.
        calibration: file of ``vsre calibrate`` about the verifier, to show what it expects; "" takes that of the data.
    """

    data: str = ""
    out: str = ""
    per_relation: int = 10
    limit: int = 0
    seed: int = 0
    answers: list[str] | str = ""
    calibration: str = ""


@dataclass
class ObjectsConfig:
    """Where the pictures and the table of all objects go.

    Attributes:
        out: folder for ``objects.html`` and ``objects-1.png``, ...
        assets: folder of your own meshes with their declarations, to be shown beside the library's objects.
    """

    out: str = "runs/objects"
    assets: str = ""


@dataclass
class DemoConfig:
    """Whom the page asks, and where it is served.

    Attributes:
        model: as for ``vsre ask``.
        decoders: as for ``vsre ask``; empty: one of each kind that the model can do.
        canvas: how pictures become square, as for ``vsre eval``; "" as the checkpoint has it.
        device: "cpu", "cuda", ...; empty takes the GPU where there is one.
        host: address to serve at. Any other than the default lets other machines ask, without a password.
        port: 0 takes the first free one from 7860 on.
        max_mib: largest file of a picture, in MiB.
    """

    model: str = "tiny-expert"
    decoders: list[str] = field(default_factory=list)
    canvas: str = ""
    device: str = ""
    host: str = "127.0.0.1"
    port: int = 0
    max_mib: int = 16


@dataclass
class PushConfig:
    """A model for the hub, and what its card says beside what its own files say.

    Attributes:
        model: checkpoint, adapter or merged directory; may be given without its name.
        repo: OWNER/NAME on the hub.
        base: OWNER/NAME of the model that an adapter belongs to, which it then names instead of a directory here; of a
            whole model, what it was made from, for the card.
        evaluations: output folders of ``vsre eval`` of this model, whose scores go on the card.
        licence: as the hub calls it, such as "apache-2.0" or "llama2"; the card says that none is stated if empty.
        private: whether the repository is for you alone; one that is there stays as it is.
        dry_run: write the card into the directory and list what would be sent; nothing is sent.
    """

    model: str
    repo: str = ""
    base: str = ""
    evaluations: list[str] = field(default_factory=list)
    licence: str = ""
    private: bool = False
    dry_run: bool = False
