//! One certificate from the CA: account, order, challenge, request, chain (RFC 8555 7). Not here:
//! when (`schedule`), and where the pair goes (`certs`).

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    AuthorizationHandle, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount,
    NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::info;
use zeroize::Zeroizing;

use super::answer::{Answer, Board, tls_alpn};
use super::ca::{CaClient, Patience, problem_words, tame, words};
use super::store::{Account, Store};
use crate::control::config::tls::{Acme, AcmeChallenge};
use crate::limits::ACME_ORDER_TIMEOUT;

/// Between two questions how an order stands, unless the CA says otherwise; then longer and longer.
const ASK_AGAIN: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(120));
/// RFC 8555 8.3: base64url, at least 128 bits of entropy; nobody sends more than this.
const TOKEN_BYTES_MAX: usize = 256;

/// PEM texts.
pub struct Issued {
    pub chain: String,
    pub key: Zeroizing<String>,
}

/// Why there is no certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// One line, whose fault included.
    pub words: String,
    /// The CA's own wish.
    pub retry_after: Option<Duration>,
}

/// Our account at the CA, opened when the first order needs it and kept while the settings stay.
pub struct Accounts {
    store: Store,
    open: Mutex<Option<Open>>,
}

#[derive(Clone)]
struct Open {
    settings: Acme,
    account: instant_acme::Account,
    patience: Patience,
}

/// What went wrong on the way, and whether a new account would help.
enum Trouble {
    AccountUnknown,
    Words(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        const UNKNOWN: &str = "urn:ietf:params:acme:error:accountDoesNotExist";
        match &error {
            Error::Api(problem) if problem.r#type.as_deref() == Some(UNKNOWN) => {
                Trouble::AccountUnknown
            }
            error => Trouble::Words(words(error)),
        }
    }
}

impl From<String> for Trouble {
    fn from(words: String) -> Trouble {
        Trouble::Words(words)
    }
}

impl Accounts {
    pub fn new(store: Store) -> Accounts {
        Accounts { store, open: Mutex::default() }
    }

    /// Orders one certificate for `name`.
    ///
    /// # Errors
    /// Why there is none; nothing changed but that.
    pub async fn order(
        &self,
        settings: &Acme,
        name: &str,
        board: &impl Board,
    ) -> Result<Issued, Failure> {
        let mut patience = None;
        // Outside of what may run out of time: what was put up is taken down in any case.
        let posted = Mutex::default();
        let ordered = async {
            // Twice: a CA may have forgotten the account that we know.
            for _ in 0..2 {
                let open = self.open(settings).await?;
                patience = Some(open.patience.clone());
                let way = Way { kind: settings.challenge, name, board, posted: &posted };
                match way.to_certificate(&open.account).await {
                    Err(Trouble::AccountUnknown) => self.forget(&settings.directory).await?,
                    other => return other,
                }
            }
            Err(Trouble::AccountUnknown)
        };
        let ordered = timeout(ACME_ORDER_TIMEOUT, ordered).await;
        let posted = posted.into_inner();
        if !posted.is_empty() {
            board.take_down(posted).await;
        }
        let words = match ordered {
            Ok(Ok(issued)) => return Ok(issued),
            Ok(Err(Trouble::Words(words))) => words,
            Ok(Err(Trouble::AccountUnknown)) => "the CA does not know the account that it just \
                                                 made"
                .to_owned(),
            Err(_) => format!("the order was not done in {ACME_ORDER_TIMEOUT:?}"),
        };
        let retry_after = patience.and_then(|patience| patience.take());
        Err(Failure { words: tame(&words), retry_after })
    }

    async fn open(&self, settings: &Acme) -> Result<Open, Trouble> {
        let mut open = self.open.lock().await;
        if let Some(open) = open.as_ref().filter(|open| open.settings == *settings) {
            return Ok(open.clone());
        }
        let client = CaClient::new(settings.root.as_deref())?;
        let patience = client.patience();
        let builder = instant_acme::Account::builder_with_http(Box::new(client));
        let directory = &*settings.directory;
        let contact: Vec<&str> = settings.contact.iter().map(|contact| &**contact).collect();
        let account = match self.store.account(directory)? {
            Some(known) => {
                let account = builder.from_credentials(known.credentials).await?;
                if known.contact != settings.contact {
                    account.update_contacts(&contact).await?;
                    self.keep_contact(settings)?;
                }
                account
            }
            None => {
                let new = NewAccount {
                    contact: &contact,
                    terms_of_service_agreed: true,
                    only_return_existing: false,
                };
                let (account, credentials) =
                    builder.create(&new, directory.to_owned(), None).await?;
                info!(directory, id = account.id(), "new account at the CA");
                let known = Account { contact: settings.contact.clone(), credentials };
                self.store.keep_account(directory, Some(known))?;
                account
            }
        };
        let fresh = Open { settings: settings.clone(), account, patience };
        *open = Some(fresh.clone());
        Ok(fresh)
    }

    fn keep_contact(&self, settings: &Acme) -> Result<(), String> {
        let Some(known) = self.store.account(&settings.directory)? else { return Ok(()) };
        let known = Account { contact: settings.contact.clone(), ..known };
        self.store.keep_account(&settings.directory, Some(known))
    }

    async fn forget(&self, directory: &str) -> Result<(), String> {
        *self.open.lock().await = None;
        self.store.keep_account(directory, None)
    }
}

