/*
 * isal.h - ISA-L, which computes the CRCs. Its functions take what they only read without const.
 */
#ifndef VDSA_CORE_ISAL_H
#define VDSA_CORE_ISAL_H

#include <stddef.h>
#include <stdint.h>

#if !__has_include(<isa-l/crc.h>)
#error "ISA-L is missing. Debian and Ubuntu: apt-get install libisal-dev"
#endif
#include <isa-l/crc.h>

/* CRC-32C of at most INT_MAX bytes: remainders with the coefficient of x^31 in bit 0, bit 0 of each byte first. */
static inline uint32_t isal_crc32c(uint32_t remainder, const uint8_t *bytes, size_t length)
{
	return crc32_iscsi((unsigned char *)(uintptr_t)bytes, (int)length, remainder);
}

/* CRC of T10 DIF: remainders with the coefficient of x^15 in bit 15, bit 7 of each byte first. */
static inline uint16_t isal_crc_t10(uint16_t remainder, const uint8_t *bytes, size_t length)
{
	return crc16_t10dif(remainder, bytes, length);
}

static inline uint16_t isal_crc_t10_copy(uint16_t remainder, uint8_t *to, const uint8_t *bytes, size_t length)
{
	return crc16_t10dif_copy(remainder, to, (uint8_t *)(uintptr_t)bytes, length);
}

#endif
