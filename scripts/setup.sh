#!/usr/bin/env bash
# Create .venv and install vsre into it. Usage: scripts/setup.sh [dev|docs|full]
#
# A second run with unchanged pyproject.toml, constraints.txt and Python does nothing. pip's own configuration is
# left as it is. Environment: PYTHON (interpreter, default python3), VSRE_TORCH_INDEX (index URL to take torch from).
#
# Which torch: one that the outer Python already has is kept; with an NVIDIA GPU the default build is taken; without
# one a CPU build, from pip's configured sources if they have it, else from PyTorch's CPU wheel index.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

extra="${1:-}"
python="${PYTHON:-python3}"
venv_python=".venv/bin/python"
stamp=".venv/.setup-${extra:-core}"
cpu_index="https://download.pytorch.org/whl/cpu"
torch_requirement="$(grep '^torch==' constraints.txt)"

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }
# Compiling every installed module ahead takes longer than compiling the imported ones at first use.
pip() { "$venv_python" -m pip --disable-pip-version-check -qq "$@"; }
pip_install() { pip install --no-compile "$@"; }
# Whether a Python can import a torch of the range that pyproject.toml asks for.
has_torch() {
    "$1" -c 'import sys, torch; sys.exit(not (2, 11) <= tuple(map(int, torch.__version__.split(".")[:2])) < (2, 14))' \
        2>/dev/null
}
has_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; }

supported_python() { "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
supported_python || fail "'$python' is not Python 3.11 or newer; set PYTHON=/path/to/python3.11"

fingerprint() {
    "$python" - "$PWD" "${VSRE_TORCH_INDEX:-}" <<'PY'
import hashlib, pathlib, sys
parts = [pathlib.Path(name).read_bytes() for name in ("pyproject.toml", "constraints.txt")]
parts += [text.encode() for text in (sys.version, *sys.argv[1:])]
print(hashlib.sha256(b"\0".join(parts)).hexdigest())
PY
}

create_venv() {
    local options=() keep=false
    if has_torch "$python"; then
        keep=true
        options=(--system-site-packages)
        say "keeping the torch of $("$python" -c 'import sys; print(sys.executable)')"
    fi
    say "creating .venv"
    "$python" -m venv --clear ${options[@]+"${options[@]}"} .venv ||
        fail "'$python -m venv' failed; install the venv module (on Debian: apt-get install python3-venv)"
    if $keep; then # where the outer Python is itself a virtual environment, its packages are named by path
        local outer='import sys, sysconfig; print(sysconfig.get_path("purelib") if sys.prefix != sys.base_prefix else "")'
        "$python" -c "$outer" >"$("$venv_python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/outer.pth"
    fi
}

# The version of torch that pip would install from its configured sources, such as 2.13.0+cpu; nothing is downloaded.
offered_torch() {
    pip install --dry-run --ignore-installed --no-deps --report - "$torch_requirement" 2>/dev/null |
        "$venv_python" -c 'import json, sys; print(json.load(sys.stdin)["install"][0]["metadata"]["version"])' 2>/dev/null
}

install_torch() {
    if [[ -n "${VSRE_TORCH_INDEX:-}" ]]; then
        say "installing $torch_requirement from $VSRE_TORCH_INDEX"
        pip_install --no-deps --index-url "$VSRE_TORCH_INDEX" "$torch_requirement"
    elif has_gpu || [[ "$(uname -s)" == Darwin || "$(offered_torch)" == *+cpu ]]; then
        say "installing $torch_requirement"
        pip_install -c constraints.txt "$torch_requirement"
    else
        say "installing the CPU build of $torch_requirement from $cpu_index"
        pip_install --no-deps --index-url "$cpu_index" "$torch_requirement" ||
            fail "$cpu_index cannot be reached; set VSRE_TORCH_INDEX to an index that has a CPU build of torch"
    fi
}

# A torch that was kept from the outer Python has its own version: do not replace it by the constrained one.
active_constraints() {
    local kept
    kept="$("$venv_python" -c 'from importlib.metadata import version; print(version("torch").split("+")[0])')"
    if [[ "torch==$kept" == "$torch_requirement" ]]; then
        cat constraints.txt
    else
        grep -v -E '^torch(vision)?==' constraints.txt
        echo "torch==$kept"
    fi
}

key="$(fingerprint)"
finished=("$stamp")
# What has the tools for tests has all that the core needs; what has those for all tests, all that others need.
[[ -n "$extra" ]] || finished+=(.venv/.setup-dev)
finished+=(.venv/.setup-full)
for done in "${finished[@]}"; do
    if [[ -x .venv/bin/vsre && -f "$done" && "$(cat "$done")" == "$key" ]]; then exit 0; fi
done

"$venv_python" -c '' 2>/dev/null || create_venv
has_torch "$venv_python" || install_torch
say "installing vsre${extra:+ with its $extra tools}"
active_constraints >.venv/constraints.txt
pip_install -c .venv/constraints.txt -e ".${extra:+[$extra]}"
echo "$key" >"$stamp"
say "ready: .venv/bin/vsre"
