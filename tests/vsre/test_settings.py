"""Settings files: where they are found, what overrides what, and that a printed one gives itself back."""

from pathlib import Path

import pytest
import yaml

from spatial.errors import ConfigError
from spatial.mappings import merged
from vsre.roots import ROOT
from vsre.settings import find_config, from_mapping, load_settings, parse, setting_names, to_yaml

SHIPPED = "configs/eval/vsr-zeroshot.yaml"


def test_the_working_directory_comes_before_the_installed_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config(SHIPPED) == ROOT / SHIPPED
    mine = tmp_path / SHIPPED
    mine.parent.mkdir(parents=True)
    mine.write_text("model: mine")
    assert find_config(SHIPPED).resolve() == mine
    assert parse("eval", [SHIPPED]).model == "mine"


def test_flags_override_the_file_wherever_it_stands() -> None:
    before = parse("eval", [SHIPPED, "--data.split", "dev", "--data.images=photos"])
    after = parse("eval", ["--data.split", "dev", "--data.images=photos", SHIPPED])
    assert before == after
    assert (before.data.split, before.data.images, before.data.kind) == ("dev", "photos", "vsr")


def test_one_key_of_a_mapping_can_be_overridden(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text("{model: m, data: [d], out: o, trainer: {learning_rate: 1e-3, max_steps: 4}}")
    config = parse("train", [str(path), "--trainer.max_steps", "9"])
    assert config.trainer == {"learning_rate": 1e-3, "max_steps": 9}


def test_resolved_settings_give_themselves_back() -> None:
    config = parse("run", ["configs/quickstart.yaml"])
    assert from_mapping("run", yaml.safe_load(to_yaml(config))) == config


def test_a_mistake_on_the_command_line_is_not_blamed_on_the_file() -> None:
    with pytest.raises(ConfigError, match=r"^unknown setting 'data\.splt'"):
        parse("eval", [SHIPPED, "--data.splt", "dev"])


def test_abbreviated_flags_are_not_guessed() -> None:
    with pytest.raises(ConfigError, match="did you mean 'bootstrap'"):
        parse("eval", ["--boot", "5"])


def test_a_switch_may_stand_alone() -> None:
    assert parse("datagen", ["--dense", "--groups", "3"]) == parse("datagen", ["--dense", "true", "--groups=3"])
    assert parse("datagen", ["--groups", "3", "--dense"]).dense
    assert not parse("datagen", ["--dense", "false"]).dense
    with pytest.raises(ConfigError, match=r"dense.*bool, got maybe"):
        parse("datagen", ["--dense", "maybe"])


def test_a_bare_on_is_said_to_be_a_boolean_of_yaml() -> None:
    with pytest.raises(ConfigError, match=r"got True .*quote it"):
        parse("datagen", ["--relations", "[on, off]"])
    assert parse("datagen", ["--relations", '["on", "off"]']).relations == ["on", "off"]


def test_a_word_that_is_none_of_several_names_them_and_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"expected .*full, align, finetune.* got fintune; did you mean 'finetune'"):
        parse("train", ["configs/train/quickstart.yaml", "--stage", "fintune"])


def test_the_first_word_names_what_to_fetch_unless_it_is_a_settings_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("{dataset: vsr, parts: [train], dry_run: true}")
    from_file = parse("fetch", [str(path)])
    assert (from_file.dataset, from_file.parts, from_file.dry_run) == ("vsr", ["train"], True)
    assert parse("fetch", ["vsr", str(path)]) == from_file
    assert parse("fetch", ["--parts", "[train]", "--dry_run", "--dataset", "vsr"]) == from_file
    assert parse("fetch", ["--parts", "[train]", "--dry-run", "--dataset", "vsr"]) == from_file
    with pytest.raises(ConfigError, match="takes one dataset, got vsr and other"):
        parse("fetch", ["vsr", "other"])


def test_names_of_nested_settings_are_known() -> None:
    from vsre.config import RunConfig

    of_a_step = ["name", "command", "config", "settings", "out"]
    assert list(setting_names(RunConfig)) == ["out", "steps", *of_a_step, "dry_run", "results"]


def test_the_dataset_of_a_gallery_needs_no_name() -> None:
    for arguments in (["data/x", "--limit", "3"], ["--limit=3", "data/x"], ["--data", "data/x", "--limit", "3"]):
        config = parse("gallery", arguments)
        assert (config.data, config.limit) == ("data/x", 3)


def test_an_argument_without_a_name_is_taken_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'vsre gallery' takes one data, got a and b"):
        parse("gallery", ["a", "b"])
    with pytest.raises(ConfigError, match="takes one data, got a and --data"):
        parse("gallery", ["a", "--data", "b"])
    with pytest.raises(ConfigError, match="no settings file folder"):
        parse("report", ["folder"])
    settings = tmp_path / "gallery.yaml"
    settings.write_text("{data: from-file, seed: 4}")
    assert parse("gallery", [str(settings)]).data == "from-file"
    config = parse("gallery", [str(settings), "from-line"])
    assert (config.data, config.seed) == ("from-line", 4)


