//! What the VMM's process may do on the host while it runs a guest, tried from inside it.
#![cfg(target_arch = "x86_64")]

use crate::harness::puppet::{Came, Puppet};
use crate::harness::{Home, not_here};

#[test]
fn a_vmm_that_was_taken_over_gets_nowhere() {
    if !rustix::process::geteuid().is_root() {
        return not_here("root alone may take hold of a process that has given up being looked into");
    }
    let home = Home::new();
    home.idle("c");
    let secret = home.path().join("boxes.json").display().to_string();
    let mut vmm = Puppet::of(home.pid("c", "vmm").unwrap());
    let (open, socket) = (libc::SYS_openat, libc::SYS_socket);
    let family = |number: i32| u64::try_from(number).unwrap();
    let here = i64::from(libc::AT_FDCWD).cast_unsigned();

    assert!(matches!(vmm.call(libc::SYS_getpid, [0; 3]), Came::Back(1..)), "the calls are made");
    for kind in [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_VSOCK, libc::AF_PACKET] {
        let came = vmm.call(socket, [family(kind), family(libc::SOCK_STREAM), 0]);
        assert!(came.is_denied(), "a socket of family {kind}: {came:?}");
    }
    let attach = [u64::from(libc::PTRACE_ATTACH), u64::from(std::process::id()), 0];
    let came = vmm.call(libc::SYS_ptrace, attach);
    assert!(came.is_denied(), "ptrace: {came:?}");
    for file in [&secret, "/etc/shadow", "/etc/passwd", "/proc/1/environ"] {
        let path = vmm.text(file);
        let came = vmm.call(open, [here, path, family(libc::O_RDONLY)]);
        assert!(came.is_denied(), "{file}: {came:?}");
    }
    let path = vmm.text("/tmp/made-by-a-vmm");
    let came = vmm.call(open, [here, path, family(libc::O_WRONLY | libc::O_CREAT)]);
    assert!(came.is_denied(), "a new file: {came:?}");
    let path = vmm.text("/bin/true");
    let came = vmm.call(libc::SYS_execve, [path, 0, 0]);
    assert!(came.is_denied(), "execve: {came:?}");
    home.a3s(&["rm", "-f", "c"]).run().ok();
}
