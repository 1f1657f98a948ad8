# The first process of a session's own mount and process namespaces: puts the session's folders
# where the kernel runner expects them, then starts it.
set -eu
# A private /tmp, with the servers' folder where it was if it is under /tmp.
case $LAB_HOME/ in
/tmp/*)
  mkdir -p "$LAB_SCRATCH/tmp/${LAB_HOME#/tmp/}"
  mount --rbind "$LAB_HOME" "$LAB_SCRATCH/tmp/${LAB_HOME#/tmp/}"
  ;;
esac
sh "$(dirname "$0")/ssh.sh" || echo "this session has no SSH server" >&2
mounts=$(cat "$LAB_SCRATCH/config/mounts.txt")
mount -t tmpfs -o size=1m,mode=755 tmpfs /home
printf '%s\n' "$mounts" | sort -t "$(printf '\t')" -k 2,2 | while IFS=$(printf '\t') read -r source target permission; do
  [ -n "$source" ] || continue
  mkdir -p "$target"
  mount --bind "$source" "$target"
  [ "$permission" != ro ] || mount -o remount,bind,ro "$target"
done
mount --rbind "$LAB_SCRATCH/tmp" /tmp
cd /home/work
unset LAB_SCRATCH
exec "$LAB_PYTHON" -s "$@"
