"""Builds the C core, platform, virtual device and transport into one extension module (cffi, API mode).

`setup.py` builds `device_model._core`, the module that ships. The negative controls build the same sources once more, with
places where defects can be planted (`core/fault.h`), into a folder of their own: see `guest_tests.planted`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cffi

HERE = Path(__file__).resolve().parent
PARTS = ("core", "platform", "vdev", "transport")
C_FLAGS = ["-std=c17", "-D_GNU_SOURCE=", "-O2", "-g", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror"]
"""For our own sources. The module that cffi generates is compiled with them too."""
LIBRARIES = ["isal"]
"""Besides the C library: ISA-L computes the CRCs."""

CDEF = """
struct ledger_record { ...; };
struct idxd_config {
    uint32_t num_wqs, total_wq_size, num_ims, max_xfer_log2, max_batch_log2, num_groups, num_engines, num_msix, kind,
        features, organisation;
};
struct vdev_vector { uint32_t entry, handle; };
struct vdev_config {
    uint32_t id, wq, num_vectors, vmm_owns_msix;
    uint64_t gencap, wqcap, grpcap, engcap, opcap, cmdcap;
    uint32_t wq_size, wq_mode, wq_limits, mapped_portal;
};
struct vdev_own_config { uint32_t id, vmm_owns_msix, run_engines, mapped_portal; struct idxd_config device; };
struct vlint_range { uint64_t offset, size; };
struct vlint_bar0 { uint32_t count; struct vlint_range ranges[8]; };
struct vfu_server_options { const char *socket_path; uint32_t dma_timeout_ms; };
struct vfu_server_stats {
    uint64_t connections, disconnections, messages, protocol_errors, interrupts_sent, interrupts_late;
    uint32_t mappings, attached;
    uint64_t mapped_bytes;
    ...;
};

struct platform; struct idxd; struct store; struct host_memory; struct iommu; struct ledger;
struct vdev; struct iommu_target; struct vfu_server;

struct platform *platform_create(const struct idxd_config *config, size_t ledger_capacity, bool run_engines);
void platform_stop(struct platform *platform);
int platform_start(struct platform *platform);
void platform_destroy(struct platform *platform);
struct idxd *platform_idxd(struct platform *platform);
struct iommu *platform_iommu(struct platform *platform);
struct ledger *platform_ledger(struct platform *platform);
struct host_memory *platform_memory(struct platform *platform);

uint64_t host_memory_page(struct host_memory *memory);
int host_memory_free(struct host_memory *memory, uint64_t address);
uint64_t host_memory_pages(struct host_memory *memory);
bool host_memory_read(struct host_memory *memory, uint64_t address, void *data, size_t size);
bool host_memory_write(struct host_memory *memory, uint64_t address, const void *data, size_t size);
bool host_memory_update(struct host_memory *memory, uint64_t address, uint32_t clear, uint32_t set, uint32_t *before);

size_t ledger_read(struct ledger *ledger, struct ledger_record *records, size_t max, uint64_t *lost);

uint64_t idxd_bar0_size(const struct idxd *idxd);
uint64_t idxd_bar0_read(struct idxd *idxd, uint64_t offset, unsigned size);
void idxd_bar0_write(struct idxd *idxd, uint64_t offset, unsigned size, uint64_t value);
bool idxd_engine_turn(struct idxd *idxd, uint32_t engine);
bool idxd_engine_step(struct idxd *idxd, uint32_t engine);
uint64_t idxd_msix_table_offset(const struct idxd *idxd);
uint64_t idxd_msix_pba_offset(const struct idxd *idxd);
void idxd_set_bus_master(struct idxd *idxd, bool on);
void idxd_set_msix(struct idxd *idxd, bool enabled, bool function_mask);
void idxd_flr(struct idxd *idxd);
void idxd_submit(struct idxd *idxd, uint32_t wq, int portal, const uint8_t desc[64], uint32_t requester);
void idxd_halt(struct idxd *idxd);
struct store *idxd_store(struct idxd *idxd);
bool store_request_handle(struct store *store, uint32_t entry);
bool store_release_handle(struct store *store, uint32_t entry);

int iommu_remap_set(struct iommu *iommu, uint32_t index, const struct iommu_target *target, unsigned vector);
int iommu_remap_clear(struct iommu *iommu, uint32_t index);
int iommu_pasid_set(struct iommu *iommu, uint32_t pasid, const struct iommu_target *target);
int iommu_pasid_clear(struct iommu *iommu, uint32_t pasid);
void iommu_count(struct iommu *iommu, uint32_t *remap_entries, uint32_t *pasids);

