"""The card of a model on the hub, made of what its files and its evaluations say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader

from encoders.configuration import VsreConfig
from spatial.exposure import exposure_from_json
from spatial.proportion import percent
from vsre.config import PushConfig
from vsre.pages import TEMPLATES
from vsre.private import without_places

CARD = "README.md"
TEMPLATE = "model_card.md.j2"
MARK = "<!-- written by vsre push -->"
"""By this a card of ours is told from one that somebody wrote."""

TASK = "image-text-to-text"

Evaluation = tuple[str, dict[str, Any]]
"""Name of an evaluation's folder, and its ``results.json``."""


@dataclass(frozen=True)
class Subject:
    """What a card is about.

    Attributes:
        adapter: whether it is an adapter and no whole model.
        model_hash: by which predictions name it.
        model: configuration of the whole.
        trained: ``training.json``; empty without one.
        earlier: those of the runs that it goes back to, the first one first.
        built: ``build.json``; empty without one.
        evaluations: of this model.
        code: whether the code lies beside the weights.
    """

    adapter: bool
    model_hash: str
    model: VsreConfig
    trained: Mapping[str, Any]
    built: Mapping[str, Any]
    evaluations: Sequence[Evaluation]
    code: bool
    earlier: Sequence[Mapping[str, Any]] = ()


def model_card(subject: Subject, config: PushConfig) -> str:
    """Return the card as text, its metadata as the hub reads them at the head."""
    from huggingface_hub import ModelCard, ModelCardData

    rows = [row for name, results in subject.evaluations for row in _rows(name, results)]
    data = ModelCardData(
        library_name="peft" if subject.adapter else "transformers",
        pipeline_tag=TASK,
        tags=["vsre", "spatial-relations"],
        base_model=config.base or None,
        license=config.licence or None,
        model_name=config.repo.partition("/")[2],
        eval_results=_results(subject.evaluations) or None,
    )
    settings = without_places(subject.trained.get("config", {}))
    templates = Environment(loader=FileSystemLoader(TEMPLATES), trim_blocks=True, lstrip_blocks=True)
    text = templates.get_template(TEMPLATE).render(
        card_data=data.to_yaml(),
        mark=MARK,
        name=config.repo.partition("/")[2],
        summary=_summary(subject, config),
        about=_about(subject),
        scores=rows,
        warnings=_warnings(subject.evaluations),
        data=_datasets(subject),
        exposure=_exposure(subject.trained),
        built=without_places(subject.built.get("parts", [])),
        settings=yaml.safe_dump(settings, sort_keys=False, allow_unicode=True).strip() if settings else "",
        use=_use(subject, config),
        commands=_commands(subject, config),
        licence=config.licence,
    )
    return str(ModelCard(text)).rstrip() + "\n"


def _datasets(subject: Subject) -> list[tuple[str, str, str]]:
    """Return the run, name and content hash of every dataset, those of earlier stages first."""
    rows: list[tuple[str, str, str]] = []
    for trained in (*subject.earlier, subject.trained):
        stage, steps = trained.get("config", {}).get("stage"), trained.get("steps")
        run = ", ".join([*filter(None, [stage]), *([f"{steps:,} steps"] if steps else [])]) or "-"
        held = {key: value for key, value in trained.get("data", {}).items() if key != "evaluate"}  # scored, not seen
        rows += [(run, without_places(key), value) for key, value in held.items()]
    return rows


def _summary(subject: Subject, config: PushConfig) -> str:
    kind = "A LoRA adapter with its projector" if subject.adapter else "A vision-language model"
    on = f" on [{config.base}](https://huggingface.co/{config.base})" if config.base else ""
    return f"{kind}{on} for spatial relations, made with vsre."


def _about(subject: Subject) -> list[tuple[str, Any]]:
    trained = subject.trained
    versions = ", ".join(f"{name} {value}" for name, value in trained.get("versions", {}).items())
    parameters = trained.get("parameters", {}).values()
    lines = {
        "encoders": ", ".join(subject.model.vision.plans()),
        "fusion": f"{subject.model.fusion}, {subject.model.num_image_tokens} visual tokens an image",
        "language model": subject.model.text.model_type,
        "stage": trained.get("config", {}).get("stage"),
        "steps": trained.get("steps"),
        "trained parameters": f"{sum(part['trainable'] for part in parameters):,}" if parameters else None,
        "training": _spent(trained),
        "checkpoint": _chosen(trained.get("evaluation")),
        "merged": _merged(trained.get("merged")),
        "versions": versions,
        "model hash": f"`{subject.model_hash}`",
    }
    return [(name, value) for name, value in lines.items() if value not in (None, "")]


def _spent(trained: Mapping[str, Any]) -> str:
    if "seconds" not in trained:
        return ""
    return f"{trained['seconds']:,.0f} s on {trained.get('processes', 1)} process(es)"


