/* The two functions that the compiler may call on its own account. */
#include <stddef.h>

void *memset(void *target, int value, size_t size);
void *memcpy(void *restrict target, const void *restrict source, size_t size);

void *memset(void *target, int value, size_t size)
{
    void *end = target;

    __asm__ volatile("rep stosb" : "+D"(end), "+c"(size) : "a"(value) : "memory");
    return target;
}

void *memcpy(void *restrict target, const void *restrict source, size_t size)
{
    void *end = target;

    __asm__ volatile("rep movsb" : "+D"(end), "+S"(source), "+c"(size) : : "memory");
    return target;
}
