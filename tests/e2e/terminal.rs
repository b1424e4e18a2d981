//! `run -it` and `exec -it` behave as a terminal does.

use crate::harness::Home;
use crate::harness::pty::Terminal;

#[test]
fn a_shell_in_a_box_is_a_terminal() {
    let home = Home::new();
    let mut terminal =
        Terminal::run(home.a3s(&["run", "-it", "--rm", "-e", "PS1=ready> ", "busybox", "sh"]), 31, 97);
    let before = terminal.settings();
    terminal.expect("ready> ");
    terminal.type_in("stty size; tty; echo $TERM\r");
    terminal.expect("31 97\r\n/dev/pts/0\r\n");
    terminal.expect("xterm\r\n");

    // A resize is told to the foreground job. What is typed at a job that has not begun yet would be the shell's.
    terminal.expect("ready> ");
    terminal.type_in("sh -c 'trap \"stty size; exit\" WINCH; echo ar\"\"med; while :; do sleep 0.1; done'\r");
    terminal.expect("armed\r\n");
    terminal.resize(50, 120);
    terminal.expect("50 120\r\n");

    // Ctrl-C ends the job, not the shell.
    terminal.expect("ready> ");
    terminal.type_in("sh -c 'echo slee\"\"ping; exec sleep 1000'\r");
    terminal.expect("sleeping\r\n");
    terminal.type_in("\x03");
    terminal.expect("ready> ");
    terminal.type_in("echo after $?\r");
    terminal.expect("after 130\r\n");

    // Job control: stop a job, see it, take it back, end it.
    terminal.expect("ready> ");
    let job = "trap \"echo con\\\"\\\"tinued\" CONT; echo work\"\"ing; while :; do sleep 0.1; done";
    terminal.type_in(&format!("sh -c '{job}'\r"));
    terminal.expect("working\r\n");
    terminal.type_in("\x1a");
    terminal.expect("Stopped");
    terminal.expect("ready> ");
    terminal.type_in("jobs\r");
    terminal.expect("Stopped");
    terminal.expect("ready> ");
    terminal.type_in("fg\r");
    terminal.expect("continued\r\n");
    terminal.type_in("\x03");
    terminal.expect("ready> ");

    terminal.type_in("exit 5\r");
    assert_eq!(terminal.wait(), 5);
    let after = terminal.settings();
    assert_eq!(
        (before.local_modes, before.input_modes, before.output_modes),
        (after.local_modes, after.input_modes, after.output_modes)
    );
}

#[test]
fn exec_gives_a_terminal_too() {
    let home = Home::new();
    home.idle("t");
    let mut terminal = Terminal::run(home.a3s(&["exec", "-it", "-e", "PS1=in> ", "t", "sh"]), 20, 60);
    terminal.expect("in> ");
    terminal.type_in("stty size; test -t 0 && test -t 1 && test -t 2 && echo yes\r");
    terminal.expect("20 60\r\nyes\r\n");
    terminal.expect("in> ");
    terminal.type_in("sh -c 'echo g\"\"o; exec cat'\r");
    terminal.expect("go\r\n");
    terminal.type_in("echoed\r");
    terminal.expect("echoed\r\nechoed\r\n");
    terminal.type_in("\x04");
    terminal.expect("in> ");
    terminal.type_in("exit 6\r");
    assert_eq!(terminal.wait(), 6);
}

#[test]
fn a_terminal_is_refused_where_there_is_none() {
    let home = Home::new();
    home.a3s(&["run", "--rm", "-it", "busybox", "true"]).run().refused(&["not a terminal", "-t"]);
    // A terminal in the box alone is fine.
    let out = home.a3s(&["run", "--rm", "-t", "busybox", "sh", "-c", "test -t 1 && echo yes"]).run();
    assert_eq!(out.ok(), "yes\r");
}