def _chosen(evaluation: Mapping[str, Any] | None) -> str:
    if not evaluation:
        return ""
    metric, result = evaluation["metric"], evaluation["result"]
    candidates = [entry for entry in evaluation["history"] if entry["step"] > 0]  # step 0 is where it started from
    start = next((entry[metric] for entry in evaluation["history"] if entry["step"] == 0), None)
    among = f"of {len(candidates)} evaluations in training"
    if evaluation["keep"] != "best":
        how = f"the last {among}"
    elif metric in result and result[metric] >= max((entry[metric] for entry in candidates), default=result[metric]):
        how = f"the best {among}"
    else:
        how = f"not the best {among}, whose checkpoint was lost"
    if metric not in result:
        return f"step {result['step']}, {how}"
    slice_ = "it was chosen by" if evaluation["keep"] == "best" else "of the evaluations"
    score = f"{metric} {result[metric]:.3f} on the slice {slice_}"
    worse = f", no better than the {start:.3f} before training" if start is not None and result[metric] <= start else ""
    return f"step {result['step']}, {how}, {score}{worse}"


def _merged(merged: Mapping[str, Any] | None) -> str:
    return f"{merged['adapters']} adapters added to their base, in {merged['dtype']}" if merged else ""


def _exposure(trained: Mapping[str, Any]) -> str:
    """Say what the model has seen of VSR, and so which scores on it mean something (docs/leakage.md)."""
    if "exposure" not in trained:
        return "It does not say what it has seen of VSR; scores on VSR may be of pictures that it was trained on."
    seen = exposure_from_json(trained["exposure"])
    free = [name for name in ("zeroshot", "random") if not seen.objection(name, "test")]
    held = " and ".join(free) or "neither split"
    photos = f"photos of VSR, guarded for {', '.join(seen.targets) or 'nothing'}" if seen.photos else "no photo of VSR"
    lines = [f"Its training showed {photos}. Test parts of VSR that it has not seen anything of: {held}."]
    lines += [f"Of {name}: {why}." for name in ("zeroshot", "random") if (why := seen.objection(name, "test"))]
    return " ".join(lines)


def _data_name(results: Mapping[str, Any]) -> str:
    data = results["config"]["data"]
    if data["kind"] == "vsr":
        return f"VSR {data['variant']} {data['split'] or 'test'}"
    return " ".join(filter(None, [Path(data["path"]).name, data["split"]]))


def _rows(name: str, results: Mapping[str, Any]) -> list[list[str]]:
    return [
        [
            name,
            _data_name(results),
            run["decoder"],
            run["image_mode"],
            str(run["n"]),
            percent(run["accuracy"]),
            " to ".join(map(percent, run["ci95"] or ())),
            percent(run["macro_accuracy"]),
            percent(run["pair_accuracy"]),
            "near chance" if run["near_chance"] else "",
        ]
        for run in results["scores"]
    ]


def _warnings(evaluations: Sequence[Evaluation]) -> list[str]:
    found = [(name, results.get("leakage") or {}) for name, results in evaluations]
    return [f"{name}: {without_places(leakage['why'])}" for name, leakage in found if leakage.get("why")]


def _results(evaluations: Sequence[Evaluation]) -> list[Any]:
    """Return scores as the hub lists them; controls without the right image are no scores of the model."""
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type=TASK,
            dataset_type=results["config"]["data"]["kind"],
            dataset_name=_data_name(results),
            metric_type="accuracy",
            metric_name=f"accuracy ({run['decoder']})",
            metric_value=round(run["accuracy"], 4),
        )
        for _, results in evaluations
        for run in results["scores"]
        if run["image_mode"] == "image" and run["accuracy"] is not None
    ]


def _use(subject: Subject, config: PushConfig) -> str:
    trust = ", trust_remote_code=True" if subject.code else ""
    lines = [] if subject.code else ["import vsre.hf  # of the vsre repository: tells Transformers about the classes"]
    lines += ["from transformers import AutoModelForImageTextToText, AutoProcessor", ""]
    whole = config.base if subject.adapter else config.repo
    lines += [f'model = AutoModelForImageTextToText.from_pretrained("{whole}"{trust})']
    if subject.adapter:
        lines += ["from peft import PeftModel", f'model = PeftModel.from_pretrained(model, "{config.repo}")']
    return "\n".join([*lines, f'processor = AutoProcessor.from_pretrained("{config.repo}"{trust})'])


def _commands(subject: Subject, config: PushConfig) -> list[str]:
    """Return what repeats the training and the scores, from the vsre repository."""
    lines = [f"hf download {config.repo} --local-dir MODEL"]
    if subject.trained.get("config"):
        lines += ["vsre train SETTINGS.yaml --model BASE --data '[DATASET]' --out MODEL  # the settings above"]
    for name, results in subject.evaluations:
        data = results["config"]["data"]
        where = "--data.kind vsr --data.images VSR" if data["kind"] == "vsr" else "--data.path DATASET"
        decoders = ", ".join(f'"{decoder}"' for decoder in results["config"]["decoders"])
        lines += [f"vsre eval --model MODEL {where} --decoders '[{decoders}]' --out runs/{name}"]
    return lines
