//! Finding a program and becoming it, and saying precisely why that is not possible.

use super::env;
use super::failure::Failure;
use crate::sys;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{Error, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The kernel's limit for one argument or variable, with its final NUL (`MAX_ARG_STRLEN`).
const MAX_STRING: usize = 32 * 4096;

/// Replaces this process by the program that `args` names; what is returned is why that failed.
pub(crate) fn execute(args: &[CString], env: &[CString]) -> Failure {
    let Some(name) = args.first() else { return Failure::setup("no program to run") };
    if name.as_bytes().contains(&b'/') {
        return why(name, name, &sys::execve(name, args, env), args, env);
    }
    if name.is_empty() {
        return Failure::not_found("exec \"\": the program's name is empty");
    }
    let mut found: Option<(CString, Error)> = None;
    let path = env::get(env, "PATH").unwrap_or_default();
    for folder in path.split(|b| *b == b':') {
        let Some(candidate) = join(folder, name) else { continue };
        let error = sys::execve(&candidate, args, env);
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) if !exists(&candidate) => {}
            // A folder is no program; what exec says of it would hide the real one's absence.
            Some(libc::EACCES) if is_folder(&candidate) => {}
            // As execvp(3): a later folder may have one that may be executed.
            Some(libc::EACCES) => found = found.or(Some((candidate, error))),
            _ => return why(name, &candidate, &error, args, env),
        }
    }
    match found {
        Some((candidate, error)) => why(name, &candidate, &error, args, env),
        None => {
            Failure::not_found(format!("exec {name:?}: not found in PATH={}", String::from_utf8_lossy(path)))
        }
    }
}

fn join(folder: &[u8], name: &CStr) -> Option<CString> {
    let folder = if folder.is_empty() { b"." } else { folder };
    CString::new([folder, b"/", name.to_bytes()].concat()).ok()
}

fn exists(path: &CStr) -> bool {
    Path::new(OsStr::from_bytes(path.to_bytes())).symlink_metadata().is_ok()
}

fn is_folder(path: &CStr) -> bool {
    Path::new(OsStr::from_bytes(path.to_bytes())).is_dir()
}

fn why(name: &CStr, path: &CStr, error: &Error, args: &[CString], env: &[CString]) -> Failure {
    let file = Path::new(OsStr::from_bytes(path.to_bytes()));
    let what =
        if name == path { format!("exec {name:?}") } else { format!("exec {name:?} ({})", file.display()) };
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => match needs(file) {
            Some(needed) => {
                Failure::not_found(format!("{what}: it needs {needed:?}, which is not in the box"))
            }
            None if file.symlink_metadata().is_ok_and(|m| m.is_symlink()) && !file.exists() => {
                Failure::not_found(format!("{what}: it is a link to something that is not in the box"))
            }
            None => Failure::not_found(format!("{what}: no such file")),
        },
        Some(libc::EACCES) if file.is_dir() => Failure::not_executable(format!("{what}: it is a directory")),
        Some(libc::EACCES) => Failure::not_executable(format!("{what}: permission denied")),
        Some(libc::ENOEXEC) => Failure::not_executable(format!(
            "{what}: neither a program for {} nor a script that begins with #!",
            std::env::consts::ARCH
        )),
        Some(libc::E2BIG) => Failure::setup(format!("{what}: {}", too_long(args, env))),
        _ => Failure::not_executable(format!("{what}: {error}")),
    }
}

/// Which string is too long for the kernel, or that all of them are together.
fn too_long(args: &[CString], env: &[CString]) -> String {
    let too = |strings: &[CString]| strings.iter().position(|s| s.as_bytes_with_nul().len() > MAX_STRING);
    let most = MAX_STRING - 1;
    if let Some(n) = too(args) {
        return format!(
            "argument {n} is {} bytes long, and Linux takes at most {most}",
            args[n].as_bytes().len()
        );
    }
    if let Some(n) = too(env) {
        let pair = env[n].as_bytes();
        let name = String::from_utf8_lossy(pair.split(|b| *b == b'=').next().unwrap_or_default());
        return format!("variable {name} is {} bytes long, and Linux takes at most {most}", pair.len());
    }
    let total: usize = args.iter().chain(env).map(|s| s.as_bytes_with_nul().len() + size_of::<usize>()).sum();
    format!(
        "arguments and environment take {total} bytes together, more than Linux allows (a quarter of the stack's limit)"
    )
}

