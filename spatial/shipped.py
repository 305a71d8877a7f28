"""Where the models lie that come with the code: ``vsre/assets``. Any room may read them."""

import re
from pathlib import Path

ASSETS = Path(__file__).parents[1] / "vsre" / "assets"


def shipped_folder(path_or_name: str) -> Path:
    """Return the folder of a shipped model for its name; a path, or a folder that is here, comes back unchanged."""
    here = Path(path_or_name)
    if here.is_dir() or not re.fullmatch(r"[\w.-]+", path_or_name):
        return here
    return ASSETS / path_or_name if (ASSETS / path_or_name).is_dir() else here
