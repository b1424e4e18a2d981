//! Sets `cfg(krun)` where libkrun is to be part of the program, and `cfg(sev_snp)` where it is the one for SEV-SNP guests.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(krun, sev_snp)");
    println!("cargo::rerun-if-env-changed=A3S_DEPS_STUB");
    let stub = std::env::var_os("A3S_DEPS_STUB").is_some_and(|value| !value.is_empty() && value != "0");
    let has = |feature: &str| std::env::var_os(format!("CARGO_FEATURE_{feature}")).is_some() && !stub;
    // With SEV-SNP, libkrun takes neither a kernel nor an initramfs (`krun_set_kernel`), which all other boxes need.
    if has("TEE_SEV") {
        println!("cargo::rustc-cfg=sev_snp");
    } else if has("KRUN") {
        println!("cargo::rustc-cfg=krun");
    }
}
