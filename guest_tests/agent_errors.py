"""What can go wrong between the host and an agent."""

# ruff: noqa: N818 (the names say what happened: "raise AgentCrashed")

from dataclasses import dataclass

from guest_tests.agent_elf import SourceLine
from guest_tests.agent_numbers import Op, Result, Step

_EXCEPTIONS = {
    0: "#DE divide error",
    1: "#DB debug",
    2: "NMI",
    3: "#BP breakpoint",
    6: "#UD invalid opcode",
    8: "#DF double fault",
    13: "#GP general protection",
    14: "#PF page fault",
}


class AgentError(Exception):
    """Base of all errors of an agent; `guest` is the guest's name, `what` the message without it."""

    def __init__(self, guest: str, message: str) -> None:
        self.guest = guest
        self.what = message
        super().__init__(f"guest {guest}: {message}")


class AgentTimeout(AgentError):
    """The agent did not do in time what was waited for; the message says what, and in which state the agent was."""


class AgentLost(AgentError):
    """The guest is gone: its serial line ended, or its owner said so."""


@dataclass(frozen=True, slots=True)
class CrashReport:
    """What the agent wrote down about an exception. `general` are rax rbx rcx rdx rsi rdi rbp r8 to r15.

    `where`: the source of `rip`. `op`: the command it was in. `was_message`: no exception at all, but an interrupt
    message with a vector below 32.
    """

    vector: int
    error_code: int
    rip: int
    rsp: int
    rflags: int
    cr2: int
    general: tuple[int, ...]
    op: Op | None
    was_message: bool
    where: SourceLine

    def __str__(self) -> str:
        if self.was_message:
            return f"an interrupt message came with vector {self.vector}, which belongs to the CPU's exceptions"
        name = _EXCEPTIONS.get(self.vector, f"exception {self.vector}")
        address = f" at address {self.cr2:#x}" if self.vector == 14 else ""
        command = "no command" if self.op is None else f"command {self.op.name}"
        return f"{name}{address} (error code {self.error_code:#x}) in {self.where}, RIP {self.rip:#x}, during {command}"


class AgentCrashed(AgentError):
    """The agent took an exception and has halted for good. `report` says where."""

    def __init__(self, guest: str, report: CrashReport) -> None:
        self.report = report
        super().__init__(guest, f"the agent crashed: {report}")


class AgentCommandFailed(AgentError):
    """The agent answered a command with something else than OK.

    `detail` is CMDSTATUS for steps that send a command to the device. `doing`: what the guest did meanwhile, for the message.
    """

    def __init__(
        self, guest: str, *, op: Op, slot: int, result: Result, step: Step, detail: int, doing: str = ""
    ) -> None:
        self.op = op
        self.slot = slot
        self.result = result
        self.step = step
        self.detail = detail
        super().__init__(guest, f"{op.name} on slot {slot}: {result.name} in step {step.name} (detail {detail:#x}){doing}")


class SlotFailed(AgentError):
    """A device was plugged, but the agent could not bring it up; the message says why."""
