#!/bin/busybox sh
# The only program of a Linux guest: loads modules, then obeys commands that come over a virtio-serial port.
#
# To the host, over the port named vdsa:      READY <release>
# From the host, a line for each command:     <number> <shell script in base64>
# To the host, its answer:                    DONE <number> <exit status> <bytes of output>, then these bytes
export PATH=/bin:/usr/bin
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /tmp /run
# The kernel counts its handlers' runs by interrupt and name, also of interrupts that are given back: /proc/interrupts forgets them.
mount -t tracefs trace /sys/kernel/tracing
echo 'hist:keys=irq,name' >/sys/kernel/tracing/events/irq/irq_handler_entry/trigger
load() { # FILE: modules in this order, each with its parameters
	while read -r module parameters; do
		insmod "/modules/$module.ko" $parameters || echo "init: $module was not loaded" >/dev/console
	done <"$1"
}
load /modules/at-boot
for port in /sys/class/virtio-ports/*; do
	[ "$(cat "$port/name")" = vdsa ] && device=${port##*/}
done
exec 3<>"/dev/$device"
echo "READY $(uname -r)" >&3
while read -r number script; do
	echo "$script" | base64 -d >/tmp/script
	(. /tmp/script) </dev/null >/tmp/output 2>&1 3>&-
	echo "DONE $number $? $(wc -c </tmp/output)" >&3
	cat /tmp/output >&3
done <&3
echo "init: the host has closed the port" >/dev/console
sleep 1
poweroff -f
