//! The environment of a process: what the host decided, and defaults that only the box knows.

use super::failure::Failure;
use std::ffi::CString;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Adds what is missing of `PATH`, `HOSTNAME`, `HOME` and, at a terminal, `TERM`.
pub(crate) fn complete(
    env: &mut Vec<CString>,
    hostname: &str,
    home: &[u8],
    terminal: bool,
) -> Result<(), Failure> {
    let defaults: [(&str, &[u8]); 4] = [
        ("PATH", PATH.as_bytes()),
        ("HOSTNAME", hostname.as_bytes()),
        ("HOME", home),
        ("TERM", if terminal { b"xterm" } else { b"" }),
    ];
    for (name, value) in defaults {
        if value.is_empty() || get(env, name).is_some() {
            continue;
        }
        let pair = [name.as_bytes(), b"=", value].concat();
        env.push(
            CString::new(pair).map_err(|_| Failure::setup(format!("the default of {name} holds a NUL")))?,
        );
    }
    Ok(())
}

/// The value of `name`, where it is set; of several the first, as getenv(3) has it.
pub(crate) fn get<'a>(env: &'a [CString], name: &str) -> Option<&'a [u8]> {
    env.iter().find_map(|pair| pair.as_bytes().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_fill_gaps_only() {
        let mut env = vec![c"HOME=/here".to_owned(), c"PATHS=x".to_owned()];
        complete(&mut env, "box", b"/root", false).unwrap();
        let expected =
            [c"HOME=/here", c"PATHS=x", &CString::new(format!("PATH={PATH}")).unwrap(), c"HOSTNAME=box"];
        assert!(env.iter().map(CString::as_c_str).eq(expected));
        complete(&mut env, "box", b"/root", true).unwrap();
        assert_eq!(get(&env, "TERM"), Some(&b"xterm"[..]));
    }
}
