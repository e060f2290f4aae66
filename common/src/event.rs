//! The closed vocabularies of `mesh_events`: values a column may hold.

macro_rules! vocabulary {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vmeta])* $variant,)+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The text stored in the column.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

vocabulary! {
    /// Column `decision`: what the mesh did with the request.
    Decision {
        /// Let through.
        Allow = "allow",
        /// Refused by a rule.
        Deny = "deny",
        /// Failed for another reason than a rule.
        Error = "error",
        /// The record does not say.
        Unknown = "unknown",
    }
}

vocabulary! {
    /// Column `decision_source`: who decided.
    DecisionSource {
        /// Nothing decided: let through without a rule being named.
        None = "none",
        /// Role-based access control of the data plane.
        Rbac = "rbac",
        /// JSON Web Token authentication.
        Jwt = "jwt",
        /// External authorisation said no.
        ExtAuthz = "ext_authz",
        /// External authorisation failed, and the request with it.
        ExtAuthzError = "ext_authz_error",
        /// A rate limit.
        RateLimit = "rate_limit",
        /// Mutual TLS.
        Mtls = "mtls",
        /// Cross-site request forgery filter.
        Csrf = "csrf",
        /// The proxy, for a reason that is no rule.
        Proxy = "proxy",
        /// A network policy of the cluster, as the proxy supposes.
        NetworkPolicy = "network_policy",
        /// An access control list, by a token.
        Acl = "acl",
        /// The server or application itself.
        App = "app",
        /// A rule about what a session may do.
        Guardrail = "guardrail",
        /// A person who was asked.
        Review = "review",
        /// Authorization by the Kubernetes apiserver, mostly its RBAC.
        K8sRbac = "k8s_rbac",
        /// Admission control of the Kubernetes apiserver.
        K8sAdmission = "k8s_admission",
        /// Authentication by the Kubernetes apiserver.
        K8sAuthn = "k8s_authn",
    }
}

vocabulary! {
    /// Column `event_kind`.
    EventKind {
        /// One HTTP request, gRPC included.
        HttpRequest = "http_request",
        /// One TCP connection.
        TcpConnection = "tcp_connection",
        /// A TLS handshake, as a listener reports it.
        TlsHandshake = "tls_handshake",
        /// A configuration change of policy.
        PolicyChange = "policy_change",
        /// Another call to a control plane.
        ApiCall = "api_call",
        /// Not classified.
        Unknown = "unknown",
        /// A verdict of an authorization rule, on a line of its own.
        AuthzDecision = "authz_decision",
        /// A log line that is no audit event.
        Log = "log",
        /// A session of a gateway begins or ends.
        Session = "session",
        /// A database statement, or another command within a session.
        Statement = "statement",
    }
}

vocabulary! {
    /// Column `tls_failure_reason`: the normalised cause; the raw text is in
    /// `tls_failure_detail`.
    TlsFailureReason {
        /// The peer's certificate did not verify, cause not further known.
        CertVerifyFailed = "cert_verify_failed",
        /// The peer's certificate is past its end, or not yet valid.
        CertExpired = "cert_expired",
        /// The peer showed no certificate.
        NoClientCert = "no_client_cert",
        /// The certificate names somebody else.
        SanMismatch = "san_mismatch",
        /// The issuer is not trusted.
        UnknownCa = "unknown_ca",
        /// No common TLS version.
        VersionMismatch = "version_mismatch",
        /// Plain text arrived on, or from, a TLS port.
        PlaintextOnTlsPort = "plaintext_on_tls_port",
        /// No filter chain took the connection, as with plain text into strict mutual TLS.
        NoFilterChain = "no_filter_chain",
        /// The certificate was revoked.
        CertRevoked = "cert_revoked",
        /// Any other failure.
        Other = "other",
        /// Strict mutual TLS refused plain text, as a denial.
        PlaintextRefused = "plaintext_refused",
        /// The peer sent nothing by which TLS could be detected.
        DetectTimeout = "detect_timeout",
    }
}
