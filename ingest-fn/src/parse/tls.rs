//! Envoy's transport failure reasons.
//! Grammar: `TLS_error:|<code>:SSL_routines:OPENSSL_internal:<REASON>[:<detail>…]:TLS_error_end`.

use common::event::TlsFailureReason;
use memchr::memmem::find;

/// Whether a transport failure reason is a real TLS failure. `TLS_error|error:…` is what the TLS
/// inspector notes on successful plain-text connections, and plain connect failures share the
/// field.
pub fn is_failure(reason: &[u8]) -> bool {
    reason.starts_with(b"TLS_error:|")
}

/// The upstream TLS failure inside response code details
/// `upstream_reset_before_response_started{<cause>|TLS_error:…}`.
pub fn in_details(details: &[u8]) -> Option<&[u8]> {
    let inside = details.strip_prefix(b"upstream_reset_before_response_started{")?;
    let inside = inside.strip_suffix(b"}").unwrap_or(inside);
    let reason = &inside[memchr::memchr(b'|', inside)? + 1..];
    is_failure(reason).then_some(reason)
}

/// The normalised cause of a failure.
pub fn classify(reason: &[u8]) -> TlsFailureReason {
    const MARK: &[u8] = b"OPENSSL_internal:";
    let Some(at) = find(reason, MARK) else { return TlsFailureReason::Other };
    let text = &reason[at + MARK.len()..];
    let has = |needle: &[u8]| find(text, needle).is_some();
    let code_end = memchr::memchr(b':', text).unwrap_or(text.len());
    let code = &text[..code_end];
    let code_has = |needle: &[u8]| find(code, needle).is_some();
    if code == b"CERTIFICATE_VERIFY_FAILED" {
        return if has(b"SAN_matcher") {
            TlsFailureReason::SanMismatch
        } else if has(b"certificate_has_expired") || has(b"not_yet_valid") {
            TlsFailureReason::CertExpired
        } else if has(b"unable_to_get") || has(b"self_signed") {
            TlsFailureReason::UnknownCa
        } else if has(b"revoked") {
            TlsFailureReason::CertRevoked
        } else {
            TlsFailureReason::CertVerifyFailed
        };
    }
    match code {
        b"PEER_DID_NOT_RETURN_A_CERTIFICATE" => TlsFailureReason::NoClientCert,
        b"HTTP_REQUEST" | b"WRONG_VERSION_NUMBER" => TlsFailureReason::PlaintextOnTlsPort,
        b"UNSUPPORTED_PROTOCOL" => TlsFailureReason::VersionMismatch,
        b"TLSV1_ALERT_UNKNOWN_CA" => TlsFailureReason::UnknownCa,
        b"SSLV3_ALERT_CERTIFICATE_EXPIRED" => TlsFailureReason::CertExpired,
        b"SSLV3_ALERT_CERTIFICATE_UNKNOWN" => TlsFailureReason::CertVerifyFailed,
        _ if code_has(b"PROTOCOL_VERSION") => TlsFailureReason::VersionMismatch,
        _ if code_has(b"CERTIFICATE_REVOKED") => TlsFailureReason::CertRevoked,
        _ if code_has(b"BAD_CERTIFICATE") => TlsFailureReason::CertVerifyFailed,
        _ => TlsFailureReason::Other,
    }
}
