//! Whom the box believes, where its network puts secrets into what it sends: a bundle below the image, so that nothing of
//! it is written to the box's own layer and a root that cannot be written has it too.

use a3s_box_core::NetTrust;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Where images keep their bundle: Debian and Alpine, Fedora, SUSE, and Alpine and BSD.
const BUNDLES: [&str; 5] = [
    "etc/ssl/certs/ca-certificates.crt",
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "etc/ssl/ca-bundle.pem",
    "etc/ssl/cert.pem",
];
/// A bundle longer than this is none.
const MAX: u64 = 8 << 20;

/// Writes the box's bundle to the layer `below` the image: the authorities that one of `layers` has, the first of them
/// first, or else the host's; and the one of the box's own network.
pub(super) fn write(trust: &NetTrust, layers: &[String], below: &str) -> io::Result<()> {
    let found = layers.iter().find_map(|layer| BUNDLES.iter().find_map(|path| read(layer, path)));
    let mut bundle = found.unwrap_or_else(|| trust.roots.clone().into_bytes());
    if bundle.last().is_some_and(|last| *last != b'\n') {
        bundle.push(b'\n');
    }
    bundle.extend_from_slice(trust.authority.as_bytes());
    put(below, NetTrust::BUNDLE, &bundle)?;
    put(below, NetTrust::AUTHORITY, trust.authority.as_bytes())
}

/// What a layer has at `path`, with links that lead no further than the layer.
fn read(layer: &str, path: &str) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let root =
        rustix::fs::open(layer, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let file = File::from(rustix::fs::openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT).ok()?);
    let mut bytes = Vec::new();
    file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    file.take(MAX).read_to_end(&mut bytes).ok()?;
    bytes.windows(11).any(|window| window == b"-----BEGIN ").then_some(bytes)
}

fn put(layer: &str, path: &str, bytes: &[u8]) -> io::Result<()> {
    let mut folder = layer.to_owned();
    let parents = Path::new(path).parent().into_iter().flat_map(Path::iter).skip(1);
    for name in parents {
        folder = format!("{folder}/{}", name.to_string_lossy());
        match rustix::fs::mkdirat(CWD, &folder, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    std::fs::write(format!("{layer}{path}"), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_layer_that_has_a_bundle_gives_it() {
        let dir = std::env::temp_dir().join(format!("a3s-trust-{}", std::process::id()));
        let layer = |name: &str| dir.join(name).to_string_lossy().into_owned();
        let (upper, lower, below) = (layer("upper"), layer("lower"), layer("below"));
        for folder in [
            format!("{upper}/etc"),
            format!("{lower}/etc/ssl/certs"),
            format!("{lower}/etc/pki"),
            below.clone(),
        ] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let trust = NetTrust { authority: "OWN\n".into(), roots: "HOST\n".into() };
        let written = || std::fs::read_to_string(format!("{below}{}", NetTrust::BUNDLE)).unwrap();
        let layers = [upper.clone(), lower.clone()];
        write(&trust, &layers, &below).unwrap();
        assert_eq!(written(), "HOST\nOWN\n");
        // A link that would lead out of the image leads to what the image has there.
        std::fs::write(format!("{lower}/etc/pki/real.pem"), "-----BEGIN IMAGE").unwrap();
        std::os::unix::fs::symlink("/etc/pki/real.pem", format!("{lower}/etc/ssl/certs/ca-certificates.crt"))
            .unwrap();
        write(&trust, &layers, &below).unwrap();
        assert_eq!(written(), "-----BEGIN IMAGE\nOWN\n");
        assert_eq!(std::fs::read_to_string(format!("{below}{}", NetTrust::AUTHORITY)).unwrap(), "OWN\n");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
