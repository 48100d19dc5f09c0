/* irq_commands.c - DEVICE_SET_IRQS. */
#include <errno.h>
#include <string.h>

#include "commands.h"
#include "connection.h"

/* Signals vectors for the client, as VFIO's loopback does: all in the range, or those with a byte set. */
static void trigger(struct vfu_connection *c, const struct vfu_irq_set *set, const uint8_t *chosen)
{
	for (uint32_t i = 0; i < set->count; i++)
		if (!chosen || chosen[i])
			(void)vfu_irqs_signal(&c->irqs, set->start + i);
}

int vfu_command_set_irqs(struct vfu_connection *c)
{
	struct vfu_irq_set set;
	struct vfu_fds *fds = &c->wire.fds;
	uint32_t data_size = vfu_wire_payload_size(&c->wire) - (uint32_t)sizeof(set);

	memcpy(&set, c->wire.payload, sizeof(set));
	int error = vfu_irq_set_check(&set, data_size, fds->count, c->irqs.count);
	if (error)
		return error;
	if (set.index != VFU_IRQ_MSIX)
		return 0;
	switch (set.flags & VFU_IRQ_DATA_MASK) {
	case VFU_IRQ_DATA_EVENTFD:
		return vfu_irqs_register(&c->irqs, &set, fds);
	case VFU_IRQ_DATA_BOOL:
		trigger(c, &set, c->wire.payload + sizeof(set));
		return 0;
	default:
		if (set.count == 0)
			vfu_irqs_clear(&c->irqs, 0, c->irqs.count);
		else
			trigger(c, &set, NULL);
		return 0;
	}
}
