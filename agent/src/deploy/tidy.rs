//! Clears up what a killed Compose leaves: a container under its passing name, made to replace another one.
//!
//! Compose makes `<first 12 digits of the old id>_<name>`, removes the old container, and renames the new one.

use proto::id::ProjectName;

use super::{Job, Stopped};
use crate::engine::Container;

#[derive(Debug, PartialEq, Eq)]
enum Mend<'a> {
    /// The old one is there still: the half-made one has never run.
    Remove(&'a str),
    /// The old one is gone, and with it nothing but this one holds its anonymous volumes.
    Rename(&'a str, &'a str),
}

/// The project's containers, each under its own name.
pub(super) async fn tidy(job: &Job, project: &ProjectName) -> Result<Vec<Container>, Stopped> {
    let containers = job.engine.containers(project).await?;
    let mends: Vec<Mend<'_>> = containers
        .iter()
        .filter_map(|container| mend(container, &containers))
        .collect();
    if mends.is_empty() {
        return Ok(containers);
    }
    for mend in mends {
        match mend {
            Mend::Remove(id) => job.engine.remove_container(id).await?,
            Mend::Rename(id, name) => job.engine.rename_container(id, name).await?,
        }
    }
    Ok(job.engine.containers(project).await?)
}

fn mend<'a>(container: &'a Container, all: &[Container]) -> Option<Mend<'a>> {
    let old = container.replaces.as_deref()?;
    let name = container.name.strip_prefix(old.get(..12)?)?;
    let name = name.strip_prefix('_')?;
    let taken = all.iter().any(|it| it.id == old || it.name == name);
    Some(if taken {
        Mend::Remove(&container.id)
    } else {
        Mend::Rename(&container.id, name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::container;

    const OLD: &str = "0123456789abcdef0123";

    fn half() -> Container {
        Container {
            id: "new".to_owned(),
            name: "0123456789ab_shop-web-1".to_owned(),
            replaces: Some(OLD.to_owned()),
            ..container("web")
        }
    }

    fn old(id: &str) -> Container {
        Container {
            id: id.to_owned(),
            name: "shop-web-1".to_owned(),
            ..container("web")
        }
    }

    #[test]
    fn a_half_made_container_goes_while_the_old_one_is_there() {
        for other in [old(OLD), old("somebody else's, of the same name")] {
            assert_eq!(mend(&half(), &[half(), other]), Some(Mend::Remove("new")));
        }
    }

    #[test]
    fn it_takes_the_name_of_one_that_is_gone() {
        let all = [half()];
        assert_eq!(mend(&half(), &all), Some(Mend::Rename("new", "shop-web-1")));
    }

    #[test]
    fn whole_containers_stay() {
        let replaced = Container {
            replaces: Some(OLD.to_owned()),
            ..old("new")
        };
        let short = Container {
            replaces: Some("é".to_owned()),
            ..half()
        };
        for container in [replaced, short, old("x")] {
            assert_eq!(mend(&container, std::slice::from_ref(&container)), None);
        }
    }
}
