# In a new machine that has the old one's disk: what had run is stopped and says why, what is to run comes back.
set -e
expect() {
	[ "$1" = "$2" ] || { echo "expected '$2', got '$1'"; a3s-box ps -a; exit 1; }
}
reason() {
	a3s-box inspect --format '{{.State.Running}} {{.State.Reason}}' "$1"
}
for name in plain always unless; do expect "$(reason $name)" 'false host-restarted'; done
expect "$(reason stopped)" 'false stopped'
expect "$(a3s-box ps -q)" ''
a3s-box boot
expect "$(a3s-box ps --format '{{.Names}}' | sort | tr '\n' ' ')" 'always unless '
expect "$(a3s-box exec always cat /kept)" kept
a3s-box start plain
expect "$(a3s-box exec plain echo well)" well
a3s-box rm -f plain always unless stopped
expect "$(a3s-box ps -aq)" ''
