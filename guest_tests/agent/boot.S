/*
 * From flat 32-bit mode (our stub, or any loader that follows PVH) to 64-bit mode with paging, then agent_main().
 * 2 MiB pages map the first 4 GiB one to one; layout.h says which of them may be written or executed.
 */
#include "layout.h"

#define PAGE_PRESENT 0x001
#define PAGE_WRITE   0x002
#define PAGE_UNCACHED 0x018
#define PAGE_2MIB    0x080
#define PAGE_NX_HIGH 0x80000000
#define XEN_ELFNOTE_PHYS32_ENTRY 18

    .section .note.pvh, "a", @note
    .balign 4
    .long   4, 8, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz  "Xen"
    .quad   agent_entry

    .section .rodata
    .balign 8
boot_gdt:
    .quad   0
    .quad   0x00af9b000000ffff
    .quad   0x00cf93000000ffff
boot_gdt_pointer:
    .short  . - boot_gdt - 1
    .long   boot_gdt

    .section .bss
    .balign 4096
boot_directories:
    .skip   4 * 4096
boot_pointers:
    .skip   4096
boot_top:
    .skip   4096

    .section .text.entry, "ax"
    .code32
    .globl  agent_entry
    .type   agent_entry, @function
agent_entry:
    cli
    cld
    lgdtl   boot_gdt_pointer

    /* Not left to the loader: QEMU does not clear a segment without file content again at a reset. */
    movl    $agent_bss, %edi
    movl    $agent_bss_words, %ecx
    xorl    %eax, %eax
    rep stosl

    movl    $boot_directories, %edi
    movl    $(PAGE_PRESENT | PAGE_WRITE | PAGE_2MIB), %eax
    movl    $(4 * 512), %ecx
1:  movl    %eax, (%edi)
    movl    $PAGE_NX_HIGH, 4(%edi)
    addl    $0x200000, %eax
    addl    $8, %edi
    decl    %ecx
    jnz     1b

    movl    $(boot_directories + 3 * 4096), %edi
    movl    $512, %ecx
2:  orl     $PAGE_UNCACHED, (%edi)
    addl    $8, %edi
    decl    %ecx
    jnz     2b

    movl    $0, boot_directories
    movl    $0, boot_directories + 4
    movl    $(LAYOUT_LOAD | PAGE_PRESENT | PAGE_2MIB), boot_directories + 8
    movl    $0, boot_directories + 12

    movl    $(boot_directories + PAGE_PRESENT + PAGE_WRITE), %eax
    movl    %eax, boot_pointers
    addl    $4096, %eax
    movl    %eax, boot_pointers + 8
    addl    $4096, %eax
    movl    %eax, boot_pointers + 16
    addl    $4096, %eax
    movl    %eax, boot_pointers + 24
    movl    $(boot_pointers + PAGE_PRESENT + PAGE_WRITE), %eax
    movl    %eax, boot_top

    movl    $0x20, %eax             /* CR4: PAE */
    movl    %eax, %cr4
    movl    $boot_top, %eax
    movl    %eax, %cr3
    movl    $0xc0000080, %ecx       /* EFER: NXE, LME */
    movl    $0x900, %eax
    xorl    %edx, %edx
    wrmsr
    movl    $0x80010031, %eax       /* CR0: PG, WP, NE, ET, PE */
    movl    %eax, %cr0
    ljmpl   $8, $boot_long
    .size   agent_entry, . - agent_entry

    .code64
    .type   boot_long, @function
boot_long:
    xorl    %eax, %eax
    movl    %eax, %ds
    movl    %eax, %es
    movl    %eax, %fs
    movl    %eax, %gs
    movl    %eax, %ss
    movl    $agent_stack_top, %esp
    xorl    %ebp, %ebp
    movl    $agent_context, %edi
    call    agent_main
    ud2
    .size   boot_long, . - boot_long

    .section .note.GNU-stack, "", @progbits
