"""What a run is asked to do: validated as a whole before anything is started."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from host_ctl.errors import HostError
from host_ctl.interrupts import FACTS, Organisation, Scope, StoreSize, store_size, why_not
from host_ctl.interrupts.organisation import MAX_ARRAY, MAX_MSIX, MAX_POOL
from host_ctl.mdev_type import TYPES

Delivery = Literal["message", "eventfd"]
Accelerator = Literal["auto", "tcg", "kvm"]
Portal = Literal["auto", "trapped", "mapped"]
RigName = Literal["agent", "linux"]
KernelName = Literal["6.1", "6.12", "backports"]

DEFAULT_TYPE = "dsa-1dwq-v1"
RUN_TYPES = ("dsa-1dwq-v1", "dsa-1dwq-cfg-v1", "dsa-pf-v1")
"""Types that a run can give to its guests. The scenarios copy memory, which an IAA does not."""

MIN_GUESTS = 2
"""One guest alone has nobody to reach."""
MAX_GUESTS = 128
MAX_VECTORS = 32
MAX_LINUX_GUESTS = 16
HOSTILE_AGENTS = 3
"""Guests with an agent beside those with Linux: they attack, and the controls need two that watch a third."""
MAX_SEED = 2**63 - 1
SPARE = 2
"""Mdevs that a run's device has room for beside one for each guest."""
DEFAULT_STORE, DEFAULT_DOMAIN = "array", "device"
STORES = tuple(organisation.name.lower() for organisation in Organisation)
"""Organisations of the message store, as `--store` names them."""
DOMAINS = tuple(str(scope) for scope in Scope)
"""Scopes of interrupt domain, as `--domain` names them."""


