/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What `varve attach --foreground` does when the device is there: it stays,
 * and sees to it that the device has a monitor.
 */
#ifndef CLI_FOREGROUND_H
#define CLI_FOREGROUND_H

struct attachment;

/* From now on signals that end a process wait for foreground_stay(). */
void foreground_begin(void);

/*
 * Until the device has been detached, or a signal wants this process to end:
 * then it detaches it, and waits for that until it is unmounted; another
 * signal ends the waiting.  @attached has its helper as a child of this
 * process.  Returns an exit code.  Lock: not held.
 */
int foreground_stay(const struct attachment *attached);

#endif