/// The interpreter of a script, or the loader of an ELF program, where that is missing.
fn needs(program: &Path) -> Option<String> {
    let mut file = File::open(program).ok().filter(|f| f.metadata().is_ok_and(|m| m.is_file()))?;
    let mut head = Vec::new();
    (&mut file).take(256).read_to_end(&mut head).ok()?;
    let needed = if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|b| *b == b'\n').next()?.trim_ascii_start();
        line.split(|b| b.is_ascii_whitespace()).next()?.to_vec()
    } else {
        loader(&mut file, &head)?
    };
    let missing = !needed.is_empty() && !Path::new(OsStr::from_bytes(&needed)).exists();
    missing.then(|| String::from_utf8_lossy(&needed).into_owned())
}

/// The path in the `PT_INTERP` of a little-endian 64-bit ELF file (elf(5)).
fn loader(file: &mut File, head: &[u8]) -> Option<Vec<u8>> {
    const HEADER: usize = 56;
    const PT_INTERP: u64 = 3;
    const MAX_PATH: u64 = 4096;
    let number = |bytes: &[u8], at: usize, len: usize| -> Option<u64> {
        let mut le = [0; 8];
        le[..len].copy_from_slice(bytes.get(at..at + len)?);
        Some(u64::from_le_bytes(le))
    };
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (offset, count) = (number(head, 32, 8)?, number(head, 56, 2)?);
    file.seek(SeekFrom::Start(offset)).ok()?;
    let mut headers = Vec::new();
    (&mut *file).take(count.min(256) * HEADER as u64).read_to_end(&mut headers).ok()?;
    let interp = headers.chunks_exact(HEADER).find(|h| number(h, 0, 4) == Some(PT_INTERP))?;
    file.seek(SeekFrom::Start(number(interp, 8, 8)?)).ok()?;
    let mut path = Vec::new();
    (&mut *file).take(number(interp, 32, 8)?.min(MAX_PATH)).read_to_end(&mut path).ok()?;
    path.split(|b| *b == 0).next().map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn failed(args: &[&str], env: &[&str]) -> String {
        let c = |strings: &[&str]| strings.iter().map(|s| CString::new(*s).unwrap()).collect::<Vec<_>>();
        execute(&c(args), &c(env)).message().to_owned()
    }

    fn program(dir: &Path, name: &str, content: &[u8], mode: u32) -> String {
        let path = dir.join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let script = program(dir, "script", b"#! /no/such/shell -x\n", 0o755);
        assert_eq!(
            failed(&[&script], &[]),
            format!("exec {script:?}: it needs \"/no/such/shell\", which is not in the box")
        );
        let path = format!("PATH=/nonexistent:{}", dir.display());
        assert_eq!(
            failed(&["script"], &[&path]),
            format!("exec \"script\" ({script}): it needs \"/no/such/shell\", which is not in the box")
        );
        assert_eq!(failed(&["absent"], &[&path]), format!("exec \"absent\": not found in {path}"));
        assert_eq!(failed(&["/no/such"], &[]), "exec \"/no/such\": no such file");
        assert_eq!(failed(&["/tmp"], &[]), "exec \"/tmp\": it is a directory");
        let text = program(dir, "text", b"hello\n", 0o755);
        assert!(failed(&[&text], &[]).ends_with("nor a script that begins with #!"));
        let data = program(dir, "data", b"hello\n", 0o644);
        assert_eq!(failed(&[&data], &[]), format!("exec {data:?}: permission denied"));
        std::os::unix::fs::symlink("/no/such", dir.join("link")).unwrap();
        assert!(failed(&["link"], &[&path]).ends_with("it is a link to something that is not in the box"));
    }

    #[test]
    fn a_missing_elf_loader_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut elf = std::fs::read("/proc/self/exe").unwrap();
        let Some(at) = elf.windows(4).position(|w| w == b"/lib") else { return };
        elf[at..at + 4].copy_from_slice(b"/nil");
        let path = program(dir.path(), "elf", &elf, 0o755);
        assert!(failed(&[&path], &[]).contains("it needs \"/nil"), "{}", failed(&[&path], &[]));
    }

    #[test]
    fn what_is_too_long_is_named() {
        let long = "x".repeat(1 << 20);
        assert_eq!(
            failed(&["/bin/true", &long], &[]),
            "exec \"/bin/true\": argument 1 is 1048576 bytes long, and Linux takes at most 131071"
        );
        let variable = format!("BIG={long}");
        assert!(failed(&["/bin/true"], &[&variable]).contains("variable BIG is 1048580 bytes"));
        let many = vec!["y".repeat(100_000); 80];
        let many: Vec<&str> = std::iter::once("/bin/true").chain(many.iter().map(String::as_str)).collect();
        assert!(failed(&many, &[]).contains("together, more than Linux allows"));
    }
}
