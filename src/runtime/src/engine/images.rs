//! `images`: the images there are.

use super::Engine;
use a3s_box_core::{BoxError, ErrorKind, Result};
use a3s_box_image::Image;
use std::str::FromStr;

/// Which images are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageFilter {
    /// Those without a name, or those with one.
    Dangling(bool),
    /// Those with this label, and this value of it if one is given.
    Label(String, Option<String>),
    /// Those whose name, with or without the tag, matches a pattern of `*` and `?`.
    Reference(String),
}

impl FromStr for ImageFilter {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = || {
            BoxError::new(ErrorKind::InvalidInput, format!("invalid filter {text:?}"))
                .with_hint("write dangling=true, label=KEY, label=KEY=VALUE or reference=PATTERN")
        };
        let (key, value) = text.split_once('=').ok_or_else(refuse)?;
        match key {
            "dangling" => value.parse().map(Self::Dangling).map_err(|_| refuse()),
            "label" => Ok(match value.split_once('=') {
                Some((key, value)) => Self::Label(key.into(), Some(value.into())),
                None => Self::Label(value.into(), None),
            }),
            "reference" => Ok(Self::Reference(value.into())),
            _ => Err(refuse()),
        }
    }
}

impl ImageFilter {
    fn lets(&self, image: &Image) -> bool {
        match self {
            Self::Dangling(wanted) => image.reference.is_none() == *wanted,
            Self::Label(key, value) => {
                let found = image.config.config.labels.get(key);
                found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
            }
            Self::Reference(pattern) => image.reference.as_ref().is_some_and(|reference| {
                let name = reference.familiar_name();
                let tagged = reference.familiar();
                matches(pattern.as_bytes(), name.as_bytes()) || matches(pattern.as_bytes(), tagged.as_bytes())
            }),
        }
    }
}

/// Whether `text` matches a pattern in which `*` is any run and `?` any one of letters, but for slashes.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // Where to go on when a letter does not fit: behind the last `*`, which takes one letter more.
    let (mut p, mut t, mut retry) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(letter) if *letter == text[t] || (*letter == b'?' && text[t] != b'/') => {
                (p, t) = (p + 1, t + 1)
            }
            _ => match retry {
                Some((after, from)) if text[from] != b'/' => {
                    retry = Some((after, from + 1));
                    (p, t) = (after, from + 1);
                }
                _ => return false,
            },
        }
    }
    pattern[p..].iter().all(|letter| *letter == b'*')
}

impl Engine {
    /// The images in the store that all of `filters` let through, in the order in which they came; one whose blobs are
    /// damaged is an error in its place.
    ///
    /// # Errors
    /// Those of reading the store.
    pub fn images(&self, filters: &[ImageFilter]) -> Result<Vec<Result<Image>>> {
        let images = self.store()?.list()?.into_iter().map(|image| image.map_err(Into::into));
        let wanted = |image: &Result<Image>| match image {
            Ok(image) => filters.iter().all(|filter| filter.lets(image)),
            Err(_) => true,
        };
        Ok(images.filter(wanted).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_docker() {
        for (pattern, text) in [
            ("alpine", "alpine"),
            ("al*", "alpine"),
            ("*:3.?", "alpine:3.2"),
            ("a/*/c", "a/b/c"),
            ("**", "x"),
        ] {
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        for (pattern, text) in [("al", "alpine"), ("*", "a/b"), ("a?b", "a/b"), ("*x", "alpine"), ("", "a")] {
            assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
    }

    #[test]
    fn filters_that_mean_nothing_are_refused() {
        assert_eq!(
            "label=a=b".parse::<ImageFilter>().unwrap(),
            ImageFilter::Label("a".into(), Some("b".into()))
        );
        for text in ["dangling", "dangling=maybe", "size=1", ""] {
            assert!(text.parse::<ImageFilter>().is_err(), "{text}");
        }
    }
}
