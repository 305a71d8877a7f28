"""The command line: ``vsre COMMAND [CONFIG.yaml] [--key VALUE ...]``.

Nothing heavy is imported before the command line has been understood, so help and mistakes answer at once. A
mistake of the user is one line on standard error and exit code 2, and so is a disk that is full or refuses a file; an
interrupt is a line and code 130. Where whoever reads the output goes away, as ``head`` does, nothing is said. Anything
else keeps its stack trace.
"""

import gc
import os
import select
import sys
from typing import TextIO

from vsre import __version__
from vsre.roots import foreign_packages

USAGE = """usage: vsre COMMAND [CONFIG.yaml] [--key VALUE] [--group.key VALUE] ...

Make a vision-language model an expert in spatial relations, and prove it.

commands:
{commands}

'vsre COMMAND --help' lists the settings, 'vsre COMMAND [CONFIG.yaml] --print_config' prints them as YAML.
Settings files are looked up in the working directory, then beside the installed packages."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit code.

    0 done, 2 something for the user to mend, 130 interrupted, 141 nobody reads on.
    """
    # Threads that spin while they wait starve each other as soon as one more process computes: training was then up to
    # thirty times slower. OpenMP reads this when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    foreign = foreign_packages()
    if foreign:
        print(f"vsre: {foreign[0]}", file=sys.stderr)
        return 2
    if not _is_somewhere():
        print("vsre: the folder you are in was deleted; change into another one", file=sys.stderr)
        return 2
    from encoders.launch import without_local_rank
    from spatial.errors import UserError

    try:
        return _flushed(without_local_rank(sys.argv[1:] if arguments is None else arguments))
    except UserError as error:
        said, code = str(error), 2
    except KeyboardInterrupt:
        said, code = "interrupted; the same command continues where it can", 130
    except BrokenPipeError:
        if not _lost_reader():
            raise
        return 141  # as a shell shows a program that SIGPIPE ended
    except Exception as error:
        from spatial.disk import refusal

        refused = refusal(error)
        if refused is None:
            raise
        said, code = refused, 2
    # Only now can what the error held go: progress bars that stood open on the line.
    gc.collect()
    print(f"vsre: {said}", file=sys.stderr)
    return code


def _is_somewhere() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _flushed(arguments: list[str]) -> int:
    """Run one command; where whoever read its output went away, that is found here and not when Python ends."""
    try:
        code = _dispatch(arguments)
    except SystemExit:  # of what prints settings or help
        sys.stdout.flush()
        raise
    sys.stdout.flush()
    return code


def _lost_reader() -> bool:
    """Tell whether whoever read what is printed went away ("vsre ... | head"), and then print nowhere from now on."""
    lost = [stream.fileno() for stream in (sys.stdout, sys.stderr) if _has_no_reader(stream)]
    for file in lost:
        os.dup2(os.open(os.devnull, os.O_WRONLY), file)
    return bool(lost)


def _has_no_reader(stream: TextIO) -> bool:
    try:
        stream.flush()  # what could not be written is still there to be tried again, unless Python runs unbuffered
        asked = select.poll()
        asked.register(stream.fileno(), 0)
    except BrokenPipeError:
        return True
    except (OSError, ValueError):  # no file of the system
        return False
    return any(event & select.POLLERR for _, event in asked.poll(0))


def _dispatch(arguments: list[str]) -> int:
    from vsre.commands import COMMANDS, find_command

    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE.format(commands="\n".join(f"  {name:<12} {entry.summary}" for name, entry in COMMANDS.items())))
        return 0
    if arguments[0] == "--version":
        print(f"vsre {__version__}")
        return 0
    name, *rest = arguments
    find_command(name)

    from vsre.settings import parse

    config = parse(name, rest)

    from vsre.execute import execute_recorded
    from vsre.rundir import is_main_process

    result = execute_recorded(name, config)
    if result is not None and is_main_process():
        print(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
