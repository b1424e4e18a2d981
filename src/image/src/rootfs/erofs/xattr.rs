//! Extended attributes inside an inode: a 12-byte header, then entries of prefix number, name and value.

use a3s_box_tar::Xattr;

/// The prefixes that EROFS numbers. Linux has no other attributes that a container image could set.
const PREFIXES: [(u8, &[u8]); 5] = [
    (1, b"user."),
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (4, b"trusted."),
    (6, b"security."),
];
const HEADER: usize = 12;
/// The inode counts its attributes' words in 16 bits.
const MAX_SIZE: usize = HEADER + 4 * (u16::MAX as usize - 1);

/// Those of `xattrs` that the image keeps, in the order in which they are stored.
///
/// Attributes of other systems are dropped, as runtimes drop what their file system refuses; so are
/// overlayfs's own, by which an image could redirect lookups in the overlay that it becomes part of.
pub(in crate::rootfs) fn stored_xattrs(xattrs: &[Xattr]) -> Result<Box<[Xattr]>, &'static str> {
    let overlay = |name: &[u8]| name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.");
    let known = |(name, _): &&Xattr| split(name).is_some() && !overlay(name);
    let mut kept: Vec<Xattr> = xattrs.iter().filter(known).cloned().collect();
    kept.sort();
    for (name, value) in &kept {
        let (_, suffix) = split(name).unwrap_or_default();
        if suffix.len() > usize::from(u8::MAX) || value.len() > usize::from(u16::MAX) {
            return Err("an extended attribute is too large");
        }
    }
    if size(&kept) > MAX_SIZE {
        return Err("its extended attributes are too large together");
    }
    Ok(kept.into())
}

/// The number of a name's prefix, and the rest of the name.
fn split(name: &[u8]) -> Option<(u8, &[u8])> {
    PREFIXES.iter().find_map(|(number, prefix)| {
        let rest = name.strip_prefix(*prefix)?;
        // A prefix that ends in a dot needs a rest, and the whole names must not have one.
        (prefix.ends_with(b".") != rest.is_empty()).then_some((*number, rest))
    })
}

/// The bytes that these attributes take in an inode.
pub(super) fn size(xattrs: &[Xattr]) -> usize {
    let entry = |(name, value): &Xattr| {
        let suffix = split(name).map_or(0, |(_, suffix)| suffix.len());
        (4 + suffix + value.len()).next_multiple_of(4)
    };
    if xattrs.is_empty() { 0 } else { HEADER + xattrs.iter().map(entry).sum::<usize>() }
}

/// The inode's `i_xattr_icount`: the header counts as one, then four bytes each.
pub(super) fn count(xattrs: &[Xattr]) -> u16 {
    let size = size(xattrs);
    let words = if size == 0 { 0 } else { (size - HEADER) / 4 + 1 };
    // `stored_xattrs` refused more.
    u16::try_from(words).unwrap_or(u16::MAX)
}

/// Appends the attributes as the inode stores them.
pub(super) fn encode(xattrs: &[Xattr], bytes: &mut Vec<u8>) {
    if xattrs.is_empty() {
        return;
    }
    // No name filter, no shared attributes.
    bytes.extend_from_slice(&[0; HEADER]);
    for (name, value) in xattrs {
        let Some((prefix, suffix)) = split(name) else { continue };
        let (Ok(name_len), Ok(value_len)) = (u8::try_from(suffix.len()), u16::try_from(value.len())) else {
            continue;
        };
        bytes.extend_from_slice(&[name_len, prefix]);
        bytes.extend_from_slice(&value_len.to_le_bytes());
        bytes.extend_from_slice(suffix);
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xattr(name: &str, value: &[u8]) -> Xattr {
        (name.as_bytes().into(), value.into())
    }

    #[test]
    fn size_count_and_bytes_agree() {
        let xattrs = stored_xattrs(&[
            xattr("user.a", b"12345"),
            xattr("security.capability", &[1; 20]),
            xattr("system.posix_acl_access", &[2; 28]),
        ])
        .unwrap();
        let mut bytes = Vec::new();
        encode(&xattrs, &mut bytes);
        assert_eq!(bytes.len(), size(&xattrs));
        assert_eq!(usize::from(count(&xattrs)), (bytes.len() - 12) / 4 + 1);
        assert_eq!(count(&[]), 0);
    }

    #[test]
    fn only_attributes_that_linux_could_set_are_kept() {
        let names =
            ["user.", "com.apple.x", "system.nfs4_acl", "trusted.overlay.redirect", "user.overlay.opaque"];
        let xattrs: Vec<_> = names.iter().map(|name| xattr(name, b"")).collect();
        assert!(stored_xattrs(&xattrs).unwrap().is_empty());
        assert!(stored_xattrs(&[xattr("user.a", &[0; 65_536])]).is_err());
        assert!(stored_xattrs(&[xattr(&format!("user.{}", "a".repeat(256)), b"")]).is_err());
        let many: Vec<_> = (0..5).map(|i| xattr(&format!("user.{i}"), &[0; 60_000])).collect();
        assert!(stored_xattrs(&many).is_err());
    }
}
