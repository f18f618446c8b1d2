//! What one Rust file says, as plain facts with line numbers, read from its tokens. Not here: which
//! of them are allowed.
//!
//! Tokens instead of text, so that strings and comments never count as code; tokens instead of a
//! syntax tree, so that the insides of macros count too.

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};

/// A path such as `crate::stats::Cause`, from a `use` (one fact per leaf) or from anywhere else.
pub struct PathFact {
    pub line: usize,
    pub segments: Vec<String>,
    /// Inline modules around it inside this file: what `super` has to climb first.
    pub depth: usize,
    pub in_test: bool,
}

pub struct Function {
    pub line: usize,
    pub lines: usize,
    pub name: String,
}

pub struct Module {
    pub name: String,
    /// Inline modules around the declaration.
    pub inside: Vec<String>,
    pub path: Option<String>,
    pub in_test: bool,
}

pub struct Constant {
    pub line: usize,
    pub name: String,
    pub documented: bool,
}

/// `struct`, `enum`, `trait`, `type` or `fn` with its name.
pub struct Named {
    pub line: usize,
    pub kind: String,
    pub name: String,
}

pub struct MacroCall {
    pub line: usize,
    pub name: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnsafeKind {
    /// A block or an impl: needs `// SAFETY:`.
    Use,
    /// A function or trait: needs `# Safety` in its doc comment.
    Declaration,
}

#[derive(Default)]
pub struct Facts {
    pub paths: Vec<PathFact>,
    pub functions: Vec<Function>,
    pub modules: Vec<Module>,
    pub constants: Vec<Constant>,
    pub named: Vec<Named>,
    pub macros: Vec<MacroCall>,
    pub unsafes: Vec<(usize, UnsafeKind)>,
    /// Lines of `.unwrap()` outside test code.
    pub unwraps: Vec<usize>,
    /// Lines (first, last) of literals that span several: text inside them is no comment.
    pub long_literals: Vec<(usize, usize)>,
}

impl Facts {
    pub fn of(source: &str) -> Result<Facts, String> {
        let tokens: TokenStream = source.parse().map_err(|e| format!("is not Rust: {e}"))?;
        let mut facts = Facts::default();
        facts.walk(&tokens.into_iter().collect::<Vec<_>>(), &Context::default());
        Ok(facts)
    }

    fn walk(&mut self, tokens: &[TokenTree], context: &Context) {
        let mut item = Item::default();
        let mut i = 0;
        while i < tokens.len() {
            let in_test = context.in_test || item.test;
            match &tokens[i] {
                TokenTree::Punct(p) if p.as_char() == '#' => {
                    i += self.attribute(&tokens[i + 1..], &mut item);
                    continue;
                }
                TokenTree::Punct(p) if p.as_char() == ';' => item = Item::default(),
                TokenTree::Punct(p) if p.as_char() == '.' && is_call(&tokens[i..], "unwrap") => {
                    if !in_test {
                        self.unwraps.push(line(&tokens[i + 1]));
                    }
                }
                TokenTree::Group(group) => {
                    self.group(group, &mut item, context);
                    if group.delimiter() == Delimiter::Brace {
                        item = Item::default();
                    }
                }
                TokenTree::Literal(literal) => {
                    let (from, to) = (literal.span().start().line, literal.span().end().line);
                    if to > from {
                        self.long_literals.push((from, to));
                    }
                }
                TokenTree::Ident(ident) => {
                    let word = ident.to_string();
                    self.keyword(&word, &tokens[i..], &mut item, context);
                    if begins_path(tokens, i) {
                        let at = Context { in_test, ..context.clone() };
                        i = self.path(tokens, i, &mut Vec::new(), &at);
                        continue;
                    }
                }
                TokenTree::Punct(_) => {}
            }
            i += 1;
        }
    }

