//! The command line against Docker's: what is the same, what differs and how, what is absent and why. A part of
//! `docs/cli.md`, worked out from the definition of the command line and from what Docker has (its reference, 28.x).

use a3s_box_core::{BoxError, ErrorKind, Result};
#[cfg(test)]
use clap::{Arg, Command};
#[cfg(test)]
use std::fmt::Write;

/// Docker's commands, what each is called here, and its options.
const COMMANDS: &[(&str, &str, &str)] = &[
    ("attach", "attach", "detach-keys no-stdin sig-proxy"),
    ("commit", "commit", "author change message pause"),
    ("container prune", "prune", "force filter"),
    ("cp", "cp", "archive follow-link quiet"),
    ("create", "create", BOX),
    ("diff", "diff", ""),
    ("events", "events", "filter format since until"),
    ("exec", "exec", "detach detach-keys env env-file interactive privileged tty user workdir"),
    ("export", "export", "output"),
    ("history", "history", "format human no-trunc platform quiet"),
    ("image inspect", "image inspect", "format platform"),
    ("image prune", "image prune", "all filter force"),
    ("images", "images", "all digests filter format no-trunc quiet tree"),
    ("import", "import", "change message platform"),
    ("info", "info", "format"),
    ("inspect", "inspect", "format size type"),
    ("kill", "kill", "signal"),
    ("load", "load", "input platform quiet"),
    ("login", "login", "password password-stdin username"),
    ("logout", "logout", ""),
    ("logs", "logs", "details follow since tail timestamps until"),
    ("network connect", "network connect", "alias driver-opt gw-priority ip ip6 link link-local-ip"),
    (
        "network create",
        "network create",
        "attachable aux-address config-from config-only driver gateway ingress internal ip-range ipam-driver ipam-opt ipv4 ipv6 label opt scope subnet",
    ),
    ("network disconnect", "network disconnect", "force"),
    ("network inspect", "network inspect", "format verbose"),
    ("network ls", "network ls", "filter format no-trunc quiet"),
    ("network rm", "network rm", "force"),
    ("pause", "pause", ""),
    ("port", "port", ""),
    ("ps", "ps", "all filter format last latest no-trunc quiet size"),
    ("pull", "pull", "all-tags disable-content-trust platform quiet"),
    ("rename", "rename", ""),
    ("restart", "restart", "signal timeout"),
    ("rm", "rm", "force link volumes"),
    ("rmi", "rmi", "force no-prune platform"),
    ("run", "run", BOX_RUN),
    ("save", "save", "output platform"),
    ("start", "start", "attach checkpoint checkpoint-dir detach-keys interactive"),
    ("stats", "stats", "all format no-stream no-trunc"),
    ("stop", "stop", "signal timeout"),
    ("system df", "df", "format verbose"),
    ("tag", "tag", ""),
    ("top", "top", ""),
    ("unpause", "unpause", ""),
    (
        "update",
        "update",
        "blkio-weight cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems memory memory-reservation memory-swap pids-limit restart",
    ),
    ("version", "version", "format"),
    (
        "volume create",
        "volume create",
        "availability driver group label limit-bytes name opt required-bytes scope secret sharing topology-preferred topology-required type",
    ),
    ("volume inspect", "volume inspect", "format"),
    ("volume ls", "volume ls", "cluster filter format quiet"),
    ("volume prune", "volume prune", "all filter force"),
    ("volume rm", "volume rm", "force"),
    ("wait", "wait", ""),
];

macro_rules! of_a_box {
    ($($more:literal)?) => {
        concat!(
            "add-host annotation attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent cgroupns \
             cidfile cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems device \
             device-cgroup-rule device-read-bps device-read-iops device-write-bps device-write-iops \
             disable-content-trust dns dns-option dns-search domainname entrypoint env env-file expose gpus group-add \
             health-cmd health-interval health-retries health-start-interval health-start-period health-timeout \
             hostname init interactive ip ip6 ipc label label-file link link-local-ip log-driver log-opt mac-address \
             memory memory-reservation memory-swap memory-swappiness mount name network network-alias no-healthcheck \
             oom-kill-disable oom-score-adj pid pids-limit platform privileged publish publish-all pull quiet read-only \
             restart rm runtime security-opt shm-size stop-signal stop-timeout storage-opt sysctl tmpfs tty ulimit \
             use-api-socket user userns uts volume volume-driver volumes-from workdir",
            $($more)?
        )
    };
}
const BOX: &str = of_a_box!();
const BOX_RUN: &str = of_a_box!(" detach detach-keys sig-proxy");

