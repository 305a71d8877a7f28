"""``python -m vsre`` is ``vsre``."""

import sys

from vsre.cli import main

code = main()
launch = sys.modules.get("encoders.launch")  # not there where a package of that name is someone else's
(launch.end_process if launch else sys.exit)(code)
