#!/bin/sh
# bare-runsc-app.sh WORDS RUNSC GLOBALS... create --bundle BUNDLE --pid-file FILE ID
# The cheapest way in which conmon keeps the output of an app in a gVisor sandbox: what `runsc start` has as stdout and stderr is
# what the app writes to, so this creates and starts the app in one go, with conmon's pipes. conmon then watches a sleep.
# WORDS counts RUNSC and GLOBALS.
words=$1
shift
for word; do
  [ "${previous-}" = --pid-file ] && pidfile=$word
  previous=$word
done
id=$word
"$@" </dev/null || exit
count=0
for word; do
  [ "$count" -lt "$words" ] && set -- "$@" "$word"
  count=$((count + 1))
done
shift "$count"
"$@" start "$id" || exit
sleep 1000000 </dev/null >/dev/null 2>&1 &
echo $! >"$pidfile"
