//! oslo.policy's language: from text to a [`Check`].

use crate::error::{Error, Result};

/// A parsed rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    Always,
    Never,
    Not(Box<Check>),
    All(Vec<Check>),
    Any(Vec<Check>),
    Role(String),
    Rule(String),
    /// An attribute of the caller, or a quoted literal, against a literal or a value of the target.
    Compare {
        left: Operand,
        right: Operand,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    Literal(String),
    Attribute(String),
    Target(String),
}

/// The rules that a check names.
pub fn references<'c>(check: &'c Check, into: &mut Vec<&'c str>) {
    match check {
        Check::Rule(name) => into.push(name),
        Check::Not(inner) => references(inner, into),
        Check::All(all) | Check::Any(all) => all.iter().for_each(|check| references(check, into)),
        Check::Always | Check::Never | Check::Role(_) | Check::Compare { .. } => {}
    }
}

/// Parses a rule; the error says what is wrong with it.
pub fn parse(text: &str) -> std::result::Result<Check, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Check::Always);
    }
    let tokens = tokens(text);
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0 };
    let check = parser.any()?;
    match parser.tokens.get(parser.at) {
        None => Ok(check),
        Some(extra) => Err(format!("\"{extra}\" was not expected here")),
    }
}

/// Words and parentheses; a parenthesis may cling to a word, but one inside `%(name)s` belongs to it.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    for word in text.split_whitespace() {
        let mut rest = word;
        while let Some(after) = rest.strip_prefix('(') {
            tokens.push("(".to_owned());
            rest = after;
        }
        let closing = rest.len() - rest.trim_end_matches(')').len();
        let (body, _) = rest.split_at(rest.len() - closing);
        if !body.is_empty() {
            tokens.push(body.to_owned());
        }
        tokens.extend(std::iter::repeat_n(")".to_owned(), closing));
    }
    tokens
}

struct Parser<'t> {
    tokens: &'t [String],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&str> {
        self.tokens.get(self.at).map(String::as_str)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.peek().is_some_and(|token| token.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn any(&mut self) -> std::result::Result<Check, String> {
        let mut checks = vec![self.all()?];
        while self.take_word("or") {
            checks.push(self.all()?);
        }
        Ok(if checks.len() == 1 { checks.remove(0) } else { Check::Any(checks) })
    }

    fn all(&mut self) -> std::result::Result<Check, String> {
        let mut checks = vec![self.one()?];
        while self.take_word("and") {
            checks.push(self.one()?);
        }
        Ok(if checks.len() == 1 { checks.remove(0) } else { Check::All(checks) })
    }

    fn one(&mut self) -> std::result::Result<Check, String> {
        if self.depth > 64 {
            return Err("it is nested too deeply".to_owned());
        }
        if self.take_word("not") {
            self.depth += 1;
            let inner = self.one()?;
            self.depth -= 1;
            return Ok(Check::Not(Box::new(inner)));
        }
        if self.take_word("(") {
            self.depth += 1;
            let inner = self.any()?;
            self.depth -= 1;
            return if self.take_word(")") { Ok(inner) } else { Err("a \")\" is missing".to_owned()) };
        }
        let Some(token) = self.tokens.get(self.at) else {
            return Err("it ends too early".to_owned());
        };
        self.at += 1;
        leaf(token)
    }
}

fn leaf(token: &str) -> std::result::Result<Check, String> {
    match token {
        "@" => return Ok(Check::Always),
        "!" => return Ok(Check::Never),
        _ => {}
    }
    let (left, right) = token.split_once(':').ok_or_else(|| format!("\"{token}\" is no check: it has no colon"))?;
    match left {
        "role" => return Ok(Check::Role(right.to_owned())),
        "rule" => return Ok(Check::Rule(right.to_owned())),
        "http" | "https" => return Err("checks that ask another server are not supported".to_owned()),
        _ => {}
    }
    let left = match left {
        "None" | "True" | "False" => Operand::Literal(left.to_owned()),
        quoted if quoted.len() >= 2 && quoted.starts_with(['\'', '"']) && quoted.ends_with(['\'', '"']) => {
            Operand::Literal(quoted[1..quoted.len() - 1].to_owned())
        }
        number if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => {
            Operand::Literal(number.to_owned())
        }
        name => Operand::Attribute(name.to_owned()),
    };
    // The parenthesis that closes `%(name)s` may have been cut off by the tokenizer only if the rule itself is broken.
    let right = match right.strip_prefix("%(") {
        Some(rest) => Operand::Target(
            rest.strip_suffix(")s").ok_or_else(|| format!("\"{right}\" is not closed by )s"))?.to_owned(),
        ),
        None => Operand::Literal(right.to_owned()),
    };
    Ok(Check::Compare { left, right })
}

/// Parses a rule and throws it away: for `fuzz/` and for checking an operator's file.
///
/// # Errors
/// `BadRequest` saying what is wrong.
pub fn check_syntax(text: &str) -> Result<()> {
    parse(text).map(drop).map_err(Error::bad_request)
}
