# Runs the tests that are named, each by itself and one on each of two processors, and tells on the second serial port how
# each went.
run() {
	said=$(mktemp)
	begin=$(cut -d . -f 1 /proc/uptime)
	if timeout "$TEST_TAKES" e2e --exact --nocapture --test-threads=1 "$1" > "$said" 2>&1; then
		went=passed
		! grep -o 'not here: .*' "$said" || went=not-here
	else
		went=failed
		cat "$said"
	fi
	rm "$said"
	told="$went $1 in $(($(cut -d . -f 1 /proc/uptime) - begin)) s"
	echo "$told"
	echo "$told" > /dev/ttyS1
}
half() {
	turn=$1
	shift
	for test; do
		[ "$turn" = 1 ] || run "$test"
		turn=$((1 - turn))
	done
}
half 0 "$@" &
half 1 "$@" &
wait
