# Boxes of every restart policy run, and one has been stopped, when the machine loses its power.
set -e
a3s-box load --tag busybox --input /lab/busybox
a3s-box rm -f plain always unless stopped
idle="trap 'exit 0' TERM; while :; do sleep 1000 & wait \$!; done"
a3s-box run -d --name plain busybox sh -c "$idle"
a3s-box run -d --name always --restart always busybox sh -c "$idle"
a3s-box run -d --name unless --restart unless-stopped busybox sh -c "$idle"
a3s-box run -d --name stopped --restart unless-stopped busybox sh -c "$idle"
a3s-box stop -t 60 stopped
a3s-box exec always sh -c 'echo kept > /kept && sync'
a3s-box ps -a
