//! The door between generated messages and domain types. Each message is taken apart completely, so that a
//! new field of the schema breaks the build here instead of being lost.

mod check;
mod event;
mod fault;
mod hello;
mod history;
mod hook;
mod plan;
mod probe;
mod stage;
mod status;
mod trust;
mod upgrade;

pub use fault::{fault_from_status, fault_to_status};
pub use hello::{facts_from_wire, facts_to_wire};
pub use plan::{scope_from_wire, scope_to_wire};
pub use stage::blob_from_wire;

use std::fmt::Display;

use crate::wire::v1 as wire;

/// A message that does not mean anything: a field missing, unknown or malformed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed message: {0}")]
pub struct InvalidMessage(String);

impl InvalidMessage {
    /// A message without the part that it must have.
    #[must_use]
    pub fn missing(what: &str) -> Self {
        Self(format!("{what} is missing"))
    }

    fn unknown(what: &str, number: i32) -> Self {
        Self(format!("{what} {number} is not known to this version"))
    }
}

/// For the errors of the domain's own parsers.
fn invalid(error: impl Display) -> InvalidMessage {
    InvalidMessage(error.to_string())
}

/// An empty string stands for "none" on the wire.
fn optional<T>(text: &str) -> Result<Option<T>, InvalidMessage>
where
    T: std::str::FromStr,
    T::Err: Display,
{
    if text.is_empty() {
        Ok(None)
    } else {
        parse(text).map(Some)
    }
}

fn parse<T>(text: &str) -> Result<T, InvalidMessage>
where
    T: std::str::FromStr,
    T::Err: Display,
{
    text.parse().map_err(invalid)
}

fn parse_all<T>(texts: Vec<String>) -> Result<Vec<T>, InvalidMessage>
where
    T: std::str::FromStr,
    T::Err: Display,
{
    texts.iter().map(|text| parse(text)).collect()
}

fn text<T: Display>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn texts<T: Display>(values: Vec<T>) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn into_all<A, B>(items: Vec<A>) -> Result<Vec<B>, InvalidMessage>
where
    B: TryFrom<A, Error = InvalidMessage>,
{
    items.into_iter().map(B::try_from).collect()
}

/// A two-way mapping between a domain enum and its wire enum; the wire's zero and unknown numbers are errors.
macro_rules! enum_map {
    ($what:literal, $domain:ty, $wire:ty, { $($d:ident = $w:ident),* $(,)? }) => {
        impl From<$domain> for $wire {
            fn from(value: $domain) -> Self {
                match value { $(<$domain>::$d => <$wire>::$w),* }
            }
        }
        impl crate::convert::FromNumber for $domain {
            fn from_number(number: i32) -> Result<Self, InvalidMessage> {
                match <$wire>::try_from(number) {
                    $(Ok(<$wire>::$w) => Ok(<$domain>::$d),)*
                    _ => Err(InvalidMessage::unknown($what, number)),
                }
            }
        }
    };
}
use enum_map;

/// Reads a wire enum's number.
trait FromNumber: Sized {
    fn from_number(number: i32) -> Result<Self, InvalidMessage>;
}

#[cfg(test)]
mod tests;
