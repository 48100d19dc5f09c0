"""The version of this vdsa."""

from __future__ import annotations

import importlib.metadata


def version() -> str:
    """Version of the installed vdsa; "unknown" if it is not installed."""
    try:
        return importlib.metadata.version("vdsa")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
