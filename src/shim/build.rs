//! Sets `cfg(krun)` where libkrun is to be part of the program.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(krun)");
    println!("cargo::rerun-if-env-changed=A3S_DEPS_STUB");
    let stub = std::env::var_os("A3S_DEPS_STUB").is_some_and(|value| !value.is_empty() && value != "0");
    if std::env::var_os("CARGO_FEATURE_KRUN").is_some() && !stub {
        println!("cargo::rustc-cfg=krun");
    }
}
