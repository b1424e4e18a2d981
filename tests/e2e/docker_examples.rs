//! Examples as Docker's reference has them, in a shell where `docker` is `a3s-box`, where `docs/cli.md` says that both are
//! the same. The images that they name are others here by the same names.

use crate::harness::{Home, Out};
use std::process::Command;
use tempfile::TempDir;

/// A shell with a folder to work in.
struct Shell {
    home: Home,
    dir: TempDir,
}

impl Shell {
    fn new() -> Self {
        let home = Home::new();
        home.load("A3S_TEST_DEBIAN", "debian");
        for (image, name) in [("debian", "ubuntu"), ("busybox", "alpine"), ("busybox", "nginx:alpine")] {
            home.a3s(&["tag", image, name]).run().ok();
        }
        Self { home, dir: tempfile::tempdir().unwrap() }
    }

    fn run(&self, line: &str) -> Out {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("box=$0; docker() {{ \"$box\" \"$@\"; }}; {line}"));
        self.home.a3s(&[]).through(shell).within(self.dir.path()).run()
    }

    /// Runs each line, which is to print what stands beside it.
    #[track_caller]
    fn replay(&self, examples: &[(&str, &str)]) {
        for (line, expected) in examples {
            let out = self.run(line);
            assert_eq!(out.text().trim_end(), *expected, "{line}\n{}", out.stderr);
        }
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }
}

#[test]
fn run() {
    let shell = Shell::new();
    shell.file("env.list", "# This is a comment\nVAR1=value1\nVAR2=value2\nUSER\n");
    shell.file("labels", "com.example.label1=a label\n# this is a comment\ncom.example.label3\n");
    let here = shell.dir.path().display().to_string();
    shell.replay(&[
        ("docker run --foo busybox 2> error; echo $?", "125"),
        ("docker run busybox /etc 2> error; echo $?", "126"),
        ("docker run busybox foo 2> error; echo $?", "127"),
        ("docker run busybox /bin/sh -c 'exit 3'; echo $?", "3"),
        ("echo 'exit 13' | docker run --name test -i --rm debian bash; echo $?", "13"),
        ("docker run --rm ubuntu mount -t tmpfs none /mnt 2> error && echo mounted", ""),
        ("docker run -w /path/to/dir/ -i ubuntu pwd", "/path/to/dir"),
        ("docker run -v `pwd`:`pwd` -w `pwd` -i ubuntu pwd", &here),
        ("docker run -v `pwd`/doesnt/exist:/foo -w /foo -i ubuntu touch here; ls doesnt/exist", "here"),
        ("docker run --env VAR1=value1 --env VAR2=value2 ubuntu env | grep VAR", "VAR1=value1\nVAR2=value2"),
        ("export VAR1=value1 VAR2=value2; docker run --env VAR1 --env VAR2 ubuntu env | grep VAR", "VAR1=value1\nVAR2=value2"),
        (
            "USER=denis docker run --env-file env.list ubuntu env | grep -E 'VAR|USER' | sort",
            "USER=denis\nVAR1=value1\nVAR2=value2",
        ),
        ("docker run --ulimit nofile=1024:1024 --rm debian sh -c 'ulimit -n'", "1024"),
        ("docker run --rm --entrypoint /bin/ls busybox -d /bin", "/bin"),
        ("docker run --rm --add-host=docker:10.180.0.1 busybox grep -c 10.180.0.1 /etc/hosts", "1"),
        ("docker run --rm --hostname h --user 1000:1000 busybox sh -c 'hostname; id -u; id -g'", "h\n1000\n1000"),
        ("docker run --rm --read-only busybox touch /here 2> error; echo $?", "1"),
        ("docker run -d --name t --tmpfs /run:rw,noexec,nosuid,size=65536k alpine sleep 1d > id", ""),
        ("docker exec t grep -c '/run tmpfs rw,nosuid,nodev,noexec.*size=65536k' /proc/mounts", "1"),
        ("docker inspect -f '{{ .RestartCount }}' t", "0"),
        ("docker create --name l -l my-label --label com.example.foo=bar --label-file ./labels ubuntu bash > id", ""),
        (
            "docker inspect -f '{{ json .Config.Labels }}' l",
            r#"{"com.example.foo":"bar","com.example.label1":"a label","com.example.label3":"","my-label":""}"#,
        ),
        ("docker stop -t 0 t", "t"),
        ("docker rm t l", "t\nl"),
    ]);
}

#[test]
fn health() {
    let shell = Shell::new();
    let status = "docker inspect --format='{{.State.Health.Status}}' test";
    let until = |wanted: &str| format!("until [ \"$({status})\" = {wanted} ]; do sleep 0.2; done; {status}");
    shell.replay(&[
        (
            "docker run --name=test -d --health-cmd='stat /tmp/well || exit 1' --health-interval=1s --health-retries=1 \
             busybox sh -c 'touch /tmp/well; sleep 1d' > id",
            "",
        ),
        (&until("healthy"), "healthy"),
        ("docker exec test rm /tmp/well", ""),
        (&until("unhealthy"), "unhealthy"),
        ("docker rm -f test", "test"),
    ]);
}

