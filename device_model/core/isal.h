/* isal.h - ISA-L, which computes the CRCs: crc32_iscsi and crc16_t10dif. */
#ifndef VDSA_CORE_ISAL_H
#define VDSA_CORE_ISAL_H

#include <stddef.h>
#include <stdint.h>

#if !__has_include(<isa-l/crc.h>)
#error "ISA-L is missing. Debian and Ubuntu: apt-get install libisal-dev"
#endif
#include <isa-l/crc.h>

/*
 * CRC-32C of at most INT_MAX bytes: remainders with the coefficient of x^31 in bit 0, bit 0 of each byte first. The library only
 * reads them, though it does not say const.
 */
static inline uint32_t isal_crc32c(uint32_t remainder, const uint8_t *bytes, size_t length)
{
	return crc32_iscsi((unsigned char *)(uintptr_t)bytes, (int)length, remainder);
}

#endif
