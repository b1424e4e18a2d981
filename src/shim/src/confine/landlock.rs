//! Which files a VMM may open (landlock(7)).

use super::Needs;
use landlock::{
    ABI, Access, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, Scope,
};

/// The newest interface that this is written for; an older kernel does what it can of it.
const VERSION: ABI = ABI::V6;

/// Leaves the files that the VMM needs, `/dev/kvm`, and sockets in the working directory.
pub(super) fn restrict(needs: &Needs<'_>) -> Result<(), RulesetError> {
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(VERSION))?
        .handle_access(AccessNet::from_all(VERSION))?
        .scope(Scope::from_all(VERSION))?
        .create()?;
    for file in needs.read {
        ruleset = ruleset.add_rule(PathBeneath::new(file, AccessFs::ReadFile))?;
    }
    for file in needs.write {
        ruleset = ruleset.add_rule(PathBeneath::new(file, AccessFs::ReadFile | AccessFs::WriteFile))?;
    }
    if let Ok(kvm) = PathFd::new("/dev/kvm") {
        let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
        ruleset = ruleset.add_rule(PathBeneath::new(kvm, device))?;
    }
    if let Ok(here) = PathFd::new(".") {
        ruleset = ruleset.add_rule(PathBeneath::new(here, AccessFs::MakeSock))?;
    }
    ruleset.restrict_self().map(drop)
}