class OptionsError(HostError):
    """Options that cannot be run. `problems` has a sentence for each of them."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class RunOptions:
    """A run. vectors: those of each guest besides vector 0. only: scenarios whose name contains one of these; empty: all.
    store: organisation of the message store; domain: scope of the interrupt domains over it.
    trace: a file for all that guests do to their devices; None: none is written. rig linux: `guests` run Linux, of the kernel
    `kernel`, and HOSTILE_AGENTS further ones the agent; `vectors` are the agents'.

    Raises OptionsError, with everything that is wrong at once.
    """

    guests: int = 8
    vectors: int = 4
    seed: int = 0
    delivery: Delivery = "message"
    accelerator: Accelerator = "auto"
    report: Path = Path("build/report")
    only: tuple[str, ...] = ()
    controls: bool = True
    trace: Path | None = None
    mdev_type: str = DEFAULT_TYPE
    store: str = DEFAULT_STORE
    domain: str = DEFAULT_DOMAIN
    portal: Portal = "auto"
    rig: RigName = "agent"
    kernel: KernelName = "6.12"

    def __post_init__(self) -> None:
        problems = (
            *_in_range("--guests", self.guests, *((1, MAX_LINUX_GUESTS) if self.linux else (MIN_GUESTS, MAX_GUESTS))),
            *_in_range("--vectors", self.vectors, 1, MAX_VECTORS),
            *_in_range("--seed", self.seed, 0, MAX_SEED),
            *_one_of("--delivery", self.delivery, get_args(Delivery)),
            *_one_of("--accel", self.accelerator, get_args(Accelerator)),
            *_one_of("--portal", self.portal, get_args(Portal)),
            *_one_of("--type", self.mdev_type, RUN_TYPES),
            *_one_of("--store", self.store, STORES),
            *_one_of("--domain", self.domain, DOMAINS),
            *self._store_problems(),
            *_one_of("--rig", self.rig, get_args(RigName)),
            *_one_of("--kernel", self.kernel, get_args(KernelName)),
            *self._type_problems(),
            *self._linux_problems(),
            *(() if all(self.only) else ("--only needs a part of a scenario's name, not an empty word",)),
        )
        if problems:
            raise OptionsError(problems)

    def mapped_portal(self, accelerator: str) -> bool:
        """Whether guests with this accelerator ("tcg" or "kvm") map their portals: Linux under KVM cannot use others."""
        return self.portal == "mapped" or (self.portal == "auto" and accelerator == "kvm")

    @property
    def organisation(self) -> Organisation:
        """Of the device's message store."""
        return Organisation[self.store.upper()]

    @property
    def scope(self) -> Scope:
        """Of the interrupt domains."""
        return Scope(self.domain)

    @property
    def store_size(self) -> StoreSize:
        """The store that the run's mdevs fit into, and SPARE more."""
        return store_size(self.organisation, self.scope, self.all_guests + SPARE, self.vectors)

    def _store_problems(self) -> tuple[str, ...]:
        if self.store not in STORES or self.domain not in DOMAINS:
            return ()
        reason = why_not(self.organisation, self.scope)
        if reason is not None:
            return (f"--store {self.store} with --domain {self.domain} makes no sense: {reason}",)
        return self._size_problems()

    def _size_problems(self) -> tuple[str, ...]:
        if not 1 <= self.vectors <= MAX_VECTORS:  # said already, and no store has a size for it
            return ()
        size, most = self.store_size, {Organisation.ARRAY: MAX_ARRAY, Organisation.TABLE: MAX_POOL}
        needed = (self.all_guests + SPARE) * self.vectors
        too_large = size.num_ims > most.get(self.organisation, size.num_ims) or (
            self.organisation is Organisation.MSIX and needed >= MAX_MSIX
        )
        if not too_large:
            return ()
        bound = FACTS[self.organisation].bound
        return (f"--store {self.store} has no room for {self.guests} guests with {self.vectors} vectors ({bound}): take fewer",)

    @property
    def shares_nothing(self) -> bool:
        """The guests get devices of their own: scenarios about what mdevs share are left out."""
        return self.mdev_type in TYPES and TYPES[self.mdev_type].own is not None

    @property
    def linux(self) -> bool:
        """Guests with Linux take part."""
        return self.rig == "linux"

    @property
    def agents(self) -> int:
        """Guests with an agent; they are numbered first."""
        return HOSTILE_AGENTS if self.linux else self.guests

    @property
    def all_guests(self) -> int:
        """Guests of the run."""
        return self.agents + (self.guests if self.linux else 0)

    def _linux_problems(self) -> tuple[str, ...]:
        if self.linux and self.accelerator == "kvm":
            return ("--rig linux needs --accel tcg: what Linux does under KVM, which needs mapped portals, has not been tried",)
        return ()

    def _type_problems(self) -> tuple[str, ...]:
        if not self.shares_nothing:
            return ()
        vectors = TYPES[self.mdev_type].vectors
        return (
            *_in_range(f"--type {self.mdev_type} with --vectors", self.vectors, vectors[0], vectors[-1]),
            *(
                (f"--type {self.mdev_type} has no part in the shared device's store: leave --store and --domain out",)
                if (self.store, self.domain) != (DEFAULT_STORE, DEFAULT_DOMAIN)
                else ()
            ),
            *(
                (f"--type {self.mdev_type} needs --no-controls: faults are planted in what mdevs share, and it shares nothing",)
                if self.controls
                else ()
            ),
        )

    @property
    def partial(self) -> str | None:
        """What was left out on request, in words; None: nothing, so the run may prove isolation."""
        left_out = []
        if self.only:
            left_out.append(f"only scenarios named like {', '.join(self.only)} were run")
        if not self.controls:
            left_out.append("no faults were planted")
        if self.shares_nothing:
            left_out.append(f"{self.mdev_type} shares nothing, so scenarios about what mdevs share were left out")
        return "; ".join(left_out) or None

    def command(self) -> tuple[str, ...]:
        """The command line that repeats this run."""
        words = ["vdsa", "run", "--guests", str(self.guests), "--vectors", str(self.vectors), "--seed", str(self.seed)]
        words += ["--delivery", self.delivery, "--accel", self.accelerator]
        if self.linux:
            words += ["--rig", "linux", "--kernel", self.kernel]
        if self.mdev_type != DEFAULT_TYPE:
            words += ["--type", self.mdev_type]
        if self.store != DEFAULT_STORE:
            words += ["--store", self.store]
        if self.domain != DEFAULT_DOMAIN:
            words += ["--domain", self.domain]
        if self.portal != "auto":
            words += ["--portal", self.portal]
        for pattern in self.only:
            words += ["--only", pattern]
        return (*words, *(() if self.controls else ("--no-controls",)))


def _in_range(option: str, value: int, low: int, high: int) -> tuple[str, ...]:
    return () if low <= value <= high else (f"{option} {value}: take {low} to {high}",)


def _one_of(option: str, value: str, known: tuple[str, ...]) -> tuple[str, ...]:
    return () if value in known else (f"{option} {value}: take one of {', '.join(known)}",)
