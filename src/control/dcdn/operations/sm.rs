//! SM certificates (DCDN OpenAPI 2018-01-15; GB/T 38636: SM2, SM3, SM4). The TLS of this edge has
//! none of these algorithms, so there is no such certificate here, and none can be set.

use serde_json::json;

use super::super::error;
use super::{Answer, Call, names};

/// To switch off what is not on is no error.
pub async fn set(call: &Call<'_>) -> Answer {
    let name = names::own(call.parameters.required("DomainName")?)?;
    call.parameters.required("CertIdentifier")?;
    call.parameters.required("SSLProtocol")?;
    let protocol = call.parameters.choice("SSLProtocol", &["on", "off"]);
    let protocol = protocol.map_err(|_| error::SSL_PROTOCOL)?;
    call.known_domains(&[name]).await?;
    match protocol {
        Some("off") => Ok(json!({})),
        _ => Err(error::SM_CERTIFICATE.into()),
    }
}

pub async fn list(call: &Call<'_>) -> Answer {
    let name = names::own(call.parameters.required("DomainName")?)?;
    call.known_domains(&[name]).await?;
    Ok(json!({"CertificateListModel": {"Count": 0, "CertList": []}}))
}

pub async fn detail(call: &Call<'_>) -> Answer {
    call.parameters.required("CertIdentifier")?;
    Err(error::CERTIFICATE_NOT_FOUND.into())
}