/// What is there and means something else, of which commands (`*` for all).
#[cfg(test)]
const DIFFERENT: &[(&str, &str, &str)] = &[
    (
        "*",
        "network",
        "`none`, `default` or networks of boxes; `host` and `container:` would end the boundary",
    ),
    ("*", "publish", "on the loopback address unless another is given"),
    (
        "*",
        "security-opt",
        "`no-new-privileges`, `seccomp=unconfined` and `seccomp=builtin`; a box has its own kernel",
    ),
    ("*", "memory", "the guest's whole memory, settled at the start; 512m by default"),
    ("*", "cpus", "as many vCPUs as that takes, and their share of time; 1 by default"),
    (
        "*",
        "mount",
        "`type=volume` and `type=bind`; what is mounted in a folder of the host is not seen in it",
    ),
    (
        "*",
        "volume",
        "a volume has one writer at a time, and what the image has there is not copied; a folder of the host is worked on as the user who runs the box, and what is mounted in it is not seen",
    ),
    ("*", "sysctl", "also of the whole kernel, which is the box's own; none that names a program"),
    ("*", "add-host", "without `host-gateway`"),
    ("volume prune", "all", "needed: all volumes have names"),
    ("volume prune", "force", "nothing is asked in any case"),
    ("volume create", "driver", "`local` alone"),
    ("volume create", "opt", "`size=SIZE` alone"),
    ("*", "health-cmd", "also from the image's label `a3s.box.healthcheck`"),
    ("ps", "filter", "also `restart` and `until`; no `volume` and `is-task`"),
    ("ps", "format", "also `.VMM`; states are `stopped` and `failed`, not `exited` and `dead`"),
    (
        "events",
        "filter",
        "all events are of boxes; Docker's names of events are understood, ours are printed",
    ),
    ("inspect", "format", "fields by Docker's names and by ours; without it, ours are printed"),
    ("info", "format", "`text` or `json`"),
    ("version", "format", "`text` or `json`"),
    ("system df", "format", "`table` or `json`"),
    ("history", "format", "`table` or `json`"),
];

/// Why options are not there.
const ABSENT: &[(&str, &str)] = &[
    (
        "a memory limit inside a limit of memory makes no sense: the guest has what it has, and no swap",
        "memory-reservation memory-swap memory-swappiness oom-kill-disable",
    ),
    (
        "a guest's processors are threads of the host: tools of the host (`systemd-run`, `taskset`) hold the whole box",
        "cgroup-parent cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpuset-cpus cpuset-mems blkio-weight blkio-weight-device device-read-bps device-read-iops device-write-bps device-write-iops oom-score-adj",
    ),
    (
        "it would open the boundary that a box is for",
        "device device-cgroup-rule gpus ipc pid privileged userns uts use-api-socket",
    ),
    ("the guest is the namespace", "cgroupns"),
    (
        "there is one runtime, one log driver and one volume driver",
        "driver driver-opt ipam-driver ipam-opt log-driver runtime volume-driver storage-opt",
    ),
    (
        "addresses and names on networks of boxes are given out",
        "alias attachable aux-address config-from config-only domainname gateway gw-priority ingress internal ip ip-range ip6 ipv4 ipv6 link link-local-ip mac-address network-alias opt scope subnet",
    ),
    (
        "the resolver of a box is its gateway, which holds its policy: `config.toml`",
        "dns dns-option dns-search",
    ),
    ("images are verified by `config.toml`, `[[verify]]`", "disable-content-trust"),
    ("a box is of the host's architecture", "platform"),
    ("snapshots are not there yet", "checkpoint checkpoint-dir"),
    ("sizes are always for people", "human"),
    ("signals are always passed on", "sig-proxy"),
    ("there are boxes alone to look at", "type"),
    ("an argument is for everybody to see", "password"),
    (
        "for a swarm",
        "availability cluster group limit-bytes required-bytes secret sharing topology-preferred topology-required",
    ),
];

/// Docker's commands that are not here, and why.
#[cfg(test)]
const NO_COMMAND: &[(&str, &str)] = &[
    (
        "build, buildx, builder",
        "images are built elsewhere; `import` and `commit` make them of what is there",
    ),
    ("push, search, manifest, trust", "what is here is for running images"),
    ("compose, stack, swarm, node, service, secret, config", "one host, and no daemon"),
    (
        "context, plugin, system",
        "there is no daemon to be told of; `df`, `events`, `info`, `prune` are commands of their own",
    ),
    ("checkpoint", "snapshots are not there yet"),
];

