//! What clients show of themselves by TLS, and conditions on it.

/// The certificate that a client has shown, and that was verified. Texts are printable ASCII.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The subject as RFC 4514 has it, as in `CN=alice,O=Example`.
    pub subject: String,
    /// Its other names, as in `DNS:a.example,email:a@b.example,URI:spiffe://a`.
    pub names: String,
    /// SHA-256 of the certificate, in hexadecimal digits.
    pub fingerprint: String,
}

/// What a certificate has to be; without any condition, it has to be there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateMatch {
    /// The subject; one `*` stands for anything.
    pub subject: Option<Box<str>>,
    /// One of the other names; one `*` stands for anything.
    pub name: Option<Box<str>>,
    /// The fingerprint, in lower case.
    pub fingerprint: Option<Box<str>>,
}

impl CertificateMatch {
    /// Whether all of it holds.
    #[must_use]
    pub fn holds(&self, shown: Option<&ClientCertificate>) -> bool {
        let Some(shown) = shown else { return false };
        let Self { subject, name, fingerprint } = self;
        let is_subject = |pattern: &str| matches(pattern, &shown.subject);
        // A comma within a name is escaped, so that it cannot look like two.
        let is_name = |pattern: &str| shown.names.split(',').any(|name| matches(pattern, name));
        let is_fingerprint = |wanted: &str| *wanted == *shown.fingerprint;
        subject.as_deref().is_none_or(is_subject)
            && name.as_deref().is_none_or(is_name)
            && fingerprint.as_deref().is_none_or(is_fingerprint)
    }
}

/// Whether a text is as a pattern with one `*` at most has it.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => {
            let rest = text.strip_prefix(before);
            rest.is_some_and(|rest| rest.len() >= after.len() && rest.ends_with(after))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_hold_of_what_is_shown() {
        let shown = ClientCertificate {
            subject: "CN=alice,O=Example".to_owned(),
            names: "DNS:a.ops.example,email:a@b.example".to_owned(),
            fingerprint: "ab12".to_owned(),
        };
        let text = |text: &str| (!text.is_empty()).then(|| text.into());
        for (subject, name, fingerprint, holds) in [
            ("", "", "", true),
            ("CN=alice,O=Example", "", "", true),
            ("CN=alice", "", "", false),
            ("CN=alice*", "", "", true),
            ("*,O=Example", "", "", true),
            ("*,O=Other", "", "", false),
            ("CN=*,O=Example", "DNS:a.ops.example", "ab12", true),
            ("CN=alice,O=ExampleCN=alice*", "", "", false),
            ("", "DNS:*.ops.example", "", true),
            ("", "DNS:*.dev.example", "", false),
            ("", "email:a@b.example", "", true),
            ("", "a.ops.example", "", false),
            ("", "DNS:a.ops.example,email:a@b.example", "", false),
            ("", "", "ab12", true),
            ("", "", "ab", false),
        ] {
            let condition = CertificateMatch {
                subject: text(subject),
                name: text(name),
                fingerprint: text(fingerprint),
            };
            assert_eq!(condition.holds(Some(&shown)), holds, "{condition:?}");
            assert!(!condition.holds(None), "none is shown");
        }
    }
}
