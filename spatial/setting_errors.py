"""What jsonargparse says of a setting that it cannot take, in words for whoever wrote the setting."""

import re

from spatial.errors import nearest

UNION = r"Does not validate against any of the Union subtypes Subtypes: \[(.+?)\] Errors: .*Given value: (.+)$"


def in_plain_words(message: str) -> str:
    """Return a message of jsonargparse as one line without Python's names of types."""
    plain = re.sub(r"Expected an? <class '(\w+)'>\. Got value:", r"expected \1, got", " ".join(message.split()))
    plain = re.sub(r"Expected a typing\.Literal\[(.+?)\]\. Got value: (.+)", _of_several, plain)
    plain = re.sub(r"(expected str, got (?:True|False))\b", r"\1 (YAML reads a bare 'on' or 'off' so: quote it)", plain)
    plain = re.sub(r"expected list, got ([^\s\[{]+)$", r"expected list, got \1; write '[\1]'", plain)
    plain = re.sub(UNION, _of_kinds, plain)
    plain = re.sub(r"Parser key \"([\w.]+)\": Unable to load config '(.+?)' - .*", _of_group, plain)
    plain = re.sub(r"^(?:Parsing of object failed: )?(?:Validation failed: )?", "", plain)
    plain = plain.replace("the following arguments are required", "required settings are missing")
    return plain.replace("Parser key", "setting")


def _of_kinds(found: "re.Match[str]") -> str:
    """Of a setting of several types; a list is what is most often written without its brackets, or its quotes."""
    kinds = re.sub(r"\bdict\b", "a mapping", re.sub(r"\blist\b", "a list", re.sub(r"\[[^\[\]]*\]", "", found[1])))
    mend = f"; write '[{found[2]}]', with the quotes" if "a list" in kinds and found[2][0] not in "[{" else ""
    return f"expected {kinds.replace(', ', ' or ')}, got {found[2]}{mend}"


def _of_group(found: "re.Match[str]") -> str:
    return f"{found[1]!r} is a group of settings, and no file of them is {found[2]}; name one: --{found[1]}.NAME VALUE"


def _of_several(found: "re.Match[str]") -> str:
    known = re.findall(r"'([^']*)'", found[1])
    return f"expected {', '.join(known[:-1])} or {known[-1]}, got {found[2]}{nearest(found[2], known)}"
