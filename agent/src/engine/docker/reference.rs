//! Image names, taken apart by Docker's rules.

/// `registry/path:tag@sha256:…`, in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct Reference<'a> {
    /// Registry and path, as written.
    pub(in crate::engine) repository: &'a str,
    /// What stands behind the colon.
    pub(in crate::engine) tag: Option<&'a str>,
    /// What stands behind the at sign: `sha256:…`.
    pub(in crate::engine) digest: Option<&'a str>,
}

impl<'a> Reference<'a> {
    /// Takes a name apart. Whether the parts make sense is left to the engine.
    pub(in crate::engine) fn parse(text: &'a str) -> Self {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        // A colon before the last slash belongs to the registry's port.
        let path = name.rfind('/').map_or(0, |slash| slash + 1);
        let colon = name.rfind(':').filter(|colon| *colon >= path);
        let (repository, tag) = match colon.and_then(|colon| name.split_at_checked(colon)) {
            Some((repository, tag)) => (repository, tag.strip_prefix(':')),
            None => (name, None),
        };
        Self {
            repository,
            tag,
            digest,
        }
    }

    /// The name that is readable: what to tag locally. A name that is only a digest has none.
    pub(in crate::engine) fn readable_tag(&self) -> Option<&'a str> {
        match (self.tag, self.digest) {
            (None, None) => Some("latest"),
            (tag, _) => tag,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_as_people_write_them() {
        for (text, repository, tag, digest, readable) in [
            ("mongo", "mongo", None, None, Some("latest")),
            ("mongo:4", "mongo", Some("4"), None, Some("4")),
            ("h:5000/a/b", "h:5000/a/b", None, None, Some("latest")),
            ("h:5000/a/b:1", "h:5000/a/b", Some("1"), None, Some("1")),
            (
                "a:1@sha256:00",
                "a",
                Some("1"),
                Some("sha256:00"),
                Some("1"),
            ),
            (
                "h:5000/a@sha256:00",
                "h:5000/a",
                None,
                Some("sha256:00"),
                None,
            ),
        ] {
            let reference = Reference::parse(text);
            assert_eq!(
                (reference.repository, reference.tag),
                (repository, tag),
                "{text}"
            );
            assert_eq!(
                (reference.digest, reference.readable_tag()),
                (digest, readable),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_name_breaks_it(text in ".{0,60}") {
            prop_assert!(Reference::parse(&text).repository.len() <= text.len());
        }
    }
}
