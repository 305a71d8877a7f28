"""The table of commands: what each is for, the dataclass of its settings, and the function that does it.

Both are named by ``module:attribute`` and imported when needed: settings when a command line is parsed, the
function (and with it torch) only once parsing has succeeded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_origin, get_type_hints

from spatial.errors import ConfigError, nearest


@dataclass(frozen=True)
class Command:
    """One command of the front door.

    Attributes:
        summary: one line for ``vsre --help``.
        config: ``module:Class`` of the settings; the module imports the standard library only.
        action: ``module:function`` taking the settings and returning the path of what it made, if anything.
        record: where the record of the run (settings, environment, log) is kept: "out" in the output folder, "runs"
            in a folder of its own under ``runs/`` (datasets and checkpoints hold nothing that depends on time or
            host), "" nowhere.
        subject: the setting that may be given without its name: "data" lets ``vsre gallery DIR`` stand for
            ``vsre gallery --data DIR``; several, in their order, with a space between ("image question"); "" where
            every argument without a name is a settings file.
    """

    summary: str
    config: str
    action: str
    record: Literal["out", "runs", ""] = "runs"
    subject: str = ""

    @property
    def subjects(self) -> list[str]:
        """The settings that may be given without their names, in their order."""
        return self.subject.split()

    @property
    def takes_many(self) -> bool:
        """Whether the subject is a list, so that several arguments may be given without its name."""
        hints = get_type_hints(self.config_class()) if self.subject else {}
        return get_origin(hints.get(self.subject)) is list

    def config_class(self) -> type[Any]:
        """Import and return the dataclass of the settings."""
        found: type[Any] = _attribute(self.config)
        return found

    def load_action(self) -> Callable[[Any], Path | None]:
        """Import and return the function that does the work."""
        found: Callable[[Any], Path | None] = _attribute(self.action)
        return found


COMMANDS: dict[str, Command] = {
    "doctor": Command("check this installation", "vsre.config:DoctorConfig", "vsre.doctor:examine", ""),
    "fetch": Command(
        "download a public data set: vsre fetch vsr, vsre fetch whatsup-a, ...",
        "datagen.fetch.config:FetchConfig",
        "datagen.fetch.run:fetch",
        "",
        "dataset",
    ),
    "datagen": Command(
        "make a dataset of scenes, images and verified records",
        "datagen.config:DatagenConfig",
        "datagen.run:run",
    ),
    "card": Command(
        "count a dataset again for its card, and show its audit there",
        "datagen.config:CardConfig",
        "datagen.card:renew",
        record="",
        subject="dataset",
    ),
    "yield": Command(
        "count what was painted, what is right of it, and why the rest was rejected",
        "datagen.config:YieldConfig",
        "datagen.paint.yield_run:show_yield",
        record="",
        subject="dataset",
    ),
    "export": Command(
        "write a dataset folder in another format",
        "datagen.config:ExportConfig",
        "datagen.export.run:run",
        subject="dataset",
    ),
    "import": Command(
        "make a dataset folder of an exported one",
        "datagen.config:ImportConfig",
        "datagen.export.run:import_folder",
        subject="source",
    ),
    "import-vsr": Command(
        "make a dataset of VSR's rows and photos, without what a target tests",
        "datagen.config:ImportVsrConfig",
        "datagen.import_vsr:import_vsr",
    ),
    "objects": Command(
        "show the objects that scenes can hold, also your own meshes",
        "vsre.config:ObjectsConfig",
        "vsre.objects:write_objects",
        record="",
    ),
    "compare": Command(
        "compare evaluations of the same questions, with paired tests: vsre compare A B",
        "vsre.config:CompareConfig",
        "vsre.compare:write_comparison",
        record="out",
        subject="runs",
    ),
    "sweep": Command(
        "choose AdaptVis's parameters on validation groups of an evaluation, and report them on the others",
        "vsre.config:SweepConfig",
        "vsre.sweep:write_sweep",
        record="",
        subject="run",
    ),
    "gallery": Command(
        "write a page to look through a dataset",
        "vsre.config:GalleryConfig",
        "vsre.gallery.run:write_gallery",
        record="",
        subject="data",
    ),
    "review": Command(
        "write a page on which people judge labels, or read what they answered",
        "vsre.config:ReviewConfig",
        "vsre.review.run:review",
        record="",
        subject="data",
    ),
    "passes": Command(
        "write depth, edges, masks and more of rendered images, to control image generators",
        "datagen.config:PassesConfig",
        "datagen.control_run:write_passes",
        record="",
        subject="data",
    ),
    "calibrate": Command(
        "measure the verifier of painted pictures on renders with exact truth",
        "datagen.config:CalibrateConfig",
        "datagen.verify.calibrate:calibrate",
        "out",
        subject="data",
    ),
    "build-model": Command(
        "assemble encoders, fusion and language model into a checkpoint",
        "encoders.config:BuildConfig",
        "encoders.build:build_model",
    ),
    "cache-features": Command(
        "compute the features of frozen encoders once, and keep them for training",
        "encoders.config:CacheFeaturesConfig",
        "encoders.cache_build:cache_features",
    ),
    "train": Command("train or fine-tune a checkpoint", "training.config:TrainConfig", "vsre.train:train"),
    "merge": Command(
        "make a whole checkpoint of an adapter and its base",
        "encoders.config:MergeConfig",
        "encoders.merge:merge",
        subject="adapter",
    ),
    "push": Command(
        "upload a checkpoint or adapter to the model hub, with a card",
        "vsre.config:PushConfig",
        "vsre.push:push",
        record="",
        subject="model",
    ),
    "audit": Command(
        "find shortcuts in a dataset, and hold predicates against VSR",
        "eval.config:AuditConfig",
        "eval.audit.run:audit",
        "out",
        subject="data",
    ),
    "study": Command(
        "show how well the features of encoders and fusion separate relations",
        "eval.config:StudyConfig",
        "eval.study.run:study",
        "out",
        subject="data",
    ),
    "eval": Command("score a checkpoint on a benchmark", "eval.config:EvalConfig", "eval.run:evaluate", "out"),
    "ask": Command(
        "ask a model one question about one picture: vsre ask IMAGE 'Is the cup left of the laptop?'",
        "eval.ask.config:AskConfig",
        "eval.ask.run:ask",
        record="",
        subject="image question",
    ),
    "demo": Command(
        "open a page on this machine on which a model is asked about pictures",
        "vsre.config:DemoConfig",
        "vsre.demo:serve",
        record="",
    ),
    "attend": Command(
        "show where a model looks when it answers, and what decoders that change its attention change",
        "eval.config:AttendConfig",
        "eval.attend.run:attend",
        "out",
    ),
    "interpret": Command(
        "find out which parts of a model carry its answers, by patching them on minimal pairs",
        "eval.config:InterpretConfig",
        "eval.interpret.run:interpret",
        "out",
    ),
    "report": Command("write the HTML report", "vsre.config:ReportConfig", "vsre.report:write_report", "out"),
    "matrix": Command(
        "run a pipeline for every combination of settings, and plot the curves",
        "vsre.config:MatrixConfig",
        "vsre.matrix:run_matrix",
        "out",
    ),
    "run": Command("run a pipeline, skipping what is done", "vsre.config:RunConfig", "vsre.pipeline:run", "out"),
}


def find_command(name: str) -> Command:
    """Return the command called ``name``.

    Raises:
        ConfigError: there is none; names the nearest.
    """
    if name not in COMMANDS:
        raise ConfigError(f"no command is called {name!r}, see 'vsre --help'{nearest(name, COMMANDS)}")
    return COMMANDS[name]


def _attribute(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
