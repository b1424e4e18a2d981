//! Damaged and hostile input: a clear error that names the thing, and nothing left behind.

use crate::tools::Home;

#[test]
fn a_folder_that_is_no_layout_is_refused() {
    let home = Home::new();
    let error = home.store.load(home.dir.path(), None).unwrap_err().to_string();
    assert!(error.ends_with("a folder that is no OCI image layout is not supported"), "{error}");
    assert_eq!(home.leftovers(), [] as [&str; 0]);
}
