//! Every certificate and key of one configuration, read and checked as a whole: what each domain
//! shows its clients, how it speaks to its origins. Taken or refused in one piece, as the
//! configuration itself.
//!
//! Not here: how one pair is checked (`pair`), what rustls is told (`servers`, `origins`).

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::ServerName;
use rustls::server::ProducesTickets;
use rustls::{RootCertStore, ServerConfig};

use super::challenges::Challenges;
use super::ocsp::Staple;
use super::origins::{Trust, client_config};
use super::pair::{Age, Digest, Pair, Place, day, digest};
use super::pem;
use super::servers::{ClientPolicy, Stapled, server_config, ticketer};
use super::store::PairStore;
use crate::control::config::tls::{Certificate, Files, MinVersion, Verify};
use crate::control::config::{DomainConfig, Loaded, Problem, Problems};
use crate::snapshot::{Certificates, ClientAuth, OriginScheme, OriginTls, ServerTls};

/// What has to be known besides the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    pub occasion: Occasion,
    pub now: Timestamp,
    /// Whether clients come over TLS, so that origins with `follow` are spoken to over TLS.
    pub listening: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// The process starts: a pair that is out of its time is better than none.
    Start,
    /// Somebody changes something, and can be told to choose another pair.
    Change,
}

/// Whom a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Uploaded,
    Acme,
    Files,
    /// `tls.default_certificate`.
    Default,
    /// `origin_tls.certificate`.
    Origins,
    /// `admin.certificate`.
    Admin,
}

impl Source {
    pub fn name(self) -> &'static str {
        match self {
            Source::Uploaded => "uploaded",
            Source::Acme => "acme",
            Source::Files => "files",
            Source::Default => "default",
            Source::Origins => "origins",
            Source::Admin => "admin",
        }
    }
}

/// A certificate in use.
#[derive(Debug, Clone)]
pub struct Served {
    /// [`ANY_DOMAIN`] for the default one.
    pub domain: Arc<str>,
    pub source: Source,
    pub pair: Arc<Pair>,
}

/// Stands for no domain in particular; no domain can be called so.
pub const ANY_DOMAIN: &str = "*";

/// Stands for the admin listener; no domain can be called so.
const ADMIN: &str = "[admin]";

/// Something that works, and probably not as it was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    pub about: String,
    pub what: String,
    pub way_out: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.about, self.what, self.way_out)
    }
}

/// What was read; good only without problems.
#[derive(Debug)]
pub struct Reading {
    pub keyring: Keyring,
    pub problems: Vec<Problem>,
}

#[derive(Clone, Default)]
pub struct Keyring {
    pairs: HashMap<Digest, Arc<Pair>>,
    roots: HashMap<Digest, Arc<RootCertStore>>,
    servers: HashMap<Digest, Arc<ServerTls>>,
    tickets: HashMap<Digest, Arc<dyn ProducesTickets>>,
    origins: HashMap<Digest, Arc<OriginTls>>,
    domains: HashMap<Arc<str>, OfDomain>,
    default: Option<Arc<ServerTls>>,
    admin: Option<Arc<ServerTls>>,
    served: Arc<[Served]>,
    warnings: Vec<Warning>,
}

#[derive(Clone, Default)]
struct OfDomain {
    server: Option<Arc<ServerTls>>,
    origin: Option<Arc<OriginTls>>,
}

impl Reading {
    pub fn accepted(self) -> Result<Keyring, Problems> {
        Problems::none_or(self.problems, self.keyring)
    }
}

