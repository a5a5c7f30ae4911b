/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The smallest machine that writes to its disk: a boot sector that, round
 * after round, fills 64 places with the number of the round (1 to 250), 32 KiB
 * at each MiB from the first to the 64th, in order, by the BIOS.
 */
	.code16
	.globl _start
_start:
	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %ss
	mov	$0x7c00, %sp
	mov	%dl, drive
	cld
next_round:
	mov	$0x1000, %ax
	mov	%ax, %es
	xor	%di, %di
	mov	round, %al
	mov	$0x8000, %cx
	rep stosb
	movl	$2048, lba
next_place:
	mov	$packet, %si
	mov	drive, %dl
	mov	$0x4300, %ax
	int	$0x13
	jc	next_place
	addl	$2048, lba
	cmpl	$65 * 2048, lba
	jne	next_place
	incb	round
	cmpb	$251, round
	jne	next_round
	movb	$1, round
	jmp	next_round

round:	.byte	1
drive:	.byte	0
	.balign	4
packet:	.byte	16, 0
	.word	64		/* sectors */
	.word	0, 0x1000	/* from here */
lba:	.long	0, 0		/* to here */
	.org	510
	.word	0xaa55
