//! Finds the name that a person probably meant.

/// The candidate nearest to `word`, when one is near enough to be a typing error.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // One slip in a short word, a third of a long one: more would suggest unrelated names.
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| {
            let (a, b) = (word.to_lowercase(), candidate.to_lowercase());
            (strsim::osa_distance(&a, &b), candidate)
        })
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// `did you mean X?`, else the list of what there is, else nothing.
#[must_use]
pub fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    const SHOWN: usize = 12;
    let candidates: Vec<&str> = candidates.into_iter().collect();
    if let Some(name) = nearest(word, candidates.iter().copied()) {
        return Some(format!("did you mean `{name}`?"));
    }
    match candidates.len() {
        0 => None,
        more if more > SHOWN => Some(format!(
            "known are {}, and {} more",
            candidates[..SHOWN].join(", "),
            more - SHOWN
        )),
        _ => Some(format!("known are {}", candidates.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_an_unrelated_name_is_not() {
        let hosts = ["emilia", "elena", "opq-2"];
        assert_eq!(nearest("emila", hosts), Some("emilia"));
        assert_eq!(nearest("eimlia", hosts), Some("emilia"));
        assert_eq!(nearest("Emilia", hosts), Some("emilia"));
        assert_eq!(nearest("opq-1", hosts), Some("opq-2"));
        assert_eq!(nearest("portal", hosts), None);
    }

    #[test]
    fn without_a_near_name_the_hint_lists_what_there_is() {
        assert_eq!(hint("x", ["ab", "cd"]).as_deref(), Some("known are ab, cd"));
        assert_eq!(hint("x", []), None);
    }
}
