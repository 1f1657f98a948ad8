# Puts the agent's own SSH server where the kernel runner looks for it, in /opt/kernel of the
# session, and makes the user of sessions known. Run in the session's own mount namespace.
set -eu
runner=$("$LAB_PYTHON" -s -c "import importlib.util as u
print(u.find_spec('ai.backend.runner').submodule_search_locations[0])")
place=$LAB_SCRATCH/opt/kernel
mkdir -p "$place"

# Those for Alpine need no library of the machine, also to look users up.

# The last of these files that there is, under another name.
put() {
  name=$1
  shift
  for file; do
    [ ! -f "$file" ] || cp "$file" "$place/$name"
  done
  [ ! -f "$place/$name" ] || chmod 755 "$place/$name"
}

# Dropbear listens on the loopback address only, lets the user in who is root on this machine, and
# makes keys of a kind that take no time.
adapt() {
  [ -f "$place/$1" ] || return 0
  mv "$place/$1" "$place/$1-itself"
  cat >"$place/$1" <<'END'
#!/bin/sh
count=$#
while [ "$count" -gt 0 ]; do
  word=$1
  shift
  count=$((count - 1))
  case $word in
  0.0.0.0:*) word=127.0.0.1:${word#*:} ;;
  rsa) word=ed25519 ;;
  -w) continue ;;
  -s) if [ "${1-}" = 2048 ]; then shift; count=$((count - 1)); continue; fi ;;
  esac
  set -- "$@" "$word"
done
exec "$0-itself" "$@"
END
  chmod 755 "$place/$1"
}

for name in dropbear dropbearkey dropbearconvert; do
  put "$name" "$runner/$name".alpine*.x86_64.bin
done
put dropbearmulti "$runner"/dropbearmulti.x86_64.bin
put sftp-server "$runner"/sftp-server.alpine*.x86_64.bin "$runner"/sftp-server.x86_64.bin
for name in dropbear dropbearkey dropbearmulti; do
  adapt "$name"
done
mount -t overlay overlay -o "lowerdir=$LAB_SCRATCH/opt:/opt" /opt
sed '/^work:/d' /etc/passwd >"$LAB_SCRATCH/passwd"
echo 'work:x:0:0::/home/work:/bin/bash' >>"$LAB_SCRATCH/passwd"
mount --bind "$LAB_SCRATCH/passwd" /etc/passwd
