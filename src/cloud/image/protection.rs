//! Which roles may create, read, update and delete which properties of images.
//!
//! Operators say it in a file of upstream's form: sections named by regular expressions, the first that matches a property
//! decides, and one that none matches is nobody's.
//!
//! ```text
//! [^x_billing_]
//! create = admin,billing
//! read = @
//! update = admin,billing
//! delete = !
//! ```
//! `@` is everybody, `!` nobody. Properties the service itself keeps (`os_glance…`) are never protected.

use super::change::RESERVED_PREFIX;
use crate::error::{Error, Result};
use regex::Regex;

words! {
    Action { Create "create", Read "read", Update "update", Delete "delete" }
}

/// What the file says; without one, everything is allowed.
#[derive(Debug, Clone, Default)]
pub struct Protections {
    rules: Option<Vec<Rule>>,
}

#[derive(Debug, Clone)]
struct Rule {
    property: Regex,
    /// In the order of [`Action::ALL`].
    allowed: [Allowed; 4],
}

#[derive(Debug, Clone)]
enum Allowed {
    Everybody,
    Nobody,
    Roles(Vec<String>),
}

impl Protections {
    /// Reads the file's text.
    ///
    /// # Errors
    /// `BadRequest`, in a sentence for the operator.
    pub fn parse(text: &str) -> Result<Self> {
        let mut sections: Vec<(&str, Vec<(&str, &str)>)> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            let wrong = || Error::bad_request(format!("line {}: {line} is neither a section nor a rule", number + 1));
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                sections.push((name, Vec::new()));
            } else {
                let (name, value) = line.split_once(['=', ':']).ok_or_else(wrong)?;
                sections.last_mut().ok_or_else(wrong)?.1.push((name.trim(), value.trim()));
            }
        }
        Ok(Self { rules: Some(sections.iter().map(|(name, lines)| Rule::of(name, lines)).collect::<Result<_>>()?) })
    }

    /// May somebody with these roles do this with the property?
    pub fn allow(&self, action: Action, property: &str, roles: &[String]) -> bool {
        let Some(rules) = self.rules.as_ref().filter(|_| !property.starts_with(RESERVED_PREFIX)) else { return true };
        let Some(rule) = rules.iter().find(|rule| rule.property.is_match(property)) else { return false };
        match &rule.allowed[action as usize] {
            Allowed::Everybody => true,
            Allowed::Nobody => false,
            Allowed::Roles(allowed) => roles.iter().any(|role| allowed.contains(&role.to_lowercase())),
        }
    }

    /// # Errors
    /// `Forbidden`, in upstream's words.
    pub fn check(&self, action: Action, property: &str, roles: &[String]) -> Result<()> {
        if self.allow(action, property, roles) {
            return Ok(());
        }
        Err(Error::Forbidden(format!("Attribute '{property}' is reserved.")))
    }
}

impl Rule {
    fn of(name: &str, lines: &[(&str, &str)]) -> Result<Self> {
        let wrong = |why: String| Error::bad_request(format!("section [{name}]: {why}"));
        let property = Regex::new(name).map_err(|error| wrong(error.to_string()))?;
        let allowed = |action: Action| {
            let said = lines.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(action.word()));
            let (_, said) = said.ok_or_else(|| wrong(format!("{} is missing", action.word())))?;
            let roles: Vec<_> = said.split(',').map(|role| role.trim().to_lowercase()).collect();
            let (everybody, nobody) = (roles.iter().any(|role| role == "@"), roles.iter().any(|role| role == "!"));
            match (everybody, nobody) {
                (true, true) => Err(wrong(format!("{}: '@' and '!' are mutually exclusive", action.word()))),
                (true, false) => Ok(Allowed::Everybody),
                (false, true) => Ok(Allowed::Nobody),
                (false, false) => Ok(Allowed::Roles(roles.into_iter().filter(|role| !role.is_empty()).collect())),
            }
        };
        let [create, read, update, delete] =
            [Action::Create, Action::Read, Action::Update, Action::Delete].map(allowed);
        Ok(Self { property, allowed: [create?, read?, update?, delete?] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# who may what\n[^x_billing_]\ncreate = Admin, billing\nread = @\nupdate = admin\ndelete = !\n\n\
                        [x_secret]\ncreate = admin\nread = admin\nupdate = admin\ndelete =\n";

    fn may(action: Action, property: &str, role: &str) -> bool {
        Protections::parse(FILE).unwrap().allow(action, property, &[role.to_owned()])
    }

    #[test]
    fn the_first_section_that_matches_decides() {
        assert!(may(Action::Create, "x_billing_code", "billing") && may(Action::Create, "x_billing_code", "ADMIN"));
        assert!(may(Action::Read, "x_billing_code", "reader") && !may(Action::Create, "x_billing_code", "member"));
        assert!(!may(Action::Delete, "x_billing_code", "admin"), "nobody is nobody");
        assert!(may(Action::Read, "my_x_secret_word", "admin") && !may(Action::Read, "x_secret", "member"));
        assert!(!may(Action::Delete, "x_secret", "admin"), "said to be empty");
        assert!(!may(Action::Read, "anything", "admin"), "what no section matches is nobody's");
        assert!(may(Action::Read, "os_glance_failed_import", "reader"), "the service's own");
        assert!(Protections::default().allow(Action::Delete, "anything", &[]), "without a file");
    }

    #[test]
    fn a_file_that_is_not_clear_is_refused() {
        for text in [
            "create = admin",
            "[a]\ncreate = admin",
            "[a\ncreate = admin",
            "[(]\ncreate = @\nread = @\nupdate = @\ndelete = @",
            "[a]\ncreate = @,!\nread = @\nupdate = @\ndelete = @",
        ] {
            assert!(Protections::parse(text).is_err(), "{text}");
        }
    }
}
