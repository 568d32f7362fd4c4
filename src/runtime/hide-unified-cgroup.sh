#!/bin/sh
# hide-unified-cgroup.sh RUNTIME ARGS...
# crun 1.8 refuses to run where v1 hierarchies have a v2 tree beside them ("cgroups in hybrid mode not supported"). In a mount
# namespace of its own, which ends with the command, the v2 tree looks empty. A slave of the node's, so that HostToContainer reaches
# containers. Never around the monitor: that would keep every
# mount of the node pinned for the monitor's whole life.
set -eu
exec unshare --mount --propagation slave /bin/sh -c '
  mount --bind /dev/null /sys/fs/cgroup/unified/cgroup.controllers
  exec "$@"' sh "$@"