/// The way of one order.
struct Way<'a, B> {
    kind: AcmeChallenge,
    name: &'a str,
    board: &'a B,
    posted: &'a Mutex<Vec<Answer>>,
}

impl<B: Board> Way<'_, B> {
    async fn to_certificate(&self, account: &instant_acme::Account) -> Result<Issued, Trouble> {
        let names = [Identifier::Dns(self.name.to_owned())];
        let mut order = account.new_order(&NewOrder::new(&names)).await?;
        self.answer_challenges(&mut order).await?;
        let status = match order.state().status {
            OrderStatus::Ready => OrderStatus::Ready,
            _ => match order.poll_ready(&ASK_AGAIN).await {
                Ok(status) => status,
                Err(error) => return Err(refused(&mut order, Some(error)).await),
            },
        };
        if status != OrderStatus::Ready {
            return Err(refused(&mut order, None).await);
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| e.to_string())?;
        let request = request(self.name, &key).map_err(|e| e.to_string())?;
        order.finalize_csr(&request).await?;
        let chain = order.poll_certificate(&ASK_AGAIN).await?;
        Ok(Issued { chain, key: Zeroizing::new(key.serialize_pem()) })
    }

    /// Puts the answers up on every core, then tells the CA to look. A CA that still holds an
    /// earlier validation for good asks for none.
    async fn answer_challenges(&self, order: &mut Order) -> Result<(), Trouble> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let authorization = authorization?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                status => return Err(format!("the CA gave an authorization {status:?}").into()),
            }
            self.answer(authorization).await?;
        }
        Ok(())
    }

    async fn answer(&self, mut at: AuthorizationHandle<'_>) -> Result<(), Trouble> {
        let (kind, wanted) = match self.kind {
            AcmeChallenge::Http01 => (ChallengeType::Http01, "http-01"),
            AcmeChallenge::TlsAlpn01 => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
        };
        let offered: Vec<&str> = at.challenges.iter().map(|c| called(&c.r#type)).collect();
        let offered = offered.join(", ");
        let name = self.name;
        let mut challenge = at
            .challenge(kind)
            .ok_or_else(|| format!("the CA does not offer {wanted} for {name}, only {offered}"))?;
        if !is_token(&challenge.token) {
            return Err("the CA's token is not one (RFC 8555 8.1)".to_owned().into());
        }
        let authorization = challenge.key_authorization();
        let answer = match self.kind {
            AcmeChallenge::Http01 => Answer::Http01 {
                token: challenge.token.as_str().into(),
                key_authorization: authorization.as_str().into(),
            },
            AcmeChallenge::TlsAlpn01 => {
                let digest = authorization.digest();
                let digest = digest.as_ref().try_into().expect("SHA-256 is 32 bytes");
                Answer::TlsAlpn01 { name: name.into(), config: tls_alpn(name, digest)? }
            }
        };
        self.posted.lock().await.push(answer.clone());
        self.board.put_up(answer).await?;
        Ok(challenge.set_ready().await?)
    }
}

fn called(kind: &ChallengeType) -> &str {
    match kind {
        ChallengeType::Http01 => "http-01",
        ChallengeType::Dns01 => "dns-01",
        ChallengeType::TlsAlpn01 => "tls-alpn-01",
        ChallengeType::Unknown(name) => name,
        _ => "another challenge",
    }
}

fn is_token(token: &str) -> bool {
    let base64url = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !token.is_empty() && token.len() <= TOKEN_BYTES_MAX && token.bytes().all(base64url)
}

/// Why the CA did not find the name to be ours: the challenges say more than the order.
async fn refused(order: &mut Order, error: Option<Error>) -> Trouble {
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        for challenge in &state.challenges {
            if let Some(problem) = &challenge.error {
                reasons.push(format!("{}: {}", called(&challenge.r#type), problem_words(problem)));
            }
        }
    }
    match error {
        Some(error) if reasons.is_empty() => error.into(),
        _ if reasons.is_empty() => {
            "the CA refused the order and does not say why".to_owned().into()
        }
        _ => format!("the CA could not see that the name is ours: {}", reasons.join("; ")).into(),
    }
}

/// A certificate request for exactly that name (RFC 8555 7.4).
fn request(name: &str, key: &KeyPair) -> Result<Arc<[u8]>, rcgen::Error> {
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(key)?.der().as_ref().into())
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::*;

    use super::*;

    #[test]
    fn a_request_names_the_domain_and_nothing_else() {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let der = request("a.test", &key).unwrap();
        let (_, request) = X509CertificationRequest::from_der(&der).unwrap();
        let mut names = request.requested_extensions().unwrap().filter_map(|e| match e {
            ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
            _ => None,
        });
        assert_eq!(names.next(), Some(&vec![GeneralName::DNSName("a.test")]));
        assert_eq!(request.certification_request_info.subject.iter().count(), 0);
    }

    /// RFC 8555 8.1: nothing outside base64url, so it can stand in a path.
    #[test]
    fn tokens() {
        assert!(is_token("LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"));
        let long = "a".repeat(TOKEN_BYTES_MAX + 1);
        for wrong in ["", "a/b", "a b", "a.b", "a=", "ä", "../x", &long] {
            assert!(!is_token(wrong), "{wrong}");
        }
    }
}
