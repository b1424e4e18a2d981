#![no_main]
use std::sync::LazyLock;
static SHARE: LazyLock<(tempfile::TempDir, a3s_box_fuse::Share)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let share = a3s_box_fuse::fuzz::begun(dir.path());
    (dir, share)
});
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| a3s_box_fuse::fuzz::messages(&SHARE.1, bytes));
