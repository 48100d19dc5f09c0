#!/usr/bin/env bash
# From a fresh checkout to one that runs: system packages, Python environment, C extension, QEMU.
#
# Each step has a stamp in build/stamps that names what it was done from; a step whose stamp still fits is passed over,
# so a second run takes a moment. Environment: PYTHON (the interpreter to use), QEMU, VDSA_CACHE and VDSA_DEBIAN_MIRROR
# (see qemu_patches/README.md), and what pip and apt heed. What the steps print is kept in build/setup.log.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly VENV=.venv STAMPS=build/stamps LOG=build/setup.log
# There while the environment is being filled: one that was interrupted is made anew, not mended.
readonly UNFINISHED=$STAMPS/environment-unfinished
readonly NEEDED_PYTHON="3.11"

main() {
    trap 'exit 130' INT
    mkdir -p "$STAMPS"
    one_at_a_time
    local extension qemu
    extension=$(extension_key)
    qemu=$(qemu_key)
    if ! fits environment "$(environment_key)" || ! environment_is_whole; then
        require_python
        require_packages
        make_environment
        rm -f "$STAMPS"/{environment,extension} device_model/*.so
        step "installing vdsa and what it needs" install_project
        rm "$UNFINISHED"
        stamp environment "$(environment_key)"
        stamp extension "$extension"
    elif ! fits extension "$extension"; then
        rm -f "$STAMPS/extension"
        step "building the C extension" "$VENV/bin/python" setup.py -q build_ext --inplace --force
        stamp extension "$extension"
    fi
    if ! fits qemu "$qemu" || ! qemu_is_there; then
        step "getting QEMU" get_qemu
        stamp qemu "$qemu"
    fi
}

# ---- what each step is made from ----

environment_key() {
    echo "$PWD $(readlink -f "$VENV/bin/python" || true)"
    sha256sum pyproject.toml setup.py tools/bootstrap.sh
}

extension_key() {
    find device_model \( -name '*.[ch]' -o -name 'build_*.py' \) -not -path '*/tests/*' -print0 | LC_ALL=C sort -z |
        xargs -0 sha256sum setup.py
}

qemu_key() {
    echo "QEMU=${QEMU-} CACHE=${VDSA_CACHE-} ${XDG_CACHE_HOME-} ${HOME-}"
    command -v qemu-system-x86_64 || true
}

fits() { # NAME KEY
    [[ -f $STAMPS/$1 && $(<"$STAMPS/$1") == "$2" ]]
}

stamp() { # NAME KEY
    printf '%s\n' "$2" >"$STAMPS/$1.new"
    mv "$STAMPS/$1.new" "$STAMPS/$1"
}

environment_is_whole() {
    [[ -x $VENV/bin/python && -x $VENV/bin/vdsa && ! -e $UNFINISHED ]]
}

qemu_is_there() {
    [[ -x $(<"$STAMPS/qemu-program") ]] 2>/dev/null
}

# ---- the steps ----

one_at_a_time() {
    exec 9>build/setup.lock
    if ! flock --nonblock 9; then
        echo "setup: waiting for another setup of this checkout"
        flock 9
    fi
}

require_python() {
    local candidate seen=""
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        seen+=" $("$candidate" --version 2>/dev/null || true)"
        if "$candidate" -c "import sys; sys.exit(sys.version_info < (${NEEDED_PYTHON/./, }))" 2>/dev/null; then
            PYTHON=$candidate
            return
        fi
    done
    fail "Python $NEEDED_PYTHON or later is needed; found:${seen:- none}." \
        "Install one, or set PYTHON to one that is not on the PATH."
}

# Finds out by trying what the next steps would lack, and installs that.
require_packages() {
    local missing=() wanted=() version
    version=$("$PYTHON" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    has_venv || missing+=("$version-venv")
    has_python_headers || missing+=("$version-dev")
    has_compiler || missing+=(gcc libc6-dev)
    command -v patch >/dev/null || missing+=(patch)
    has_isal || missing+=(libisal-dev)
    has_certificates || wanted+=(ca-certificates)
    if ((${#missing[@]} + ${#wanted[@]} == 0)); then
        return
    fi
    wanted=("${missing[@]}" "${wanted[@]}")
    if can_install; then
        step "installing ${wanted[*]}" apt_install "${wanted[@]}"
    elif ((${#missing[@]} > 0)); then
        fail "system packages are missing, and only root can install them." \
            "Ask for: apt-get install ${wanted[*]}" \
            "(those are Debian's names; elsewhere: venv and C headers of $("$PYTHON" --version), a C compiler, ISA-L with headers)"
    fi
    has_venv || fail "$PYTHON still cannot make environments: the module ensurepip is missing. Set PYTHON to another."
    has_python_headers || fail "the C headers of $PYTHON are still missing (Python.h). Set PYTHON to another."
    has_compiler || fail "gcc still cannot make a program: see gcc build/try.c"
    has_isal || fail "ISA-L is still missing (libisal-dev): see gcc build/try-isal.c -lisal"
}

has_venv() {
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null
}

has_python_headers() {
    "$PYTHON" -c 'import os, sys, sysconfig
sys.exit(not os.path.isfile(os.path.join(sysconfig.get_path("include"), "Python.h")))'
}

has_compiler() {
    echo '#include <stdint.h>
#include <stdio.h>
int main(void) { return printf("%d", (int)INT32_C(0)) != 1; }' >build/try.c
    gcc build/try.c -o build/try 2>/dev/null
}

has_isal() {
    echo '#include <isa-l/crc.h>
int main(void) { return crc16_t10dif(0, (const unsigned char *)"", 1) != 0; }' >build/try-isal.c
    gcc build/try-isal.c -o build/try-isal -lisal 2>/dev/null
}

has_certificates() {
    [[ -n ${SSL_CERT_FILE-}${PIP_CERT-} ]] || "$PYTHON" -c 'import os, ssl, sys
paths = ssl.get_default_verify_paths()
sys.exit(not (paths.cafile or paths.capath and os.listdir(paths.capath)))'
}

can_install() {
    command -v apt-get >/dev/null || return 1
    [[ $EUID == 0 ]] || sudo -n true 2>/dev/null || { [[ -t 0 ]] && command -v sudo >/dev/null; }
}

apt_install() {
    local root=()
    [[ $EUID == 0 ]] || root=(sudo)
    # Lists that cannot all be renewed may still do, so only the installation decides.
    "${root[@]}" apt-get -q update || true
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "$@"
}

make_environment() {
    if [[ -e $UNFINISHED ]] || ! environment_is_usable; then
        touch "$UNFINISHED"
        step "making the Python environment $VENV" "$PYTHON" -m venv --clear "$VENV"
    fi
    touch "$UNFINISHED"
}

# Its scripts hold the path it was made at: after a move or a copy it has to be made anew.
environment_is_usable() {
    grep -qsF "$PWD/$VENV/bin/" "$VENV/bin/pip" && "$VENV/bin/python" -c 'import pip' 2>/dev/null
}

install_project() {
    local pip=("$VENV/bin/python" -m pip --disable-pip-version-check install --no-input --progress-bar off)
    "$VENV/bin/python" -c 'import tomllib
print("\n".join(tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"]))' >build/requires.txt &&
        "${pip[@]}" --requirement build/requires.txt &&
        "${pip[@]}" --no-build-isolation --editable '.[dev]'
}

get_qemu() {
    "$VENV/bin/python" -m qemu_patches &&
        "$VENV/bin/python" -c 'import qemu_patches; print(qemu_patches.find_qemu().argv[0])' >"$STAMPS/qemu-program"
}

# ---- telling ----

step() { # WHAT COMMAND...
    local what=$1 began=${EPOCHREALTIME/[.,]/} log_from milliseconds
    shift
    : "${LOGGED:=$(: >"$LOG")yes}"
    printf 'setup: %s ... ' "$what"
    log_from=$(wc -l <"$LOG")
    if ! "$@" >>"$LOG" 2>&1; then
        printf 'failed\n'
        tail -n "+$((log_from + 1))" "$LOG" | tail -n 30 >&2
        fail "could not go on with $what; all of what it printed is in $LOG."
    fi
    milliseconds=$(((${EPOCHREALTIME/[.,]/} - began) / 1000))
    printf '%d.%d s\n' $((milliseconds / 1000)) $((milliseconds % 1000 / 100))
}

fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

main
