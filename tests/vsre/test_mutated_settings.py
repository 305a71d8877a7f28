"""Whatever bytes change in a settings file, it is read or refused in one line; so is what YAML alone would allow."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from spatial.errors import ConfigError
from tests.mutations import MUTATIONS, SETTINGS, Mutation, check_settings
from vsre.settings import load_mapping, parse


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutation=MUTATIONS)
def test_changed_settings_are_read_or_refused(tmp_path: Path, mutation: Mutation) -> None:
    check_settings(tmp_path, SETTINGS, mutation)


LAUGHS = "l0: &l0 [ha, ha]\n" + "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 10))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("groups: 2\nseed: 1\ngroups: 3\n", r"x\.yaml:3: 'groups' stands here twice"),
        ("engine: {name: a, steps: 4, name: b}\n", r"x\.yaml:1: 'name' stands here twice"),
        (LAUGHS, "with its aliases written out"),
        ("extra: &a [*a]\n", "stands within '&a' itself"),
        ("extra: " + "[" * 400 + "]" * 400, "more than 50 mappings and lists"),
        ("extra: " + "[" * 100_000, "more than 50 mappings and lists"),
    ],
    ids=["twice", "twice within", "laughs", "itself", "deep", "deep and open"],
)
def test_what_yaml_allows_and_nobody_means_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigError, match=says):
        load_mapping(tmp_path / "x.yaml")


def test_aliases_and_equal_keys_of_several_mappings_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: &a {x: 1, y: {x: 2}}\nb: {<<: *a, z: [x, x]}\nc: [{x: 1}, {x: 1}]\n")
    assert load_mapping(path)["b"] == {"x": 1, "y": {"x": 2}, "z": ["x", "x"]}


def test_an_empty_settings_file_leaves_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("# nothing yet\n")
    assert parse("datagen", [str(path)]) == parse("datagen", [])
