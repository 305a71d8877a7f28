"""What every upload to the Hugging Face hub says when it fails: one line, with the command that mends it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spatial.errors import UserError


@contextmanager
def hub_errors(folder: Path, repository: str) -> Iterator[None]:
    """Turn errors of the hub's client into one line about pushing ``folder`` to ``repository``.

    Raises:
        UserError: the hub cannot be reached, knows no such user or refuses the token.
    """
    # The hub's client takes HTTPError from one HTTP library or another, as its version has it.
    from huggingface_hub.errors import HFValidationError, HTTPError  # type: ignore[attr-defined]

    try:
        yield
    except (HTTPError, OSError, HFValidationError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"cannot push {folder} to {repository!r} ({reason}); log in with 'hf auth login' and run the command again"
        ) from error
