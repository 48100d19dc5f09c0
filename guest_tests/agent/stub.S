/*
 * The whole firmware of the guest: 64 KiB mapped below 4 GiB, entered at its last 16 bytes in real mode. It goes to
 * flat 32-bit mode and jumps to the agent, which QEMU has already put into RAM. No device is touched.
 */
#include "layout.h"

    .section .text
    .code16
    .globl stub
stub:
    cli
    lgdtl   %cs:(gdt_pointer - stub)
    movl    %cr0, %eax
    orl     $1, %eax
    movl    %eax, %cr0
    ljmpl   $8, $flat

    .code32
flat:
    movl    $16, %eax
    movl    %eax, %ds
    movl    %eax, %es
    movl    %eax, %ss
    movl    $LAYOUT_LOAD, %eax
    jmp     *%eax

    .balign 8
gdt:
    .quad   0
    .quad   0x00cf9b000000ffff
    .quad   0x00cf93000000ffff
gdt_pointer:
    .short  . - gdt - 1
    .long   gdt

    .org    0xfff0
    .code16
    jmp     stub
    .org    0x10000

    .section .note.GNU-stack, "", @progbits
