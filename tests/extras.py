"""What only runs where an optional package is installed; ``make test-full`` installs them."""

from importlib.util import find_spec

import pytest

needs_deepspeed = pytest.mark.skipif(find_spec("deepspeed") is None, reason="deepspeed is not installed")
