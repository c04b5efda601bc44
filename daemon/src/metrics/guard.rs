//! What is counted of certificates and of the admin listener's door. The shards' own numbers, of handshakes and of connections that were not let in, are in
//! `ShardMetrics`.

use super::Count;
use super::series::{Out, Written};

/// Written by the control thread alone.
#[derive(Debug, Default)]
pub struct GuardMetrics {
    /// Of the certificate that is shown; 0 without one.
    pub expires_s: Count,
    /// Sets of certificates taken after the first.
    pub exchanged: Count,
    /// Sets of certificates that do not fit.
    pub refused: Count,
    /// Admin requests without the right to what they asked for.
    pub denied: Count,
}

impl GuardMetrics {
    /// One scrape.
    pub(super) fn encode(&self, out: &mut Out<'_, '_>) -> Written {
        out.gauge(
            "verdictd_tls_certificate_expires_timestamp_seconds",
            "When the certificate that is shown expires; 0 without TLS",
            self.expires_s.get(),
        )?;
        out.counter(
            "verdictd_tls_certificates_exchanged_total",
            "Times that certificates were exchanged since start",
            self.exchanged.get(),
        )?;
        out.counter(
            "verdictd_tls_certificates_refused_total",
            "Certificates, keys or authorities refused since start; the log says why, and those before are shown on",
            self.refused.get(),
        )?;
        out.counter("verdictd_admin_denied_total", "Admin requests that were denied for want of a token", self.denied.get())
    }
}
