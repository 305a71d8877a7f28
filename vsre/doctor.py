"""``vsre doctor``: what is installed, what is broken, and the command that mends it.

The one breakage worth knowing by name: torchvision built for CUDA beside a CPU-only torch. It imports half-way and
takes most of Transformers with it, while having no torchvision at all does no harm.
"""

import ctypes
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from spatial.disk import free_bytes, size_text
from spatial.errors import UserError
from spatial.shipped import ASSETS, CHECKSUMS, damaged_files
from vsre import __version__
from vsre.assets import asset_names
from vsre.config import DoctorConfig
from vsre.roots import ROOT, foreign_packages
from vsre.rundir import GIB, RECORDED_PACKAGES, commit, hardware, installed_version

TORCHVISION_MEND = (
    "its compiled part does not load beside this torch, and Transformers breaks with it; "
    "mend: pip uninstall torchvision, or take torch and torchvision from one index "
    "(https://download.pytorch.org/whl/cpu without a GPU)"
)


def examine(config: DoctorConfig) -> None:
    """Print the state of this installation.

    Raises:
        UserError: something is broken; the lines above it say what and how to mend it.
    """
    for name, value in facts():
        print(f"{name:<14} {value}")
    problems = [line for check in (foreign_packages, _torch, _torchvision, _assets) for line in check()]
    problems += low_disk(Path.cwd(), config.free_gib)
    if config.model:
        from vsre.doctor_model import examine_model

        problems += examine_model(config.model)
    for line in problems:
        print(f"PROBLEM: {line}")
    if problems:
        raise UserError(f"the doctor found {len(problems)} problem(s); the lines above say how to mend them")
    print("no problem found")


def facts() -> Iterator[tuple[str, str]]:
    """Yield what to quote in a question: versions, torch build, hardware, threads, disk, shipped models."""
    yield "vsre", f"{__version__} {commit()[:12]} in {ROOT}".replace("  ", " ")
    for package in (*RECORDED_PACKAGES, "torchvision", "deepspeed"):
        yield package, installed_version(package) or "-"
    machine = hardware()
    yield "processor", f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB"
    yield "GPUs", ", ".join(machine["gpus"]) or "-"
    yield "torch build", _torch_build()
    yield "disk free", f"{size_text(free_bytes(Path.cwd()))} in {Path.cwd()}"
    yield "models", ", ".join(asset_names()) or "none shipped"


def low_disk(folder: Path, free_gib: float) -> list[str]:
    """Return a problem if ``folder`` has less than ``free_gib`` GiB of free space."""
    free = free_bytes(folder) / GIB
    return [f"{folder} has {free:.1f} GiB free, less than {free_gib}; free some or work elsewhere"] * (free < free_gib)


def compiled_part_loads(package_folder: Path, load: Callable[[str], object] = ctypes.CDLL) -> bool:
    """Return whether a package's own ``_C`` library can be loaded; torch must have been imported before."""
    libraries = sorted(package_folder.glob("_C*.so")) + sorted(package_folder.glob("_C*.pyd"))
    try:
        for library in libraries:
            load(str(library))
    except OSError:
        return False
    return bool(libraries)


def _torch_build() -> str:
    try:
        import torch
    except (ImportError, OSError) as error:
        return f"does not import ({error})"
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU only"
    return f"{build}, GPU usable: {'yes' if torch.cuda.is_available() else 'no'}, {torch.get_num_threads()} threads"


def _torch() -> list[str]:
    try:
        import torch
    except (ImportError, OSError) as error:
        return [f"torch does not import ({error}); mend: rm -r .venv && make setup"]
    if hardware()["gpus"] and not torch.version.cuda:
        return ["this machine has a GPU, but torch is a CPU build; mend: rm -r .venv && make setup"]
    return []


def _torchvision() -> list[str]:
    spec = find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return []
    folder = Path(next(iter(spec.submodule_search_locations)))
    return [] if compiled_part_loads(folder) else [f"torchvision in {folder}: {TORCHVISION_MEND}"]


def _assets() -> list[str]:
    if not asset_names():
        return [f"no model is shipped in {ASSETS}; mend: git checkout -- vsre/assets"]
    folders = {ASSETS / name for name in asset_names()} | {path.parent for path in ROOT.glob(f"*/assets/*/{CHECKSUMS}")}
    return [line for folder in sorted(folders) for line in damaged_files(folder)]