impl Keyring {
    /// Reads whatever `loaded` names. What is the same as in `before` is taken from there.
    pub fn read(loaded: &Loaded, before: &Keyring, circumstances: Circumstances) -> Reading {
        let mut reader = Reader {
            scope: Scope::Whole,
            before,
            circumstances,
            loaded,
            new: Keyring::default(),
            served: Vec::new(),
            problems: Vec::new(),
        };
        reader.default_pair();
        reader.admin_pair();
        for config in &loaded.domains {
            let of_domain =
                OfDomain { server: reader.server(config), origin: reader.origin(config) };
            reader.new.domains.insert(Arc::clone(&config.name), of_domain);
        }
        reader.judge_listeners();
        let Reader { mut new, served, problems, .. } = reader;
        new.served = served.into();
        Reading { keyring: new, problems }
    }

    /// Reads the issued pairs alone; the rest stays as it is, and so does what is wrong now.
    pub fn read_issued(loaded: &Loaded, before: &Keyring, circumstances: Circumstances) -> Reading {
        let issued = |served: &&Served| served.source == Source::Acme;
        let mut reader = Reader {
            scope: Scope::Issued,
            before,
            circumstances,
            loaded,
            new: Keyring { warnings: Vec::new(), ..before.clone() },
            served: before.served.iter().filter(|served| !issued(served)).cloned().collect(),
            problems: Vec::new(),
        };
        let wants = |config: &&DomainConfig| config.tls.certificate == Certificate::Acme;
        for config in loaded.domains.iter().filter(wants) {
            let told = reader.problems.len();
            let server = reader.server(config);
            if reader.problems.len() > told {
                let of = |served: &&Served| issued(served) && served.domain == config.name;
                reader.served.extend(before.served.iter().filter(of).cloned());
            } else {
                let of_domain = reader.new.domains.entry(Arc::clone(&config.name)).or_default();
                of_domain.server = server;
            }
        }
        let Reader { mut new, served, problems, .. } = reader;
        new.served = served.into();
        new.forget_unused();
        Reading { keyring: new, problems }
    }

    /// Pairs and servers that were replaced since the last whole reading.
    fn forget_unused(&mut self) {
        let Keyring { pairs, servers, domains, default, admin, served, .. } = self;
        let shown: HashSet<Digest> = served.iter().map(|served| served.pair.digest).collect();
        pairs.retain(|digest, _| shown.contains(digest));
        let used: HashSet<*const ServerTls> = domains
            .values()
            .filter_map(|of_domain| of_domain.server.as_ref())
            .chain(default.as_ref())
            .chain(admin.as_ref())
            .map(Arc::as_ptr)
            .collect();
        servers.retain(|_, server| used.contains(&Arc::as_ptr(server)));
    }

    /// Reads whatever `loaded` names, for somebody who asks whether it could be taken over.
    ///
    /// # Errors
    /// Every problem.
    pub fn checked(loaded: &Loaded) -> Result<Keyring, Problems> {
        let circumstances = Circumstances {
            occasion: Occasion::Change,
            now: Timestamp::now(),
            listening: !loaded.server.listen_tls.is_empty(),
        };
        Keyring::read(loaded, &Keyring::default(), circumstances).accepted()
    }

    pub fn certificates(&self, challenges: &Challenges) -> Certificates {
        let servers = self.domains.iter().filter_map(|(name, of_domain)| {
            Some((Arc::clone(name), Arc::clone(of_domain.server.as_ref()?)))
        });
        Certificates::new(servers, self.default.clone(), challenges.tls_alpn.clone())
    }

    /// How the origins of a domain are spoken to.
    pub fn origin(&self, domain: &str) -> Option<Arc<OriginTls>> {
        self.domains.get(domain)?.origin.clone()
    }

    /// What the admin listener shows; `None`: it speaks plain HTTP.
    pub fn admin(&self) -> Option<Arc<ServerConfig>> {
        self.admin.as_ref().map(|server| Arc::clone(&server.config))
    }

    pub fn served(&self) -> &Arc<[Served]> {
        &self.served
    }

    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("served", &self.served).finish_non_exhaustive()
    }
}

