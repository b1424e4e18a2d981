//! The capabilities of processes in a box.

use super::failure::Failure;
use super::user::User;
use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// Has the spawner, which execs, keep what this process may do, whatever it is bounded to afterwards. Whoever becomes a
/// user of the box inherits nothing (capabilities(7)).
pub(crate) fn keep_over_exec() -> rustix::io::Result<()> {
    let own = rustix::thread::capabilities(None)?;
    rustix::thread::set_capabilities(None, CapabilitySets { inheritable: own.permitted, ..own })
}

/// Takes all of `bounds` but what is `kept` from what this process, and those that it forks, can have by an exec.
pub(crate) fn bound(bounds: CapabilitySet, kept: CapabilitySet) -> rustix::io::Result<()> {
    for number in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if kept.contains(capability) || !bounds.contains(capability) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // The first number that the kernel does not know.
            Err(rustix::io::Errno::INVAL) => break,
            other => other?,
        }
    }
    Ok(())
}

/// Becomes `user` with no more than `allowed`, out of `bounds`. The kernel takes even that from whoever is not root.
pub(crate) fn become_user(user: &User, allowed: CapabilitySet, bounds: CapabilitySet) -> Result<(), Failure> {
    let failed = |what: &'static str| move |e: rustix::io::Errno| Failure::io(what, e);
    bound(bounds, allowed).map_err(failed("cannot drop a capability"))?;
    // Changing the user takes capabilities, which the second call gives up.
    let changing = allowed | CapabilitySet::SETUID | CapabilitySet::SETGID;
    set(changing).map_err(failed("cannot limit the capabilities"))?;
    let groups: Vec<Gid> = user.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    rustix::thread::set_thread_groups(&groups).map_err(failed("cannot set the groups"))?;
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(failed("cannot change the group"))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(failed("cannot change the user"))?;
    if changing != allowed && user.uid == 0 {
        set(allowed).map_err(failed("cannot limit the capabilities"))?;
    }
    Ok(())
}

fn set(capabilities: CapabilitySet) -> rustix::io::Result<()> {
    let sets = CapabilitySets {
        effective: capabilities,
        permitted: capabilities,
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, sets)
}
