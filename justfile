# Short names for what cargo and `cargo xtask` do.

default:
    @just --list

# The programs, the guest kernel and the initramfs, ready to run
build:
    cargo xtask build

# The same; the programs that users get are always optimised
release: build

# Every check and every test, those that boot real VMs too
test:
    cargo xtask test

test-core:
    cargo test -p a3s-box-core

test-runtime:
    cargo test -p a3s-box-runtime

# The tests that boot real VMs, or those whose name holds FILTER
e2e *FILTER:
    cargo xtask e2e {{FILTER}}

fmt:
    cargo fmt --all

lint:
    cargo clippy --workspace --all-targets -- -D warnings
    cargo deny check

ci:
    .ci/run
