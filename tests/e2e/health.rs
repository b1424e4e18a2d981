//! Health checks: what `ps` and `inspect` say of a box that is well, or not.

use crate::harness::{Home, eventually};

fn await_health(home: &Home, name: &str, state: &str) -> serde_json::Value {
    eventually(state, || {
        let health = home.inspect(name)["run"]["health"].clone();
        (health["state"] == state).then_some(health)
    })
}

#[test]
fn a_box_is_as_well_as_its_last_checks() {
    let home = Home::new();
    let check = ["--health-cmd", "echo looking as $USER_OF_BOX; test -e /well", "--health-interval", "100ms"];
    let mut options = check.to_vec();
    options.extend(["--health-retries", "2", "-e", "USER_OF_BOX=me"]);
    home.start("b", &options, "sleep 100000");
    let health = await_health(&home, "b", "unhealthy");
    assert!(health["failing_streak"].as_u64().unwrap() >= 2, "{health}");
    let last = health["log"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["exit_code"], &last["output"]), (&1.into(), &"looking as me\n".into()));
    assert!(home.a3s(&["ps"]).run().ok().contains(" (unhealthy)"));

    home.exec("b", "touch /well");
    assert_eq!(await_health(&home, "b", "healthy")["failing_streak"], 0);
    assert!(home.a3s(&["ps"]).run().ok().contains(" (healthy)"));
    let kept = eventually("five checks", || {
        let log = home.inspect("b")["run"]["health"]["log"].clone();
        (log.as_array().unwrap().len() >= 5).then_some(log)
    });
    assert_eq!(kept.as_array().unwrap().len(), 5);
}

#[test]
fn a_check_that_does_not_end_has_failed_and_is_ended() {
    let home = Home::new();
    let check = ["--health-cmd", "sleep 54321", "--health-interval", "100ms", "--health-timeout", "300ms"];
    home.start("b", &check, "sleep 100000");
    assert!(home.a3s(&["ps"]).run().ok().contains(" (health: starting)"));
    let health = await_health(&home, "b", "unhealthy");
    let last = &health["log"].as_array().unwrap()[0];
    assert_eq!(last["exit_code"], -1);
    assert_eq!(last["output"], "health check exceeded timeout (300ms)");
    // At most one check is under way.
    eventually("an end of the old checks", || {
        (home.a3s(&["top", "b"]).run().ok().matches("sleep 54321").count() <= 2).then_some(())
    });
}

#[test]
fn nonsense_is_refused_and_no_check_is_no_check() {
    let home = Home::new();
    let create = |options: &[&str]| {
        let mut args = vec!["create"];
        args.extend(options);
        args.push("busybox");
        home.a3s(&args).run()
    };
    create(&["--health-cmd", "true", "--health-interval", "0s"]).refused(&["interval", "1ms"]);
    create(&["--health-cmd", "true", "--health-retries", "0"]).refused(&["at least one try"]);
    create(&["--health-cmd", "true", "--no-healthcheck"]).refused(&["there is to be none"]);
    home.idle("b");
    assert!(home.inspect("b")["run"]["health"].is_null());
}
