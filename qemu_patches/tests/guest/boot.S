/*
 * Entered by SeaBIOS' PVH loader in flat 32-bit mode. Tries MOVDIR64B there, then goes to 64-bit mode and calls main_c().
 * The first 4 GiB are mapped one to one by 2 MiB pages, writable and for all rings; main_c() takes rights away.
 */
#define CODE32 0x08
#define DATA32 0x10
#define CODE64 0x18
#define SHIFTED 0x20            /* data, base 0x1000 */
#define AP_START 0x8000

    .section .note.pvh, "a", @note
    .balign 4
    .long   4, 8, 18
    .asciz  "Xen"
    .quad   start

    .section .data
    .balign 8
gdt:
    .quad   0
    .quad   0x00cf9b000000ffff  /* 0x08 */
    .quad   0x00cf93000000ffff  /* 0x10 */
    .quad   0x00af9b000000ffff  /* 0x18 */
    .quad   0x00cf93001000ffff  /* 0x20 */
    .quad   0x00cff3000000ffff  /* 0x28: user data */
    .quad   0x00affb000000ffff  /* 0x30: user code, 64 bits */
    .globl  gdt_tss
gdt_tss:
    .quad   0, 0                /* 0x38: filled in by main_c() */
gdt_pointer:
    .short  . - gdt - 1
    .quad   gdt

    .section .bss
    .balign 4096
    .globl  directories
directories:
    .skip   4 * 4096
pointers:
    .skip   4096
top:
    .skip   4096
    .skip   16384
stack_top:
    .skip   16384
ap_stack_top:

    .text
    .code32
    .globl  start
start:
    cli
    cld
    lgdtl   gdt_pointer
    ljmpl   $CODE32, $1f
1:  movl    $DATA32, %eax
    movl    %eax, %ds
    movl    %eax, %es
    movl    %eax, %ss
    movl    $stack_top, %esp

    /* Sources and destinations of the two attempts in this mode lie in memory that neither firmware nor we use. */
    movl    $0x6000, %edi
    movl    $16, %ecx
    movl    $0x11111111, %eax
1:  movl    %eax, (%edi)
    addl    $0x01010101, %eax
    addl    $4, %edi
    decl    %ecx
    jnz     1b

    movl    $7, %eax
    xorl    %ecx, %ecx
    cpuid
    testl   $(1 << 28), %ecx
    jz      2f
    movl    $SHIFTED, %eax
    movl    %eax, %es
    movl    $0x6000, %esi
    movl    $0x8000, %edi       /* ES:EDI is 0x9000, DS:ESI is 0x6000 */
    movdir64b (%esi), %edi
    movl    $DATA32, %eax
    movl    %eax, %es
    movl    $0xabc0a000, %edi
    movl    $0xdef06000, %esi
    .byte   0x67, 0x66, 0x0f, 0x38, 0xf8, 0x3c  /* movdir64b (%si), %di */
2:
    movl    $directories, %edi
    movl    $0x087, %eax        /* present, write, user, 2 MiB */
    movl    $(4 * 512), %ecx
1:  movl    %eax, (%edi)
    movl    $0, 4(%edi)
    addl    $0x200000, %eax
    addl    $8, %edi
    decl    %ecx
    jnz     1b
    movl    $(directories + 7), %eax
    movl    $pointers, %edi
    movl    $4, %ecx
1:  movl    %eax, (%edi)
    addl    $4096, %eax
    addl    $8, %edi
    decl    %ecx
    jnz     1b
    movl    $(pointers + 7), %eax
    movl    %eax, top

    /* The second CPU begins at AP_START in real mode. */
    movl    $ap_begin, %esi
    movl    $AP_START, %edi
    movl    $(ap_end - ap_begin), %ecx
    rep movsb

    movl    $stack_top, %esp
    movl    $main_c, %ebx
    jmp     to_long_mode

to_long_mode:
    movl    $0x20, %eax         /* CR4: PAE */
    movl    %eax, %cr4
    movl    $top, %eax
    movl    %eax, %cr3
    movl    $0xc0000080, %ecx   /* EFER: LME */
    movl    $0x100, %eax
    xorl    %edx, %edx
    wrmsr
    movl    $0x80010031, %eax   /* CR0: PG, WP, NE, ET, PE */
    movl    %eax, %cr0
    ljmpl   $CODE64, $1f
    .code64
1:  xorl    %eax, %eax
    movl    %eax, %ds
    movl    %eax, %es
    movl    %eax, %ss
    movl    %ebx, %ebx
    call    *%rbx
2:  hlt
    jmp     2b

    .code16
ap_begin:
    cli
    lgdtl   %cs:(ap_gdt_pointer - ap_begin)
    movl    $0x11, %eax
    movl    %eax, %cr0
    ljmpl   $CODE32, $ap_flat
ap_gdt_pointer:
    .short  gdt_pointer - gdt - 1
    .long   gdt
ap_end:
    .code32
ap_flat:
    movl    $DATA32, %eax
    movl    %eax, %ds
    movl    %eax, %es
    movl    %eax, %ss
    movl    $ap_stack_top, %esp
    movl    $ap_main, %ebx
    jmp     to_long_mode

    /*
     * Exceptions: what came is noted, and the interrupted attempt goes on at resume_rip on resume_rsp in ring 0.
     * Frame: rip, cs, rflags, rsp, ss, with the error code below it.
     */
    .code64
    .globl  on_ud, on_gp, on_pf
on_ud:
    pushq   $0
    pushq   $6
    jmp     on_any
on_gp:
    pushq   $13
    jmp     on_any
on_pf:
    pushq   $14
on_any:
    popq    seen_vector
    popq    seen_error
    pushq   %rax
    movq    8(%rsp), %rax
    movq    %rax, seen_rip
    movq    %cr2, %rax
    movq    %rax, seen_cr2
    movq    resume_rip, %rax
    movq    %rax, 8(%rsp)
    movq    $CODE64, 16(%rsp)
    movq    resume_rsp, %rax
    movq    %rax, 32(%rsp)
    movq    $0, 40(%rsp)
    popq    %rax
    iretq

    .section .note.GNU-stack, "", @progbits
