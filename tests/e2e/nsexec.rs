//! `nsexec`: code that runs in a box, and is kept from the rest of it.

use crate::harness::Home;

#[test]
fn code_under_nsexec_sees_itself_alone() {
    let home = Home::new();
    home.start("n", &["-u", "app"], "echo mine > /tmp/mine; sleep 54321");
    let processes = home.exec("n", "nsexec sh -c 'ps | grep -v grep | grep -c sleep'; true");
    assert_eq!(processes, "0", "the agent's process is seen");
    assert_eq!(home.exec("n", "nsexec id -u"), "1000");
    assert_eq!(home.exec("n", "nsexec ls /sys/class/net"), "lo");
    assert_eq!(
        home.exec(
            "n",
            "nsexec sh -c 'grep -E \"CapEff|CapBnd|NoNewPrivs\" /proc/self/status | cut -f2 | xargs'"
        ),
        "0000000000000000 0000000000000000 1"
    );
    // Its /tmp is its own, and everything else is read-only.
    assert_eq!(
        home.exec("n", "nsexec sh -c 'ls /tmp; touch /home/app/x 2>/dev/null || echo read-only'"),
        "read-only"
    );
    assert_eq!(home.exec("n", "cat /tmp/mine"), "mine");
    let root = home
        .a3s(&[
            "exec",
            "-u",
            "0",
            "n",
            "nsexec",
            "sh",
            "-c",
            "touch /x 2>/dev/null || echo read-only; hostname other 2>/dev/null || echo refused",
        ])
        .run();
    assert_eq!(root.ok(), "read-only\nrefused");
}

#[test]
fn nsexec_passes_streams_and_exit_codes_on() {
    let home = Home::new();
    home.idle("n");
    let out = home
        .a3s(&["exec", "-i", "n", "nsexec", "sh", "-c", "cat; echo err >&2; exit 11"])
        .stdin("through")
        .run();
    assert_eq!((out.code, out.text().as_str(), out.stderr.as_str()), (11, "through", "err\n"));
    assert_eq!(home.a3s(&["exec", "n", "nsexec", "no-such-program"]).run().code, 127);
    assert_eq!(home.a3s(&["exec", "n", "nsexec", "/etc/passwd"]).run().code, 126);
    assert_eq!(home.a3s(&["exec", "n", "nsexec"]).run().code, 125);
    assert_eq!(home.a3s(&["exec", "n", "nsexec", "sh", "-c", "sh -c 'kill -9 $$'; exit $?"]).run().code, 137);
}

#[test]
fn a_folder_can_be_given_to_the_code() {
    let home = Home::new();
    home.idle("n");
    home.exec("n", "mkdir /work; chown app /work");
    let script = "cd /work; nsexec --write /work -- sh -c 'echo result > out; touch /tmp/../no 2>/dev/null || echo refused'; cat out";
    assert_eq!(home.a3s(&["exec", "-u", "app", "n", "sh", "-c", script]).run().ok(), "refused\nresult");
}
