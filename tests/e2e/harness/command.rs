//! A command of `a3s-box`, run to its end or left running, never longer than the deadline.

use super::{PATIENCE, given};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A command in the making.
pub struct A3s {
    command: Command,
    stdin: Vec<u8>,
}

/// What a command came to.
#[derive(Debug)]
pub struct Out {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Out {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Fails unless the command succeeded; its standard output, without the line's end.
    #[track_caller]
    pub fn ok(&self) -> String {
        assert_eq!(self.code, 0, "{}\n{}", self.text(), self.stderr);
        self.text().trim_end_matches('\n').to_owned()
    }

    /// Fails unless this is our own refusal: exit code 125 and an error that says each of `words`.
    #[track_caller]
    pub fn refused(&self, words: &[&str]) {
        assert_eq!(self.code, 125, "{}\n{}", self.text(), self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in: {}", self.stderr);
        }
        assert!(self.stderr.lines().any(|l| l.starts_with("error: ")), "no error line: {}", self.stderr);
    }
}

impl A3s {
    pub fn new(home: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(given("A3S_TEST_PROGRAMS").join("a3s-box"));
        command.args(args).env("A3S_HOME", home);
        // What else decides of colours: a test says it itself.
        for name in ["CI", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        // Asked for by name, a software box needs no note that it is one.
        if std::env::var_os("A3S_BOX_ACCEL").is_none() {
            command.env("A3S_BOX_ACCEL", "tcg");
        }
        Self { command, stdin: Vec::new() }
    }

    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Runs the command by way of `wrapper`, which takes a program and its arguments last, as env(1) does.
    pub fn through(mut self, mut wrapper: Command) -> Self {
        wrapper.arg(self.command.get_program()).args(self.command.get_args());
        same_environment(&self.command, &mut wrapper);
        self.command = wrapper;
        self
    }

    /// Runs the command in `dir`.
    pub fn within(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// What the command reads.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Runs the command to its end.
    #[track_caller]
    pub fn run(self) -> Out {
        let stdin = self.stdin.clone();
        let mut running = self.spawn();
        let mut to = running.stdin();
        // The command may end without having read it all.
        let feeding = std::thread::spawn(move || drop(to.write_all(&stdin)));
        let out = running.wait();
        feeding.join().unwrap();
        out
    }

    /// Starts the command, with pipes for what it reads and writes.
    pub fn spawn(mut self) -> Running {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            drop(stderr.read_to_end(&mut text));
            String::from_utf8_lossy(&text).into_owned()
        });
        Running { child, stderr: Some(stderr) }
    }

    /// The command itself, for a test that needs it otherwise.
    pub fn into_command(self) -> Command {
        self.command
    }
}

/// Gives `wrapper` what `command` was given of its environment.
pub fn same_environment(command: &Command, wrapper: &mut Command) {
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapper.env(name, value),
            None => wrapper.env_remove(name),
        };
    }
}

/// A command under way. It is killed when the test is done with it.
pub struct Running {
    child: Child,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    pub fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().unwrap()
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Kills the command itself, as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Reads what is still unread to its end, and waits for the command's end.
    #[track_caller]
    pub fn wait(&mut self) -> Out {
        drop(self.child.stdin.take());
        let stdout = self.child.stdout.take();
        let (done, finished) = mpsc::channel();
        let reading = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut stdout) = stdout {
                drop(stdout.read_to_end(&mut bytes));
            }
            let _ = done.send(());
            bytes
        });
        let deadline = Instant::now() + *PATIENCE;
        let in_time = finished.recv_timeout(*PATIENCE).is_ok();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if !in_time || Instant::now() > deadline {
                self.kill();
                let stderr = self.stderr.take().unwrap().join().unwrap();
                panic!("the command did not end within {:?}; it said: {stderr}", *PATIENCE);
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let stderr = self.stderr.take().unwrap().join().unwrap();
        let code = status.code().unwrap_or(-1);
        Out { code, stdout: reading.join().unwrap(), stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
