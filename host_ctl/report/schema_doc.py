"""Documents of schemas, made from their structs.

`python -m host_ctl.report.schema_doc > docs/report-schema.md`, and the same with the word `comparison` behind it for
docs/comparison-schema.md.
"""

from __future__ import annotations

import datetime
import inspect
import sys
import types
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from host_ctl import comparison
from host_ctl.results import PARTS, SCHEMA_VERSION

_HEAD = f"""\
# The report: report.json

`vdsa run` writes `report.json` into the report folder (`build/report`, or `--report DIR`), and from it `report.html`
and `junit.xml`. `vdsa report show FILE` prints the summary of a `report.json` again, `vdsa report html FILE -o OUT`
makes the page from it.

This is schema version {SCHEMA_VERSION}. A vdsa reads only the version that it writes, and refuses others by name.
Unknown fields are refused, and so are results that contradict themselves: a matrix that does not fit the guests,
conditions that are not 1 to 6 in order, or a verdict of ISOLATED beside anything that forbids it.

Times of day are ISO 8601 in UTC. Guests are numbered from 0, and `matrix` has a row and a column for each of them.

The verdict is ISOLATED only if all six conditions hold, every planned scenario passed and every planted fault was
caught. LEAKED means that the evidence shows an interrupt, or an effect of a refused attempt, where it was not due.
Everything else is NOT PROVEN. The exit status of `vdsa run` is 0, 1 and 3 in this order, and 130 after Ctrl-C.
"""


_COMPARISON_HEAD = f"""\
# The comparison: comparison.json

`vdsa compare` writes `comparison.json` into the report folder (`build/comparison`, or `--report DIR`), and from it
`comparison.html` and `junit.xml`. `vdsa report show FILE` prints the summary of a `comparison.json` again, `vdsa report html FILE
-o OUT` makes the page from it.

This is schema version {comparison.SCHEMA_VERSION}. A vdsa reads only the version that it writes, and refuses others by name.
Unknown fields are refused, and so is a comparison that contradicts itself: columns that are not those asked for, a cell without
a row, two cells in one place, or a verdict that does not follow from the rest.

A column is a combination of an organisation of the message store and a scope of interrupt domain. Every column has an entry in
`unfaulted`, one that did not run as well: it is NOT PROVEN. A comparison that reached its end has a cell for each row and column.

The verdict is ISOLATED only if every column is, no guest harmed another in any cell, every cell was determined, every planted
fault that is possible in a column was noticed by the suite, and nothing that was asked for is missing. LEAKED means that without
a fault an interrupt, or an effect of a refused attempt, was where it was not due; leaks in cells of the groups host and hardware
are what these cells are there to show. Everything else is NOT PROVEN. The exit status of `vdsa compare` is 0, 1 and 3 in this
order, and 130 after Ctrl-C.
"""


def render_schema_doc() -> str:
    """The whole document of report.json."""
    return _render(_HEAD, PARTS)


def render_comparison_schema_doc() -> str:
    """The whole document of comparison.json."""
    return _render(_COMPARISON_HEAD, comparison.PARTS)


def _render(head: str, parts: Sequence[type[msgspec.Struct]]) -> str:
    sections = [head]
    for part in parts:
        rows = [
            f"| `{field.name}` | {_type(field)} | {_meaning(part, field)} |" for field in msgspec.structs.fields(part)
        ]
        about = inspect.cleandoc(part.__doc__ or "")
        sections.append(
            f"## {part.__name__}\n\n{about}\n\n| field | type | meaning |\n|---|---|---|\n" + "\n".join(rows)
        )
    return "\n\n".join(section.strip("\n") for section in sections) + "\n"


def _meaning(part: type[msgspec.Struct], field: msgspec.structs.FieldInfo) -> str:
    hint = get_type_hints(part, include_extras=True)[field.name]
    texts = [note.description for note in hint.__metadata__ if getattr(note, "description", None)]
    if not texts:
        raise TypeError(f"{part.__name__}.{field.name} has no description")
    optional = "" if field.required or field.name == "schema" else f" (default: {_value(field.default)})"
    return f"{texts[-1]}{optional}".replace("|", "\\|")


def _value(value: object) -> str:
    return f"`{msgspec.json.encode(value).decode()}`"


def _type(field: msgspec.structs.FieldInfo) -> str:
    return _name(field.type).replace("|", "\\|")


def _name(hint: Any) -> str:
    arguments = get_args(hint)
    origin = get_origin(hint)
    if origin is None:
        return _plain_name(hint)
    if origin is Annotated:
        counted = arguments[0] is int and any(getattr(note, "ge", None) == 0 for note in hint.__metadata__)
        return "count" if counted else _name(arguments[0])
    if origin is Literal:
        return " or ".join(_value(value) for value in arguments)
    if origin is types.UnionType:
        return " or ".join(map(_name, arguments))
    return f"list of {_name(arguments[0])}" if origin is tuple else f"object of {_name(arguments[1])}"


def _plain_name(hint: type) -> str:
    if issubclass(hint, msgspec.Struct):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    return {int: "integer", float: "number", str: "string", bool: "boolean", datetime.datetime: "time"}.get(
        hint, "null"
    )


if __name__ == "__main__":
    sys.stdout.write(render_comparison_schema_doc() if "comparison" in sys.argv[1:] else render_schema_doc())
