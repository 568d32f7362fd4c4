#!/bin/sh
# in-cgroup.sh SYNC PROCS... -- PROGRAM ARGS...
# Joins the control groups, so that all the program leaves behind is in them from its first moment, then becomes the program.
# SYNC becomes descriptor 3: a regular file, because conmon dies of a pipe whose reader is gone.
set -eu
exec 3>"$1"
shift
while [ "$1" != -- ]; do
  echo $$ >"$1"
  shift
done
shift
exec "$@"
