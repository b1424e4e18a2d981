//! Images from the command line: where they come from, what they are called, what becomes of them.

use crate::harness::{Home, Registry, given};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

/// A copy of the busybox layout, configured further.
fn configured(home: &Home, name: &str, config: &[&str]) -> PathBuf {
    let layout = home.path().join(name);
    let copy = Command::new("cp").arg("-r").arg(given("A3S_TEST_BUSYBOX")).arg(&layout).status().unwrap();
    assert!(copy.success());
    let image = format!("{}:latest", layout.display());
    let made = Command::new("umoci").args(["config", "--image", &image]).args(config).status().unwrap();
    assert!(made.success());
    layout
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_image_is_pulled_run_and_seen_in_the_words_of_docker() {
    let home = Home::empty();
    let registry = Registry::start(home.path(), "");
    let name = registry.push(&given("A3S_TEST_BUSYBOX"), "team/app:1", &["--format", "v2s2"]);
    let events = lines(&home.a3s(&["pull", "--format", "json", &name]).run().ok());
    let said: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!((said[0], said[1], *said.last().unwrap()), ("resolved", "started", "pulled"));
    let digest = events.last().unwrap()["digest"].as_str().unwrap();
    assert_eq!(home.a3s(&["run", "--rm", &name, "echo", "hello"]).run().ok(), "hello");

    let quiet = home.a3s(&["pull", "-q", &name]).run();
    assert_eq!((quiet.ok(), quiet.stderr.as_str()), (name.clone(), ""));
    let again = home.a3s(&["pull", &name]).run();
    assert!(again.stderr.contains("already here"), "{}", again.stderr);
    assert_eq!(again.ok(), format!("Digest: {digest}\n{name}"));

    home.a3s(&["tag", &name, "mine:2"]).run().ok();
    let image =
        &lines(&home.a3s(&["images", "--format", "json", "--filter", "reference=mine*"]).run().ok())[0];
    assert_eq!(
        (&image["Repository"], &image["Tag"], &image["Digest"]),
        (&json!("mine"), &json!("2"), &json!(digest))
    );
    let inspected = home.a3s(&["image", "inspect", "mine:2"]).run().ok();
    let view = &serde_json::from_str::<Value>(&inspected).unwrap()[0];
    assert_eq!(view["RepoTags"], json!([name, "mine:2"]));
    assert_eq!(view["Config"]["Cmd"], json!(["sh"]));
    let long = home.a3s(&["images", "--digests", "--no-trunc"]).run().ok();
    assert!(long.contains(digest) && long.contains(view["Id"].as_str().unwrap()), "{long}");
    assert!(home.a3s(&["history", "mine:2"]).run().ok().lines().count() > 1);

    home.a3s(&["create", "--name", "user", "mine:2"]).run().ok();
    let id = home.a3s(&["images", "-q", "--filter", "reference=mine"]).run().ok();
    home.a3s(&["rmi", &id]).run().refused(&["several names"]);
    let removed = home.a3s(&["rmi", "-f", &id]).run().ok();
    assert_eq!(removed.lines().filter(|line| line.starts_with("Untagged: ")).count(), 2, "{removed}");
    assert_eq!(home.a3s(&["images", "-q", "--filter", "dangling=true"]).run().ok(), id);
    let usage = lines(&home.a3s(&["df", "--format", "json"]).run().ok());
    assert_eq!(
        (&usage[0]["kind"], &usage[0]["total"], &usage[0]["active"]),
        (&json!("images"), &json!(1), &json!(1))
    );
    assert!(!home.a3s(&["image", "prune", "--all"]).run().ok().contains("Deleted"));
    home.a3s(&["rm", "user"]).run().ok();
    assert!(home.a3s(&["image", "prune"]).run().ok().contains(&format!("Deleted: {digest}")));
    let usage = lines(&home.a3s(&["df", "--format", "json"]).run().ok());
    assert_eq!((&usage[0]["size"], &usage[1]["size"]), (&json!(0), &json!(0)));
}

#[test]
fn images_leave_and_come_back_as_archives() {
    let home = Home::new();
    let archive = home.path().join("busybox.tar");
    home.a3s(&["save", "busybox", "-o"]).arg(&archive).run().ok();
    let before = home.a3s(&["images", "--digests", "--no-trunc"]).run().ok();
    home.a3s(&["rmi", "busybox"]).run().ok();
    let bytes = std::fs::read(&archive).unwrap();
    assert_eq!(home.a3s(&["load"]).stdin(bytes).run().ok(), "Loaded image: busybox:latest");
    assert_eq!(home.a3s(&["images", "--digests", "--no-trunc"]).run().ok(), before);
    home.a3s(&["save", "nothing"]).run().refused(&["nothing"]);

    let root = home.path().join("root");
    std::fs::create_dir_all(root.join("bin")).unwrap();
    std::fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    let tar = Command::new("tar").arg("-C").arg(&root).args(["-cz", "."]).output().unwrap().stdout;
    home.a3s(&["import", "-", "own"]).stdin(tar).run().ok();
    assert_eq!(home.a3s(&["run", "--rm", "own", "/bin/busybox", "echo", "mine"]).run().ok(), "mine");
    home.a3s(&["run", "--rm", "own"]).run().refused(&["own", "no command"]);
    assert_eq!(home.a3s(&["image", "fsck"]).run().ok(), "");
}

#[test]
fn an_image_says_what_its_boxes_need_and_the_user_has_the_last_word() {
    let home = Home::empty();
    let label = |text: &'static str| ["--config.label", text];
    let labels =
        ["a3s.box.memory=192m", "a3s.box.disk=64m", "a3s.box.workdir=/var", "a3s.box.env.A=image"].map(label);
    let layout = configured(&home, "layout", &labels.concat());
    home.a3s(&["load", "--tag", "labelled", "--input"]).arg(&layout).run().ok();
    let show = "pwd; echo $A";
    assert_eq!(home.a3s(&["run", "--rm", "labelled", "sh", "-c", show]).run().ok(), "/var\nimage");
    let own = home.a3s(&["run", "--rm", "-w", "/tmp", "-e", "A=mine", "labelled", "sh", "-c", show]).run();
    assert_eq!(own.ok(), "/tmp\nmine");
    home.a3s(&["create", "--name", "asked", "labelled"]).run().ok();
    home.a3s(&["create", "--name", "told", "--memory", "256m", "labelled"]).run().ok();
    let memory = |name: &str| home.inspect(name)["config"]["memory"].clone();
    assert_eq!((memory("asked"), memory("told")), (json!(192 << 20), json!(256 << 20)));
    assert_eq!(home.inspect("told")["config"]["disk"], json!(64 << 20));

    let greedy = configured(&home, "greedy", &label("a3s.box.memory=900g"));
    home.a3s(&["load", "--tag", "greedy", "--input"]).arg(&greedy).run().ok();
    home.a3s(&["create", "greedy"]).run().refused(&["greedy", "memory 900GiB"]);
}

#[test]
fn a_private_registry_asks_who_we_are() {
    let home = Home::empty();
    // `pass:word`, as `htpasswd -B` keeps it.
    let hash = "$2b$05$SD4yCzk2T/to9nt3blhph.IQ9pejkTx81nbuPw0g0GugKluEqZqcW";
    let users = home.path().join("htpasswd");
    std::fs::write(&users, format!("user:{hash}\n")).unwrap();
    let registry = Registry::start(
        home.path(),
        &format!("auth: {{htpasswd: {{realm: r, path: '{}'}}}}", users.display()),
    );
    let name = registry.push(&given("A3S_TEST_SCRATCH"), "app:1", &["--dest-creds", "user:pass:word"]);
    let docker = home.path().join("docker");
    let a3s = |args: &[&str]| home.a3s(args).env("DOCKER_CONFIG", &docker);
    a3s(&["pull", &name]).run().refused(&["401", "a3s-box login"]);
    a3s(&["login", "-u", "user", &registry.host]).run().refused(&["--password-stdin"]);
    let login = ["login", "-u", "user", "--password-stdin", &registry.host];
    a3s(&login).stdin("wrong\n").run().refused(&["401"]);
    assert!(!docker.exists());
    assert_eq!(a3s(&login).stdin("pass:word\n").run().ok(), "Login Succeeded");
    a3s(&["pull", &name]).run().ok();
    a3s(&["logout", &registry.host]).run().ok();
    assert!(a3s(&["logout", &registry.host]).run().ok().starts_with("Not logged in"));
    a3s(&["pull", &name]).run().refused(&["401"]);
}

#[test]
fn config_toml_is_strict_and_its_bounds_hold() {
    let home = Home::empty();
    let config = |text: &str| std::fs::write(home.path().join("config.toml"), text).unwrap();
    let registry = Registry::start(home.path(), "");
    let name = registry.push(&given("A3S_TEST_BUSYBOX"), "app:1", &[]);
    config("[image]\nmax_size = '1g'\n");
    home.a3s(&["pull", &name]).run().refused(&["config.toml", "`max_size`", "docs/config.md"]);
    config("[image]\nmax-size = '100k'\n");
    home.a3s(&["pull", &name]).run().refused(&["do not fit", "image.max-size"]);
    config(&format!("[[verify]]\nprefix = '{}'\nkeys = ['absent.pub']\n", registry.host));
    home.a3s(&["pull", &name]).run().refused(&["absent.pub"]);
    let key = home.path().join("key.pub");
    let script = "openssl ecparam -name prime256v1 -genkey -noout | openssl ec -pubout > \"$0\"";
    assert!(Command::new("sh").args(["-c", script]).arg(&key).status().unwrap().success());
    config("");
    home.a3s(&["pull", "--verify"]).arg(&key).arg(&name).run().refused(&["is not signed", "no signature"]);
    assert_eq!(home.a3s(&["images", "-q"]).run().ok(), "");
    home.a3s(&["pull", &name]).run().ok();
}
