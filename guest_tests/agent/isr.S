/*
 * 256 entries of 16 bytes, then the two ways on: exceptions end in crash_report(), interrupts in irq_entry().
 * Only the registers that C may clobber are saved: the C side is built with -mgeneral-regs-only.
 */
    .section .text
    .code64

    .altmacro
    .macro entry number, pushes_error
    .balign 16
    .if \number < 32
    .if \pushes_error == 0
    pushq   $0
    .endif
    pushq   $\number
    jmp     exception_common
    .else
    pushq   $\number
    jmp     interrupt_common
    .endif
    .endm

    .globl  isr_entries
    .type   isr_entries, @function
    .balign 16
isr_entries:
    .set    number, 0
    .rept   256
    .if (number == 8) || ((number >= 10) && (number <= 14)) || (number == 17) || (number == 21) || (number == 29) || (number == 30)
    entry   %number, 1
    .else
    entry   %number, 0
    .endif
    .set    number, number + 1
    .endr
    .balign 16
    .size   isr_entries, . - isr_entries

    .type   interrupt_common, @function
interrupt_common:
    pushq   %rax
    pushq   %rcx
    pushq   %rdx
    pushq   %rsi
    pushq   %rdi
    pushq   %r8
    pushq   %r9
    pushq   %r10
    pushq   %r11
    subq    $8, %rsp
    cld
    movl    $agent_context, %edi
    movl    80(%rsp), %esi
    call    irq_entry
    addq    $8, %rsp
    popq    %r11
    popq    %r10
    popq    %r9
    popq    %r8
    popq    %rdi
    popq    %rsi
    popq    %rdx
    popq    %rcx
    popq    %rax
    addq    $8, %rsp
    iretq
    .size   interrupt_common, . - interrupt_common

    /* Pushes struct crash_frame from its end to its beginning. */
    .type   exception_common, @function
exception_common:
    pushq   %r15
    pushq   %r14
    pushq   %r13
    pushq   %r12
    pushq   %r11
    pushq   %r10
    pushq   %r9
    pushq   %r8
    pushq   %rbp
    pushq   %rdi
    pushq   %rsi
    pushq   %rdx
    pushq   %rcx
    pushq   %rbx
    pushq   %rax
    cld
    movq    %rsp, %rsi
    movl    $agent_context, %edi
    call    crash_report
    ud2
    .size   exception_common, . - exception_common

    .section .note.GNU-stack, "", @progbits
