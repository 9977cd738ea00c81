//! Expressions of `--slo` and `--fail-if`: `p99<5ms`, `errors>0.1%`, `rate<1000`, several with
//! commas.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::histogram::LatencyHistogram;
use super::report::format;
use super::result::RunResult;

/// What is right, for those who wrote something else.
const EXAMPLE: &str = "right are p99<5ms, p99.9>20ms, mean<1ms, max<1s, errors>0.1%, rate<1000";
/// Expressions in one text.
const EXPRESSIONS_MAX: usize = 100;

/// What an expression is about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Metric {
    /// A percentile of the total latency, from 0 to 100.
    Percentile(f64),
    /// The mean latency.
    Mean,
    /// The smallest latency.
    Min,
    /// The largest latency.
    Max,
    /// Failures, as a share of the requests that ended, in percent.
    ErrorShare,
    /// Failures.
    Errors,
    /// Answers in a second.
    Rate,
}

impl Metric {
    /// In what its values are.
    #[must_use]
    pub const fn unit(self) -> Unit {
        match self {
            Self::Percentile(_) | Self::Mean | Self::Min | Self::Max => Unit::Microseconds,
            Self::ErrorShare => Unit::Percent,
            Self::Errors => Unit::Count,
            Self::Rate => Unit::PerSecond,
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percentile(percent) => write!(f, "p{percent}"),
            Self::Mean => f.write_str("mean"),
            Self::Min => f.write_str("min"),
            Self::Max => f.write_str("max"),
            Self::ErrorShare | Self::Errors => f.write_str("errors"),
            Self::Rate => f.write_str("rate"),
        }
    }
}

/// In what a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A latency.
    Microseconds,
    /// A share.
    Percent,
    /// A number.
    Count,
    /// A rate.
    PerSecond,
}

impl Unit {
    /// A value for people.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Microseconds => format::latency(value),
            Self::Percent => format!("{} %", format::short(value)),
            Self::Count => format::short(value),
            Self::PerSecond => format!("{}/s", format::rate(value)),
        }
    }
}

/// How a value must be to a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
}

impl Relation {
    const ALL: [(&'static str, Self); 4] =
        [("<=", Self::AtMost), (">=", Self::AtLeast), ("<", Self::Below), (">", Self::Above)];

    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Below => value < bound,
            Self::AtMost => value <= bound,
            Self::Above => value > bound,
            Self::AtLeast => value >= bound,
        }
    }
}

/// One expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    /// As it was written.
    pub text: String,
    /// What it is about.
    pub metric: Metric,
    /// How that must be to the bound.
    pub relation: Relation,
    /// The bound, in the metric's unit.
    pub bound: f64,
}

/// What an expression is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// `--slo`: it must hold.
    Slo,
    /// `--fail-if`: it must not hold.
    FailIf,
}

/// What became of an expression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// The expression.
    pub expression: String,
    /// What it is for.
    pub purpose: Purpose,
    /// The value; none where nothing was measured.
    pub value: Option<f64>,
    /// In what the value is.
    pub unit: Unit,
    /// Whether the expression is true.
    pub holds: bool,
}

impl Check {
    /// Whether that is good. What was not measured is not.
    #[must_use]
    pub const fn passed(&self) -> bool {
        let wanted = matches!(self.purpose, Purpose::Slo);
        self.value.is_some() && self.holds == wanted
    }
}

/// What is wrong with an expression, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// There is none.
    #[error("an expression is empty: {EXAMPLE}")]
    Empty,
    /// There are too many.
    #[error("more than {EXPRESSIONS_MAX} expressions")]
    TooMany,
    /// Neither `<` nor `>`.
    #[error("`{0}` has no <, <=, > or >=: {EXAMPLE}")]
    NoRelation(String),
    /// What is compared is unknown.
    #[error(
        "`{0}` is unknown: it is a percentile such as p99 or p99.9, mean, min, max, errors or rate"
    )]
    Metric(String),
    /// No such percentile.
    #[error("`{0}` is no percentile: p0 to p100, such as p50, p99 or p99.9")]
    Percentile(String),
    /// No such duration.
    #[error("`{0}` is no duration: a number with ns, us, ms or s, such as 5ms or 1.5s")]
    Duration(String),
    /// No such rate.
    #[error("`{0}` is no rate: requests a second, such as 1000, 50k or 1.5M")]
    Rate(String),
    /// No such number of errors.
    #[error("`{0}` is no number of errors: a share such as 0.1%, or a count such as 10")]
    Errors(String),
}

