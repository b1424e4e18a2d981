//! The command: says what it wants, lends its standard streams, passes signals on, and ends as the command did.

use super::request::{MAX, Request, string};
use super::{SOCKET, answer};
use crate::process::stdio;
use crate::{rights, sys};
use a3s_box_core::TtySize;
use rustix::event::{PollFd, PollFlags};
use rustix::termios::{OptionalActions, Termios};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str =
    "usage: nsexec [--user USER] [--workdir DIR] [--net] [--write PATH]... [--] COMMAND [ARG]...

Runs COMMAND apart from everything else in this box: with processes, mounts, IPC and a network of its own,
without capabilities, on a root that it can only read. Its /tmp is its own and empty.

  -u, --user USER    run as USER instead of you (root only)
  -w, --workdir DIR  run in DIR instead of here
      --net          share the box's network instead of having only a loopback
      --write PATH   let COMMAND write to PATH
";

/// Our own failures.
const OURS: u8 = 125;
/// What is passed on to the command.
const SIGNALS: [i32; 7] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2, libc::SIGTERM, libc::SIGWINCH];

/// Runs `nsexec`.
pub(crate) fn main() -> ExitCode {
    let args = std::env::args_os().skip(1).collect();
    let outcome = match options(args) {
        Ok(Some(request)) => run(request),
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(message) => Err((OURS, format!("{message}\n{USAGE}"))),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err((code, message)) => {
            eprintln!("nsexec: {}", message.trim_end());
            ExitCode::from(code)
        }
    }
}

/// What the command line asks for; none where it is help.
fn options(args: Vec<OsString>) -> Result<Option<Request>, String> {
    let here = std::env::current_dir().map_err(|e| format!("cannot tell where this is: {e}"))?;
    let mut request = Request {
        args: Vec::new(),
        env: Vec::new(),
        cwd: text(here.clone().into())?,
        cwd_chosen: false,
        user: None,
        net: false,
        terminal: None,
        writable: Vec::new(),
    };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        if !arg.as_bytes().starts_with(b"-") || arg == "--" {
            let first = if arg == "--" { args.next() } else { Some(arg) };
            request.args = first.into_iter().chain(args).map(string).collect();
            break;
        }
        let arg = text(arg)?;
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.into())),
            _ => (arg.as_str(), None),
        };
        let mut value = || value.clone().or_else(|| args.next()).ok_or(format!("{name} needs a value"));
        match name {
            "-h" | "--help" => return Ok(None),
            "-u" | "--user" => request.user = Some(text(value()?)?),
            "-w" | "--workdir" => {
                request.cwd = absolute(&here, &value()?)?;
                request.cwd_chosen = true;
            }
            "--net" => request.net = true,
            "--write" => request.writable.push(real(&here, &value()?)?),
            _ => return Err(format!("unknown option {arg}")),
        }
    }
    if request.args.is_empty() {
        return Err("no command to run".to_owned());
    }
    // Another user has another home.
    let env = std::env::vars_os().filter(|(name, _)| request.user.is_none() || name != "HOME");
    request.env = env.map(|(name, value)| string([name, value].join(OsStr::new("=")))).collect();
    Ok(Some(request))
}

fn text(text: OsString) -> Result<String, String> {
    text.into_string().map_err(|text| format!("{} is not UTF-8", text.display()))
}

fn absolute(here: &Path, path: &OsStr) -> Result<String, String> {
    text(here.join(path).components().collect::<PathBuf>().into())
}

/// The path without links, which the command's view may not have.
fn real(here: &Path, path: &OsStr) -> Result<String, String> {
    let real = here.join(path).canonicalize();
    text(real.map_err(|e| format!("cannot keep {} writable: {e}", path.display()))?.into())
}

/// Why there is no exit code of the command's: our own, and the reason.
type Failure = (u8, String);

fn failed(what: &'static str) -> impl Fn(io::Error) -> Failure {
    move |e| (OURS, format!("{what}: {e}"))
}

fn run(mut request: Request) -> Result<u8, Failure> {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    if rustix::termios::isatty(&stdin) && rustix::termios::isatty(&stdout) {
        request.terminal = Some(size());
    }
    let message = request.encode();
    if message.len() > MAX {
        return Err((OURS, "arguments and environment are too long".to_owned()));
    }
    let signals = sys::signal_fd(SIGNALS).map_err(failed("cannot wait for signals"))?;
    let connection = SocketAddr::from_abstract_name(SOCKET)
        .and_then(|address| UnixStream::connect_addr(&address))
        .map_err(|e| {
            (
                OURS,
                format!(
                    "cannot reach the guest init ({e}): nsexec works in a box, and not from inside nsexec"
                ),
            )
        })?;
    send(&connection, &message).map_err(failed("cannot ask the guest init"))?;
    let mut call = Call { connection, signals, terminal: None };
    let outcome = call.attend();
    call.restore();
    outcome
}

