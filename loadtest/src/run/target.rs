//! Where the load goes: a URL, and whether that may be. Not here: connections.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context as _, bail, ensure};

/// `ws://HOST[:PORT][/PATH]`, or wss, http, https, which say no more than whether there is TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub secure: bool,
    pub host: String,
    pub port: u16,
    /// With its query; none where it is `/` or left out.
    pub path: Option<String>,
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(url: &str) -> anyhow::Result<Target> {
        let form = || format!("{url:?} is not like ws://HOST:PORT/PATH or wss://HOST:PORT/PATH");
        let (scheme, rest) = url.split_once("://").with_context(form)?;
        let secure = match scheme {
            "ws" | "http" => false,
            "wss" | "https" => true,
            _ => bail!(form()),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        ensure!(!path.contains(|c: char| c.is_whitespace() || c.is_control()), form());
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().with_context(form)?),
            _ => (authority, if secure { 443 } else { 80 }),
        };
        ensure!(!host.is_empty() && !host.contains('@'), form());
        let path = (!matches!(path, "" | "/")).then(|| path.to_owned());
        Ok(Target { secure, host: host.to_owned(), port, path })
    }
}

impl Target {
    /// Plain, at this address.
    pub fn at(addr: SocketAddr) -> Target {
        let host = match addr.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Target { secure: false, host, port: addr.port(), path: None }
    }

    /// What requests say in Host, unless they are told something else.
    pub fn authority(&self) -> String {
        match (self.secure, self.port) {
            (false, 80) | (true, 443) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }

    /// # Errors
    /// The name has no address, or a public one and the owner did not say that it is theirs.
    pub fn resolve(&self, owner: Owner) -> anyhow::Result<SocketAddr> {
        let name = self.host.trim_start_matches('[').trim_end_matches(']');
        let addresses: Vec<SocketAddr> = (name, self.port)
            .to_socket_addrs()
            .with_context(|| format!("{name}: no address is known for it"))?
            .collect();
        let first = addresses.first().with_context(|| format!("{name} has no address"))?;
        if owner == Owner::Unknown
            && let Some(public) = addresses.iter().find(|addr| !is_private(addr.ip()))
        {
            bail!(
                "{} is a public address, and load that its owner did not ask for is an attack: \
                 only if the host is yours, add --i-own-this-host",
                public.ip()
            );
        }
        Ok(*first)
    }

    /// # Errors
    /// There is TLS and nobody was named whose certificates are accepted, or the other way round.
    pub fn check_authority(&self, authority: Option<&Path>) -> anyhow::Result<()> {
        match (self.secure, authority) {
            (true, None) => bail!(
                "wss:// needs --authority FILE, the PEM of the authority that signed the \
                 certificate of {}; those that the system trusts are usually in \
                 /etc/ssl/certs/ca-certificates.crt",
                self.host
            ),
            (false, Some(path)) => {
                bail!("--authority {} is for wss://, the target is plain", path.display())
            }
            _ => Ok(()),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)?;
        f.write_str(self.path.as_deref().unwrap_or_default())
    }
}

/// Whose the target is, as far as the command line says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Unknown,
    Us,
}

/// Loopback, or of a network that is nobody else's.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_loopback()
                || ip.is_private()
                || ip.is_link_local()
                // RFC 6598 (shared) and RFC 2544 (benchmarks).
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (18..20).contains(&b))
        }
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => is_private(Ipv4Addr::into(ip)),
            None => ip == Ipv6Addr::LOCALHOST || ip.is_unique_local() || ip.is_unicast_link_local(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_where_to_go() {
        for (url, secure, host, port, path) in [
            ("ws://127.0.0.1:9000", false, "127.0.0.1", 9000, None),
            ("ws://load.test/", false, "load.test", 80, None),
            ("wss://load.test/chat?a=1", true, "load.test", 443, Some("/chat?a=1")),
            ("https://[::1]:8443/x", true, "[::1]", 8443, Some("/x")),
            ("http://[::1]", false, "[::1]", 80, None),
        ] {
            let target: Target = url.parse().expect(url);
            let (host, path) = (host.to_owned(), path.map(str::to_owned));
            assert_eq!(target, Target { secure, host, port, path });
        }
        for url in ["", "127.0.0.1:80", "tcp://a:1", "ws://:80", "ws://a:b", "ws://a:1/x y"] {
            let error = url.parse::<Target>().expect_err(url).to_string();
            assert!(error.contains("ws://HOST:PORT/PATH"), "{url:?}: {error}");
        }
    }

    #[test]
    fn public_addresses_are_refused_unless_they_are_ours() {
        for (ip, private) in [
            ("127.9.9.9", true),
            ("10.1.2.3", true),
            ("172.31.0.1", true),
            ("192.168.1.1", true),
            ("169.254.1.1", true),
            ("100.64.0.1", true),
            ("198.19.0.1", true),
            ("[::1]", true),
            ("[fd00::1]", true),
            ("[fe80::1]", true),
            ("[::ffff:127.0.0.1]", true),
            ("172.32.0.1", false),
            ("100.128.0.1", false),
            ("203.0.113.7", false),
            ("0.0.0.0", false),
            ("[2001:db8::1]", false),
            ("[::ffff:203.0.113.7]", false),
        ] {
            let target: Target = format!("ws://{ip}:80").parse().expect(ip);
            assert_eq!(target.resolve(Owner::Unknown).is_ok(), private, "{ip}");
            assert!(target.resolve(Owner::Us).is_ok(), "{ip}");
        }
    }

    #[test]
    fn tls_wants_an_authority_and_says_where_one_is() {
        let target: Target = "wss://load.test".parse().expect("a URL");
        let error = target.check_authority(None).expect_err("whom to trust?").to_string();
        assert!(error.contains("--authority") && error.contains("ca-certificates"), "{error}");
        let target: Target = "ws://load.test".parse().expect("a URL");
        assert!(target.check_authority(Some(Path::new("ca.pem"))).is_err());
    }
}
