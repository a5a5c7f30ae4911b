/* SPDX-License-Identifier: BSD-2-Clause */
/* The sizes of attached devices, after those of their volumes have changed. */
#ifndef CLI_DEVICE_SIZE_H
#define CLI_DEVICE_SIZE_H

struct options;

/*
 * Let the devices of the volumes that the operands name (vol or vol@s) have
 * their volume's size.  Returns 0, or EXIT_PARTLY after it has said why: the
 * volumes have changed, and one of the devices has not.
 */
int device_size_follow(const struct options *options);

#endif
