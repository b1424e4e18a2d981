//! How a registry asks who we are (RFC 9110 section 11, distribution token specification).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// A user of a registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub username: String,
    /// The password, or a token that stands for one.
    pub password: String,
}

impl Credentials {
    /// The identity token that stands for the user, where that is what the password is (Docker's convention).
    pub(super) fn identity_token(&self) -> Option<&str> {
        (self.username == "<token>").then_some(self.password.as_str())
    }

    /// The `Authorization` header of these credentials.
    pub(super) fn basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.username, self.password)))
    }
}

impl fmt::Debug for Credentials {
    /// Without the password, which must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// What a `WWW-Authenticate` header asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Name and password.
    Basic,
    /// A token, to be had at `realm`.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// The challenge in a header's value, if it is one that we know.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (scheme, mut rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service, mut scope) = (None, None, None);
        while let Some((key, value, left)) = parameter(rest) {
            match key.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                "scope" => scope = Some(value),
                _ => {}
            }
            rest = left;
        }
        Some(Self::Bearer { realm: realm?, service, scope })
    }
}

/// The first `key="value"` of a list, and what follows it.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let (key, rest) = text.trim_start_matches([' ', ',']).split_once('=')?;
    if let Some(quoted) = rest.strip_prefix('"') {
        let mut value = String::new();
        let mut letters = quoted.char_indices();
        while let Some((index, letter)) = letters.next() {
            match letter {
                '"' => return Some((key.trim(), value, &quoted[index + 1..])),
                '\\' => value.push(letters.next()?.1),
                letter => value.push(letter),
            }
        }
        return None;
    }
    let (value, rest) = rest.split_once(',').unwrap_or((rest, ""));
    Some((key.trim(), value.trim().to_owned(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let hub = "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",\
                   scope=\"repository:library/alpine:pull,push\"";
        let scope = "repository:library/alpine:pull,push".to_owned();
        assert_eq!(
            Challenge::parse(hub),
            Some(Challenge::Bearer {
                realm: "https://auth.docker.io/token".into(),
                service: Some("registry.docker.io".into()),
                scope: Some(scope),
            })
        );
        assert_eq!(Challenge::parse("Basic realm=\"x\""), Some(Challenge::Basic));
        let odd = "bearer Realm=https://a/t , error=\"a \\\"b\\\"\"";
        assert!(
            matches!(Challenge::parse(odd), Some(Challenge::Bearer { realm, .. }) if realm == "https://a/t")
        );
        for bad in ["", "Bearer", "Bearer service=\"x\"", "Bearer realm=\"x", "Negotiate abc"] {
            assert_eq!(Challenge::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let credentials = Credentials { username: "u".into(), password: "secret".into() };
        assert!(!format!("{credentials:?}").contains("secret"));
        assert_eq!(credentials.basic(), "Basic dTpzZWNyZXQ=");
    }
}
