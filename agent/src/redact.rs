//! Masks secret values before a line leaves the process.

use proto::fault::Fault;
use proto::plan::Plan;
use proto::stack::Value;

/// Shorter values would mask half of any text.
const SHORTEST: usize = 6;
const MASK: &str = "********";

/// The secret values of one deploy.
#[derive(Clone, Default)]
pub struct Redactor {
    // Longest first, so that a secret inside another one does not leave the outer one's rest readable.
    secrets: Vec<String>,
}

impl Redactor {
    /// Collects the secrets of a stack, as they are and as JSON writes them.
    #[must_use]
    pub fn new(values: &[Value]) -> Self {
        let mut secrets: Vec<String> = values
            .iter()
            .filter(|value| value.secret)
            .flat_map(|value| forms(&value.text))
            .filter(|text| text.len() >= SHORTEST)
            .collect();
        secrets.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        secrets.dedup();
        Self { secrets }
    }

    /// The line without secrets.
    #[must_use]
    pub fn line(&self, line: String) -> String {
        self.secrets.iter().fold(line, |line, secret| {
            if line.contains(secret.as_str()) {
                line.replace(secret.as_str(), MASK)
            } else {
                line
            }
        })
    }

    /// The plan without secrets: an image's name may have been made from one.
    #[must_use]
    pub fn plan(&self, mut plan: Plan) -> Plan {
        let mask = |text: &mut String| *text = self.line(std::mem::take(text));
        plan.services
            .iter_mut()
            .flat_map(|service| &mut service.fields)
            .flat_map(|field| [&mut field.before, &mut field.after])
            .flatten()
            .for_each(mask);
        plan.images
            .iter_mut()
            .for_each(|image| mask(&mut image.reference));
        plan.services
            .iter_mut()
            .flat_map(|service| &mut service.reasons)
            .for_each(mask);
        plan.warnings
            .iter_mut()
            .chain(&mut plan.notes)
            .for_each(mask);
        plan.hooks
            .iter_mut()
            .for_each(|hook| mask(&mut hook.command));
        plan
    }

    /// The fault without secrets.
    #[must_use]
    pub fn fault(&self, fault: Fault) -> Fault {
        let lines = |lines: Vec<String>| lines.into_iter().map(|line| self.line(line)).collect();
        Fault {
            kind: fault.kind,
            what: self.line(fault.what),
            causes: lines(fault.causes),
            output: lines(fault.output),
            hints: lines(fault.hints),
            reason: fault.reason,
        }
    }
}

/// A value can come back whole, line by line, or quoted inside JSON.
fn forms(text: &str) -> Vec<String> {
    let mut forms = vec![text.to_owned(), text.trim().to_owned()];
    for text in [text, text.trim()] {
        let quoted = serde_json::Value::from(text).to_string();
        forms.extend(
            quoted
                .strip_prefix('"')
                .and_then(|q| q.strip_suffix('"'))
                .map(str::to_owned),
        );
    }
    // A line of a document such as `}` is no secret; one with 12 characters may be.
    forms.extend(
        text.lines()
            .map(str::trim)
            .filter(|line| line.len() >= 12)
            .map(str::to_owned),
    );
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, secret: bool) -> Value {
        Value::new("X".parse().unwrap(), text.to_owned(), secret).unwrap()
    }

    #[test]
    fn a_secret_is_masked_in_every_form() {
        let redactor = Redactor::new(&[value("{\"password\": \"hunter22\"}\n", true)]);
        for line in [
            "error in {\"password\": \"hunter22\"}",
            "env: {\\\"password\\\": \\\"hunter22\\\"}",
        ] {
            assert!(
                !redactor.line(line.to_owned()).contains("hunter22"),
                "{line}"
            );
        }
    }

    #[test]
    fn what_is_not_secret_stays() {
        let redactor = Redactor::new(&[value("emilia.example.org", false), value("abc", true)]);
        let line = "emilia.example.org abc".to_owned();
        assert_eq!(redactor.line(line.clone()), line);
    }
}
