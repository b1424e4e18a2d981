//! Which files a VMM may open (landlock(7)).

use super::{Needs, installation};
use a3s_box_core::ShimSpec;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, Scope,
};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The newest interface that this is written for; an older kernel does what it can of it.
const VERSION: ABI = ABI::V6;
/// Where a system keeps its programs and libraries.
const SYSTEM: [&str; 4] = ["/usr", "/lib", "/lib64", "/etc/ld.so.cache"];
/// What any program may want to read of the host's hardware.
const HARDWARE: [&str; 2] = ["/sys/devices/system", "/sys/kernel/mm"];
const DEVICES: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"];

/// Leaves this process the files that it needs, `/dev/kvm`, and sockets in the working directory.
pub(super) fn restrict(needs: &Needs<'_>) -> Result<(), RulesetError> {
    let mut rules = Rules::new()?;
    for file in needs.read {
        (&mut rules.0).add_rule(PathBeneath::new(*file, AccessFs::ReadFile))?;
    }
    for file in needs.write {
        (&mut rules.0).add_rule(PathBeneath::new(*file, AccessFs::ReadFile | AccessFs::WriteFile))?;
    }
    rules.kvm()?;
    rules.path(".", AccessFs::MakeSock)?;
    rules.0.restrict_self().map(drop)
}

/// Leaves this process what lies below `roots`: to be read, and where that is not all, to be changed, but for making
/// devices, pipes and sockets. Where the host has no Landlock nothing is done.
pub(super) fn restrict_files(roots: &[(&OwnedFd, bool)]) -> Result<(), RulesetError> {
    let mut rules = Rules::new()?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::RemoveDir
        | AccessFs::RemoveFile
        | AccessFs::MakeDir
        | AccessFs::MakeReg
        | AccessFs::MakeSym
        | AccessFs::Refer;
    for (root, read_only) in roots {
        let is_folder = rustix::fs::fstat(root)
            .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir());
        let mut access = if *read_only { read } else { read | write };
        if !is_folder {
            access &= AccessFs::from_file(VERSION);
        }
        (&mut rules.0).add_rule(PathBeneath::new(*root, access))?;
    }
    rules.0.restrict_self().map(drop)
}

/// What leaves `program`, a VMM that is installed on the host and runs the box of `spec`, its own installation and
/// the box's files. To be applied by the process that becomes it; none where the host has no Landlock.
pub(super) fn for_program(program: &Path, spec: &ShimSpec) -> Result<Option<OwnedFd>, RulesetError> {
    let mut rules = Rules::new()?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    for place in SYSTEM.iter().map(PathBuf::from).chain(installation(program)) {
        rules.path(place, read | AccessFs::Execute)?;
    }
    for place in HARDWARE {
        rules.path(place, read)?;
    }
    for device in DEVICES {
        rules.path(device, AccessFs::ReadFile | AccessFs::WriteFile)?;
    }
    for file in [&spec.kernel, &spec.initramfs, &spec.rootfs] {
        rules.path(file, AccessFs::ReadFile)?;
    }
    if let Some(upper) = &spec.upper {
        rules.path(upper, AccessFs::ReadFile | AccessFs::WriteFile)?;
    }
    for volume in &spec.volumes {
        let read = BitFlags::from(AccessFs::ReadFile);
        rules.path(&volume.path, if volume.read_only { read } else { read | AccessFs::WriteFile })?;
    }
    rules.kvm()?;
    Ok(rules.0.into())
}

struct Rules(RulesetCreated);

impl Rules {
    /// Nothing is allowed yet.
    fn new() -> Result<Self, RulesetError> {
        let ruleset = Ruleset::default()
            .handle_access(AccessFs::from_all(VERSION))?
            .handle_access(AccessNet::from_all(VERSION))?
            .scope(Scope::from_all(VERSION))?;
        Ok(Self(ruleset.create()?))
    }

    /// Allows `access` to what is at `path`, if there is anything.
    fn path(
        &mut self,
        path: impl AsRef<Path>,
        access: impl Into<BitFlags<AccessFs>>,
    ) -> Result<(), RulesetError> {
        let path = path.as_ref();
        let Ok(fd) = PathFd::new(path) else { return Ok(()) };
        let mut access = access.into();
        if !path.is_dir() {
            access &= AccessFs::from_file(VERSION);
        }
        (&mut self.0).add_rule(PathBeneath::new(fd, access)).map(drop)
    }

    fn kvm(&mut self) -> Result<(), RulesetError> {
        self.path("/dev/kvm", AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev)
    }
}
