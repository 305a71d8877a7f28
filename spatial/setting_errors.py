"""What jsonargparse says of a setting that it cannot take, in words for whoever wrote the setting."""

import re

from spatial.errors import nearest


def in_plain_words(message: str) -> str:
    """Return a message of jsonargparse as one line without Python's names of types."""
    plain = re.sub(r"Expected an? <class '(\w+)'>\. Got value:", r"expected \1, got", " ".join(message.split()))
    plain = re.sub(r"Expected a typing\.Literal\[(.+?)\]\. Got value: (.+)", _of_several, plain)
    plain = re.sub(r"(expected str, got (?:True|False))\b", r"\1 (YAML reads a bare 'on' or 'off' so: quote it)", plain)
    plain = re.sub(r"expected list, got ([^\s\[{]+)$", r"expected list, got \1; write '[\1]'", plain)
    plain = re.sub(r"^(?:Parsing of object failed: )?(?:Validation failed: )?", "", plain)
    plain = plain.replace("the following arguments are required", "required settings are missing")
    return plain.replace("Parser key", "setting")


def _of_several(found: "re.Match[str]") -> str:
    known = re.findall(r"'([^']*)'", found[1])
    return f"expected {', '.join(known[:-1])} or {known[-1]}, got {found[2]}{nearest(found[2], known)}"