/// The section. `cli` is the whole definition.
#[cfg(test)]
pub(crate) fn section(cli: &Command) -> String {
    let mut text =
        "## Against Docker\n\nOptions by their long names. What is the same has the same short name, \
                    arguments and output, unless the last columns say otherwise.\n\n\
                    | `docker` | `a3s-box` | same | differs | absent, and why |\n|---|---|---|---|---|\n"
            .to_owned();
    for (theirs, ours, options) in COMMANDS {
        let Some(command) = find(cli, ours) else {
            writeln!(text, "| {theirs} | - | | | not there yet |").unwrap();
            continue;
        };
        let mut same = Vec::new();
        let mut different = Vec::new();
        let mut absent: Vec<(&str, Vec<String>)> = Vec::new();
        for option in options.split_whitespace() {
            let shown = format!("`--{option}`");
            let how = DIFFERENT
                .iter()
                .find(|(of, name, _)| *name == option && (*of == *theirs || *of == "*"))
                .map_or("", |(.., how)| how);
            match (has(command, option), how) {
                (true, "") => same.push(shown),
                (true, how) => different.push(format!("{shown}: {how}")),
                (false, _) => {
                    let why = ABSENT
                        .iter()
                        .find(|(_, names)| names.split_whitespace().any(|name| name == option))
                        .map_or("not there yet", |(why, _)| why);
                    match absent.iter_mut().find(|(known, _)| *known == why) {
                        Some((_, options)) => options.push(shown),
                        None => absent.push((why, vec![shown])),
                    }
                }
            }
        }
        let absent: Vec<String> =
            absent.into_iter().map(|(why, options)| format!("{}: {why}", options.join(" "))).collect();
        let (same, different, absent) = (same.join(" "), different.join("; "), absent.join("; "));
        writeln!(text, "| {theirs} | {ours} | {same} | {different} | {absent} |").unwrap();
    }
    for (theirs, why) in NO_COMMAND {
        writeln!(text, "| {theirs} | - | | | {why} |").unwrap();
    }
    let known = |name: &str| COMMANDS.iter().any(|(_, ours, _)| ours.split(' ').next() == Some(name));
    let more: Vec<String> = cli
        .get_subcommands()
        .filter(|command| {
            !command.is_hide_set() && command.get_name() != "help" && !known(command.get_name())
        })
        .map(|command| format!("`{}`", command.get_name()))
        .collect();
    writeln!(text, "\nCommands that Docker does not have: {}.", more.join(", ")).unwrap();
    text
}

#[cfg(test)]
fn find<'a>(cli: &'a Command, path: &str) -> Option<&'a Command> {
    path.split(' ').try_fold(cli, |command, name| command.find_subcommand(name))
}

#[cfg(test)]
fn has(command: &Command, option: &str) -> bool {
    command.get_arguments().any(|arg: &Arg| {
        arg.get_long() == Some(option)
            || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&option))
    })
}

/// Why `command` has no `option` of Docker's; none where Docker has none either.
pub(crate) fn why_absent(command: &str, option: &str) -> Option<&'static str> {
    let option = option.strip_prefix("--")?.split('=').next()?;
    let (.., dockers) = COMMANDS.iter().find(|(_, ours, _)| *ours == command)?;
    let among = |names: &str| names.split_whitespace().any(|name| name == option);
    let why = ABSENT.iter().find(|(_, names)| among(names)).map_or("not there yet", |(why, _)| why);
    among(dockers).then_some(why)
}

/// Refuses an option where `command` takes the name of an image or a box.
///
/// # Errors
/// `Unsupported` for one of Docker's that is not here, `InvalidInput` for one that nobody has.
pub(crate) fn refuse_option(command: &str, word: &str) -> Result<()> {
    if !word.starts_with('-') {
        return Ok(());
    }
    Err(match why_absent(command, word) {
        Some(why) => BoxError::new(ErrorKind::Unsupported, format!("no {word} here: {why}")),
        None => BoxError::new(ErrorKind::InvalidInput, format!("unknown option {word}")),
    }
    .with_hint(format!("see `a3s-box {command} --help`")))
}

#[test]
fn whoever_asks_for_what_docker_has_is_told_why_it_is_not_here() {
    assert!(why_absent("run", "--privileged").unwrap().contains("boundary"));
    assert!(why_absent("create", "--device=/dev/x").unwrap().contains("boundary"));
    assert_eq!(why_absent("run", "--nonsense"), None);
    assert_eq!(why_absent("ps", "--privileged"), None);
    assert!(refuse_option("run", "alpine").is_ok());
    assert!(refuse_option("run", "-x").unwrap_err().to_string().contains("unknown option -x"));
}

#[test]
fn what_is_said_of_options_is_said_of_dockers() {
    let all: Vec<&str> = COMMANDS.iter().flat_map(|(.., options)| options.split_whitespace()).collect();
    for (_, option, _) in DIFFERENT {
        assert!(all.contains(option), "{option}");
    }
    for option in ABSENT.iter().flat_map(|(_, options)| options.split_whitespace()) {
        assert!(all.contains(&option), "{option}");
    }
    let mut sorted = COMMANDS.iter().map(|(theirs, ..)| *theirs).collect::<Vec<_>>();
    sorted.sort_unstable();
    assert_eq!(sorted, COMMANDS.iter().map(|(theirs, ..)| *theirs).collect::<Vec<_>>());
}
