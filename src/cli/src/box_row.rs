//! A box as `--format` sees it: fields called as Docker calls them.

use crate::{table, time};
use a3s_box_core::{BoxState, Bytes, CpuShare, ExitReason, NetworkMode, RestartPolicy, Tmpfs, Transport};
use a3s_box_runtime::{BoxSize, BoxView};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// How much of a command is shown.
const SHORT: usize = 20;

/// The fields of `ps`. Without `whole` ids and commands are cut short.
pub(crate) fn ps(view: &BoxView, size: Option<BoxSize>, whole: bool) -> Value {
    let record = &view.record;
    let width = if whole { usize::MAX } else { SHORT };
    let labels: Vec<String> = record.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let health = view.run.as_ref().and_then(|run| run.health.as_ref());
    let mut row = json!({
        "ID": if whole { record.id.as_str() } else { record.id.short() },
        "Names": record.name.as_str(),
        "Image": record.config.image,
        "Command": format!("\"{}\"", table::shorten(&record.process.args.join(" "), width)),
        "CreatedAt": time::rfc3339(record.created_at),
        "RunningFor": format!("{} ago", time::since(record.created_at)),
        "Status": status(view),
        "State": view.state.to_string(),
        "Health": health.map_or_else(|| "none".to_owned(), |h| word(h.state)),
        "Ports": ports(view),
        "Labels": labels.join(","),
        "Label": record.labels,
        "Networks": networks(view).join(","),
        "Mounts": mounts(view, width).join(","),
        "LocalVolumes": record.config.volumes.len().to_string(),
        "VMM": format!("{}/{}", record.vmm, record.accel),
    });
    if let (Some(size), Value::Object(map)) = (size, &mut row) {
        let text = format!("{} (virtual {})", Bytes(size.own), Bytes(size.own + size.image));
        map.insert("Size".into(), text.into());
    }
    row
}

/// Names of volumes and paths of the host, as Docker lists them.
fn mounts(view: &BoxView, width: usize) -> Vec<String> {
    let config = &view.record.config;
    let volumes = config.volumes.iter().map(|mount| mount.volume.to_string());
    let binds = config.binds.iter().map(|bind| bind.source.display().to_string());
    volumes.chain(binds).map(|name| table::shorten(&name, width).to_string()).collect()
}

/// A word as JSON has it.
fn word(of: impl serde::Serialize) -> String {
    serde_json::to_value(of).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn networks(view: &BoxView) -> Vec<String> {
    let network = &view.record.config.network;
    match network.mode {
        NetworkMode::None => vec!["none".to_owned()],
        _ if network.networks.is_empty() => vec!["default".to_owned()],
        _ => network.networks.iter().map(ToString::to_string).collect(),
    }
}

/// Where the box is reached from outside, as Docker writes it.
fn ports(view: &BoxView) -> String {
    let each = view.ports.iter().map(|port| format!("{}->{}/{}", port.host, port.guest, port.transport));
    each.collect::<Vec<_>>().join(", ")
}

/// What the box does, in Docker's words.
fn status(view: &BoxView) -> String {
    let run = view.run.as_ref();
    let exit = run.and_then(|run| run.exit.as_ref());
    let ago = |at: u64| if at == 0 { String::new() } else { format!(" {} ago", time::since(at)) };
    match (view.state, exit) {
        (BoxState::Created, _) => "Created".into(),
        (BoxState::Starting, _) => "Starting".into(),
        (BoxState::Running | BoxState::Paused, _) => {
            let since = time::since(run.and_then(|r| r.started_at).unwrap_or_default());
            let health = run.and_then(|r| r.health.as_ref());
            let health = health.map(|health| format!(" ({})", health.state)).unwrap_or_default();
            let paused = if view.state == BoxState::Paused { " (Paused)" } else { "" };
            format!("Up {since}{health}{paused}")
        }
        (BoxState::Restarting, Some(exit)) => format!("Restarting ({}){}", exit.code, ago(exit.at)),
        (BoxState::Stopped, Some(exit)) => format!("Exited ({}){}", exit.code, ago(exit.at)),
        (BoxState::Failed, Some(exit)) => format!("Failed ({}){}", exit.code, ago(exit.at)),
        (BoxState::Failed, None) => "Failed".into(),
        (state, None) => state.to_string(),
    }
}

/// What `inspect --format` sees: all that `inspect` prints, and beside it what people know from Docker.
pub(crate) fn inspect(view: &BoxView) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(view)?;
    if let Value::Object(map) = &mut value {
        map.extend(dockers(view));
    }
    Ok(value)
}

