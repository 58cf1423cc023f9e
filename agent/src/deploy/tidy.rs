//! Gives each container of a project its own name again, after a Compose or a deploy that was cut short.
//!
//! A killed Compose leaves a container under its passing name, made to replace another one; a deploy leaves one that it
//! had renamed to make room.

use proto::id::ProjectName;

use super::{Job, Stopped, room};
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
    let mut others = all.iter().filter(|it| it.id != container.id);
    if let Some(name) = room::own_name(container) {
        // Whoever has the name is there to replace it.
        let free = !others.any(|it| it.name == name);
        return free.then_some(Mend::Rename(&container.id, name));
    }
    let (old, name) = container.half_made()?;
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
    fn what_had_given_way_has_its_own_name_again_once_that_is_free() {
        let gave_way = Container {
            name: "front.replaced-0123456789ab".to_owned(),
            ..old(OLD)
        };
        let all = [gave_way.clone(), old("another")];
        assert_eq!(mend(&gave_way, &all), Some(Mend::Rename(OLD, "front")));
        let new = Container {
            name: "front".to_owned(),
            ..old("new")
        };
        assert_eq!(mend(&gave_way, &[gave_way.clone(), new]), None);
        let like_it = Container {
            name: "front.replaced-ffffffffffff".to_owned(),
            ..old(OLD)
        };
        assert_eq!(mend(&like_it, std::slice::from_ref(&like_it)), None);
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