/// Reads expressions that are separated by commas.
///
/// # Errors
///
/// What is wrong with the first wrong one.
pub fn parse(text: &str) -> Result<Vec<Expression>, ExpressionError> {
    let found: Vec<Expression> =
        text.split(',').take(EXPRESSIONS_MAX + 1).map(expression).collect::<Result<_, _>>()?;
    if found.len() > EXPRESSIONS_MAX { Err(ExpressionError::TooMany) } else { Ok(found) }
}

fn expression(text: &str) -> Result<Expression, ExpressionError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(ExpressionError::Empty);
    }
    let sign = Relation::ALL.iter().find_map(|(sign, relation)| {
        let (left, right) = text.split_once(sign)?;
        Some((left.trim(), *relation, right.trim()))
    });
    let (left, relation, right) =
        sign.ok_or_else(|| ExpressionError::NoRelation(text.to_owned()))?;
    let (metric, bound) = match left {
        "mean" => (Metric::Mean, duration(right)?),
        "min" => (Metric::Min, duration(right)?),
        "max" => (Metric::Max, duration(right)?),
        "errors" => errors(right)?,
        "rate" => (Metric::Rate, rate(right)?),
        _ => (percentile(left)?, duration(right)?),
    };
    Ok(Expression { text: text.to_owned(), metric, relation, bound })
}

fn percentile(text: &str) -> Result<Metric, ExpressionError> {
    let number =
        text.strip_prefix('p').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let number = number.ok_or_else(|| ExpressionError::Metric(text.to_owned()))?;
    let percent = decimal(number).filter(|percent| *percent <= 100.0);
    let percent = percent.ok_or_else(|| ExpressionError::Percentile(text.to_owned()))?;
    Ok(Metric::Percentile(percent))
}

/// A duration in microseconds.
fn duration(text: &str) -> Result<f64, ExpressionError> {
    let (number, unit) = split(text);
    let scale = match unit {
        "ns" => Some(0.001),
        "us" | "µs" => Some(1.0),
        "ms" => Some(1_000.0),
        "s" => Some(1_000_000.0),
        _ => None,
    };
    let found = decimal(number).zip(scale).map(|(number, scale)| number * scale);
    found.ok_or_else(|| ExpressionError::Duration(text.to_owned()))
}

fn rate(text: &str) -> Result<f64, ExpressionError> {
    let (number, unit) = split(text);
    let scale = match unit.strip_suffix("/s").unwrap_or(unit) {
        "" => Some(1.0),
        "k" => Some(1_000.0),
        "M" => Some(1_000_000.0),
        _ => None,
    };
    let found = decimal(number).zip(scale).map(|(number, scale)| number * scale);
    found.ok_or_else(|| ExpressionError::Rate(text.to_owned()))
}

fn errors(text: &str) -> Result<(Metric, f64), ExpressionError> {
    let (number, unit) = split(text);
    let number = decimal(number);
    let found = match unit {
        "%" => number.filter(|share| *share <= 100.0).map(|share| (Metric::ErrorShare, share)),
        "" => number.map(|count| (Metric::Errors, count)),
        _ => None,
    };
    found.ok_or_else(|| ExpressionError::Errors(text.to_owned()))
}

/// The number and what follows it.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

/// A number of digits with at most one point.
fn decimal(text: &str) -> Option<f64> {
    let is_plain =
        text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| is_plain)
}

/// What became of all expressions. Latencies are those of [`super::result::Latencies::total`].
#[must_use]
pub fn evaluate(expressions: &[Expression], purpose: Purpose, result: &RunResult) -> Vec<Check> {
    let total = result.latency.total.unpack();
    let check = |expression: &Expression| {
        let value = value(expression.metric, result, &total);
        Check {
            expression: expression.text.clone(),
            purpose,
            value,
            unit: expression.metric.unit(),
            holds: value.is_some_and(|value| expression.relation.holds(value, expression.bound)),
        }
    };
    expressions.iter().map(check).collect()
}

