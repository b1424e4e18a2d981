//! A box's options from a file.

use crate::harness::Home;
use std::fs;

#[test]
fn a_box_is_run_and_created_from_its_file() {
    let home = Home::new();
    let file = home.path().join("box.toml");
    let write = |text: &str| fs::write(&file, text).unwrap();
    write(
        "image = \"busybox\"\ncommand = [\"sh\", \"-c\", \"echo $A $B $(hostname); touch /x\"]\nrm = true\nread-only = true\n\
         hostname = \"filed\"\nmemory = \"256m\"\nlabel = [\"from=file\"]\n[env]\nA = 1\nB = \"it's two\"\n",
    );
    let from = |args: &[&str]| home.a3s(args).within(home.path()).run();
    let out = from(&["run", "-f", "box.toml"]);
    assert_eq!((out.code, out.text().as_str()), (1, "1 it's two filed\n"), "{}", out.stderr);
    let out = from(&["run", "--file", "box.toml", "-e", "A=over", "--hostname", "h"]);
    assert_eq!(out.text(), "over it's two h\n", "{}", out.stderr);
    let out = from(&["run", "-e", "A=3", "-f", "box.toml", "busybox", "--", "sh", "-c", "echo $A of mine"]);
    assert_eq!(out.ok(), "3 of mine");
    from(&["create", "--name", "made", "-f", "box.toml", "--label", "more=yes"]).ok();
    let view = home.inspect("made");
    assert_eq!(view["labels"], serde_json::json!({"from": "file", "more": "yes"}));
    assert_eq!(view["config"]["auto_remove"], true);
    home.a3s(&["rm", "made"]).run().ok();

    for (text, words) in [
        (
            "image = \"busybox\"\nmemroy = \"1g\"\n",
            &["box.toml:2:", "memroy", "did you mean \"memory\"?"][..],
        ),
        ("image = \"busybox\"\nmemory = \"much\"\n", &["--memory", "much", "box.toml"]),
        ("memory = \"1g\"\n", &["box.toml names no image", "image = "]),
        ("image = [\n", &["box.toml:"]),
    ] {
        write(text);
        from(&["run", "-f", "box.toml"]).refused(words);
    }
    from(&["create", "-f", "none.toml"]).refused(&["box file none.toml"]);
    assert_eq!(home.a3s(&["ps", "-aq"]).run().ok(), "");
}
