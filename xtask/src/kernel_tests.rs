//! What a killed build leaves, and what a finished one is.

use super::*;

#[test]
fn what_a_killed_build_left_is_swept_and_the_rest_stays() {
    let cache = tempfile::tempdir().unwrap();
    let left = cache.path().join(format!("{UNFINISHED}x/linux"));
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("Makefile"), "").unwrap();
    fs::create_dir(cache.path().join("standard-x86_64-0")).unwrap();
    sweep(cache.path()).unwrap();
    let names: Vec<_> = fs::read_dir(cache.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["standard-x86_64-0"]);
}

#[test]
fn a_kernel_appears_whole_in_place_of_a_folder_without_one() {
    let cache = tempfile::tempdir().unwrap();
    let (built, name) = (cache.path().join("built"), cache.path().join("name"));
    fs::create_dir(&built).unwrap();
    fs::write(built.join("vmlinux"), "kernel").unwrap();
    fs::create_dir(&name).unwrap();
    fs::write(name.join("config"), "").unwrap();
    publish(&built, &name).unwrap();
    assert_eq!(fs::read(name.join("vmlinux")).unwrap(), b"kernel");
    assert!(!name.join("config").exists() && !built.exists());
}
