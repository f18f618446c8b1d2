//! What can go wrong, in the words of DCDN: HTTP status, code and message of every error that this
//! API gives (DCDN OpenAPI 2018-01-15).
//!
//! Not here: how an error is written (`answer`).

use std::borrow::Cow;

use crate::control::changes::ChangeError;
use crate::control::config::store::StoreError;
use crate::control::statistics::StatisticsError;

/// An error with a fixed text.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    pub status: u16,
    pub code: &'static str,
    pub message: &'static str,
}

const fn known(status: u16, code: &'static str, message: &'static str) -> Known {
    Known { status, code, message }
}

// === Of the gateway ===

/// The classic SDK splits the message at the colon and compares what follows with its own string:
/// when they are the same, it is the secret that is wrong.
pub const SIGNATURE_PREFIX: &str =
    "Specified signature is not matched with our calculation. server string to sign is:";
pub const SIGNATURE: Known =
    known(400, "SignatureDoesNotMatch", "Specified signature is not matched with our calculation.");
pub const TIMESTAMP_EXPIRED: Known =
    known(400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.");
pub const TIMESTAMP_FORMAT: Known = known(
    400,
    "InvalidTimeStamp.Format",
    "Specified time stamp or date value is not well formatted.",
);
pub const NONCE_USED: Known =
    known(400, "SignatureNonceUsed", "Specified signature nonce was used already.");
pub const INCOMPLETE_SIGNATURE: Known = known(
    400,
    "IncompleteSignature",
    "The request signature does not conform to Aliyun standards.",
);
pub const KEY_NOT_FOUND: Known =
    known(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.");
pub const VERSION: Known =
    known(400, "InvalidVersion", "Specified parameter Version is not valid.");
pub const ACTION: Known = known(
    404,
    "InvalidAction.NotFound",
    "Specified api is not found, please check your url and method.",
);
pub const FORBIDDEN: Known = known(
    403,
    "Forbidden.RAM",
    "User not authorized to operate on the specified resource, or this API doesn't support RAM.",
);
pub const THROTTLING: Known =
    known(400, "Throttling.User", "Request was denied due to user flow control.");
pub const METHOD: Known = known(403, "UnsupportedHTTPMethod", "This http method is not supported.");
pub const INTERNAL: Known = known(
    500,
    "InternalError",
    "The request processing has failed due to some unknown error; the log of the edge names it.",
);
pub const UNAVAILABLE: Known =
    known(503, "ServiceUnavailable", "The request has failed due to a temporary failure.");
pub const BUSY: Known = known(
    400,
    "ServiceBusy",
    "The configuration was changed by somebody else at the same time; try again.",
);
pub const BODY: Known =
    known(400, "InvalidBody", "The body did not arrive whole, or is longer than the edge accepts.");

// === Of times ===

pub const MISSING_TIME: Known =
    known(400, "MissingTimeParameter", "The StartTime and EndTime must be both specified.");
pub const START_MALFORMED: Known =
    known(400, "InvalidStartTime.Malformed", "The specified StartTime is invalid.");
pub const END_MALFORMED: Known =
    known(400, "InvalidEndTime.Malformed", "The specified EndTime is invalid.");
pub const END_MISMATCH: Known =
    known(400, "InvalidEndTime.Mismatch", "The specified EndTime is earlier than the StartTime.");
pub const START_UNSUPPORTED: Known =
    known(400, "InvalidStartTime.ValueNotSupported", "The specified StartTime is invalid.");

// === Of domains ===

pub const DOMAIN_NOT_FOUND: Known =
    known(404, "InvalidDomain.NotFound", "The domain name does not belong to your account.");
pub const DOMAIN_EXISTS: Known =
    known(400, "DomainAlreadyExist", "The specified domain name already exists.");
pub const DOMAIN_MALFORMED: Known =
    known(400, "InvalidDomainName.Malformed", "The specified DomainName is invalid.");
pub const DOMAINS_EXCEED: Known = known(
    400,
    "InvalidDomainNames.Exceed",
    "The number of domain names exceeds the limit of one call.",
);
pub const MISSING_PARAMETER: Known = known(
    400,
    "MissingParameter",
    "The input parameter DomainName that is mandatory for processing this request is not supplied.",
);
pub const SCOPE_MALFORMED: Known =
    known(400, "InvalidScope.Malformed", "The specified Scope is invalid.");
pub const SOURCES_MALFORMED: Known =
    known(400, "InvalidSources.Malformed", "The specified Sources is invalid.");
pub const SOURCE_CONTENT_MALFORMED: Known =
    known(400, "InvalidSource.Content.Malformed", "The specified Content in Sources is invalid.");
pub const SOURCE_CONTENT_MISSING: Known =
    known(400, "MissingSource.Content", "Content in Sources must be specified.");
pub const SOURCE_TYPE_MISSING: Known =
    known(400, "MissingSource.Type", "Type in Sources must be specified.");
pub const SOURCE_TYPE_MALFORMED: Known =
    known(400, "InvalidSource.Type.Malformed", "The specified Type in Sources is invalid.");
pub const SOURCE_MISMATCH: Known = known(
    400,
    "InvalidTypeContent.Mismatch",
    "The specified Content in Sources is not of the specified Type.",
);
pub const SOURCE_PRIORITY_MALFORMED: Known = known(
    400,
    "InvalidSource.Priority.Malformed",
    "The specified Priority in Sources is invalid: accepted are 20 and 30.",
);
pub const SOURCE_PORT_MALFORMED: Known = known(
    400,
    "InvalidSource.Port.Malformed",
    "The specified Port in Sources is invalid: accepted are 1 to 65535.",
);
pub const SOURCE_WEIGHT_MALFORMED: Known = known(
    400,
    "InvalidSource.Weight.Malformed",
    "The specified Weight in Sources is invalid: accepted are 1 to 100.",
);
pub const SOURCE_EXCEED: Known =
    known(400, "SourceIp.Exceed", "The number of origins exceeds the limit of a domain name.");
pub const RESOURCE_GROUP_MALFORMED: Known =
    known(400, "InvalidResourceGroupId.Malformed", "The specified ResourceGroupId is invalid.");
pub const PROPERTY_MALFORMED: Known = known(
    400,
    "InvalidProperty.Malformed",
    "The specified Property is invalid: accepted is {\"coverage\":\"domestic|overseas|global\"}.",
);
pub const TAG_MALFORMED: Known = known(
    400,
    "InvalidTag.Malformed",
    "A specified tag is invalid: at most 20 of 1 to 128 characters, with values of at most 128.",
);
pub const RESOURCE_TYPE: Known = known(
    400,
    "InvalidResourceType.ValueNotSupported",
    "The specified ResourceType is not supported: accepted is DOMAIN.",
);

pub const IP_MALFORMED: Known =
    known(400, "InvalidIP.Malformed", "The specified IP is not an address.");

// === Of configurations ===

pub const FUNCTIONS_MALFORMED: Known =
    known(400, "InvalidFunctions.Malformed", "The specified Functions is invalid.");
pub const CONFIG_NOT_FOUND: Known =
    known(404, "InvalidConfigId.NotFound", "The specified ConfigId is not found.");
pub const NO_PLAN: Known = known(
    403,
    "OperationDenied",
    "WebSocket cannot be enabled: no billing plan is in effect. Call OpenDcdnService first, or set \
     [billing] enabled = false in hawser.toml.",
);

// === Of the service ===

pub const NOT_OPEN: Known =
    known(403, "OperationDenied", "The service is not open. Call OpenDcdnService first.");
pub const HAS_OPENED: Known =
    known(400, "DcdnService.HasOpened", "Your DCDN service has been activated.");

// === Of certificates ===

pub const SSL_PROTOCOL: Known = known(
    400,
    "InvalidSSLProtocol.ValueNotSupported",
    "The specified SSLProtocol is not supported: accepted are on and off.",
);
pub const CERT_TYPE: Known = known(
    400,
    "InvalidCertType.ValueNotSupported",
    "The specified CertType is not supported: accepted is upload, with SSLPub and SSLPri.",
);
pub const SSL_PUB_MISSING: Known =
    known(400, "SSLPub.MissingParameter", "The SSLPub must be specified.");
pub const SSL_PRI_MISSING: Known =
    known(400, "SSLPri.MissingParameter", "The SSLPri must be specified.");
pub const SSL_PUB: Known = known(400, "InvalidSSLPub", "The specified SSLPub is invalid.");
pub const SSL_PRI: Known = known(400, "InvalidSSLPri", "The specified SSLPri is invalid.");
pub const CERTIFICATE_MISMATCH: Known = known(
    400,
    "Certificate.MissMatch",
    "The certificate does not match the private key, or not the domain name.",
);
pub const CERTIFICATE_TOO_LONG: Known =
    known(400, "InvalidCertificate.TooLong", "The length of the certificate exceeds the limit.");
pub const CERTIFICATE_NAME_TOO_LONG: Known = known(
    400,
    "InvalidCertName.TooLong",
    "The length of the CertName exceeds the limit of 128 characters.",
);
pub const CERTIFICATE_MISSING: Known =
    known(400, "Certificate.MissingParameter", "You must specify the Certificate parameter.");
pub const CERTIFICATE_DECODE: Known = known(
    400,
    "Certificate.DecodeError",
    "An error occurred while decoding the certificate: accepted is PEM, or PEM in base64.",
);
pub const CERTIFICATE_FORMAT: Known =
    known(400, "Certificate.FormatError", "The format of the certificate is invalid.");
pub const CERTIFICATE_NO_KEY: Known = known(
    400,
    "Certificate.NoPrivateKey",
    "The private key of the certificate is not here: it is of no request that this edge made. \
     Call CreateDcdnCertificateSigningRequest and have its Csr signed, or set both with \
     SetDcdnDomainSSLCertificate.",
);
pub const COUNTRY_MALFORMED: Known = known(
    400,
    "InvalidValue.Malformed",
    "Country must be 2 characters: accepted is a code of ISO 3166-1 such as CN.",
);
pub const SM_CERTIFICATE: Known = known(
    400,
    "SMCertificate.NotSupported",
    "SM certificates are not supported: the TLS of this edge has no SM2, SM3 and SM4. Set an RSA \
     or ECDSA certificate with SetDcdnDomainSSLCertificate, or put a gateway that speaks them in \
     front.",
);
pub const CERTIFICATE_NOT_FOUND: Known =
    known(400, "Certificate.NotFind", "The certificate is not found.");
pub const CERTIFICATE_EXPIRED: Known =
    known(400, "Certificate.Expired", "The certificate is not valid at this time.");

/// An error as it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub status: u16,
    pub code: Cow<'static, str>,
    pub message: String,
    /// Milliseconds after which it may go well, for a header that the SDKs read.
    pub retry_after: Option<u64>,
}

impl Failure {
    /// 400 with a code that is made of a parameter's name.
    pub fn bad(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Failure {
        Failure { status: 400, code: code.into(), message: message.into(), retry_after: None }
    }

    /// `Missing<Param>`.
    pub fn missing(parameter: &str) -> Failure {
        let message = format!("{parameter} is mandatory for this action.");
        Failure::bad(format!("Missing{parameter}"), message)
    }

    /// `Invalid<Param>.ValueNotSupported`.
    pub fn unsupported(parameter: &str, accepted: &str) -> Failure {
        let message =
            format!("The specified {parameter} is not supported: accepted is {accepted}.");
        Failure::bad(format!("Invalid{parameter}.ValueNotSupported"), message)
    }

    /// What the caller cannot help. The log has the reason, the answer has not.
    pub fn internal(why: &dyn std::fmt::Display) -> Failure {
        tracing::error!(%why, "a call of the DCDN API failed");
        INTERNAL.into()
    }

    pub fn with_message(self, message: impl Into<String>) -> Failure {
        Failure { message: message.into(), ..self }
    }
}

impl From<Known> for Failure {
    fn from(known: Known) -> Failure {
        let Known { status, code, message } = known;
        Failure { status, code: code.into(), message: message.to_owned(), retry_after: None }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Failure {
        Failure::internal(&error)
    }
}

impl From<StatisticsError> for Failure {
    fn from(error: StatisticsError) -> Failure {
        match error {
            StatisticsError::Busy => UNAVAILABLE.into(),
            StatisticsError::TooMany { .. }
            | StatisticsError::TooLong { .. }
            | StatisticsError::LayersOfPlace => Failure::bad("InvalidParameter", error.to_string()),
            other => Failure::internal(&other),
        }
    }
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Failure {
        match error {
            ChangeError::Store(StoreError::Unknown { .. }) => DOMAIN_NOT_FOUND.into(),
            ChangeError::Store(StoreError::Name { .. }) => DOMAIN_MALFORMED.into(),
            ChangeError::Store(StoreError::Raced(_)) | ChangeError::Revision { .. } => BUSY.into(),
            ChangeError::NoPlan { .. } => NO_PLAN.into(),
            ChangeError::Busy(_) => UNAVAILABLE.into(),
            ChangeError::Store(StoreError::Refused(problems)) => {
                Failure::bad("InvalidParameter", problems.to_string())
            }
            ChangeError::Rejected(rejected) => Failure::bad("InvalidParameter", rejected.detail),
            ChangeError::Refused(why) => Failure::bad("InvalidParameter", why),
            other => Failure::internal(&other),
        }
    }
}
