//! What a registry wants before it answers: `WWW-Authenticate`, as RFC 9110 section 11.6.1 and the distribution
//! specification's token flow have it.

/// What is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A name and a password.
    Basic,
    /// A token from this address.
    Bearer(String),
}

impl Challenge {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut realm = None;
        let mut query = String::new();
        for (name, value) in parameters(rest) {
            match name.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                name @ ("service" | "scope") => {
                    query.push(if query.is_empty() { '?' } else { '&' });
                    query.push_str(name);
                    query.push('=');
                    query.extend(value.bytes().map(escaped));
                }
                _ => {}
            }
        }
        let realm = realm.filter(|realm| !realm.contains('?'))?;
        Some(Self::Bearer(format!("{realm}{query}")))
    }
}

fn escaped(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-._~:/,".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

/// `name="value"` pairs; commas may stand inside the quotes.
fn parameters(mut text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    while let Some((name, rest)) = text.split_once("=\"") {
        let Some((value, after)) = rest.split_once('"') else {
            break;
        };
        found.push((name.trim_matches([' ', ',']), value));
        text = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_registries_really_say() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/mongo:pull""#;
        let wanted = "https://auth.docker.io/token?service=registry.docker.io&scope=repository:library/mongo:pull";
        assert_eq!(
            Challenge::parse(hub),
            Some(Challenge::Bearer(wanted.to_owned()))
        );
        let basic = Challenge::parse(r#"Basic realm="lab""#);
        assert_eq!(basic, Some(Challenge::Basic));
        for bad in [
            "",
            "Negotiate",
            "Bearer",
            r#"Bearer realm="x"#,
            r#"Bearer service="a""#,
        ] {
            assert_eq!(Challenge::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_challenge_panics(text in ".{0,80}") {
            drop(Challenge::parse(&text));
            drop(Challenge::parse(&format!("Bearer realm=\"https://a/\",{text}")));
        }
    }
}
