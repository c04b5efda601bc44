#!/bin/sh
# The daemon in the image's tree, as a container runtime would start it: the tree read-only, the state alone writable, user 65532 without
# capabilities. For machines without such a runtime, and for the tests: unshare --mount sh container/enter.sh TREE STATE, as root.
set -eu
tree=$1 state=$2; shift 2
mount --bind "$tree" "$tree"
mount --bind "$state" "$tree/var/lib/verdictd"
mount -t tmpfs -o size=1m,mode=700,uid=65532,gid=65532 tmpfs "$tree/run/verdictd"
mount -t proc proc "$tree/proc"
mount --rbind -o ro /sys "$tree/sys"
mount --rbind /dev "$tree/dev"
mount -o remount,bind,ro "$tree"
exec setpriv --no-new-privs chroot --userspec=65532:65532 --groups= "$tree" /usr/bin/verdictd --config /etc/verdictd/verdictd.toml