fn value(metric: Metric, result: &RunResult, total: &LatencyHistogram) -> Option<f64> {
    let summary = result.latency.total.summary();
    let latency = match metric {
        Metric::Percentile(percent) => total.quantile_us(percent / 100.0),
        Metric::Mean => summary.mean,
        Metric::Min => summary.min,
        Metric::Max => summary.max,
        Metric::Errors => return Some(super::result::real(result.error_count())),
        Metric::ErrorShare => {
            let has_ended = result.counts.completed > 0 || result.error_count() > 0;
            return has_ended.then(|| result.error_share() * 100.0);
        }
        Metric::Rate => return (result.seconds > 0.0).then(|| result.rate()),
    };
    (!summary.is_empty()).then_some(latency)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::example::Example;
    use crate::load::histogram::Packed;

    #[test]
    fn expressions_are_read() {
        use Metric as M;
        use Relation as R;
        let cases = [
            ("p99<5ms", M::Percentile(99.0), R::Below, 5_000.0),
            (" p99.9 > 20ms ", M::Percentile(99.9), R::Above, 20_000.0),
            ("p50<=1.5s", M::Percentile(50.0), R::AtMost, 1_500_000.0),
            ("mean<100us", M::Mean, R::Below, 100.0),
            ("min>=10 ns", M::Min, R::AtLeast, 0.01),
            ("max<1s", M::Max, R::Below, 1_000_000.0),
            ("errors>0.1%", M::ErrorShare, R::Above, 0.1),
            ("errors>10", M::Errors, R::Above, 10.0),
            ("rate<1000", M::Rate, R::Below, 1_000.0),
            ("rate>=1.5k/s", M::Rate, R::AtLeast, 1_500.0),
        ];
        for (text, metric, relation, bound) in cases {
            let found = parse(text).unwrap();
            assert_eq!(found.len(), 1, "{text}");
            assert_eq!((found[0].metric, found[0].relation), (metric, relation), "{text}");
            assert!((found[0].bound - bound).abs() < 1e-9, "{text}");
            assert_eq!(found[0].text, text.trim());
        }
        assert_eq!(parse("p99<5ms, errors>1%").unwrap().len(), 2);
    }

    #[test]
    fn what_is_wrong_is_said_with_what_is_right() {
        let cases = [
            ("", "is empty"),
            ("p99<5ms,", "is empty"),
            ("p99=5ms", "has no <"),
            ("p99", "has no <"),
            ("latency<5ms", "`latency` is unknown"),
            ("p<5ms", "`p` is unknown"),
            ("p101<5ms", "p0 to p100"),
            ("p9.9.9<5ms", "p0 to p100"),
            ("p99<5", "such as 5ms"),
            ("p99<five ms", "such as 5ms"),
            ("p99<-5ms", "such as 5ms"),
            ("p99<5min", "such as 5ms"),
            ("p99<=>5ms", "such as 5ms"),
            ("rate<fast", "such as 1000"),
            ("rate<1e5", "such as 1000"),
            ("errors>101%", "such as 0.1%"),
            ("errors>1ms", "such as 0.1%"),
        ];
        for (text, expected) in cases {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert_eq!(parse(&"p1<1s,".repeat(200)), Err(ExpressionError::TooMany));
    }

    #[test]
    fn results_are_judged() {
        let mut result = Example::constant(1_000.0).seconds(10).build();
        let checks = |text: &str, purpose, result: &RunResult| {
            let checks = evaluate(&parse(text).unwrap(), purpose, result);
            checks.iter().map(Check::passed).collect::<Vec<_>>()
        };
        let good = "p50<10ms,p99>1us,rate>900,errors<50%";
        assert_eq!(checks(good, Purpose::Slo, &result), [true; 4]);
        assert_eq!(checks(good, Purpose::FailIf, &result), [false; 4]);
        result.latency.total = Packed::default();
        assert_eq!(checks("p50<10s", Purpose::Slo, &result), [false]);
        assert_eq!(checks("p50>10s", Purpose::FailIf, &result), [false], "nothing was measured");
    }
}