#[test]
fn exec_logs_and_cp() {
    let shell = Shell::new();
    shell.file("some_file", "some\n");
    shell.replay(&[
        ("docker run --name mycontainer -d -i -t alpine /bin/sh > id", ""),
        ("docker exec -d mycontainer touch /tmp/execWorks > job", ""),
        ("until docker exec mycontainer ls /tmp/execWorks 2> error; do sleep 0.1; done", "/tmp/execWorks"),
        ("docker exec mycontainer pwd", "/"),
        ("docker exec -e VAR_A=1 -e VAR_B=2 mycontainer env | grep VAR_", "VAR_A=1\nVAR_B=2"),
        ("docker exec -w /tmp mycontainer pwd", "/tmp"),
        ("docker exec -i mycontainer sh -c 'cat' < some_file", "some"),
        ("docker pause mycontainer", "mycontainer"),
        ("docker exec mycontainer sh 2>&1 | grep -c paused", "1"),
        ("docker unpause mycontainer", "mycontainer"),
        ("docker cp ./some_file mycontainer:/work && docker exec mycontainer cat /work", "some"),
        (
            "docker exec mycontainer sh -c 'mkdir -p /var/logs; printf \"fine\\nERROR 1\\n\" > /var/logs/app.log'",
            "",
        ),
        ("docker cp mycontainer:/var/logs/ ./app_logs && cat app_logs/app.log", "fine\nERROR 1"),
        ("docker cp mycontainer:/var/logs/app.log - | tar x -O | grep ERROR", "ERROR 1"),
        ("docker top mycontainer | grep -c /bin/sh", "1"),
        ("docker rm -f mycontainer", "mycontainer"),
        ("docker run --name test busybox sh -c 'for i in 1 2 3; do echo $i; done'", "1\n2\n3"),
        ("docker logs test", "1\n2\n3"),
        ("docker logs -f --tail 2 test", "2\n3"),
        ("docker logs -n 1 test", "3"),
        ("docker logs -t test | grep -cE '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z [123]$'", "3"),
        ("docker logs --since 10m test", "1\n2\n3"),
        ("docker logs --until 10m test", ""),
        ("docker wait test", "0"),
    ]);
}

#[test]
fn ps_filters() {
    let shell = Shell::new();
    let names = "--format '{{.Names}}'";
    let with = |filter: &str| format!("docker ps --filter '{filter}' {names} | sort");
    let among_all = |filter: &str| format!("docker ps -a --filter '{filter}' {names} | sort");
    shell.replay(&[
        ("docker network create net1", "net1"),
        ("docker run -d --name nostalgic_stallman -l color=blue --network net1 busybox sleep 1d > id", ""),
        ("docker run -d --name nostalgic_shockley -l color=red nginx:alpine sleep 1d > id", ""),
        ("docker run --name ended busybox true", ""),
        ("docker create --name killed ubuntu > id", ""),
        (&with("label=color"), "nostalgic_shockley\nnostalgic_stallman"),
        (&with("label=color=blue"), "nostalgic_stallman"),
        (&with("name=nostalgic_stallman"), "nostalgic_stallman"),
        (&with("name=nostalgic"), "nostalgic_shockley\nnostalgic_stallman"),
        (&with("network=net1"), "nostalgic_stallman"),
        (&with("status=running"), "nostalgic_shockley\nnostalgic_stallman"),
        (&with("ancestor=nginx:alpine"), "nostalgic_shockley"),
        (&among_all("ancestor=ubuntu"), "killed"),
        (&among_all("exited=0"), "ended"),
        (&among_all("status=created"), "killed"),
        (&among_all("before=nostalgic_shockley"), "nostalgic_stallman"),
        (&among_all("since=nostalgic_shockley"), "ended\nkilled"),
        ("docker kill nostalgic_stallman", "nostalgic_stallman"),
        (&among_all("exited=137"), "nostalgic_stallman"),
        ("docker pause nostalgic_shockley", "nostalgic_shockley"),
        (&with("status=paused"), "nostalgic_shockley"),
        ("docker ps --format '{{.Names}}: {{.Command}}'", "nostalgic_shockley: \"sleep 1d\""),
        (
            "docker ps --format 'table {{.Names}}\\t{{.Labels}}'",
            "NAMES                LABELS\nnostalgic_shockley   color=red",
        ),
        ("docker ps -aq --no-trunc | wc -L", "32"),
        ("docker ps -l --format '{{.Names}}'", "killed"),
        ("docker ps -n 2 --format '{{.Names}}'", "killed\nended"),
        ("docker rm -f $(docker ps -aq) | wc -l", "4"),
        ("docker network rm net1", "net1"),
    ]);
}
