"""Options of a run with Linux guests: who takes part, and what cannot be run."""

from __future__ import annotations

import pytest

from host_ctl.cli import build_parser
from host_ctl.options import HOSTILE_AGENTS, OptionsError, RunOptions


def test_linux_guests_come_beside_hostile_agents() -> None:
    options = RunOptions(rig="linux", guests=4)

    assert (options.agents, options.all_guests) == (HOSTILE_AGENTS, HOSTILE_AGENTS + 4)


def test_without_linux_all_guests_have_agents() -> None:
    options = RunOptions(guests=8)

    assert (options.agents, options.all_guests) == (8, 8)


def test_command_repeats_the_run_with_its_kernel() -> None:
    options = RunOptions(rig="linux", guests=2, kernel="6.1", seed=5, accelerator="tcg")

    arguments = build_parser().parse_args(list(options.command())[1:])

    assert (arguments.rig, arguments.kernel, arguments.guests, arguments.seed) == ("linux", "6.1", 2, 5)


def test_command_of_a_run_with_agents_names_no_kernel() -> None:
    assert not {"--rig", "--kernel"} & set(RunOptions().command())


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"accelerator": "kvm"}, "--rig linux needs --accel tcg"),
        ({"guests": 0}, "--guests 0: take 1 to 16"),
        ({"guests": 17}, "--guests 17: take 1 to 16"),
        ({"kernel": "2.6"}, "--kernel 2.6: take one of 6.1, 6.12, backports"),
    ],
)
def test_what_cannot_be_run_with_linux_is_said_before_anything_starts(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(OptionsError, match=problem):
        RunOptions(rig="linux", **{"guests": 2, **settings})  # type: ignore[arg-type]


def test_unknown_rig_is_refused() -> None:
    with pytest.raises(OptionsError, match="--rig windows: take one of agent, linux"):
        RunOptions(rig="windows")  # type: ignore[arg-type]