    /// Notes what an attribute says about the item after it; returns how many tokens to step over
    /// (at least the `#`).
    fn attribute(&mut self, after: &[TokenTree], item: &mut Item) -> usize {
        let inner = matches!(after.first(), Some(TokenTree::Punct(p)) if p.as_char() == '!');
        let Some(TokenTree::Group(group)) = after.get(usize::from(inner)) else { return 1 };
        let text = group.stream().to_string();
        let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).collect();
        item.test |= words.contains(&"test") && !words.contains(&"not") && !text.starts_with("doc");
        item.documented |= text.starts_with("doc") && text.trim_end_matches("\"").len() > 8;
        if let Some(path) = text.strip_prefix("path = \"") {
            item.path = Some(path.trim_end_matches('"').to_owned());
        }
        // The paths inside (`derive(serde::Serialize)`, `tokio::main`) count as uses.
        if !text.starts_with("doc") {
            let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
            self.walk(&tokens, &Context { in_test: item.test, modules: Vec::new() });
        }
        2 + usize::from(inner)
    }

    fn group(&mut self, group: &Group, item: &mut Item, context: &Context) {
        let brace = group.delimiter() == Delimiter::Brace;
        if brace && let Some((line, name)) = item.function.take() {
            let lines = group.span_close().end().line + 1 - line;
            self.functions.push(Function { line, lines, name });
        }
        let mut modules = context.modules.clone();
        if brace && let Some(name) = item.module.take() {
            modules.push(name);
        }
        let in_test = context.in_test || item.test;
        let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
        self.walk(&tokens, &Context { in_test, modules });
    }

    /// Items, macro calls and `unsafe`: whatever one word announces.
    fn keyword(&mut self, word: &str, tokens: &[TokenTree], item: &mut Item, context: &Context) {
        let at = line(&tokens[0]);
        let next = |n: usize| match tokens.get(n) {
            Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
            _ => None,
        };
        match (word, next(1)) {
            ("fn", Some(name)) => {
                self.named.push(Named { line: at, kind: word.into(), name: name.clone() });
                item.function = Some((at, name));
            }
            ("struct" | "enum" | "trait" | "type", Some(name)) => {
                self.named.push(Named { line: at, kind: word.into(), name });
            }
            ("const", Some(name)) if is_punct(tokens.get(2), ':') && name != "_" => {
                self.constants.push(Constant { line: at, name, documented: item.documented });
            }
            ("mod", Some(name)) if is_punct(tokens.get(2), ';') => self.modules.push(Module {
                name,
                inside: context.modules.clone(),
                path: item.path.take(),
                in_test: context.in_test || item.test,
            }),
            ("mod", Some(name)) => item.module = Some(name),
            ("unsafe", Some(after)) if matches!(&*after, "fn" | "trait" | "extern") => {
                self.unsafes.push((at, UnsafeKind::Declaration));
            }
            ("unsafe", _) => self.unsafes.push((at, UnsafeKind::Use)),
            _ if is_punct(tokens.get(1), '!')
                && matches!(tokens.get(2), Some(TokenTree::Group(_))) =>
            {
                self.macros.push(MacroCall { line: at, name: word.to_owned() });
            }
            _ => {}
        }
    }

    /// Reads the path (or the whole tree of a `use`) that begins at `i`; returns the index behind
    /// it.
    fn path(
        &mut self,
        tokens: &[TokenTree],
        mut i: usize,
        prefix: &mut Vec<String>,
        context: &Context,
    ) -> usize {
        let start = line(&tokens[i]);
        let above = prefix.len();
        loop {
            match tokens.get(i) {
                Some(TokenTree::Ident(ident)) => prefix.push(ident.to_string()),
                Some(TokenTree::Group(g)) if g.delimiter() == Delimiter::Brace => {
                    self.branches(g, prefix, context);
                    prefix.truncate(above);
                    return i + 1;
                }
                // A glob, a turbofish: the path ends here, and the token is looked at in its own
                // right.
                _ => break,
            }
            i += 1;
            if !is_colons(tokens, i) {
                break;
            }
            i += 2;
        }
        if is_punct(tokens.get(i), '!') && matches!(tokens.get(i + 1), Some(TokenTree::Group(_))) {
            let name = prefix.last().cloned().unwrap_or_default();
            self.macros.push(MacroCall { line: start, name });
        }
        let (segments, depth) = (prefix.clone(), context.modules.len());
        self.paths.push(PathFact { line: start, segments, depth, in_test: context.in_test });
        prefix.truncate(above);
        i
    }

