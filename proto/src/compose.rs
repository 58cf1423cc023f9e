//! Which versions of Docker Compose longshore works with.

/// The oldest, as major and minor: its `config` knows all the switches that an agent uses.
pub const OLDEST: (u32, u32) = (2, 26);

/// Major and minor of a version such as `2.40.3+ds1` or `v2.26.1`; `None` for what is not one.
#[must_use]
pub fn numbers(version: &str) -> Option<(u32, u32)> {
    let version = version.strip_prefix('v').unwrap_or(version);
    let mut parts = version.split(['.', '-', '+']);
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    Some((major, minor))
}
