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

    /// The platform that these services ask for of one image; `None`: the host's own.
    ///
    /// # Errors
    /// When they want different ones: the engine keeps one image under one name.
    pub fn platform_of(
        &self,
        image: &str,
        services: &[ServiceName],
    ) -> Result<Option<&str>, Fault> {
        let wanted = services.iter().filter_map(|name| self.service(name));
        let mut wanted = wanted.map(|service| (service.platform.as_deref(), &service.name));
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
    fn two_platforms_under_one_name_are_refused() {
        let (same, names) = stack(&[
            ("a", None, Some("linux/386")),
            ("b", None, Some("linux/386")),
        ]);
        assert_eq!(same.platform_of("x", &names).unwrap(), Some("linux/386"));
        let (two, names) = stack(&[("a", None, Some("linux/386")), ("b", None, None)]);
        let fault = two.platform_of("x", &names).unwrap_err();
        assert_eq!(
            fault.what,
            "image x is wanted for linux/386 by a and for the host's own platform by b"
        );
    }
}