    fn branches(&mut self, group: &Group, prefix: &mut Vec<String>, context: &Context) {
        let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
        let mut i = 0;
        while i < tokens.len() {
            i = match &tokens[i] {
                TokenTree::Ident(ident) if ident == "as" => i + 2,
                TokenTree::Ident(_) => self.path(&tokens, i, prefix, context),
                _ => i + 1,
            };
        }
    }
}

#[derive(Clone, Default)]
struct Context {
    in_test: bool,
    modules: Vec<String>,
}

/// What is known about the item that is being read, until its body or its semicolon.
#[derive(Default)]
struct Item {
    test: bool,
    documented: bool,
    path: Option<String>,
    function: Option<(usize, String)>,
    module: Option<String>,
}

fn line(token: &TokenTree) -> usize {
    token.span().start().line
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(p)) if p.as_char() == wanted)
}

fn is_colons(tokens: &[TokenTree], i: usize) -> bool {
    matches!(tokens.get(i), Some(TokenTree::Punct(p))
        if p.as_char() == ':' && p.spacing() == Spacing::Joint)
        && is_punct(tokens.get(i + 1), ':')
}

/// An identifier with `::` behind it that continues no path, or the single name of `use name;`.
fn begins_path(tokens: &[TokenTree], i: usize) -> bool {
    if !is_colons(tokens, i + 1) {
        return i > 0 && matches!(&tokens[i - 1], TokenTree::Ident(word) if word == "use");
    }
    let continues = i >= 3
        && is_colons(tokens, i - 2)
        && (matches!(tokens[i - 3], TokenTree::Ident(_)) || is_punct(tokens.get(i - 3), '>'));
    !continues
}

/// `. name ( )`
fn is_call(tokens: &[TokenTree], name: &str) -> bool {
    matches!(tokens.get(1), Some(TokenTree::Ident(ident)) if ident == name)
        && matches!(tokens.get(2), Some(TokenTree::Group(g))
            if g.delimiter() == Delimiter::Parenthesis && g.stream().is_empty())
}

#[test]
fn facts_are_found_wherever_they_hide() {
    let source = r##"
        //! A file.
        use crate::{limits, stats::{Cause, key::ConnId as Id}};
        use slab;
        /// Bound.
        pub const MAX: usize = 1;
        pub const BARE: usize = 2;
        #[derive(serde::Serialize)]
        struct Holder { at: super::super::control::Config }
        fn outer() {
            let text = "
                // not a comment; monoio::spawn();
            ";
            debug_assert!(matches!(x, crate::control::api::X(_)));
            std::println!("{}", <u8 as libc::Trait>::of(y).unwrap());
            unsafe { call() };
        }
        #[cfg(test)]
        mod tests { fn check() { z.unwrap(); } mod deep { use super::*; } }
        #[cfg(test)]
        mod sim;
    "##;
    let facts = Facts::of(source).expect("is Rust");
    let paths: Vec<String> = facts.paths.iter().map(|path| path.segments.join("::")).collect();
    for wanted in [
        "crate::limits",
        "crate::stats::Cause",
        "crate::stats::key::ConnId",
        "slab",
        "serde::Serialize",
        "super::super::control::Config",
        "crate::control::api::X",
        "libc::Trait",
    ] {
        assert!(paths.iter().any(|path| path == wanted), "{wanted} in {paths:?}");
    }
    assert!(!paths.iter().any(|path| path.contains("monoio")));
    let deep = facts.paths.iter().find(|path| path.segments == ["super"]).expect("use super::*");
    assert!(deep.in_test && deep.depth == 2);
    assert_eq!((facts.unwraps.len(), facts.unsafes.len(), facts.long_literals.len()), (1, 1, 1));
    assert!(facts.macros.iter().any(|call| call.name == "println"));
    let bare: Vec<_> = facts.constants.iter().filter(|c| !c.documented).map(|c| &c.name).collect();
    assert_eq!(bare, ["BARE"]);
    let outer = facts.functions.iter().find(|f| f.name == "outer").expect("outer");
    assert_eq!(outer.lines, 8);
    assert!(facts.modules.len() == 1 && facts.modules[0].in_test);
}