#[test]
fn a_terminal_can_be_left_and_the_box_and_its_processes_run_on() {
    let home = Home::new();
    let mut terminal =
        Terminal::run(home.a3s(&["run", "-it", "--name", "d", "-e", "PS1=ready> ", "busybox", "sh"]), 24, 80);
    let before = terminal.settings();
    terminal.expect("ready> ");
    // One of the keys alone is the shell's: it shows its last line.
    terminal.type_in("echo on\"\"ce\r");
    terminal.expect("once");
    terminal.expect("ready> ");
    terminal.type_in("\x10\r");
    terminal.expect("once\r\n");
    terminal.expect("ready> ");
    terminal.type_in("\x10\x11");
    terminal.expect("read escape sequence");
    assert_eq!(terminal.wait(), 0);
    assert_eq!(before.local_modes, terminal.settings().local_modes);
    assert_eq!(home.state("d").as_deref(), Some("running"));

    let mut terminal = Terminal::run(home.a3s(&["shell", "-e", "PS1=shell> ", "d"]), 24, 80);
    terminal.expect("shell> ");
    terminal.type_in("echo go\"\"ing; exec sleep 4321\r");
    terminal.expect("going\r\n");
    terminal.type_in("\x10\x11");
    terminal.expect("read escape sequence");
    assert_eq!(terminal.wait(), 0);
    crate::harness::eventually("a process that runs on", || {
        home.a3s(&["top", "d"]).run().ok().contains("sleep 4321").then_some(())
    });
    let script = home.a3s(&["shell", "d"]).stdin("echo $((40 + 2))\nexit 5\n").run();
    assert_eq!((script.code, script.text().as_str()), (5, "42\n"));

    let mut terminal = Terminal::run(home.a3s(&["attach", "d"]), 24, 80);
    terminal.type_in("exit 4\r");
    assert_eq!(terminal.wait(), 4);
    home.a3s(&["run", "-it", "--detach-keys", "ctrl-ctrl", "busybox", "sh"]).run().refused(&["detach-keys"]);
}

/// All that a command shows on a terminal so many columns wide.
fn shown(home: &Home, cols: u16, args: &[&str], environment: &[(&str, &str)]) -> String {
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "\"$@\"; echo; echo THE END", "sh"]);
    let mut command = home.a3s(args).env("TERM", "xterm-256color");
    for (name, value) in environment {
        command = command.env(name, value);
    }
    let mut terminal = Terminal::run(command.through(shell), 24, cols);
    let text = terminal.expect("THE END");
    terminal.wait();
    text
}

#[test]
fn tables_fit_the_terminal_and_nothing_else_is_cut() {
    let home = Home::new();
    let (image, name) =
        ("registry.example/a/long/name:of-an-image", "a-box-with-a-name-that-goes-on-and-on-and-on");
    home.a3s(&["tag", "busybox", image]).run().ok();
    home.a3s(&["create", "--name", name, image, "sleep", "100000"]).run().ok();
    for args in [&["ps", "-a"][..], &["images"], &["history", "busybox"], &["df"], &["volume", "ls"]] {
        for cols in [20, 50, 80] {
            let table = shown(&home, cols, args, &[]);
            for line in table.lines() {
                assert!(line.chars().count() <= usize::from(cols), "{args:?} at {cols}: {line:?}");
            }
            assert!(!table.contains('\u{1b}'), "{table:?}");
        }
    }
    let table = shown(&home, 80, &["ps", "-a"], &[]);
    assert!(table.contains('…') && table.contains("BOX ID") && !table.contains(name), "{table}");
    assert!(shown(&home, 80, &["ps", "-a", "--no-trunc"], &[]).contains(name));
    assert!(shown(&home, 250, &["ps", "-a"], &[]).contains(name));
    let piped = home.a3s(&["ps", "-a"]).run().ok();
    assert!(piped.contains(name) && piped.contains(image), "{piped}");
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let home = Home::empty();
    for args in [&["--help"][..], &["ps", "--nonsense"], &["run", "--help"]] {
        assert!(shown(&home, 80, args, &[]).contains("\u{1b}["), "{args:?}");
        let plain = [&[("NO_COLOR", "1")][..], &[("TERM", "dumb")]];
        for environment in plain {
            assert!(!shown(&home, 80, args, environment).contains('\u{1b}'), "{args:?} {environment:?}");
        }
        let out = home.a3s(args).env("TERM", "xterm-256color").run();
        assert!(!out.text().contains('\u{1b}') && !out.stderr.contains('\u{1b}'), "{args:?}");
    }
    assert!(!shown(&home, 80, &["ps", "-a", "-x"], &[("NO_COLOR", "1")]).contains('\u{1b}'));
}
