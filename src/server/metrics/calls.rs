//! What is told of calls of gRPC.

use super::{MetricFamily, MetricType, counter, family, labelled, proto_histogram};
use crate::service::grpc::Code;
use crate::session::Calls;

/// What methods are called that are not told apart.
const OTHER: &str = "other";

/// Calls by method: how many ended how, and how long they took.
pub(super) fn call_families(calls: &Calls) -> Vec<MetricFamily> {
    let (mut ended, mut took) = (Vec::new(), Vec::new());
    for (method, calls) in calls.all() {
        let method = || ("method", method.unwrap_or(OTHER).to_owned());
        for code in Code::ALL {
            let count = calls.ended[code.number()];
            if count > 0 {
                let status = ("grpc_status", code.name().to_owned());
                ended.push(counter(&[method(), status], count));
            }
        }
        let mut metric = labelled(&[method()]);
        metric.set_histogram(proto_histogram(&calls.took));
        took.push(metric);
    }
    vec![
        family(
            "ringway_grpc_calls_total",
            "Calls of gRPC by method and status; methods that no server has said to know are \
             \"other\".",
            MetricType::COUNTER,
            ended,
        ),
        family(
            "ringway_grpc_call_duration_seconds",
            "From the head of a call of gRPC to the end of its answer, by method.",
            MetricType::HISTOGRAM,
            took,
        ),
    ]
}
