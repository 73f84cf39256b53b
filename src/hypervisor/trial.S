# A boot sector that uses what every real guest uses, and then switches the machine off: real mode with an interrupt,
# protected mode with an interrupt and its return, paging, 64-bit code. It is assembled into trial.bin with
#   as --32 trial.S -o trial.o && ld -m elf_i386 -Ttext 0x7c00 --oformat binary trial.o -o trial.bin
    .code16
    .globl _start
_start:
    cli
    ljmp $0, $1f
1:  xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x7c00, %sp
    # An interrupt in real mode, with a handler of our own at vector 0x60.
    movw $real_handler, 0x60*4
    movw %ax, 0x60*4+2
    int $0x60
    lgdt gdt_pointer
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmp $8, $protected
real_handler:
    iret

    .code32
protected:
    mov $16, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x7c00, %esp
    # One interrupt gate at 0x1000 + 0x60*8, its table at 0x1000.
    movl $handler, %eax
    movl %eax, 0x1000+0x60*8
    movw $8, 0x1000+0x60*8+2
    movl $0x8e00, 0x1000+0x60*8+4
    lidt idt_pointer
    pusha
    int $0x60
    popa
    # Page tables at 0x2000: the first 2 MiB as one page.
    mov $0x2000, %edi
    mov %edi, %cr3
    xor %eax, %eax
    mov $0xc00, %ecx
    rep stosl
    movl $0x3003, 0x2000
    movl $0x4003, 0x3000
    movl $0x83, 0x4000
    mov %cr4, %eax
    or $0x20, %eax
    mov %eax, %cr4
    mov $0xc0000080, %ecx
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    ljmp $24, $long
handler:
    iret

    .code64
long:
    mov $0x1000000, %rcx
1:  dec %rcx
    jnz 1b
    # ACPI's power management of this chip set, where its firmware puts it: soft off.
    mov $0x604, %dx
    mov $0x2000, %ax
    out %ax, %dx
2:  hlt
    jmp 2b

    .balign 8
gdt:
    .quad 0
    .quad 0x00cf9a000000ffff
    .quad 0x00cf92000000ffff
    .quad 0x00af9a000000ffff
gdt_pointer:
    .word 31
    .long gdt
idt_pointer:
    .word 0x60*8+7
    .long 0x1000
    .org 510
    .word 0xaa55
