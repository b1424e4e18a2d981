use super::*;
use a3s_box_core::Bytes;

const INTERPRETED: &str = "ring 0 is interpreted: 20000 instructions took 15.0 ms";

fn host(kvm: KvmVerdict) -> Facts {
    Facts {
        krun: Some("1".into()),
        qemu: Some(Qemu("/usr/bin/qemu".into())),
        kvm,
        hvf: Err("hvf is Apple's".into()),
        landlock: 7,
        sev_snp: false,
        memory: Some(Bytes::gib(8)),
        kernels: vec![Kernel::Standard, Kernel::Cpl3],
    }
}

fn ring3() -> Facts {
    host(KvmVerdict::Ring3(INTERPRETED.into()))
}

fn ask(change: impl FnOnce(&mut BoxConfig)) -> BoxConfig {
    let mut config = BoxConfig::new("x");
    change(&mut config);
    config
}

/// What is chosen, as `vmm/accel/kernel`, and why it is no better one; or the error.
fn chosen(config: &BoxConfig, facts: &Facts) -> (String, String) {
    match choose(config, facts) {
        Ok(Machine { rung, stepped_down }) => {
            (format!("{}/{}/{}", rung.vmm, rung.accel, rung.kernel), stepped_down.unwrap_or_default())
        }
        Err(error) => ("error".into(), error.to_string()),
    }
}

fn is(config: &BoxConfig, facts: &Facts, machine: &str, why: &str) {
    let (got, reason) = chosen(config, facts);
    assert_eq!((got.as_str(), reason.as_str()), (machine, why));
}

#[test]
fn the_best_machine_there_is_is_taken() {
    let auto = ask(|_| ());
    is(&auto, &host(KvmVerdict::Full), "krun/kvm/standard", "");
    is(&auto, &ring3(), "krun/kvm/cpl3", INTERPRETED);
    is(&auto, &host(KvmVerdict::Unusable("no /dev/kvm".into())), "qemu/tcg/standard", "no /dev/kvm");
    let stub = Facts { krun: None, ..host(KvmVerdict::Full) };
    is(&auto, &stub, "qemu/kvm/standard", "this build of a3s-box-shim is without libkrun");
    let no_cpl3 = Facts { kernels: vec![Kernel::Standard], ..ring3() };
    let why = format!("{INTERPRETED}; the cpl3 kernel is not installed");
    is(&auto, &no_cpl3, "qemu/tcg/standard", &why);
}

#[test]
fn what_a_step_cannot_give_leads_further_down_or_is_refused() {
    let why = format!("{INTERPRETED}; the cpl3 kernel has 1 vCPU, not 2");
    is(&ask(|c| c.cpus = 2), &ring3(), "qemu/tcg/standard", &why);
    let kvm = ask(|c| (c.cpus, c.accel) = (2, AccelChoice::Kvm));
    is(&kvm, &ring3(), "error", &format!("this host cannot run the box as it is asked for: {why}"));
    let standard = ask(|c| (c.kernel, c.accel) = (KernelChoice::Standard, AccelChoice::Kvm));
    is(
        &standard,
        &ring3(),
        "error",
        &format!("this host cannot run the box as it is asked for: {INTERPRETED}"),
    );
}

#[test]
fn more_memory_than_the_host_has_is_refused_by_every_machine() {
    let why = "this host cannot run the box as it is asked for: the host has 8GiB of memory, not 9GiB";
    is(&ask(|c| c.memory = Bytes::gib(9)), &host(KvmVerdict::Full), "error", why);
    is(&ask(|c| c.memory = Bytes::gib(8)), &host(KvmVerdict::Full), "krun/kvm/standard", "");
}

#[test]
fn a_choice_of_the_user_is_kept() {
    is(&ask(|c| c.vmm = VmmChoice::Qemu), &ring3(), "qemu/kvm/cpl3", INTERPRETED);
    is(&ask(|c| c.accel = AccelChoice::Tcg), &ring3(), "qemu/tcg/standard", "");
    let cpl3 = ask(|c| (c.kernel, c.accel) = (KernelChoice::Cpl3, AccelChoice::Tcg));
    is(&cpl3, &ring3(), "qemu/tcg/cpl3", "");
    is(&ask(|c| c.kernel = KernelChoice::Cpl3), &host(KvmVerdict::Full), "krun/kvm/cpl3", "");
    is(&ask(|c| c.kernel = KernelChoice::Standard), &ring3(), "qemu/tcg/standard", INTERPRETED);
    let odd = ask(|c| (c.vmm, c.accel) = (VmmChoice::Krun, AccelChoice::Tcg));
    is(&odd, &ring3(), "error", "VMM krun cannot use accelerator tcg");
}

#[test]
fn a_host_without_anything_says_all_that_it_lacks() {
    let none = Facts { qemu: None, ..host(KvmVerdict::Unusable("no /dev/kvm".into())) };
    let (_, message) = chosen(&ask(|_| ()), &none);
    assert!(message.contains("no /dev/kvm; qemu-system-"), "{message}");
}

#[test]
fn a_machine_that_vanished_is_named() {
    let rung = Rung { vmm: Vmm::Krun, accel: Accel::Kvm, kernel: Kernel::Cpl3 };
    rung.recheck(&ask(|_| ()), &ring3()).unwrap();
    let gone = host(KvmVerdict::Unusable("no /dev/kvm".into()));
    let error = rung.recheck(&ask(|_| ()), &gone).unwrap_err().to_string();
    assert!(
        error.contains("made for krun/kvm with the cpl3 kernel") && error.ends_with("no /dev/kvm"),
        "{error}"
    );
}