struct Reader<'a> {
    scope: Scope,
    before: &'a Keyring,
    circumstances: Circumstances,
    loaded: &'a Loaded,
    new: Keyring,
    served: Vec<Served>,
    problems: Vec<Problem>,
}

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Whole,
    /// What was issued, right after that.
    Issued,
}

/// Whom pairs are for.
struct Whose<'a> {
    domain: &'a Arc<str>,
    /// `None`: any name will do.
    name: Option<&'a str>,
    source: Source,
}

impl Reader<'_> {
    fn default_pair(&mut self) {
        let Files { certificate, key } = &self.loaded.server.tls.default;
        if certificate.is_empty() {
            return;
        }
        let places = places(certificate, key, &[], "tls.default_certificate");
        let domain: Arc<str> = ANY_DOMAIN.into();
        let whose = Whose { domain: &domain, name: None, source: Source::Default };
        let pairs = self.pairs(&places, &whose);
        let policy = ClientPolicy { auth: ClientAuth::Off, roots: None };
        self.new.default = self.built(None, pairs, policy, None, Path::new(""));
    }

    fn admin_pair(&mut self) {
        let Files { certificate, key } = &self.loaded.server.admin.files;
        if certificate.is_empty() {
            return;
        }
        let places = places(certificate, key, &[], "admin.certificate");
        let name: Arc<str> = ADMIN.into();
        let whose = Whose { domain: &name, name: None, source: Source::Admin };
        let pairs = self.pairs(&places, &whose);
        let policy = ClientPolicy { auth: ClientAuth::Off, roots: None };
        self.new.admin = self.built(Some(&name), pairs, policy, None, Path::new(""));
    }

    fn server(&mut self, config: &DomainConfig) -> Option<Arc<ServerTls>> {
        let of = |key: &str| format!("tls.{key} of {}", config.name);
        let (source, places) = match &config.tls.certificate {
            Certificate::Files(files) => {
                let named_by = of("certificate");
                (Source::Files, places(files, &config.tls.key, &config.tls.ocsp, &named_by))
            }
            Certificate::Uploaded => (Source::Uploaded, self.kept(config, PairStore::uploaded)),
            Certificate::Acme => (Source::Acme, self.kept(config, PairStore::issued)),
        };
        let ca = config.tls.client_ca.as_deref();
        let roots = ca.and_then(|path| self.roots(path, &of("client_ca")));
        if places.is_empty() {
            return None;
        }
        let whose = Whose { domain: &config.name, name: Some(&config.name), source };
        let pairs = self.pairs(&places, &whose);
        if config.tls.client_auth != ClientAuth::Off && roots.is_none() {
            // What is wrong with the roots has been told.
            return None;
        }
        let (ca, roots) = roots.unzip();
        let policy = ClientPolicy { auth: config.tls.client_auth, roots };
        self.built(Some(&config.name), pairs, policy, ca, &config.file)
    }

    /// The pair that the state directory keeps for a domain, if any.
    fn kept(&mut self, config: &DomainConfig, store: fn(&Path) -> PairStore) -> Vec<Place> {
        let store = store(&self.loaded.server.state_dir);
        match store.find(&config.name) {
            Ok(None) => Vec::new(),
            Ok(Some(paths)) => vec![paths.place(&config.name)],
            Err(error) => {
                self.problems.push(Problem::of_file(&config.file, error.to_string(), None));
                Vec::new()
            }
        }
    }

    /// The pairs that are good; what is wrong with others is told.
    fn pairs(&mut self, places: &[Place], whose: &Whose<'_>) -> Option<Vec<Stapled>> {
        let mut good = Vec::new();
        for place in places {
            match self.pair(place, whose.name) {
                Ok(stapled) => {
                    self.served.push(Served {
                        domain: Arc::clone(whose.domain),
                        source: whose.source,
                        pair: Arc::clone(&stapled.pair),
                    });
                    good.push(stapled);
                }
                // Nobody wrote it by hand, and `acme` orders it anew: no reason to refuse anything.
                Err(problem) if whose.source == Source::Acme && self.scope == Scope::Whole => {
                    self.warn(&place.named_by, &problem.to_string(), "it is ordered anew");
                    good.extend(self.issued_before(whose.domain));
                }
                Err(problem) => self.problems.push(problem),
            }
        }
        (good.len() == places.len()).then_some(good)
    }

    /// The issued pair that is in use.
    fn issued_before(&mut self, domain: &str) -> Option<Stapled> {
        let of = |served: &&Served| served.source == Source::Acme && &*served.domain == domain;
        let served = self.before.served.iter().find(of)?.clone();
        let pair = Arc::clone(&served.pair);
        self.new.pairs.insert(pair.digest, Arc::clone(&pair));
        self.served.push(served);
        Some(Stapled { pair, ocsp: None })
    }

    fn pair(&mut self, place: &Place, name: Option<&str>) -> Result<Stapled, Problem> {
        let (before, new) = (self.before, &self.new);
        let known = |digest: &Digest| {
            new.pairs.get(digest).or_else(|| before.pairs.get(digest)).map(Arc::clone)
        };
        let pair = Pair::load(place, known)?;
        let now = self.circumstances.now;
        let refuse = |(what, accepted): (String, String)| {
            let what = format!("{}: {what}", place.named_by);
            Problem::of_file(&place.certificate, what, Some(accepted))
        };
        let kept = self.circumstances.occasion == Occasion::Start
            || before.pairs.contains_key(&pair.digest);
        if pair.facts.age(now) != Age::Valid && !kept {
            return Err(refuse(pair.facts.wrong_for(None, now).expect("it is not valid")));
        }
        if let Some(wrong) = name.and_then(|name| pair.facts.wrong_name(name)) {
            return Err(refuse(wrong));
        }
        if pair.facts.age(now) == Age::NotYetValid {
            let from = day(pair.facts.not_before);
            self.warn(&place.named_by, &format!("valid only from {from} on"), "see the clock");
        }
        let key = place.key.as_ref().unwrap_or(&place.certificate);
        if pem::is_open_to_others(key) {
            let what = format!("others than its owner may read the private key {}", key.display());
            self.warn(&place.named_by, &what, &format!("chmod 600 {}", key.display()));
        }
        let ocsp = place.ocsp.as_deref().map(|path| self.staple(path, place, &pair)).transpose()?;
        self.new.pairs.insert(pair.digest, Arc::clone(&pair));
        Ok(Stapled { pair, ocsp })
    }

    fn staple(&mut self, path: &Path, place: &Place, pair: &Pair) -> Result<Vec<u8>, Problem> {
        let named_by = place.named_by.replace("certificate", "ocsp");
        let bytes = pem::read(path, &named_by)?;
        let refuse = |what: String, accepted: String| {
            Problem::of_file(path, format!("{named_by}: {what}"), Some(accepted))
        };
        let staple = Staple::of(&bytes).map_err(|(what, accepted)| refuse(what, accepted))?;
        if staple.serial != pair.facts.serial {
            let what = "is about another certificate than its pair's".to_owned();
            let accepted = format!("a response about {}", place.certificate.display());
            return Err(refuse(what, accepted));
        }
        if staple.is_stale(self.circumstances.now) {
            let due = staple.next_update.map(day).unwrap_or_default();
            let what = format!("{} is stale: the next one was due {due}", path.display());
            self.warn(&named_by, &what, "fetch it anew, then `hawser reload`");
        }
        Ok(bytes.to_vec())
    }

    /// The roots of a file, with the digest of its content.
    fn roots(&mut self, path: &Path, named_by: &str) -> Option<(Digest, Arc<RootCertStore>)> {
        match self.read_roots(path, named_by) {
            Ok((digest, roots)) => {
                self.new.roots.insert(digest, Arc::clone(&roots));
                Some((digest, roots))
            }
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    fn read_roots(
        &self,
        path: &Path,
        named_by: &str,
    ) -> Result<(Digest, Arc<RootCertStore>), Problem> {
        let text = pem::read(path, named_by)?;
        let digest = digest(&[&text]);
        let known = self.new.roots.get(&digest).or_else(|| self.before.roots.get(&digest));
        if let Some(known) = known {
            return Ok((digest, Arc::clone(known)));
        }
        let refuse = |(what, accepted): (String, String)| {
            Problem::of_file(path, format!("{named_by}: {what}"), Some(accepted))
        };
        let mut roots = RootCertStore::empty();
        for (i, certificate) in pem::certificates(&text).map_err(refuse)?.into_iter().enumerate() {
            roots.add(certificate).map_err(|error| {
                let what = format!("certificate {} of the file cannot be a root: {error}", i + 1);
                refuse((what, "a PEM file with certificates of authorities".to_owned()))
            })?;
        }
        Ok((digest, Arc::new(roots)))
    }

    /// The server side of a domain, or of the default pair; `None` when something was wrong.
    fn built(
        &mut self,
        domain: Option<&Arc<str>>,
        pairs: Option<Vec<Stapled>>,
        policy: ClientPolicy,
        ca: Option<Digest>,
        file: &Path,
    ) -> Option<Arc<ServerTls>> {
        let pairs = pairs?;
        let min_version = self.loaded.server.tls.min_version;
        let name = domain.map_or(ANY_DOMAIN, |name| name);
        let auth = [policy.auth as u8];
        // Who is let in by a ticket must have been let in under the same rules.
        let rules = digest(&[name.as_bytes(), &auth, ca.as_ref().map_or(&[], |ca| &ca[..])]);
        let version = [u8::from(min_version == MinVersion::Tls13)];
        let mut parts: Vec<&[u8]> = vec![&rules, &version];
        for Stapled { pair, ocsp } in &pairs {
            parts.extend([&pair.digest[..], ocsp.as_deref().unwrap_or_default()]);
        }
        let whole = digest(&parts);
        let tickets = self.before.tickets.get(&rules).cloned();
        let made = tickets.map_or_else(ticketer, Ok).and_then(|tickets| {
            let server = match self.before.servers.get(&whole) {
                Some(known) => Arc::clone(known),
                None => {
                    let tickets = Arc::clone(&tickets);
                    let config = server_config(pairs, &policy, min_version, tickets)?;
                    Arc::new(ServerTls { config: Arc::new(config), domain: domain.cloned() })
                }
            };
            Ok((tickets, server))
        });
        match made {
            Ok((tickets, server)) => {
                self.new.tickets.insert(rules, tickets);
                self.new.servers.insert(whole, Arc::clone(&server));
                Some(server)
            }
            Err(why) => {
                self.problems.push(Problem::of_file(file, format!("TLS of {name}: {why}"), None));
                None
            }
        }
    }

    fn origin(&mut self, config: &DomainConfig) -> Option<Arc<OriginTls>> {
        let wanted = match config.websocket.origin_scheme {
            OriginScheme::Http => false,
            OriginScheme::Https => true,
            OriginScheme::Follow => self.circumstances.listening,
        };
        if !wanted {
            return None;
        }
        let (verified, trust) = match &config.origin_tls.verify {
            Verify::Webpki => (digest(&[b"webpki"]), Trust::Public),
            Verify::Off => (digest(&[b"off"]), Trust::Anybody),
            Verify::Ca(path) => {
                let roots = self.roots(path, &format!("origin_tls.verify of {}", config.name));
                roots.map(|(digest, roots)| (digest, Trust::Roots(roots)))?
            }
        };
        if matches!(trust, Trust::Anybody) {
            self.warn(
                &format!("origin_tls.verify of {}", config.name),
                "origins are NOT VERIFIED: anybody on the way can read and change everything",
                "\"webpki\", or a file with the roots of the origins",
            );
        }
        let server_name = self.origin_name(config)?;
        let Files { certificate, key } = &config.origin_tls.pair;
        let named_by = format!("origin_tls.certificate of {}", config.name);
        let places = places(certificate, key, &[], &named_by);
        let whose = Whose { domain: &config.name, name: None, source: Source::Origins };
        let shown = self.pairs(&places, &whose)?.pop().map(|stapled| stapled.pair);
        let shown_digest = shown.as_ref().map_or(&[][..], |pair| &pair.digest);
        let name = server_name.as_ref().map(ServerName::to_str).unwrap_or_default();
        let whole = digest(&[config.name.as_bytes(), &verified, name.as_bytes(), shown_digest]);
        let known = self.before.origins.get(&whole).cloned();
        let made = known.map_or_else(
            || {
                let client = Arc::new(client_config(&trust, shown.as_deref())?);
                Ok(Arc::new(OriginTls { config: client, server_name: server_name.clone() }))
            },
            Ok::<_, String>,
        );
        match made {
            Ok(origin) => {
                self.new.origins.insert(whole, Arc::clone(&origin));
                Some(origin)
            }
            Err(why) => {
                let what = format!("TLS to the origins of {}: {why}", config.name);
                self.problems.push(Problem::of_file(&config.file, what, None));
                None
            }
        }
    }

    /// The name by which origins are asked for and verified, if it is the same for every request;
    /// `None` when that is a problem.
    fn origin_name(&mut self, config: &DomainConfig) -> Option<Option<ServerName<'static>>> {
        let Some(name) = config.origin_name() else { return Some(None) };
        match ServerName::try_from(name.trim_matches(['[', ']']).to_owned()) {
            Ok(name) => Some(Some(name)),
            Err(error) => {
                let what = format!("{name:?} cannot be asked for over TLS: {error}");
                self.refuse_name(config, what, "a host name or an IP address");
                None
            }
        }
    }

    fn refuse_name(&mut self, config: &DomainConfig, what: String, accepted: &str) {
        let problem = Problem::of_file(&config.file, what, Some(accepted.to_owned()));
        self.problems.push(Problem { path: "origin_tls.server_name".to_owned(), ..problem });
    }

    /// Listeners without certificates, and the other way round.
    fn judge_listeners(&mut self) {
        let listens = !self.loaded.server.listen_tls.is_empty();
        let has = |of_domain: &OfDomain| of_domain.server.is_some();
        let any = self.new.default.is_some() || self.new.domains.values().any(has);
        let ordered = self.loaded.domains.iter().any(|d| d.tls.certificate == Certificate::Acme);
        if listens && !any && !ordered {
            self.warn(
                "server.listen_tls",
                "no domain has a certificate and there is no default one, so every TLS handshake \
                 is refused",
                "`hawser cert set NAME --certificate F --key F`, tls.certificate of a domain, or \
                 tls.default_certificate",
            );
        }
        if !listens && any {
            self.warn(
                "server.listen_tls",
                "there are certificates, but no TLS listener",
                "listen_tls = [\"0.0.0.0:443\", \"[::]:443\"] in [server]",
            );
        }
    }

    fn warn(&mut self, about: &str, what: &str, way_out: &str) {
        let [about, what, way_out] = [about, what, way_out].map(str::to_owned);
        self.new.warnings.push(Warning { about, what, way_out });
    }
}

/// Certificates with what stands beside each of them.
fn places(
    certificate: &[PathBuf],
    key: &[PathBuf],
    ocsp: &[PathBuf],
    named_by: &str,
) -> Vec<Place> {
    let place = |(i, certificate): (usize, &PathBuf)| Place {
        certificate: certificate.clone(),
        key: key.get(i).cloned(),
        ocsp: ocsp.get(i).cloned(),
        named_by: named_by.to_owned(),
    };
    certificate.iter().enumerate().map(place).collect()
}
