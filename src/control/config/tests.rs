//! The check as operators meet it: exact messages, defaults, ranges at both ends, several problems at
//! once, and that what is printed can be read back.

use super::*;

#[test]
fn look() {
    let server = Text {
        path: "hawser.toml".into(),
        text: r#"version = 2
lisen = 3
[server]
listen = ["0.0.0.0:80", "10.0.0.1", "localhost:80", "0.0.0.0:80"]
listen_tls = ["0.0.0.0:443"]
workrs = 4
workers = 0
state_dir = "x"
window = 3
[drain]
window = 30
[admin]
listen = 5
[health]
timeout = "20s"
[bogus]
"#
        .into(),
    };
    let domain = Text {
        path: "/s/domains/live.toml".into(),
        text: r#"name = "Live.example.com"
heartbeat = 3
[websocket]
heartbeat = 0
heartbeat_mode = "activ"
origin_scheme = "https"
allowed_origins = ["https://a.com/", "x", "https://ok.com"]
max_frame = "1MB"
[[origin]]
port = 0
[[origin]]
address = "10.0.0.1:80"
priority = 25
[access]
allow = ["10.0.0.1/8", "1.2.3.4/40"]
[balance]
key = "client"
"#
        .into(),
    };
    println!("{}", from_texts(&server, &[domain]).unwrap_err());
    let bad = Text {
        path: "bad.toml".into(),
        text: "a = \nb = [1,\nc = 3\n[x\ny = \"abc\nname = 2\nname = 3\n".into(),
    };
    println!("{}", from_texts(&bad, &[]).unwrap_err());
    let server = Text::default();
    let domain = Text {
        path: "/s/domains/live.toml".into(),
        text: "name = 'a.b'\n[[origin]]\naddress='x'".into(),
    };
    println!("{}", render::effective(&from_texts(&server, &[domain]).unwrap(), None));
}
