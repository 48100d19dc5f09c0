"""All defects that tools/mutants.py plants, in the order in which they are tried."""

from __future__ import annotations

from mutants_core import ENDINGS, HANDLES, IMS, PLATFORM_DEFECTS, SHORT_WAY, TURNS
from mutants_defect import Defect
from mutants_host import HOST, TYPES
from mutants_stores import CORE_STORES, STORES
from mutants_vdev import MAPPED, VIRTUAL

DEFECTS: tuple[Defect, ...] = (
    *HANDLES, *IMS, *VIRTUAL, *SHORT_WAY, *TURNS, *ENDINGS, *PLATFORM_DEFECTS, *CORE_STORES, *MAPPED, *HOST, *STORES, *TYPES,
)  # fmt: skip
