//! Which version of the engine's API to speak.

/// What this code was written against. Engine 25 was the first to speak it; engine 29 speaks nothing older.
const WANTED: (u32, u32) = (1, 44);

/// Docker 20.10. Before it, platforms and logs are told in other shapes.
const OLDEST: (u32, u32) = (1, 41);

/// Whether an engine speaks only what was before us. One that is unclear about itself is given a try.
pub(super) fn too_old(newest: &str) -> bool {
    numbers(newest).is_some_and(|newest| newest < OLDEST)
}

/// Ours, moved into what the engine speaks; an engine that is unclear about itself gets ours.
pub(super) fn choose(oldest: &str, newest: &str) -> String {
    let oldest = numbers(oldest).unwrap_or((0, 0));
    let newest = numbers(newest).unwrap_or(WANTED);
    let (major, minor) = WANTED.min(newest).max(oldest);
    format!("{major}.{minor}")
}

fn numbers(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_lies_in_what_the_engine_speaks() {
        for (oldest, newest, chosen) in [
            ("1.12", "1.41", "1.41"), // 20.10
            ("1.24", "1.45", "1.44"), // 26.1
            ("1.44", "1.52", "1.44"), // 29
            ("1.50", "1.60", "1.50"),
            ("", "1.43", "1.43"),
            ("", "", "1.44"),
            ("x", "y.z", "1.44"),
        ] {
            assert_eq!(choose(oldest, newest), chosen, "{oldest}..{newest}");
        }
    }
}
