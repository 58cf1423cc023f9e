//! Which images a stack's services run, of which platform, and whether their registries are asked.

use proto::fault::{Fault, FaultKind};
use proto::id::ServiceName;

use super::{ResolvedService, ResolvedStack};

/// What `pull_policy` says of an image, from what pulls least to what pulls most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PullPolicy {
    /// It is made on the host.
    Build,
    /// It is put on the host by somebody else.
    Never,
    /// What is on the host is used, whatever its name means elsewhere by now.
    Missing,
    /// A deploy brings what the name means in its registry. Also what says nothing, and what names a time: an operator
    /// who deploys does not wait for a day to be over.
    Newest,
}

impl PullPolicy {
    fn of(service: &ResolvedService) -> Self {
        match service.pull_policy.as_deref() {
            Some("build") => Self::Build,
            Some("never") => Self::Never,
            Some("missing" | "if_not_present") => Self::Missing,
            _ => Self::Newest,
        }
    }

    /// As the files write it.
    #[must_use]
    pub fn told(self) -> String {
        let word = match self {
            Self::Build => "build",
            Self::Never => "never",
            Self::Missing => "missing",
            Self::Newest => "always",
        };
        format!("pull_policy {word}")
    }
}

impl ResolvedStack {
    /// The policy for an image of these services: if one of them has it pulled, it is there for all.
    #[must_use]
    pub fn pull_policy_of(&self, services: &[ServiceName]) -> PullPolicy {
        let policies = services.iter().filter_map(|name| self.service(name));
        policies
            .map(PullPolicy::of)
            .max()
            .unwrap_or(PullPolicy::Newest)
    }

    /// The platform that these services ask for of one image; `None`: the host's own, which is `host`.
    ///
    /// # Errors
    /// When they want different ones: the engine keeps one image under one name.
    pub fn platform_of(
        &self,
        image: &str,
        services: &[ServiceName],
        host: &str,
    ) -> Result<Option<&str>, Fault> {
        let wanted = services.iter().filter_map(|name| self.service(name));
        let others = |platform: &&str| *platform != host;
        let mut wanted = wanted.map(|service| {
            let platform = service.platform.as_deref();
            (platform.filter(others), &service.name)
        });
        let Some((platform, first)) = wanted.next() else {
            return Ok(None);
        };
        let Some((other, name)) = wanted.find(|(other, _)| *other != platform) else {
            return Ok(platform);
        };
        let shown =
            |platform: Option<&str>| platform.unwrap_or("the host's own platform").to_owned();
        let what = format!(
            "image {image} is wanted for {} by {first} and for {} by {name}",
            shown(platform),
            shown(other)
        );
        Err(Fault::new(FaultKind::InvalidStack, what)
            .cause("the engine keeps one platform of an image under one name")
            .hint("name one of them by the digest of its platform, or give it a tag of its own"))
    }
}

/// A platform as the engine spells it, from what people write: `amd64`, `linux/x86_64`.
pub(super) fn platform(written: &str) -> String {
    let lower = written.to_lowercase();
    let (os, rest) = match lower.split_once('/') {
        Some((os, rest)) => (os, rest),
        None => ("linux", lower.as_str()),
    };
    let (architecture, variant) = match rest.split_once('/') {
        Some((architecture, variant)) => (architecture, Some(variant)),
        None => (rest, None),
    };
    let architecture = match architecture {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "i386" => "386",
        known => known,
    };
    // The first variant of 64-bit ARM is no other platform.
    match variant.filter(|variant| (architecture, *variant) != ("arm64", "v8")) {
        Some(variant) => format!("{os}/{architecture}/{variant}"),
        None => format!("{os}/{architecture}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::testing::service;

    fn stack(services: &[(&str, Option<&str>, Option<&str>)]) -> (ResolvedStack, Vec<ServiceName>) {
        let of = |(name, policy, platform): &(&str, Option<&str>, Option<&str>)| ResolvedService {
            pull_policy: policy.map(str::to_owned),
            platform: platform.map(str::to_owned),
            ..service(name)
        };
        let services: Vec<_> = services.iter().map(of).collect();
        let names = services
            .iter()
            .map(|service| service.name.clone())
            .collect();
        let stack = ResolvedStack {
            services,
            definitions: std::collections::BTreeMap::new(),
            outside: crate::resolved::Outside::default(),
            inactive: BTreeSet::new(),
        };
        (stack, names)
    }

    #[test]
    fn who_pulls_most_decides() {
        for (policies, policy) in [
            (vec![None], PullPolicy::Newest),
            (vec![Some("never")], PullPolicy::Never),
            (vec![Some("never"), Some("build")], PullPolicy::Never),
            (
                vec![Some("if_not_present"), Some("never")],
                PullPolicy::Missing,
            ),
            (vec![Some("never"), None], PullPolicy::Newest),
            (vec![Some("daily")], PullPolicy::Newest),
        ] {
            let names = ["a", "b"];
            let services: Vec<_> = names
                .iter()
                .zip(&policies)
                .map(|(name, it)| (*name, *it, None))
                .collect();
            let (stack, names) = stack(&services);
            assert_eq!(stack.pull_policy_of(&names), policy, "{policies:?}");
        }
    }

    #[test]
    fn platforms_are_spelt_as_the_engine_does() {
        for (written, meant) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("AMD64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm/v7", "linux/arm/v7"),
            ("i386", "linux/386"),
        ] {
            assert_eq!(platform(written), meant, "{written}");
        }
    }

    #[test]
    fn two_platforms_under_one_name_are_refused() {
        let (same, names) = stack(&[
            ("a", None, Some("linux/386")),
            ("b", None, Some("linux/386")),
        ]);
        assert_eq!(
            same.platform_of("x", &names, "linux/amd64").unwrap(),
            Some("linux/386")
        );
        let (two, names) = stack(&[("a", None, Some("linux/386")), ("b", None, None)]);
        let (own, all) = stack(&[("a", None, Some("linux/amd64")), ("b", None, None)]);
        assert_eq!(own.platform_of("x", &all, "linux/amd64").unwrap(), None);
        let fault = two.platform_of("x", &names, "linux/amd64").unwrap_err();
        assert_eq!(
            fault.what,
            "image x is wanted for linux/386 by a and for the host's own platform by b"
        );
    }
}
