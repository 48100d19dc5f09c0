"""`python -m qemu_patches [--patched] [--json]`: which QEMU is used, and how it is started."""

import argparse
import json
import shlex
import sys

from qemu_patches.binary import QemuBinary, version_text
from qemu_patches.errors import QemuUnavailable
from qemu_patches.find import build_patched, find_qemu


def main() -> int:
    """Exit status 0 with the answer on standard output, or 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m qemu_patches", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--patched", action="store_true", help="the patched QEMU, built if it is not there")
    options = parser.parse_args()
    try:
        qemu = (build_patched if options.patched else find_qemu)(progress=_tell)
    except QemuUnavailable as error:
        print(f"qemu: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("qemu: interrupted; nothing is left behind", file=sys.stderr)
        return 130
    print(_as_json(qemu) if options.json else _as_text(qemu))
    return 0


def _tell(line: str) -> None:
    print(f"qemu: {line}", file=sys.stderr, flush=True)


def _as_json(qemu: QemuBinary) -> str:
    answer = {"argv": qemu.argv, "env": dict(qemu.env), "version": qemu.version, "origin": qemu.origin}
    answer["capabilities"] = sorted(qemu.capabilities)
    return json.dumps(answer, indent=2)


def _as_text(qemu: QemuBinary) -> str:
    settings = [f"{name}={shlex.quote(value)}" for name, value in qemu.env.items()]
    able = ", ".join(sorted(qemu.capabilities))
    return f"QEMU {version_text(qemu.version)} ({qemu.origin}; {able})\n{' '.join([*settings, shlex.join(qemu.argv)])}"


if __name__ == "__main__":
    sys.exit(main())
