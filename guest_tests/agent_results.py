"""What the agent's commands answer with, and what its counters show."""

from dataclasses import dataclass

from guest_tests.agent_abi import AgentSlot
from guest_tests.agent_numbers import NO_VECTOR, ItemResult, Result, SlotError, SlotState, Step


@dataclass(frozen=True, slots=True)
class Ready:
    """A booted agent. `boot` counts from 1; the TSC runs at `tsc_khz`, `boot_us` is from its first C line to READY."""

    boot: int
    slots: int
    tsc_khz: int
    boot_us: float


@dataclass(frozen=True, slots=True)
class SlotInfo:
    """A slot as the agent sees it. BARs and MSI-X are 0 where there are none; the registers are an IDXD's.

    `devfn`: the root port's, on bus 0. `settle_us`: from the hotplug interrupt to the present state.
    """

    slot: int
    state: SlotState
    generation: int
    error: SlotError
    devfn: int
    vendor: int
    device: int
    class_revision: int
    is_idxd: bool
    vector_base: int
    vector_count: int
    bar_address: tuple[int, ...]
    bar_size: tuple[int, ...]
    msix_capability: int
    msix_count: int
    msix_table: tuple[int, int]
    msix_pba: tuple[int, int]
    version: int
    gencap: int
    wqcap: int
    offsets: tuple[int, int]
    cmdcap: int
    settle_us: float

    @classmethod
    def of(cls, slot: int, block: AgentSlot, tsc_khz: int) -> "SlotInfo":
        """A copy of `block`. MSI-X table and PBA are (BAR, offset)."""
        return cls(
            slot=slot,
            state=SlotState(block.state),
            generation=block.generation,
            error=SlotError(block.error),
            devfn=block.devfn,
            vendor=block.vendor,
            device=block.device,
            class_revision=block.class_revision,
            is_idxd=bool(block.is_idxd),
            vector_base=block.vector_base,
            vector_count=block.vector_count,
            bar_address=tuple(block.bar_address),
            bar_size=tuple(block.bar_size),
            msix_capability=block.msix_capability,
            msix_count=block.msix_count,
            msix_table=(block.msix_table_bar, block.msix_table_offset),
            msix_pba=(block.msix_pba_bar, block.msix_pba_offset),
            version=block.version,
            gencap=block.gencap,
            wqcap=block.wqcap,
            offsets=(block.offsets[0], block.offsets[1]),
            cmdcap=block.cmdcap,
            settle_us=(block.tsc_settled - block.tsc_event) * 1000 / (tsc_khz or 1),
        )


@dataclass(frozen=True, slots=True)
class EnableReport:
    """What ENABLE and DISABLE saw of each step: CMDSTATUS as read, None for what was not reached or not asked for.

    `handles[i]` belongs to MSI-X entry i (i >= 1); `handle_status[i]` is None where no handle had to be requested.
    """

    device_status: int | None
    wq_status: int | None
    handles: dict[int, int]
    handle_status: dict[int, int]


@dataclass(frozen=True, slots=True)
class Item:
    """A descriptor to submit (64 bytes). `expect_vector` is a CPU vector.

    `wait_completion`: the record lies at AgentLink.completion_address() of the item's place, and is to be waited for.
    """

    descriptor: bytes
    wait_completion: bool = True
    expect_vector: int = NO_VECTOR


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """What became of an item. Times in us from its submission, None if it did not happen.

    `status` is the first byte of `completion` (64 bytes). `interrupts`: how often its vector fired until it retired.
    `interrupt_us` is when the handler ran, `completion_us` when the record was noticed, which may be later: whether
    the order was wrong is told by `interrupt_came_first` (the interrupt was there and the record still empty).
    """

    result: ItemResult
    status: int
    completion: bytes
    interrupts: int
    interrupt_came_first: bool
    completion_us: float | None
    interrupt_us: float | None


@dataclass(frozen=True, slots=True)
class Submission:
    """A SUBMIT: how many items were sent and retired, and each one's outcome. `result` is OK, TIMEOUT or GONE."""

    result: Result
    step: Step
    sent: int
    retired: int
    items: tuple[ItemOutcome, ...]


@dataclass(frozen=True, slots=True)
class Spin:
    """A SPIN that ended: how many descriptors were fired and completed. `result` is OK, TIMEOUT or GONE."""

    result: Result
    step: Step
    fired: int


@dataclass(frozen=True, slots=True)
class Counters:
    """Interrupts since the guest was started, by CPU vector; they only grow. `stray`: on vectors that nobody owned."""

    count: tuple[int, ...]
    stray: tuple[int, ...]
    stray_total: int
    ring_head: int

    def since(self, earlier: "Counters") -> dict[int, int]:
        """Vectors that fired since `earlier`, and how often."""
        pairs = zip(self.count, earlier.count, strict=True)
        return {vector: now - before for vector, (now, before) in enumerate(pairs) if now != before}


@dataclass(frozen=True, slots=True)
class RingEntry:
    """One interrupt in the order of arrival."""

    tsc: int
    vector: int
    stray: bool
