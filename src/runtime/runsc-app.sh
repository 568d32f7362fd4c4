#!/bin/sh
# runsc-app.sh DIR WORDS RUNSC GLOBALS... create --bundle BUNDLE --pid-file FILE ID
# The runtime that conmon calls for an app in a gVisor sandbox. WORDS counts RUNSC and GLOBALS.
#
# conmon cannot watch such an app: its process is the sandbox's. But what `runsc start` has as stdout and stderr is what the app
# writes to. So this creates the app and leaves a stand-in behind, which conmon watches and which holds conmon's pipes: it waits
# at DIR/gate for the word to start, starts the app, leaves the exit code of `runsc start` in DIR/started, lets go of the pipes
# and waits to be ended when the app's exit code is known. conmon then has the app's last bytes and goes too.
set -u
dir=$1 words=$2
shift 2
for word; do
  [ "${previous-}" = --pid-file ] && pidfile=$word
  previous=$word
done
id=$word

"$@" </dev/null || exit
mkfifo -m 600 "$dir/gate" || exit

count=0
for word; do
  [ "$count" -lt "$words" ] && set -- "$@" "$word"
  count=$((count + 1))
done
shift "$count"

exec 3<&0
(
  read -r word <"$dir/gate" || exit
  "$@" start "$id" <&3 3<&-
  echo $? >"$dir/started"
  exec <&- >/dev/null 2>&1 3<&-
  read -r word <"$dir/gate"
) &
echo $! >"$pidfile"
