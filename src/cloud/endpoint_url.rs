//! Endpoints' URLs as templates: `http://host/v1/%(project_id)s`.
//!
//! Python's `%` operator upstream, and so its rules here: `%(name)s` or `$(name)s` is replaced, `%%` is a percent sign, and
//! anything else that begins with one is no template. Upstream leaves an endpoint out of the catalogue whose URL is
//! malformed, or that names a project where there is none.

use crate::ids::{ProjectId, UserId};

/// What can be put in.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    pub public_url: &'a str,
    pub project: Option<&'a ProjectId>,
    pub user: &'a UserId,
}

/// The URL is no template that can be filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Names that a new endpoint's URL may hold. `public_url` is Gapura's own, the rest upstream's.
const NAMES: [&str; 6] = ["public_url", "project_id", "tenant_id", "user_id", "compute_host", "public_endpoint"];

/// The URL with its values; `None` where it needs a project and there is none.
///
/// # Errors
/// [`Malformed`].
pub fn fill(template: &str, values: &Values) -> Result<Option<String>, Malformed> {
    // A missing project must not hide that what follows is malformed; either way there is no URL.
    let mut lacks_project = false;
    let filled = replaced(template, |name| match (name, values.project) {
        ("public_url" | "public_endpoint", _) => Some(values.public_url),
        ("user_id", _) => Some(values.user.as_str()),
        ("project_id" | "tenant_id", Some(project)) => Some(project.as_str()),
        ("project_id" | "tenant_id", None) => {
            lacks_project = true;
            Some("")
        }
        _ => None,
    })?;
    Ok((!lacks_project).then_some(filled))
}

/// May a new endpoint have this URL?
pub fn is_template(url: &str) -> bool {
    replaced(url, |name| NAMES.contains(&name).then_some("")).is_ok()
}

fn replaced<'a>(template: &str, mut value: impl FnMut(&str) -> Option<&'a str>) -> Result<String, Malformed> {
    let template = template.replace("$(", "%(");
    let mut filled = String::with_capacity(template.len());
    let mut rest = template.as_str();
    while let Some((before, after)) = rest.split_once('%') {
        filled.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            filled.push('%');
            rest = after;
            continue;
        }
        let (name, after) = after.strip_prefix('(').and_then(|named| named.split_once(')')).ok_or(Malformed)?;
        rest = after.strip_prefix('s').ok_or(Malformed)?;
        filled.push_str(value(name).ok_or(Malformed)?);
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str, project: Option<&str>) -> Result<Option<String>, Malformed> {
        let (project, user) = (project.map(ProjectId::from), UserId::from("u"));
        fill(template, &Values { public_url: "http://cloud", project: project.as_ref(), user: &user })
    }

    #[test]
    fn values_are_put_in_in_both_spellings() {
        for template in ["$(public_url)s/v1/%(project_id)s", "%(public_url)s/v1/$(tenant_id)s"] {
            assert_eq!(filled(template, Some("p")), Ok(Some("http://cloud/v1/p".to_owned())));
        }
        assert_eq!(filled("http://x/%(user_id)s?50%%", None), Ok(Some("http://x/u?50%".to_owned())));
    }

    #[test]
    fn a_url_that_needs_a_project_is_none_without_one() {
        assert_eq!(filled("http://x/%(project_id)s", None), Ok(None));
    }

    #[test]
    fn what_python_could_not_format_is_malformed() {
        for template in ["http://x/%(project_id)", "http://x/%(secret)s", "http://x/%20a", "http://x/%", "http://x/%(a"]
        {
            assert_eq!(filled(template, Some("p")), Err(Malformed), "{template}");
            assert!(!is_template(template), "{template}");
        }
        assert!(is_template("http://%(compute_host)s/%(tenant_id)s"));
        assert_eq!(filled("http://%(compute_host)s", Some("p")), Err(Malformed), "there is no such host here");
    }
}