fn dockers(view: &BoxView) -> Map<String, Value> {
    let record = &view.record;
    let config = &record.config;
    let run = view.run.as_ref();
    let exit = run.and_then(|run| run.exit.as_ref());
    let moment = |at: Option<u64>| at.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), time::rfc3339_micros);
    let pid = run.and_then(|run| run.vmm).filter(|_| view.state.is_live()).map_or(0, |vmm| vmm.pid);
    let message = exit.and_then(|exit| exit.message.clone()).unwrap_or_default();
    let mut state = json!({
        "Status": view.state.to_string(),
        "Running": matches!(view.state, BoxState::Running | BoxState::Paused | BoxState::Restarting),
        "Paused": view.state == BoxState::Paused,
        "Restarting": view.state == BoxState::Restarting,
        "OOMKilled": exit.is_some_and(|exit| exit.reason == ExitReason::Oom),
        "Dead": false,
        "Pid": pid,
        "ExitCode": exit.map_or(0, |exit| exit.code),
        "Reason": exit.map(|exit| exit.reason.to_string()).unwrap_or_default(),
        "Error": message,
        "StartedAt": moment(run.and_then(|run| run.started_at)),
        "FinishedAt": moment(exit.map(|exit| exit.at)),
    });
    if let (Some(health), Value::Object(map)) = (run.and_then(|run| run.health.as_ref()), &mut state) {
        let log: Vec<Value> = health
            .log
            .iter()
            .map(|probe| {
                json!({"Start": time::rfc3339_micros(probe.start), "End": time::rfc3339_micros(probe.end),
                    "ExitCode": probe.exit_code, "Output": probe.output})
            })
            .collect();
        let health =
            json!({"Status": word(health.state), "FailingStreak": health.failing_streak, "Log": log});
        map.insert("Health".into(), health);
    }
    let of_volumes = config.volumes.iter().map(|mount| {
        json!({"Type": "volume", "Name": mount.volume, "Destination": mount.target, "Driver": "local",
            "RW": !mount.read_only})
    });
    let of_host = config.binds.iter().map(|bind| {
        json!({"Type": "bind", "Source": bind.source, "Destination": bind.target, "Mode": "",
            "RW": !bind.read_only, "Propagation": "rprivate"})
    });
    let mounts: Vec<Value> = of_volumes.chain(of_host).collect();
    let (path, args) =
        record.process.args.split_first().map_or(("", &[][..]), |(path, args)| (path.as_str(), args));
    let value = json!({
        "Id": record.id,
        "Name": record.name,
        "Created": time::rfc3339_micros(record.created_at),
        "Path": path,
        "Args": args,
        "State": state,
        "Image": record.image.digest,
        "RestartCount": run.map_or(0, |run| run.restarts),
        "Platform": "linux",
        "Config": {
            "Hostname": config.hostname.clone().unwrap_or_else(|| record.id.short().to_owned()),
            "User": record.process.user,
            "Tty": config.tty,
            "OpenStdin": config.interactive,
            "Env": record.process.env,
            "Cmd": record.process.args,
            "Image": config.image,
            "WorkingDir": record.process.cwd,
            "Labels": record.labels,
            "StopSignal": record.stop_signal.to_string(),
        },
        "HostConfig": host_config(view),
        "Mounts": mounts,
        "NetworkSettings": {"Ports": bindings(view)},
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// How the box was asked for, as Docker's API tells it.
fn host_config(view: &BoxView) -> Value {
    let config = &view.record.config;
    let guest = &config.guest;
    let tmpfs: BTreeMap<&str, String> =
        guest.tmpfs.iter().map(|tmpfs| (tmpfs.path.as_str(), options(tmpfs))).collect();
    let value = |value: Option<u64>| value.map_or(json!(-1), |value| json!(value));
    let ulimits: Vec<Value> = guest
        .ulimits
        .iter()
        .map(|u| json!({"Name": u.name(), "Soft": value(u.soft), "Hard": value(u.hard)}))
        .collect();
    let security: Vec<&str> =
        [(config.no_new_privs, "no-new-privileges"), (guest.unconfined, "seccomp=unconfined")]
            .into_iter()
            .filter_map(|(is, option)| is.then_some(option))
            .collect();
    let binds: Vec<String> = config
        .binds
        .iter()
        .map(|bind| {
            let read_only = if bind.read_only { ":ro" } else { "" };
            format!("{}:{}{read_only}", bind.source.display(), bind.target)
        })
        .collect();
    let most = match config.policy.restart {
        RestartPolicy::OnFailure(most) => most.unwrap_or(0),
        _ => 0,
    };
    json!({
        "RestartPolicy": {"Name": config.policy.restart.name(), "MaximumRetryCount": most},
        "AutoRemove": config.auto_remove,
        "Memory": config.memory.0,
        "NanoCpus": u64::from(guest.cpu_limit.map_or(config.cpus * 1000, CpuShare::thousandths)) * 1_000_000,
        "Binds": binds,
        "ReadonlyRootfs": guest.read_only,
        "Tmpfs": tmpfs,
        "ShmSize": guest.shm_size.unwrap_or(Bytes::mib(64)).0,
        "Ulimits": ulimits,
        "Sysctls": guest.sysctls,
        "CapAdd": guest.cap_add,
        "CapDrop": guest.cap_drop,
        "SecurityOpt": security,
        "ExtraHosts": guest.hosts,
        "GroupAdd": guest.groups,
        "Init": guest.init,
        "PidsLimit": guest.pids,
        "Privileged": false,
        "NetworkMode": networks(view).first(),
    })
}

/// The options of a tmpfs, as they are written after its path.
fn options(tmpfs: &Tmpfs) -> String {
    tmpfs.to_string().strip_prefix(&format!("{}:", tmpfs.path)).unwrap_or_default().to_owned()
}

/// Published ports as Docker's API tells them.
fn bindings(view: &BoxView) -> BTreeMap<String, Vec<Value>> {
    let mut ports: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for port in &view.ports {
        let transport = if port.transport == Transport::Udp { "udp" } else { "tcp" };
        let binding = json!({"HostIp": port.host.ip().to_string(), "HostPort": port.host.port().to_string()});
        ports.entry(format!("{}/{transport}", port.guest)).or_default().push(binding);
    }
    ports
}
