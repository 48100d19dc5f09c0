"""`python -m qemu_patches [--json]`: which QEMU is used, and how it is started."""

import argparse
import json
import shlex
import sys

from qemu_patches.binary import QemuBinary, version_text
from qemu_patches.errors import QemuUnavailable
from qemu_patches.find import find_qemu


def main() -> int:
    """Exit status 0 with the answer on standard output, or 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m qemu_patches", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    try:
        qemu = find_qemu(progress=lambda line: print(f"qemu: {line}", file=sys.stderr, flush=True))
    except QemuUnavailable as error:
        print(f"qemu: {error}", file=sys.stderr)
        return 1
    print(_as_json(qemu) if options.json else _as_text(qemu))
    return 0


def _as_json(qemu: QemuBinary) -> str:
    answer = {"argv": qemu.argv, "env": dict(qemu.env), "version": qemu.version, "origin": qemu.origin}
    return json.dumps(answer, indent=2)


def _as_text(qemu: QemuBinary) -> str:
    settings = [f"{name}={shlex.quote(value)}" for name, value in qemu.env.items()]
    return f"QEMU {version_text(qemu.version)} ({qemu.origin})\n{' '.join([*settings, shlex.join(qemu.argv)])}"


if __name__ == "__main__":
    sys.exit(main())
