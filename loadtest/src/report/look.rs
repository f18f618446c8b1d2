//! Names and colours of the proxies, numbers as people read them. The colours are those of Okabe
//! and Ito, which people with any colour vision tell apart; a line has a mark of its own besides.

/// What a shape is painted with; the page and the PNG each have a colour for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    Paper,
    Text,
    Muted,
    Grid,
    Proxy(usize),
}

/// A proxy as a reader sees it.
struct Face {
    name: &'static str,
    shown: &'static str,
    /// On white, and on the dark page.
    colours: [u32; 2],
}

const FACES: [Face; 10] = [
    Face { name: "hawser", shown: "Hawser", colours: [0x0072b2, 0x3d9fe0] },
    Face { name: "nginx", shown: "nginx", colours: [0x009e73, 0x1fb890] },
    Face { name: "haproxy", shown: "HAProxy", colours: [0xd55e00, 0xf07f2e] },
    Face { name: "envoy", shown: "Envoy", colours: [0xc26b9b, 0xd98cb8] },
    Face { name: "caddy", shown: "Caddy", colours: [0x56b4e9, 0x9ad6f7] },
    Face { name: "traefik", shown: "Traefik", colours: [0xd18f00, 0xf0bb4e] },
    Face { name: "io_uring_floor", shown: "floor (io_uring)", colours: [0x6b6b6b, 0xa0a0a0] },
    Face { name: "epoll_floor", shown: "floor (epoll)", colours: [0x9a9a9a, 0x757575] },
    Face { name: "direct", shown: "no proxy", colours: [0x1b1f24, 0xe6e8eb] },
    Face { name: "", shown: "", colours: [0x4a3f6b, 0xb9aee0] },
];

const INKS: [(Ink, &str, [u32; 2]); 4] = [
    (Ink::Paper, "paper", [0xffffff, 0x15181d]),
    (Ink::Text, "text", [0x1b1f24, 0xe6e8eb]),
    (Ink::Muted, "muted", [0x5b636e, 0x9aa3ae]),
    (Ink::Grid, "grid", [0xdfe3e8, 0x2f353d]),
];

impl Ink {
    /// That of a proxy; all that are not known share one.
    pub fn of(proxy: &str) -> Ink {
        Ink::Proxy(FACES.iter().position(|face| face.name == proxy).unwrap_or(FACES.len() - 1))
    }

    pub fn class(self) -> String {
        match self {
            Ink::Proxy(face) => format!("p{face}"),
            other => named(other).1.to_owned(),
        }
    }

    /// Red, green and blue on white.
    pub fn rgb(self) -> [u8; 3] {
        let colour = match self {
            Ink::Proxy(face) => FACES[face].colours[0],
            other => named(other).2[0],
        };
        let [_, r, g, b] = colour.to_be_bytes();
        [r, g, b]
    }
}

/// A proxy's name as it writes itself.
pub fn shown(proxy: &str) -> &str {
    FACES.iter().find(|face| face.name == proxy && !proxy.is_empty()).map_or(proxy, |f| f.shown)
}

/// Custom properties for both schemes, and the classes of shapes.
pub fn css() -> String {
    let inks = INKS.map(|(_, class, colours)| (class.to_owned(), colours));
    let faces = (0..FACES.len()).map(|i| (Ink::Proxy(i).class(), FACES[i].colours));
    let all: Vec<(String, [u32; 2])> = inks.into_iter().chain(faces).collect();
    let properties = |scheme: usize| -> String {
        all.iter().map(|(class, colours)| format!("--{class}:#{:06x};", colours[scheme])).collect()
    };
    let classes: String = all
        .iter()
        .map(|(class, _)| {
            format!(".f-{class}{{fill:var(--{class})}}.s-{class}{{stroke:var(--{class})}}\n")
        })
        .collect();
    format!(
        ":root{{color-scheme:light dark;{}}}\n\
         @media (prefers-color-scheme:dark){{:root{{{}}}}}\n{classes}",
        properties(0),
        properties(1)
    )
}

/// Three figures that count, thousands apart: 0.0123, 4.71, 512, 12,300.
pub fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let digits = 2 - value.abs().log10().floor() as i32;
    if digits <= 0 {
        return thousands(value);
    }
    // 9.996 has one figure more once it is rounded.
    let text = format!("{value:.*}", digits as usize);
    let shorter =
        text.parse::<f64>().is_ok_and(|again| 2 - again.abs().log10().floor() as i32 != digits);
    if shorter { format!("{value:.*}", (digits - 1) as usize) } else { text }
}

/// A whole number, thousands apart.
pub fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

/// For axes: 0, 0.5, 200, 5k, 2M.
pub fn tick(value: f64) -> String {
    let (scaled, letter) = match value.abs() {
        v if v >= 1e9 => (value / 1e9, "G"),
        v if v >= 1e6 => (value / 1e6, "M"),
        v if v >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    // What the steps of an axis are made of has few digits; the rest is of binary fractions.
    let text = format!("{scaled:.6}");
    format!("{}{letter}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A unit as the document has it, written out for people.
pub fn unit(unit: &str) -> &str {
    match unit {
        "us" => "µs",
        "B" => "bytes",
        other => other,
    }
}

fn named(ink: Ink) -> &'static (Ink, &'static str, [u32; 2]) {
    INKS.iter().find(|(other, ..)| *other == ink).expect("every ink but a proxy's is in the table")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_figures() {
        let cases = [
            (0.0, "0"),
            (0.012_345, "0.0123"),
            (0.999_7, "1.00"),
            (4.714, "4.71"),
            (9.996, "10.0"),
            (47.04, "47.0"),
            (99.96, "100"),
            (512.4, "512"),
            (999.6, "1,000"),
            (12_345.0, "12,345"),
            (1_234_567.8, "1,234,568"),
            (-4.714, "-4.71"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn ticks_are_short() {
        let cases =
            [(0.0, "0"), (0.1 + 0.2, "0.3"), (5000.0, "5000"), (20_000.0, "20k"), (1.5e6, "1.5M")];
        for (value, text) in cases {
            assert_eq!(tick(value), text);
        }
    }

    #[test]
    fn every_proxy_has_a_colour_of_its_own_in_both_schemes() {
        for scheme in 0..2 {
            let mut colours: Vec<u32> = FACES.iter().map(|face| face.colours[scheme]).collect();
            colours.sort_unstable();
            colours.dedup();
            assert_eq!(colours.len(), FACES.len());
        }
        assert_eq!((Ink::of("hawser"), Ink::of("pound")), (Ink::Proxy(0), Ink::Proxy(9)));
        assert_eq!((shown("haproxy"), shown("pound")), ("HAProxy", "pound"));
    }
}