def test_a_file_is_laid_over_the_one_it_extends(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below/base.yaml").write_text(
        "{model: m, data: [d], out: o, trainer: {learning_rate: 1e-3, max_steps: 4}}"
    )
    (tmp_path / "middle.yaml").write_text("{extends: below/base.yaml, trainer: {max_steps: 5}, seed: 3}")
    path = tmp_path / "top.yaml"
    path.write_text("{extends: middle.yaml, model: mine}")
    config = parse("train", [str(path), "--seed", "4"])
    assert (config.model, config.data, config.seed) == ("mine", ["d"], 4)
    assert config.trainer == {"learning_rate": 1e-3, "max_steps": 5}
    assert from_mapping("train", load_settings(path) | {"seed": 4}) == config


@pytest.mark.parametrize("flag", [["--config", "top.yaml"], ["--config=top.yaml"]])
def test_a_file_named_by_config_is_read_as_the_positional_one(
    flag: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text("{model: m, data: {a: 1.0}, tasks: {statement: 1}, out: o, lora: {r: 4}}")
    Path("top.yaml").write_text("{extends: base.yaml, seed: 3}")
    assert parse("train", [*flag, "--seed", "4"]) == parse("train", ["top.yaml", "--seed", "4"])


def test_what_a_stage_gives_anew_a_file_does_too(tmp_path: Path) -> None:
    lora, data = {"r": 4, "alpha": 8}, {"a": 1.0}
    train = {"model": "m", "out": "o", "lora": lora, "data": data, "stages": [{"name": "full", "data": data}]}
    step = {"name": "t", "command": "train", "settings": {"data": data, "lora": lora}}
    scores = {"name": "e", "command": "eval", "settings": {"data": {"path": "a"}}}
    for name, content in {"train": train, "run": {"steps": [step, scores]}}.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    new = {"data": {"b": 1.0}, "lora": {"r": 2}}
    top = {"extends": "train.yaml", **new, "stages": [{"name": "full", "data": {"b": 1.0}}]}
    (tmp_path / "top.yaml").write_text(yaml.safe_dump(top))
    config = parse("train", [str(tmp_path / "top.yaml")])
    assert config.data == {"b": 1.0} == config.stages[0]["data"] and (config.lora.r, config.lora.alpha) == (2, 8)
    over = [{"name": "t", "settings": new}, {"name": "e", "settings": {"data": {"limit": 3}}}]
    (tmp_path / "top.yaml").write_text(yaml.safe_dump({"extends": "run.yaml", "steps": over}))
    trained, scored = (step.settings for step in parse("run", [str(tmp_path / "top.yaml")]).steps)
    assert trained == {"data": {"b": 1.0}, "lora": {"r": 2, "alpha": 8}}
    assert scored == {"data": {"path": "a", "limit": 3}}


def test_a_shipped_file_can_be_extended_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(f"{{extends: {SHIPPED}, data: {{limit: 7}}}}")
    assert (parse("eval", ["mine.yaml"]).data.kind, parse("eval", ["mine.yaml"]).data.limit) == ("vsr", 7)


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ("{extends: second.yaml}", r"first.yaml extends .*second.yaml extends .*first.yaml; one of them must stand"),
        ("{extends: nowhere.yaml}", r"first.yaml: there is no settings file nowhere.yaml"),
        ("{extends: [second.yaml]}", r"first.yaml: extends must name one settings file"),
        ("{extends: third.yaml, sead: 1}", r"first.yaml: unknown setting 'sead'; did you mean 'seed'"),
    ],
)
def test_mistakes_in_extending_are_one_line(first: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "first.yaml").write_text(first)
    (tmp_path / "second.yaml").write_text("{extends: first.yaml}")
    (tmp_path / "third.yaml").write_text("{model: m, data: [d], out: o}")
    with pytest.raises(ConfigError, match=message):
        parse("train", [str(tmp_path / "first.yaml")])


def test_named_entries_of_a_list_are_laid_over_one_another_and_others_replaced() -> None:
    below = {"steps": [{"name": "a", "settings": {"x": 1, "y": 1}}, {"name": "b"}], "data": ["d"]}
    above = {"steps": [{"name": "a", "settings": {"y": 2}}, {"name": "c"}], "data": ["e"]}
    steps = [{"name": "a", "settings": {"x": 1, "y": 2}}, {"name": "b"}, {"name": "c"}]
    assert merged(below, above) == {"steps": steps, "data": ["e"]}
    assert below["steps"][0] == {"name": "a", "settings": {"x": 1, "y": 1}}
