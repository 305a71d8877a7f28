"""From a command line, a YAML file or a mapping to the settings dataclass of a command.

jsonargparse does the reading and the type checks. What is added here: the settings file is a positional argument,
looked up in the working directory and then beside the packages, and every mistake is one line that names the
nearest known key.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, NoReturn, get_args, get_type_hints

import yaml
from jsonargparse import ArgumentParser, Namespace

from spatial.errors import ConfigError, nearest
from spatial.mappings import merged
from spatial.setting_errors import in_plain_words
from training.config import REPLACED as TRAIN_REPLACED
from vsre.commands import find_command
from vsre.roots import ROOT
from vsre.yaml_files import load_mapping

REPLACED = {"train": TRAIN_REPLACED}
"""By command, mappings that a file gives anew as a whole where it extends another, or is laid over it."""

EXTENDS = "extends"
"""Key of a settings file that names the one it is laid over."""

UNKNOWN_KEY = re.compile(
    r"Group '(?P<group>[^']+)' does not accept option '(?P<inner>[^']+)'"
    r"|Option '(?P<outer>[^']+)' is not accepted"
    r"|unrecognized arguments: (--)?(?P<flag>[^\s=]+)"
)


class _Parser(ArgumentParser):
    """Turns every parsing error into a ``ConfigError``."""

    known: tuple[str, ...] = ()

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        match = UNKNOWN_KEY.search(message)
        if match:
            key = ".".join(part for part in match.group("group", "inner", "outer", "flag") if part)
            hint = nearest(key, self.known) or f"; see '{self.prog} --help'"
            raise ConfigError(f"unknown setting {key!r}{hint}") from ex
        raise ConfigError(in_plain_words(message)) from ex


def parse(name: str, arguments: list[str]) -> Any:
    """Return the settings of command ``name`` from its command line; ``--help`` and ``--print_config`` exit.

    Raises:
        ConfigError: unknown key, wrong type, or a settings file that does not exist or is not YAML.
    """
    switches = switch_names(find_command(name).config_class())
    files, flags = _name_subject(name, *_split_positional(list(_switched_on(arguments, switches))))
    named, flags = _named_files(flags)
    files += named
    if len(files) > 1:
        raise ConfigError(f"'vsre {name}' takes one settings file, got {' and '.join(files)}")
    parser = _parser(name)
    if not files:
        return _instantiate(name, parser, parser.parse_args(flags))
    path = find_config(files[0])
    content = load_settings(path, name)
    # A file that extends another is handed over as text, with all that it stands on; so is one that says nothing.
    stated = load_mapping(path)
    source = str(path) if stated and EXTENDS not in stated else yaml.safe_dump(content, allow_unicode=True)
    try:
        return _instantiate(name, parser, parser.parse_args([f"--config={source}", *flags]))
    except ConfigError as error:
        raise _locate(error, path, flags) from error


def from_mapping(name: str, mapping: Mapping[str, Any]) -> Any:
    """Return the settings of command ``name`` from a nested mapping.

    Raises:
        ConfigError: unknown key or wrong type.
    """
    parser = _parser(name)
    return _instantiate(name, parser, parser.parse_object(dict(mapping)))


def find_config(name: str) -> Path:
    """Return the path of a settings file, looked up in the working directory and then beside the packages.

    Raises:
        ConfigError: it is in neither; names the nearest file under ``configs/``.
    """
    for path in (Path(name), ROOT / name):
        if path.is_file():
            return path
    shipped = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "configs").rglob("*.yaml"))]
    places = " or ".join(dict.fromkeys(map(str, (Path.cwd(), ROOT))))
    raise ConfigError(f"there is no settings file {name} in {places}{nearest(name, shipped)}")


def load_settings(path: Path, command: str = "", above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return what a settings file says, laid over the file that it extends, which may extend another.

    ``extends: FILE`` is looked up beside the file that says it, then as ``find_config`` does.

    Args:
        path: of the file.
        command: that the settings are of.
        above: files that extend it, from the first one on.

    Raises:
        ConfigError: a file is missing or no mapping, or the files extend each other in a circle.
    """
    content = load_mapping(path)
    below = content.pop(EXTENDS, "")
    if not below:
        return content
    if not isinstance(below, str):
        raise ConfigError(f"{path}: {EXTENDS} must name one settings file, not {below!r}")
    beside = path.parent / below
    try:
        base = beside if beside.is_file() else find_config(below)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    seen = (*above, path)
    if base.resolve() in {entry.resolve() for entry in seen}:
        raise ConfigError(f"{' extends '.join(map(str, (*seen, base)))}; one of them must stand on its own")
    return merged(load_settings(base, command, seen), content, REPLACED.get(command, ()), REPLACED)


def to_yaml(config: Any) -> str:
    """Return settings as the YAML text that gives them back."""
    return yaml.safe_dump(asdict(config), sort_keys=False, allow_unicode=True)


