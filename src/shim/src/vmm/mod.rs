//! The programs that run MicroVMs.

pub(crate) mod qemu;
