/*
 * The guest code of the KVM probe: what every kernel needs first, in order, one letter and a newline to QEMU's debug port (0xe9)
 * for each part that worked. Ends by resetting the machine, which ends QEMU under -no-reboot.
 *
 * accel_probe.c puts it at the start of a 64 KiB ROM, which the machine maps at 0xf0000 (segment 0xf000). Nothing here is run by
 * the host: it lies in read-only data and knows no address but BASE and its own offsets.
 *
 * Sources: Intel SDM volume 3A, 10.8.5 "Initializing IA-32e Mode", 6.14 "Exception and Interrupt Handling in 64-bit Mode";
 * Intel 8259A and 8254 data sheets.
 */
        .set BASE, 0xf0000
        .set PML4, 0x10000      /* page tables, three pages in a row */
        .set PDPT, 0x11000
        .set PD,   0x12000
        .set IDT,  0x8000
        .set STACK, 0x9000
        .set TURNS, 100000000   /* some 30 ms on hardware */
        .set TICKS, 10          /* of 10 ms */

        .macro report letter
        mov     $\letter, %al
        out     %al, $0xe9
        mov     $'\n', %al
        out     %al, $0xe9
        .endm

        .macro out_byte value, port
        mov     $\value, %al
        out     %al, $\port
        .endm

        /* An interrupt gate of the 64-bit code segment; the upper half of the address is 0. */
        .macro gate vector, handler
        movw    $((BASE + \handler - accel_payload) & 0xffff), IDT + \vector * 16
        movw    $0x18, IDT + \vector * 16 + 2
        movw    $0x8e00, IDT + \vector * 16 + 4
        movw    $(BASE >> 16), IDT + \vector * 16 + 6
        .endm

        .section .rodata.accel_payload, "a", @progbits
        .globl  accel_payload
        .globl  accel_payload_end
        .hidden accel_payload
        .hidden accel_payload_end

accel_payload:
        .code16
        cli
        report  'r'
        lgdtl   %cs:(gdt_pointer - accel_payload)
        mov     $0x11, %eax                     /* PE */
        mov     %eax, %cr0
        ljmpl   $8, $(BASE + protected_mode - accel_payload)

        .code32
protected_mode:
        mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     $STACK, %esp
        movl    $0x1ff, 0xfee000f0              /* the local APIC is on, and passes the 8259A's interrupts (LINT0: ExtINT) */
        movl    $0x700, 0xfee00350
        report  'p'

        cld
        xor     %eax, %eax
        mov     $PML4, %edi
        mov     $0x3000 / 4, %ecx
        rep stosl
        mov     $IDT, %edi
        mov     $0x1000 / 4, %ecx
        rep stosl
        movl    $PDPT + 3, PML4                 /* present, writable; the first 2 MiB one to one */
        movl    $PD + 3, PDPT
        movl    $0x83, PD
        mov     $PML4, %eax
        mov     %eax, %cr3
        mov     $0x20, %eax                     /* PAE */
        mov     %eax, %cr4
        mov     $0xc0000080, %ecx               /* EFER.LME */
        mov     $0x100, %eax
        xor     %edx, %edx
        wrmsr
        mov     $0x80000011, %eax               /* PG, PE */
        mov     %eax, %cr0
        ljmpl   $0x18, $(BASE + long_mode - accel_payload)

        .code64
long_mode:
        report  'l'
        gate    6, on_invalid_opcode
        gate    14, on_page_fault
        gate    32, on_tick
        lidt    idt_pointer(%rip)
        ud2
        mov     0x400000, %rax
        report  'e'

        mov     $TURNS, %ecx
turn:
        dec     %ecx
        jnz     turn
        report  'c'

        out_byte 0x11, 0x20                     /* 8259A: vectors from 32, only IRQ 0 */
        out_byte 0x20, 0x21
        out_byte 0x04, 0x21
        out_byte 0x01, 0x21
        out_byte 0xfe, 0x21
        out_byte 0x34, 0x43                     /* 8254: 1193182 Hz / 0x2e9c = 100 Hz */
        out_byte 0x9c, 0x40
        out_byte 0x2e, 0x40
        xor     %ebx, %ebx
        sti
wait:
        hlt
        cmp     $TICKS, %ebx
        jb      wait
        report  't'
        out_byte 0xfe, 0x64                     /* reset, through the keyboard controller */
halt:
        hlt
        jmp     halt

on_invalid_opcode:
        addq    $2, (%rsp)                      /* go on behind ud2 */
        iretq
on_page_fault:
        movl    $0x400083, PD + 16              /* map it and try again */
        add     $8, %rsp
        iretq
on_tick:
        inc     %ebx
        out_byte 0x20, 0x20
        iretq

        /* The accessed bits are set: the table is in ROM, where the processor could not set them. */
        .balign 8
gdt:
        .quad   0
        .quad   0x00cf9b000000ffff              /* 0x08: 32-bit code */
        .quad   0x00cf93000000ffff              /* 0x10: data */
        .quad   0x00af9b000000ffff              /* 0x18: 64-bit code */
gdt_pointer:
        .word   gdt_pointer - gdt - 1
        .long   BASE + gdt - accel_payload
idt_pointer:
        .word   33 * 16 - 1
        .quad   IDT
accel_payload_end:

        .section .note.GNU-stack, "", @progbits
