//! What `ps`, `inspect` and `prune` show and take, in Docker's words.

use crate::harness::Home;

fn names(home: &Home, options: &[&str]) -> String {
    let mut args = vec!["ps", "-a", "--format", "{{.Names}}"];
    args.extend(options);
    home.a3s(&args).run().ok().replace('\n', " ")
}

#[test]
fn boxes_are_picked_and_shown_as_docker_does() {
    let home = Home::new();
    home.a3s(&["tag", "busybox", "other:1"]).run().ok();
    home.a3s(&["create", "--name", "one", "-l", "tier=web", "-l", "x", "busybox"]).run().ok();
    home.a3s(&["create", "--name", "two", "--label", "tier=db", "--restart", "always", "other:1"]).run().ok();
    let labels = home.path().join("labels");
    std::fs::write(&labels, "# comment\ntier=web\nfrom=file\n").unwrap();
    let file = labels.to_str().unwrap();
    home.start(
        "three",
        &["--label-file", file, "-p", "127.0.0.1:0:80", "--network", "default"],
        "sleep 100000",
    );
    home.a3s(&["run", "--name", "four", "--network", "none", "busybox", "sh", "-c", "exit 3"]).run();

    assert_eq!(names(&home, &[]), "four three two one");
    for (filters, picked) in [
        (&["name=t"][..], "three two"),
        (&["name=^two$"], "two"),
        (&["label=tier=web"], "three one"),
        (&["label=tier=web", "label=x"], "one"),
        (&["label!=tier=web"], "four two"),
        (&["label=tier"], "three two one"),
        (&["status=created"], "two one"),
        (&["status=created", "status=running"], "three two one"),
        (&["status=exited"], "four"),
        (&["exited=3"], "four"),
        (&["exited=0"], ""),
        (&["ancestor=busybox:latest"], "four three one"),
        (&["ancestor=other:1"], "two"),
        (&["before=two"], "one"),
        (&["since=two"], "four three"),
        (&["health=none"], "four three two one"),
        (&["network=none"], "four"),
        (&["expose=80"], "three"),
        (&["restart=always"], "two"),
        (&["name=t", "status=created"], "two"),
    ] {
        let options: Vec<&str> = filters.iter().flat_map(|filter| ["--filter", filter]).collect();
        assert_eq!(names(&home, &options), picked, "{filters:?}");
    }
    home.a3s(&["ps", "-f", "colour=red"]).run().refused(&["colour=red", "what there is"]);
    home.a3s(&["ps", "-f", "since=nobody"]).run().refused(&["no such box: nobody"]);

    assert_eq!(home.a3s(&["ps", "--format", "{{.Names}}"]).run().ok(), "three");
    assert_eq!(home.a3s(&["ps", "-n", "2", "--format", "{{.Names}}"]).run().ok(), "four\nthree");
    assert_eq!(home.a3s(&["ps", "-l", "--format", "{{.Names}}"]).run().ok(), "four");
    let id = home.inspect("three")["id"].as_str().unwrap().to_owned();
    assert_eq!(home.a3s(&["ps", "-q", "--no-trunc", "--filter", &format!("id={}", &id[..8])]).run().ok(), id);
    let table =
        home.a3s(&["ps", "-a", "--format", r#"table {{.ID}}\t{{.Label "tier"}}\t{{.State}}"#]).run().ok();
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["BOX", "ID", "tier", "STATE"]);
    assert_eq!(lines[2][1..], ["web", "running"], "{table}");
    let json: serde_json::Value =
        serde_json::from_str(&home.a3s(&["ps", "--format", "json"]).run().ok()).unwrap();
    assert_eq!((&json["Names"], &json["Labels"]), (&"three".into(), &"from=file,tier=web".into()));
    let sized = home.a3s(&["ps", "-s"]).run().ok();
    assert!(sized.lines().next().unwrap().ends_with("SIZE") && sized.contains("(virtual "), "{sized}");
    home.a3s(&["ps", "--format", "{{.Colour}}"]).run().refused(&["no field .Colour", "Names"]);
    home.a3s(&["ps", "--format", "{{"]).run().refused(&["--format"]);
}

#[test]
fn inspect_answers_by_our_names_and_by_dockers() {
    let home = Home::new();
    home.start("i", &["--restart", "on-failure:3", "-l", "a=b", "-e", "K=v"], "sleep 100000");
    let says = |template: &str| home.a3s(&["inspect", "-f", template, "i"]).run().ok();
    assert_eq!(
        says("{{.State.Status}} {{.State.Running}} {{.state}} {{.State.ExitCode}}"),
        "running true running 0"
    );
    assert_eq!(
        says("{{.HostConfig.RestartPolicy.Name}}:{{.HostConfig.RestartPolicy.MaximumRetryCount}}"),
        "on-failure:3"
    );
    assert_eq!(says(r#"{{index .Config.Labels "a"}} {{.RestartCount}} {{.run.restarts}}"#), "b 0 0");
    assert!(says("{{range .Config.Env}}{{println .}}{{end}}").contains("K=v"));
    assert_eq!(says("{{json .config.policy.restart}}"), "\"on-failure:3\"");
    assert_eq!(says("{{.State.Pid}}"), home.pid("i", "vmm").unwrap().to_string());
    home.a3s(&["inspect", "-f", "{{.State.Nope}}", "i"]).run().refused(&[".State.Nope"]);
    home.a3s(&["stop", "-t", "0", "i"]).run().ok();
    assert_eq!(says("{{.State.Status}} {{.State.ExitCode}} {{.State.Reason}}"), "stopped 137 stopped");
}

#[test]
fn prune_takes_what_does_not_run_and_is_asked_for() {
    let home = Home::new();
    home.idle("runs");
    for (name, label) in [("a", "keep=yes"), ("b", "keep=no"), ("c", "x=y")] {
        home.a3s(&["create", "--name", name, "-l", label, "busybox"]).run().ok();
    }
    home.a3s(&["prune"]).run().refused(&["--force"]);
    home.a3s(&["prune", "-f", "--filter", "name=a"]).run().refused(&["until label"]);
    let old = home.a3s(&["prune", "-f", "--filter", "until=1h"]).run().ok();
    assert_eq!(old, "Total reclaimed space: 0B");
    home.a3s(&["prune", "-f", "--filter", "label!=keep=yes", "--filter", "label=keep"]).run().ok();
    assert_eq!(names(&home, &[]), "c a runs");
    let pruned = home.a3s(&["prune", "-f"]).run().ok();
    assert_eq!(pruned.lines().count(), 3, "{pruned}");
    assert_eq!(names(&home, &[]), "runs");
}

#[test]
fn what_can_change_changes() {
    let home = Home::new();
    home.start("u", &[], "trap 'exit 5' TERM; while :; do sleep 0.1; done");
    home.a3s(&["update", "u"]).run().refused(&["nothing is to be changed"]);
    home.a3s(&["update", "--memory", "1g", "u"]).run().refused(&["u is running", "stop it first"]);
    assert_eq!(home.a3s(&["update", "--restart", "always", "--idle-timeout", "1000", "u"]).run().ok(), "u");
    let policy = home.inspect("u")["config"]["policy"].clone();
    assert_eq!((&policy["restart"], &policy["idle_timeout"]), (&"always".into(), &1000.into()));
    home.a3s(&["update", "--idle-timeout", "0", "--timeout", "1", "u"]).run().ok();
    assert_eq!(home.a3s(&["wait", "u"]).run().ok().trim(), "5");
    assert_eq!(home.inspect("u")["run"]["exit"]["reason"], "timeout");
    home.a3s(&["update", "--memory", "1m", "u"]).run().refused(&["memory", "1MiB"]);
    home.a3s(&["update", "--memory", "256m", "--timeout", "0", "u"]).run().ok();
    home.a3s(&["start", "u"]).run().ok();
    let total: u32 = home.exec("u", "grep MemTotal /proc/meminfo | tr -dc 0-9").parse().unwrap();
    assert!((150_000..262_144).contains(&total), "{total}");
}
