//! Limits with their values, and products and sums of them.

use super::Item;
use crate::config::units::Size;

/// A limit, or a fixed number, with what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Factor {
    text: String,
    value: u64,
}

/// The value of a key that counts something: "max_connections 10000".
pub(super) fn count(key: &str, value: impl Into<u64>) -> Factor {
    let value = value.into();
    Factor { text: format!("{key} {value}"), value }
}

/// The value of a key in bytes: "runtime.buffer_size 16KiB".
pub(super) fn size(key: &str, value: impl Into<u64>) -> Factor {
    let value = value.into();
    Factor { text: format!("{key} {}", Size(value)), value }
}

/// A number that no key sets: "2 directions".
pub(super) fn number(value: u64, what: &str) -> Factor {
    Factor { text: format!("{value} {what}"), value }
}

/// Bytes that no key sets: "64B each".
pub(super) fn bytes(value: u64, what: &str) -> Factor {
    Factor { text: format!("{} {what}", Size(value)), value }
}

/// An item of one product.
pub(super) fn product(name: &str, factors: &[Factor]) -> Item {
    sum(name, &[factors])
}

/// An item that is the sum of products.
pub(super) fn sum(name: &str, products: &[&[Factor]]) -> Item {
    let texts = products.iter().map(|factors| {
        let texts: Vec<&str> = factors.iter().map(|factor| factor.text.as_str()).collect();
        texts.join(" x ")
    });
    let amounts = products
        .iter()
        .map(|factors| factors.iter().map(|factor| factor.value).fold(1, u64::saturating_mul));
    Item {
        name: name.to_owned(),
        formula: texts.collect::<Vec<_>>().join(" + "),
        amount: amounts.fold(0, u64::saturating_add),
    }
}
