"""The list of mdev types, as text and as JSON."""

from __future__ import annotations

import json
import textwrap

from host_ctl.host import Host
from host_ctl.mdev_type import TYPES, MdevType

_WIDTH = 100


def list_types() -> list[dict[str, object]]:
    """One row a type, in mdev's words; vectors: besides vector 0. DeviceError: the C extension is not built."""
    host = Host()
    try:
        return [_row(mdev_type, host.available_instances(name)) for name, mdev_type in TYPES.items()]
    finally:
        host.close()


def _row(mdev_type: MdevType, available: int) -> dict[str, object]:
    return {
        "name": mdev_type.name,
        "description": mdev_type.description,
        "device_api": mdev_type.device_api,
        "available_instances": available,
        "vectors": {"least": mdev_type.vectors[0], "most": mdev_type.vectors[-1]},
        "does_not": list(mdev_type.does_not),
    }


def types_as_json() -> str:
    """list_types() as a JSON array."""
    return json.dumps(list_types(), indent=2)


def types_as_text() -> str:
    """A paragraph for each type."""
    return "\n\n".join(_paragraph(row) for row in list_types())


def _paragraph(row: dict[str, object]) -> str:
    vectors, does_not = row["vectors"], row["does_not"]
    assert isinstance(vectors, dict)
    assert isinstance(does_not, list)
    least, most = vectors["least"], vectors["most"]
    lines = [
        str(row["name"]),
        *_wrapped(str(row["description"])),
        f"    device_api {row['device_api']}, available_instances {row['available_instances']}, "
        f"vectors besides vector 0: {least if least == most else f'{least} to {most}'}",
        "    limits:",
        *(line for sentence in does_not for line in _wrapped(sentence, "    - ")),
    ]
    return "\n".join(lines)


def _wrapped(text: str, first: str = "    ") -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=" " * len(first))
