//! The floor of the boot benchmarks: PID 1 that says a word on the console and ends the machine.
#![forbid(unsafe_code)]

fn main() {
    println!("floor");
    // On success it does not return; a failure makes PID 1 end, which the kernel turns into a panic and a reset.
    let _ = rustix::system::reboot(rustix::system::RebootCommand::Restart);
}