struct vdev *vdev_create(struct platform *platform, const struct vdev_config *config,
                         const struct vdev_vector *vectors, int *error);
struct vdev *vdev_create_own(struct platform *platform, const struct vdev_own_config *config, int *error);
bool vdev_engine_step(struct vdev *vdev);
void vdev_destroy(struct vdev *vdev);
const char *vdev_lint(const uint8_t *config, uint64_t bar0_size, uint64_t bar2_size, const struct vlint_bar0 *bar0);
const struct iommu_target *vdev_target(struct vdev *vdev);
void vdev_close_portal(struct vdev *vdev);

struct observe_range { uint32_t first, stride, count, writable, flags; };
struct observe_touch { uint64_t count, first_ns; uint32_t offset, bits; uint8_t region, kind, size; ...; };
struct observe_watch { uint64_t reads, value, since_ns, last_ns, offset; uint32_t region, size; };
struct tally {
    uint64_t accepted, dropped, aborted, succeeded, refused, failed, injected, pended, ignored;
};
struct observe_stats {
    uint64_t interrupts, interrupts_lost, descriptors, partial_stores, resets;
    uint64_t reads[3], writes[3], accesses_refused, opcodes[256], commands[32], errors;
    uint64_t dma_read_bytes, dma_written_bytes;
    struct tally ledger;
};
#define OBSERVE_TOUCHES ...
#define OBSERVE_POLL_READS ...
#define OBSERVE_POLL_MS ...
#define OBSERVE_POLL_MEAN_MS ...

uint64_t vdev_region_size(const struct vdev *vdev, unsigned region);
int vdev_peek(struct vdev *vdev, unsigned region, uint64_t offset, void *buf, uint32_t count);
int vdev_observe_map(struct vdev *vdev, unsigned region, const struct observe_range *ranges, size_t count);
size_t vdev_observe_touches(struct vdev *vdev, struct observe_touch *touches, size_t max, uint64_t *overflow);
void vdev_observe_polling(struct vdev *vdev, struct observe_watch *now, struct observe_watch *longest);
void vdev_observe_stats(struct vdev *vdev, struct observe_stats *stats);

struct trace; struct trace_record { ...; };
struct trace *trace_create(size_t capacity);
void trace_destroy(struct trace *trace);
size_t trace_read(struct trace *trace, struct trace_record *records, size_t max, uint64_t *lost);
void vdev_observe_trace(struct vdev *vdev, struct trace *trace);
size_t ledger_follow(struct ledger *ledger, uint64_t *next, struct ledger_record *records, size_t max, uint64_t *lost);

struct vfu_server *vfu_server_start(struct vdev *vdev, const struct vfu_server_options *options, int *error);
void vfu_server_stop(struct vfu_server *server);
void vfu_server_get_stats(struct vfu_server *server, struct vfu_server_stats *stats);
int vfu_server_wait_disconnected(struct vfu_server *server, uint64_t count, uint32_t timeout_ms);
int vfu_server_event_fd(struct vfu_server *server);
"""

PLANTED_CDEF = "void idxd_plant_fault(struct idxd *idxd, int fault);"

SOURCE = """
#include "core/idxd.h"
#include "platform/platform.h"
#include "transport/server.h"
#include "vdev/observe.h"
#include "vdev/trace.h"
#include "vdev/vdev.h"
#include "vdev/vlint.h"
"""


def c_sources(suffix: str = ".c") -> list[Path]:
    """All C files of the four parts with this suffix, sorted."""
    return sorted(path for part in PARTS for path in (HERE / part).glob(f"*{suffix}"))


SHIPPED = "device_model._core"


def make_ffi(
    module: str = SHIPPED,
    *,
    planted: bool = False,
    flags: Sequence[str] = (),
    more_cdef: str = "",
    more_source: str = "",
) -> cffi.FFI:
    """The builder of `module`. planted: with places for planted faults (never part of a package).

    flags: more of them, for compiler and linker. more_cdef, more_source: what a test's own build declares and adds.
    """
    ffi = cffi.FFI()
    ffi.cdef(CDEF + (PLANTED_CDEF if planted else "") + more_cdef)
    ffi.set_source(
        module,
        SOURCE + more_source,
        sources=[str(path.relative_to(HERE.parent)) if module == SHIPPED else str(path) for path in c_sources()],
        include_dirs=[str(HERE)],
        depends=[str(path) for path in c_sources(".h")],
        libraries=["pthread", *LIBRARIES],
        extra_compile_args=[*C_FLAGS, *flags],
        extra_link_args=list(flags),
        define_macros=[("VDSA_PLANTED_FAULTS", "1")] if planted else [],
    )
    return ffi


ffi = make_ffi()
