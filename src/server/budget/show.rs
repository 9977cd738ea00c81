//! The table.

use std::fmt;

use super::{Budget, Item, Part, Totals};

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = self.parts.iter().flat_map(Part::rows).map(|row| row.name.chars().count());
        let width = widest.max().unwrap_or(0);
        for part in &self.parts {
            writeln!(f, "{}", part.title)?;
            for Row { kind, name, amount, formula } in part.rows() {
                let amount = kind.shown(amount);
                let line = format!("  {:<11} {amount:>10}  {name:<width$}  {formula}", kind.word());
                writeln!(f, "{}", line.trim_end())?;
            }
            writeln!(f)?;
        }
        writeln!(f, "in all, at most")?;
        let Totals { memory, descriptors, locked } = self.totals();
        let totals =
            [(Kind::Memory, memory), (Kind::Descriptors, descriptors), (Kind::Locked, locked)];
        for (kind, amount) in totals {
            writeln!(f, "  {:<11} {:>10}", kind.word(), kind.shown(amount))?;
        }
        writeln!(f)?;
        writeln!(f, "not bounded by the configuration")?;
        self.unbounded.iter().try_for_each(|what| writeln!(f, "  - {what}"))
    }
}

/// What an amount is one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Memory,
    Descriptors,
    Locked,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Descriptors => "descriptors",
            Self::Locked => "locked",
        }
    }

    /// An amount for people.
    pub(super) fn shown(self, amount: u64) -> String {
        match self {
            Self::Memory | Self::Locked => shown_bytes(amount),
            Self::Descriptors => amount.to_string(),
        }
    }
}

/// A line of a part.
struct Row<'a> {
    kind: Kind,
    name: &'a str,
    amount: u64,
    formula: &'a str,
}

impl Part {
    /// Its items by kind, each kind of more than one with its total behind.
    fn rows(&self) -> Vec<Row<'_>> {
        let Totals { memory, descriptors, locked } = self.totals();
        let kinds: [(Kind, &[Item], u64); 3] = [
            (Kind::Memory, &self.memory, memory),
            (Kind::Descriptors, &self.descriptors, descriptors),
            (Kind::Locked, &self.locked, locked),
        ];
        let mut rows = Vec::new();
        for (kind, items, total) in kinds {
            rows.extend(items.iter().map(|Item { name, formula, amount }| Row {
                kind,
                name,
                amount: *amount,
                formula,
            }));
            if items.len() > 1 {
                rows.push(Row { kind, name: "total", amount: total, formula: "" });
            }
        }
        rows
    }
}

/// Bytes with a unit and a tenth of it, rounded up: a worst case is not rounded down.
fn shown_bytes(amount: u64) -> String {
    const UNITS: [(u128, &str); 6] = [
        (1 << 60, "EiB"),
        (1 << 50, "PiB"),
        (1 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ];
    if amount == u64::MAX {
        return ">= 16EiB".to_owned();
    }
    let amount = u128::from(amount);
    let Some((unit, name)) = UNITS.into_iter().find(|(unit, _)| amount >= *unit) else {
        return format!("{amount}B");
    };
    let tenths = (amount * 10).div_ceil(unit);
    let (whole, tenth) = (tenths / 10, tenths % 10);
    if tenth == 0 { format!("{whole}{name}") } else { format!("{whole}.{tenth}{name}") }
}
