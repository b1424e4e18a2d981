//! The options that say what a box finds inside: mounts, limits, privileges.

use a3s_box_core::{
    BindMount, BoxError, Bytes, Capability, ErrorKind, GuestConfig, HostEntry, Mount, Result, Tmpfs, Ulimit,
    VolumeMount, validate_sysctl,
};
use clap::Args;

#[derive(Args, Clone)]
#[command(next_help_heading = "Inside the box")]
pub(crate) struct GuestArgs {
    /// Mount a volume by its NAME, or a folder or file of the host by its /PATH or ./PATH; what is not there is made. A
    /// volume has one writer at a time
    #[arg(short, long, value_name = "SOURCE:PATH[:ro]")]
    volume: Vec<String>,
    /// Mount a volume or something of the host, as `type=volume|bind,source=SOURCE,target=PATH[,readonly]`
    #[arg(long, value_name = "MOUNT")]
    mount: Vec<String>,
    /// Make the root read-only; what is mounted in it is not
    #[arg(long)]
    read_only: bool,
    /// Mount memory at a path; options as mount(8) has them, such as size=64m,mode=1777,exec
    #[arg(long, value_name = "PATH[:OPTIONS]")]
    tmpfs: Vec<Tmpfs>,
    /// Size of /dev/shm; 64m when absent
    #[arg(long, value_name = "SIZE")]
    shm_size: Option<Bytes>,
    /// Limit a resource of every process, such as nofile=1024:2048
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<Ulimit>,
    /// Set a parameter of the guest's kernel, such as net.core.somaxconn=1024
    #[arg(long, value_name = "NAME=VALUE", value_parser = sysctl)]
    sysctl: Vec<(String, String)>,
    /// Give the box's root a capability beside those that containers have, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<Capability>,
    /// Take a capability from the box's root, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<Capability>,
    /// `no-new-privileges` makes set-uid programs be without effect, `seccomp=unconfined` allows every system call but
    /// those that lead to the host
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
    /// Add a name to /etc/hosts
    #[arg(long, value_name = "NAME:ADDRESS")]
    add_host: Vec<HostEntry>,
    /// Add a supplementary group, by name or number
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,
    /// Let the box's first process pass signals on and collect what others leave behind
    #[arg(long)]
    init: bool,
    /// Most processes and threads in the box; -1 for no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pids_limit: Option<i64>,
}

impl GuestArgs {
    /// The volumes and bind mounts that were asked for.
    pub(crate) fn mounts(&self) -> Result<(Vec<VolumeMount>, Vec<BindMount>)> {
        let here =
            std::env::current_dir().map_err(|e| BoxError::io("cannot find the working directory", e))?;
        let short = self.volume.iter().map(|text| Mount::from_short(text, &here));
        let (mut volumes, mut binds) = (Vec::new(), Vec::new());
        for mount in short.chain(self.mount.iter().map(|text| Mount::from_long(text, &here))) {
            match mount? {
                Mount::Volume(volume) => volumes.push(volume),
                Mount::Bind(bind) => binds.push(bind),
            }
        }
        Ok((volumes, binds))
    }

    /// What was asked for, and whether set-uid programs are to be without effect.
    pub(crate) fn config(self) -> Result<(GuestConfig, bool)> {
        let security = SecurityOptions::of(&self.security_opt)?;
        let pids = match self.pids_limit {
            None | Some(-1 | 0) => None,
            Some(most) => Some(u32::try_from(most).map_err(|_| {
                BoxError::new(ErrorKind::InvalidInput, format!("invalid limit of {most} processes"))
                    .with_hint("give a number, or -1 for no limit")
            })?),
        };
        let guest = GuestConfig {
            read_only: self.read_only,
            tmpfs: self.tmpfs,
            shm_size: self.shm_size,
            ulimits: self.ulimit,
            sysctls: self.sysctl.into_iter().collect(),
            cap_add: self.cap_add,
            cap_drop: self.cap_drop,
            unconfined: security.unconfined,
            hosts: self.add_host,
            groups: self.group_add,
            init: self.init,
            pids,
            cpu_limit: None,
        };
        Ok((guest, security.no_new_privs))
    }
}

fn sysctl(text: &str) -> Result<(String, String)> {
    let (name, value) = text.split_once('=').ok_or_else(|| {
        BoxError::new(ErrorKind::InvalidInput, format!("invalid kernel parameter {text:?}"))
            .with_hint("write NAME=VALUE, such as net.core.somaxconn=1024")
    })?;
    validate_sysctl(name, value)?;
    Ok((name.to_owned(), value.to_owned()))
}

#[derive(Default)]
struct SecurityOptions {
    no_new_privs: bool,
    unconfined: bool,
}

impl SecurityOptions {
    fn of(options: &[String]) -> Result<Self> {
        let mut is = Self::default();
        for option in options {
            match option.replacen('=', ":", 1).as_str() {
                "no-new-privileges" | "no-new-privileges:true" => is.no_new_privs = true,
                "no-new-privileges:false" => is.no_new_privs = false,
                "seccomp:unconfined" => is.unconfined = true,
                "seccomp:builtin" => is.unconfined = false,
                other => {
                    let hint = match other.split(':').next() {
                        Some("seccomp") => {
                            "profiles are not read; those there are: no-new-privileges, seccomp=unconfined"
                        }
                        Some("apparmor" | "label" | "systempaths") => {
                            "a box has a kernel of its own, without AppArmor or SELinux"
                        }
                        _ => "those there are: no-new-privileges, seccomp=unconfined",
                    };
                    return Err(BoxError::new(
                        ErrorKind::Unsupported,
                        format!("unknown security option {option:?}"),
                    )
                    .with_hint(hint));
                }
            }
        }
        Ok(is)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_options_are_dockers() {
        let of = |text: &str| {
            let options: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            SecurityOptions::of(&options).map(|is| (is.no_new_privs, is.unconfined))
        };
        assert_eq!(of("").unwrap(), (false, false));
        assert_eq!(of("no-new-privileges seccomp=unconfined").unwrap(), (true, true));
        assert_eq!(of("no-new-privileges:true no-new-privileges=false").unwrap(), (false, false));
        for bad in ["seccomp=/a.json", "apparmor=x", "label:disable", "nonsense"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
