//! The attacker's unsafe code.
#![allow(unsafe_code, reason = "nothing safe would do this")]

use std::fs::File;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileTypeExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// From linux/fs.h.
const BLKROSET: libc::Ioctl = 0x125d;
const BLKDISCARD: libc::Ioctl = 0x1277;

static FAULTS: AtomicU32 = AtomicU32::new(0);

/// Writes to every I/O port of the machine, after asking for leave. How many the processor refused.
#[cfg(target_arch = "x86_64")]
pub(crate) fn write_all_ports() -> u32 {
    extern "C" fn skip(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
        FAULTS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the kernel passes the context of the instruction that faulted, which is one byte long.
        unsafe { (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RIP as usize] += 1 };
    }
    // SAFETY: all zero is a valid sigaction, and the handler touches what it is given. `out` touches no memory; that
    // the machine may end is what is tried.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = skip as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut());
        println!("attacker: iopl: {}", libc::iopl(3));
        for port in 0..=u16::MAX {
            std::arch::asm!("out dx, al", in("dx") port, in("al") 0x55_u8, options(nomem, nostack));
        }
    }
    FAULTS.load(Ordering::Relaxed)
}

/// There are none to write to.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn write_all_ports() -> u32 {
    FAULTS.load(Ordering::Relaxed)
}

/// Takes the write protection from a disk, as far as the guest's kernel is concerned.
pub(crate) fn make_writable(path: &str) -> io::Result<()> {
    let disk = File::open(path)?;
    let no: libc::c_int = 0;
    // SAFETY: the request reads an int.
    checked(unsafe { libc::ioctl(disk.as_raw_fd(), BLKROSET, &raw const no) }).map(drop)
}

/// Discards all of a disk.
pub(crate) fn discard(disk: &File) -> io::Result<()> {
    let range = [0_u64, 1 << 20];
    // SAFETY: the request reads two 64-bit numbers.
    checked(unsafe { libc::ioctl(disk.as_raw_fd(), BLKDISCARD, range.as_ptr()) }).map(drop)
}

/// Connects to the host's vsock ports, `count` times and to the agent's above all, many at once. How often that came
/// about.
pub(crate) fn connect_to_host(count: u32) -> usize {
    let (ports, mut connected) = ((0..count).collect::<Vec<_>>(), 0);
    for batch in ports.chunks(250) {
        let mut sockets = Vec::new();
        for attempt in batch {
            let port = if attempt % 2 == 0 { 4089 } else { *attempt };
            for peer in [libc::VMADDR_CID_HOST, libc::VMADDR_CID_LOCAL, 3] {
                let Ok(socket) = vsock(libc::SOCK_NONBLOCK) else { continue };
                let address = address(peer, port);
                // SAFETY: the address is one, and its size is passed with it.
                unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), size(&address)) };
                sockets.push(socket);
            }
        }
        if !sockets.is_empty() {
            std::thread::sleep(Duration::from_millis(50));
        }
        connected += sockets.iter().filter(|socket| is_connected(socket)).count();
    }
    connected
}

/// Whether the socket has a peer.
fn is_connected(socket: &File) -> bool {
    // SAFETY: all zero is a valid sockaddr_vm, and its size is passed with it.
    unsafe {
        let mut peer: libc::sockaddr_vm = zeroed();
        let mut length = size(&peer);
        libc::getpeername(socket.as_raw_fd(), (&raw mut peer).cast(), &raw mut length) == 0
    }
}

/// Listens where the host looks for the guest init.
pub(crate) fn vsock_listen(port: u32) -> io::Result<File> {
    let socket = vsock(0)?;
    let address = address(libc::VMADDR_CID_ANY, port);
    // SAFETY: the address is one, and its size is passed with it.
    unsafe {
        checked(libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size(&address)))?;
        checked(libc::listen(socket.as_raw_fd(), 128))?;
    }
    Ok(socket)
}

/// The next connection.
pub(crate) fn accept(listener: &File) -> io::Result<File> {
    // SAFETY: the peer's address is not asked for; the descriptor is new and nobody else's.
    unsafe {
        checked(libc::accept(listener.as_raw_fd(), std::ptr::null_mut(), std::ptr::null_mut()))
            .map(|fd| File::from_raw_fd(fd))
    }
}

/// Whether this is a port and no socket.
pub(crate) fn is_character_device(file: &File) -> bool {
    file.metadata().is_ok_and(|meta| meta.file_type().is_char_device())
}

fn vsock(flags: libc::c_int) -> io::Result<File> {
    // SAFETY: socket(2) has no conditions; the descriptor is new and nobody else's.
    unsafe {
        checked(libc::socket(libc::AF_VSOCK, libc::SOCK_STREAM | flags, 0)).map(|fd| File::from_raw_fd(fd))
    }
}

fn address(peer: u32, port: u32) -> libc::sockaddr_vm {
    // SAFETY: all zero is a valid sockaddr_vm.
    let mut address: libc::sockaddr_vm = unsafe { zeroed() };
    address.svm_family = 40; // AF_VSOCK, which does not fit libc's int
    address.svm_cid = peer;
    address.svm_port = port;
    address
}

fn size<T>(_: &T) -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0)
}

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
