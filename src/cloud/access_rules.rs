//! Access rules: the requests that an application credential is good for.
//!
//! A rule names a service by its type in the catalogue, a method, and a pattern for the path, as keystonemiddleware reads
//! them: `*` and `{name}` stand for one segment, `**` for any number of characters, and every other character for itself.
//! A token whose credential has rules is good for what one of them fits and for nothing else.

/// A rule of a user's; several of their credentials may share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRule {
    pub id: String,
    /// A type of the catalogue: `compute`.
    pub service: String,
    pub method: String,
    /// A pattern.
    pub path: String,
}

impl AccessRule {
    /// Does the rule let this request through? A path may have several spellings, of which one has to fit.
    pub fn fits(&self, service: &str, method: &str, spellings: &[&str]) -> bool {
        self.service == service
            && self.method == method
            && spellings.iter().any(|path| pieces_fit(&pieces(&self.path), path))
    }
}

/// A part of a pattern, small enough that what may follow depends on nothing but the part.
enum Piece {
    Exactly(char),
    /// The first character of a segment…
    InSegment,
    /// …and the rest of it.
    RestOfSegment,
    Anything,
}

fn pieces(pattern: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        let name = rest.strip_prefix('{').and_then(|after| after.split_once('}'));
        if let Some(after) = rest.strip_prefix("**") {
            pieces.push(Piece::Anything);
            rest = after;
        } else if let Some(after) = rest.strip_prefix('*').or(name.map(|(_, after)| after)) {
            pieces.extend([Piece::InSegment, Piece::RestOfSegment]);
            rest = after;
        } else {
            pieces.push(Piece::Exactly(first));
            rest = &rest[first.len_utf8()..];
        }
    }
    pieces
}

/// Follows every way through the pattern at once, so that no pattern costs more than its length times the path's.
fn pieces_fit(pieces: &[Piece], path: &str) -> bool {
    let mut at = vec![false; pieces.len() + 1];
    at[0] = true;
    skip_what_may_be_empty(pieces, &mut at);
    for character in path.chars() {
        let mut next = vec![false; pieces.len() + 1];
        for (index, piece) in pieces.iter().enumerate().filter(|(index, _)| at[*index]) {
            match piece {
                Piece::Exactly(wanted) => next[index + 1] |= *wanted == character,
                Piece::InSegment => next[index + 1] |= character != '/',
                Piece::RestOfSegment => next[index] |= character != '/',
                Piece::Anything => next[index] = true,
            }
        }
        skip_what_may_be_empty(pieces, &mut next);
        at = next;
    }
    at[pieces.len()]
}

fn skip_what_may_be_empty(pieces: &[Piece], at: &mut [bool]) {
    for (index, piece) in pieces.iter().enumerate() {
        if at[index] && matches!(piece, Piece::RestOfSegment | Piece::Anything) {
            at[index + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, path: &str) -> bool {
        pieces_fit(&pieces(pattern), path)
    }

    #[test]
    fn a_pattern_fits_what_keystonemiddleware_says_it_fits() {
        for (pattern, fitting, others) in [
            ("/v2.1/servers", &["/v2.1/servers"][..], &["/v2.1/servers/", "/v2.1/server", "/v2x1/servers", ""][..]),
            ("/v2.1/servers/*", &["/v2.1/servers/a"], &["/v2.1/servers/", "/v2.1/servers/a/ips", "/v2.1/servers"]),
            ("/v2.1/servers/{id}/ips", &["/v2.1/servers/a/ips"], &["/v2.1/servers//ips", "/v2.1/servers/a/b/ips"]),
            ("/v2.1/**", &["/v2.1/", "/v2.1/a", "/v2.1/a/b"], &["/v2.1", "/v2"]),
            ("/**/ips", &["/a/ips", "/a/b/ips", "//ips"], &["/ips", "/a/ips/b"]),
            ("**", &["", "/", "/a/b"], &[]),
            ("/a*c", &["/abc", "/abbc"], &["/ac", "/ab/c"]),
            ("/{", &["/{"], &["/a"]),
            ("/é*", &["/éa"], &["/ea", "/é"]),
        ] {
            for path in fitting {
                assert!(fits(pattern, path), "{pattern} {path}");
            }
            for path in others {
                assert!(!fits(pattern, path), "{pattern} {path}");
            }
        }
    }

    #[test]
    fn a_pattern_made_to_take_long_does_not() {
        let pattern = "/**a".repeat(50);
        assert!(!fits(&pattern, &"/aa".repeat(2000)[1..]));
    }

    #[test]
    fn a_rule_fits_its_own_service_and_method_alone() {
        let rule = |method: &str| AccessRule {
            id: "r".into(),
            service: "compute".into(),
            method: method.into(),
            path: "/v2.1/**".into(),
        };
        assert!(rule("GET").fits("compute", "GET", &["/compute/v2.1/servers", "/v2.1/servers"]));
        assert!(!rule("GET").fits("image", "GET", &["/v2.1/servers"]));
        assert!(!rule("GET").fits("compute", "HEAD", &["/v2.1/servers"]));
        assert!(!rule("GET").fits("compute", "GET", &["/compute/v2.1/servers"]));
    }
}
