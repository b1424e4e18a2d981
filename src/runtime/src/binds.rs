//! Bind mounts: what the host has to have when a box is created, and when it is started.

use crate::home::Home;
use crate::sys;
use a3s_box_core::{BindMount, BindPoint, BoxError, ErrorKind, Result};
use std::fs;
use std::io;
use std::path::PathBuf;

/// Makes what is to be made, and refuses what cannot be mounted.
///
/// # Errors
/// `Unsupported` where the host serves no files, `NotFound` for a path with nothing at it, `InvalidInput` for what is no
/// folder and no file, or is the state directory's.
pub(crate) fn prepare(home: &Home, binds: &[BindMount]) -> Result<()> {
    supported(binds)?;
    for bind in binds {
        if bind.create
            && fs::symlink_metadata(&bind.source).is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
        {
            // Not before it is known to be allowed: nothing is made in the state directory.
            outside(home, bind)?;
            fs::create_dir_all(&bind.source)
                .map_err(|e| BoxError::io(format!("cannot make the folder {}", bind.source.display()), e))?;
        }
        point(home, bind)?;
    }
    Ok(())
}

/// What the shim and the guest init are told of the bind mounts of a box that is about to be started.
///
/// # Errors
/// As [`prepare`].
pub(crate) fn attach(home: &Home, binds: &[BindMount]) -> Result<(Vec<PathBuf>, Vec<BindPoint>)> {
    supported(binds)?;
    let points = binds.iter().map(|bind| point(home, bind)).collect::<Result<_>>()?;
    Ok((binds.iter().map(|bind| bind.source.clone()).collect(), points))
}

/// Refuses what this system's shim cannot serve.
fn supported(binds: &[BindMount]) -> Result<()> {
    if binds.is_empty() || sys::SERVES_FILES {
        return Ok(());
    }
    let text = "bind mounts need a Linux host: the file server works with calls that are Linux's alone";
    Err(BoxError::new(ErrorKind::Unsupported, text)
        .with_hint("copy files with `a3s-box cp`, or use a volume"))
}

fn point(home: &Home, bind: &BindMount) -> Result<BindPoint> {
    let source = bind.source.display();
    let data = fs::metadata(&bind.source).map_err(|e| {
        let gone = e.kind() == io::ErrorKind::NotFound;
        let error = BoxError::io(format!("cannot mount {source} at {}", bind.target), e);
        if gone {
            error.with_hint(format!("there is nothing at {source}: make it, or mount something else"))
        } else {
            error
        }
    })?;
    if !data.is_dir() && !data.is_file() {
        return Err(BoxError::new(
            ErrorKind::InvalidInput,
            format!("cannot mount {source}: it is neither a folder nor a regular file"),
        )
        .with_hint("devices, pipes and sockets of the host stay outside a box"));
    }
    outside(home, bind)?;
    Ok(BindPoint { target: bind.target.clone(), read_only: bind.read_only, file: data.is_file() })
}

/// Refuses what is in the state directory: whoever can write there has the host.
fn outside(home: &Home, bind: &BindMount) -> Result<()> {
    let state = fs::canonicalize(home.path())
        .map_err(|e| BoxError::io(format!("cannot find {}", home.path().display()), e))?;
    // Of what is not there yet, the nearest folder that is.
    let there = bind.source.ancestors().find_map(|path| fs::canonicalize(path).ok());
    let inside = there.is_some_and(|path| path.starts_with(&state));
    let kernels = ["/proc", "/sys", "/dev"];
    let kernels =
        kernels.iter().any(|path| fs::canonicalize(&bind.source).is_ok_and(|s| s.starts_with(path)));
    let refuse = |why: &str, hint: &str| {
        let text = format!("cannot mount {}: {why}", bind.source.display());
        Err(BoxError::new(ErrorKind::InvalidInput, text).with_hint(hint.to_owned()))
    };
    if inside {
        return refuse("it is in the state directory of a3s-box", "mount a folder outside of it");
    }
    if kernels {
        return refuse("it is the host kernel's", "a box has its own /proc, /sys and /dev");
    }
    Ok(())
}
