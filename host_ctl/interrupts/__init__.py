"""Interrupt message storage as the host sees it: four organisations of a store, and domains over it of two scopes."""

from device_model.config import Organisation
from host_ctl.interrupts.domain import Domain, DomainScope, VectorBlock, open_domains
from host_ctl.interrupts.interrupt import Interrupt
from host_ctl.interrupts.organisation import (
    COMBINATIONS,
    FACTS,
    IdKind,
    Scope,
    StoreSize,
    store_size,
    why_not,
)
from host_ctl.interrupts.owner import HasBlock, NoOwnerId, StoreExhausted, StoreRefused, Subdevice
from host_ctl.interrupts.store import Store
from host_ctl.interrupts.stores import STORES, make_store

__all__ = [
    "COMBINATIONS",
    "FACTS",
    "STORES",
    "Domain",
    "DomainScope",
    "HasBlock",
    "IdKind",
    "Interrupt",
    "NoOwnerId",
    "Organisation",
    "Scope",
    "Store",
    "StoreExhausted",
    "StoreRefused",
    "StoreSize",
    "Subdevice",
    "VectorBlock",
    "make_store",
    "open_domains",
    "store_size",
    "why_not",
]