/// Sends the length with the standard streams, then the rest.
fn send(connection: &UnixStream, message: &[u8]) -> io::Result<()> {
    let (length, body) = message.split_at(4);
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let fds = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    rights::send(connection, length, &fds)?;
    let mut connection = connection;
    connection.write_all(body)
}

fn size() -> TtySize {
    rustix::termios::tcgetwinsize(io::stdout())
        .map_or_else(|_| TtySize::default(), |size| TtySize { rows: size.ws_row, cols: size.ws_col })
}

/// A command that runs.
struct Call {
    connection: UnixStream,
    signals: OwnedFd,
    /// The command's terminal, and how ours was before.
    terminal: Option<(OwnedFd, Termios)>,
}

impl Call {
    /// Until the command has ended; its exit code.
    fn attend(&mut self) -> Result<u8, Failure> {
        let mut stdin_open = true;
        loop {
            let stdin = io::stdin();
            let mut fds =
                vec![PollFd::new(&self.connection, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
            if let Some((terminal, _)) = &self.terminal {
                fds.push(PollFd::new(terminal, PollFlags::IN));
                if stdin_open {
                    fds.push(PollFd::new(&stdin, PollFlags::IN));
                }
            }
            rustix::event::poll(&mut fds, None).map_err(|e| failed("cannot wait")(e.into()))?;
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(fds);
            if ready.get(2) == Some(&true) {
                self.show();
            }
            if ready.get(3) == Some(&true) {
                stdin_open = self.type_in();
            }
            if ready[1] {
                self.pass_signals();
            }
            if ready[0]
                && let Some(outcome) = self.hear()
            {
                while self.show() {}
                return outcome;
            }
        }
    }

    /// What init says; an outcome, where it is one.
    fn hear(&mut self) -> Option<Result<u8, Failure>> {
        let mut what = [0];
        let lost = || Some(Err((OURS, "the guest init went away".to_owned())));
        let Ok((1, fds)) = rights::receive(&self.connection, &mut what) else { return lost() };
        match what[0] {
            answer::TERMINAL => {
                fds.into_iter().for_each(|terminal| self.open(terminal));
                None
            }
            answer::ENDED => {
                let mut code = [0; 4];
                if self.connection.read_exact(&mut code).is_err() {
                    return lost();
                }
                Some(Ok(u8::try_from(i32::from_le_bytes(code) & 0xff).unwrap_or(OURS)))
            }
            _ => {
                let mut rest = Vec::new();
                drop((&self.connection).take(65536).read_to_end(&mut rest));
                let (code, message) = rest.split_first().unwrap_or((&OURS, b"the guest init refused"));
                Some(Err((*code, String::from_utf8_lossy(message).into_owned())))
            }
        }
    }

    /// From here on what is typed belongs to the command's terminal, every key of it.
    fn open(&mut self, terminal: OwnedFd) {
        let Ok(before) = rustix::termios::tcgetattr(io::stdin()) else { return };
        let mut raw = before.clone();
        raw.make_raw();
        let _ = rustix::termios::tcsetattr(io::stdin(), OptionalActions::Drain, &raw);
        let _ = rustix::fs::fcntl_setfl(&terminal, rustix::fs::OFlags::NONBLOCK);
        self.terminal = Some((terminal, before));
    }

    fn restore(&mut self) {
        if let Some((_, before)) = self.terminal.take() {
            let _ = rustix::termios::tcsetattr(io::stdin(), OptionalActions::Drain, &before);
        }
    }

    /// Shows what the command wrote to its terminal; whether there was anything.
    fn show(&self) -> bool {
        let Some((terminal, _)) = &self.terminal else { return false };
        let mut bytes = [0; 4096];
        match rustix::io::read(terminal, &mut bytes) {
            Ok(n @ 1..) => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(&bytes[..n]).and_then(|()| stdout.flush()).is_ok()
            }
            _ => false,
        }
    }

    /// Passes on what is typed; whether there may be more.
    fn type_in(&self) -> bool {
        let Some((terminal, _)) = &self.terminal else { return false };
        let mut bytes = [0; 1024];
        let Ok(n @ 1..) = rustix::io::read(io::stdin(), &mut bytes) else { return false };
        // A command that does not read loses what is typed beyond what its terminal holds, as on any terminal.
        let _ = rustix::io::write(terminal, &bytes[..n]);
        true
    }

    fn pass_signals(&self) {
        // struct signalfd_siginfo, which begins with the number, is 128 bytes long (signalfd(2)).
        let mut info = [0; 128];
        let Ok(128) = rustix::io::read(&self.signals, &mut info) else { return };
        let number = i32::from(info[0]);
        match (&self.terminal, number) {
            (Some((terminal, _)), libc::SIGWINCH) => drop(stdio::resize(terminal.as_fd(), size())),
            _ => drop((&self.connection).write_all(&[info[0]])),
        }
    }
}
