//! How a number becomes a series: one call a metric, by the name that operators see. Counters end in `_total`, whatever has a unit ends in it.

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// A scrape under way. Writing to memory cannot fail; an error would be a defect of a declaration, which the tests exercise.
pub type Written = Result<(), std::fmt::Error>;

/// A number as it is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// As it was counted.
    Whole(u64),
    /// In another unit than it was counted in.
    Scaled(f64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Value::Whole(value)
    }
}

impl Value {
    /// Counted in this fraction of the unit that is shown.
    pub fn of(value: u64, scale: Option<f64>) -> Self {
        scale.map_or(Value::Whole(value), |scale| Value::Scaled(value as f64 / scale))
    }

    fn encode(self, kind: MetricType, encoder: MetricEncoder<'_>) -> Written {
        match (kind, self) {
            (MetricType::Counter, Value::Whole(value)) => ConstCounter::new(value).encode(encoder),
            (MetricType::Counter, Value::Scaled(value)) => ConstCounter::new(value).encode(encoder),
            (_, Value::Whole(value)) => ConstGauge::new(value).encode(encoder),
            (_, Value::Scaled(value)) => ConstGauge::new(value).encode(encoder),
        }
    }
}

/// Where series are written to.
pub struct Out<'a, 'e>(pub &'a mut DescriptorEncoder<'e>);

/// The labels of one series: names from the code, values from closed or bounded lists.
pub type Labels<'a> = Vec<(&'static str, &'a str)>;

impl Out<'_, '_> {
    /// A counter without labels.
    ///
    /// # Errors
    /// See [`Written`].
    pub fn counter(&mut self, name: &str, help: &str, value: impl Into<Value>) -> Written {
        self.counters(name, help, [(Labels::new(), value.into())])
    }

    /// A counter with labels.
    ///
    /// # Errors
    /// See [`Written`].
    pub fn counters<'l>(&mut self, name: &str, help: &str, rows: impl IntoIterator<Item = (Labels<'l>, Value)>) -> Written {
        // OpenMetrics puts the suffix behind the name of each sample.
        self.rows(name.strip_suffix("_total").unwrap_or(name), help, MetricType::Counter, rows)
    }

    /// A gauge without labels.
    ///
    /// # Errors
    /// See [`Written`].
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Into<Value>) -> Written {
        self.gauges(name, help, [(Labels::new(), value.into())])
    }

    /// A gauge with labels.
    ///
    /// # Errors
    /// See [`Written`].
    pub fn gauges<'l>(&mut self, name: &str, help: &str, rows: impl IntoIterator<Item = (Labels<'l>, Value)>) -> Written {
        self.rows(name, help, MetricType::Gauge, rows)
    }

    /// A histogram over all shards.
    ///
    /// # Errors
    /// See [`Written`].
    pub fn histogram(&mut self, name: &str, help: &str, (buckets, sum, count): &(Vec<(f64, u64)>, f64, u64)) -> Written {
        self.0.encode_descriptor(name, help, None, MetricType::Histogram)?.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)
    }

    fn rows<'l>(&mut self, name: &str, help: &str, kind: MetricType, rows: impl IntoIterator<Item = (Labels<'l>, Value)>) -> Written {
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in rows {
            if labels.is_empty() {
                return value.encode(kind, family);
            }
            value.encode(kind, family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
