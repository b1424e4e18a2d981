#!/bin/sh
# The first process of the KVM lab: brings KVM up, runs the command as the user it is for, and tells on the second serial
# port that the machine lives, and the command's exit code at last.
export PATH=/lab:/usr/bin:/usr/sbin:/sbin:/bin HOME=/tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
ln -s /proc/self/fd /dev/fd
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 tmp /tmp
mount -t tmpfs -o mode=1777 shm /dev/shm
ip link set lo up
stty -F /dev/ttyS0 -opost
stty -F /dev/ttyS1 -opost
while echo . > /dev/ttyS1; do sleep 2; done &
alive=$!
for module in /lab/modules/*; do insmod "$module"; done
chgrp kvm /dev/kvm
chmod 660 /dev/kvm
chmod 666 /dev/net/tun /dev/ttyS1
user=$(cat /lab/user)
[ "$user" = root ] || export HOME=/home/lab
chown -R lab:lab /home/lab
chmod -R a+rX /lab
chmod 1777 /lab
export A3S_HOME="$HOME/.a3s" A3S_BOX_VMM="${A3S_BOX_VMM:-krun}" A3S_BOX_ACCEL=kvm A3S_BOX_KERNEL=standard
export A3S_TEST_PROGRAMS=/lab A3S_TEST_BUSYBOX=/lab/busybox A3S_TEST_SCRATCH=/lab/scratch
export A3S_TEST_DEBIAN=/lab/debian
# It is slow, and a virtual processor of its own may stand still for half a minute.
export A3S_BOX_BOOT_TIMEOUT=120 A3S_TEST_PATIENCE=4
export A3S_TEST_ATTACKER=/lab/attacker.cpio A3S_TEST_ATTACKER_PROGRAM=/lab/attacker
export A3S_TEST_HOSTILE_KERNEL=/lab/hostile-kernel
mkdir "$A3S_HOME"
[ ! -b /dev/vda ] || mount /dev/vda "$A3S_HOME"
chown "$user" "$A3S_HOME"
chmod 700 "$A3S_HOME"
cd /lab

# What every process waits for, when the command has taken too long.
overdue() {
	sleep "$(cat /lab/patience)"
	kill "$alive"
	echo "the command has not ended within $(cat /lab/patience) s; what runs:"
	for process in /proc/[0-9]*; do
		[ -n "$(tr -d '\0' < "$process/cmdline")" ] || continue
		echo "$process: $(tr '\0' ' ' < "$process/cmdline" | cut -c 1-200)"
		for thread in "$process"/task/*; do
			echo "  $(cat "$thread/comm"): $(cut -d ' ' -f 3 "$thread/stat") $(cat "$thread/wchan") $(cat "$thread/syscall")"
		done
	done 2> /dev/null
	echo 124 > /dev/ttyS1
	sleep 0.2
	poweroff -f
}
overdue &
if [ "$user" = root ]; then sh /lab/command; else su -p -s /bin/sh -c 'sh /lab/command' "$user"; fi < /dev/null
code=$?
kill "$alive"
echo $code > /dev/ttyS1
sleep 0.2
# Nothing is written back: what is on a disk then is what a power cut leaves.
poweroff -f -n
