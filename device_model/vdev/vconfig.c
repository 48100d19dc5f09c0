/* vconfig.c - PCI config space of a virtual device (DSA specification, appendix C; PCI Express base specification 7.5). */
#include <errno.h>
#include <string.h>

#include "vdev_internal.h"

enum {
	PCI_COMMAND = 0x04,
	PCI_COMMAND_MEMORY = 1 << 1,
	PCI_COMMAND_MASTER = 1 << 2,
	PCI_STATUS = 0x06,
	PCI_STATUS_CAP_LIST = 1 << 4,
	PCI_BAR0 = 0x10,
	PCI_INTERRUPT_LINE = 0x3C,
	PCIE_CAP = 0x40,
	PCIE_DEVCTL = PCIE_CAP + 8,
	PCIE_DEVCTL_FLR = 1 << 15,
	MSIX_CTRL = VDEV_MSIX_CAP + 2,
	MSIX_CTRL_ENABLE = 1 << 15,
	MSIX_CTRL_FUNCTION_MASK = 1 << 14,
};

static void put16(struct vdev *vdev, unsigned offset, uint16_t value)
{
	memcpy(&vdev->pci[offset], &value, sizeof(value));
}

static void put32(struct vdev *vdev, unsigned offset, uint32_t value)
{
	memcpy(&vdev->pci[offset], &value, sizeof(value));
}

static uint16_t get16(const struct vdev *vdev, unsigned offset)
{
	uint16_t value;

	memcpy(&value, &vdev->pci[offset], sizeof(value));
	return value;
}

/* Writable address bits of BAR registers 0 - 5: BAR0 and BAR2 are 64 bits wide. */
static uint32_t bar_mask(const struct vdev *vdev, unsigned bar)
{
	switch (bar) {
	case 0:
		return (uint32_t)~(vdev->shape.bar0_size - 1);
	case 1:
		return (uint32_t)(~(vdev->shape.bar0_size - 1) >> 32);
	case 2:
		return (uint32_t)~(vdev->shape.bar2_size - 1);
	case 3:
		return (uint32_t)(~(vdev->shape.bar2_size - 1) >> 32);
	default:
		return 0;
	}
}

void vconfig_init(struct vdev *vdev)
{
	const uint32_t bar_type = 0xC; /* 64 bits, prefetchable */

	put16(vdev, 0x00, 0x8086);
	put16(vdev, 0x02, vdev->shape.device_id);
	put16(vdev, PCI_STATUS, PCI_STATUS_CAP_LIST);
	put32(vdev, 0x08, 0x08800000); /* class 08 80 00, revision 0 */
	put32(vdev, PCI_BAR0, bar_type);
	put32(vdev, PCI_BAR0 + 8, bar_type);
	put32(vdev, 0x2C, 0x00008086);
	vdev->pci[0x34] = PCIE_CAP;
	/* PCI Express, version 2, root complex integrated endpoint; FLR, extended tags, role-based error reporting */
	put16(vdev, PCIE_CAP, (uint16_t)(0x10 | VDEV_MSIX_CAP << 8));
	put16(vdev, PCIE_CAP + 2, 0x0092);
	put32(vdev, PCIE_CAP + 4, 0x10008022);
	put16(vdev, VDEV_MSIX_CAP, 0x11);
	put16(vdev, MSIX_CTRL, (uint16_t)(vdev->shape.num_vectors - 1));
	put32(vdev, VDEV_MSIX_CAP + 4, vdev->shape.msix_table);
	put32(vdev, VDEV_MSIX_CAP + 8, vdev->shape.msix_pba);
}

void vconfig_reset(struct vdev *vdev)
{
	put16(vdev, PCI_COMMAND, 0);
	for (unsigned bar = 0; bar < 4; bar++)
		put32(vdev, PCI_BAR0 + 4 * bar, bar % 2 ? 0 : 0xC);
	vdev->pci[PCI_INTERRUPT_LINE] = 0;
	put16(vdev, PCIE_DEVCTL, 0);
	put16(vdev, MSIX_CTRL, (uint16_t)(vdev->shape.num_vectors - 1));
	vdev->bus_master = false;
}

static uint8_t writable_bits(const struct vdev *vdev, uint64_t offset)
{
	if (offset >= PCI_BAR0 && offset < PCI_BAR0 + 24) {
		const unsigned bar = (unsigned)(offset - PCI_BAR0) / 4;

		return (uint8_t)(bar_mask(vdev, bar) >> (offset % 4 * 8));
	}
	switch (offset) {
	case PCI_COMMAND:
		return PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	case PCI_COMMAND + 1:
		return 0x04; /* interrupt disable */
	case PCI_INTERRUPT_LINE:
		return 0xFF;
	case PCIE_DEVCTL:
		return 0xFF;
	case PCIE_DEVCTL + 1:
		return 0x7F; /* FLR reads as 0 */
	case MSIX_CTRL + 1:
		return (MSIX_CTRL_ENABLE | MSIX_CTRL_FUNCTION_MASK) >> 8;
	default:
		return 0;
	}
}

static bool inside(uint64_t offset, uint32_t count)
{
	return count > 0 && offset < VDEV_CONFIG_SIZE && count <= VDEV_CONFIG_SIZE - offset;
}

int vconfig_read(struct vdev *vdev, uint64_t offset, uint8_t *buf, uint32_t count)
{
	if (!inside(offset, count))
		return -EINVAL;
	pthread_mutex_lock(&vdev->lock);
	memcpy(buf, &vdev->pci[offset], count);
	pthread_mutex_unlock(&vdev->lock);
	return 0;
}

/* The memory is open while the function is bus master; the lock is given up while DMA that may not go on ends. */
static void set_memory(struct vdev *vdev, bool bus_master)
{
	pthread_mutex_lock(&vdev->lock);
	vdev->bus_master = bus_master;
	vmemory_update(vdev);
	pthread_mutex_unlock(&vdev->lock);
}

int vconfig_write(struct vdev *vdev, uint64_t offset, const uint8_t *buf, uint32_t count)
{
	bool reset = false;
	uint16_t msix;
	bool bus_master;

	if (!inside(offset, count))
		return -EINVAL;
	pthread_mutex_lock(&vdev->lock);
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t mask = writable_bits(vdev, offset + i);

		vdev->pci[offset + i] = (uint8_t)((vdev->pci[offset + i] & ~mask) | (buf[i] & mask));
		reset = reset || (offset + i == PCIE_DEVCTL + 1 && (buf[i] & PCIE_DEVCTL_FLR >> 8));
	}
	msix = get16(vdev, MSIX_CTRL);
	bus_master = get16(vdev, PCI_COMMAND) & PCI_COMMAND_MASTER;
	pthread_mutex_unlock(&vdev->lock);
	/* Taken away last: a device that halts for it (5.7) drops its descriptors, and none of them faults on the way. */
	if (bus_master)
		set_memory(vdev, true);
	vdev->inside->function(vdev->it, msix & MSIX_CTRL_ENABLE, msix & MSIX_CTRL_FUNCTION_MASK, bus_master);
	if (!bus_master)
		set_memory(vdev, false);
	if (reset)
		vdev_reset(vdev);
	return 0;
}