def setting_names(config_class: type[Any], prefix: str = "") -> Iterator[str]:
    """Yield every settable name: ``model``, ``data``, ``data.split``; fields of listed dataclasses without a prefix."""
    hints = get_type_hints(config_class)
    for entry in fields(config_class):
        yield prefix + entry.name
        if is_dataclass(hints[entry.name]):
            yield from setting_names(hints[entry.name], f"{prefix}{entry.name}.")
        for part in get_args(hints[entry.name]):
            if is_dataclass(part):
                yield from setting_names(part)  # type: ignore[arg-type]


def switch_names(config_class: type[Any], prefix: str = "") -> Iterator[str]:
    """Yield the names of the settings that are on or off."""
    for name, kind in get_type_hints(config_class).items():
        if kind is bool:
            yield prefix + name
        elif is_dataclass(kind):
            yield from switch_names(kind, f"{prefix}{name}.")  # type: ignore[arg-type]


def _parser(name: str) -> _Parser:
    command = find_command(name)
    config_class = command.config_class()
    subject = f"{command.subject.upper()} " * bool(command.subject)
    parser = _Parser(
        prog=f"vsre {name}",
        allow_abbrev=False,
        usage=f"%(prog)s {subject}[CONFIG.yaml] [--key VALUE] [--group.key VALUE] ...",
        description=command.summary.capitalize() + ".",
    )
    parser.add_argument("--config", action="config", help="The same as the positional CONFIG.yaml.")
    parser.add_class_arguments(config_class, as_group=False)
    parser.known = tuple(setting_names(config_class))
    return parser


def _instantiate(name: str, parser: _Parser, parsed: Namespace) -> Any:
    values = parser.instantiate(parsed).as_dict()
    config_class = find_command(name).config_class()
    return config_class(**{entry.name: values[entry.name] for entry in fields(config_class)})


def _switched_on(arguments: list[str], switches: Iterable[str]) -> Iterator[str]:
    """Give an on/off setting that stands alone, as ``--dry_run`` or ``--dry-run``, its value."""
    flags = {f"--{spelled}": f"--{name}" for name in switches for spelled in (name, name.replace("_", "-"))}
    for argument, following in zip(arguments, [*arguments, "-"][1:], strict=True):
        alone = argument in flags and following.startswith("-")
        yield f"{flags[argument]}=true" if alone else argument


def _split_positional(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Separate settings files from options; ``--key VALUE`` takes the argument after it, ``--key=VALUE`` does not."""
    files: list[str] = []
    flags: list[str] = []
    value_expected = False
    for argument in arguments:
        is_option = argument.startswith("-")
        (flags if is_option or value_expected else files).append(argument)
        bare = is_option and "=" not in argument
        value_expected = bare and argument not in ("-h", "--help", "--print_config") and not argument.endswith(".help")
    return files, flags


def _named_files(flags: list[str]) -> tuple[list[str], list[str]]:
    """Take ``--config FILE`` out of the options, to be read as the positional file is; a text of YAML stays."""
    files: list[str] = []
    kept: list[str] = []
    pending = iter(flags)
    for flag in pending:
        name, given, value = flag.partition("=")
        if name != "--config":
            kept.append(flag)
            continue
        value = value if given else next(pending, "")
        is_file = value.endswith((".yaml", ".yml", ".json")) or ("\n" not in value and Path(value).is_file())
        (files if is_file else kept).append(value if is_file else f"--config={value}")
    return files, kept


def _name_subject(name: str, words: list[str], flags: list[str]) -> tuple[list[str], list[str]]:
    """Give each argument that is no settings file the name of the setting it stands for, if the command has some."""
    command = find_command(name)
    settings = command.subjects
    values = [word for word in words if settings and not word.endswith((".yaml", ".yml"))]
    files = [word for word in words if word not in values]
    if command.takes_many and values:
        values += [flag for flag in flags if flag.split("=")[0] == f"--{settings[0]}"]
        given = ",".join(json.dumps(word) for word in values)
        return files, [*flags, f"--{settings[0]}=[{given}]"]
    named = [flag for flag in flags if values and flag.split("=")[0] in {f"--{setting}" for setting in settings}]
    if len(values) + len(named) > len(settings):
        quote = "; put what has spaces in quotes" if len(settings) > 1 else ""
        got = " and ".join([*values, *named])
        raise ConfigError(f"'vsre {name}' takes one {' and one '.join(settings)}, got {got}{quote}")
    unnamed = [setting for setting in settings if not any(flag.split("=")[0] == f"--{setting}" for flag in flags)]
    return files, [*flags, *(f"--{setting}={value}" for setting, value in zip(unnamed, values, strict=False))]


def _locate(error: ConfigError, path: Path, flags: list[str]) -> ConfigError:
    """Say that a mistake lies in the file unless its key is on the command line."""
    key = re.search(r"['\"]([^'\"]+)['\"]", str(error))
    on_line = key is not None and any(flag.split("=")[0] == f"--{key[1]}" for flag in flags)
    return error if on_line else ConfigError(f"{path}: {error}")
