//! The generated code in `src/proto/` is what `proto/` says. `A3S_REGENERATE=1` writes it anew.

use std::path::Path;

#[test]
fn generated_code_matches_the_proto_files() {
    // Where cargo runs tests: in their package.
    let root = Path::new(".");
    let agent = "a3s.box.agent.v1";
    // The shim's file refers to the agent's types, so it is generated with those declared external.
    for (file, package, external) in
        [("agent.proto", agent, None), ("shim.proto", "a3s.box.shim.v1", Some(agent))]
    {
        let fresh = tempfile::tempdir().unwrap();
        let mut config = tonic_prost_build::configure()
            .out_dir(fresh.path())
            .bytes(".")
            .build_transport(false)
            .client_mod_attribute(package, "#[cfg(feature = \"client\")]")
            .server_mod_attribute(package, "#[cfg(feature = \"server\")]");
        if let Some(external) = external {
            config = config.extern_path(format!(".{external}"), "crate::proto::agent");
        }
        config.compile_fds(protox::compile([file], [root.join("proto")]).unwrap()).unwrap();

        // `box` is a word of Rust's own, and the generator escapes it in the file's name too.
        let escaped = format!("{}.rs", package.replace("box", "r#box"));
        let new = std::fs::read_to_string(fresh.path().join(escaped)).unwrap();
        let name = format!("{package}.rs");
        let path = root.join("src/proto").join(&name);
        if std::env::var_os("A3S_REGENERATE").is_some() {
            std::fs::write(&path, &new).unwrap();
        }
        let old = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(old == new, "{name} is stale: run A3S_REGENERATE=1 cargo test -p a3s-box-agent");
    }
}
