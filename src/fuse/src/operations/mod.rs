//! The operations, by what they work on.

mod attributes;
mod files;
mod folders;
mod names;
mod xattrs;
