# The first process of a session's own mount and process namespaces: puts the session's folders
# where the kernel runner expects them, then starts it.
set -eu
mount -t tmpfs -o size=1m,mode=755 tmpfs /home
printf '%s\n' "$LAB_MOUNTS" | sort -t "$(printf '\t')" -k 2,2 | while IFS=$(printf '\t') read -r source target permission; do
  [ -n "$source" ] || continue
  mkdir -p "$target"
  mount --bind "$source" "$target"
  [ "$permission" != ro ] || mount -o remount,bind,ro "$target"
done
# `python` of the session's programs: asks the runner for input, as in the images
mount -t tmpfs -o size=1m,mode=755 tmpfs /usr/local/sbin
printf '#!/bin/sh\nPYTHONPATH=%s${PYTHONPATH:+:$PYTHONPATH} exec %s "$@"\n' "$LAB_CHILD" "$LAB_PYTHON" >/usr/local/sbin/python
chmod 755 /usr/local/sbin/python
cd /home/work
unset LAB_MOUNTS
exec "$LAB_PYTHON" -s "$@"
