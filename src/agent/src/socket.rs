//! UNIX sockets at paths of any length.
//!
//! unix(7) allows a socket's path 107 bytes, and a state directory may lie deeper than that. On Linux the
//! folder is opened and the socket is named through `/proc/self/fd`, which is always short.

use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// Connects to the socket at `path`.
///
/// # Errors
/// Those of open(2) on its folder and of connect(2).
pub async fn connect(path: &Path) -> io::Result<UnixStream> {
    let short = Short::of(path)?;
    UnixStream::connect(&short.path).await
}

/// Listens at `path`, in place of whatever socket was left there.
///
/// # Errors
/// Those of open(2) on its folder, of unlink(2) and of bind(2).
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let short = Short::of(path)?;
    UnixListener::bind(&short.path)
}

/// A short name for a long path, valid while it lives.
struct Short {
    path: PathBuf,
    _folder: Option<rustix::fd::OwnedFd>,
}

impl Short {
    /// What `sockaddr_un.sun_path` holds, less its final NUL.
    const MAX: usize = 107;

    fn of(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= Self::MAX || !cfg!(target_os = "linux") {
            return Ok(Self { path: path.to_owned(), _folder: None });
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
        let fd = rustix::fs::open(folder, flags, rustix::fs::Mode::empty())?;
        let number = std::os::fd::AsRawFd::as_raw_fd(&fd);
        Ok(Self { path: Path::new("/proc/self/fd").join(number.to_string()).join(name), _folder: Some(fd) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_in_a_deep_folder_can_be_reached() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("x".repeat(100)).join("y".repeat(100));
        std::fs::create_dir_all(&deep).unwrap();
        let path = deep.join("shim.sock");
        let first = listen(&path).unwrap();
        drop(first);
        let _second = listen(&path).unwrap();
        connect(&path).await.unwrap();
    }
}
