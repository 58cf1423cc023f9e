//! Clears up what a killed Compose leaves: a container under its passing name, made to replace another one.
//!
//! Compose makes `<first 12 digits of the old id>_<name>`, removes the old container, and renames the new one. It labels
//! that with what it replaces: 2.26 with the id of the old one, 2.40 with the end of its name.

use proto::id::ProjectName;

use super::{Job, Stopped};
use crate::engine::Container;

/// So many digits of the old container's id begin the passing name.
const DIGITS: usize = 12;

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
    let replaces = container.replaces.as_deref()?;
    let (old, name) = container.name.split_once('_')?;
    let is_id = replaces.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (by_id, by_name) = (is_id && replaces.starts_with(old), name.ends_with(replaces));
    if old.len() != DIGITS || !(by_id || by_name) {
        return None;
    }
    let mut others = all.iter().filter(|it| it.id != container.id);
    let taken = others.any(|it| it.id.starts_with(old) || it.name == name);
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

    /// As Compose 2.26 labels it, and as 2.40 does.
    fn halves() -> [Container; 2] {
        [OLD, "web-1"].map(|replaces| Container {
            id: "new".to_owned(),
            name: "0123456789ab_shop-web-1".to_owned(),
            replaces: Some(replaces.to_owned()),
            ..container("web")
        })
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
        for half in halves() {
            for other in [old(OLD), old("somebody else's, of the same name")] {
                let all = [half.clone(), other];
                assert_eq!(mend(&half, &all), Some(Mend::Remove("new")));
            }
        }
    }

    #[test]
    fn it_takes_the_name_of_one_that_is_gone() {
        for half in halves() {
            let all = [half.clone()];
            assert_eq!(mend(&half, &all), Some(Mend::Rename("new", "shop-web-1")));
        }
    }

    #[test]
    fn whole_containers_stay() {
        let replaced = Container {
            replaces: Some(OLD.to_owned()),
            ..old("new")
        };
        let [half, _] = halves();
        let another = Container {
            replaces: Some("é".to_owned()),
            ..half.clone()
        };
        let unlabelled = Container {
            replaces: None,
            ..half
        };
        // Whoever calls a container so, does.
        let named = Container {
            name: "cafecafecafe_web".to_owned(),
            replaces: Some("cafecafecafe_web".to_owned()),
            ..container("web")
        };
        for container in [replaced, another, unlabelled, named, old("x")] {
            assert_eq!(mend(&container, std::slice::from_ref(&container)), None);
        }
    }
}
